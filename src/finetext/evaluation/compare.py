"""Paired tests of two classifiers on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.core.arrays import Number
from finetext.core.errors import DataError
from finetext.core.types import Predictions, Score
from finetext.evaluation.intervals import percentiles, resample
from finetext.evaluation.metrics import Metric, Resampling, metric_for

SIGNIFICANT: Final = 0.05
_RIGHT_OR_WRONG: Final = {"accuracy", "subset_accuracy"}


@dataclass(frozen=True)
class Comparison:
    """The paired difference of two classifiers, the first minus the second.

    Attributes:
        difference: metric of the first minus metric of the second, with its 95% interval.
        test: the test that gave the two-sided p-value.
        n: number of rows.
        standard_error: by the paired bootstrap; None where it is undefined, as with one group.
    """

    metric: str
    difference: Score
    p_value: Number
    test: str
    n: int
    standard_error: float | None = None

    def worse(self, higher_is_better: bool = True) -> bool:
        """Whether the first is significantly worse: p below 0.05, two-sided, and behind."""
        lead = self.difference.value if higher_is_better else -self.difference.value
        return self.p_value < SIGNIFICANT and lead < 0


def compare(
    a: Predictions,
    b: Predictions,
    metric: str = "accuracy",
    seed: int = 0,
    resamples: int = 2000,
    positive: str | None = None,
) -> Comparison:
    """Return the difference of a metric between two classifiers on the same rows.

    The interval is the percentile interval of the paired bootstrap, by group where there are
    groups. The p-value comes from the paired permutation test, which swaps the predictions of a
    row or group (Good, Permutation Tests, 2000); for accuracy and subset accuracy without groups,
    from McNemar's exact test (Psychometrika 1947). Both keep the false positive rate at 5% for
    rare classes, where a p-value from the bootstrap is too small.

    Args:
        a: predictions of the first classifier.
        b: predictions of the second, for the same rows in the same order.
        metric: name of the metric; a positive difference means that it is higher for `a`.
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples, and of permutations.
        positive: the positive class of binary metrics; by default that of the label schemes.

    Raises:
        DataError: the two are not about the same rows, or there are none; there is no such class
            of two, or the two name different ones.
        UnknownNameError: there is no metric of that name.
        RecipeError: the metric does not apply to the label scheme.
    """
    a, b = a.with_positive(positive), b.with_positive(positive)
    _check_same_rows(a, b)
    chosen = metric_for(metric, a.scheme)
    if chosen.of_positive_class and a.scheme.positive_column != b.scheme.positive_column:
        raise DataError(
            f"the positive class is {a.scheme.positive_class!r} in the first set of predictions "
            f"and {b.scheme.positive_class!r} in the second; choose one with --positive"
        )
    draws = resample(a, resamples, seed)
    value = chosen(a) - chosen(b)
    differences = chosen.replicates(a, draws) - chosen.replicates(b, draws)
    low, high = percentiles(differences, draws.units)
    if metric in _RIGHT_OR_WRONG and a.groups is None:
        test, p_value = "McNemar, exact", mcnemar(*discordant(a, b))
    else:
        unit = "rows" if a.groups is None else "groups"
        test, p_value = f"paired permutation of {unit}", _permutation(chosen, a, b, draws, seed)
    defined = differences[np.isfinite(differences)]
    error = float(defined.std(ddof=1)) if len(defined) > 1 and draws.units > 1 else None
    return Comparison(metric, Score(value, low, high, len(a)), p_value, test, len(a), error)


def cheapest_not_worse(
    predictions: Mapping[str, Predictions],
    cost: Mapping[str, float],
    best: str,
    metric: str = "accuracy",
    seed: int = 0,
) -> tuple[str, dict[str, Comparison]]:
    """Return the cheapest method that is not significantly worse than the best one."""
    higher = metric_for(metric, predictions[best].scheme).higher_is_better
    comparisons = {
        method: compare(of_method, predictions[best], metric, seed)
        for method, of_method in predictions.items()
        if method != best
    }
    worse = {method for method, against in comparisons.items() if against.worse(higher)}
    cheapest = min((m for m in predictions if m not in worse), key=lambda method: cost[method])
    return cheapest, comparisons


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


def _permutation(
    metric: Metric, a: Predictions, b: Predictions, draws: Resampling, seed: int
) -> float:
    """Two-sided p-value: the share of random swaps of units with so large a difference."""
    random = np.random.default_rng([seed, 1])
    kept = random.integers(2, size=draws.weights.shape, dtype=np.uint8)
    stay, swap = replace(draws, weights=kept), replace(draws, weights=1 - kept)
    differences = metric.mixed(a, b, stay, swap) - metric.mixed(a, b, swap, stay)
    differences = np.abs(differences[np.isfinite(differences)])
    observed = abs(metric(a) - metric(b))
    if np.isnan(observed):
        return 1.0
    as_large = int((differences >= observed - 1e-12).sum())
    return (as_large + 1) / (len(differences) + 1)


def discordant(a: Predictions, b: Predictions) -> tuple[int, int]:
    """Return how many rows only the first has right, and how many only the second."""
    right = [of.decisions == of.targets for of in (a, b)]
    if a.scheme.multilabel:
        right = [each.all(axis=1) for each in right]
    return int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of McNemar's exact test, from what `discordant` returns."""
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
