"""The learning-rate range test: how the loss goes while the learning rate grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, count
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.contracts import FitContext
from finetext.core.errors import ModelError
from finetext.training.loop import make_step
from finetext.training.plan import Hyperparameters, Plan, Stage, Task, exponential
from finetext.training.state import Training, make_accelerator

SMOOTHING: Final = 0.9
"""Share of the mean loss so far in the next one."""
DIVERGED: Final = 4.0
"""The test ends where the loss is so many times the lowest one."""
FEWEST_POINTS: Final = 10


@dataclass(frozen=True)
class RateCurve:
    """The loss over learning rates.

    Attributes:
        rates: (n,) learning rate of each step, growing; that of the topmost layer group.
        losses: (n,) mean loss of a batch, smoothed over the steps before it.
        suggestion: the learning rate at which the loss falls fastest.
        valley: the middle of the longest stretch of rates over which the loss falls; lower.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float
    valley: float


def find_learning_rate(
    model: Any,
    task: Task,
    settings: Hyperparameters,
    context: FitContext,
    *,
    lowest: float = 1e-7,
    highest: float = 1.0,
    steps: int = 100,
) -> RateCurve:
    """Train a few steps at ever greater learning rates; the model is as before in the end.

    The learning rate grows from step to step by the same factor (Smith 2017, "Cyclical learning
    rates for training neural networks", section 3.3). The test ends early when the loss is four
    times the lowest one, or no number any more. The suggestion is where the loss falls fastest on
    its way to the lowest one. The middle of the longest stretch of falling loss, which fastai calls
    the valley, is there too: it counts the flat beginning in and is several times lower, too low
    for a pretrained encoder of which a few epochs are asked.

    Args:
        model: a `torch.nn.Module` in fp32.
        task: what is learned; the test goes over its rows as often as it needs.
        settings: batch size, decay, clipping; the schedule does not count.
        context: seed, device and progress; nothing is written.
        lowest: first learning rate.
        highest: last learning rate.
        steps: steps of the test.

    Raises:
        ModelError: the loss was no number within the first ten steps.
    """
    context = replace(context, checkpoints=None, log=None, trackers=())
    batches = _batches(task, settings.batch_size, context.seed, steps)
    shape = exponential(lowest / highest)
    plan = Plan(task.name, [batches], [Stage(1, highest)], shape, settings)
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    with Training.begun(model, task, plan, make_accelerator(context), context) as training:
        first = {name: of.clone() for name, of in training.optimizer.weights.items()}
        training.enter_stage()
        for rows in training.remaining_batches():
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


def _batches(task: Task, batch_size: int, seed: int, steps: int) -> list[Integers]:
    """The rows of so many steps, over as many epochs as that takes."""
    batches: list[Integers] = []
    for epoch in count():
        batches += task.batches(batch_size, seed, epoch)
        if len(batches) >= steps:
            break
    return batches[:steps]


def _valley(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The middle of the longest stretch in which the loss falls; steps up within it are skipped."""
    lengths, begins = [1] * len(losses), list(range(len(losses)))
    for there, here in combinations(range(len(losses)), 2):
        if losses[there] > losses[here] and lengths[there] + 1 >= lengths[here]:
            lengths[here], begins[here] = lengths[there] + 1, begins[there]
    end = int(np.argmax(lengths))
    return rates[(begins[end] + end) // 2]


def _steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Where the loss falls fastest over the logarithm of the learning rate, before its lowest.

    The slope is that of a straight line through a tenth of the points: that between neighbours
    is noise.
    """
    half = max(1, len(rates) // 20)
    end = max(2 * half + 1, int(np.argmin(losses)) + 1)
    slopes = np.correlate(losses[:end], np.arange(-half, half + 1), "valid")
    return rates[half + int(slopes.argmin())]
