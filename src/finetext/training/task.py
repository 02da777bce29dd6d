"""What the training loop asks of a task, and of the method whose hyperparameters it follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from finetext.training.precision import Precision
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

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Tensors for the rows, `input_ids` of shape (rows, longest) among them."""

    def weight(self, rows: Integers) -> float:
        """What the rows count in the mean loss of a batch; their number, if all count alike."""

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """The mean loss of a batch, a scalar tensor."""

    def evaluate(self, model: Any) -> Evaluation:
        """How good the model is on validation rows."""


class Hyperparameters(Protocol):
    """The hyperparameters of the loop, as `finetext.methods.finetune.Finetune` explains them."""

    @property
    def batch_size(self) -> int:
        """Rows a step."""

    @property
    def weight_decay(self) -> float:
        """Decoupled decay of the matrices."""

    @property
    def warmup_share(self) -> float:
        """Share of the steps in which the learning rate rises."""

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
