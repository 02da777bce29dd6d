"""What each way of attribution gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.diagnosis.words import Span
from finetext.types import Floats

SURE: Final = 1e-12
"""How far probabilities are kept from 0 and 1 in log-odds."""


@dataclass(frozen=True, eq=False)
class Attributed:
    """What the n words of a text add to a score.

    Attributes:
        words: the words as spans of characters.
        values: (n,) what each adds.
        score: the score of the whole text.
        base: the score without any words, which the values come on top of; None where they are
            differences from the whole text, one word at a time.
    """

    words: Sequence[Span]
    values: Floats
    score: float
    base: float | None = None


def log_odds(probabilities: Floats) -> Floats:
    """The logarithm of each probability over its complement."""
    kept = np.clip(probabilities, SURE, 1 - SURE)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def log_odds_of_logits(logits: Any, column: int, multilabel: bool) -> Any:
    """The log-odds (n,) of one label from logits (n, k), tensors both.

    With several labels a text this is the logit itself; with one of two labels the difference of
    the two logits; with one of more, the logit less the log-sum-exp of the others.
    """
    import torch

    own = logits[:, column]
    others = torch.cat([logits[:, :column], logits[:, column + 1 :]], dim=1)
    if multilabel or not others.shape[1]:
        return own
    return own - torch.logsumexp(others, dim=1)
