"""Power laws through the points of a learning curve, and how far they can be believed.

The law is score(n) = limit - gap * n ** -rate (Figueroa et al., Predicting sample size required for
classification performance, 2012; Hestness et al., Deep learning scaling is predictable, 2017). For
a given rate it is a straight line, so that the best of a grid of rates is the weighted least
squares fit, without starting values (Golub and Pereyra 1973); and for a thousand draws at once.

Small shares often lie off the law. How many to leave out is averaged over, with the weights
exp(-(chi-square + 2 * points left out) / 2) of Jay and Neil (Bayesian model averaging for analysis
of lattice field theory results, 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.types import Score
from finetext.evaluation.intervals import widened

FEWEST_POINTS: Final = 3
LAW_ERROR: Final = 0.005
"""How far off the law a true score may lie: a law is a summary, not nature."""
STEEPENING: Final = 0.75
"""Share of the draws with a negative rate above which the curve counts as not yet slowing."""
_RATES: Final = np.geomspace(0.01, 3.0, 60)
_ALL_RATES: Final = np.concatenate([np.linspace(-1.0, -0.05, 20), _RATES])


@dataclass(frozen=True, eq=False)
class Scores:
    """Points of a learning curve, turned so that higher is better.

    Attributes:
        rows: labels of each of m points, rising, (m,).
        value: score of each point, (m,).
        row_noise: what each resample of the validation rows adds to each point, (m, draws); the
            same rows are drawn for all points.
        training_variance: of each point by the choice of the share and by training, (m,).
        highest: the best score there can be.
    """

    rows: Floats
    value: Floats
    row_noise: Floats
    training_variance: Floats
    highest: float


@dataclass(frozen=True, eq=False)
class Laws:
    """Laws as now + slope * (1 - times ** -rate) / rate, in times of the labels there are now.

    Attributes:
        now: (d,) score with the labels there are.
        slope: (d,) gain per unit of the logarithm of labels, here and now; not negative.
        rate: (d,) how fast that falls; where it is negative, the slope grows.
        misfit: (d,) chi-square.
        first: (d,) the first point that was fitted on.
    """

    now: Floats
    slope: Floats
    rate: Floats
    misfit: Floats
    first: Integers

    def gain(self, times: float) -> Floats:
        """(d,) what so many times the labels bring."""
        return self.slope * _bent(np.array([times]), self.rate)[:, 0]


@dataclass(frozen=True, eq=False)
class Forecast:
    """What the points of a curve say of more labels.

    Attributes:
        best: the one law that fits best, (1,).
        draws: a law for each draw of the chance in the points, (draws,).
        now: the last point in each draw, (draws,).
        steepening: share of the draws in which each doubling brings more than the one before.
    """

    best: Laws
    draws: Laws
    now: Floats
    steepening: float


def forecast(scores: Scores, seed: int = 0) -> Forecast:
    """Fit laws to the points, and to draws of what the points might have been.

    Args:
        scores: four points or more.
        seed: seed of the draws.
    """
    random = np.random.default_rng(seed)
    variance = scores.training_variance + LAW_ERROR**2
    noise = random.standard_normal(scores.row_noise.shape) * np.sqrt(variance)[:, None]
    drawn = np.minimum((scores.value[:, None] + scores.row_noise + noise).T, scores.highest)
    weights = 1 / (variance + scores.row_noise.var(axis=1))
    times = scores.rows / scores.rows[-1]
    chance = random.random(len(drawn))

    def averaged(rates: Floats) -> tuple[Laws, Laws]:
        firsts = range(len(times) - FEWEST_POINTS + 1)
        fits = [fit(times, drawn, weights, rates, scores.highest, first) for first in firsts]
        mean = [
            fit(times, scores.value[None], weights, rates, scores.highest, first)
            for first in firsts
        ]
        costs = np.array([law.misfit[0] + 2 * first for first, law in enumerate(mean)])
        shares = np.exp(-(costs - costs.min()) / 2)
        chosen = np.searchsorted(np.cumsum(shares / shares.sum())[:-1], chance, side="right")
        return mean[int(costs.argmin())], _chosen(fits, chosen)

    best, draws = averaged(_RATES)
    _, free = averaged(_ALL_RATES)
    return Forecast(best, draws, drawn[:, -1], float(np.mean((free.rate < 0) & (free.slope > 0))))


def fit(
    times: Floats, scores: Floats, weights: Floats, rates: Floats, highest: float, first: int = 0
) -> Laws:
    """The best law for each draw.

    Args:
        times: labels of m points, in times of those of the last, (m,).
        scores: (draws, m).
        weights: of the points: one over the variance, (m,).
        rates: those that are tried.
        highest: what no law with a positive rate may go beyond.
        first: number of points to leave out, the smallest.
    """
    times, scores, weights = times[first:], scores[:, first:], weights[first:]
    x = _bent(times, rates)
    mean_x, mean = x @ weights / weights.sum(), scores @ weights / weights.sum()
    spread = (x - mean_x[:, None]) ** 2 @ weights
    slope = np.maximum(((scores - mean[:, None]) * weights) @ x.T / spread, 0)
    now = mean[:, None] - slope * mean_x
    room = np.where(rates > 0, 1 / rates, 0)
    over = (rates > 0) & (now + slope * room > highest)
    below = x - room[:, None]
    held = np.maximum(((scores - highest) * weights) @ below.T / (below**2 @ weights), 0)
    slope = np.where(over, held, slope)
    now = np.where(over, highest - held * room, now)
    away = scores[:, None, :] - now[:, :, None] - slope[:, :, None] * x
    misfit = away**2 @ weights
    row, column = np.arange(len(scores)), misfit.argmin(axis=1)
    starts = np.full(len(scores), first)
    return Laws(now[row, column], slope[row, column], rates[column], misfit[row, column], starts)


def _bent(times: Floats, rates: Floats) -> Floats:
    """(rates, times): the logarithm of times, bent by the rate (Box and Cox 1964)."""
    return np.asarray((1 - times ** -rates[:, None]) / rates[:, None])


def _chosen(fits: list[Laws], which: Integers) -> Laws:
    """For each draw the law of the fit chosen for it."""
    parts = ("now", "slope", "rate", "misfit", "first")
    return Laws(*(np.choose(which, [getattr(law, part) for law in fits]) for part in parts))


_ALL: Final = 0.99
"""Share of the training rows from which all trainings count as made from the same rows."""
_LEAST: Final = 1e-12


@dataclass(frozen=True, eq=False)
class Series:
    """Scores of one rung, or differences of two, on m shares in s trainings.

    Attributes:
        rows: rows of each share, (m,).
        share: the same as shares of all training rows, (m,).
        scores: (m, s).
        replicates: mean over trainings on each resample of the validation rows, (m, resamples).
    """

    rows: Floats
    share: Floats
    scores: Floats
    replicates: Floats

    @classmethod
    def of(cls, fits: Sequence[Sequence[Fit]], training_rows: int) -> Series:
        """The series of the fits of one rung.

        Args:
            fits: m lists of s fits each.
            training_rows: rows there are to learn from in all.
        """
        rows = np.array([np.mean([fit.rows for fit in some]) for some in fits])
        scores = np.array([[fit.score for fit in some] for some in fits])
        replicates = np.array([np.mean([fit.replicates for fit in some], 0) for some in fits])
        return cls(rows, rows / training_rows, scores, replicates)

    def less(self, other: Series) -> Series:
        """The paired differences: the same shares, trainings and resamples of rows."""
        return replace(
            self,
            scores=self.scores - other.scores,
            replicates=self.replicates - other.replicates,
        )

    @property
    def value(self) -> Floats:
        """(m,) means over trainings."""
        return np.asarray(self.scores.mean(axis=1))

    @property
    def row_noise(self) -> Floats:
        """(m, resamples): what each resample of the validation rows adds."""
        defined = np.where(np.isfinite(self.replicates), self.replicates, np.nan)
        mean = np.nan_to_num(np.nanmean(defined, axis=1, keepdims=True))
        return np.asarray(np.nan_to_num(defined - mean))

    @property
    def training_variance(self) -> Floats:
        """(m,) variance of each mean by the choice of the share and by training.

        It is taken to fall as 1/rows, and pooled over the shares. What the shares of different
        seeds have in common, since they come from the same training rows, makes their scores look
        more alike than those of fresh rows would be; the correction is that for finite
        populations. With one training there is nothing to tell it by, and it is 0.
        """
        trainings = self.scores.shape[1]
        if trainings < 2:
            return np.zeros(len(self.rows))
        seen = self.scores.var(axis=1, ddof=1)
        apart = self.share < _ALL
        unlike = np.where(apart, 1 - self.share, 1)
        per_row = (self.rows * seen / unlike)[apart]
        pooled = float(per_row.mean()) / self.rows if len(per_row) else np.zeros(len(self.rows))
        pooled = pooled * ((1 - self.share) / trainings + self.share)
        return np.asarray(np.where(apart, pooled, np.maximum(pooled, seen / trainings)))

    @property
    def standard_error(self) -> Floats:
        """(m,) of the means, by rows and trainings."""
        return np.asarray(np.sqrt(self.row_noise.var(axis=1) + self.training_variance))

    def intervals(self, units: int, proportion: bool) -> list[Score]:
        """The means with 95% intervals of Student's t.

        Args:
            units: rows, or groups of rows, that they were measured on.
            proportion: whether a score lies from 0 to 1.
        """
        far = self._quantile() * self.standard_error
        scores = []
        for value, away in zip(self.value.tolist(), far.tolist(), strict=True):
            low, high = value - away, value + away
            if proportion:
                low, high = widened(max(low, 0.0), min(high, 1.0), units)
            scores.append(Score(value, low, high, units))
        return scores

    def p_values(self) -> Floats:
        """(m,) two-sided: how likely so large a mean is where the truth is 0."""
        from scipy.stats import t

        far = np.abs(self.value) / np.maximum(self.standard_error, _LEAST)
        return np.asarray(2 * t.sf(far, self._freedom))

    @property
    def _freedom(self) -> Floats:
        """(m,) degrees of freedom: of the spread between trainings, as far as that matters.

        The approximation is that of Satterthwaite (1946); the spread over rows counts as known.
        """
        m, trainings = self.scores.shape
        of_trainings = self.training_variance**2 / max(m * (trainings - 1), 1)
        whole = self.standard_error**4
        known = of_trainings <= whole * _LEAST
        return np.asarray(np.where(known, np.inf, whole / np.where(known, 1, of_trainings)))

    def _quantile(self) -> Floats:
        from scipy.stats import t

        return np.asarray(t.ppf(0.975, self._freedom))


@dataclass(frozen=True)
class Training:
    """Which training it is.

    Attributes:
        method: fingerprint of the method and its hyperparameters.
        labels: size of the share asked for.
        seed: of the share and of the training.
    """

    method: str
    labels: int
    seed: int


@dataclass(frozen=True)
class Fit:
    """What came out of a training.

    Attributes:
        rung: name of the rung, for people.
        rows: rows of the share.
        score: the metric on the validation rows.
        replicates: the metric on each resample of them; the draws are the same for all trainings.
        seconds: time to train.
    """

    rung: str
    rows: int
    score: float
    replicates: tuple[float, ...]
    seconds: float
