"""Tests of a slice against the other rows: p-value, interval, and the gap that can be found.

A p-value and its interval come from one test: the interval leaves 0 out where p is below its level.
Both hold for all slices together (Bonferroni). Holm's method would name at most a few more, but has
no two-sided intervals that agree with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.evaluation.estimates import POWER, SIGNIFICANT
from finetext.evaluation.proportions import score_interval

_MOST_EXACT: Final = 2_000
"""Rows of a slice up to which its interval is exact: beyond, its sum is nearly normal."""
_FARTHEST: Final = 60.0
_HALVINGS: Final = 50


@dataclass(frozen=True, eq=False)
class SliceTests:
    """What is known of the difference of each slice from the other rows, arrays of (slices,).

    Attributes:
        p_values: two-sided, times the number of tests.
        low: lower end of the interval; the intervals hold all true differences in 95% of cases.
        high: upper end; both are nan where the test has none.
        detectable: how far behind a slice of its size has to be for a p-value below 0.05 in 80% of
            cases, about; infinite where no number of errors on so few rows would do.
    """

    p_values: Floats
    low: Floats
    high: Floats
    detectable: Floats


def slice_tests(
    values: Floats, slices: Sequence[Integers], unit: Integers | None = None, tests: int = 1
) -> SliceTests:
    """Test the mean of the (n,) values on each slice against that on the other rows, two-sided.

    Values of 0 and 1 are tested by Fisher's exact test, on the hypergeometric distribution; the
    interval holds the odds ratios that it does not reject, as the differences that they lead to
    where as many rows are right. Another sample may have more or fewer right rows, so it holds the
    score interval of the difference, too (Newcombe 1998, method 10), as far as 0. For other values,
    the mean over all subsets of the size of the slice is taken to follow Pearson's type III
    distribution with the same mean, variance and skewness (Mielke and Berry, Permutation Methods,
    2007); the interval holds the differences without which the slice would not be rejected.

    Rows of a group, numbered by the (n,) `unit`, are alike. So numbers of rows are divided by the
    design effect, the factor by which groups widen the variance of the difference (Rao and Scott, A
    simple method for the analysis of clustered binary data, Biometrics 1992); it is 1 at least.

    Args:
        values: one for each row.
        slices: the positions of the rows of each.
        unit: number of the group of each row.
        tests: how many slices are tested in all, for Bonferroni's correction.
    """
    from scipy.special import ndtri

    n, away = len(values), values - values.mean()
    variance = float((away**2).mean())
    nothing = np.full(len(slices), np.nan)
    if variance < 1e-24 or not slices:
        return SliceTests(np.ones(len(slices)), nothing, nothing, nothing)
    level = SIGNIFICANT / max(tests, 1)
    sizes = np.array([len(rows) for rows in slices], dtype=np.float64)
    effects = np.ones(len(slices))
    if unit is not None:
        effects = np.array([_design_effect(away, rows, unit, variance) for rows in slices])
    two = _TwoSamples.of(values, slices, effects)
    p_values, (low, high) = two.p_values(np.zeros(len(slices))), two.interval(level)
    if np.isin(values, (0, 1)).all():
        cells = _cells(values, slices, effects)
        p_values = _fisher(cells)
        for place in np.flatnonzero(cells[:2].sum(axis=0) <= _MOST_EXACT):
            exact = _exact_interval(cells[:, place], level)
            low[place], high[place] = _not_narrower(exact, cells[:, place], level)
        detectable = _detectable(cells, level)
    else:
        far = float(ndtri(1 - level / 2) + ndtri(POWER))
        detectable = far * np.sqrt(variance * effects * (1 / sizes + 1 / (n - sizes)))
    return SliceTests(np.minimum(1, p_values * max(tests, 1)), low, high, detectable)


def _design_effect(away: Floats, rows: Integers, unit: Integers, variance: float) -> float:
    n, m = len(away), len(rows)
    units = int(unit.max()) + 1
    of_units = np.bincount(unit, away, units)
    inside = np.bincount(unit[rows], away[rows], units)
    difference = inside / m - (of_units - inside) / (n - m)
    between = float((difference**2).sum()) * units / max(units - 1, 1)
    return max(1.0, between / (variance * (1 / m + 1 / (n - m))))


def _cells(values: Floats, slices: Sequence[Integers], effects: Floats) -> Floats:
    """Return the (4, slices) numbers of right and wrong rows in and beside each slice."""
    sizes = np.array([len(rows) for rows in slices], dtype=np.float64)
    sums = np.array([values[rows].sum() for rows in slices])
    right_beside = values.sum() - sums
    cells = np.stack([sums, sizes - sums, right_beside, len(values) - sizes - right_beside])
    return np.rint(cells / effects)


def _fisher(cells: Floats) -> Floats:
    """Return twice the smaller tail of the hypergeometric distribution."""
    from scipy.stats import hypergeom

    right, wrong, right_beside, _ = cells
    table = cells.sum(axis=0), right + right_beside, right + wrong
    tails = hypergeom.cdf(right, *table), hypergeom.sf(right - 1, *table)
    return np.asarray(np.minimum(1, 2 * np.minimum(*tails)))


def _detectable(cells: Floats, level: float) -> Floats:
    """Return the gaps at which the exact test rejects in 80% of cases, beside the same rest."""
    from scipy.special import betaincinv

    right_beside, wrong_beside = cells[2:]
    drawn = cells[0] + cells[1]
    few, many = np.full(len(drawn), -1.0), drawn.copy()  # right rows: rejected, and not rejected
    while (many - few > 1).any():
        middle = np.floor((few + many) / 2)
        tried = np.stack([middle, drawn - middle, right_beside, wrong_beside])
        is_rejected = (middle >= 0) & (_fisher(tried) < level)
        few, many = np.where(is_rejected, middle, few), np.where(is_rejected, many, middle)
    errors = np.maximum(drawn - few, 1)
    # So many errors or more are seen with probability I_q(errors, drawn - errors + 1).
    rate = betaincinv(errors, np.maximum(drawn - errors + 1, 1), POWER)
    gap = rate - wrong_beside / np.maximum(right_beside + wrong_beside, 1)
    return np.asarray(np.where(few >= 0, gap, np.inf))


def _exact_interval(cells: Floats, level: float) -> tuple[float, float]:
    """Return the differences that the exact test with so many right rows does not reject."""
    from scipy.optimize import brentq
    from scipy.special import gammaln

    right, drawn = float(cells[0]), float(cells[0] + cells[1])
    all_right, beside = float(cells[0] + cells[2]), float(cells[2] + cells[3])
    if not drawn or not beside:
        return float("nan"), float("nan")
    x = np.arange(max(0.0, all_right - beside), min(drawn, all_right) + 1)
    ways = -gammaln(x + 1) - gammaln(drawn - x + 1)
    ways -= gammaln(all_right - x + 1) + gammaln(beside - all_right + x + 1)

    def shares(log_odds: float) -> Floats:
        logs = ways + x * log_odds
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum())

    def end(tail: np.ndarray, is_edge: bool, sign: float) -> float:
        if is_edge:
            mean = float(x[0] if sign < 0 else x[-1])
        else:
            ends = -_FARTHEST, _FARTHEST
            root = brentq(lambda of: float(shares(of)[tail].sum()) - level / 2, *ends, xtol=1e-6)
            mean = float(shares(root) @ x)
        return mean / drawn - (all_right - mean) / beside

    return (
        end(x >= right, right == x[0], -1.0),
        end(x <= right, right == x[-1], 1.0),
    )


def _not_narrower(exact: tuple[float, float], cells: Floats, level: float) -> tuple[float, float]:
    """Return an interval that holds the score interval, too, but leaves 0 out if it did.

    Where nearly all rows are right, few differences are possible with as many right rows.
    """
    from scipy.special import ndtri

    right, wrong, right_beside, wrong_beside = map(float, cells)
    drawn, beside, quantile = (
        right + wrong,
        right_beside + wrong_beside,
        float(ndtri(1 - level / 2)),
    )
    if not drawn or not beside:
        return exact
    own, other, (low, high) = right / drawn, right_beside / beside, exact
    (a, b), (c, d) = (score_interval(of, n, quantile) for of, n in ((own, drawn), (other, beside)))
    wider = (
        own - other - math.hypot(own - a, d - other),
        own - other + math.hypot(b - own, other - c),
    )
    return (
        low if low > 0 else min(low, wider[0]),
        high if high < 0 else max(high, wider[1]),
    )


@dataclass(frozen=True, eq=False)
class _TwoSamples:
    """Size, mean, variance and third central moment of each slice (0) and of its rest (1)."""

    sizes: tuple[Floats, Floats]
    means: tuple[Floats, Floats]
    variances: tuple[Floats, Floats]
    thirds: tuple[Floats, Floats]
    effects: Floats

    @classmethod
    def of(cls, values: Floats, slices: Sequence[Integers], effects: Floats) -> _TwoSamples:
        centered = values - values.mean()
        powers = np.stack([centered**power for power in (0, 1, 2, 3)])
        inside = np.array([powers[:, rows].sum(axis=1) for rows in slices]).T
        parts = []
        for sums in (inside, powers.sum(axis=1)[:, None] - inside):
            first, second, third = sums[1:] / sums[0]
            cubed = third - 3 * first * second + 2 * first**3
            parts.append((sums[0], first, np.maximum(second - first**2, 0), cubed))
        sizes, means, variances, thirds = zip(*parts, strict=True)
        return cls(sizes, means, variances, thirds, effects)

    def tails(self, difference: Floats) -> tuple[Floats, Floats]:
        """Return the lower and upper tail of each slice, less an assumed true difference."""
        from scipy.stats import pearson3

        size, rest = self.sizes
        n = size + rest
        gap = self.means[0] - self.means[1] - difference
        own, other = gap * rest / n, -gap * size / n
        variance = size * (self.variances[0] + own**2) + rest * (self.variances[1] + other**2)
        variance = np.maximum(variance / n, 1e-24)
        third = size * (self.thirds[0] + 3 * own * self.variances[0] + own**3)
        third = (third + rest * (self.thirds[1] + 3 * other * self.variances[1] + other**3)) / n
        spread = np.sqrt(variance / size * rest / (n - 1) * self.effects)
        skewness = third / variance**1.5 * (n - 2 * size) / (n - 2)
        skewness = skewness * np.sqrt((n - 1) / size / rest * self.effects)
        seen = own / spread
        return pearson3.cdf(seen, skewness), pearson3.sf(seen, skewness)

    def p_values(self, difference: Floats) -> Floats:
        """Return the two-sided p-values of assumed true differences."""
        return np.asarray(np.minimum(1, 2 * np.minimum(*self.tails(difference))))

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Return the ends of the differences that are not rejected; nan where there is no end."""
        gap = self.means[0] - self.means[1]
        variances = (of / size for of, size in zip(self.variances, self.sizes, strict=True))
        step = np.sqrt(sum(variances) * self.effects) + 1e-6 + np.abs(gap)
        ends = []
        for side, sign in ((1, -1.0), (0, 1.0)):
            near, far = gap, gap + sign * 100 * step
            is_far = self.tails(far)[side] < level / 2
            for _ in range(_HALVINGS):
                middle = (near + far) / 2
                inside = self.tails(middle)[side] >= level / 2
                near, far = np.where(inside, middle, near), np.where(inside, far, middle)
            ends.append(np.where(is_far, near, np.nan))
        return ends[0], ends[1]
