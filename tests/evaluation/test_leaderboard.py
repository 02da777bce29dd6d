"""A leaderboard entry goes through JSON unchanged."""

from __future__ import annotations

import json

import pytest

from finetext.core.errors import RunError
from finetext.core.types import Score
from finetext.evaluation.leaderboard import LeaderboardEntry

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


def test_json_and_back() -> None:
    text = json.dumps(ENTRY.to_json(), allow_nan=False)
    assert LeaderboardEntry.from_json(json.loads(text)) == ENTRY
    assert json.loads(text)["metrics"]["test"]["macro_f1"] == {
        "value": 0.75,
        "low": 0.65,
        "high": 0.85,
        "n": 200,
    }


def test_a_score_that_is_not_defined_is_null() -> None:
    nan = float("nan")
    values = {
        **ENTRY.to_json(),
        "metrics": {"test": {"x": {"value": nan, "low": 0, "high": 1, "n": 3}}},
    }
    entry = LeaderboardEntry.from_json(values)
    text = json.dumps(entry.to_json(), allow_nan=False)
    assert json.loads(text)["metrics"]["test"]["x"]["value"] is None
    assert LeaderboardEntry.from_json(json.loads(text)).metrics["test"]["x"].value != 0


@pytest.mark.parametrize("broken", [{"method": None}, {"metrics": 3}, {"bytes": "many"}])
def test_a_broken_entry_is_reported(broken: dict[str, object]) -> None:
    values = {k: v for k, v in {**ENTRY.to_json(), **broken}.items() if v is not None}
    with pytest.raises(RunError, match=r"leaderboard\.json"):
        LeaderboardEntry.from_json(values)
