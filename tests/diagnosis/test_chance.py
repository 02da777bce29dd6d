"""Whether chance explains a difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.diagnosis.slices import Chance, corrected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_correction_raises_p_values_and_keeps_their_order(values: list[float]) -> None:
    raised = corrected(np.array(values))
    assert (raised >= np.array(values)).all()
    assert (raised <= 1).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(raised[order]) >= 0).all()
    assert raised.min() == pytest.approx(min(1, min(values) * len(values)))


def test_the_correction_is_that_of_holm() -> None:
    assert corrected(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])


def test_right_and_wrong_rows_are_tested_exactly() -> None:
    from scipy.stats import fisher_exact

    values = np.repeat([1.0, 0.0, 1.0, 0.0], [5, 7, 80, 8])
    rows = np.arange(12)
    (p_value,) = Chance(values).p_values([rows])
    one_sided = fisher_exact([[5, 7], [80, 8]], alternative="less").pvalue
    assert p_value == pytest.approx(2 * one_sided)


@pytest.mark.parametrize("size", [10, 40, 150])
def test_moments_agree_with_random_subsets(size: int) -> None:
    random = np.random.default_rng(0)
    values = random.gamma(0.7, size=200)
    means = np.array([values[random.permutation(200)[:size]].mean() for _ in range(4000)])
    chance = Chance(values)
    for level in (0.01, 0.05, 0.95, 0.99):
        wanted = np.quantile(means, level)
        rows = _subset_of_mean(values, size, wanted)
        exact = 2 * min(
            (means <= values[rows].mean()).mean(), (means >= values[rows].mean()).mean()
        )
        assert chance.p_values([rows])[0] == pytest.approx(exact, abs=0.02)


def _subset_of_mean(values: np.ndarray, size: int, wanted: float) -> np.ndarray:
    """Some rows whose mean is close to what is wanted."""
    random = np.random.default_rng(1)
    tried = [np.sort(random.permutation(len(values))[:size]) for _ in range(3000)]
    return min(tried, key=lambda rows: abs(values[rows].mean() - wanted))


def test_rows_that_are_all_alike_differ_by_chance_only() -> None:
    assert Chance(np.ones(50)).p_values([np.arange(10)]).tolist() == [1.0]
    assert Chance(np.ones(50)).p_values([]).tolist() == []


def test_groups_that_fail_together_count_as_less() -> None:
    group = np.repeat(np.arange(40), 10)
    values = (group % 4 != 0).astype(float)
    rows = np.flatnonzero(np.isin(group, (0, 4, 8)))
    alone, together = (Chance(values, unit).p_values([rows])[0] for unit in (None, group))
    assert alone < 1e-9
    assert 0.001 < together < 0.5


def test_one_group_is_no_evidence() -> None:
    group = np.repeat(np.arange(20), 20)
    values = np.ones(400)
    values[:20] = 0
    values[::7] = 0
    assert Chance(values, group).p_values([np.arange(20)])[0] > 0.05
