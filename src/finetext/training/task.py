"""What the training loop asks of a task, and of the method whose hyperparameters it follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from finetext.training.precision import Precision
from finetext.training.schedules import ScheduleName
from finetext.types import Integers


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation on validation rows found.

    Attributes:
        score: higher is better; chooses the best weights.
        figures: what to show, by name.
        collapse: a sentence if the model tells nothing apart, such as that all predictions are
            of one class; "" if all is well.
    """

    score: float
    figures: Mapping[str, float]
    collapse: str = ""


class Task(Protocol):
    """What is learned."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    @property
    def lengths(self) -> Integers:
        """(n,) tokens of each training row."""

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """The rows of every step of an epoch."""

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Tensors for the rows, `input_ids` of shape (rows, longest) among them.

        Random choices come from torch's generator of the processor, whose state is kept.
        """

    def weight(self, rows: Integers) -> float:
        """What the rows count in the mean loss of a batch; their number, if all count alike."""

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """The mean loss of a batch, a scalar tensor."""

    def evaluate(self, model: Any) -> Evaluation:
        """How good the model is on validation rows."""

    def state(self) -> dict[str, Any]:
        """Tensors that are carried from step to step, by name; they are not changed in place."""

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; from nothing, as before the first step."""


class Hyperparameters(Protocol):
    """The hyperparameters of the loop, as `finetext.methods.finetune.Finetune` explains them."""

    @property
    def batch_size(self) -> int:
        """Rows a step."""

    @property
    def weight_decay(self) -> float:
        """Decoupled decay of the matrices."""

    @property
    def schedule(self) -> ScheduleName:
        """How the learning rate rises and falls."""

    @property
    def warmup_share(self) -> float | None:
        """Share of the steps in which the learning rate rises; None is that of the schedule."""

    @property
    def discriminative(self) -> float:
        """By how much the learning rate falls from a layer group to the one below it."""

    @property
    def largest_gradient(self) -> float:
        """Norm to which gradients are clipped."""

    @property
    def evaluate_every(self) -> int | None:
        """Steps between evaluations; None evaluates after each epoch."""

    @property
    def patience(self) -> int | None:
        """Evaluations without improvement after which training stops; None never does."""

    @property
    def precision(self) -> Precision:
        """Number format of matrix products."""
