"""The plan of a training: the rows, learning rates and layer groups of every step."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Protocol

from finetext.core.arrays import Integers
from finetext.core.errors import RecipeError
from finetext.core.settings import Count, Positive, Precision, Share
from finetext.core.wording import counted
from finetext.training.task import Task

_SIZES: Final = 'use a whole number of 1 or more, or "auto"'
BatchSize = Annotated[Count | Literal["auto"], _SIZES]
OpenBatchSize = Annotated[Count | Literal["auto"] | None, _SIZES]
AUTO: Final = "auto"
ScheduleName = Literal["linear", "one-cycle", "slanted-triangular"]
MOMENTUM: Final = 0.9
LOW_MOMENTUM, HIGH_MOMENTUM = 0.85, 0.95
ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1e-5
SLANTED_RATIO: Final = 32
USUAL_WIDTH: Final = 384
MAX_LEARNING_RATE: Final = 1e-3
ADDED_LATER: Final[Mapping[str, tuple[Any, ...]]] = {
    "head_rate": (None, 1), "truncation": ("head",), "by_ratios": (False,),
}  # fmt: skip
"""Hyperparameters that checkpoints, folds and logs of earlier versions lack, and what these did."""


class Pace(NamedTuple):
    """The size of a step: share of the highest learning rate, and the first beta of AdamW."""

    share: float
    momentum: float = MOMENTUM


Schedule = Callable[[int, int], Pace]
"""From the number of finished steps and of all steps to the pace of the next step."""


def learning_rate_for(rate: float, hidden_size: int) -> float:
    """Return a rate for a width of 384 scaled in inverse proportion to another, at most 1e-3."""
    return min(MAX_LEARNING_RATE, rate * USUAL_WIDTH / hidden_size)


def schedule(name: ScheduleName, warmup_share: float | None = None) -> Schedule:
    """Return a schedule by name.

    "linear" rises and falls in straight lines, at a momentum of 0.9. "one-cycle" rises and falls
    along cosines (Smith 2018, "A disciplined approach to neural network hyper-parameters"),
    "slanted-triangular" in straight lines (Howard and Ruder 2018, equation 3); in both, momentum
    falls from 0.95 to 0.85 during warm-up and rises again. The default warm-up of one-cycle is that
    of fastai, and the one of slanted-triangular that of the ULMFiT paper.
    """
    shape, usual_share = {
        "linear": (_linear, 0.06),
        "one-cycle": (_one_cycle, 0.25),
        "slanted-triangular": (_slanted_triangular, 0.1),
    }[name]
    share = usual_share if warmup_share is None else warmup_share
    return lambda done, steps: shape(done, steps, share)


def exponential(lowest_share: float) -> Schedule:
    """Return the schedule of a range test: exponential growth up to the highest rate."""
    return lambda done, steps: Pace(lowest_share ** (1 - done / max(1, steps - 1)))


def _linear(done: int, steps: int, warmup_share: float) -> Pace:
    warmup = round(steps * warmup_share)
    if done < warmup:
        return Pace(done / warmup)
    return Pace((steps - done) / max(1, steps - warmup))


def _one_cycle(done: int, steps: int, warmup_share: float) -> Pace:
    warmup = steps * warmup_share
    if done < warmup:
        way = done / warmup
        return Pace(_cosine(ONE_CYCLE_START, 1, way), _cosine(HIGH_MOMENTUM, LOW_MOMENTUM, way))
    way = (done - warmup) / max(1.0, steps - warmup)
    return Pace(_cosine(1, ONE_CYCLE_END, way), _cosine(LOW_MOMENTUM, HIGH_MOMENTUM, way))


def _slanted_triangular(done: int, steps: int, warmup_share: float) -> Pace:
    warmup = math.floor(steps * warmup_share)
    height = done / warmup if done < warmup else 1 - (done - warmup) / max(1, steps - warmup)
    momentum = HIGH_MOMENTUM + (LOW_MOMENTUM - HIGH_MOMENTUM) * height
    return Pace((1 + height * (SLANTED_RATIO - 1)) / SLANTED_RATIO, momentum)


def _cosine(start: float, end: float, way: float) -> float:
    """From start to end along half a cosine, for a way of 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, way))) / 2


@dataclass(frozen=True)
class Stage:
    """Epochs of a training with their own learning-rate cycle.

    Layer groups are counted from the top: the head, then one for each layer, then the embeddings.

    Attributes:
        epochs: passes over the training rows.
        learning_rate: highest learning rate of the stage. One number is that of the top layer
            group; `discriminative` of the method sets the others. Two numbers are those of the
            bottom and the top group of the model, frozen ones included; between them the rates
            rise by a constant factor, as with `slice` in fastai. More numbers are those of each
            group that learns, bottom first.
        groups: how many of the top layer groups learn; the others are frozen. None (the default)
            trains all: 2 is `freeze_to(-2)` in fastai.
        schedule: "linear", "one-cycle" or "slanted-triangular"; None (the default) is that of the
            method.
        warmup_share: share of the steps of the stage for warm-up; None (the default) is that of
            the method, or the usual one of the stage's own schedule.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    epochs: Count
    learning_rate: Positive | tuple[Positive, ...]
    groups: Count | None = None
    schedule: ScheduleName | None = None
    warmup_share: Share | None = None

    def peaks(self, groups: int) -> list[float] | None:
        """Return the highest rates of that many groups, bottom first; None for a single rate."""
        rates = self.learning_rate
        if not isinstance(rates, tuple):
            return None
        if len(rates) == 2:
            low, high = rates
            steps = max(1, groups - 1)
            return [high * (low / high) ** ((groups - 1 - n) / steps) for n in range(groups)]
        return [0.0] * (groups - len(rates)) + list(rates)

    def check(self, groups: int) -> None:
        """Raise a RecipeError if the rates do not go with a model of that many layer groups."""
        learn = min(self.groups or groups, groups)
        if isinstance(self.learning_rate, tuple) and len(self.learning_rate) not in (2, learn):
            raise RecipeError(
                f"a stage has {counted(len(self.learning_rate), 'learning rate')} for "
                f"{counted(learn, 'layer group')} that learn, of {groups}; give one number, two "
                f"(of the bottom and the top group), or {learn}"
            )

    @property
    def rate_in_words(self) -> str:
        """The learning rate, or the rates from the bottom to the top."""
        rates = self.learning_rate
        if not isinstance(rates, tuple):
            return f"{rates:.2g}"
        return (" to " if len(rates) == 2 else ", ").join(f"{rate:.2g}" for rate in rates)

    def slowed(self, factor: float) -> Stage:
        """Return the stage with its rates multiplied by a factor."""
        rates = self.learning_rate
        if isinstance(rates, tuple):
            return replace(self, learning_rate=tuple(factor * rate for rate in rates))
        return replace(self, learning_rate=rates * factor)


class Hyperparameters(Protocol):
    """The hyperparameters of the loop; `finetext.methods.finetune.Finetune` documents them."""

    @property
    def batch_size(self) -> OpenBatchSize:
        """Rows per step; None or "auto" must become a number before the plan is made."""

    @property
    def weight_decay(self) -> float:
        """Decoupled decay of the matrices."""

    @property
    def schedule(self) -> ScheduleName:
        """Learning-rate schedule."""

    @property
    def warmup_share(self) -> float | None:
        """Share of the steps with a rising learning rate; None is that of the schedule."""

    @property
    def discriminative(self) -> float | None:
        """Factor between the learning rates of a layer group and the one below it; None is 1."""

    @property
    def head_rate(self) -> float | None:
        """Factor on the learning rate of the topmost layer group; None is 1."""

    @property
    def largest_gradient(self) -> float:
        """Norm to which gradients are clipped."""

    @property
    def evaluate_every(self) -> int | None:
        """Steps between evaluations; None evaluates after each epoch."""

    @property
    def patience(self) -> int | None:
        """Evaluations without improvement before training stops; None never stops early."""

    @property
    def precision(self) -> Precision:
        """Number format of matrix products."""


@dataclass(frozen=True, eq=False)
class Plan:
    """All steps of a training: their rows by epoch, the stages, and the pace within a stage.

    The training ends after `share` of the steps, in the middle of their schedule.
    """

    name: str
    batches: Sequence[Sequence[Integers]]
    stages: Sequence[Stage]
    schedule: Schedule
    settings: Hyperparameters
    share: float = 1.0

    @cached_property
    def steps(self) -> list[Integers]:
        """The rows of every step that is made."""
        every = [rows for epoch in self.batches for rows in epoch]
        return every[: max(1, round(self.share * len(every)))]

    @cached_property
    def steps_of_epochs(self) -> list[int]:
        """How many steps each epoch makes, the last one maybe fewer than its rows would."""
        made, counts = len(self.steps), []
        for epoch in self.batches:
            counts.append(min(len(epoch), made))
            made -= counts[-1]
        return [count for count in counts if count]

    @cached_property
    def total_rows(self) -> int:
        """Rows of all epochs."""
        return sum(map(len, self.steps))

    @property
    def is_flat(self) -> bool:
        """Whether all weights have the same learning rate in every step."""
        is_one_rate = not any(isinstance(stage.learning_rate, tuple) for stage in self.stages)
        frozen = any(stage.groups is not None for stage in self.stages)
        rates = self.settings.discriminative, self.settings.head_rate
        return is_one_rate and not frozen and all(rate in (None, 1) for rate in rates)

    def stage_of(self, step: int) -> int:
        """Return the stage, from 0, of the step after `step` steps."""
        return min(bisect_right(self._ends, step), len(self.stages) - 1)

    def is_first_of_stage(self, step: int) -> bool:
        """Return whether the step after `step` steps is the first of a stage."""
        return step == 0 or step in self._ends

    def pace(self, step: int) -> Pace:
        """Return the pace of the step after `step` steps."""
        number = self.stage_of(step)
        start = self._ends[number - 1] if number else 0
        stage, shape = self.stages[number], self.schedule
        if stage.schedule is not None or stage.warmup_share is not None:
            usual = self.settings.warmup_share if stage.schedule is None else None
            share = usual if stage.warmup_share is None else stage.warmup_share
            shape = schedule(stage.schedule or self.settings.schedule, share)
        return shape(step - start, self._ends[number] - start)

    def rates(self, step: int, groups: int) -> list[float]:
        """Return the learning rates of layer groups, bottom first, after `step` steps.

        With a single rate in the stage, they fall from each group to the one below it by the factor
        `discriminative`; a factor below 1 means the same as its inverse (Howard and Ruder 2018,
        section 3.2; Clark et al. 2020, "ELECTRA").
        """
        stage, share = self.stages[self.stage_of(step)], self.pace(step).share
        if (peaks := stage.peaks(groups)) is not None:
            return [peak * share for peak in peaks]
        assert not isinstance(stage.learning_rate, tuple)
        highest = stage.learning_rate * share
        factor = self.settings.discriminative or 1.0
        decay = factor if factor < 1 else 1 / factor
        rates = [highest * decay ** (groups - 1 - number) for number in range(groups)]
        return [*rates[:-1], rates[-1] * (self.settings.head_rate or 1.0)]

    def identity(self) -> dict[str, Any]:
        """Return what must be the same to resume; precision is part of the checkpoint."""
        settings = asdict(self.settings)  # type: ignore[call-overload]
        del settings["precision"]
        for name, usual in ADDED_LATER.items():  # checkpoints of earlier versions lack them
            if settings.get(name) in usual:
                settings.pop(name, None)
        described = {
            **settings,
            "learning_rate": _joined(stage.learning_rate for stage in self.stages),
            "epochs": _joined(stage.epochs for stage in self.stages),
            "layer groups that learn": _joined(stage.groups or "all" for stage in self.stages),
            "number of steps": len(self.steps),
        }
        shapes = [(stage.schedule, stage.warmup_share) for stage in self.stages]
        if any(shape != (None, None) for shape in shapes):
            described["schedule of each stage"] = _joined(shapes)
        plain: dict[str, Any] = json.loads(json.dumps(described))
        return plain

    @cached_property
    def _ends(self) -> list[int]:
        """Steps before the end of each stage."""
        epochs = list(accumulate(map(len, self.batches), initial=0))
        return [epochs[end] for end in accumulate(stage.epochs for stage in self.stages)]


def rows_per_step(settings: Hyperparameters) -> int:
    """Return the batch size, which must be a number."""
    assert isinstance(settings.batch_size, int)
    return settings.batch_size


def make_plan(
    task: Task,
    stages: Sequence[Stage],
    settings: Hyperparameters,
    seed: int,
    share: float = 1.0,
) -> Plan:
    """Return a plan in which every epoch has its own order of rows; `share` is that of `Plan`."""
    epochs = sum(stage.epochs for stage in stages)
    size = rows_per_step(settings)
    batches = [task.batches(size, seed, epoch) for epoch in range(epochs)]
    shape = schedule(settings.schedule, settings.warmup_share)
    return Plan(task.name, batches, stages, shape, settings, share)


def _joined(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
