"""Slices of the rows on which a classifier is worse than on the other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from finetext.core.arrays import Floats, Integers, Number
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.core.types import LabelScheme, Predicted, Predictions, Score
from finetext.diagnosis.slicing import (
    KINDS,
    Candidate,
    LanguageIdentifier,
    applicable_kinds,
    candidates,
    language_identifier,
)
from finetext.evaluation.compare import SIGNIFICANT
from finetext.evaluation.intervals import interval, percentiles, resample, widened
from finetext.evaluation.metrics import (
    CountMetric,
    Resampling,
    applicable,
    mean_of_rows,
    metric_for,
)
from finetext.evaluation.several import holm
from finetext.storage.codec import Jsonable

MEANS: Final = ("accuracy", "samples_f1", "subset_accuracy", "log_loss")
"""Metrics that are a mean over rows, so that a slice's value does not depend on its labels."""
_RESAMPLES: Final = 1000


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common, compared with all others.

    Attributes:
        kind: "length", "cut", "group", "label", "language", "token" or "column:NAME".
        difference: the metric on them minus that on the other rows.
        p_value: two-sided, of the difference; corrected for all slices tested (Holm).
        worse: whether p is below 0.05, and the slice is behind.
    """

    kind: str
    name: str
    rows: int
    score: Score
    difference: Score
    p_value: Number
    worse: bool


@dataclass(frozen=True)
class Slices(Jsonable):
    """All slices that were tested on the rows of a part, "validation" or "test", or of a table.

    Attributes:
        looked_at: how many slices were tested.
        slices: from the most significantly worse to the most significantly better.
        languages_by: "py3langid" or "script"; None if no slice is of a language.
        positive: the class of two that the metric is about; None if it is about all.
    """

    method: str
    part: str | None
    metric: str
    looked_at: int
    slices: tuple[Slice, ...]
    languages_by: LanguageIdentifier | None = None
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
    py3langid, or by script where that is not installed.

    Args:
        predicted: predictions of the rows of one part.
        by: slices out of "length", "cut" (texts longer than what the model reads, for methods of a
            run that have an encoder), "group", "label", "language" and "token"; by default all
            that are possible.
        metric: what to compare. By default that of the run if it is a mean over rows, else
            accuracy, or samples F1 in a multi-label scheme.
        tokens: words, signs or phrases to test besides the frequent ones.
        columns: name of a further column to its values, one for each row; see
            `finetext.data.read.source_columns`.

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
        languages_by=language_identifier() if of_languages else None,
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
    """The metric on a slice, its difference to the rest, and the uncorrected p-value."""

    score: Score
    difference: Score
    p_value: float


def _compared(
    predictions: Predictions, metric: CountMetric, found: Sequence[Candidate]
) -> tuple[Slice, ...]:
    """Return the slices with corrected p-values, the most significantly worse first."""
    performances: dict[int, SlicePerformance] = {}
    for by_group in {each.kind == "group" for each in found}:
        some = {id(each): each.rows for each in found if (each.kind == "group") == by_group}
        rows = replace(predictions, groups=None) if by_group else predictions
        compared = compare_slices(rows, metric, list(some.values()))
        performances |= dict(zip(some, compared, strict=True))
    ranked = []
    p_values = holm([performances[id(each)].p_value for each in found])
    for each, p_value in zip(found, p_values, strict=True):
        score, difference, raw = performances[id(each)]
        behind = difference.value < 0 if metric.higher_is_better else difference.value > 0
        worse = behind and p_value < SIGNIFICANT
        slice_ = Slice(each.kind, each.name, len(each.rows), score, difference, p_value, worse)
        ranked.append(((False, raw) if behind else (True, -raw), slice_))
    return tuple(slice_ for _, slice_ in sorted(ranked, key=lambda pair: pair[0]))


def compare_slices(
    predictions: Predictions, metric: CountMetric, slices: Sequence[Integers], seed: int = 0
) -> list[SlicePerformance]:
    """Compare slices, each given by the positions of its rows: two or more, but not all.

    The score has the interval of `evaluate`, the difference a percentile bootstrap interval; where
    there are groups, whole groups are drawn. The p-value is that of the value of each row where the
    metric is a mean over rows, else of its pseudo-value (Tukey 1958, the jackknife).
    """
    tally, metric, values = _tallied(predictions, metric)
    draws = resample(predictions, _RESAMPLES, seed)
    weights = np.ascontiguousarray(draws.weights.T, dtype=np.float32)

    def resampled(units: Integers, of_units: Floats) -> Floats:
        """Return the (resamples, m) sums over some units in every resample."""
        return np.asarray(weights[units].T @ of_units.astype(np.float32), dtype=np.float64)

    of_all = _sums(draws.unit, tally, draws.units)
    total, total_resampled = of_all.sum(axis=0), resampled(np.arange(draws.units), of_all)
    p_values = slice_p_values(values, slices, None if predictions.groups is None else draws.unit)
    found = []
    for rows, p_value in zip(slices, p_values.tolist(), strict=True):
        touched, unit = np.unique(draws.unit[rows], return_inverse=True)
        of_units = _sums(unit, tally[rows], len(touched))
        own = of_units.sum(axis=0)
        value, rest = (float(metric.value(sums)) for sums in (own, total - own))
        ends = gap = (float("nan"), float("nan"))
        if len(touched) > 1:
            some = resampled(touched, of_units)
            replicates = metric.value(some)
            ends = interval(value, replicates, metric.value(own - of_units))
            if metric.proportion:
                ends = widened(*ends, len(touched))
            gap = percentiles(replicates - metric.value(total_resampled - some), draws.units)
        score, difference = Score(value, *ends, len(rows)), Score(value - rest, *gap, len(rows))
        found.append(SlicePerformance(score, difference, p_value))
    return found


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


def slice_p_values(
    values: Floats, slices: Sequence[Integers], unit: Integers | None = None
) -> Floats:
    """Test the mean of the (n,) values on each slice against that on the other rows, two-sided.

    Values of 0 and 1 are tested by Fisher's exact test, on the hypergeometric distribution. For
    other values, the mean over all subsets of the size of the slice is taken to follow Pearson's
    type III distribution with the same mean, variance and skewness (Mielke and Berry, Permutation
    Methods, 2007).

    Rows of a group, numbered by the (n,) `unit`, are alike. So numbers of rows are divided by the
    design effect, the factor by which groups widen the variance of the difference (Rao and Scott, A
    simple method for the analysis of clustered binary data, Biometrics 1992); it is 1 at least.
    """
    from scipy.stats import hypergeom, pearson3

    n, away = len(values), values - values.mean()
    variance = float((away**2).mean())
    if variance < 1e-24 or not slices:
        return np.ones(len(slices))
    sizes = np.array([len(rows) for rows in slices], dtype=np.float64)
    sums = np.array([values[rows].sum() for rows in slices])
    rests, effects = n - sizes, np.ones(len(slices))
    if unit is not None:
        units = int(unit.max()) + 1
        of_units = np.bincount(unit, away, units)
        for number, rows in enumerate(slices):
            m, rest = len(rows), n - len(rows)
            inside = np.bincount(unit[rows], away[rows], units)
            difference = inside / m - (of_units - inside) / rest
            between = float((difference**2).sum()) * units / max(units - 1, 1)
            effects[number] = max(1.0, between / (variance * (1 / m + 1 / rest)))
    if np.isin(values, (0, 1)).all():
        others_right = values.sum() - sums
        cells = (sums, sizes - sums, others_right, rests - others_right)
        right, wrong, right_beside, wrong_beside = (np.rint(cell / effects) for cell in cells)
        all_right, drawn = right + right_beside, right + wrong
        table = (drawn + right_beside + wrong_beside, all_right, drawn)
        tails = hypergeom.cdf(right, *table), hypergeom.sf(right - 1, *table)
    else:
        spread = np.sqrt(variance / sizes * rests / (n - 1) * effects)
        skewness = float((away**3).mean()) / variance**1.5
        of_mean = skewness * (n - 2 * sizes) / (n - 2) * np.sqrt((n - 1) / sizes / rests * effects)
        seen = (sums / sizes - values.mean()) / spread
        tails = pearson3.cdf(seen, of_mean), pearson3.sf(seen, of_mean)
    return np.asarray(np.minimum(1, 2 * np.minimum(*tails)))
