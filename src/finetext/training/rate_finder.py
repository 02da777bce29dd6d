"""The learning-rate range test: the loss while the learning rate grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.contracts import FitContext
from finetext.core.errors import ModelError
from finetext.core.registry import load
from finetext.training.loop import make_step
from finetext.training.plan import Hyperparameters, Plan, Stage, exponential, rows_per_step
from finetext.training.record import make_accelerator
from finetext.training.state import Training
from finetext.training.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHING: Final = 0.9
"""Share of the running mean loss in the next one."""
DIVERGED: Final = 4.0
"""The test ends when the loss is this many times the lowest one."""
FEWEST_POINTS: Final = 10


@dataclass(frozen=True, repr=False)
class RateCurve:
    """The loss over learning rates.

    Attributes:
        rates: (n,) growing learning rates, of the top layer group.
        losses: (n,) mean loss of a batch, smoothed over the steps before it.
        suggestion: the learning rate at which the loss falls fastest.
        valley: the middle of the longest interval with a falling loss; lower.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float
    valley: float

    def plot(self, out: str | Path | None = None) -> Figure:
        """Draw the loss over learning rates, with the suggestion marked.

        With `out` the figure is also written as .png or .svg; raises a DataError if it cannot be.
        """
        figure: Figure = load("views", "rate-curve")(self, out)
        return figure

    def __repr__(self) -> str:
        return f"<RateCurve: suggestion {self.suggestion:.2g}, more careful {self.valley:.2g}>"


def find_learning_rate(
    model: Any,
    task: Task,
    settings: Hyperparameters,
    context: FitContext,
    *,
    lowest: float = 1e-7,
    highest: float = 1.0,
    steps: int = 100,
    groups: int | None = None,
) -> RateCurve:
    """Train a few steps of the top layer groups at growing rates, then restore the model.

    The learning rate grows by a constant factor per step (Smith 2017, "Cyclical learning rates for
    training neural networks", section 3.3), until the loss is four times the lowest one, or not
    finite. The valley, as fastai calls it, includes the flat beginning: it is several times lower
    than the suggestion, too low for a pretrained encoder that is trained for a few epochs.
    """
    context = replace(context, checkpoints=None, log=None, trackers=())
    size = rows_per_step(settings)
    epochs = (task.batches(size, context.seed, epoch) for epoch in count())
    batches = list(islice(chain.from_iterable(epochs), steps))
    schedule = exponential(lowest / highest)
    plan = Plan(task.name, [batches], [Stage(1, highest, groups)], schedule, settings)
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    with Training.start(model, task, plan, make_accelerator(context), context) as training:
        first = {name: of.clone() for name, of in training.optimizer.weights.items()}
        training.enter_stage()
        for rows in plan.steps:
            rate = plan.rates(training.record.step, 1)[-1]
            loss, norm = make_step(training, task, settings, rows)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            rates.append(rate)
            losses.append(mean / (1 - SMOOTHING ** (len(losses) + 1)))
            if losses[-1] > DIVERGED * min(losses):
                break
        training.optimizer.load_weights(first)
    if len(rates) < FEWEST_POINTS:
        raise ModelError(
            f"the loss became infinite or not a number at a learning rate of {rate:.1g}, after "
            f"{len(rates)} steps; start the test at a lower one"
        )
    return RateCurve(tuple(rates), tuple(losses), _steepest(rates, losses), _valley(rates, losses))


def _valley(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The middle of the longest interval of falling loss; rising steps within it are skipped."""
    lengths, begins = [1] * len(losses), list(range(len(losses)))
    for earlier, later in combinations(range(len(losses)), 2):
        if losses[earlier] > losses[later] and lengths[earlier] + 1 >= lengths[later]:
            lengths[later], begins[later] = lengths[earlier] + 1, begins[earlier]
    end = int(np.argmax(lengths))
    return rates[(begins[end] + end) // 2]


def _steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Where the loss falls fastest over the log learning rate, before its lowest point."""
    half = max(1, len(rates) // 20)  # a line through a tenth of the points: neighbors are noise
    end = max(2 * half + 1, int(np.argmin(losses)) + 1)
    slopes = np.correlate(losses[:end], np.arange(-half, half + 1), "valid")
    return rates[half + int(slopes.argmin())]
