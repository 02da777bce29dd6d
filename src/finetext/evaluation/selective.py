"""What is gained by leaving the least certain rows to people: coverage against accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Booleans, Floats
from finetext.core.errors import DataError
from finetext.core.types import Predictions

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


MOST_POINTS: Final = 100


@dataclass(frozen=True)
class Selective:
    """Accuracy on the rows that are decided, for every share of them.

    Attributes:
        points: at most 100 of coverage (share of rows decided), accuracy on these, and the least
            probability of the label given, in falling order of coverage.
        coverage: share of rows that the model decides; 1 if it never abstains.
        accuracy: on these; nan if it decides none.
    """

    points: tuple[tuple[float, float, float], ...]
    coverage: float
    accuracy: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is not defined is null."""
        return asdict(self) | {"accuracy": None if np.isnan(self.accuracy) else self.accuracy}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Selective:
        """The inverse of `to_json`."""
        points = tuple((float(a), float(b), float(c)) for a, b, c in values["points"])
        accuracy = values["accuracy"]
        return cls(
            points, float(values["coverage"]), float("nan") if accuracy is None else float(accuracy)
        )


def selective(predictions: Predictions) -> Selective:
    """How accuracy rises as the least probable decisions are left out.

    Args:
        predictions: rows of one label.

    Raises:
        DataError: there are no rows, or they can have several labels.
    """
    if predictions.scheme.multilabel or not len(predictions):
        raise DataError("abstaining is for rows of one label, and there must be some")
    given, rows = predictions.decisions, np.arange(len(predictions))
    sure = predictions.probabilities[rows, given]
    order = np.argsort(-sure, kind="stable")
    right = np.cumsum((given == predictions.targets)[order])
    ends = np.flatnonzero(np.append(np.diff(sure[order]) != 0, True))
    shown = ends[np.unique(np.linspace(0, len(ends) - 1, MOST_POINTS).round().astype(int))]
    points = [
        (float((i + 1) / len(rows)), float(right[i] / (i + 1)), float(sure[order[i]]))
        for i in shown[::-1]
    ]
    kept = ~predictions.abstained
    accuracy = float((given == predictions.targets)[kept].mean()) if kept.any() else float("nan")
    return Selective(tuple(points), float(kept.mean()), accuracy)
