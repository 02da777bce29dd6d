"""Targets that are assured hold on new rows; others are aimed at."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.evaluation.targets import for_share_found, for_share_right


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are the true chance of being right, and what came of it."""
    random = np.random.default_rng(seed)
    scores = random.beta(4, 1, n)
    return scores, random.random(n) < scores


TRUE_SCORES, _ = rows(100_000, 0)


@pytest.mark.parametrize("share", [0.8, 0.95])
def test_an_assured_precision_is_missed_in_a_tenth_of_the_cases_at_most(share: float) -> None:
    missed = assured = 0
    for seed in range(1, 151):
        found = for_share_right(*rows(300, seed), share)
        assured += found.assured
        if found.assured:
            missed += TRUE_SCORES[found.value <= TRUE_SCORES].mean() < share
    assert assured > 50
    assert missed <= 23  # of 150 at a rate of 10%, one in 100 such tests has more


def test_too_few_rows_assure_nothing_and_say_how_many_would() -> None:
    scores = np.linspace(0.5, 1, 20)
    few = for_share_right(scores, np.ones(20, dtype=np.bool_), 0.95)
    assert (few.value, few.assured) == (0.5, False)
    assert few.needed is not None
    assert 45 <= 20 * few.needed < 2000
    wrong = for_share_right(scores, np.zeros(20, dtype=np.bool_), 0.95)
    assert wrong.value > 1
    assert not wrong.assured
    assert wrong.needed is None
    assert for_share_right(scores[:0], scores[:0] > 0, 0.9).needed is None


def test_rows_in_groups_assure_less() -> None:
    scores = np.linspace(0.5, 1, 200)
    right = np.ones(200, dtype=np.bool_)
    assert for_share_right(scores, right, 0.95).assured
    groups = tuple(str(row // 10) for row in range(200))
    assert not for_share_right(scores, right, 0.95, groups).assured
    assert for_share_found(scores, 0.9).assured
    assert not for_share_found(scores, 0.9, groups).assured


def test_equal_scores_stay_together() -> None:
    right = np.arange(100) < 90
    assert for_share_right(np.full(100, 0.7), right, 0.8).value == 0.7
    assert not for_share_right(np.full(100, 0.7), right, 0.89).assured


def test_an_assured_recall_holds_on_new_rows() -> None:
    missed = 0
    for seed in range(1, 201):
        scores = np.random.default_rng(seed).random(60)
        found = for_share_found(scores, 0.8)
        assert found.assured
        missed += 1 - found.value < 0.8
    assert 4 <= missed <= 31
    few = for_share_found(np.random.default_rng(1).random(5), 0.8)
    assert not few.assured
    assert few.needed == pytest.approx(10.3 / 5, abs=0.01)
    assert for_share_found(np.zeros(0), 0.8).needed is None
