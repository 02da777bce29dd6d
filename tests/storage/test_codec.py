from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest

from finetext.core.arrays import Number
from finetext.core.errors import ModelError, RunError
from finetext.storage.codec import from_json, to_json


@dataclass(frozen=True)
class Inner:
    words: tuple[str, ...]
    score: Number


@dataclass(frozen=True)
class Outer:
    name: str
    inner: tuple[Inner, ...]
    limit: float | None = None


VALUE = Outer("a", (Inner(("x", "y"), math.nan), Inner((), 0.5)))


def test_what_is_written_is_read_again() -> None:
    values = json.loads(json.dumps(to_json(VALUE), allow_nan=False))
    assert values == {
        "name": "a",
        "inner": [{"words": ["x", "y"], "score": None}, {"words": [], "score": 0.5}],
        "limit": None,
    }
    again = from_json(Outer, values, "file")
    assert math.isnan(again.inner[0].score)
    assert again.inner[1] == VALUE.inner[1]


def test_sequences_of_dataclasses() -> None:
    assert from_json(tuple[Inner, ...], to_json(VALUE.inner[1:]), "file") == VALUE.inner[1:]


def test_keys_that_are_not_known_are_ignored() -> None:
    assert from_json(Inner, {"words": [], "score": 1.0, "more": 2}, "file") == Inner((), 1.0)


@pytest.mark.parametrize("values", [None, [], {}, {"words": 1, "score": 0}, {"words": ["x"]}])
def test_what_is_damaged_is_named(values: object) -> None:
    with pytest.raises(RunError, match=r"^scores\.json cannot be read: "):
        from_json(Inner, values, "scores.json")
    with pytest.raises(ModelError):
        from_json(Inner, values, "scores.json", ModelError)
