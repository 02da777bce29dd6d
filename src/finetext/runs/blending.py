"""Combine the fitted methods of a run, or leave that out where rows speak against it.

No text is read for it but those that measure its speed: weights, scores and predictions come from
what the members predicted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans
from finetext.core.contracts import Classifier, Method, encoder_of
from finetext.core.types import Finding, Predictions, SplitName
from finetext.encoders.catalogue import is_random
from finetext.evaluation.blending import (
    FEWEST_ROWS,
    Gain,
    Weighing,
    blended,
    cross_blended,
    gain_of,
    gain_of_folds,
)
from finetext.evaluation.calibration import (
    calibrated_by,
    cross_calibrated,
    fit_temperature,
    for_decisions,
    ruled,
    with_temperature,
)
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.leaderboard import LeaderboardEntry, SeedScores
from finetext.evaluation.metrics import metric_for, values_of
from finetext.methods.blend import FEWEST_MEMBERS, Blend, BlendClassifier
from finetext.models.folder import load_model
from finetext.runs.ablations import members_in
from finetext.runs.cross_validation import cross_fitted, out_of_fold
from finetext.runs.fit_methods import (
    UNREADABLE,
    FittedMethod,
    Made,
    Started,
    attempt,
    finished_method,
    keep_method,
    keep_predictions,
    repeats_of,
    say_target,
)
from finetext.runs.predictions import FOLDER, read_predictions
from finetext.runs.run import PREDICTIONS
from finetext.runs.seeds import predictions_of_seeds
from finetext.runs.stored_folds import write_repeats
from finetext.storage.codec import from_json, to_json
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text

LEFT_OUT: Final = "left-out.json"
"""The file that says why a run has no blend, in its folder."""
HEDGE: Final = "blend-hedge"
"""Code of the finding of a blend that is taken as too few rows tell which member is best."""
_TIMED: Final = 200
"""Texts that are predicted to measure the speed, after a few to warm up."""
_WARM_UP: Final = 8
Fitted = Mapping[str, FittedMethod]


@dataclass(frozen=True, eq=False)
class _Held:
    """Predictions of held-out rows by the members, and by a blend whose weights did not see them.

    Those of the blend are of its folds in a cross-validated run, else of validation rows.
    """

    members: Mapping[str, Predictions]
    cross: Predictions
    gain: Gain
    weighing: Weighing
    folds: FoldPredictions | None = None


def combine(name: str, method: Method, started: Started, fitted: Fitted) -> FittedMethod | None:
    """Combine the methods fitted before; None where that is left out, see `Blend`.

    What was decided before is not decided again.
    """
    assert isinstance(method, Blend)
    say, every = started.context.say, members_in(started.recipe)
    members = {of: fitted[of] for of in every if of not in started.skipped}
    if is_left_out(name, started):
        say(f"{name} was left out before")
        return None
    blend = finished_method(name, method, started)
    if blend is not None:
        say(f"{name} was finished before")
    else:
        blend = _fit(name, method, started, members)
    if blend is None or started.recipe.seeds == 1:
        return blend
    return replace(blend, entry=_with_seeds(blend.entry, method, started, members))


def is_left_out(name: str, started: Started) -> bool:
    """Return whether a method was left out, as its folder says."""
    return bool(started.recipe.methods[name].combines) and _reason(name, started) is not None


def findings_of_left_out(started: Started) -> list[Finding]:
    """Return why methods were left out."""
    names = [name for name, of in started.recipe.methods.items() if of.combines]
    return [found for name in names if (found := _reason(name, started)) is not None]


def _reason(name: str, started: Started) -> Finding | None:
    with suppress(*UNREADABLE):
        text = read_received_text(started.folder / name, LEFT_OUT)
        return from_json(Finding, json.loads(text), LEFT_OUT)
    return None


def _fit(name: str, method: Blend, started: Started, members: Fitted) -> FittedMethod | None:
    """Fit the weights and write all results, or write down why there are none."""
    place, plan = started.folder / name, started.run.folds
    with attempt(place, started.context) as attempts:
        context = attempts.context()
        held = _held(method, started, members)
        weights = held.weighing.weights(held.members)
        if not method.is_worth_it(weights, held.gain, held.weighing):
            shown = "shown to be worse" if held.weighing.equal else "not shown to be better"
            why = f"it is {shown} than {held.gain.words()}"
            if len(weights) < FEWEST_MEMBERS:
                why = f"all weight is on {', '.join(weights)}"
            found = Finding("note", "blend-left-out", f"{name}: left out, as {why}")
            context.say(found.message)
            context.find(found)
            write_json(place / LEFT_OUT, to_json(found))
            return None
        kept = {of: members[of] for of in weights}
        classifier, predictions = _combined(weights, started, kept, held)
        if plan is not None and held.folds is not None:
            write_repeats(method, plan, place / FOLDER, held.folds.repeats)
        keep_predictions(place, predictions, started)
        say_target(name, classifier, context)
        said = _said(name, weights, held)
        context.say(said.message)
        context.find(said)
        entries = [one.entry for one in kept.values()]
        seconds = attempts.seconds + sum(of.seconds_to_train for of in entries)
        rows, chosen_on = max((of.learned_from or 0, of.chosen_on) for of in entries)
        speed = _speed(classifier, started)
        made = Made(classifier, predictions, seconds, speed, rows, chosen_on, held.folds)
        return keep_method(name, method, started, made, attempts.findings)


def _said(name: str, weights: Mapping[str, float], held: _Held) -> Finding:
    """Return what the blend is made of, and why."""
    shares = ", ".join(f"{of} {weight:.2f}" for of, weight in weights.items())
    message, code = f"{name}: weights {shares}; compared with {held.gain.words()}", "blend"
    if held.weighing.equal and not held.gain.is_loss:
        message = f"{message}; taken as fewer than {FEWEST_ROWS} rows tell little of which is best"
        code = HEDGE
    return Finding("note", code, message)


def is_hedge(blend: FittedMethod) -> bool:
    """Return whether a blend was taken because too few rows tell which member is best."""
    return any(finding.code == HEDGE for finding in blend.findings)


def _held(method: Blend, started: Started, members: Fitted) -> _Held:
    """Return what is known of held-out rows."""
    decide = started.recipe.decide
    metric = metric_for(started.recipe.metric, started.run.splits.scheme)
    folds = {name: one.folds for name, one in members.items() if one.folds is not None}
    if not folds:
        on_validation = {name: one.predictions["validation"] for name, one in members.items()}
        weighing = _weighing(method, started, on_validation)
        gain, cross = gain_of(on_validation, decide, metric, weighing)
        return _Held(on_validation, cross, gain, weighing)
    raw = {name: out_of_fold(of.repeats[0]) for name, of in folds.items()}
    weighing = _weighing(method, started, raw)
    repeats = [
        cross_calibrated(
            cross_blended({of: one.repeats[repeat] for of, one in folds.items()}, weighing), decide
        )
        for repeat in range(repeats_of(method, started))
    ]
    blend = FoldPredictions(tuple(repeats))
    scaled = {
        name: with_temperature(of, members[name].predictions["test"].decision.temperature)
        for name, of in raw.items()
    }
    gain = gain_of_folds(folds, blend, metric)
    return _Held(scaled, out_of_fold(repeats[0]), gain, weighing, blend)


def is_pretrained(method: Method) -> bool:
    """Return whether a method knows more than the rows that it learns from."""
    encoder = encoder_of(method)
    return bool(encoder) and not is_random(str(encoder))


def _weighing(method: Blend, started: Started, members: Mapping[str, Predictions]) -> Weighing:
    """Return how the blend weighs members by these predictions."""
    of = started.recipe.methods
    return method.weighing(members, [name for name in members if is_pretrained(of[name])])


def _combined(
    weights: Mapping[str, float], started: Started, members: Fitted, held: _Held
) -> tuple[BlendClassifier, dict[SplitName, Predictions]]:
    """Return the classifier of the members with a weight, calibrated, and its predictions."""
    recipe, plan = started.recipe, started.run.folds
    models = {
        name: load_model(started.folder / one.entry.model, recipe.device)
        for name, one in members.items()
    }
    fitted = BlendClassifier.of(started.run.splits.scheme, weights, models)
    if plan is not None and held.folds is not None:
        classifier, _ = calibrated_by(fitted, held.cross, recipe.decide)
        crossed = cross_fitted(held.folds.repeats[0], plan, classifier.decision)
        return classifier, {"test": crossed}
    classifier, on_validation = calibrated_by(
        fitted, held.cross, recipe.decide, _rule_rows(started)
    )
    weights = {part.name: part.weight for part in classifier.parts}
    on_test = blended({name: one.predictions["test"] for name, one in members.items()}, weights)
    return classifier, {
        "validation": on_validation, "test": replace(on_test, decision=classifier.decision),
    }  # fmt: skip


def _rule_rows(started: Started) -> Booleans | None:
    """Return (n,) which validation rows are for the decision rule alone; None for all."""
    validation, recipe = started.run.splits.validation, started.recipe
    kept = for_decisions(validation, recipe.decide, recipe.split)[1]
    return None if kept is None else np.isin(validation.ids, kept.ids)


def _speed(classifier: Classifier, started: Started) -> float:
    """Return rows/s, measured on some texts."""
    plan = started.run.folds
    texts = started.run.splits.test.texts if plan is None else plan.dataset.texts
    some = texts[:: -(-len(texts) // _TIMED)]
    classifier.predict_proba(some[:_WARM_UP])
    start = time.perf_counter()
    classifier.predict_proba(some)
    return len(some) / (time.perf_counter() - start)


def _with_seeds(
    entry: LeaderboardEntry, method: Blend, started: Started, members: Fitted
) -> LeaderboardEntry:
    """Return the entry with the scores of all seeds, each of the members with that seed."""
    folder = started.folder
    parts: tuple[SplitName, ...] = ("validation", "test")
    sets = {part: predictions_of_seeds(members, part, folder) for part in parts}
    own = {str(part): values_of(read_predictions(folder / entry.method / PREDICTIONS, part))
           for part in parts}  # fmt: skip
    found = [SeedScores(started.recipe.seed, own, entry.seconds_to_train)]
    every = [one.entry.seeds for one in members.values()]
    for number, of_members in enumerate(zip(*every, strict=True)):
        if number:
            validation, test = (
                {name: of[number] for name, of in sets[part].items()} for part in parts
            )
            predictions = _of_seed(method, started, validation, test)
            place = folder / entry.method / f"seed-{of_members[0].seed}"
            with attempt(place, started.context):
                keep_predictions(place, predictions, started)
            values = {str(part): values_of(of) for part, of in predictions.items()}
            seconds = sum(of.seconds_to_train for of in of_members)
            found.append(SeedScores(of_members[0].seed, values, seconds))
    return replace(entry, seeds=tuple(found))


def _of_seed(
    method: Blend,
    started: Started,
    validation: Mapping[str, Predictions],
    test: Mapping[str, Predictions],
) -> dict[SplitName, Predictions]:
    """Return the predictions of a blend of the members with one seed."""
    decide, rows = started.recipe.decide, _rule_rows(started)
    metric = metric_for(started.recipe.metric, started.run.splits.scheme)
    weighing = _weighing(method, started, validation)
    cross = gain_of(validation, decide, metric, weighing)[1]
    temperature = fit_temperature(cross if rows is None else cross.select(~rows))
    on_validation = ruled(cross, temperature, decide, rows)
    on_test = blended(test, weighing.weights(validation))
    on_test = with_temperature(on_test, temperature)
    return {"validation": on_validation, "test": replace(on_test, decision=on_validation.decision)}
