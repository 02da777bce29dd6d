"""One line of the leaderboard, as `leaderboard.json` of a run holds it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetext.errors import RunError
from finetext.types import Score


@dataclass(frozen=True)
class LeaderboardEntry:
    """What one rung of the ladder achieved and what it cost.

    Attributes:
        method: name of the method.
        metrics: "validation" and "test" to metric name to score.
        seconds_to_train: wall time of fitting.
        rows_per_second: speed of predicting the test rows.
        bytes: size of the model folder.
        model: the model folder, relative to the run folder.
    """

    method: str
    metrics: Mapping[str, Mapping[str, Score]]
    seconds_to_train: float
    rows_per_second: float
    bytes: int
    model: str

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON values; a score that is not defined is null."""
        return {
            "method": self.method,
            "metrics": {
                split: {name: _score_to_json(score) for name, score in scores.items()}
                for split, scores in self.metrics.items()
            },
            "seconds_to_train": self.seconds_to_train,
            "rows_per_second": self.rows_per_second,
            "bytes": self.bytes,
            "model": self.model,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LeaderboardEntry:
        """The inverse of `to_json`; unknown keys are left out.

        Raises:
            RunError: a key is missing, or a value is not of the kind it should be.
        """
        try:
            return cls(
                method=str(values["method"]),
                metrics={
                    split: {name: _score_from_json(score) for name, score in scores.items()}
                    for split, scores in values["metrics"].items()
                },
                seconds_to_train=float(values["seconds_to_train"]),
                rows_per_second=float(values["rows_per_second"]),
                bytes=int(values["bytes"]),
                model=str(values["model"]),
            )
        except KeyError as error:
            raise RunError(f"leaderboard.json: an entry has no {error.args[0]!r}") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise RunError(f"leaderboard.json: an entry cannot be read: {error}") from None


def _score_to_json(score: Score) -> dict[str, float | int | None]:
    ends = {"value": score.value, "low": score.low, "high": score.high}
    return {k: v if math.isfinite(v) else None for k, v in ends.items()} | {"n": score.n}


def _score_from_json(values: Mapping[str, Any]) -> Score:
    value, low, high = (
        float("nan") if values[key] is None else float(values[key])
        for key in ("value", "low", "high")
    )
    return Score(value, low, high, int(values["n"]))
