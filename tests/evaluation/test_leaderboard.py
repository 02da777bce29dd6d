"""Leaderboard entries, the spread over seeds, and the gain of an encoder."""

from __future__ import annotations

import json
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pytest

from finetext.core.errors import RunError, UnknownNameError
from finetext.core.types import Score
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import (
    Asked,
    EncoderGain,
    Flip,
    LeaderboardEntry,
    SeedScores,
    flips,
    over_seeds,
)
from finetext.storage.codec import from_json

ENTRY = LeaderboardEntry(
    method="tfidf",
    metrics={
        "validation": {"macro_f1": Score(0.8, 0.7, 0.9, 100)},
        "test": {"macro_f1": Score(0.75, 0.65, 0.85, 200)},
    },
    seconds_to_train=1.5,
    rows_per_second=2000.0,
    bytes=12345,
    model="tfidf/model",
)


def test_an_entry_goes_through_json() -> None:
    text = json.dumps(ENTRY.to_json(), allow_nan=False)
    assert LeaderboardEntry.from_json(json.loads(text)) == ENTRY
    score = json.loads(text)["metrics"]["test"]["macro_f1"]
    assert score == {"value": 0.75, "low": 0.65, "high": 0.85, "n": 200}


def test_an_entry_says_of_which_rows_a_sample_was_scored() -> None:
    asked = Asked(
        "http://a/v1", "m", 300, 3, 90_000, 3_000, None, {"validation": 100, "test": 900}, ""
    )
    entry = replace(ENTRY, asked=asked)
    assert entry.sampled == {"test": (200, 900)}
    assert ENTRY.sampled == {}
    assert LeaderboardEntry.from_json(entry.to_json()) == entry
    assert asked.for_thousand() == "310,000 tokens"
    assert replace(asked, cost=0.6).for_thousand() == "2 in your currency"


def test_an_unknown_metric_or_split_is_an_error_that_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="no metric named 'f1'; did you mean 'macro_f1'"):
        ENTRY.metrics["test"]["f1"]
    with pytest.raises(UnknownNameError, match="no split named 'valid'; did you mean 'validation'"):
        ENTRY.metrics["valid"]


def test_an_undefined_score_is_null() -> None:
    metrics = {"test": {"x": {"value": nan, "low": 0, "high": 1, "n": 3}}}
    entry = LeaderboardEntry.from_json(ENTRY.to_json() | {"metrics": metrics})
    text = json.dumps(entry.to_json(), allow_nan=False)
    assert json.loads(text)["metrics"]["test"]["x"]["value"] is None
    assert LeaderboardEntry.from_json(json.loads(text)).metrics["test"]["x"].value != 0


@pytest.mark.parametrize("broken", [{"method": None}, {"metrics": 3}, {"bytes": "many"}])
def test_a_broken_entry_is_reported(broken: dict[str, object]) -> None:
    values = {k: v for k, v in {**ENTRY.to_json(), **broken}.items() if v is not None}
    with pytest.raises(RunError, match=r"leaderboard\.json"):
        LeaderboardEntry.from_json(values)


def entry(name: str, *values: float) -> LeaderboardEntry:
    seeds = tuple(
        SeedScores(seed, {"test": {"accuracy": value, "log_loss": nan}}, 1.0)
        for seed, value in enumerate(values)
    )
    return LeaderboardEntry(name, {}, 1.0, 1.0, 1, name, seeds)


def test_mean_and_standard_deviation() -> None:
    assert over_seeds(entry("a", 0.5, 0.7, 0.6), "accuracy") == pytest.approx((0.6, 0.1))
    assert over_seeds(entry("a", 0.5), "accuracy") is None
    assert over_seeds(entry("a"), "accuracy") is None


def test_flips_count_the_seed_pairs_in_reverse_order() -> None:
    board = [entry("low", 0.1, 0.1), entry("one", 0.5, 0.7), entry("two", 0.6, 0.9)]
    assert flips(board, "accuracy", True) == [Flip("two", "one", 0.25)]
    assert flips(board, "accuracy", False) == [Flip("one", "two", 0.25)]
    assert flips([entry("a", 0.5, 0.5), entry("b", 0.5, 0.5)], "accuracy", True)[0].share == 0.5
    assert flips([entry("a", 0.5), entry("b", 0.6)], "accuracy", True) == []


def test_scores_of_a_seed_go_through_json() -> None:
    (scores,) = entry("a", 0.25).seeds
    again = from_json(SeedScores, json.loads(json.dumps(scores.to_json())), "a seed")
    assert (again.seed, again.metrics["test"]["accuracy"]) == (0, 0.25)
    assert np.isnan(again.metrics["test"]["log_loss"])


def gain(value: float, p_value: float, metric: str = "macro_f1") -> EncoderGain:
    difference = Score(value, value - 0.01, value + 0.01, 100)
    comparison = Comparison(metric, difference, p_value, "paired permutation of rows", 100)
    return EncoderGain("finetune", "plain", "adapted", comparison, 50.0, 60.0, 600.0)


@pytest.mark.parametrize(
    ("value", "p_value", "metric", "outcome"),
    [
        (0.02, 0.01, "macro_f1", "paid"),
        (-0.02, 0.01, "macro_f1", "hurt"),
        (0.02, 0.05, "macro_f1", "no difference"),
        (-0.02, 0.3, "macro_f1", "no difference"),
        (-0.02, 0.01, "log_loss", "paid"),
        (0.02, 0.01, "log_loss", "hurt"),
        (nan, nan, "macro_f1", "no difference"),
        (0.02, nan, "macro_f1", "no difference"),
    ],
)
def test_an_encoder_pays_if_it_is_significantly_better(
    value: float, p_value: float, metric: str, outcome: str
) -> None:
    assert gain(value, p_value, metric).outcome == outcome


def test_extra_seconds_are_those_of_the_encoder_and_of_training() -> None:
    assert gain(0.1, 0.01).extra_seconds == 600 + 50 - 60


@pytest.mark.parametrize("value", [0.02, -0.5])
def test_an_encoder_gain_goes_through_json(value: float) -> None:
    of = gain(value, 0.01)
    told = json.loads(json.dumps(of.to_json()))
    assert EncoderGain.from_json(told) == of
    assert (told["outcome"], told["extra_seconds"]) == (of.outcome, of.extra_seconds)


@pytest.mark.parametrize("damage", [{"kind": "stolen"}, {"seconds": None}, {"comparison": {}}])
def test_a_damaged_encoder_gain_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"verdict\.json"):
        EncoderGain.from_json(gain(0.1, 0.01).to_json() | damage)
    with pytest.raises(RunError, match=r"verdict\.json"):
        EncoderGain.from_json({})
