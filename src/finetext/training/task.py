"""What a training learns: the batches of its rows, the loss, and the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from finetext.core.arrays import Integers


@dataclass(frozen=True)
class Evaluation:
    """A score that chooses the best weights (higher is better), and figures to show by name.

    `collapse` says how the model fails to distinguish texts; "" if it does not fail. `error` is
    about how far chance moves the score; None if that is not known. `ruined` says whether a model
    that fails is far worse than one that knows nothing.
    """

    score: float
    figures: Mapping[str, float]
    collapse: str = ""
    error: float | None = None
    ruined: bool = False


Loss = Callable[[Any, dict[str, Any]], Any]
"""From a model and a batch on its device to the mean loss, a scalar tensor."""


class Task(Protocol):
    """What is learned: batches, loss and evaluation."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def lengths(self) -> Integers:
        """(n,) tokens of each training row."""

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """Return the rows of every step of an epoch."""

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Return tensors for the rows, `input_ids` of shape (rows, longest) among them.

        Draw random choices from torch's CPU generator, whose state is in the checkpoint.
        """

    def weight(self, rows: Integers) -> float:
        """Return the weight of rows in the mean loss of a batch."""

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """Return the mean loss of a batch, a scalar tensor."""

    @property
    def divided_loss(self) -> Loss | None:
        """What computes `loss` in other processes, for some rows of a batch each.

        It is sent to them, so it holds no data. None if rows of a batch depend on each other.
        """

    @property
    def is_learned(self) -> bool:
        """Whether nothing is left to learn, so that training ends before its last step."""

    def evaluate(self, model: Any) -> Evaluation | None:
        """Evaluate the model on validation rows; None if there are none."""

    def state(self) -> dict[str, Any]:
        """Return tensors carried from step to step, by name, that are not changed in place."""

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        """Restore what `state` returned; an empty mapping is the state before the first step."""
