"""From the scores of many trainings to a learning curve and its forecast by power laws.

The law is score(n) = limit - gap * n ** -rate (Figueroa et al., Predicting sample size required for
classification performance, 2012; Hestness et al., Deep learning scaling is predictable, 2017). For
a given rate it is a straight line, so the best of a grid of rates is the weighted least squares
fit, without starting values (Golub and Pereyra 1973), for a thousand draws at once.

Small shares often deviate from the law. The number to leave out is averaged over, with the weights
exp(-(chi-square + 2 * points left out) / 2) of Jay and Neil (Bayesian model averaging for analysis
of lattice field theory results, 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import permutations
from typing import Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.types import Score
from finetext.diagnosis.curve import (
    Crossing,
    Curve,
    Expectation,
    LinePoint,
    MethodCurve,
    Point,
    PowerLaw,
    SizeChoice,
)
from finetext.diagnosis.curve_series import FitsBySize, Series
from finetext.evaluation.choice import Choice, Grounds, choose
from finetext.evaluation.compare import Comparison
from finetext.evaluation.estimates import SIGNIFICANT, Estimate
from finetext.evaluation.metrics import Metric

TIMES: Final = (1.5, 2.0, 4.0)
FEWEST_SIZES: Final = 4
FEWEST_TRAININGS: Final = 2
FEWEST_POINTS: Final = 3
SHOWN: Final = 0.0005
"""The least gain worth reporting: what rounds to 0.000 is none."""
LAW_ERROR: Final = 0.005
"""How far a true score may deviate from the law."""
STEEPENING: Final = 0.75
"""Share of the draws with a negative rate above which the curve counts as not yet slowing."""
_LINE_POINTS: Final = 25
_TAIL: Final = 0.025
_RATES: Final = np.geomspace(0.01, 3.0, 60)
_ALL_RATES: Final = np.concatenate([np.linspace(-1.0, -0.05, 20), _RATES])


@dataclass(frozen=True)
class Measured:
    """Metric, sizes of shares, all training rows, validation rows, and these or their groups.

    With `folds` the rows to measure on are all rows, cross-validated in so many folds, and the
    training rows those outside a fold.
    """

    metric: Metric
    sizes: tuple[int, ...]
    training_rows: int
    rows: int
    units: int
    folds: int = 0

    @property
    def part(self) -> str:
        """What to call the rows to measure on."""
        return "cross-validated" if self.folds else "validation"

    @property
    def lowest(self) -> float:
        """The worst possible score times the sign."""
        return 0.0 if self.metric.proportion and self.metric.higher_is_better else -np.inf

    @property
    def sign(self) -> float:
        """The factor that makes higher scores better."""
        return 1.0 if self.metric.higher_is_better else -1.0

    @property
    def highest(self) -> float:
        """The best possible score times the sign."""
        if not self.metric.higher_is_better:
            return 0.0
        return 1.0 if self.metric.proportion else np.inf


def curve_from_fits(fits: Mapping[str, FitsBySize], measured: Measured) -> Curve:
    """Return the learning curve of all trainings, given by method."""
    series = {name: Series.of(of, measured.training_rows) for name, of in fits.items()}
    trainings = next(iter(series.values())).scores.shape[1]
    curves = tuple(_method_curve(name, series[name], fits[name], measured) for name in fits)
    return Curve(
        measured.metric.name, measured.part, measured.rows, measured.training_rows, measured.sizes,
        trainings, curves, tuple(_choices(series, fits, measured)), _crossings(series, measured),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class PowerLaws:
    """Power laws as now + slope * (1 - times ** -rate) / rate, in multiples of the labels now.

    All (d,). The slope, the gain per logarithm of labels now, is 0 or more; misfit is chi-square.
    """

    now: Floats
    slope: Floats
    rate: Floats
    misfit: Floats
    first: Integers

    def gain(self, times: float) -> Floats:
        """Return the (d,) gains at a multiple of the labels now."""
        return self.slope * _box_cox(np.array([times]), self.rate)[:, 0]


@dataclass(frozen=True, eq=False)
class Forecast:
    """The law that fits best, and a law and the last point for each draw of the points' noise."""

    best: PowerLaws
    draws: PowerLaws
    now: Floats
    steepening: float

    def score(self, times: float, of: Measured) -> Score:
        """Return the score at a multiple of the labels now, at most the best possible one."""
        drawn = np.clip(self.draws.now + self.draws.gain(times), of.lowest, of.highest)
        best = min(float(self.best.now[0] + self.best.gain(times)[0]), of.highest)
        return _score(of.sign * drawn, of.sign * best, of.units)

    def growth(self, times: float, of: Measured) -> Score:
        """Return what the laws add at a multiple of the labels now, wherever the last point is."""
        drawn = np.minimum(self.draws.gain(times), of.highest - self.draws.now)
        best = min(float(self.best.gain(times)[0]), of.highest - float(self.best.now[0]))
        return _score(of.sign * drawn, of.sign * best, of.units)


def forecast(series: Series, sign: float, highest: float, seed: int = 0) -> Forecast:
    """Fit laws to the points of a series, four or more, times the sign, and to noisy draws."""
    random = np.random.default_rng(seed)
    value, row_noise = sign * series.value, sign * series.noise
    variance = series.training_variance + LAW_ERROR**2
    noise = random.standard_normal(row_noise.shape) * np.sqrt(variance)[:, None]
    drawn = np.minimum((value[:, None] + row_noise + noise).T, highest)
    weights = 1 / (variance + row_noise.var(axis=1))
    times = series.rows / series.rows[-1]
    chance = random.random(len(drawn))

    def averaged(rates: Floats) -> tuple[PowerLaws, PowerLaws]:
        firsts = range(len(times) - FEWEST_POINTS + 1)
        fits = [fit(times, drawn, weights, rates, highest, first) for first in firsts]
        mean = [fit(times, value[None], weights, rates, highest, first) for first in firsts]
        costs = np.array([law.misfit[0] + 2 * first for first, law in enumerate(mean)])
        shares = np.exp(-(costs - costs.min()) / 2)
        chosen = np.searchsorted(np.cumsum(shares / shares.sum())[:-1], chance, side="right")
        parts = ([getattr(law, part.name) for law in fits] for part in fields(PowerLaws))
        draws = PowerLaws(*(np.choose(chosen, part) for part in parts))
        return mean[int(costs.argmin())], draws

    best, draws = averaged(_RATES)
    _, free = averaged(_ALL_RATES)
    return Forecast(best, draws, drawn[:, -1], float(np.mean((free.rate < 0) & (free.slope > 0))))


def fit(
    times: Floats, scores: Floats, weights: Floats, rates: Floats, highest: float, first: int = 0
) -> PowerLaws:
    """Return the best law for each draw of the (draws, m) scores at (m,) multiples of the labels.

    Weights are one over the variance of each point; `highest` limits the laws with a positive rate;
    the `first` smallest points are left out.
    """
    times, scores, weights = times[first:], scores[:, first:], weights[first:]
    x = _box_cox(times, rates)
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
    best = np.arange(len(scores)), misfit.argmin(axis=1)
    firsts = np.full(len(scores), first)
    return PowerLaws(now[best], slope[best], rates[best[1]], misfit[best], firsts)


def _box_cox(times: Floats, rates: Floats) -> Floats:
    """Return the (rates, times) logarithms of times, bent by the rate (Box and Cox 1964)."""
    return np.asarray((1 - times ** -rates[:, None]) / rates[:, None])


def _score(draws: Floats, value: float, units: int) -> Score:
    low, high = np.quantile(draws, [_TAIL, 1 - _TAIL])
    return Score(value, min(float(low), value), max(float(high), value), units)


def _method_curve(name: str, series: Series, fits: FitsBySize, of: Measured) -> MethodCurve:
    means = series.intervals(of.units, of.metric.proportion)
    scores = (tuple(fit.score for fit in some) for some in fits)
    seconds = (float(np.mean([fit.seconds for fit in some])) for some in fits)
    rows = map(float, series.rows)
    points = tuple(map(Point, of.sizes, rows, means, scores, seconds))
    if len(of.sizes) < FEWEST_SIZES or series.scores.shape[1] < FEWEST_TRAININGS:
        return MethodCurve(name, points, "too few")
    if of.sign * series.value[-1] >= of.highest:
        return MethodCurve(name, points, "perfect")
    found = forecast(series, of.sign, of.highest)
    if found.steepening > STEEPENING:
        return MethodCurve(name, points, "steepening")
    now, slope, rate = found.best.now[0], found.best.slope[0], found.best.rate[0]
    limit = float(of.sign * (now + slope / rate))
    gap = float(of.sign * (slope / rate * series.rows[-1] ** rate))
    law = PowerLaw(limit, gap, float(rate), of.sizes[int(found.best.first[0])])
    line = (
        LinePoint(times * float(series.rows[-1]), found.score(times, of))
        for times in np.geomspace(1, TIMES[-1], _LINE_POINTS).tolist()
    )
    expected = []
    for times in TIMES:
        score = found.score(times, of)
        after = np.clip(found.draws.now + found.draws.gain(times), of.lowest, of.highest)
        drawn = after - np.clip(found.now, of.lowest, of.highest)
        gain = _score(of.sign * drawn, score.value - float(series.value[-1]), of.units)
        shown = bool((gain.low if of.sign > 0 else -gain.high) >= SHOWN)
        expected.append(Expectation(times, round(times * series.rows[-1]), score, gain, shown))
    return MethodCurve(name, points, "told", law, tuple(expected), tuple(line))


def _choices(
    series: Mapping[str, Series], fits: Mapping[str, FitsBySize], of: Measured
) -> Iterator[SizeChoice]:
    """Yield for each size the best method, and the one that is recommended."""
    for position, labels in enumerate(of.sizes):
        means = {name: of.sign * float(one.value[position]) for name, one in series.items()}
        best = max(means, key=lambda name: means[name])
        compared = {}
        for name, lead in ((n, one.minus(series[best])) for n, one in series.items() if n != best):
            compared[name] = Comparison(
                of.metric.name,
                lead.intervals(of.units, proportion=False)[position],
                float(lead.p_values()[position]),
                "Student's t, paired over trainings and rows",
                of.rows,
                float(lead.standard_error[position]),
            )
        cost = {name: sum(fit.seconds for fit in fits[name][position]) for name in series}
        chosen = _chosen(series, position, best, cost, of)
        yield SizeChoice(labels, best, compared, chosen.recommended)


def _chosen(
    series: Mapping[str, Series], position: int, best: str, cost: Mapping[str, float], of: Measured
) -> Choice:
    """Return the choice at one size, by leads over trainings and rows."""
    baseline = "majority" if "majority" in series and best != "majority" else None

    def lead(name: str, other: str) -> Estimate:
        return series[name].minus(series[other]).estimates(of.sign, of.units)[position]

    names = [name for name in series if name != baseline]
    trainings = next(iter(series.values())).scores.shape[1]
    part = "cross-validation" if of.folds else "validation"
    grounds = Grounds(of.metric.name, part, of.units, seeds=trainings, baseline=baseline)
    over = None if baseline is None else {name: lead(name, baseline) for name in names}
    leads = {name: lead(name, best) for name in names if name != best}
    return choose(leads, cost, best, grounds, over=over)


def _crossings(series: Mapping[str, Series], of: Measured) -> tuple[Crossing, ...]:
    """Return where a method that is significantly ahead falls significantly behind."""
    found = []
    for before, after in permutations(series, 2):
        lead = series[before].minus(series[after])
        value, significant = of.sign * lead.value, lead.p_values() < SIGNIFICANT
        ahead = np.flatnonzero(significant & (value > 0))
        behind = np.flatnonzero(significant & (value < 0))
        if not len(ahead) or not (behind > ahead[0]).any():
            continue
        last = int(behind[behind > ahead[0]][0])
        i = int(np.flatnonzero(value[:last] > 0)[-1])
        share = value[i] / (value[i] - value[i + 1])
        logs = np.log(lead.rows)
        labels = round(float(np.exp(logs[i] + share * (logs[i + 1] - logs[i]))))
        low = round(float(lead.rows[ahead[ahead <= i][-1]]))
        found.append(Crossing(before, after, labels, low, round(float(lead.rows[last]))))
    return tuple(sorted(found, key=lambda crossing: crossing.labels))
