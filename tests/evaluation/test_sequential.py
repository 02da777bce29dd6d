"""The sequential test: no false alarms at any time, and drops are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.evaluation.sequential import NEEDED, _evidence, worse_test


def test_false_alarms_are_rare_over_all_looks_and_drops_are_found() -> None:
    random, alarms, delays = np.random.default_rng(0), [], []
    for _ in range(100):
        before = random.random(400) < 0.85
        same, worse = (worse_test(before, random.random(1_500) < of) for of in (0.85, 0.7))
        assert same is not None
        assert worse is not None
        alarms.append(same.is_shown)
        delays.append(worse.worse_at or 1_500)
    assert np.mean(alarms) <= 0.05
    assert np.median(delays) < 300


def test_a_later_row_changes_nothing_before_it() -> None:
    values = (np.random.default_rng(0).random(130) < 0.6).astype(float)
    whole = _evidence(values, 0.8)
    for rows in range(1, 131):
        assert _evidence(values[:rows], 0.8) == pytest.approx(whole[:rows])


def test_alarms_at_the_limit_itself_keep_their_level_over_looks() -> None:
    """At the lowest accuracy that counts as before there is no slack; looks after 50 rows each."""
    random, alarms, found = np.random.default_rng(5), 0, 0
    for _ in range(200):
        chances = random.random(600)
        same, worse = (chances < of for of in (0.8, 0.7))
        looks = [_evidence(same[:rows].astype(float), 0.8)[-1] for rows in range(50, 601, 50)]
        alarms += max(looks) >= NEEDED
        found += _evidence(worse.astype(float), 0.8).max() >= NEEDED
    assert alarms <= 200 * 0.025 + 2 * np.sqrt(200 * 0.025)
    assert found > 100


def test_groups_of_unequal_size_raise_no_false_alarms() -> None:
    """Large groups are easier, so the share of right rows is above the mean over the groups."""
    random, alarms = np.random.default_rng(1), 0
    for _ in range(40):
        sides = []
        for count in (200, 500):
            sizes = np.where(random.random(count) < 0.2, 20, 1)
            right = random.random(sizes.sum()) < np.repeat(np.where(sizes > 1, 0.95, 0.6), sizes)
            sides.append((right, [str(of) for of in np.repeat(np.arange(count), sizes)]))
        (before, groups_before), (right, groups) = sides
        found = worse_test(before, right, groups_before, groups)
        assert found is not None
        alarms += found.is_shown
    assert alarms <= 4


def test_what_a_drop_later_on_costs_is_little() -> None:
    random = np.random.default_rng(3)
    before = random.random(400) < 0.85
    found = worse_test(before, random.random(2_000) < np.where(np.arange(2_000) < 1_000, 0.87, 0.6))
    assert found is not None
    assert found.worse_at is not None
    assert 1_000 < found.worse_at < 1_150
    assert found.p_value < 0.05
    assert found.evidence >= NEEDED
    assert found.path[-1][0] == 2_000


def test_the_value_of_the_bets_is_expected_to_be_one_at_most() -> None:
    """Over all sequences of ten rows whose accuracy is the limit, each by its probability."""
    from itertools import product

    for limit in (0.5, 0.9):
        total = np.zeros(8)
        for rows in product([0.0, 1.0], repeat=8):
            values = np.array(rows)
            chance = limit ** values.sum() * (1 - limit) ** (8 - values.sum())
            total += chance * _evidence(values, limit)
        assert (total <= 1 + 1e-9).all()
        assert total[-1] == pytest.approx(1)


def test_a_tolerance_lowers_the_limit() -> None:
    before, right = np.arange(300) % 10 > 0, np.arange(200) % 2 == 0
    strict, lax = (worse_test(before, right, tolerance=of) for of in (0.0, 0.3))
    assert strict is not None
    assert lax is not None
    assert lax.limit == pytest.approx(strict.limit - 0.3)
    assert strict.evidence > lax.evidence
    assert worse_test(before, right, tolerance=0.99) is not None


def test_rows_of_a_group_count_as_one_in_the_place_of_the_first() -> None:
    before = np.arange(300) % 10 > 0
    right = np.zeros(60, dtype=bool)
    alone = worse_test(before, right)
    together = worse_test(before, right, groups=["a"] * 30 + ["b"] * 30)
    assert alone is not None
    assert together is not None
    assert alone.is_shown
    assert not together.is_shown
    assert [rows for rows, _ in together.path] == [1, 31]


def test_too_few_rows_to_compare_with() -> None:
    assert worse_test(np.ones(29, bool), np.zeros(9, bool)) is None
    assert worse_test(np.ones(99, bool), np.zeros(0, bool)) is None
    assert worse_test(np.ones(99, bool), np.zeros(9, bool), ["one"] * 99) is None
