"""Scores with 95% confidence intervals, for all rows and for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.errors import DataError, UnknownNameError
from finetext.core.types import Predictions, Score
from finetext.evaluation.metrics import Counts, Resampling, applicable, count, metric_for

MOST_UNITS: Final = 10_000
_TAIL: Final = 0.025
_ROUNDING: Final = 1e-12
_UNKNOWN: Final = (float("nan"), float("nan"))


class Scores(dict[str, Score]):
    """Metric name to score; an unknown name raises an UnknownNameError that offers the nearest."""

    def __missing__(self, name: str) -> Score:
        raise UnknownNameError("metric", name, self)


class ScoresBySplit(dict[str, Scores]):
    """Name of a split to its scores; an unknown name raises an UnknownNameError."""

    def __missing__(self, name: str) -> Scores:
        raise UnknownNameError("split", name, self)


@dataclass(frozen=True)
class LabelScores:
    """Precision, recall and F1 of one label.

    Attributes:
        precision: share of the rows given it that have it; nan when none is given it.
        recall: share of the rows that have it that are given it; nan when none has it.
        support: number of rows that have it.
    """

    name: str
    precision: Score
    recall: Score
    f1: Score
    support: int


def units_of(predictions: Predictions, random: np.random.Generator) -> tuple[Integers, int]:
    """Return the unit of each row, (n,), and the number of units: rows, or groups.

    More than 10,000 are put into so many random blocks. Raises a DataError if there are no rows.
    """
    if len(predictions) == 0:
        raise DataError("there are no predictions to evaluate: the data have no rows")
    unit = np.arange(len(predictions))
    if predictions.groups is not None:
        number: dict[str, int] = {}
        unit = np.array([number.setdefault(name, len(number)) for name in predictions.groups])
    units = int(unit.max()) + 1
    if units > MOST_UNITS:
        unit = (random.permutation(units) % MOST_UNITS)[unit]
        units = MOST_UNITS
    return unit, units


def resample(predictions: Predictions, resamples: int = 1000, seed: int = 0) -> Resampling:
    """Draw rows with replacement, or whole groups where the predictions have groups."""
    random = np.random.default_rng(seed)
    unit, units = units_of(predictions, random)
    weights = np.empty((resamples, units), dtype=np.uint8)
    for row in weights:
        row[:] = np.bincount(random.integers(units, size=units), minlength=units)
    return Resampling(unit, weights)


def evaluate(
    predictions: Predictions,
    seed: int = 0,
    resamples: int = 1000,
    metrics: Sequence[str] | None = None,
    positive: str | None = None,
) -> Scores:
    """Return metrics with bootstrap 95% confidence intervals.

    Groups, where the predictions have them, are drawn as a whole. Intervals are bias-corrected and
    accelerated (Efron, Better bootstrap confidence intervals, JASA 1987); those of (mean) average
    precision and ROC AUC are bias-corrected only. For a single row or group the interval is nan,
    as is that of the calibration error, whose bootstrap intervals do not hold.

    Args:
        predictions: what to evaluate.
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples.
        metrics: names of metrics; by default all that apply to the label scheme.
        positive: the class of two that the binary metrics are about; by default that of the
            scheme, which is the second unless one was named.

    Raises:
        DataError: there are no rows, or no such class of two.
        UnknownNameError: there is no metric of that name.
        RecipeError: a metric does not apply to the label scheme.
    """
    predictions = _checked(predictions, "evaluate").with_positive(positive)
    chosen = applicable(predictions.scheme) if metrics is None else metrics
    found = {name: metric_for(name, predictions.scheme) for name in chosen}
    draws = resample(predictions, resamples, seed)
    scores = Scores()
    for name, metric in found.items():
        value, (low, high) = metric(predictions), _UNKNOWN
        if draws.units > 1 and metric.has_interval:
            replicates = metric.replicates(predictions, draws)
            low, high = interval(value, replicates, metric.leave_one_out(predictions, draws))
            if metric.proportion:
                low, high = widened(low, high, metric.rests_on(predictions, draws))
        scores[name] = Score(value, low, high, len(predictions))
    return scores


def _checked(predictions: Any, name: str) -> Predictions:
    """Return what was given, or say how to get predictions from a model and data."""
    if not isinstance(predictions, Predictions):
        raise DataError(
            f"{name} takes predictions with their true labels, not a {type(predictions).__name__}; "
            "of a run take run.predictions(), of what open_predicted returns its predictions; of a "
            "classifier and labeled data make them first: "
            f"finetext.{name}(finetext.predict(classifier, finetext.read(data)))"
        )
    return predictions


def per_class(predictions: Predictions, seed: int = 0, resamples: int = 1000) -> list[LabelScores]:
    """Return precision, recall and F1 of each label with bootstrap 95% confidence intervals.

    Args and errors are those of `evaluate`; labels are in the order of the scheme.
    """
    draws = resample(_checked(predictions, "per_class"), resamples, seed)
    sums = count(predictions, draws)
    total = sums.sum(axis=0)
    whole, drawn, without = (Counts.of(s) for s in (total, draws.sums(sums), total - sums))

    def score(part: str, column: int) -> Score:
        value, replicates, left = (getattr(c, part)[..., column] for c in (whole, drawn, without))
        if draws.units < 2:
            return Score(float(value), *_UNKNOWN, len(predictions))
        low, high = interval(float(value), replicates, left)
        rests_on = whole.given if part == "precision" else whole.true
        low, high = widened(low, high, int(min(rests_on[column], draws.units)))
        return Score(float(value), low, high, len(predictions))

    found = []
    for column, name in enumerate(predictions.scheme.names):
        precision, recall, f1 = (score(part, column) for part in ("precision", "recall", "f1"))
        found.append(LabelScores(name, precision, recall, f1, int(whole.true[column])))
    return found


def interval(
    value: float, replicates: Floats, leave_one_out: Floats | None = None
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap 95% interval (Efron 1987)."""
    from scipy.special import ndtr, ndtri

    replicates = replicates[np.isfinite(replicates)]
    if np.isnan(value) or len(replicates) == 0:
        return _UNKNOWN
    # Ties count half; without the tolerance, rounding would decide them, by processor.
    tie = _ROUNDING * max(abs(value), 1.0)
    below = (np.mean(replicates < value - tie) + np.mean(replicates <= value + tie)) / 2
    least = 1 / (len(replicates) + 1)
    bias = ndtri(np.clip(below, least, 1 - least))
    shifted = bias + ndtri(np.array([_TAIL, 1 - _TAIL]))
    acceleration = 0.0
    if leave_one_out is not None:
        left = leave_one_out[np.isfinite(leave_one_out)]
        away = left.mean() - left if len(left) else left
        spread = float((away**2).sum())
        acceleration = float((away**3).sum()) / (6 * spread**1.5) if spread > 1e-20 else 0.0
    levels = ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(replicates, levels)
    return min(float(low), value), max(float(high), value)


def percentiles(replicates: Floats, units: int) -> tuple[float, float]:
    """Return the bootstrap percentile 95% interval, for differences; nan for fewer than 2 units."""
    defined = replicates[np.isfinite(replicates)]
    if len(defined) == 0 or units < 2:
        return _UNKNOWN
    low, high = np.quantile(defined, [_TAIL, 1 - _TAIL])
    return float(low), float(high)


def widened(low: float, high: float, units: int) -> tuple[float, float]:
    """Widen the interval of a proportion of 0 or 1 to the exact one (Clopper and Pearson 1934)."""
    if units and low == high and low in (0.0, 1.0):
        edge = _TAIL ** (1 / units)
        return (0.0, 1 - edge) if low == 0.0 else (edge, 1.0)
    return low, high


def confusion(predictions: Predictions) -> Integers:
    """Return the confusion matrix: (k, k) counts, truth in rows and prediction in columns.

    In multi-label data the diagonal counts the rows where a label is rightly given, and row i,
    column j those where i is missed and j is given wrongly.
    """
    k = len(_checked(predictions, "confusion").scheme)
    targets, decisions = predictions.targets, predictions.decisions
    if not predictions.scheme.multilabel:
        return np.bincount(targets * k + decisions, minlength=k * k).reshape(k, k)
    missed, wrong = targets & (1 - decisions), decisions & (1 - targets)
    instead = missed.T.astype(np.float64) @ wrong
    return np.asarray(instead + np.diag((targets & decisions).sum(axis=0)), dtype=np.int64)
