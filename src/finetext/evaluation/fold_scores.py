"""Scores and differences from repeated cross-validation: a value for each fold of each repeat.

The metric is that of all rows of a repeat together, as folds of few rows lack whole classes. What a
fold adds to it is the mean of the jackknife pseudo-values of its rows or groups; the spread of
these means gives intervals and p-values (`evaluation.estimates.of_folds`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.types import LabelScheme, Predictions, Score
from finetext.evaluation.compare import Comparison, compare, largest_effect, on_shared_rows
from finetext.evaluation.estimates import Estimate, of_folds
from finetext.evaluation.intervals import LabelScores, Scores, by_class, widened
from finetext.evaluation.metrics import (
    CountMetric,
    Counts,
    Metric,
    Resampling,
    Shares,
    applicable,
    count,
    metric_for,
    whole,
)

TEST: Final = "Student's t over folds, corrected for the rows that they share"


@dataclass(frozen=True, eq=False)
class _ByFold:
    """A metric of each repeat, (repeats,), what each fold adds, (repeats, folds), and each unit.

    The last, (repeats, units) in one order of the units, is None for metrics that compare rows.
    """

    values: Floats
    folds: Floats
    units: Floats | None

    def minus(self, other: _ByFold) -> _ByFold:
        is_known = self.units is not None and other.units is not None
        return _ByFold(
            self.values - other.values, self.folds - other.folds,
            self.units - other.units if is_known else None,  # type: ignore[operator]
        )  # fmt: skip

    def estimate(self, units: int, unseen: float | None = None) -> Estimate:
        """Return the mean over repeats with its standard error; of a difference with `unseen`.

        Repeats where the metric is undefined do not count.
        """
        of_units = None if self.units is None else self.units.mean(axis=0)
        known = self.values[np.isfinite(self.values)]
        value = float(known.mean()) if len(known) else math.nan
        return of_folds(value, self.folds, units, of_units, unseen)


@dataclass(frozen=True, eq=False)
class FoldPredictions:
    """Out-of-fold predictions of one method: those of each fold of each repeat.

    Attributes:
        repeats: (repeats, folds); a fold has the decision rule of the model that predicted it.
    """

    repeats: tuple[tuple[Predictions, ...], ...]

    @property
    def scheme(self) -> LabelScheme:
        """The labels."""
        return self.repeats[0][0].scheme

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(map(len, self.repeats[0]))

    @cached_property
    def units(self) -> int:
        """Number of rows, or of groups that belong together."""
        return sum(len(set(self._names(fold))) for fold in self.repeats[0])

    def estimate(self, metric: str) -> Estimate:
        """Return a metric of the method, trained on the rows outside a fold.

        Raises a RecipeError if the metric does not apply to the labels.
        """
        of = metric_for(metric, self.scheme)
        return self._by_fold(of, len(self.repeats)).estimate(self.units)

    def goodness(self, metric: Metric) -> float:
        """Return the value, signed so that higher is better; minus infinity if undefined."""
        value = self.estimate(metric.name).value
        if math.isnan(value):
            return -math.inf
        return value if metric.higher_is_better else -value

    def by_fold(self, metric: str) -> Floats:
        """Return what each fold adds to a metric, (repeats, folds); raises as `estimate`."""
        return self._by_fold(metric_for(metric, self.scheme), len(self.repeats)).folds

    def minus(self, other: FoldPredictions, metric: str) -> Estimate:
        """Return the difference from another method on the same folds; raises as `estimate`.

        It reckons with disagreements that are too rare to be seen (`evaluation.estimates.of_units`)
        but for areas under curves.
        """
        repeats = min(len(self.repeats), len(other.repeats))
        of_metric = metric_for(metric, self.scheme)
        mine, its = (of._by_fold(of_metric, repeats) for of in (self, other))
        pairs = zip(self.repeats, other.repeats, strict=False)
        of_rows = max(largest_effect(of_metric, _given(a), _given(b)) for a, b in pairs)
        unseen = of_rows * self.rows / self.units  # a group of usual size
        return mine.minus(its).estimate(self.units, unseen)

    def scores(self) -> Scores:
        """Return every metric that applies with its 95% interval."""
        return Scores({name: self.score(name) for name in applicable(self.scheme)})

    def score(self, metric: str) -> Score:
        """Return a metric with its 95% interval; raises as `estimate`."""
        return self._score(metric_for(metric, self.scheme), self.units)

    def of_labels(self) -> list[LabelScores]:
        """Return precision, recall and F1 of each label; their mean F1 is the macro F1."""
        sums = [
            count(of, whole(len(of))).sum(axis=0) for of in (_given(each) for each in self.repeats)
        ]
        true, given = Counts.of(sums[0]).true, Counts.of(np.mean(sums, axis=0)).given

        def score(part: str, column: int) -> Score:
            def value(sums: Floats) -> Floats:
                return np.asarray(getattr(Counts.of(sums), part)[..., column])

            def shares(sums: Floats) -> Shares:
                return Counts.of(sums).shares(part, column)

            rests_on = given if part == "precision" else true
            of_label = CountMetric(
                part, part, lambda _: True, tally=count, value=value, shares=shares
            )
            return self._score(of_label, int(min(rests_on[column], self.units)))

        return [
            LabelScores(
                name, score("precision", column), score("recall", column), score("f1", column),
                int(true[column]),
            )
            for column, name in enumerate(self.scheme.names)
        ]  # fmt: skip

    def given(self) -> tuple[Predictions, ...]:
        """Return the labels that each repeat gives, as sure ones, whatever rule gave them."""
        return tuple(_given(folds) for folds in self.repeats)

    def decided(self) -> tuple[Predictions, ...]:
        """Return the same without the rows on which the model of a fold abstains."""
        return tuple(
            _given([fold.select(~fold.abstained) for fold in folds]) for folds in self.repeats
        )

    def with_positive(self, label: object) -> FoldPredictions:
        """Return the predictions with that positive class; see `LabelScheme.with_positive`."""
        return FoldPredictions(
            tuple(tuple(fold.with_positive(label) for fold in folds) for folds in self.repeats)
        )

    def same_folds(self, other: FoldPredictions) -> bool:
        """Return whether another method was scored on the same labeled rows in the same folds."""
        if self.scheme.names != other.scheme.names:
            return False
        return all(
            len(a) == len(b)
            and all(
                x.ids == y.ids and np.array_equal(x.targets, y.targets)
                for x, y in zip(a, b, strict=True)
            )
            for a, b in zip(self.repeats, other.repeats, strict=False)
        )

    def _score(self, metric: Metric, units: int) -> Score:
        """Return a metric with its 95% interval; at 0 and 1 it rests on so many units."""
        estimate = self._by_fold(metric, len(self.repeats)).estimate(self.units)
        low, high = estimate.interval()
        if metric.proportion:
            low, high = (float(np.clip(end, 0.0, 1.0)) for end in (low, high))
            low, high = widened(low, high, units)
            few = self._by_class(metric)
            low, high = float(np.fmin(low, few[0])), float(np.fmax(high, few[1]))
        elif not metric.higher_is_better and estimate.value >= 0:
            low = max(low, 0.0)  # a loss
        return Score(estimate.value, low, high, self.rows)

    def _by_fold(self, metric: Metric, repeats: int) -> _ByFold:
        if not isinstance(metric, CountMetric):
            return _means(self.repeats[:repeats], metric)
        found = [self._pseudo_values(folds, metric) for folds in self.repeats[:repeats]]
        return _ByFold(*(np.array(of) for of in zip(*found, strict=True)))

    def _pseudo_values(
        self, folds: Sequence[Predictions], metric: CountMetric
    ) -> tuple[float, Floats, Floats]:
        """Return the metric of all rows, and the jackknife pseudo-values of folds and of units.

        Source: Tukey, Bias and confidence in not-quite large samples, Annals of Mathematical
        Statistics, 1958.
        """
        tallies, order = self._tallies(folds, metric)
        total = np.sum([tally.sum(axis=0) for tally in tallies], axis=0)
        value, n = float(metric.value(total)), sum(map(len, tallies))
        pseudo = [n * value - (n - 1) * metric.value(total - of) for of in tallies]
        return value, np.array([of.mean() for of in pseudo]), np.concatenate(pseudo)[order]

    def _by_class(self, metric: Metric) -> tuple[float, float]:
        if not isinstance(metric, CountMetric):
            return math.nan, math.nan
        tallies = [np.concatenate(self._tallies(folds, metric)[0]) for folds in self.repeats]
        return by_class(metric, tallies)

    def _tallies(
        self, folds: Sequence[Predictions], metric: CountMetric
    ) -> tuple[list[Floats], Integers]:
        """Return what the units of each fold add to a metric, and one order of all of them."""
        units = [np.unique(self._names(fold), return_inverse=True) for fold in folds]
        tallies = [
            metric.tally(fold, Resampling(unit, np.ones((1, len(there)), dtype=np.uint8)))
            for fold, (there, unit) in zip(folds, units, strict=True)
        ]
        return tallies, np.argsort(np.concatenate([there for there, _ in units]))

    def _names(self, fold: Predictions) -> Sequence[str]:
        """Return the unit of each row: its group, unless groups were divided, or itself."""
        return fold.groups if self._has_groups and fold.groups is not None else fold.ids

    @cached_property
    def _has_groups(self) -> bool:
        """Whether there are groups, and each is whole in a fold."""
        groups = [set(fold.groups or ()) for fold in self.repeats[0]]
        return all(groups) and sum(map(len, groups)) == len(set.union(*groups))


Scored = FoldPredictions | Sequence[Predictions]
"""What a method is scored by: all folds, or one set of predictions for each seed."""


def compare_on(a: Scored, b: Scored, metric: str, seed: int) -> Comparison:
    """Return the difference of two methods on the test rows of both, or on the same folds."""
    if isinstance(a, FoldPredictions) and isinstance(b, FoldPredictions):
        return Comparison.of(metric_for(metric, a.scheme), a.minus(b, metric), TEST, a.rows, 1)
    assert not isinstance(a, FoldPredictions)
    assert not isinstance(b, FoldPredictions)
    return compare(*on_shared_rows(a, b), metric, seed)


def scheme_of(scored: Scored) -> LabelScheme:
    """Return the labels."""
    return scored.scheme if isinstance(scored, FoldPredictions) else scored[0].scheme


def _given(folds: Sequence[Predictions]) -> Predictions:
    """Return the labels that all folds of a repeat give as sure ones, whatever rule gave them."""
    scheme, given = folds[0].scheme, np.concatenate([fold.decisions for fold in folds])
    sure = given.astype(np.float64) if scheme.multilabel else np.eye(len(scheme))[given]
    ids = tuple(row for fold in folds for row in fold.ids)
    targets = np.concatenate([fold.targets for fold in folds])
    has_groups = all(fold.groups is not None for fold in folds)
    groups = tuple(of for fold in folds for of in fold.groups or ()) if has_groups else None
    return Predictions(ids, targets, sure, scheme, groups=groups)


def _means(repeats: Sequence[Sequence[Predictions]], metric: Metric) -> _ByFold:
    """Return the mean over folds of a metric that compares the rows of one model."""
    values = np.array([[metric(fold) for fold in folds] for folds in repeats])
    known = [row[np.isfinite(row)] for row in values]
    means = [float(row.mean()) if len(row) else math.nan for row in known]
    return _ByFold(np.array(means), values, None)
