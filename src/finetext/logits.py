"""Logits to probabilities, and back."""

from __future__ import annotations

import numpy as np

from finetext.arrays import Floats


def probabilities_of(logits: Floats, multilabel: bool) -> Floats:
    """Softmax of (n, k) logits, or the sigmoid of each where labels do not exclude each other."""
    from scipy.special import expit, softmax

    return np.asarray(expit(logits) if multilabel else softmax(logits, axis=1))


def logits_of(probabilities: Floats, multilabel: bool) -> Floats:
    """Logits that give (n, k) probabilities: their logarithms, or log odds when multi-label.

    Where labels exclude each other, logits are known up to a constant for each row. Those of a
    probability of 0 or 1 may be infinite.
    """
    from scipy.special import logit

    if multilabel:
        return np.asarray(logit(probabilities))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probabilities))
