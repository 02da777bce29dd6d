"""The paired difference of two classifiers, or of two methods over several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Number
from finetext.core.display import ShownInNotebook
from finetext.core.errors import DataError
from finetext.core.types import Predictions, Score
from finetext.evaluation.estimates import SIGNIFICANT, DiscordantRows, Estimate, of_seeds, of_units
from finetext.evaluation.intervals import units_of
from finetext.evaluation.metrics import Metric, Resampling, metric_for

BLOCKS: Final = 200
"""Blocks of rows or groups that are left out in turn, for a metric that is slow to compute."""
_RIGHT_OR_WRONG: Final = {"accuracy", "subset_accuracy"}


@dataclass(frozen=True)
class Comparison(ShownInNotebook):
    """The paired difference of two classifiers, the first minus the second.

    Attributes:
        difference: metric of the first minus metric of the second, with its 95% interval.
        p_value: two-sided; below 0.05 exactly where the interval leaves 0 out.
        test: what gave interval and p-value.
        n: number of rows.
        standard_error: of the difference; None where it is undefined, as with one group.
        estimate: what all of these are taken from; None in files of earlier versions.
        seeds: number of trainings of each that were compared.
    """

    metric: str
    difference: Score
    p_value: Number
    test: str
    n: int
    standard_error: float | None = None
    estimate: Estimate | DiscordantRows | None = None
    seeds: int = 1

    @classmethod
    def of(cls, metric: Metric, estimate: Estimate, test: str, rows: int, seeds: int) -> Comparison:
        """Return the comparison that an estimate makes."""
        low, high = estimate.interval()
        if metric.proportion:
            low, high = float(np.maximum(low, -1.0)), float(np.minimum(high, 1.0))
        error, p_value = estimate.error, estimate.p_value()
        known = error if np.isfinite(error) else None
        difference = Score(estimate.value, low, high, rows)
        return cls(metric.name, difference, p_value, test, rows, known, estimate, seeds)

    def worse(self, higher_is_better: bool = True) -> bool:
        """Whether the first is significantly worse: p below 0.05, two-sided, and behind."""
        lead = self.difference.value if higher_is_better else -self.difference.value
        return self.p_value < SIGNIFICANT and lead < 0


def compare(
    a: Predictions | Sequence[Predictions],
    b: Predictions | Sequence[Predictions],
    metric: str = "accuracy",
    seed: int = 0,
    positive: str | None = None,
) -> Comparison:
    """Return the difference of a metric between two classifiers on the same rows.

    Interval and p-value come from one estimate and never contradict each other. For accuracy and
    subset accuracy without groups that is the score interval of Tango (Statistics in Medicine
    1998); else Student's t with the jackknife over rows, or groups where there are some, which
    reckons with disagreements that are too rare to be seen (`evaluation.estimates.of_units`).

    With predictions of several seeds each, two methods are compared rather than two models: the
    difference is the mean over the seeds, and its interval covers rows and seeds.

    Args:
        a: predictions of the first classifier, or one set for each seed.
        b: predictions of the second, for the same rows in the same order. If one has more seeds
            than the other, the first of them count.
        metric: name of the metric; a positive difference means that it is higher for `a`.
        seed: seeds the blocks of rows that are left out in turn where rows would be too many.
        positive: the positive class of binary metrics; by default that of the label schemes.

    Raises:
        DataError: the two are not about the same rows, or there are none; there is no such class
            of two, or the two name different ones.
        UnknownNameError: there is no metric of that name.
        RecipeError: the metric does not apply to the label scheme.
    """
    ones, others = ([of] if isinstance(of, Predictions) else list(of) for of in (a, b))
    if not ones or not others:
        raise DataError("there are no predictions to compare")
    seeds = min(len(ones), len(others))
    ones, others = ([p.with_positive(positive) for p in of[:seeds]] for of in (ones, others))
    for p in (*others, *ones[1:]):
        _check_same_rows(ones[0], p)
    one, other = ones[0], others[0]
    chosen = metric_for(metric, one.scheme)
    if chosen.of_positive_class and one.scheme.positive_column != other.scheme.positive_column:
        raise DataError(
            f"the positive class is {one.scheme.positive_class!r} in the first set of predictions "
            f"and {other.scheme.positive_class!r} in the second; choose one with --positive"
        )
    if metric in _RIGHT_OR_WRONG and one.groups is None and seeds == 1:
        only = discordant(one, other)
        estimate: Estimate = DiscordantRows.of(*only, len(one))
        test = "score interval of discordant rows (Tango)"
    else:
        unit = "rows" if one.groups is None else "groups"
        estimate = estimate_difference(chosen, ones, others, seed)
        over = f"{unit} and {seeds} seeds" if seeds > 1 else unit
        test = f"Student's t, jackknife over {over}"
    return Comparison.of(chosen, estimate, test, len(one), seeds)


def on_shared_rows(
    a: Sequence[Predictions], b: Sequence[Predictions]
) -> tuple[list[Predictions], list[Predictions]]:
    """Return both on the rows of the one that was scored on a sample of the rows of the other.

    Raises a DataError if neither has all rows of the other.
    """
    ones, others = list(a), list(b)
    if ones[0].ids == others[0].ids:
        return ones, others
    if len(ones[0]) > len(others[0]):
        others, ones = on_shared_rows(others, ones)
        return ones, others
    place = {row_id: row for row, row_id in enumerate(others[0].ids)}
    if not place.keys() >= set(ones[0].ids):
        raise DataError("neither set of predictions has all rows of the other")
    rows = [place[row_id] for row_id in ones[0].ids]
    return ones, [of.select(rows) for of in others]


def estimate_difference(
    metric: Metric, a: Sequence[Predictions], b: Sequence[Predictions], seed: int = 0
) -> Estimate:
    """Return the difference of a metric, `a` minus `b`, over units and, if several, over seeds.

    Both have the same rows, which are not checked, and one set of predictions for each seed.
    """
    parts = _parts(a[0], seed)
    pairs = list(zip(a, b, strict=True))
    values = np.array([metric(one) - metric(other) for one, other in pairs])
    without = np.stack([_without(metric, x, parts) - _without(metric, y, parts)
                        for x, y in pairs], axis=1)  # fmt: skip
    of_rows = max(largest_effect(metric, x, y) for x, y in pairs)
    unseen = of_rows * len(a[0]) / parts[2]  # a group of usual size
    return replace(_estimate(values, without, unseen), units=parts[2])


def estimate_score(metric: Metric, of: Sequence[Predictions], seed: int = 0) -> Estimate:
    """Return the mean of a metric over seeds, for the method rather than for one of its models."""
    parts = _parts(of[0], seed)
    values = np.array([metric(one) for one in of])
    without = np.stack([_without(metric, one, parts) for one in of], axis=1)
    return replace(_estimate(values, without, None), units=parts[2])


def _estimate(values: Floats, without: Floats, unseen: float | None) -> Estimate:
    """Return an estimate from a value for each seed, and values without each unit, (n, seeds)."""
    if len(values) == 1:
        return of_units(float(values[0]), without[:, 0], unseen)
    n = len(without)
    return of_seeds(float(values.mean()), n * values - (n - 1) * without, unseen)


def _parts(of: Predictions, seed: int) -> tuple[Resampling, Resampling, int]:
    """Return what to leave out in turn, units or fewer blocks of them, and the number of units."""
    random = np.random.default_rng(seed)
    unit, units = units_of(of, random)
    blocks = min(units, BLOCKS)
    block = random.permutation(units) % blocks
    weights = np.uint8(1) - np.eye(blocks, dtype=np.uint8)
    each = Resampling(unit, np.ones((1, units), dtype=np.uint8))
    exact = len(of) if of.groups is None else len(set(of.groups))
    return each, Resampling(block[unit], weights), exact


def _without(metric: Metric, of: Predictions, parts: tuple[Resampling, Resampling, int]) -> Floats:
    """Return the metric without each unit, or each block if it is slow to compute, in turn."""
    each, blocks, _ = parts
    found = metric.leave_one_out(of, each)
    return metric.replicates(of, blocks) if found is None else found


def largest_effect(metric: Metric, a: Predictions, b: Predictions) -> float:
    """Return the largest effect of a row that one has right and the other has wrong."""
    (right_a, wrong_a), (right_b, wrong_b) = metric.effects(a), metric.effects(b)
    return float(max(np.abs(right_a - wrong_b).max(), np.abs(right_b - wrong_a).max()))


def _check_same_rows(a: Predictions, b: Predictions) -> None:
    if a.scheme != b.scheme:
        raise DataError("the two sets of predictions have different labels, or in another order")
    if len(a) != len(b):
        raise DataError(f"the two sets of predictions have {len(a):,} and {len(b):,} rows")
    for row, (first, second) in enumerate(zip(a.ids, b.ids, strict=True)):
        if first != second:
            raise DataError(
                f"row {row + 1} of the predictions has the id {first!r} in one and {second!r} in "
                "the other: a paired comparison needs the same rows in the same order"
            )
    if not np.array_equal(a.targets, b.targets):
        raise DataError("the two sets of predictions disagree on the true labels of some rows")
    if a.groups != b.groups:
        raise DataError("the two sets of predictions disagree on the groups of some rows")


def discordant(a: Predictions, b: Predictions) -> tuple[int, int]:
    """Return how many rows only the first has right, and how many only the second."""
    one, other = is_right(a), is_right(b)
    return int((one & ~other).sum()), int((other & ~one).sum())


def is_right(of: Predictions) -> Booleans:
    """Return (n,) whether each row has the right label, or exactly the right labels."""
    right = of.decisions == of.targets
    return np.asarray(right.all(axis=1) if of.scheme.multilabel else right)
