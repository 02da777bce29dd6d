"""A training that ends in time: its plan is cut to the steps for which there is time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.deadline import Deadline

if TYPE_CHECKING:
    from finetext.training.plan import Plan
    from finetext.training.state import Training
    from finetext.training.task import Task

WARM_UP: Final = 2
"""First steps in a process, which are not measured: they allocate memory and choose kernels."""
MEASURED: Final = 5
"""Steps after which the pace is known well enough to cut the plan."""
WORTH_A_CUT: Final = 1.05
"""Share of the steps that a plan must gain to be made longer again."""


class Timekeeper:
    """Yields the rows of the steps of a training, as many as end before a deadline.

    The pace is measured while it trains, evaluations included. Where not all steps of the plan fit,
    its end is cut off, and the learning rate falls to the new end. A cut that turns out too deep is
    made smaller. Without a deadline these are all steps.
    """

    def __init__(self, training: Training, task: Task, deadline: Deadline | None) -> None:
        """Take a training before the first step that it makes here."""
        self._training, self._deadline, self._whole = training, deadline, training.plan
        ends = np.zeros(1, dtype=np.int64)
        if deadline is not None:
            ends = np.cumsum([0, *(_positions(task.lengths, of) for of in self._whole.steps)])
        self._ends: Integers = ends
        self._first = training.record.step
        self._began = 0.0

    def steps(self) -> Iterator[Integers]:
        """Yield the rows of each step that is left."""
        record = self._training.record
        while record.step < record.steps:
            if self._deadline is not None:
                self._keep_time(self._deadline)
                if record.step >= record.steps:
                    return
            yield self._whole.steps[record.step]

    def _keep_time(self, deadline: Deadline) -> None:
        """Cut the plan, or make it longer again, by the pace so far."""
        record, total = self._training.record, len(self._whole.steps)
        step, left = record.step, deadline.left
        self._first = min(self._first, step)  # it may restart from earlier weights
        warm = self._first + WARM_UP
        if step == warm:
            self._began = deadline.clock()
        if left <= 0:
            fitting = step
        elif step < warm + MEASURED:
            return
        else:
            pace = (deadline.clock() - self._began) / max(1, self._ends[step] - self._ends[warm])
            most = self._ends[step] + left / max(pace, 1e-12)
            fitting = min(total, int(np.searchsorted(self._ends, most, "right")) - 1)
        fitting = max(1, step, fitting)
        least = min(total, WORTH_A_CUT * record.steps)  # it has not more than changes a little
        if fitting < record.steps or fitting >= least > record.steps:
            plan = self._whole if fitting == total else shortened(self._whole, fitting)
            self._training.plan = plan
            record.set_plan(plan.steps_of_epochs, plan.total_rows)

    @property
    def cut(self) -> str:
        """How much of the plan was made, in words; "" if it was not cut."""
        made, planned = self._training.record.steps, len(self._whole.steps)
        if made >= planned:
            return ""
        return f"the time ended after {made:,} of {planned:,} planned steps"


def shortened(plan: Plan, steps: int) -> Plan:
    """Return a plan that ends after so many steps, as does its cycle; later epochs are empty."""
    batches: list[Sequence[Integers]] = []
    for epoch in plan.batches:
        batches.append(epoch[: max(0, steps)])
        steps -= len(epoch)
    return replace(plan, batches=batches, share=1.0)


def _positions(lengths: Integers, rows: Integers) -> int:
    """Return the padded tokens of a batch, in which the time of a step is about linear."""
    return int(lengths[rows].max()) * len(rows)
