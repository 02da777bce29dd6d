"""Slices of the rows on which a classifier is worse than on the other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from finetext.core.arrays import Floats, Integers, Number
from finetext.core.display import ShownInNotebook
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.core.types import LabelScheme, Predicted, Predictions, Score
from finetext.diagnosis.slice_tests import slice_tests
from finetext.diagnosis.slicing import (
    KINDS,
    Candidate,
    applicable_kinds,
    candidates,
)
from finetext.evaluation.estimates import SIGNIFICANT
from finetext.evaluation.intervals import interval, interval_of_share, resample, widened
from finetext.evaluation.metrics import (
    CountMetric,
    Resampling,
    applicable,
    mean_of_rows,
    metric_for,
)
from finetext.storage.codec import Jsonable

MEANS: Final = ("accuracy", "samples_f1", "subset_accuracy", "log_loss")
"""Metrics that are a mean over rows, so that a slice's value does not depend on its labels."""
_RESAMPLES: Final = 1000


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common, compared with all others.

    Attributes:
        kind: "length", "cut", "group", "label", "language", "token" or "column:NAME".
        difference: the metric on them minus that on the other rows. The intervals of all slices
            tested hold all true differences in 95% of cases (Bonferroni). Of a slice that was
            found among many the value itself is an overestimate; the interval accounts for that.
        p_value: two-sided, of the difference; corrected for all slices tested, as the interval.
        worse: whether p is below 0.05, and the slice is behind.
        detectable: how far behind so many rows have to be to be found in 80% of cases, about; None
            where that is unknown, or where no difference would be found.
    """

    kind: str
    name: str
    rows: int
    score: Score
    difference: Score
    p_value: Number
    worse: bool
    detectable: float | None = None


@dataclass(frozen=True)
class Slices(Jsonable, ShownInNotebook):
    """All slices that were tested on the rows of a part, "validation" or "test", or of a table.

    Attributes:
        looked_at: how many slices were tested.
        slices: from the most significantly worse to the most significantly better.
        languages_by: "py3langid", or "script" in files of earlier versions; None if no slice is of
            a language.
        positive: the class of two that the metric is about; None if it is about all.
    """

    method: str
    part: str | None
    metric: str
    looked_at: int
    slices: tuple[Slice, ...]
    languages_by: Literal["py3langid", "script"] | None = None
    positive: str | None = None


def find_slices(
    predicted: Predicted,
    by: Sequence[str] | None = None,
    metric: str | None = None,
    tokens: Sequence[str] = (),
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> Slices:
    """Compare many slices with the other rows, and return where they are worse.

    A slice and the rest have ten rows or more. Lengths and numbers are divided into quarters; of
    tokens, groups and values the 300 most frequent are tested. Languages are identified by
    py3langid.

    Args:
        predicted: predictions of the rows of one part.
        by: slices out of "length", "cut" (texts longer than what the model reads, for methods of a
            run that have an encoder), "group", "label", "language" and "token"; by default all
            that are possible.
        metric: what to compare. By default that of the run if it is a mean over rows, else
            accuracy, or samples F1 in a multi-label scheme.
        tokens: words, signs or phrases to test besides the frequent ones.
        columns: name of a further column to its values, one for each row of the predictions.

    Raises:
        UnknownNameError: there is no slice or metric of that name.
        RecipeError: the metric does not apply to the label scheme, or to slices.
        DataError: there are no texts or groups where they are needed, or a token in `tokens` is in
            too few rows.
    """
    predictions = predicted.predictions
    unknown = next((kind for kind in by or () if kind not in KINDS), None)
    if unknown is not None:
        raise UnknownNameError("kind of slice", unknown, KINDS)
    chosen = metric_of_slices(predictions.scheme, metric, predicted.metric)
    kinds = applicable_kinds(predicted) if by is None else by
    found = list(candidates(predicted, kinds, tokens, columns))
    of_languages = any(each.kind == "language" for each in found)
    return Slices(
        method=predicted.method or predicted.name,
        part=predicted.part,
        metric=chosen.name,
        looked_at=len(found),
        slices=_compared(predictions, chosen, found),
        languages_by="py3langid" if of_languages else None,
        positive=chosen.class_of(predictions.scheme),
    )


def metric_of_slices(scheme: LabelScheme, asked: str | None, of_run: str) -> CountMetric:
    """Return the metric asked for, else that of the run if it is a mean over rows, else a mean."""
    default = of_run if of_run in MEANS else next(m for m in MEANS if m in applicable(scheme))
    metric = metric_for(asked or default, scheme)
    if not isinstance(metric, CountMetric):
        raise RecipeError(f"the metric {asked!r} does not work for slices; use {default!r}")
    return metric


class SlicePerformance(NamedTuple):
    """The metric on a slice, and its difference from the rest; see `Slice`."""

    score: Score
    difference: Score
    p_value: float
    detectable: float | None


def _compared(
    predictions: Predictions, metric: CountMetric, found: Sequence[Candidate]
) -> tuple[Slice, ...]:
    """Return the slices with corrected p-values, the most significantly worse first."""
    performances: dict[int, SlicePerformance] = {}
    for by_group in {each.kind == "group" for each in found}:
        some = {id(each): each.rows for each in found if (each.kind == "group") == by_group}
        rows = replace(predictions, groups=None) if by_group else predictions
        compared = compare_slices(rows, metric, list(some.values()), len(found))
        performances |= dict(zip(some, compared, strict=True))
    ranked = []
    for each in found:
        score, difference, p_value, detectable = performances[id(each)]
        behind = difference.value < 0 if metric.higher_is_better else difference.value > 0
        worse = behind and p_value < SIGNIFICANT
        slice_ = Slice(
            each.kind, each.name, len(each.rows), score, difference, p_value, worse, detectable
        )
        away = abs(difference.value) / (detectable or np.inf)
        ranked.append(((False, p_value, -away) if behind else (True, -p_value, away), slice_))
    return tuple(slice_ for _, slice_ in sorted(ranked, key=lambda pair: pair[0]))


def compare_slices(
    predictions: Predictions,
    metric: CountMetric,
    slices: Sequence[Integers],
    tests: int = 1,
    seed: int = 0,
) -> list[SlicePerformance]:
    """Compare slices, each given by the positions of its rows: two or more, but not all.

    The score has the interval of `evaluate`, where groups, if there are any, are drawn as a whole.
    The difference is tested by `slice_tests`: on the value of each row where the metric is a mean
    over rows, else on its pseudo-value (Tukey 1958, the jackknife).

    Args:
        predictions: of all rows.
        metric: what to compare.
        slices: the positions of the rows of each.
        tests: how many slices are tested in all.
        seed: seed of the bootstrap.
    """
    tally, metric, values = _tallied(predictions, metric)
    draws = resample(predictions, _RESAMPLES, seed)
    weights = np.ascontiguousarray(draws.weights.T, dtype=np.float32)

    def resampled(units: Integers, of_units: Floats) -> Floats:
        """Return the (resamples, m) sums over some units in every resample."""
        return np.asarray(weights[units].T @ of_units.astype(np.float32), dtype=np.float64)

    total = _sums(draws.unit, tally, draws.units).sum(axis=0)
    of = slice_tests(values, slices, None if predictions.groups is None else draws.unit, tests)
    found = []
    for place, rows in enumerate(slices):
        touched, unit = np.unique(draws.unit[rows], return_inverse=True)
        of_units = _sums(unit, tally[rows], len(touched))
        own = of_units.sum(axis=0)
        value, rest = (float(metric.value(sums)) for sums in (own, total - own))
        ends = gap = (float("nan"), float("nan"))
        if len(touched) > 1:
            drawn = metric.value(resampled(touched, of_units)), metric.value(own - of_units)
            if metric.proportion:
                ends = interval_of_share(value, *drawn, len(touched), len(rows))
                ends = widened(*ends, len(touched))
            else:
                ends = interval(value, *drawn, len(touched))
            tested = float(values[rows].mean() - np.delete(values, rows).mean())
            gap = _moved(float(of.low[place]), float(of.high[place]), value - rest - tested)
        score, difference = Score(value, *ends, len(rows)), Score(value - rest, *gap, len(rows))
        far = float(of.detectable[place])
        p_value, detectable = float(of.p_values[place]), far if np.isfinite(far) else None
        found.append(SlicePerformance(score, difference, p_value, detectable))
    return found


def _moved(low: float, high: float, by: float) -> tuple[float, float]:
    """Move an interval, but not across 0, so that it says the same as its test."""
    return (
        max(low + by, 0.0) if low > 0 else min(low + by, 0.0),
        min(high + by, 0.0) if high < 0 else max(high + by, 0.0),
    )


def _tallied(predictions: Predictions, metric: CountMetric) -> tuple[Floats, CountMetric, Floats]:
    """Return what each row adds to sums, (n, m), the metric of such sums, and values of rows."""
    n = len(predictions)
    tally = metric.tally(predictions, Resampling(np.arange(n), np.zeros((0, n), dtype=np.uint8)))
    if metric.name in MEANS:
        values = metric.value(tally)
        mean = replace(metric, value=mean_of_rows)
        return np.stack([np.ones(n), values], axis=1), mean, values
    total = tally.sum(axis=0)
    value = metric.value(total)
    pseudo = n * value - (n - 1) * metric.value(total - tally)
    return tally, metric, np.where(np.isfinite(pseudo), pseudo, value)


def _sums(unit: Integers, values: Floats, units: int) -> Floats:
    """Return the (units, m) sums over the rows of each unit."""
    if len(unit) == units and np.array_equal(unit, np.arange(units)):
        return values
    return np.stack([np.bincount(unit, of, units) for of in values.T], axis=1)
