"""The verdict on calibration: false alarms at its level, power, groups and words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, ndtr, softmax

from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.consistency import FEWEST_ROWS, Consistency, consistency, stated


def simulated(
    rows: int, seed: int, times: float = 1.0, size: int = 1, several: bool = False
) -> Predictions:
    """Calibrated predictions, overconfident above 1; groups of `size` are right together."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (rows, 4))
    ids = tuple(map(str, range(rows)))
    scheme = LabelScheme(("a", "b", "c", "d"), multilabel=several)
    if several:
        shared = random.normal(size=(rows, 1))
        chance = ndtr((shared + random.normal(size=(rows, 4))) / np.sqrt(2))
        targets = (chance < expit(logits)).astype(np.int64)
        return Predictions(ids, targets, expit(times * logits), scheme)
    likely = softmax(logits, axis=1)
    order = np.argsort(-likely, axis=1)
    group = np.arange(rows) // size
    weight = 0.0 if size == 1 else 0.8
    shared, own = random.normal(size=rows)[group], random.normal(size=rows)
    chance = ndtr(np.sqrt(weight) * shared + np.sqrt(1 - weight) * own)
    place = (chance[:, None] > np.take_along_axis(likely, order, 1).cumsum(axis=1)).sum(axis=1)
    targets = order[np.arange(rows), place.clip(0, 3)]
    groups = None if size == 1 else tuple(map(str, group))
    return Predictions(ids, targets, softmax(times * logits, axis=1), scheme, groups=groups)


@pytest.mark.parametrize(("size", "several"), [(1, False), (5, False), (1, True)])
def test_calibrated_models_are_rarely_blamed(size: int, several: bool) -> None:
    found = [
        consistency(simulated(FEWEST_ROWS * size, seed, 1.0, size, several)) for seed in range(80)
    ]
    blamed = sum(of.status != "calibrated" for of in found)
    assert blamed <= 10  # at a rate of 5%, one in 250 such tests has more
    assert abs(np.mean([of.excess for of in found])) < 0.012
    assert np.mean([of.error for of in found]) > 0.03


def test_without_regard_to_groups_calibrated_models_are_blamed() -> None:
    grouped = [simulated(600, seed, 1.0, 20) for seed in range(40)]
    heeded = sum(consistency(of).p_value <= 0.05 for of in grouped)
    ignored = sum(consistency(replace(of, groups=None)).p_value <= 0.05 for of in grouped)
    assert ignored > heeded + 5


@pytest.mark.parametrize(("several", "rows"), [(False, 150), (True, 150)])
@pytest.mark.parametrize(("times", "status"), [(2.5, "overconfident"), (0.4, "underconfident")])
def test_wrong_confidence_is_found_and_named(
    several: bool, rows: int, times: float, status: str
) -> None:
    found = [consistency(simulated(rows, seed, times, 1, several)).status for seed in range(20)]
    assert found.count(status) >= 18


def test_few_rows_and_few_groups_cannot_tell() -> None:
    few = consistency(simulated(FEWEST_ROWS - 1, 1, 5.0))
    assert few.status == "too few"
    assert few.words == (
        "not known to be calibrated: too few rows to tell (74 rows, at least 75 are needed)"
    )
    grouped = consistency(simulated(370, 1, 5.0, 5))
    assert "too few groups to tell (74 groups" in grouped.words


def test_the_words_say_how_far_off() -> None:
    check = Consistency(100, 100, 0.12, 0.05, 0.01, 0.07)
    assert check.words == "overconfident by about 7 points"
    assert replace(check, overconfidence=-0.004).words == (
        "off by about 7 points, too high in places and too low in others"
    )
    assert replace(check, overconfidence=-0.1).words == "underconfident by about 10 points"
    assert replace(check, p_value=0.3).words == "calibrated as far as these 100 rows can tell"
    assert check.to_json()["words"] == check.words


def test_the_result_is_the_same_each_time_and_many_rows_are_sampled() -> None:
    few = simulated(300, 3)
    assert consistency(few) == consistency(few)
    many = simulated(120_000, 1, 1.2)
    found = consistency(many, draws=20)
    assert (found.rows, found.units) == (120_000, 120_000)
    assert found.status == "overconfident"


def test_equal_probabilities_share_a_bin() -> None:
    likely = np.tile([0.8, 0.2], (100, 1))
    targets = (np.arange(100) < 20).astype(np.int64)
    of = Predictions(tuple(map(str, range(100))), targets, likely, LabelScheme(("a", "b")))
    assert consistency(of).error == pytest.approx(0)
    found = stated(of)
    assert (found.confidence, found.right.value, found.right.n) == pytest.approx((0.8, 0.8, 100))


def test_an_example_of_a_stated_probability() -> None:
    found = stated(simulated(2_000, 1, 2.0))
    assert found.confidence == pytest.approx(0.9, abs=0.05)
    assert found.right.high < found.confidence
    assert 350 <= found.right.n <= 450
    pairs = stated(simulated(100, 1, several=True))
    assert pairs.right.n == 80
