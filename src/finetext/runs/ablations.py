"""Ablation baselines: beside a method with an adapted or pretrained encoder, the method without.

The ablation baseline has the encoder before adaptation, or random weights if the encoder was
pretrained from those. It is a method like any other, so it can have an ablation baseline in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

from finetext.core.contracts import Method, encoder_of
from finetext.core.errors import FinetextError
from finetext.core.paths import expanded
from finetext.core.types import Dataset, Finding
from finetext.core.wording import counted
from finetext.encoders.catalogue import PREFIX, is_alias, resolve
from finetext.evaluation.fold_scores import Scored, compare_on, scheme_of
from finetext.evaluation.leaderboard import NOUNS, EncoderGain, Kind, LeaderboardEntry
from finetext.evaluation.metrics import metric_for
from finetext.pretraining.folder import Origin, read_origin, texts_in_corpus
from finetext.runs.recipe import ADAPTED, Recipe

_SUFFIXES: Final[Mapping[str, str]] = {"adapted": "unadapted", "pretrained": "random"}


def uses_adapted(recipe: Recipe) -> bool:
    """Return whether a method takes the encoder that the run adapts."""
    return ADAPTED in map(encoder_of, recipe.methods.values())


def with_encoder(recipe: Recipe, adapted: str | None = None) -> dict[str, Method]:
    """Return the methods with an encoder that can be loaded in the place of "adapted"."""
    place = adapted or (recipe.adapt.encoder if recipe.adapt is not None else ADAPTED)
    return {
        name: _with(method, place) if encoder_of(method) == ADAPTED else method
        for name, method in recipe.methods.items()
    }


def with_ablation_baselines(recipe: Recipe) -> tuple[dict[str, Method], list[Finding]]:
    """Return the methods, each followed by the ablation baseline that it needs and lacks."""
    methods, findings = dict[str, Method](), list[Finding]()
    waiting, known = list(recipe.methods.items()), dict(recipe.methods)
    while waiting:
        name, method = waiting.pop(0)
        methods[name] = method
        parent = _parent(method, recipe)
        if parent is None or _baseline_in(known, method, parent[1]) is not None:
            continue
        kind, encoder = parent
        baseline = _with(method, encoder)
        if (reason := _refusal(method, baseline)) is not None:
            begin = f"The gain of {NOUNS[kind]} for {name} cannot be measured:"
            if kind == "pretrained":
                message = f"{begin} {method.name} does not take random weights."
                findings.append(Finding("note", "no-twin", message))
            else:
                message = f"{begin} the encoder before cannot be used: {reason}"
                findings.append(Finding("warning", "no-twin", message))
            continue
        begin = f"{name}-{_SUFFIXES[kind]}"
        names = (begin if number == 1 else f"{begin}-{number}" for number in count(1))
        free = next(of for of in names if of not in known)
        known[free] = baseline
        waiting.insert(0, (free, baseline))
    return methods, findings


def ablation_baselines(recipe: Recipe) -> dict[str, str]:
    """Return method to its ablation baseline, for the methods that have one."""
    found = {}
    for name, method in recipe.methods.items():
        if (parent := _parent(method, recipe)) is None:
            continue
        if (baseline := _baseline_in(recipe.methods, method, parent[1])) is not None:
            found[name] = baseline
    return found


def members_in(recipe: Recipe) -> list[str]:
    """Return the methods that another one may combine: no baseline, of ablation or otherwise.

    Nor one that learns nothing, or asks an endpoint: a blend that does would cost as much for each
    text, and few rows may have its answers.
    """
    left_out = set(ablation_baselines(recipe).values())
    return [
        name
        for name, method in recipe.methods.items()
        if method.learns
        and not (method.combines or method.is_baseline or method.pays_per_text)
        and name not in left_out
    ]


def encoder_gains(
    recipe: Recipe,
    entries: Mapping[str, LeaderboardEntry],
    on_test: Mapping[str, Scored],
    before: Mapping[str, float],
) -> tuple[EncoderGain, ...]:
    """Return the comparison of each finished method with its ablation baseline on test rows.

    `on_test` has one set of predictions for each seed, or those of all folds.
    """
    gains = []
    for name, baseline in ablation_baselines(recipe).items():
        if name not in entries or baseline not in entries:
            continue
        parent = _parent(recipe.methods[name], recipe)
        assert parent is not None
        compared = compare_on(on_test[name], on_test[baseline], recipe.metric, recipe.seed)
        own, other = (entries[of].seconds_to_train for of in (name, baseline))
        extra = before[name] - before[baseline]
        beaten = _no_better_than(recipe, on_test, (name, baseline))
        gains.append(EncoderGain(name, baseline, parent[0], compared, own, other, extra, beaten))
    return tuple(gains)


def _no_better_than(recipe: Recipe, on_test: Mapping[str, Scored], pair: Sequence[str]) -> str:
    """Return "majority in balanced accuracy" if none of the pair is significantly better, or "".

    A model that guesses at random beats the majority class in macro F1, but not in balanced
    accuracy, which exists for one label per text; with several it is the metric of the run.
    """
    majority = next((n for n in on_test if recipe.methods[n].name == "majority"), None)
    if majority is None:
        return ""
    scheme = scheme_of(on_test[majority])
    metric = metric_for(recipe.metric if scheme.multilabel else "balanced_accuracy", scheme)
    for name in pair:
        beside = compare_on(on_test[majority], on_test[name], metric.name, recipe.seed)
        if beside.worse(metric.higher_is_better):
            return ""
    return f"{majority} in {metric.title}"


def seconds_before(recipe: Recipe, adapted: Path) -> dict[str, float]:
    """Return method to the seconds of adapting and pretraining its encoder and those before it.

    To combine methods is to need what the one with the most of them does.
    """
    seconds = dict.fromkeys(recipe.methods, 0.0)
    for name, method in with_encoder(recipe, str(adapted)).items():
        place, known = encoder_of(method), set[str]()
        while place and place not in known and (origin := origin_of(place)) is not None:
            known.add(place)
            seconds[name] += origin.seconds
            place = origin.base
    before = max((seconds[name] for name in members_in(recipe)), default=0.0)
    return {name: before if recipe.methods[name].combines else of for name, of in seconds.items()}


def seen_test_rows(recipe: Recipe, test: Dataset) -> list[Finding]:
    """Return a warning on each encoder that was trained on texts of test rows.

    Those of a cross-validated run are all rows.
    """
    findings, noun = [], "row" if recipe.split.cross_validate else "test row"
    for encoder in dict.fromkeys(map(encoder_of, recipe.methods.values())):
        origin = None if encoder in (None, ADAPTED) else origin_of(str(encoder))
        place = expanded(str(encoder))
        if origin is None or not (rows := texts_in_corpus(place, test.texts)):
            continue
        allowed = ", which was allowed then" if origin.corpus.get("with_test") else ""
        message = (
            f"The encoder {encoder} was trained on the texts of {counted(rows, noun)} "
            f"({rows / len(test):.1%}){allowed}. It has seen them without their labels, so scores "
            "can be too high."
        )
        findings.append(Finding("warning", "test-in-corpus", message))
    return findings


def origin_of(encoder: str) -> Origin | None:
    """Return how the encoder in a folder was made; None for an alias, a Hub name, other folders."""
    return None if is_alias(encoder) else read_origin(expanded(encoder))


def _parent(method: Method, recipe: Recipe) -> tuple[Kind, str] | None:
    """Return how an encoder was made, and from which, or `random:FOLDER` for random weights."""
    encoder = encoder_of(method)
    if encoder == ADAPTED:
        assert recipe.adapt is not None
        return "adapted", recipe.adapt.encoder
    origin = None if encoder is None else origin_of(encoder)
    if origin is None:
        return None
    return origin.kind, origin.base if origin.kind == "adapted" else f"{PREFIX}{encoder}"


def _baseline_in(methods: Mapping[str, Method], method: Method, parent: str) -> str | None:
    """Return the name of the ablation baseline of a method, or None."""
    if _with(method, parent) == method:  # the encoder replaced the one it was made from
        return None
    for name, other in methods.items():
        encoder = encoder_of(other)
        if encoder is None or type(other) is not type(method):
            continue
        is_same = encoder == parent or _place(encoder) == _place(parent)
        if _with(other, "") == _with(method, "") and is_same:
            return name
    return None


def _place(encoder: str) -> str:
    try:
        return resolve(encoder).path
    except FinetextError:
        return encoder


def _with(method: Method, encoder: str) -> Method:
    return replace(method, encoder=encoder)  # type: ignore[type-var]


def _refusal(method: Method, baseline: Method) -> str | None:
    """Return why an ablation baseline cannot be fitted, or None if it can."""
    if baseline == method:
        return f"{encoder_of(method)} replaced it in the same folder"
    try:
        baseline.check()
    except FinetextError as error:
        return str(error)
    return None
