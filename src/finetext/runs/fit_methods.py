"""One rung of the ladder: fit, calibrate, choose how to decide, save, predict, measure."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from finetext.core.contracts import (
    Classifier,
    FitContext,
    Method,
    hyperparameters,
    predict,
)
from finetext.core.errors import FinetextError, RunError
from finetext.core.settings import LARGEST_SEED
from finetext.core.types import Finding, Predictions, SplitName, Splits
from finetext.evaluation.calibration import calibrated
from finetext.evaluation.deciding import Deciding
from finetext.evaluation.intervals import confusion, evaluate, per_class
from finetext.evaluation.leaderboard import LeaderboardEntry, SeedScores
from finetext.evaluation.metrics import values_of
from finetext.models.files import CARD, DESCRIPTION
from finetext.models.folder import read_description, save_model
from finetext.runs.predictions import read_predictions, write_predictions
from finetext.runs.recipe import Recipe
from finetext.storage.codec import finding_from_json, finding_to_json, from_json, to_json
from finetext.storage.files import sync_names, write_json
from finetext.storage.resume import Attempts, forget

ENTRY: Final = "entry.json"
"""What makes a rung count as finished: its line of the leaderboard, written last."""
_RUNG_RESULTS: Final = ("predictions.parquet", "scores.json", "model")
_CLEARED: Final = (*_RUNG_RESULTS, "predictions.part", ENTRY)
"""What an unfinished attempt may have left, and a new one removes."""
_WRITTEN_LATER: Final = (DESCRIPTION, CARD)
"""Files of the model that get what the whole run says of it, when that is finished."""


@dataclass(frozen=True, eq=False)
class Rung:
    """A fitted method and what it achieved.

    Attributes:
        entry: its line of the leaderboard.
        predictions: of the validation and test rows.
        findings: what training noticed.
    """

    entry: LeaderboardEntry
    predictions: Mapping[SplitName, Predictions]
    findings: tuple[Finding, ...] = ()


def climb(
    name: str,
    method: Method,
    splits: Splits,
    folder: Path,
    context: FitContext,
    recipe: Recipe,
) -> Rung:
    """Fit a method on train, calibrate it on validation, predict test once, save all.

    Args:
        name: its name in the leaderboard, and of its folder in the run.
        method: what to fit.
        splits: the frozen rows.
        folder: the run folder.
        context: seed, device, cache, checkpoints and listeners.
        recipe: that of the run.

    Raises:
        FinetextError: the method cannot be fitted, or the folder cannot be written.
    """
    place = folder / name
    try:
        place.mkdir(exist_ok=True)
        sync_names(folder)
        attempts = Attempts(place, context, _CLEARED)
        classifier = fitted(method, splits, attempts, name)
        made_by = {
            "method": method.name,
            "hyperparameters": hyperparameters(method),
            "seed": context.seed,
            "content_hash": recipe.content_hash,
        }
        rung = _judged(classifier, splits, attempts, place, made_by, recipe.decide)
        found = list(map(finding_to_json, rung.findings))
        written = {"entry": rung.entry.to_json(), "findings": found, "files": _sizes(place)}
        write_json(place / ENTRY, written)
        forget(place)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}") from error
    return rung


def fitted(method: Method, splits: Splits, attempts: Attempts, name: str) -> Classifier:
    """The fitted method, in whose messages it has this name.

    If that ends early, the seconds spent are kept.
    """
    try:
        context = _named(attempts.context(), method.name, name)
        return method.fit(splits.train, splits.validation, context)
    except BaseException:
        attempts.keep()
        raise


def _named(context: FitContext, method: str, rung: str) -> FitContext:
    """The same, but what the method says under its own name is said under that of the rung."""

    def own(line: str) -> str:
        return rung + line.removeprefix(method) if line.startswith(f"{method}:") else line

    return replace(
        context,
        say=lambda line: context.say(own(line)),
        find=lambda finding: context.find(replace(finding, message=own(finding.message))),
    )


def _judged(
    classifier: Classifier,
    splits: Splits,
    attempts: Attempts,
    place: Path,
    made_by: Mapping[str, Any],
    decide: Deciding,
) -> Rung:
    """Calibrate on validation, predict test, measure, and write all but the entry."""
    seconds = attempts.seconds
    classifier, on_validation = calibrated(classifier, splits.validation, decide)
    started = time.perf_counter()
    on_test = predict(classifier, splits.test)
    rows_per_second = len(on_test) / (time.perf_counter() - started)
    predictions: dict[SplitName, Predictions] = {"validation": on_validation, "test": on_test}
    model = _save(classifier, predictions, splits, place, made_by)
    entry = LeaderboardEntry(
        method=place.name,
        metrics={part: evaluate(of, made_by["seed"]) for part, of in predictions.items()},
        seconds_to_train=seconds,
        rows_per_second=rows_per_second,
        bytes=sum(file.stat().st_size for file in model.rglob("*") if file.is_file()),
        model=f"{place.name}/model",
    )
    return Rung(entry, predictions, attempts.findings)


def climbed(name: str, folder: Path) -> Rung | None:
    """A rung that was finished before, or None if it is to be done, or done again.

    It is done again if one of its files is missing or has another size than when it was written.

    Args:
        name: of the rung.
        folder: the run folder.

    Raises:
        RunError: what the rung no longer needs cannot be removed.
    """
    place = folder / name
    try:
        values = json.loads((place / ENTRY).read_text("utf-8"))
        wanted = {file: size for file, size in values["files"].items() if not _is_later(file)}
        if not wanted.items() <= _sizes(place).items():
            return None
        read_description(place / "model")
        entry = LeaderboardEntry.from_json(values["entry"])
        findings = tuple(map(finding_from_json, values["findings"]))
        parts: tuple[SplitName, ...] = ("validation", "test")
        path = place / "predictions.parquet"
        predictions = {part: read_predictions(path, part) for part in parts}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, FinetextError):
        return None
    try:
        forget(place)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}") from None
    return Rung(entry, predictions, findings)


def _sizes(place: Path) -> dict[str, int]:
    """File to size in bytes, of all results of a rung but its entry and what is written later."""
    return {
        path.relative_to(place).as_posix(): path.stat().st_size
        for name in _RUNG_RESULTS
        for path in (place / name, *(place / name).rglob("*"))
        if path.is_file() and not _is_later(path.name)
    }


def _is_later(file: str) -> bool:
    return file.rpartition("/")[2] in _WRITTEN_LATER


def _label_scores(predictions: Predictions, seed: int) -> dict[str, Any]:
    """What `scores.json` says: scores of each label, and the confusion matrix, on test rows."""
    return {
        "labels": [
            {
                "name": of.name,
                "precision": to_json(of.precision),
                "recall": to_json(of.recall),
                "f1": to_json(of.f1),
                "support": of.support,
            }
            for of in per_class(predictions, seed)
        ],
        "confusion": confusion(predictions).tolist(),
    }


def write_parts(predictions: Mapping[SplitName, Predictions], splits: Splits, place: Path) -> None:
    """Write predictions with their texts into the folder of a rung."""
    texts = {name: part.texts for name, part in splits.items() if name in predictions}
    write_predictions(place / "predictions.parquet", predictions, texts)


def _save(
    classifier: Classifier,
    predictions: Mapping[SplitName, Predictions],
    splits: Splits,
    place: Path,
    made_by: Mapping[str, Any],
) -> Path:
    """Write predictions, scores and the model; returns the model folder."""
    write_parts(predictions, splits, place)
    write_json(place / "scores.json", _label_scores(predictions["test"], made_by["seed"]))
    return save_model(classifier, place / "model", made_by)


@dataclass(frozen=True)
class _OfSeed:
    """What came of a rung with one seed: its scores, and what training noticed."""

    scores: SeedScores
    findings: tuple[Finding, ...]


def with_seeds(
    rungs: Mapping[str, Rung],
    methods: Mapping[str, Method],
    splits: Splits,
    folder: Path,
    context: FitContext,
    recipe: Recipe,
) -> dict[str, Rung]:
    """The rungs with their scores and findings for every seed of the recipe, if it has several.

    All rungs are trained with the second seed, then all with the third, and so on. No model is
    kept, but the predictions are, in `METHOD/seed-NUMBER`; what was finished before is read.
    A finding names the seeds that it is of, unless all have it.

    Args:
        rungs: as they were trained with the first seed.
        methods: what to fit, by the same names.
        splits: the frozen rows.
        folder: the run folder.
        context: that of the first seed.
        recipe: that of the run.

    Raises:
        FinetextError: a method cannot be fitted, or the folder cannot be written.
    """
    if recipe.seeds == 1:
        return dict(rungs)
    done = {name: [_of_first(rung, recipe.seed)] for name, rung in rungs.items()}
    for number in range(1, recipe.seeds):
        seed = (recipe.seed + number) % (LARGEST_SEED + 1)
        for name, method in methods.items():
            context.say(f"{name}: seed {seed}")
            place = folder / name / f"seed-{seed}"
            done[name].append(
                _read(place) or _climb(method, splits, place, replace(context, seed=seed), recipe)
            )
    return {name: _with_all(name, rung, done[name]) for name, rung in rungs.items()}


def _with_all(name: str, rung: Rung, done: Sequence[_OfSeed]) -> Rung:
    """A rung with what came of all seeds."""
    entry = replace(rung.entry, seeds=tuple(of.scores for of in done))
    return replace(rung, entry=entry, findings=tuple(_findings(name, done)))


def _findings(name: str, done: Sequence[_OfSeed]) -> list[Finding]:
    """What training noticed: what all seeds share once, anything else with its seeds."""
    every = [of.scores.seed for of in done]
    seeds: dict[Finding, list[int]] = {}
    for of in done:
        for finding in of.findings:
            message = finding.message.removeprefix(f"{_seeds_named(name, [of.scores.seed])}: ")
            message = message.removeprefix(f"{name}: ")
            seeds.setdefault(replace(finding, message=message), []).append(of.scores.seed)
    told = (
        (finding, _seeds_named(name, () if of == every else of)) for finding, of in seeds.items()
    )
    return [replace(finding, message=f"{rung}: {finding.message}") for finding, rung in told]


def _seeds_named(name: str, seeds: Sequence[int]) -> str:
    """A rung with its seeds: "finetune", "finetune, seed 1" or "finetune, seeds 1 and 2"."""
    if len(seeds) < 2:
        return name + "".join(f", seed {seed}" for seed in seeds)
    return f"{name}, seeds {', '.join(map(str, seeds[:-1]))} and {seeds[-1]}"


def _of_first(rung: Rung, seed: int) -> _OfSeed:
    metrics = {str(part): values_of(of) for part, of in rung.predictions.items()}
    return _OfSeed(SeedScores(seed, metrics, rung.entry.seconds_to_train), rung.findings)


def _read(place: Path) -> _OfSeed | None:
    """What was finished before, or None."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, FinetextError):
        values = json.loads((place / ENTRY).read_text("utf-8"))
        findings = tuple(map(finding_from_json, values.get("findings", ())))
        return _OfSeed(from_json(SeedScores, values, f"{place / ENTRY}"), findings)
    return None


def _climb(
    method: Method, splits: Splits, place: Path, context: FitContext, recipe: Recipe
) -> _OfSeed:
    """Fit with one seed, measure, and write the predictions."""
    try:
        place.mkdir(exist_ok=True)
        attempts = Attempts(place, context, _CLEARED)
        name = _seeds_named(place.parent.name, [context.seed])
        classifier = fitted(method, splits, attempts, name)
        seconds = attempts.seconds
        classifier, on_validation = calibrated(classifier, splits.validation, recipe.decide)
        on_test = predict(classifier, splits.test)
        predictions: dict[SplitName, Predictions] = {"validation": on_validation, "test": on_test}
        write_parts(predictions, splits, place)
        metrics = {str(part): values_of(of) for part, of in predictions.items()}
        scores = SeedScores(context.seed, metrics, seconds)
        found = list(map(finding_to_json, attempts.findings))
        write_json(place / ENTRY, scores.to_json() | {"findings": found})
        forget(place)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}") from error
    return _OfSeed(scores, attempts.findings)
