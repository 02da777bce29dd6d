"""What a training is to do: the rows, the learning rates and the layer groups of every step."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Self

from finetext.training.schedules import Pace, Schedule
from finetext.training.stages import Stage
from finetext.training.task import Hyperparameters, Task
from finetext.types import Integers


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
