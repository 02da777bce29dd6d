"""Tests of forecasts: known power laws are recovered, and no other gains are reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from finetext.diagnosis.curve import Curve
from finetext.diagnosis.curve_series import Fit, Series
from finetext.diagnosis.forecast import (
    _RATES,
    Measured,
    curve_from_fits,
    fit,
    forecast,
)
from finetext.evaluation.metrics import Metric, accuracy, log_loss

SIZES = (250, 500, 1000, 2000, 4000)
VALIDATION = 1000


def law(n: Any) -> Any:
    return 0.92 - 4.0 * np.asarray(n, dtype=np.float64) ** -0.45


def fits(
    truth: Any, seed: int = 0, trainings: int = 3, sizes: tuple[int, ...] = SIZES,
    seconds: float = 1.0, spread: float = 0.01,
) -> list[list[Fit]]:  # fmt: skip
    """Trainings whose scores lie about the truth: by the rows, which are shared, and by chance."""
    random = np.random.default_rng(seed)
    off = random.normal(0, 0.01)
    table = []
    for size in sizes:
        row = []
        for _ in range(trainings):
            chance = random.normal(0, spread * np.sqrt(sizes[0] / size))
            score = float(truth(size)) + off + chance
            drawn = score + np.random.default_rng(1).normal(0, 0.01, 300)
            row.append(Fit("tfidf", size, score, tuple(drawn.tolist()), seconds))
        table.append(row)
    return table


def curve(metric: Metric = accuracy, total: int = 20_000, **methods: list[list[Fit]]) -> Curve:
    sizes = tuple(some[0].rows for some in next(iter(methods.values())))
    return curve_from_fits(methods, Measured(metric, sizes, total, VALIDATION, VALIDATION))


def test_intervals_cover_a_known_law() -> None:
    covered = {"score": 0, "gain": 0}
    told = 0
    for seed in range(24):
        one = curve(tfidf=fits(law, seed)).best
        if one.outlook != "told":
            continue
        for expected in one.expected[1:]:
            told += 1
            truth = float(law(expected.labels))
            covered["score"] += expected.score.low <= truth <= expected.score.high
            gain = truth - float(law(SIZES[-1]))
            covered["gain"] += expected.gain.low <= gain <= expected.gain.high
    assert told >= 40
    assert covered["score"] / told >= 0.9
    assert covered["gain"] / told >= 0.9


def test_a_clear_gain_is_shown_with_the_law_behind_it() -> None:
    one = curve(tfidf=fits(law, spread=0.002)).best
    assert [expected.labels for expected in one.expected] == [6000, 8000, 16000]
    assert all(expected.shown for expected in one.expected)
    assert one.law is not None
    for n in SIZES:
        assert one.law.limit - one.law.gap * n**-one.law.rate == pytest.approx(law(n), abs=0.03)
    assert one.line[0].labels == SIZES[-1]
    assert one.line[-1].labels == pytest.approx(4 * SIZES[-1])


def test_a_flat_curve_gives_no_gain() -> None:
    shown = 0
    for seed in range(24):
        one = curve(tfidf=fits(lambda n: 0.7, seed)).best
        assert one.outlook == "told"
        shown += one.expected[1].shown
    assert shown <= 1


def test_no_forecast_exceeds_a_perfect_score() -> None:
    one = curve(tfidf=fits(lambda n: min(1 - 30 / n, 0.999), spread=0.0)).best
    assert all(drawn.score.high <= 1 for drawn in one.line)
    assert all(expected.score.high <= 1 for expected in one.expected)
    assert one.points[-1].score.high <= 1


def test_bounds_are_scores_that_can_be_and_a_gain_of_zero_is_not_shown() -> None:
    for level in (0.02, 0.98):
        one = curve(tfidf=fits(lambda n, level=level: level, spread=0.05)).best
        for expected in one.expected:
            assert 0 <= expected.score.low <= expected.score.value <= expected.score.high <= 1
            assert -1 <= expected.gain.low <= expected.gain.high <= 1
            assert not expected.shown or expected.gain.value >= 0.0005
        assert all(0 <= point.score.low <= point.score.high <= 1 for point in one.points)


def test_scores_of_folds_have_errors_corrected_for_shared_rows() -> None:
    random = np.random.default_rng(0)
    table = fits(law, trainings=3, spread=0.0)
    folded = [
        [replace(fit, folds=tuple(random.normal(fit.score, 0.1, 5))) for fit in some]
        for some in table
    ]
    series = Series.of(folded, 20_000)
    plain = Series.of(table, 20_000)
    assert (series.standard_error > 2 * plain.standard_error).all()
    spread = np.mean([np.var(fit.folds, ddof=1) for fit in folded[0]])
    assert series.standard_error[0] == pytest.approx(np.sqrt(spread * (1 / 15 + 1 / 4)))
    of = Measured(accuracy, SIZES, 20_000, VALIDATION, VALIDATION, 5)
    found = curve_from_fits({"tfidf": folded}, of)
    assert found.part == "cross-validated"
    whole = series.noise.var(axis=1) + series.training_variance
    np.testing.assert_allclose(np.sqrt(whole), series.standard_error)
    assert (series.minus(series).standard_error == 0).all()


def test_a_curve_that_is_still_getting_steeper_is_not_extrapolated() -> None:
    rising = dict(zip(SIZES, (0.20, 0.22, 0.27, 0.37, 0.57), strict=True))
    one = curve(tfidf=fits(lambda n: rising[n])).best
    assert one.outlook == "steepening"
    assert (one.expected, one.law, one.line) == ((), None, ())


@pytest.mark.parametrize(("trainings", "sizes"), [(1, SIZES), (3, SIZES[:3])])
def test_too_few_points_are_not_extrapolated(trainings: int, sizes: tuple[int, ...]) -> None:
    one = curve(tfidf=fits(law, trainings=trainings, sizes=sizes)).best
    assert one.outlook == "too few"
    assert one.expected == ()
    assert one.points[0].score.low < one.points[0].score.value < one.points[0].score.high


def test_a_perfect_score_has_no_forecast() -> None:
    perfect = [[Fit("r", n, 1.0, (1.0,) * 300, 1.0) for _ in range(3)] for n in SIZES]
    one = curve(tfidf=perfect).best
    assert (one.outlook, one.expected) == ("perfect", ())
    assert one.points[-1].score.low < 0.997


def test_without_training_variance_the_interval_is_that_of_the_rows() -> None:
    table = fits(lambda n: 0.4, trainings=2, sizes=SIZES[:2])
    same = [[some[0]] * 2 for some in table]
    score = curve(tfidf=same).best.points[0].score
    assert score.high - score.low == pytest.approx(4 * 0.01, abs=0.006)


def test_a_loss_is_never_forecast_below_zero() -> None:
    one = curve(log_loss, tfidf=fits(lambda n: 0.05 + 40 * n**-0.8, spread=0.001)).best
    twice = one.expected[1]
    assert twice.shown
    assert twice.gain.high < 0
    assert 0 <= twice.score.low < one.points[-1].score.value
    assert one.law is not None
    assert one.law.gap < 0


def test_the_law_equals_that_of_scipy() -> None:
    from scipy.optimize import curve_fit

    rows = np.array(SIZES, dtype=np.float64)
    values = law(rows) + np.array([0.004, -0.006, 0.003, 0.001, -0.002])
    errors = np.array([0.02, 0.015, 0.01, 0.008, 0.006])
    times = rows / rows[-1]
    ours = fit(times, values[None], errors**-2.0, np.geomspace(0.01, 3, 2000), 1.0)
    a, b, c = curve_fit(
        lambda n, a, b, c: a - b * n**-c, times, values, p0=(0.9, 0.1, 0.4), sigma=errors,
        bounds=([0, 0, 0.01], [1, 5, 3]),
    )[0]  # fmt: skip
    for ahead in (1.0, 2.0, 4.0):
        expected = a - b * ahead**-c
        assert ours.now[0] + ours.gain(ahead)[0] == pytest.approx(expected, abs=2e-4)


def test_shares_off_the_law_are_left_out() -> None:
    values = np.array([0.2, 0.2, *law(np.array([1000, 2000, 4000, 8000]))])
    rows = np.array([250.0, 500, 1000, 2000, 4000, 8000])
    noise = np.random.default_rng(0).normal(0, 0.001, (6, 300))
    scores = values[:, None] + np.array([-1e-3, 0, 1e-3])
    found = forecast(Series(rows, rows / 20_000, scores, values[:, None] + noise), 1.0, 1.0)
    assert found.best.first[0] >= 2
    assert (found.draws.first >= 2).all()
    assert set(np.unique(found.draws.rate)) <= set(_RATES)


def test_the_standard_error_includes_trainings_and_rows() -> None:
    few = fits(law, spread=0.05)
    error = Series.of(few, 20_000).standard_error
    assert error[0] > 0.015
    same = [[of[0]] * 3 for of in few]
    assert Series.of(same, 20_000).standard_error[0] == pytest.approx(0.01, abs=0.002)
    all_rows = [*few[:-1], [few[-1][0]] * 3]
    assert Series.of(all_rows, SIZES[-1]).training_variance[-1] > 1e-5


def test_choices_and_crossings() -> None:
    cheap = fits(lambda n: 0.6 + 0.02 * np.log(n / 250), 1, seconds=1.0, spread=0.005)
    dear = fits(lambda n: 0.5 + 0.12 * np.log(n / 250), 1, seconds=9.0, spread=0.005)
    chance = fits(lambda n: 0.3, 1, seconds=0.1, spread=0.0)
    found = curve(chance=chance, cheap=cheap, dear=dear)
    assert [choice.best for choice in found.choices] == ["cheap", "cheap", *["dear"] * 3]
    assert found.choices[0].recommended == "cheap"
    assert found.choices[-1].recommended == "dear"
    assert [(c.before, c.after) for c in found.crossings] == [("cheap", "dear")]
    assert 500 < found.crossings[0].labels < 1000
    low, high = found.crossings[0].low, found.crossings[0].high
    assert low <= 500 < 1000 <= high
    against = found.choices[0].comparisons["dear"]
    assert against.difference.value == pytest.approx(-0.1, abs=0.01)
    assert against.worse()


@pytest.mark.parametrize(("noise", "recommended"), [(0.001, {"cheap"}), (0.04, {"dear"})])
def test_the_cheapest_of_equals_is_recommended_if_that_is_shown(
    noise: float, recommended: set[str]
) -> None:
    cheap, dear = (fits(law, 1, seconds=of, spread=0.0) for of in (1.0, 9.0))
    better = [[Fit("b", f.rows, f.score + 0.001, f.replicates, 9.0) for f in of] for of in dear]
    noisy = [
        [Fit("n", f.rows, f.score + shift, f.replicates, 1.0) for f, shift in zip(
            of, (noise, -noise, 0.0), strict=True)] for of in cheap
    ]  # fmt: skip
    found = curve(cheap=noisy, dear=better)
    assert {choice.best for choice in found.choices} == {"dear"}
    assert {choice.recommended for choice in found.choices} == recommended
    assert found.crossings == ()
