"""Estimates with a standard error: interval, p-value and verdict come from one distribution.

An estimate is made of equally trusted parts: the jackknife pseudo-values of rows or groups, those
of rows and seeds together, or the results of cross-validation folds. Its bounds and p-values are of
Student's t, corrected for skewness where two methods disagree in one direction; differences in
accuracy without groups have the score interval of Tango instead. Both hold for few rows, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.core.arrays import Floats, Number

NAN: Final = float("nan")
CONFIDENCE: Final = 0.95
SIGNIFICANT: Final = 0.05
"""Of p-values, two-sided, and of one-sided bounds."""
POWER: Final = 0.8
"""With which differences that are called detectable are found."""
FARTHEST: Final = 1e9
"""Standard errors beyond which a distance makes no difference, and its cube would overflow."""
UNSEEN: Final = 3.0
"""Units that a difference reckons with beyond those seen, each of the largest effect.

None of a kind in n units is compatible with up to 3 in n (Hanley and Lippman-Hand, JAMA, 1983).
"""
_STRAIGHT: Final = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A value known up to chance.

    Attributes:
        value: the metric, or a difference of two.
        error: its standard error; nan where it is undefined, as with one unit.
        freedom: degrees of freedom of the standard error.
        units: number of rows, or of groups that belong together.
        skew: skewness of the value's distribution, which makes one bound wider than the other.
    """

    value: Number
    error: Number
    freedom: Number
    units: int
    skew: float = 0.0

    def lower(self, level: float = 0.05) -> float:
        """Return the one-sided lower bound: the truth is below it with probability `level`."""
        return self.value - self._reach(level, self.skew) * self.error

    def upper(self, level: float = 0.05) -> float:
        """Return the one-sided upper bound: the truth is above it with probability `level`."""
        return self.value + self._reach(level, -self.skew) * self.error

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return the two-sided interval; the two one-sided bounds at half the rest each."""
        rest = (1 - confidence) / 2
        return self.lower(rest), self.upper(rest)

    def tail(self, at: float = 0.0) -> float:
        """Return the one-sided p-value of "the truth is at most `at`"; 1 if it cannot be told.

        It is below a level exactly where the lower bound at that level is above `at`.
        """
        from scipy.special import stdtr

        if math.isnan(self.error) or (self.error == 0 and self.value <= at):
            return 1.0
        if self.error == 0:
            return 0.0
        away = max(-FARTHEST, min(FARTHEST, (self.value - at) / self.error))
        bend = self.skew / 3
        straight = away + bend * away**2 + bend**2 * away**3 / 3 + bend / 2
        return float(stdtr(self.freedom, -straight))

    def p_value(self) -> float:
        """Return the two-sided p-value of "the truth is 0"; 1 where the error is undefined.

        It is below 0.05 exactly where the 95% interval leaves 0 out.
        """
        return min(1.0, 2 * min(self.tail(), self.negated().tail()))

    def negated(self) -> Estimate:
        """Return the same estimate with the opposite sign."""
        return replace(self, value=-self.value, skew=-self.skew)

    def _reach(self, level: float, skew: float) -> float:
        """Return how many standard errors a lower bound is below the value.

        The monotone cubic transformation of Hall (On the removal of skewness by transformation,
        JRSS B, 1992), solved for the statistic.
        """
        from scipy.special import stdtrit

        quantile = float(stdtrit(self.freedom, 1 - level)) if self.freedom > 0 else NAN
        bend = skew / 3
        if abs(bend) < _STRAIGHT:
            return quantile
        return (float(np.cbrt(1 + 3 * bend * (quantile - bend / 2))) - 1) / bend


@dataclass(frozen=True)
class DiscordantRows(Estimate):
    """A difference of two accuracies on the same rows, with the score interval of Tango.

    Where all disagreements are in one direction, no bound is tighter than the exact one of their
    share (Clopper and Pearson, 1934): Tango's calls up to 6% as good instead of 5%.

    Source: Tango, Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design, Statistics in Medicine, 1998.

    Attributes:
        only_a: rows that only the first has right; `only_b` likewise.
    """

    only_a: int = 0
    only_b: int = 0

    @classmethod
    def of(cls, only_a: int, only_b: int, rows: int) -> DiscordantRows:
        """Return the difference of a method with `only_a` and one with `only_b` rows right alone.

        Rows, of which there are `rows`, that both have right or wrong do not count for either.
        """
        value = (only_a - only_b) / rows
        error = math.sqrt(max(0.0, (only_a + only_b) / rows - value**2) / rows)
        return cls(value, error, math.inf, rows, only_a=only_a, only_b=only_b)

    def lower(self, level: float = 0.05) -> float:
        """See `Estimate.lower`."""
        return min(self._bound(level, -1.0), -self._most(level) if not self.only_a else 1.0)

    def upper(self, level: float = 0.05) -> float:
        """See `Estimate.upper`."""
        return max(self._bound(level, 1.0), self._most(level) if not self.only_b else -1.0)

    def tail(self, at: float = 0.0) -> float:
        """See `Estimate.tail`."""
        from scipy.special import bdtr, ndtr

        exact = bdtr(self.only_b, self.units, -at) if not self.only_a and at < 0 else 0.0
        return max(float(ndtr(-self._score(at))), float(exact))

    def negated(self) -> DiscordantRows:
        """See `Estimate.negated`."""
        return DiscordantRows.of(self.only_b, self.only_a, self.units)

    def _most(self, level: float) -> float:
        """Return the exact upper bound of the share of rows that only one of the two has right."""
        from scipy.special import betaincinv

        rows = self.only_a + self.only_b
        return (
            float(betaincinv(rows + 1, self.units - rows, 1 - level)) if rows < self.units else 1.0
        )

    def _score(self, difference: float) -> float:
        """Return how many standard errors the value is above an assumed true difference.

        The standard error is the one that is likeliest if that difference is true.
        """
        a, b, n = self.only_a, self.only_b, self.units
        first = -a - b + (2 * n - a + b) * difference
        last = -b * difference * (1 - difference)
        alone = (math.sqrt(max(0.0, first**2 - 8 * n * last)) - first) / (4 * n)
        variance = n * (2 * alone + difference * (1 - difference))
        away = a - b - n * difference
        if variance <= 0:
            return math.copysign(math.inf, away) if abs(away) > 1e-9 else 0.0
        return away / math.sqrt(variance)

    def _bound(self, level: float, end: float) -> float:
        from scipy.optimize import brentq
        from scipy.special import ndtri

        limit = float(ndtri(1 - level))
        value = self.value
        if abs(value - end) < 1e-12:
            return end
        edge = end * (1 - 1e-12)
        if abs(self._score(edge)) <= limit:
            return end
        # From the value itself the score falls to the edge without turning back.
        return float(brentq(lambda at: abs(self._score(at)) - limit, value, edge, xtol=1e-12))


def of_units(value: float, without: Floats, unseen: float | None = None) -> Estimate:
    """Return an estimate from the values without each unit in turn, (units,): the jackknife.

    Args:
        value: the metric, or a difference of two methods.
        without: the same without each unit.
        unseen: of a difference, the largest effect of a unit that may not have been seen. The
            error then reckons with `UNSEEN` of them, or of the largest effect seen, and the bounds
            are corrected for skewness: two methods that disagree on few units seem too certain
            otherwise. None (the default) for the plain jackknife.

    Source: Efron and Stein, The jackknife estimate of variance, Annals of Statistics, 1981.
    """
    left = without[np.isfinite(without)]
    n = len(left)
    if n < 2 or not math.isfinite(value):
        return Estimate(value, NAN, 0.0, len(without))
    variance, third = _moments((n - 1) * (left.mean() - left), unseen)
    error = math.sqrt(variance)
    return Estimate(value, error, float(n - 1), len(without), _skewness(third, variance))


def _skewness(third: float, variance: float) -> float:
    scale = variance**1.5  # which underflows long before the variance does
    return third / scale if scale else 0.0


def _moments(away: Floats, unseen: float | None) -> tuple[float, float]:
    """Return variance and third moment of the mean of units that are so far from it, (n,)."""
    n = len(away)
    squares, largest = float((away**2).sum()), float(np.abs(away).max())
    if unseen is None:
        return squares / (n * (n - 1)), 0.0
    squares += UNSEEN * max(largest, n * unseen) ** 2
    return squares / (n * (n - 1)), float((away**3).sum()) / (n * (n - 1)) ** 1.5


def of_seeds(value: float, pseudo_values: Floats, unseen: float | None = None) -> Estimate:
    """Return an estimate over rows and seeds: for a method rather than for one trained model.

    The variance adds that of the means of the units, over n, and that of the means of the seeds,
    over S. What the two have in common counts twice: without it, intervals of three seeds held the
    truth in less than 93% (`benchmarks/RESULTS.md`). Degrees of freedom are by Satterthwaite (An
    approximate distribution of estimates of variance components, Biometrics, 1946). In terms of a
    two-way random effects model: Searle, Casella and McCulloch, Variance Components, 1992,
    chapter 4.

    Args:
        value: mean over the seeds.
        pseudo_values: jackknife pseudo-values, (units, seeds), two seeds or more.
        unseen: see `of_units`.
    """
    n, seeds = pseudo_values.shape
    if n < 2 or not np.isfinite(pseudo_values).all():
        return Estimate(value, NAN, 0.0, n)
    of_rows, of_seeds = pseudo_values.mean(axis=1), pseudo_values.mean(axis=0)
    rows, third = _moments(of_rows - of_rows.mean(), unseen)
    drawn = float(of_seeds.var(ddof=1)) / seeds
    variance = rows + drawn
    if variance == 0:
        return Estimate(value, 0.0, float(n - 1), n)
    parts = rows**2 / (n - 1) + drawn**2 / (seeds - 1)
    return Estimate(value, math.sqrt(variance), variance**2 / parts, n, _skewness(third, variance))


def of_folds(
    value: float,
    folds: Floats,
    units: int,
    of_units: Floats | None = None,
    unseen: float | None = None,
) -> Estimate:
    """Return an estimate from repeated cross-validation.

    Folds share training rows, so their values vary less than they are wrong: the variance is
    s2 (1/J + 1/(k - 1)) for J values in repeats of k folds. s2 is the variance within a repeat: all
    repeats have the same rows and nearly the same mean, so the variance of all J values is too
    small by about 1/k. The standard error is never below that of the rows or groups themselves,
    and has no more degrees of freedom than they have.

    Source: Nadeau and Bengio, Inference for the generalization error, Machine Learning, 2003; the
    variance within repeats and the bound by rows: `benchmarks/LOG.md`.

    Args:
        value: the metric, or the difference of two methods on the same folds.
        folds: (repeats, k) what each fold adds to it; nan where it is undefined.
        units: number of rows, or of groups, in all folds of a repeat.
        of_units: (units,) jackknife pseudo-values, as means over repeats; None if there are none.
        unseen: of a difference, see `of_units`; it needs the pseudo-values.
    """
    known = [repeat[np.isfinite(repeat)] for repeat in folds]
    spreads = [float(repeat.var(ddof=1)) for repeat in known if len(repeat) > 1]
    if not spreads or units < 2 or not math.isfinite(value):
        return Estimate(value, NAN, 0.0, units)
    repeats, k = folds.shape
    shared = 1 / sum(map(len, known)) + 1 / (k - 1)
    error = math.sqrt(float(np.mean(spreads)) * shared)
    freedom = float(min(repeats * (k - 1), units - 1))
    left = np.zeros(0) if of_units is None else of_units[np.isfinite(of_units)]
    if len(left) < 2:
        return Estimate(value, error, freedom, units)
    rows, third = _moments(left - left.mean(), unseen)
    if (of_rows := math.sqrt(rows)) > error:
        error, freedom = of_rows, units - 1.0
    return Estimate(value, error, freedom, units, _skewness(third, error**2))
