"""Tests of drift hold their level and find what was planted; accuracy without labels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from finetext.evaluation.drift import (
    Renamings,
    confidence_drift,
    corrected,
    estimated_accuracy,
    label_drift,
    text_drift,
)


def names(reference: int = 60, new: int = 40, seed: int = 0) -> Renamings:
    return Renamings.of(reference, new, seed, permutations=199)


def test_names_are_drawn_over_the_rows_and_the_truth_comes_first() -> None:
    drawn = names().new
    assert drawn.shape == (200, 100)
    assert drawn[0].tolist() == [0] * 60 + [1] * 40
    assert (drawn.sum(axis=1) == 40).all()
    assert names().rows == (60, 40)
    assert (drawn[1:] != drawn[0]).any(axis=1).all()


@pytest.mark.parametrize("width", [8, 300])
def test_rows_that_moved_are_told_apart_and_the_most_foreign_are_named(width: int) -> None:
    rows = np.random.default_rng(0).normal(size=(100, width))
    rows[80:, :8] += 4.0
    area, p_value, foreign = text_drift(rows, names(), 0)
    assert p_value <= 2 / 200
    assert 0.6 < area < 0.85  # half of the new rows can be told apart
    assert (np.argsort(-foreign)[:10] >= 80).sum() >= 9


def test_without_drift_p_values_are_uniform() -> None:
    random, found = np.random.default_rng(1), []
    for draw in range(100):
        rows, labels = (
            random.normal(size=(60, 5)),
            np.eye(3, dtype=int)[random.integers(3, size=60)],
        )
        sure = random.beta(5, 2, size=60).round(1)
        of = Renamings.of(30, 30, draw, permutations=99)
        found.append([text_drift(rows, of, draw)[1], label_drift(labels, of)[1],
                      confidence_drift(sure, of)[1]])  # fmt: skip
    below = (np.array(found) <= 0.1).mean(axis=0)
    assert (below < 0.2).all()
    assert below.max() > 0.02


def test_the_stability_index_is_that_of_its_formula() -> None:
    given = np.eye(2, dtype=int)[[0] * 40 + [1] * 20 + [0] * 10 + [1] * 30]
    before, now = np.array([40.5, 20.5]) / 61, np.array([10.5, 30.5]) / 41
    index, p_value = label_drift(given, names())
    assert index == pytest.approx(((now - before) * np.log(now / before)).sum())
    assert p_value == 1 / 200


def test_each_of_several_labels_counts_against_its_absence() -> None:
    random = np.random.default_rng(0)
    given = (random.random((100, 3)) < 0.4).astype(int)
    assert label_drift(given, names())[1] > 0.05
    given[60:, 1] = 1
    index, p_value = label_drift(given, names())
    assert p_value == 1 / 200
    assert index > 0.25


def test_the_distance_of_confidence_is_that_of_scipy_with_ties() -> None:
    from scipy.stats import ks_2samp

    sure = np.random.default_rng(0).beta(4, 2, size=100).round(1)
    sure[60:] = sure[60:] * 0.7
    distance, p_value = confidence_drift(sure, names())
    assert distance == pytest.approx(ks_2samp(sure[:60], sure[60:]).statistic, abs=1e-6)
    assert p_value < 0.05


def test_equal_confidence_is_no_drift() -> None:
    assert confidence_drift(np.full(100, 0.5), names()) == (pytest.approx(0, abs=1e-6), 1.0)


def test_p_values_are_corrected_for_their_number() -> None:
    tests = corrected([("texts", 0.7, 0.02), ("labels", 0.1, 0.03), ("confidence", 0.1, 0.5)])
    assert [test.corrected for test in tests] == pytest.approx([0.06, 0.06, 0.5])
    assert not any(test.is_shown for test in tests)


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
