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

from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.types import Floats, Integers

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
