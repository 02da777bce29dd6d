"""Beside a rung with an encoder of one's own: the same method with the encoder that came from.

Its twin has the encoder before adaptation, or random weights if the encoder was pretrained from
those. A twin is a rung like any other, so it can have a twin in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Final

from finetext.core.contracts import Method, encoder_of
from finetext.core.errors import FinetextError
from finetext.core.types import Dataset, Finding
from finetext.core.wording import counted
from finetext.encoders.catalogue import PREFIX, is_alias, resolve
from finetext.evaluation.compare import compare
from finetext.evaluation.leaderboard import NOUNS, EncoderGain, Kind
from finetext.pretraining.folder import Origin, read_origin, texts_in_corpus
from finetext.runs.fit_methods import Rung
from finetext.runs.recipe import ADAPTED, Recipe

_SUFFIXES: Final[Mapping[str, str]] = {"adapted": "unadapted", "pretrained": "random"}


@dataclass(frozen=True)
class Past:
    """What an encoder was made from, and how.

    Attributes:
        kind: "adapted" from another encoder, or "pretrained" from random weights.
        base: the encoder that it was before.
    """

    kind: Kind
    base: str


def with_twins(recipe: Recipe) -> tuple[Recipe, list[Finding]]:
    """The recipe with a twin after each rung that is to have one, and lacks it.

    Returns:
        the recipe, and a warning on each twin whose encoder cannot be loaded any more.

    Raises:
        ModelError: an encoder tells of its origin, but cannot be read.
    """
    methods, findings = dict[str, Method](), list[Finding]()
    waiting = list(recipe.methods.items())
    known = dict(recipe.methods)
    while waiting:
        name, method = waiting.pop(0)
        methods[name] = method
        past = past_of(method, recipe)
        if past is None or twin_in(known, method, past) is not None:
            continue
        twin = _twin(method, past)
        if (reason := _refusal(method, twin)) is not None:
            findings.append(_without(name, method, past, reason))
            continue
        called = _free_name(f"{name}-{_SUFFIXES[past.kind]}", known)
        known[called] = twin
        waiting.insert(0, (called, twin))
    return replace(recipe, methods=methods), findings


def past_of(method: Method, recipe: Recipe) -> Past | None:
    """What the encoder of a method was made from; None if it has no encoder of one's own.

    Raises:
        ModelError: the folder of the encoder tells of its origin, but cannot be read.
    """
    encoder = encoder_of(method)
    if encoder is None:
        return None
    if encoder == ADAPTED:
        assert recipe.adapt is not None
        return Past("adapted", recipe.adapt.encoder)
    origin = origin_of(encoder)
    if origin is None:
        return None
    if origin.kind == "pretrained":
        return Past("pretrained", f"{PREFIX}{encoder}")
    return Past("adapted", origin.base)


def origin_of(encoder: str) -> Origin | None:
    """Where the encoder in a folder comes from; None for an alias, a Hub name or any other folder.

    Raises:
        ModelError: the record of that is damaged.
    """
    return None if is_alias(encoder) else read_origin(Path(encoder).expanduser())


def twin_in(methods: Mapping[str, Method], method: Method, past: Past) -> str | None:
    """The rung that is the twin of a method, or None."""
    twin = _twin(method, past)
    if twin == method:  # its encoder lies where the one before lay
        return None
    wanted = replace(twin, encoder="")  # type: ignore[type-var]
    return next(
        (
            name
            for name, other in methods.items()
            if type(other) is type(twin)
            and replace(other, encoder="") == wanted  # type: ignore[type-var]
            and _is_same_encoder(encoder_of(other), past.base)
        ),
        None,
    )


def seconds_before(recipe: Recipe, adapted: Path) -> dict[str, float]:
    """Rung to the seconds that adapting or pretraining its encoder took, 0 for most.

    Those of the encoder it was before count too, and so on.

    Args:
        recipe: as it is run.
        adapted: the folder of the encoder that the run adapts itself.

    Raises:
        ModelError: the record of an encoder's origin is damaged.
    """
    seconds = dict.fromkeys(recipe.methods, 0.0)
    for name, method in recipe.methods.items():
        encoder = encoder_of(method)
        place, known = str(adapted) if encoder == ADAPTED else encoder, set[str]()
        while place and place not in known and (origin := origin_of(place)) is not None:
            known.add(place)
            seconds[name] += origin.seconds
            place = origin.base
    return seconds


def what_paid(
    recipe: Recipe, rungs: Mapping[str, Rung], before: Mapping[str, float]
) -> tuple[EncoderGain, ...]:
    """Each finished rung with an encoder of one's own beside its twin, compared on test rows.

    Args:
        recipe: as it is run, with the twins.
        rungs: those that are finished.
        before: what `seconds_before` gave.

    Raises:
        ModelError: the record of an encoder's origin is damaged.
    """
    pairs = []
    for name, rung in rungs.items():
        method = recipe.methods[name]
        past = past_of(method, recipe)
        twin = None if past is None else twin_in(recipe.methods, method, past)
        if past is None or twin is None or twin not in rungs:
            continue
        one, other = rung.predictions["test"], rungs[twin].predictions["test"]
        pairs.append(
            EncoderGain(
                method=name,
                beside=twin,
                kind=past.kind,
                comparison=compare(one, other, recipe.metric, recipe.seed),
                seconds=rung.entry.seconds_to_train,
                seconds_beside=rungs[twin].entry.seconds_to_train,
                seconds_before=before[name] - before[twin],
            )
        )
    return tuple(pairs)


def seen_test_rows(recipe: Recipe, test: Dataset) -> list[Finding]:
    """A warning on each encoder that was trained on texts of test rows.

    Args:
        recipe: with the twins.
        test: the test rows.

    Raises:
        ModelError: the record of an encoder's corpus is damaged.
    """
    encoders = dict.fromkeys(encoder_of(method) for method in recipe.methods.values())
    findings = []
    for encoder in encoders:
        origin = None if encoder in (None, ADAPTED) else origin_of(str(encoder))
        if origin is None or not (number := _known(str(encoder), test)):
            continue
        allowed = ", as was allowed then" if origin.corpus.get("with_test") else ""
        message = (
            f"The encoder {encoder} was trained on the texts of {counted(number, 'test row')} "
            f"({number / len(test):.1%}){allowed}: it has seen what it is tested on, without the "
            "labels, so scores can be too good."
        )
        findings.append(Finding("warning", "test-in-corpus", message))
    return findings


def _known(encoder: str, test: Dataset) -> int:
    """How many test rows have a text that an encoder was trained on."""
    return texts_in_corpus(Path(encoder).expanduser(), test.texts)


def _twin(method: Method, past: Past) -> Method:
    return replace(method, encoder=past.base)  # type: ignore[type-var]


def _refusal(method: Method, twin: Method) -> str | None:
    """Why a method cannot have a twin, or None if it can."""
    if twin == method:
        return f"{encoder_of(method)} lies where that lay"
    try:
        twin.check()
    except FinetextError as error:
        return str(error)
    return None


def _without(name: str, method: Method, past: Past, reason: str) -> Finding:
    begin = f"Whether {NOUNS[past.kind]} paid for {name} cannot be shown, as"
    if past.kind == "pretrained":
        return Finding("note", "no-twin", f"{begin} {method.name} does not take random weights.")
    message = f"{begin} the encoder before that cannot be used: {reason}"
    return Finding("warning", "no-twin", message)


def _is_same_encoder(one: str | None, other: str) -> bool:
    return one is not None and (one == other or _place(one) == _place(other))


def _place(encoder: str) -> str:
    """Where an encoder is loaded from, or its name if that is not known."""
    try:
        return resolve(encoder).path
    except FinetextError:
        return encoder


def _free_name(name: str, taken: Mapping[str, Method]) -> str:
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(free for free in names if free not in taken)
