"""Scores and comparisons as the JSON files of a run hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any, Final, Literal

import numpy as np

from finetext.core.errors import RunError
from finetext.core.registry import load
from finetext.core.types import Score
from finetext.evaluation.compare import SIGNIFICANT, Comparison


@dataclass(frozen=True)
class SeedScores:
    """What a rung achieved with one seed, on the same rows as with any other.

    Attributes:
        seed: of training.
        metrics: "validation" and "test" to metric name to value; nan where it is not defined.
        seconds_to_train: wall time of fitting.
    """

    seed: int
    metrics: Mapping[str, Mapping[str, float]]
    seconds_to_train: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is not defined is null."""
        metrics = {
            part: {name: value if np.isfinite(value) else None for name, value in of.items()}
            for part, of in self.metrics.items()
        }
        return {
            "seed": self.seed,
            "metrics": metrics,
            "seconds_to_train": self.seconds_to_train,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SeedScores:
        """The inverse of `to_json`."""
        metrics = {
            part: {name: float("nan") if of is None else float(of) for name, of in scores.items()}
            for part, scores in values["metrics"].items()
        }
        return cls(int(values["seed"]), metrics, float(values["seconds_to_train"]))


@dataclass(frozen=True)
class Flip:
    """How sure the order of two rungs is.

    Attributes:
        ahead: the rung with the higher mean over seeds.
        behind: the other.
        share: of the pairs of a seed of one and a seed of the other in which the order is the
            reverse; ties count half.
    """

    ahead: str
    behind: str
    share: float


def over_seeds(
    entry: LeaderboardEntry, metric: str, part: str = "test"
) -> tuple[float, float] | None:
    """Mean and standard deviation over seeds; None for fewer than two seeds."""
    values = [of.metrics[part][metric] for of in entry.seeds]
    return (fmean(values), stdev(values)) if len(values) > 1 else None


def flips(entries: Sequence[LeaderboardEntry], metric: str, higher_is_better: bool) -> list[Flip]:
    """How often the order of each two rungs is the reverse of that of their means, on test rows.

    Args:
        entries: the rungs, in the order of the ladder.
        metric: by which they are ordered.
        higher_is_better: its direction.

    Returns:
        the pairs whose order flips at all, the most doubtful first; none without several seeds.
    """
    found = []
    for one, other in combinations([entry for entry in entries if len(entry.seeds) > 1], 2):
        a, b = (np.array([of.metrics["test"][metric] for of in e.seeds]) for e in (one, other))
        ahead, behind = (one, other) if (a.mean() >= b.mean()) == higher_is_better else (other, one)
        first, second = (a, b) if ahead is one else (b, a)
        lead = (first[:, None] - second) * (1 if higher_is_better else -1)
        share = float((lead < 0).mean() + (lead == 0).mean() / 2)
        if share > 0:
            found.append(Flip(ahead.method, behind.method, share))
    return sorted(found, key=lambda flip: -flip.share)


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


Kind = Literal["adapted", "pretrained"]
Outcome = Literal["paid", "no difference", "hurt"]
NOUNS: Final[Mapping[str, str]] = {"adapted": "adaptation", "pretrained": "pretraining"}
"""What was done to an encoder, by the kind of its origin."""


@dataclass(frozen=True)
class Paid:
    """A rung, the same method with the encoder that its own came from, and how they compare.

    Attributes:
        method: the rung with the adapted or pretrained encoder.
        beside: the rung without: with the encoder before adaptation, or with random weights.
        kind: what was done to the encoder of `method`.
        comparison: `method` less `beside` on the same test rows, in the metric of the run.
        seconds: to train `method`.
        seconds_beside: to train `beside`.
        seconds_before: that adapting or pretraining the encoder took.
    """

    method: str
    beside: str
    kind: Kind
    comparison: Comparison
    seconds: float
    seconds_beside: float
    seconds_before: float

    @property
    def extra_seconds(self) -> float:
        """What the encoder cost: its own training, and how much longer the rung took with it."""
        return self.seconds_before + self.seconds - self.seconds_beside

    @property
    def outcome(self) -> Outcome:
        """Better or worse with a two-sided p-value below 0.05, or neither."""
        value, p_value = self.comparison.difference.value, self.comparison.p_value
        if not p_value < SIGNIFICANT or not math.isfinite(value) or value == 0:
            return "no difference"
        is_higher = value > 0
        return "paid" if is_higher == self._higher_is_better else "hurt"

    @property
    def _higher_is_better(self) -> bool:
        return bool(load("metrics", self.comparison.metric).higher_is_better)

    def to_json(self) -> dict[str, Any]:
        """The pair as JSON values, with what follows from them."""
        return {
            "method": self.method,
            "beside": self.beside,
            "kind": self.kind,
            "outcome": self.outcome,
            "comparison": comparison_to_json(self.comparison),
            "seconds": self.seconds,
            "seconds_beside": self.seconds_beside,
            "seconds_before": self.seconds_before,
            "extra_seconds": self.extra_seconds,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Paid:
        """The inverse of `to_json`.

        Raises:
            RunError: a key is missing, or a value is not of the kind it should be.
        """
        try:
            kind = values["kind"]
            if kind not in NOUNS:
                raise ValueError(f"{kind!r} is no kind of origin")
            return cls(
                method=str(values["method"]),
                beside=str(values["beside"]),
                kind=kind,
                comparison=comparison_from_json(values["comparison"]),
                seconds=float(values["seconds"]),
                seconds_beside=float(values["seconds_beside"]),
                seconds_before=float(values["seconds_before"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"verdict.json: what paid cannot be read: {error!r}") from None
