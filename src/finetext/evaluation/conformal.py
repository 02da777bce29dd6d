"""Prediction sets that hold the truth as often as they promise: split conformal prediction."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from finetext.errors import DataError
from finetext.types import Booleans, Floats, Predictions

_ROUNDING: Final = 1e-9


def set_from(predictions: Predictions, coverage: float) -> float:
    """The probability from which a label belongs to the prediction set of a row.

    Of new rows that come as those did, at least the share `coverage` has all of its true labels
    in the set, whatever the model (Sadinle, Lei and Wasserman, Least ambiguous set-valued
    classifiers with bounded error levels, JASA 2019). The promise is about rows that the model
    and its checkpoint were not chosen by; validation rows are nearly so.

    Args:
        predictions: n labelled rows that were not trained on.
        coverage: share wanted, between 0 and 1.

    Returns:
        a probability; 0, so that every set has all labels, where n is too small for the promise.

    Raises:
        DataError: there are no rows.
    """
    if not len(predictions):
        raise DataError("prediction sets need validation rows, and there are none")
    truth = least_of_truth(predictions)
    allowed = math.floor((1 - coverage) * (len(truth) + 1) + _ROUNDING)
    return float(np.partition(truth, allowed - 1)[allowed - 1]) if allowed else 0.0


def least_of_truth(predictions: Predictions) -> Floats:
    """The probability of the truth of each row, (n,); of the least likely of several, 1 of none."""
    likely, targets = predictions.probabilities, predictions.targets
    if predictions.scheme.multilabel:
        return np.asarray(np.where(targets == 1, likely, 1.0).min(axis=1))
    return np.asarray(likely[np.arange(len(likely)), targets])


def covered(predictions: Predictions) -> Booleans:
    """Which rows, (n,), have all of their true labels in the prediction set.

    Raises:
        DataError: the model makes no prediction sets.
    """
    limit = predictions.decision.set_from
    if limit is None:
        raise DataError("the model makes no prediction sets; choose a coverage first")
    return np.asarray(least_of_truth(predictions) >= limit)
