"""Scores and comparisons as the JSON files of a run hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetext.errors import RunError
from finetext.evaluation.compare import Comparison
from finetext.evaluation.seeds import SeedScores
from finetext.types import Score


@dataclass(frozen=True)
class LeaderboardEntry:
    """What one rung of the ladder achieved and what it cost.

    Attributes:
        method: name of the method.
        metrics: "validation" and "test" to metric name to score.
        seconds_to_train: wall time of fitting; with that before a kill, if it went on from there.
        rows_per_second: speed of predicting the test rows.
        bytes: size of the model folder.
        model: the model folder, relative to the run folder.
        seeds: what it achieved with each seed, the first included, if there were several.
    """

    method: str
    metrics: Mapping[str, Mapping[str, Score]]
    seconds_to_train: float
    rows_per_second: float
    bytes: int
    model: str
    seeds: tuple[SeedScores, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON values; a score that is not defined is null."""
        return {
            "method": self.method,
            "metrics": {
                split: {name: score_to_json(score) for name, score in scores.items()}
                for split, scores in self.metrics.items()
            },
            "seconds_to_train": self.seconds_to_train,
            "rows_per_second": self.rows_per_second,
            "bytes": self.bytes,
            "model": self.model,
            "seeds": [of.to_json() for of in self.seeds],
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
                    split: {name: score_from_json(score) for name, score in scores.items()}
                    for split, scores in values["metrics"].items()
                },
                seconds_to_train=float(values["seconds_to_train"]),
                rows_per_second=float(values["rows_per_second"]),
                bytes=int(values["bytes"]),
                model=str(values["model"]),
                seeds=tuple(map(SeedScores.from_json, values.get("seeds", ()))),
            )
        except KeyError as error:
            raise RunError(f"leaderboard.json: an entry has no {error.args[0]!r}") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise RunError(f"leaderboard.json: an entry cannot be read: {error}") from None


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """A comparison as JSON values; a figure that is not defined is null."""
    p_value = comparison.p_value
    return {
        "metric": comparison.metric,
        "difference": score_to_json(comparison.difference),
        "p_value": p_value if math.isfinite(p_value) else None,
        "test": comparison.test,
        "n": comparison.n,
        "standard_error": comparison.standard_error,
    }


def comparison_from_json(values: Mapping[str, Any]) -> Comparison:
    """The inverse of `comparison_to_json`.

    Raises:
        RunError: a key is missing, or a value is not of the kind it should be.
    """
    try:
        p_value, error = values["p_value"], values.get("standard_error")
        return Comparison(
            metric=str(values["metric"]),
            difference=score_from_json(values["difference"]),
            p_value=float("nan") if p_value is None else float(p_value),
            test=str(values["test"]),
            n=int(values["n"]),
            standard_error=None if error is None else float(error),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"verdict.json: a comparison cannot be read: {error!r}") from None


def score_to_json(score: Score) -> dict[str, float | int | None]:
    """A score as JSON values; what is not defined is null."""
    ends = {"value": score.value, "low": score.low, "high": score.high}
    return {k: v if math.isfinite(v) else None for k, v in ends.items()} | {"n": score.n}


def score_from_json(values: Mapping[str, Any]) -> Score:
    """The inverse of `score_to_json`.

    Raises:
        KeyError, TypeError, ValueError: a value is missing, or of another kind.
    """
    value, low, high = (
        float("nan") if values[key] is None else float(values[key])
        for key in ("value", "low", "high")
    )
    return Score(value, low, high, int(values["n"]))
