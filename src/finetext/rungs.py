"""One rung of the ladder: fit, set thresholds, save, predict, measure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetext.artefact.folder import save_model, write_json
from finetext.errors import RunError
from finetext.evaluation.intervals import confusion, evaluate, per_class
from finetext.evaluation.leaderboard import LeaderboardEntry, score_to_json
from finetext.evaluation.thresholds import choose_thresholds
from finetext.methods.base import Classifier, FitContext, Method, predict
from finetext.recipe import hyperparameters
from finetext.run_folder import write_predictions
from finetext.types import Dataset, Predictions, SplitName, Splits


@dataclass(frozen=True, eq=False)
class Rung:
    """A fitted method and what it achieved.

    Attributes:
        entry: its line of the leaderboard.
        predictions: of the validation and test rows.
    """

    entry: LeaderboardEntry
    predictions: Mapping[SplitName, Predictions]


def climb(
    name: str,
    method: Method,
    splits: Splits,
    folder: Path,
    context: FitContext,
    made_from: Mapping[str, Any],
) -> Rung:
    """Fit a method on train, set its thresholds on validation, predict test once, save all.

    Args:
        name: its name in the leaderboard, and of its folder in the run.
        method: what to fit.
        splits: the frozen rows.
        folder: the run folder.
        context: seed, device, cache and listeners.
        made_from: what the provenance of the model is to say of the data.

    Raises:
        FinetextError: the method cannot be fitted, or the folder cannot be written.
    """
    place = folder / name
    try:
        place.mkdir()
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}") from None
    started = time.perf_counter()
    classifier = method.fit(
        splits.train, splits.validation, replace(context, log=place / "log.jsonl")
    )
    seconds = time.perf_counter() - started
    classifier, on_validation = with_thresholds(classifier, splits.validation)
    started = time.perf_counter()
    on_test = predict(classifier, splits.test)
    rows_per_second = len(on_test) / (time.perf_counter() - started)
    predictions: dict[SplitName, Predictions] = {"validation": on_validation, "test": on_test}
    made_by = {
        "method": method.name,
        "hyperparameters": hyperparameters(method),
        "seed": context.seed,
        **made_from,
    }
    model = _save(classifier, predictions, splits, place, made_by)
    entry = LeaderboardEntry(
        method=name,
        metrics={part: evaluate(of, context.seed) for part, of in predictions.items()},
        seconds_to_train=seconds,
        rows_per_second=rows_per_second,
        bytes=sum(file.stat().st_size for file in model.rglob("*") if file.is_file()),
        model=f"{name}/model",
    )
    return Rung(entry, predictions)


def _label_scores(predictions: Predictions, seed: int) -> dict[str, Any]:
    """What `scores.json` says: scores of each label, and the confusion matrix, on test rows."""
    return {
        "labels": [
            {
                "name": of.name,
                "precision": score_to_json(of.precision),
                "recall": score_to_json(of.recall),
                "f1": score_to_json(of.f1),
                "support": of.support,
            }
            for of in per_class(predictions, seed)
        ],
        "confusion": confusion(predictions).tolist(),
    }


def _save(
    classifier: Classifier,
    predictions: Mapping[SplitName, Predictions],
    splits: Splits,
    place: Path,
    made_by: Mapping[str, Any],
) -> Path:
    """Write predictions, scores and the model; returns the model folder."""
    texts = {name: part.texts for name, part in splits.items() if name in predictions}
    try:
        write_predictions(place / "predictions.parquet", predictions, texts)
        write_json(place / "scores.json", _label_scores(predictions["test"], made_by["seed"]))
        return save_model(classifier, place / "model", made_by)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}") from None


def with_thresholds(classifier: Classifier, validation: Dataset) -> tuple[Classifier, Predictions]:
    """The classifier with thresholds that suit the validation rows, and its predictions of them.

    With one label a text nothing is to be set: the likeliest class is taken.
    """
    predictions = predict(classifier, validation)
    if not classifier.scheme.multilabel:
        return classifier, predictions
    limits = choose_thresholds(predictions.probabilities, predictions.targets)
    return classifier.with_thresholds(limits), replace(predictions, thresholds=limits)
