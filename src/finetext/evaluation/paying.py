"""Did an encoder of one's own pay? The same method with it and with the one it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from finetext.errors import RunError
from finetext.evaluation.compare import SIGNIFICANT, Comparison
from finetext.evaluation.leaderboard import comparison_from_json, comparison_to_json
from finetext.registry import load

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
