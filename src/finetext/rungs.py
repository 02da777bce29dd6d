"""One rung of the ladder: fit, set thresholds, save, predict, measure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from finetext.errors import RunError
from finetext.evaluation.intervals import evaluate
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.evaluation.thresholds import choose_thresholds
from finetext.methods.base import Classifier, FitContext, Method, predict
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


def climb(name: str, method: Method, splits: Splits, folder: Path, context: FitContext) -> Rung:
    """Fit a method on train, set its thresholds on validation, predict test once, save all.

    Args:
        name: its name in the leaderboard, and of its folder in the run.
        method: what to fit.
        splits: the frozen rows.
        folder: the run folder.
        context: seed, device, cache and listeners.
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
    texts: dict[SplitName, list[str]] = {
        "validation": splits.validation.texts,
        "test": splits.test.texts,
    }
    write_predictions(place / "predictions.parquet", predictions, texts)
    model = classifier.save(place / "model")
    entry = LeaderboardEntry(
        method=name,
        metrics={part: evaluate(of, context.seed) for part, of in predictions.items()},
        seconds_to_train=seconds,
        rows_per_second=rows_per_second,
        bytes=sum(file.stat().st_size for file in model.rglob("*") if file.is_file()),
        model=f"{name}/model",
    )
    return Rung(entry, predictions)


def with_thresholds(classifier: Classifier, validation: Dataset) -> tuple[Classifier, Predictions]:
    """The classifier with thresholds that suit the validation rows, and its predictions of them.

    With one label a text nothing is to be set: the likeliest class is taken.
    """
    predictions = predict(classifier, validation)
    if not classifier.scheme.multilabel:
        return classifier, predictions
    limits = choose_thresholds(predictions.probabilities, predictions.targets)
    return classifier.with_thresholds(limits), replace(predictions, thresholds=limits)
