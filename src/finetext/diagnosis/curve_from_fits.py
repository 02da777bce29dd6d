"""From the scores of many trainings to what a learning curve says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.types import Score
from finetext.diagnosis.curve import (
    Choice,
    Crossing,
    Curve,
    Drawn,
    Expectation,
    Law,
    Point,
    RungCurve,
)
from finetext.diagnosis.forecast import STEEPENING, Fit, Forecast, Laws, Scores, Series, forecast
from finetext.evaluation.compare import SIGNIFICANT, Comparison
from finetext.evaluation.metrics import Metric

TIMES: Final = (1.5, 2.0, 4.0)
"""How many times the labels there are a forecast is made for; never beyond the last."""
FEWEST_SIZES: Final = 4
FEWEST_TRAININGS: Final = 2
SHOWN: Final = 0.0005
"""The least gain worth a word: what rounds to 0.000 is none."""
_PLACES: Final = 25
_TAIL: Final = 0.025
Fits = Mapping[str, Sequence[Sequence[Fit]]]


@dataclass(frozen=True)
class Measured:
    """What the scores were measured on, and how.

    Attributes:
        metric: the metric.
        sizes: labels of each share, rising.
        training_rows: rows there are to learn from in all.
        rows: validation rows.
        units: these, or the groups they make.
    """

    metric: Metric
    sizes: tuple[int, ...]
    training_rows: int
    rows: int
    units: int

    @property
    def sign(self) -> float:
        """What turns a score so that higher is better."""
        return 1.0 if self.metric.higher_is_better else -1.0

    @property
    def highest(self) -> float:
        """The best score there can be, once turned."""
        if not self.metric.higher_is_better:
            return 0.0
        return 1.0 if self.metric.proportion else np.inf


def curve_from_fits(fits: Fits, measured: Measured) -> Curve:
    """Everything that is said of the trainings.

    Args:
        fits: for each rung a list of its trainings for each size.
        measured: see `Measured`.
    """
    series = {rung: Series.of(of, measured.training_rows) for rung, of in fits.items()}
    trainings = next(iter(series.values())).scores.shape[1]
    return Curve(
        metric=measured.metric.name,
        part="validation",
        measured_rows=measured.rows,
        training_rows=measured.training_rows,
        sizes=measured.sizes,
        trainings=trainings,
        rungs=tuple(_rung(rung, series[rung], fits[rung], measured) for rung in fits),
        choices=tuple(_choices(series, fits, measured)),
        crossings=tuple(_crossings(series, measured)),
    )


def _rung(name: str, series: Series, fits: Sequence[Sequence[Fit]], of: Measured) -> RungCurve:
    points = tuple(
        Point(
            labels, float(rows), score, tuple(fit.score for fit in some),
            float(np.mean([fit.seconds for fit in some])),
        )
        for labels, rows, score, some in zip(
            of.sizes, series.rows, series.intervals(of.units, of.metric.proportion), fits,
            strict=True,
        )
    )  # fmt: skip
    if len(of.sizes) < FEWEST_SIZES or series.scores.shape[1] < FEWEST_TRAININGS:
        return RungCurve(name, points, "too few")
    if of.sign * series.value[-1] >= of.highest:
        return RungCurve(name, points, "perfect")
    turned = Scores(
        series.rows, of.sign * series.value, of.sign * series.row_noise, series.training_variance,
        of.highest,
    )  # fmt: skip
    told = forecast(turned)
    if told.steepening > STEEPENING:
        return RungCurve(name, points, "steepening")
    return RungCurve(
        name,
        points,
        "told",
        _law(told.best, series.rows, of),
        tuple(_expectation(told, times, series, of) for times in TIMES),
        tuple(_line(told, float(series.rows[-1]), of)),
    )


def _law(best: Laws, rows: Floats, of: Measured) -> Law:
    now, slope, rate, first = best.now[0], best.slope[0], best.rate[0], best.first[0]
    limit = now + slope / rate
    gap = slope / rate * rows[-1] ** rate
    return Law(float(of.sign * limit), float(of.sign * gap), float(rate), of.sizes[int(first)])


def _expectation(told: Forecast, times: float, series: Series, of: Measured) -> Expectation:
    """The score that is expected, and what that is more than the one measured now."""
    score = _reached(told, times, of)
    gain = np.minimum(told.draws.now + told.draws.gain(times), of.highest) - told.now
    expected = _score(of.sign * gain, score.value - float(series.value[-1]), of.units)
    shown = bool(np.quantile(gain, _TAIL) >= SHOWN)
    return Expectation(times, round(times * series.rows[-1]), score, expected, shown)


def _line(told: Forecast, now: float, of: Measured) -> Iterator[Drawn]:
    for times in np.geomspace(1, TIMES[-1], _PLACES).tolist():
        yield Drawn(times * now, _reached(told, times, of))


def _reached(told: Forecast, times: float, of: Measured) -> Score:
    """The score at so many times the labels, which never goes beyond the best there can be."""
    drawn = np.minimum(told.draws.now + told.draws.gain(times), of.highest)
    best = min(float(told.best.now[0] + told.best.gain(times)[0]), of.highest)
    return _score(of.sign * drawn, of.sign * best, of.units)


def _score(draws: Floats, value: float, units: int) -> Score:
    low, high = np.quantile(draws, [_TAIL, 1 - _TAIL])
    return Score(value, min(float(low), value), max(float(high), value), units)


def _choices(series: Mapping[str, Series], fits: Fits, of: Measured) -> Iterator[Choice]:
    """For each size the best rung, and the cheapest that is not significantly worse."""
    for position, labels in enumerate(of.sizes):
        means = {rung: of.sign * float(one.value[position]) for rung, one in series.items()}
        best = max(means, key=lambda rung: means[rung])
        compared = {
            rung: _comparison(one.less(series[best]), position, of)
            for rung, one in series.items()
            if rung != best
        }
        higher = of.metric.higher_is_better
        good = [rung for rung in series if rung == best or not compared[rung].worse(higher)]
        cheapest = min(good, key=lambda rung: sum(fit.seconds for fit in fits[rung][position]))
        yield Choice(labels, best, cheapest, compared)


def _comparison(difference: Series, position: int, of: Measured) -> Comparison:
    score = difference.intervals(of.units, proportion=False)[position]
    return Comparison(
        of.metric.name,
        score,
        float(difference.p_values()[position]),
        "Student's t, paired over trainings and rows",
        of.rows,
        float(difference.standard_error[position]),
    )


def _crossings(series: Mapping[str, Series], of: Measured) -> Iterator[Crossing]:
    """Where a rung that is significantly ahead falls significantly behind later on."""
    found = []
    for before, after in permutations(series, 2):
        lead = series[before].less(series[after])
        value, sure = of.sign * lead.value, lead.p_values() < SIGNIFICANT
        ahead, behind = np.flatnonzero(sure & (value > 0)), np.flatnonzero(sure & (value < 0))
        if not len(ahead) or not (behind > ahead[0]).any():
            continue
        last = int(behind[behind > ahead[0]][0])
        i = int(np.flatnonzero(value[:last] > 0)[-1])
        way = value[i] / (value[i] - value[i + 1])
        logs = np.log(lead.rows)
        labels = round(float(np.exp(logs[i] + way * (logs[i + 1] - logs[i]))))
        found.append(Crossing(before, after, labels))
    return iter(sorted(found, key=lambda crossing: crossing.labels))
