"""Models and tasks so small that a training takes milliseconds."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from finetext.core.arrays import Integers
from finetext.core.contracts import FitContext
from finetext.training.batches import training_batches
from finetext.training.loop import train_model
from finetext.training.plan import ScheduleName, Stage
from finetext.training.precision import Precision
from finetext.training.task import Evaluation

ROWS = 18


@dataclass(frozen=True)
class Settings:
    batch_size: int = 4
    weight_decay: float = 0.0
    schedule: ScheduleName = "linear"
    warmup_share: float | None = 0.0
    discriminative: float | None = 1.0
    head_rate: float | None = None
    largest_gradient: float = 1.0
    evaluate_every: int | None = None
    patience: int | None = None
    precision: Precision = "fp32"


@dataclass
class Line:
    """y = 3 x, learned by a model of one weight; scores of evaluations can be given.

    The loss is computed once before the first step, to see how much memory it takes.
    """

    scores: list[float] | None = None
    collapses: Mapping[int, str] = field(default_factory=dict)
    error: float | None = None
    bad_at: Sequence[int] = ()
    bad_gradient_at: Sequence[int] = ()
    name: str = "toy"
    is_learned: bool = False
    divided_loss: Any = None
    weights: list[float] = field(default_factory=list)
    seen: list[list[int]] = field(default_factory=list)
    losses: int = 0

    @property
    def lengths(self) -> Integers:
        return np.full(ROWS, 5)

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        return training_batches(self.lengths, batch_size, seed, epoch)

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        pass

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        self.seen.append([int(row) for row in rows])
        return {"input_ids": torch.tensor(self.seen[-1], dtype=torch.float32).unsqueeze(1) / ROWS}

    def weight(self, rows: Integers) -> float:
        return float(len(rows))

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        inputs = batch["input_ids"].to(model.weight.dtype)
        loss = (model(inputs) - 3 * inputs).square().mean()
        self.losses += 1
        if self.losses in self.bad_gradient_at:
            loss = loss + (0 * model.weight).sqrt().sum()
        return loss * float("nan") if self.losses in self.bad_at else loss

    def evaluate(self, model: Any) -> Evaluation:
        self.weights.append(model.weight.item())
        score = -abs(3 - model.weight.item())
        if self.scores is not None:
            score = self.scores[len(self.weights) - 1]
        collapse = self.collapses.get(len(self.weights), "")
        return Evaluation(score, {"validation error": -score}, collapse, self.error)


def trained(
    task: Line,
    settings: Settings | None = None,
    epochs: int = 4,
    rate: float = 0.1,
    share: float = 1.0,
    **context: Any,
) -> float:
    """The weight of a model that was trained on a line, for a share of its steps."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    train_model(
        model,
        task,
        settings or Settings(),
        [Stage(epochs, rate)],
        FitContext(device="cpu", **context),
        share,
    )
    return float(model.weight.item())


def events_of(said: Sequence[str]) -> list[str]:
    """What a training said, without its evaluations."""
    return [line for line in said if ": training loss " not in line]


def nothing(count: int) -> None:
    """Do nothing at the so-and-so-manyeth call."""


def at(number: int, do: Callable[[], Any]) -> Callable[[int], None]:
    """Do something at the call of a number, from 1."""
    return lambda count: do() if count == number else None


def interrupt() -> None:
    """What Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


@dataclass
class Curve:
    """A function of three numbers, learned by two layers with dropout between."""

    on_loss: Callable[[int], None] = nothing
    on_evaluation: Callable[[int], None] = nothing
    most_rows: int = 10**6
    out_of_memory: Exception = field(default_factory=MemoryError)
    name: str = "toy"
    is_learned: bool = False
    divided_loss: Any = None
    losses: int = 0
    evaluations: int = 0
    seen: list[int] = field(default_factory=list)

    @property
    def lengths(self) -> Integers:
        return np.arange(ROWS) % 7 + 3

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        return training_batches(self.lengths, batch_size, seed, epoch)

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        pass

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        self.seen.append(len(rows))
        numbers = torch.tensor([[int(row)] for row in rows], dtype=torch.float32)
        return {"input_ids": torch.sin(numbers * torch.tensor([1.0, 2.0, 5.0]))}

    def weight(self, rows: Integers) -> float:
        return float(len(rows))

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        self.losses += 1
        self.on_loss(self.losses)
        inputs = batch["input_ids"]
        if len(inputs) > self.most_rows:
            raise self.out_of_memory
        return self._errors(model, inputs).mean()

    def evaluate(self, model: Any) -> Evaluation:
        self.evaluations += 1
        model.eval()
        with torch.inference_mode():
            error = float(self._errors(model, self.batch(range(ROWS))["input_ids"]).mean())
        self.on_evaluation(self.evaluations)
        return Evaluation(-error, {"validation error": error})

    @staticmethod
    def _errors(model: Any, inputs: Any) -> Any:
        dtype = next(model.parameters()).dtype
        return (model(inputs.to(dtype)).float() - inputs.prod(dim=1, keepdim=True)).square()


def fitted(
    task: Curve,
    settings: Settings | None = None,
    dropout: float = 0.0,
    epochs: int = 2,
    rate: float = 0.2,
    **context: Any,
) -> dict[str, torch.Tensor]:
    """The weights of a model that was trained on a curve."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
        train_model(
            model,
            task,
            settings or Settings(),
            [Stage(epochs, rate)],
            FitContext(device="cpu", **context),
        )
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def same(one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor]) -> bool:
    """Whether weights are equal to the last bit."""
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
