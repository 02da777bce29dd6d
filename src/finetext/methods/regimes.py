"""What fine-tuning does where the user leaves it open, by rows, classes and encoder: one table.

| hyperparameter | value | evidence |
|---|---|---|
| learning rate | 3e-4 at the top for a width of 384, 1.1e-4 for 768 | (1), (2) |
| of each layer below the head | 0.8 times that of the one above | (1), (2) |
| rate of the head | classes / 8 times as high, at least the same, at most 10 times | (3) |
| epochs | the fewest from 1 to 10 that make 250 steps, fewer for long texts | (4) |
| rows of a step | as many, from 8 to 32, as make the fewest steps in 4 epochs | (8) |
| the same where all layers have one rate | 32 | |
| epochs where one would do | 2, if one makes less than 1,500 steps | (7) |
| the same where all layers have one rate | the fewest from 2 to 10 that make 200 steps | |
| tokens of a text | at most 256, from its head and its tail | (6) |
| first bias of the head | logit of each label's frequency, multi-label only | (5) |

(1) `benchmarks/LOG.md`, "The recipe by regime": on four sets with 500 and 2,000 rows.
(2) Clark et al. 2020, "ELECTRA", appendix: 3e-4 for a width of 256, 1e-4 for 768, 5e-5 for 1,024,
    falling by 0.8 per layer (0.9 in the largest).
(3) The same section: with 77 classes the head of a usual rate stays near its random start.
(4) The same section: with fewer steps accuracy is lost on all sets; more gain little.
(5) The same section; Lin et al. 2017, "Focal Loss for Dense Object Detection", section 3.3.
(6) The same section: on reviews 256 tokens of both ends do better than 256 of the head or 512.
(7) The log, "Which checkpoint to keep": one and two epochs on 7,000 to 9,000 rows of four sets; and
    "A second epoch of many rows": on 16,000 and 43,000 rows of two.
(8) The log, "Batches of few rows": 8, 16 and 32 rows a step on four sets with 100 to 500 rows, on
    two with 2,000; long texts were measured once.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.training.plan import MAX_LEARNING_RATE, USUAL_WIDTH, learning_rate_for

FEWEST_STEPS: Final = 250
STEPS_OF_ONE_EPOCH: Final = 1_500
"""Steps of an epoch from which one is enough."""
EPOCHS: Final = (1, 10)
BATCH_SIZES: Final = (8, 32)
EPOCHS_OF_STEPS: Final = 4
"""In which batches between the two sizes make the fewest steps."""
FEWEST_FLAT_STEPS: Final = 200
FLAT_EPOCHS: Final = (2, 10)
"""Where all layers have the same rate; recipes of earlier versions repeat what they did."""
SHORT: Final = 64
"""Mean tokens of a text from which fewer steps are made, in inverse proportion: each sees more."""
FEWEST_LONG_STEPS: Final = 90
LONGEST: Final = 256
TOP_RATE: Final = 3e-4
"""The learning rate at the top for a hidden size of 384."""
FALL_WITH_WIDTH: Final = 1.5
"""Exponent of the hidden size in the denominator of the rate at the top."""
DECAY: Final = 0.8
"""The learning rate of a layer over that of the one above."""
CLASSES_A_FACTOR: Final = 8
MOST_OF_THE_HEAD: Final = 10.0
FLAT_RATE: Final = 1e-4
"""The highest learning rate for a hidden size of 384 where all layers have the same."""
RATE_OF_A_STEEP_HEAD: Final = 10
"""The factor on that rate for the head with falling rates that the user chose: a rate that suits
the whole encoder would leave its lower layers as they were (`benchmarks/LOG.md`)."""
RECURRENT: Final = frozenset({"awd_lstm"})
"""Model types that take the highest learning rate, at which ULMFiT ends."""


def epochs_for(rows: int, batch_size: int, tokens: float, is_flat: bool = False) -> int:
    """Return the fewest epochs, within bounds, that make the fewest steps.

    Args:
        rows: training rows.
        batch_size: rows of a step.
        tokens: mean number of tokens of a text.
        is_flat: whether all layers have the same learning rate.
    """
    least, most = FLAT_EPOCHS if is_flat else EPOCHS
    steps, of_epoch = float(FEWEST_FLAT_STEPS), math.ceil(rows / batch_size)
    if not is_flat:
        steps = fewest_steps(tokens)
        least = 2 if of_epoch < STEPS_OF_ONE_EPOCH * _shorter(tokens) else least
    return min(most, max(least, math.ceil(steps / of_epoch)))


def fewest_steps(tokens: float) -> float:
    """Return the fewest steps of a training on texts of so many tokens on average."""
    return max(FEWEST_LONG_STEPS, FEWEST_STEPS * _shorter(tokens))


def _shorter(tokens: float) -> float:
    """Return the share of the steps that texts of so many tokens on average need."""
    return min(1.0, SHORT / max(tokens, 1.0))


def batch_size_for(rows: int, tokens: float, is_flat: bool = False) -> int:
    """Return how many training rows make a step; for the arguments see `epochs_for`."""
    least, most = BATCH_SIZES
    if is_flat:
        return most
    return max(least, min(most, int(rows * EPOCHS_OF_STEPS / fewest_steps(tokens))))


def falls(config: Any) -> bool:
    """Return whether the rates of an encoder fall from layer to layer if the user says nothing."""
    return config.model_type not in RECURRENT


def longest(context: int, model_type: str) -> int:
    """Return how many tokens of a text are read by an encoder with a context."""
    return context if model_type in RECURRENT else min(context, LONGEST)


def top_rate(config: Any) -> float:
    """Return the rate at the top where rates fall by `DECAY` per layer."""
    scaled: float = TOP_RATE * (USUAL_WIDTH / config.hidden_size) ** FALL_WITH_WIDTH
    return min(MAX_LEARNING_RATE, scaled)


def flat_rate(config: Any) -> float:
    """Return the rate of all layers where the user chose that they are the same."""
    is_recurrent = config.model_type in RECURRENT
    return MAX_LEARNING_RATE if is_recurrent else learning_rate_for(FLAT_RATE, config.hidden_size)


def steep_rate(config: Any) -> float:
    """Return the rate of the head where the user chose by how much the rates fall."""
    return min(MAX_LEARNING_RATE, flat_rate(config) * RATE_OF_A_STEEP_HEAD)


def head_factor(classes: int) -> float:
    """Return the rate of the head over that at the top."""
    return min(MOST_OF_THE_HEAD, max(1.0, classes / CLASSES_A_FACTOR))


def first_bias(targets: Integers) -> Floats:
    """Return (k,) logits of how frequent the labels are in (n, k) targets.

    Half a row is added, with and without a label, so that none is impossible.
    """
    having = targets.sum(axis=0) + 0.5
    found: Floats = np.log(having / (len(targets) + 1 - having))
    return found
