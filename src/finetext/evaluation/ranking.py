"""How well probabilities rank rows: areas under curves, and the curves of the positive class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.errors import DataError
from finetext.core.types import Predictions
from finetext.evaluation.metrics import (
    Metric,
    Resampling,
    mean_of_defined,
    ratio,
    several_labels,
    two_classes,
)

MOST_POINTS: Final = 100
_COLUMNS: Final = ("threshold", "precision", "recall", "false_positive_rate")


@final
@dataclass(frozen=True, kw_only=True)
class RankMetric(Metric):
    """A metric of how well probabilities rank rows, `of_label`, where it is defined.

    It is a mean over the labels in multi-label data, else that of the positive class.
    """

    of_label: Callable[[Floats, Integers, Resampling], Floats]

    def replicates(self, predictions: Predictions, resampling: Resampling) -> Floats:
        """See `Metric.replicates`."""
        columns = ranked_columns(predictions)
        values = [self.of_label(scores, truth, resampling) for scores, truth in columns]
        return mean_of_defined(np.stack(values, axis=-1))


def ranked_columns(predictions: Predictions) -> Iterator[tuple[Floats, Integers]]:
    """Yield probabilities and truth, (n,) each, of every label, or of the positive class of two."""
    scores, targets = predictions.probabilities, predictions.targets
    if predictions.scheme.multilabel:
        yield from zip(scores.T, targets.T, strict=True)
    else:
        column = predictions.scheme.positive_column
        yield scores[:, column], (targets == column).astype(np.int64)


def _average_precision(scores: Floats, truth: Integers, resampling: Resampling) -> Floats:
    """Average precision of one label per resample; nan where it has no positives.

    The sum over thresholds of the gain in recall times the precision (Manning et al., Introduction
    to Information Retrieval, 2008, section 8.4).
    """
    from scipy.sparse import csr_matrix

    order = np.argsort(-scores, kind="stable")
    tie = np.cumsum(np.diff(scores[order], prepend=scores[order[:1]]) != 0)
    hits = np.bincount(tie, weights=truth[order]) > 0
    step: Integers = (np.cumsum(hits) - hits)[tie]
    steps = int(hits.sum())
    if steps == 0:
        return np.full(len(resampling.weights), np.nan)

    def drawn(rows: Integers) -> csr_matrix:
        ones = np.ones(len(rows), dtype=np.float32)
        where = (step[rows], resampling.unit[order[rows]])
        return csr_matrix((ones, where), shape=(steps, resampling.units))

    all_rows = drawn(np.flatnonzero(step < steps))
    positives = drawn(np.flatnonzero(truth[order]))
    results = []
    for chunk in resampling.chunks(max(1, min(250, 10_000_000 // steps))):
        weights = np.ascontiguousarray(chunk.T, dtype=np.float32)
        gained = (positives @ weights).astype(np.float64)
        found = np.cumsum(gained, axis=0)
        seen = np.cumsum(all_rows @ weights, axis=0, dtype=np.float64)
        results.append(ratio((gained * ratio(found, seen, 0.0)).sum(axis=0), found[-1]))
    return np.concatenate(results)


def _roc_auc(scores: Floats, truth: Integers, resampling: Resampling) -> Floats:
    """Area under the ROC curve of one label per resample; nan without positives or negatives.

    The share of pairs of a positive and a negative row that are in the right order; ties count
    half (Hanley and McNeil, The meaning and use of the area under a ROC curve, Radiology 1982).
    """
    from scipy.sparse import csr_matrix

    order = np.argsort(-scores, kind="stable")
    tie = np.cumsum(np.diff(scores[order], prepend=scores[order[:1]]) != 0)
    is_positive = truth[order] == 1
    # Neighbors that are all positive, or all negative, are in order whatever their scores.
    has = [np.bincount(tie, weights=of) > 0 for of in (is_positive, ~is_positive)]
    kind = has[0] + 2 * has[1]
    step = np.cumsum((np.diff(kind, prepend=0) != 0) | (kind == 3))[tie] - 1
    steps = int(step[-1]) + 1

    def drawn(rows: Integers) -> csr_matrix:
        ones = np.ones(len(rows), dtype=np.float32)
        where = (step[rows], resampling.unit[order[rows]])
        return csr_matrix((ones, where), shape=(steps, resampling.units))

    positives, negatives = drawn(np.flatnonzero(is_positive)), drawn(np.flatnonzero(~is_positive))
    results = []
    for chunk in resampling.chunks(max(1, min(250, 4_000_000 // steps))):
        weights = np.ascontiguousarray(chunk.T, dtype=np.float32)
        found = (positives @ weights).astype(np.float64)
        wrong = (negatives @ weights).astype(np.float64)
        above = np.cumsum(wrong, axis=0)
        totals = found.sum(axis=0) * above[-1]
        in_order = (found * (above[-1] - above + wrong / 2)).sum(axis=0)
        results.append(ratio(in_order, totals))
    return np.concatenate(results)


roc_auc = RankMetric("roc_auc", "ROC AUC", two_classes, of_label=_roc_auc)
"""Area under the ROC curve of the positive class."""
average_precision = RankMetric(
    "average_precision", "average precision", two_classes, of_label=_average_precision
)
"""Area under the precision-recall curve of the positive class, in steps."""
mean_average_precision = RankMetric(
    "mean_average_precision",
    "mean average precision",
    several_labels,
    of_label=_average_precision,
)
"""Mean of the average precision of the labels that have positives."""


@dataclass(frozen=True)
class CurvePoint:
    """What giving the positive class from one probability comes to; nan where it is undefined.

    Attributes:
        threshold: the probability from which the positive class is given.
        precision: share of the rows given it that have it.
        recall: share of the rows that have it that are given it.
        false_positive_rate: share of the other rows that are given it.
    """

    threshold: float
    precision: float
    recall: float
    false_positive_rate: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both > 0 else both

    def to_json(self, digits: int = 15) -> dict[str, float | None]:
        """Return JSON values, with F1; what is undefined is None."""
        values = {name: getattr(self, name) for name in (*_COLUMNS, "f1")}
        return {name: None if of != of else round(of, digits) for name, of in values.items()}


@dataclass(frozen=True, eq=False)
class PositiveCurve:
    """Precision-recall curve and ROC curve of the positive class.

    Attributes:
        positive: the positive class.
        rows: number of rows.
        prevalence: share of the rows that have it.
        thresholds: (m,) probabilities that occur, from the highest.
        precision, recall, false_positive_rate: (m,), for the class being given from each
            threshold; nan where undefined.
        decided: where the decision rule of the predictions stands.
        best: the threshold with the highest F1, chosen on these same rows; None without positives.
    """

    positive: str
    rows: int
    prevalence: float
    thresholds: Floats
    precision: Floats
    recall: Floats
    false_positive_rate: Floats
    decided: CurvePoint
    best: CurvePoint | None

    def points(self, most: int = MOST_POINTS) -> list[CurvePoint]:
        """Return at most that many points: half evenly in rows, half in recall; with both ends."""
        last = len(self.thresholds) - 1
        if last < most:
            return [self._point(place) for place in range(last + 1)]
        in_rows = np.linspace(0, last, most // 2).round().astype(int)
        of_recall = np.linspace(0, 1, most - most // 2)
        in_recall = np.searchsorted(np.nan_to_num(self.recall), of_recall).clip(0, last)
        return [self._point(int(place)) for place in np.union1d(in_rows, in_recall)]

    def _point(self, place: int) -> CurvePoint:
        columns = (self.thresholds, self.precision, self.recall, self.false_positive_rate)
        return CurvePoint(*(float(column[place]) for column in columns))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, with at most 100 points; what is undefined is None."""
        best = None if self.best is None else self.best.to_json()
        told = {"positive": self.positive, "rows": self.rows, "prevalence": self.prevalence}
        points = [point.to_json(6) for point in self.points()]
        return told | {"decided": self.decided.to_json(), "best": best, "points": points}


def precision_recall(predictions: Predictions, positive: str | None = None) -> PositiveCurve:
    """Return the precision-recall curve and the ROC curve of the positive class.

    Args:
        predictions: n rows with one of two labels each.
        positive: the positive class; by default that of the label scheme, which is the second
            unless one was named.

    Raises:
        DataError: there are no rows, there are not two classes, or it is none of them.
    """
    predictions = predictions.with_positive(positive)
    scheme, column = predictions.scheme, predictions.scheme.positive_column
    if not scheme.is_binary or not len(predictions):
        data = "several labels per row" if scheme.multilabel else f"{len(scheme)} labels"
        what = f"these have {data}" if len(predictions) else "there are none"
        raise DataError(f"a precision-recall curve needs rows with one of two labels; {what}")
    [(scores, truth)] = ranked_columns(predictions)
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found, given = np.cumsum(truth[order])[last].astype(np.float64), last + 1.0
    positives, negatives = float(truth.sum()), float(len(truth) - truth.sum())
    rates = (
        scores[order][last].astype(np.float64),
        found / given,
        ratio(found, np.full_like(found, positives)),
        ratio(given - found, np.full_like(found, negatives)),
    )
    f1 = 2 * found / (given + positives)
    best = CurvePoint(*(float(of[f1.argmax()]) for of in rates)) if positives else None
    is_given = predictions.decisions == column
    counts = np.array([(is_given & (truth == 1)).sum(), is_given.sum()], dtype=np.float64)
    shares = ratio(
        np.array([counts[0], counts[0], counts[1] - counts[0]]),
        np.array([counts[1], positives, negatives]),
    )
    threshold = predictions.decision.threshold_of(column)
    return PositiveCurve(
        str(scheme.positive_class),
        len(truth),
        positives / len(truth),
        *rates,
        decided=CurvePoint(threshold, *map(float, shares)),
        best=best,
    )
