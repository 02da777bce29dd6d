"""Intervals of shares hold on few rows and in groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from finetext.evaluation.proportions import (
    effective_rows,
    proportion,
    proportion_over,
    score_interval,
)


@pytest.mark.parametrize(("hits", "rows"), [(0, 5), (5, 5), (3, 11), (190, 200)])
def test_without_groups_the_interval_is_the_exact_one(hits: int, rows: int) -> None:
    found = proportion(np.arange(rows) < hits)
    exact = binomtest(hits, rows).proportion_ci(method="exact")
    assert (found.value, found.n) == (hits / rows, rows)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_without_rows_nothing_is_known() -> None:
    found = proportion(np.zeros(0, dtype=np.bool_))
    assert np.isnan([found.value, found.low, found.high]).all()


def test_rows_that_are_alike_in_a_group_count_once() -> None:
    right = np.repeat(np.arange(20) < 15, 6)
    groups = tuple(str(row // 6) for row in range(120))
    assert effective_rows(right, groups) < 21
    assert effective_rows(right, None) == 120
    assert effective_rows(np.ones(120, dtype=np.bool_), groups) == 20
    alone = tuple(map(str, range(120)))
    assert effective_rows(right, alone) == pytest.approx(120, rel=0.02)


def test_intervals_of_groups_hold_the_truth() -> None:
    random, held, ignored = np.random.default_rng(0), 0, 0
    for _ in range(300):
        shared = random.normal(size=25).repeat(8)
        right = np.sqrt(0.5) * (shared + random.normal(size=200)) < norm.ppf(0.85)
        groups = tuple(str(row // 8) for row in range(200))
        found, alone = proportion(right, groups), proportion(right)
        held += found.low <= 0.85 <= found.high
        ignored += alone.low <= 0.85 <= alone.high
    assert held >= 0.92 * 300
    assert ignored < 0.85 * 300


def test_the_score_interval_is_that_of_wilson() -> None:
    for right, n in ((0, 12), (7, 10), (20, 20)):
        known = binomtest(right, n).proportion_ci(method="wilson")
        assert score_interval(right / n, n) == pytest.approx((known.low, known.high))
    assert np.isnan(score_interval(np.nan, 0)).all()


def test_repeats_of_the_same_rows_are_no_further_rows() -> None:
    half, less = np.arange(20) < 10, np.arange(20) < 6
    once = proportion(np.arange(20) < 8)
    found = proportion_over([half, less], [None, None])
    assert (found.value, found.low, found.high, found.n) == pytest.approx(
        (once.value, once.low, once.high, 20)
    )
    assert proportion_over([half, half[:0]], [None, None]) == proportion(half)
    assert proportion_over([half[:0]] * 2, [None] * 2).n == 0
