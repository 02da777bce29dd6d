"""Interval, p-value and bounds agree with one another and with known results."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from finetext.evaluation.estimates import DiscordantRows, Estimate, of_folds, of_seeds, of_units


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 200))
def test_score_interval_and_p_value_of_discordant_rows_agree(a: int, b: int, same: int) -> None:
    found = DiscordantRows.of(a, b, a + b + same)
    low, high = found.interval()
    assert -1 <= low <= found.value <= high <= 1
    assert low <= found.lower()
    assert found.upper() <= high
    p_value = found.p_value()
    if abs(p_value - 0.05) > 1e-6:
        assert (p_value < 0.05) == (not low <= 0 <= high)


def test_score_interval_is_that_of_the_paper_at_the_edges() -> None:
    none = DiscordantRows.of(0, 0, 100)
    z2 = stats.norm.ppf(0.975) ** 2
    assert none.interval() == pytest.approx((-z2 / (100 + z2), z2 / (100 + z2)))
    assert DiscordantRows.of(9, 0, 9).interval()[1] == 1.0
    assert DiscordantRows.of(5, 0, 9).p_value() == pytest.approx(2 * stats.norm.sf(math.sqrt(5)))


def test_one_unseen_disagreement_in_149_rows_is_within_two_points() -> None:
    assert DiscordantRows.of(0, 0, 149).lower() > -0.02
    assert DiscordantRows.of(0, 0, 100).lower() < -0.02


def test_jackknife_of_a_mean_is_the_t_test() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 25)
    without = (values.sum() - values) / 24
    found, known = of_units(float(values.mean()), without), stats.ttest_1samp(values, 0)
    assert found.p_value() == pytest.approx(known.pvalue)
    assert found.interval() == pytest.approx(tuple(known.confidence_interval()))


def test_seeds_add_their_variance_and_never_take_from_that_of_the_rows() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(400, 1)) + random.normal(0, 0.1, size=(400, 3))
    still, moved = of_seeds(0.0, rows), of_seeds(0.0, rows + np.array([-0.3, 0, 0.3]))
    alone = float(rows.mean(axis=1).std(ddof=1)) / 20
    assert still.error >= alone - 1e-12
    assert moved.error == pytest.approx(math.hypot(alone, 0.3 / math.sqrt(3)), rel=0.05)
    assert moved.freedom < 4 < still.freedom


def test_folds_have_the_corrected_variance() -> None:
    values = np.array([0.7, 0.8, 0.75, 0.9, 0.6])
    found = of_folds(0.75, values[None], 60)
    assert found.error == pytest.approx(values.std(ddof=1) * math.sqrt(1 / 5 + 1 / 4))
    assert (found.value, found.freedom, found.units) == (0.75, 4, 60)
    twice = of_folds(0.75, np.stack([values, values + 9]), 6)
    assert twice.error == pytest.approx(values.std(ddof=1) * math.sqrt(1 / 10 + 1 / 4))
    assert twice.freedom == 5
    rows = np.array([0.0, 1.0] * 30)
    assert of_folds(0.5, np.full((2, 5), 0.5), 60, rows).error == pytest.approx(0.5 / math.sqrt(59))


def test_a_unit_without_which_nothing_is_defined_leaves_the_bounds_of_folds_defined() -> None:
    rows = np.array([np.nan, 0.0, 0.0, -1.0, 0.0, 0.0])
    folds = np.array([[np.nan, -0.5, 0.0]])
    found = of_folds(-0.2, folds, 6, rows, 1 / 6)
    assert found.error > np.nanstd(rows, ddof=1) / math.sqrt(5)
    assert math.isfinite(found.lower())
    assert of_folds(-0.2, folds, 6, np.full(6, np.nan), 1 / 6).skew == 0


@pytest.mark.parametrize("made", [
    of_units(0.5, np.array([0.5])),
    of_folds(0.5, np.array([[0.5]]), 5),
    of_seeds(0.5, np.array([[0.4, 0.6]])),
])  # fmt: skip
def test_one_unit_gives_no_interval(made: Estimate) -> None:
    assert all(math.isnan(end) for end in made.interval())
    assert made.p_value() == 1.0


@example([0.0, 0.0, 1e-160], 0.5, 0.05, 0.0)
@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=30),
    st.floats(-0.5, 0.5),
    st.floats(0.001, 0.4),
    st.floats(0, 0.05),
)
def test_tails_agree_with_bounds_whatever_the_skew(
    values: list[float], at: float, level: float, unseen: float
) -> None:
    array = np.array(values)
    found = of_units(float(array.mean()), (array.sum() - array) / (len(array) - 1), unseen)
    assert -0.25 < found.skew < 0.25
    for of in (found, found.negated(), DiscordantRows.of(len(values), 3, 99)):
        if not 0 < of.error < math.inf or abs(of.tail(at) - level) < 1e-6:
            continue
        assert (of.tail(at) < level) == (of.lower(level) > at)
        assert of.negated().upper(level) == pytest.approx(-of.lower(level))


@pytest.mark.parametrize(("seen", "exact"), [(0, 2.996), (1, 4.744), (3, 7.754), (10, 16.962)])
def test_rare_disagreements_in_one_direction_have_nearly_exact_bounds(
    seen: int, exact: float
) -> None:
    rows = 2000
    values = np.zeros(rows)
    values[:seen] = -1.0
    without = (values.sum() - values) / (rows - 1)
    found = of_units(float(values.mean()), without, 1 / rows)
    # The exact upper limit of a Poisson count at 95%.
    assert -found.lower() * rows == pytest.approx(exact, abs=0.2)
    plain = of_units(float(values.mean()), without)
    assert -plain.lower() * rows < exact - 1


@pytest.mark.parametrize("rows", [149, 222, 300, 1000])
def test_methods_that_only_lose_rows_are_called_as_good_in_5_percent_at_most(rows: int) -> None:
    from scipy.stats import binom

    found = [DiscordantRows.of(0, lost, rows) for lost in range(40)]
    good = [lost for lost, of in enumerate(found) if of.tail(-0.02) < 0.05]
    assert good == [lost for lost, of in enumerate(found) if of.lower(0.05) > -0.02]
    assert binom.cdf(max(good, default=-1), rows, 0.02) <= 0.05
