"""The learning rate and the momentum over time: pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

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
LARGEST_RATE: Final = 1e-3


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


def rate_for(rate: float, hidden_size: int) -> float:
    """A learning rate for a hidden size, in inverse proportion to it, and at most 1e-3.

    Args:
        rate: that for a hidden size of 384.
        hidden_size: of the model.
    """
    return min(LARGEST_RATE, rate * USUAL_WIDTH / hidden_size)


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
