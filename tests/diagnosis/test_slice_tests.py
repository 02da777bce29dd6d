"""Tests of the test behind slices: p-values, intervals, and the gap that it can find."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.diagnosis.slice_tests import slice_tests


def test_binary_values_are_tested_exactly() -> None:
    from scipy.stats import fisher_exact

    values = np.repeat([1.0, 0.0, 1.0, 0.0], [5, 7, 80, 8])
    (p_value,) = slice_tests(values, [np.arange(12)]).p_values
    one_sided = fisher_exact([[5, 7], [80, 8]], alternative="less").pvalue
    assert p_value == pytest.approx(2 * one_sided)


@pytest.mark.parametrize("size", [10, 40, 150])
def test_other_values_agree_with_random_subsets(size: int) -> None:
    random = np.random.default_rng(0)
    values = random.gamma(0.7, size=200)
    means = np.array([values[random.permutation(200)[:size]].mean() for _ in range(4000)])
    random = np.random.default_rng(1)
    subsets = [np.sort(random.permutation(200)[:size]) for _ in range(3000)]
    for level in (0.01, 0.05, 0.95, 0.99):
        wanted = np.quantile(means, level)
        rows = min(subsets, key=lambda rows: abs(values[rows].mean() - wanted))
        mean = values[rows].mean()
        exact = 2 * min((means <= mean).mean(), (means >= mean).mean())
        assert slice_tests(values, [rows]).p_values[0] == pytest.approx(exact, abs=0.02)


def test_equal_values_and_no_slices_are_not_significant() -> None:
    assert slice_tests(np.ones(50), [np.arange(10)]).p_values.tolist() == [1.0]
    assert slice_tests(np.ones(50), []).p_values.tolist() == []


def test_rows_of_a_group_count_as_less_evidence() -> None:
    group = np.repeat(np.arange(40), 10)
    values = (group % 4 != 0).astype(float)
    rows = np.flatnonzero(np.isin(group, (0, 4, 8)))
    by_row, by_group = (slice_tests(values, [rows], unit).p_values[0] for unit in (None, group))
    assert by_row < 1e-9
    assert 0.001 < by_group < 0.5
    group = np.repeat(np.arange(20), 20)
    values = np.ones(400)
    values[:20] = values[::7] = 0
    assert slice_tests(values, [np.arange(20)], group).p_values[0] > 0.05


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("grouped", [False, True])
def test_interval_and_p_value_never_contradict_each_other(is_binary: bool, grouped: bool) -> None:
    random, seen = np.random.default_rng(0), set()
    unit = np.arange(200) // 4 if grouped else None
    for number in range(12):
        values = random.random(200) < 0.8 if is_binary else random.gamma(0.7, size=200)
        values = values.astype(float)
        values[:30] *= 1 - number / 12
        slices = [np.arange(size) for size in (10, 30, 190)]
        for tests in (1, 40):
            found = slice_tests(values, slices, unit, tests)
            without_0 = (found.low > 0) | (found.high < 0)
            assert (without_0 == (found.p_values < 0.05)).all()
            seen |= set(without_0.tolist())
    assert seen == {True, False}


@pytest.mark.parametrize("tests", [1, 50])
def test_the_interval_of_right_and_wrong_rows_holds_the_truth(tests: int) -> None:
    random, chance = np.random.default_rng(1), np.where(np.arange(200) < 25, 0.6, 0.85)
    held = []
    for _ in range(150):
        found = slice_tests(
            (random.random(200) < chance).astype(float), [np.arange(25)], None, tests
        )
        held.append(found.low[0] <= -0.25 <= found.high[0])
    assert np.mean(held) > 0.93, "95% of 150, and exact intervals hold it more often"


@pytest.mark.parametrize(
    ("slice_", "rows", "right"), [(14, 24, (0.85, 1.0)), (10, 60, (0.85, 0.99))]
)
def test_the_interval_holds_a_true_gap_where_nearly_all_rows_are_right(
    slice_: int, rows: int, right: tuple[float, float]
) -> None:
    random, chance = np.random.default_rng(0), np.where(np.arange(rows) < slice_, *right)
    held = []
    for _ in range(150):
        values = (random.random(rows) < chance).astype(float)
        found = slice_tests(values, [np.arange(slice_)])
        if values.all():
            continue
        held.append(found.low[0] <= right[0] - right[1] <= found.high[0])
    assert np.mean(held) > 0.95, "given as many right rows alone, it held 38% and 75%"


def test_a_gap_that_is_called_detectable_is_found_in_four_of_five_cases() -> None:
    random = np.random.default_rng(2)
    values = (np.arange(300) % 20 >= 3).astype(float)
    small, large = (
        slice_tests(values, [np.arange(size)], None, 50).detectable[0] for size in (20, 100)
    )
    assert small > 1.5 * large
    chance = np.where(np.arange(300) < 20, 0.85 - small, 0.85)
    p_values = [
        slice_tests((random.random(300) < chance).astype(float), [np.arange(20)], None, 50).p_values
        for _ in range(60)
    ]
    assert 0.65 < np.mean(np.array(p_values) < 0.05) < 0.97


def test_so_few_rows_that_nothing_could_be_found_are_called_that() -> None:
    values = np.repeat([1.0, 0.0], [10, 10])
    assert slice_tests(values, [np.arange(5, 15)], None, 1000).detectable[0] == np.inf
