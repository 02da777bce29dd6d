"""The accuracy on new rows without labels, from the share of them that the model is sure enough of.

The threshold of confidence that as many reference rows reach as are right there; the accuracy on
new rows is the share of them that reach it. This assumes that confidence above the threshold is
worth as much on new rows, which a model that is wrong with confidence on unknown kinds of texts
breaks. Without a shift the mean confidence and the difference of confidences (Guillory et al.,
ICCV 2021) have smaller errors, but with one their intervals miss far more often:
`benchmarks/LOG.md`.

Source: Garg et al., Leveraging unlabeled data to predict out-of-distribution performance, ICLR
2022 (average thresholded confidence).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Floats
from finetext.core.types import Score
from finetext.evaluation.estimates import Estimate

ASSUMPTION: Final = (
    "if as large a share of the texts that the model is sure of is right as on the reference rows"
)
_UNSEEN: Final = 2
"""Rows of either kind that are reckoned with beyond those seen (Agresti and Coull, 1998)."""


def estimated_accuracy(before: Floats, right: Booleans, now: Floats) -> Score:
    """Return the accuracy on texts like n new ones, with its 95% interval; nan without two rows.

    Args:
        before: (m,) confidence on reference rows, independent of each other.
        right: (m,) whether the model is right there.
        now: (n,) confidence on the new rows.
    """
    m, n = len(before), len(now)
    if m < 2 or n < 2:
        return Score(math.nan, math.nan, math.nan, n)
    threshold = np.quantile(before, 1 - right.mean())
    away = right.astype(np.float64) - (before >= threshold)  # its mean is not 0 only if many tie
    share = float((now >= threshold).mean())
    smoothed = (share * n + _UNSEEN) / (n + 2 * _UNSEEN)
    known = float(away.var()) + _UNSEEN / m
    error = math.sqrt(known / m + smoothed * (1 - smoothed) / n)
    value = share + float(away.mean())
    ends = Estimate(value, error, min(m, n) - 1.0, n).interval()
    value, low, high = (min(1.0, max(0.0, of)) for of in (value, *ends))
    return Score(value, low, high, n)
