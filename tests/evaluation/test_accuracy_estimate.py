"""The accuracy without labels, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from finetext.evaluation.accuracy_estimate import estimated_accuracy


def drawn(
    random: np.random.Generator, rows: int, sure: float = 5.0
) -> tuple[np.ndarray, np.ndarray]:
    confidence = random.beta(sure, 2.0, size=rows)
    return confidence, random.random(rows) < confidence


def test_the_interval_holds_the_accuracy_of_a_calibrated_model() -> None:
    random, held = np.random.default_rng(0), []
    truth = 5 / 7
    for _ in range(300):
        before, right = drawn(random, 200)
        found = estimated_accuracy(before, right, drawn(random, 150)[0])
        held.append(found.low <= truth <= found.high)
        assert found.n == 150
    assert 0.92 <= np.mean(held) <= 0.99


def test_less_confidence_is_less_accuracy() -> None:
    random = np.random.default_rng(0)
    before, right = drawn(random, 2_000)
    found = estimated_accuracy(before, right, drawn(random, 2_000, sure=2.0)[0])
    assert found.high < right.mean() - 0.1


def test_a_model_that_is_always_right_or_always_as_sure_has_an_interval() -> None:
    always = estimated_accuracy(np.full(50, 0.99), np.ones(50, bool), np.full(40, 0.99))
    assert always.value == 1.0
    assert 0.8 < always.low < 1.0
    half = estimated_accuracy(np.full(50, 0.5), np.arange(50) % 2 == 0, np.full(40, 0.5))
    assert half.value == pytest.approx(0.5)
    assert 0.3 < half.low < half.high < 0.7


def test_nothing_is_known_of_one_row() -> None:
    assert math.isnan(estimated_accuracy(np.ones(1), np.ones(1, bool), np.ones(9)).value)
