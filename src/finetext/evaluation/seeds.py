"""How far scores vary with the seed of training, and whether the order of rungs stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from finetext.evaluation.leaderboard import LeaderboardEntry


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
