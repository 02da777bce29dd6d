"""What a training is to do: the rows, the learning rates and the layer groups of every step."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Final, Literal, NamedTuple, Protocol, Self

from finetext.core.arrays import Integers
from finetext.core.settings import Precision

ScheduleName = Literal["linear", "one-cycle", "slanted-triangular"]
MOMENTUM: Final = 0.9
LOW_MOMENTUM, HIGH_MOMENTUM = 0.85, 0.95
ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1e-5
SLANTED_RATIO: Final = 32
DEFAULT_WARMUP: Final[dict[ScheduleName, float]] = {
    "linear": 0.06,
    "one-cycle": 0.25,
    "slanted-triangular": 0.1,
}
"""Share of the steps in which the rate rises: ours, that of fastai, that of the ULMFiT paper."""
USUAL_WIDTH: Final = 384
MAX_LEARNING_RATE: Final = 1e-3


class Pace(NamedTuple):
    """How large a step is.

    Attributes:
        share: of the highest learning rate, from 0 to 1.
        momentum: decay of the running mean of gradients, the first beta of AdamW.
    """

    share: float
    momentum: float = MOMENTUM


Schedule = Callable[[int, int], Pace]
"""From the number of steps done and of steps in all to the pace of the next step."""


def learning_rate_for(rate: float, hidden_size: int) -> float:
    """A learning rate for a hidden size, in inverse proportion to it, and at most 1e-3.

    Args:
        rate: that for a hidden size of 384.
        hidden_size: of the model.
    """
    return min(MAX_LEARNING_RATE, rate * USUAL_WIDTH / hidden_size)


def schedule(name: ScheduleName, warmup_share: float | None = None) -> Schedule:
    """A schedule by name.

    Args:
        name: "linear" rises and falls in straight lines, at a momentum of 0.9. "one-cycle" rises
            and falls along cosines (Smith 2018, "A disciplined approach to neural network
            hyper-parameters"), "slanted-triangular" rises shortly and falls long in straight
            lines (Howard and Ruder 2018, equation 3); in both the momentum falls from 0.95 to
            0.85 while the rate rises, and rises again while it falls.
        warmup_share: share of the steps in which the rate rises, or None for 0.06, 0.25 and 0.1.
    """
    share = DEFAULT_WARMUP[name] if warmup_share is None else warmup_share
    shapes: dict[ScheduleName, Callable[[int, int, float], Pace]] = {
        "linear": _linear,
        "one-cycle": _one_cycle,
        "slanted-triangular": _slanted_triangular,
    }
    shape = shapes[name]
    return lambda done, steps: shape(done, steps, share)


def exponential(lowest_share: float) -> Schedule:
    """From a share of the highest rate up to it in equal ratios, for a range test."""
    return lambda done, steps: Pace(lowest_share ** (1 - done / max(1, steps - 1)))


def _linear(done: int, steps: int, warmup_share: float) -> Pace:
    rising = round(steps * warmup_share)
    if done < rising:
        return Pace(done / rising)
    return Pace((steps - done) / max(1, steps - rising))


def _one_cycle(done: int, steps: int, warmup_share: float) -> Pace:
    rising = steps * warmup_share
    if done < rising:
        way = done / rising
        return Pace(_cosine(ONE_CYCLE_START, 1, way), _cosine(HIGH_MOMENTUM, LOW_MOMENTUM, way))
    way = (done - rising) / max(1.0, steps - rising)
    return Pace(_cosine(1, ONE_CYCLE_END, way), _cosine(LOW_MOMENTUM, HIGH_MOMENTUM, way))


def _slanted_triangular(done: int, steps: int, warmup_share: float) -> Pace:
    rising = math.floor(steps * warmup_share)
    height = done / rising if done < rising else 1 - (done - rising) / max(1, steps - rising)
    momentum = HIGH_MOMENTUM + (LOW_MOMENTUM - HIGH_MOMENTUM) * height
    return Pace((1 + height * (SLANTED_RATIO - 1)) / SLANTED_RATIO, momentum)


def _cosine(start: float, end: float, way: float) -> float:
    """From start to end along half a cosine; `way` goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, way))) / 2


@dataclass(frozen=True)
class Stage:
    """A part of a training with a learning-rate cycle of its own.

    Attributes:
        epochs: passes over the rows.
        learning_rate: the highest one, of the topmost layer group.
        groups: how many of the topmost layer groups learn while the others are frozen; None (the
            default) lets all learn.
    """

    epochs: int
    learning_rate: float
    groups: int | None = None


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


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be done.

    Attributes:
        name: what to call the training in messages.
        batches: the rows of every step of every epoch.
        stages: which of the epochs belong together, and their learning rates.
        schedule: the pace within a stage.
        settings: the hyperparameters of the loop.
    """

    name: str
    batches: Sequence[Sequence[Integers]]
    stages: Sequence[Stage]
    schedule: Schedule
    settings: Hyperparameters

    @classmethod
    def made(
        cls,
        task: Task,
        stages: Sequence[Stage],
        schedule: Schedule,
        settings: Hyperparameters,
        seed: int,
    ) -> Self:
        """A plan in which every epoch has an order of its own."""
        epochs = sum(stage.epochs for stage in stages)
        batches = [task.batches(settings.batch_size, seed, epoch) for epoch in range(epochs)]
        return cls(task.name, batches, stages, schedule, settings)

    @cached_property
    def steps(self) -> list[Integers]:
        """The rows of every step."""
        return [rows for epoch in self.batches for rows in epoch]

    @cached_property
    def rows_in_all(self) -> int:
        """Rows of all epochs."""
        return sum(map(len, self.steps))

    @property
    def is_flat(self) -> bool:
        """Whether all weights learn at the same rate all the time."""
        frozen = any(stage.groups is not None for stage in self.stages)
        return not frozen and self.settings.discriminative == 1

    def stage_of(self, step: int) -> int:
        """The number of the stage, from 0, to which the step after `step` steps belongs."""
        return min(bisect_right(self._ends, step), len(self.stages) - 1)

    def is_first_of_stage(self, step: int) -> bool:
        """Whether the step after `step` steps is the first of a stage."""
        return step == 0 or step in self._ends

    def pace(self, step: int) -> Pace:
        """The pace of the step after `step` steps."""
        number = self.stage_of(step)
        start = self._ends[number - 1] if number else 0
        return self.schedule(step - start, self._ends[number] - start)

    def rates(self, step: int, groups: int) -> list[float]:
        """The learning rates of layer groups, bottom first, in the step after `step` steps.

        Each group learns by the factor `discriminative` more slowly than the one above it; a
        factor below 1 is a decay and means the same as its inverse (Howard and Ruder 2018,
        section 3.2; Clark et al. 2020, "ELECTRA").
        """
        highest = self.stages[self.stage_of(step)].learning_rate * self.pace(step).share
        factor = self.settings.discriminative
        decay = factor if factor < 1 else 1 / factor
        return [highest * decay ** (groups - 1 - number) for number in range(groups)]

    def identity(self) -> dict[str, Any]:
        """What must be the same for a training to be gone on with; its precision is kept anyway."""
        settings = asdict(self.settings)  # type: ignore[call-overload]
        del settings["precision"]
        described = {
            **settings,
            "learning_rate": _joined(stage.learning_rate for stage in self.stages),
            "epochs": _joined(stage.epochs for stage in self.stages),
            "layer groups that learn": _joined(stage.groups or "all" for stage in self.stages),
            "number of steps": len(self.steps),
        }
        plain: dict[str, Any] = json.loads(json.dumps(described))
        return plain

    @cached_property
    def _ends(self) -> list[int]:
        """Steps in all at the end of each stage."""
        epochs = list(accumulate(map(len, self.batches), initial=0))
        return [epochs[end] for end in accumulate(stage.epochs for stage in self.stages)]


def _joined(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
