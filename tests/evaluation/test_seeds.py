from __future__ import annotations

import json

import numpy as np
import pytest

from finetext.evaluation.leaderboard import Flip, LeaderboardEntry, SeedScores, flips, over_seeds


def entry(name: str, *values: float) -> LeaderboardEntry:
    seeds = tuple(
        SeedScores(seed, {"test": {"accuracy": value, "log_loss": float("nan")}}, 1.0)
        for seed, value in enumerate(values)
    )
    return LeaderboardEntry(name, {}, 1.0, 1.0, 1, name, seeds)


def test_mean_and_standard_deviation() -> None:
    assert over_seeds(entry("a", 0.5, 0.7, 0.6), "accuracy") == pytest.approx((0.6, 0.1))
    assert over_seeds(entry("a", 0.5), "accuracy") is None
    assert over_seeds(entry("a"), "accuracy") is None


def test_the_order_of_two_rungs_flips_in_a_share_of_the_pairs() -> None:
    board = [entry("low", 0.1, 0.1), entry("one", 0.5, 0.7), entry("two", 0.6, 0.9)]
    assert flips(board, "accuracy", True) == [Flip("two", "one", 0.25)]
    assert flips(board, "accuracy", False) == [Flip("one", "two", 0.25)]
    assert flips([entry("a", 0.5, 0.5), entry("b", 0.5, 0.5)], "accuracy", True)[0].share == 0.5
    assert flips([entry("a", 0.5), entry("b", 0.6)], "accuracy", True) == []


def test_scores_come_back_from_json() -> None:
    (scores,) = entry("a", 0.25).seeds
    again = SeedScores.from_json(json.loads(json.dumps(scores.to_json())))
    assert (again.seed, again.metrics["test"]["accuracy"]) == (0, 0.25)
    assert np.isnan(again.metrics["test"]["log_loss"])
