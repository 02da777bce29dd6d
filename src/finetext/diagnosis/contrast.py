"""A slice beside the other rows: its score, the difference, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np

from finetext.diagnosis.chance import Chance
from finetext.errors import RecipeError
from finetext.evaluation.intervals import interval, percentiles, widened
from finetext.evaluation.metrics import CountMetric, applicable, metric_for, ratio
from finetext.evaluation.resampling import Resampling, resample
from finetext.types import Floats, Integers, LabelScheme, Predictions, Score

MEANS: Final = ("accuracy", "samples_f1", "subset_accuracy", "log_loss")
"""Metrics that are a mean over rows, so that of a slice does not hang on which labels it has."""
_RESAMPLES: Final = 1000
_UNKNOWN: Final = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Contrasted:
    """A slice beside the rest.

    Attributes:
        score: the metric on the slice.
        difference: the metric on the slice less that on the rest.
        p_value: two-sided, of the difference, not corrected for other slices.
    """

    score: Score
    difference: Score
    p_value: float


@final
class Contrast:
    """Compares slices with the other rows; what all slices share is computed once.

    Intervals are bootstrap intervals, the score's as `evaluate` gives them and the difference's
    of percentiles; where there are groups, these are drawn as a whole. See `Chance` for the
    p-value. It tests the mean over rows of what a row adds to the metric: its own value where the
    metric is a mean over rows, else its pseudo-value, which says how much it pulls the metric of
    all rows (Tukey 1958, the jackknife).
    """

    def __init__(self, predictions: Predictions, metric: CountMetric, seed: int = 0) -> None:
        """Prepare all rows.

        Args:
            predictions: the n rows, two or more.
            metric: what to compare; see `metric_of_slices`.
            seed: seed of the bootstrap.
        """
        self._tally, self._metric, values = _tallied(predictions, metric)
        draws = resample(predictions, _RESAMPLES, seed)
        self._unit, self._units = draws.unit, draws.units
        self._weights = np.ascontiguousarray(draws.weights.T, dtype=np.float32)
        of_units = _sums(draws.unit, self._tally, draws.units)
        self._total = of_units.sum(axis=0)
        self._drawn = self._draw(np.arange(draws.units), of_units)
        self._chance = Chance(values, None if predictions.groups is None else draws.unit)

    def of(self, slices: Sequence[Integers]) -> list[Contrasted]:
        """Compare slices.

        Args:
            slices: for each the positions of its rows, some but not all.
        """
        p_values = self._chance.p_values(slices)
        return [
            Contrasted(*self._scores(rows), float(p_value))
            for rows, p_value in zip(slices, p_values, strict=True)
        ]

    def _scores(self, rows: Integers) -> tuple[Score, Score]:
        """The metric on a slice, and the difference to the rest."""
        touched, unit = np.unique(self._unit[rows], return_inverse=True)
        of_units = _sums(unit, self._tally[rows], len(touched))
        own, drawn = of_units.sum(axis=0), self._draw(touched, of_units)
        value, rest = (float(self._metric.value(sums)) for sums in (own, self._total - own))
        ends = gap = _UNKNOWN
        if len(touched) > 1:
            replicates = self._metric.value(drawn)
            ends = interval(value, replicates, self._metric.value(own - of_units))
            if self._metric.proportion:
                ends = widened(*ends, len(touched))
            of_rest = self._metric.value(self._drawn - drawn)
            gap = percentiles(replicates - of_rest, self._units)
        m = len(rows)
        return Score(value, *ends, m), Score(value - rest, *gap, m)

    def _draw(self, units: Integers, of_units: Floats) -> Floats:
        """Sums over the given units in every resample, (resamples, m)."""
        return np.asarray(self._weights[units].T @ of_units.astype(np.float32), dtype=np.float64)


def metric_of_slices(scheme: LabelScheme, asked: str | None, of_run: str) -> CountMetric:
    """The metric to compare slices by.

    Args:
        scheme: the labels.
        asked: name of the metric that is asked for, if one is.
        of_run: that of the run, taken if it is a mean over rows. If not, accuracy is, or samples
            F1: macro F1 of a slice, say, hangs on which labels happen to be in it.

    Raises:
        UnknownNameError: there is no metric of that name.
        RecipeError: it makes no sense for the label scheme, or for parts of the rows.
    """
    usual = of_run if of_run in MEANS else next(m for m in MEANS if m in applicable(scheme))
    metric = metric_for(asked or usual, scheme)
    if not isinstance(metric, CountMetric):
        raise RecipeError(f"the metric {asked!r} is not for slices; use {usual!r}, for one")
    return metric


def _tallied(predictions: Predictions, metric: CountMetric) -> tuple[Floats, CountMetric, Floats]:
    """What each row adds to sums, (n, m), the metric of such sums, and the value of each row."""
    n = len(predictions)
    tally = metric.tally(predictions, Resampling(np.arange(n), np.zeros((0, n), dtype=np.uint8)))
    if metric.name in MEANS:
        values = metric.value(tally)
        mean = replace(metric, value=lambda sums: ratio(sums[..., 1], sums[..., 0]))
        return np.stack([np.ones(n), values], axis=1), mean, values
    total = tally.sum(axis=0)
    value = metric.value(total)
    pseudo = n * value - (n - 1) * metric.value(total - tally)
    return tally, metric, np.where(np.isfinite(pseudo), pseudo, value)


def _sums(unit: Integers, values: Floats, units: int) -> Floats:
    """Sums over the rows of each unit, (units, m)."""
    if len(unit) == units and np.array_equal(unit, np.arange(units)):
        return values
    return np.stack([np.bincount(unit, of, units) for of in values.T], axis=1)
