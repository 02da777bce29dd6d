"""What is gained by leaving the least certain rows to people: coverage against accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from finetext.errors import DataError
from finetext.types import Predictions

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
