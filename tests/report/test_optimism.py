"""Tests of what is said of the use of a test set, and of the optimism of the best of several."""

from __future__ import annotations

import math

import numpy as np
import pytest

from finetext.core.types import Score
from finetext.report.optimism import ALIKE, TestSetUse, accesses_sentence, optimism

TWICE = [{"by": "finetext errors"}, {"by": "finetext errors"}, {}]


def test_accesses_are_counted() -> None:
    assert "accessed once" in accesses_sentence((), TestSetUse())
    said = accesses_sentence(TWICE, TestSetUse())
    assert "accessed 4 times: for this leaderboard, then by an unknown command, finetext" in said
    assert "runs on this machine" not in said


def test_further_runs_are_counted_with_the_optimism_of_the_best() -> None:
    score = Score(0.85, 0.793, 0.907, 150)
    said = accesses_sentence((), TestSetUse(20, 3), score)
    assert "20 runs on this machine were scored on the same test rows, and read 3 times" in said
    assert "its score is about 0.030 too high" in said
    assert "too high" not in accesses_sentence((), TestSetUse(20, 3), None)
    assert "too high" not in accesses_sentence((), TestSetUse(2), Score(1.0, math.nan, math.nan, 1))


@pytest.mark.parametrize("choices", [5, 20])
def test_the_optimism_is_that_of_equal_methods_that_are_alike(choices: int) -> None:
    random, rows, accuracy = np.random.default_rng(0), 150, 0.7
    highest = []
    for _ in range(800):
        common = random.random(rows) < accuracy
        own = random.random((choices, rows)) < accuracy
        copied = random.random((choices, rows)) < math.sqrt(ALIKE)
        highest.append(np.where(copied, common, own).mean(axis=1).max() - accuracy)
    error = math.sqrt(accuracy * (1 - accuracy) / rows)
    assert optimism(choices, error) == pytest.approx(np.mean(highest), abs=0.004)
    assert optimism(1, error) == 0
