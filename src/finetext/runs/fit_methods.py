"""Fit the methods of a run, and read what was finished before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.contracts import (
    Classifier,
    FitContext,
    Method,
    hyperparameters,
)
from finetext.core.errors import FinetextError, RunError
from finetext.core.shared_texts import SharedTexts
from finetext.core.types import Dataset, Finding, Predictions, SplitName
from finetext.diagnosis.reading import texts_read
from finetext.evaluation.calibration import calibrated_by, for_decisions
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import Scores, confusion, evaluate, per_class
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.methods.llm import LlmClassifier
from finetext.models.files import CARD, DESCRIPTION
from finetext.models.folder import read_description, save_model
from finetext.runs.ablations import members_in
from finetext.runs.asked import (
    asked_of,
    begin_folds,
    budget_shares,
    findings_of_answers,
    predict_affordable,
    rows_per_second,
    scope_within_budget,
)
from finetext.runs.checkpoints import CHECKPOINTS, Kept, save_checkpoints
from finetext.runs.cross_validation import cross_fitted, out_of_fold
from finetext.runs.fold_fits import Validating, cross_validate
from finetext.runs.predictions import FOLDER, read_predictions, write_predictions
from finetext.runs.recipe import ADAPTED, Recipe
from finetext.runs.refit import is_refitted, refitted
from finetext.runs.resolve import ResolvedRun
from finetext.runs.stored_folds import read_repeats
from finetext.runs.stored_splits import training_rows
from finetext.storage.codec import from_json, to_json
from finetext.storage.files import sync_names, write_json
from finetext.storage.received import read_received_text
from finetext.storage.resume import Attempts, forget

ENTRY: Final = "entry.json"  # written last: with it a method is finished
_RESULTS: Final = ("predictions.parquet", "scores.json", "model")
_CLEARED: Final = (*_RESULTS, CHECKPOINTS, "predictions.part", ENTRY)
_WRITTEN_LATER: Final = (DESCRIPTION, CARD)  # again, when the run is finished
_EACH_TIMED: Final = 7
"""One in so many texts of a cross-validated run is predicted again, to measure the speed."""
UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, FinetextError)


@dataclass(frozen=True, eq=False)
class Started:
    """A run whose folder is made, the context to fit in, methods without time, and findings."""

    folder: Path
    run: ResolvedRun
    context: FitContext
    skipped: frozenset[str] = frozenset()
    noticed: tuple[Finding, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """The recipe as `recipe.toml` has it."""
        return self.run.recipe

    @property
    def adapted(self) -> str:
        """The place of the encoder that the run adapts."""
        return str(self.folder.absolute() / ADAPTED)


@dataclass(frozen=True, eq=False)
class FittedMethod:
    """A fitted method: its leaderboard entry, predictions, and what training noticed.

    In a cross-validated run it has the predictions of all `folds`, and of the first repeat those
    of all rows as "test"; there are none of "validation", as the model may have learned from them.
    """

    entry: LeaderboardEntry
    predictions: Mapping[SplitName, Predictions]
    findings: tuple[Finding, ...] = ()
    folds: FoldPredictions | None = None


def fit_method(name: str, method: Method, started: Started) -> FittedMethod:
    """Fit a method on train, calibrate it, predict test once, and write all.

    It is calibrated on validation rows, in a cross-validated run on out-of-fold predictions.
    """
    folds, noticed = _cross_validated(name, method, started)
    place, splits, kept = started.folder / name, started.run.splits, list[Kept]()
    context = replace(started.context, keep=lambda evaluated, make: kept.append((evaluated, make)))
    with attempt(place, context) as attempts:
        made = fit(name, method, started, attempts, place, folds)
        made_by = _made_by(method, started)
        save_checkpoints(place, kept, splits.validation, started.recipe, made_by)
        findings = tuple(dict.fromkeys([*noticed, *attempts.findings]))
        return keep_method(name, method, started, made, findings)


@dataclass(frozen=True, eq=False)
class Made:
    """A calibrated classifier, its predictions, seconds of fitting, and rows/s.

    `learned_from` are the rows that it learned from, None for one that learned nothing here;
    `chosen_on` are others that chose its checkpoint.
    """

    classifier: Classifier
    predictions: Mapping[SplitName, Predictions]
    seconds: float
    speed: float
    learned_from: int | None
    chosen_on: int
    folds: FoldPredictions | None = None


def keep_method(
    name: str, method: Method, started: Started, made: Made, findings: tuple[Finding, ...]
) -> FittedMethod:
    """Write scores and model of a method beside its predictions; with its entry it is finished."""
    place, seed, test = started.folder / name, started.context.seed, made.predictions["test"]
    scores = {"labels": to_json(per_class(test, seed)), "confusion": confusion(test).tolist()}
    write_json(place / "scores.json", scores)
    model = save_model(made.classifier, place / "model", _made_by(method, started))
    outside = started.run.dataset.out_of_scope
    scope, lost = scope_within_budget(name, made.classifier, test, outside, started.recipe.seed)
    for finding in (lost := (*lost, *findings_of_answers(made.classifier))):
        started.context.find(finding)
    findings = (*findings, *lost)
    entry = LeaderboardEntry(
        method=name,
        metrics=_metrics(made.predictions, seed, made.folds),
        seconds_to_train=made.seconds,
        rows_per_second=made.speed,
        bytes=sum(file.stat().st_size for file in model.rglob("*") if file.is_file()),
        model=f"{name}/model",
        learned_from=made.learned_from,
        chosen_on=made.chosen_on,
        reading=texts_read(made.classifier, started.run.tested.texts),
        asked=asked_of(made.classifier, _rows_of(started)),
        scope=scope,
    )
    found, sizes = to_json(findings), _sizes(place)
    write_json(place / ENTRY, {"entry": to_json(entry), "findings": found, "files": sizes})
    return FittedMethod(entry, made.predictions, findings, made.folds)


def _rows_of(started: Started) -> dict[str, int]:
    """Return the number of validation and test rows; cross-validated, all are test rows.

    Texts out of scope, if there are any, are counted by themselves.
    """
    tested, outside = {"test": len(started.run.tested)}, started.run.dataset.out_of_scope
    tested |= {} if outside is None else {"out of scope": len(outside)}
    if started.run.folds is not None:
        return tested
    return {"validation": len(started.run.splits.validation), **tested}


def _made_by(method: Method, started: Started) -> dict[str, Any]:
    weak = started.recipe.weak
    return {
        "method": method.name,
        "hyperparameters": hyperparameters(method),
        "seed": started.context.seed,
        "content_hash": started.recipe.content_hash,
        **({} if weak is None or not method.learns else {"weak_labels": to_json(weak)}),
    }


def finished_method(name: str, method: Method, started: Started) -> FittedMethod | None:
    """Return a method that was finished before, or None if it is to be fitted, or fitted again."""
    place, plan = started.folder / name, started.run.folds
    try:
        values = json.loads(read_received_text(place, ENTRY))
        sizes = values["files"].items()
        if (
            not {of for of in sizes if Path(of[0]).name not in _WRITTEN_LATER}
            <= _sizes(place).items()
        ):
            return None
        read_description(place / "model")
        entry = from_json(LeaderboardEntry, values["entry"], ENTRY)
        findings = from_json(tuple[Finding, ...], values["findings"], ENTRY)
        parts: tuple[SplitName, ...] = ("test",) if plan else ("validation", "test")
        predictions = {
            part: read_predictions(place / "predictions.parquet", part) for part in parts
        }
        folds = None
        if plan is not None:
            folds = read_repeats(method, plan, place / FOLDER, repeats_of(method, started))
        if plan is not None and folds is None:
            return None
    except UNREADABLE:
        return None
    try:
        forget(place)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}") from None
    return FittedMethod(entry, predictions, findings, folds)


def repeats_of(method: Method, started: Started) -> int:
    """Return how often a method is cross-validated; one that combines others, as the least is."""
    plan, recipe = started.run.folds, started.recipe
    assert plan is not None
    members = [recipe.methods[name] for name in members_in(recipe)] if method.combines else []
    return min(map(plan.repeats, members or [method]))


@contextmanager
def attempt(place: Path, context: FitContext) -> Iterator[Attempts]:
    """Keep the time and findings of fitting into a folder; what is kept goes when that is done."""
    try:
        place.mkdir(exist_ok=True)
        sync_names(place.parent)
        yield Attempts(place, context, _CLEARED)
        forget(place)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}") from error


def validating(name: str, method: Method, started: Started) -> Validating | None:
    """Return the cross-validation of a method; None if the run has test rows."""
    plan, place, decide = started.run.folds, started.folder / name / FOLDER, started.recipe.decide
    return None if plan is None else Validating(name, method, plan, place, started.context, decide)


def _cross_validated(
    name: str, method: Method, started: Started
) -> tuple[FoldPredictions | None, tuple[Finding, ...]]:
    """Return the predictions of all folds and what was noticed; none if the run has test rows."""
    run = started.run
    if (of := validating(name, method, started)) is None:
        return None, ()
    begin_folds(method, run.splits.train, run.tested.texts, started.context.say)
    folds, findings = cross_validate(of)
    for finding in findings:
        started.context.find(finding)
    return folds, findings


def _metrics(
    predictions: Mapping[SplitName, Predictions], seed: int, folds: FoldPredictions | None
) -> dict[str, Scores]:
    """Return the scores of each split; of a cross-validated run as "test" those of all folds."""
    if folds is not None:
        return {"test": folds.scores()}
    return {str(part): evaluate(of, seed) for part, of in predictions.items()}


def fit(
    name: str,
    method: Method,
    started: Started,
    attempts: Attempts,
    place: Path,
    folds: FoldPredictions | None = None,
) -> Made:
    """Fit, calibrate and predict, and write the predictions."""
    splits, context = started.run.splits, _calling_it(name, method, attempts.context())
    decide, plan = started.recipe.decide, started.run.folds
    if plan is not None and method.pays_per_text:  # one endpoint counts what all folds took
        context = replace(context, shared=plan.shared)
    train, validation = _rows_for(method, started)
    fits_again = is_refitted(method, started.recipe, train, validation)
    to_fit_on, kept = validation, None
    if plan is None:
        to_fit_on, kept = for_decisions(validation, decide, started.recipe.split)
        if fits_again:  # what both fits compute of the texts alone is computed once
            context = replace(context, shared=SharedTexts((*train.texts, *validation.texts)))
    ends = context.deadline if method.trains_in_steps else None
    drawn, shares = started.recipe.seed, budget_shares(splits, started.run.dataset.out_of_scope)
    try:
        first = replace(context, deadline=ends.part(2)) if ends and fits_again else context
        classifier = method.fit(train, to_fit_on, first)
        chosen_on = len(validation) if method.needs_validation else 0
        if folds is None:
            unseen = predict_affordable(classifier, validation, drawn, shares[0])
            of_rule = None if kept is None else np.isin(unseen.ids, kept.ids)
        else:
            unseen, of_rule = out_of_fold(folds.repeats[0]), None
        made = calibrated_by(classifier, unseen, decide, of_rule, learns=method.learns)
        classifier, on_validation = made[0], made[1] if folds is None else None
        if fits_again and (ends is None or ends.left > 0):
            rows = training_rows(splits, len(train) + len(validation))
            again = refitted(method, classifier, rows, on_validation, context)
            if again is not classifier:
                classifier, train, chosen_on = again, rows, 0
    except BaseException:
        attempts.keep()
        raise
    seconds = attempts.seconds
    if on_validation is not None:
        start = time.perf_counter()
        on_test = predict_affordable(classifier, splits.test, drawn, shares[1])
        speed = len(on_test) / (time.perf_counter() - start)
        predictions: dict[SplitName, Predictions] = {"validation": on_validation, "test": on_test}
    else:
        assert folds is not None
        assert plan is not None
        predictions = {"test": cross_fitted(folds.repeats[0], plan, classifier.decision)}
        speed = _speed(classifier, plan.dataset.texts[::_EACH_TIMED])
    if isinstance(classifier, LlmClassifier):
        speed = rows_per_second(classifier)
    say_target(name, classifier, context)
    keep_predictions(place, predictions, started)
    learned_from = len(train) if method.learns else None
    return Made(classifier, predictions, seconds, speed, learned_from, chosen_on, folds)


def _speed(classifier: Classifier, texts: Sequence[str]) -> float:
    """Return the texts/s of a model that has learned from most of them; a paid one is not asked."""
    if isinstance(classifier, LlmClassifier):
        return rows_per_second(classifier)
    start = time.perf_counter()
    classifier.predict_proba(texts)
    return len(texts) / (time.perf_counter() - start)


def _calling_it(name: str, method: Method, context: FitContext) -> FitContext:
    """Return the context with a method called by its name in the run."""
    say, find, own = context.say, context.find, f"{method.name}:"

    def named(line: str) -> str:
        return name + line.removeprefix(method.name) if line.startswith(own) else line

    return replace(
        context,
        say=lambda line: say(named(line)),
        find=lambda finding: find(replace(finding, message=named(finding.message))),
    )


def say_target(name: str, classifier: Classifier, context: FitContext) -> None:
    """Say whether the decision rule of a method reaches its target, if it has one; or cannot."""
    if assurance := classifier.decision.assurance:
        message = f"{name}: the target of the decision rule is {assurance}"
        context.say(message)
        context.find(Finding("note", "target", message))
    if classifier.decision.refuses_nothing:
        message = f"{name}: texts out of scope: {classifier.decision.aim}"
        context.find(Finding("warning", "refuses-nothing", message))


def keep_predictions(
    place: Path, predictions: Mapping[SplitName, Predictions], started: Started
) -> None:
    """Write the predictions of a method with the texts of their rows."""
    parts: dict[SplitName, Dataset] = {
        "validation": started.run.splits.validation, "test": started.run.tested,
    }  # fmt: skip
    texts = dict[SplitName, list[str]]()
    for part, of in predictions.items():
        known = dict(zip(parts[part].ids, parts[part].texts, strict=True))
        texts[part] = [known[row_id] for row_id in of.ids]
    write_predictions(place / "predictions.parquet", predictions, texts)


def _rows_for(method: Method, started: Started) -> tuple[Dataset, Dataset]:
    """Return the rows that the final model learns from, and those that choose its checkpoint.

    In a cross-validated run other folds' predictions calibrate it, so only a method that needs
    validation rows gets some, and another one learns from all rows.
    """
    splits, plan = started.run.splits, started.run.folds
    if plan is None or method.needs_validation:
        return splits.train, splits.validation
    return plan.dataset, plan.dataset.select([])


def _sizes(place: Path) -> dict[str, int]:
    """Return file to size in bytes, of the results that are not written again later."""
    return {
        path.relative_to(place).as_posix(): path.stat().st_size
        for name in _RESULTS
        for path in (place / name, *(place / name).rglob("*"))
        if path.is_file() and path.name not in _WRITTEN_LATER
    }
