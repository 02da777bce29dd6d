"""How probabilities become labels: chosen on validation, kept in the model, obeyed everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers


@dataclass(frozen=True)
class Decision:
    """The rule that turns (n, k) probabilities into labels; the likeliest label by default.

    Attributes:
        temperature: what the logits were divided by (Guo et al., On calibration of modern neural
            networks, 2017). The model has done so already: the probabilities are calibrated.
        thresholds: k positive numbers. Where a row can have several labels: the probability from
            which each is given, 0.5 by default. Where it has one: the label given is that with
            the highest ratio of its probability to its threshold.
        costs: k rows of k numbers, what it costs to give the label of the column to a row that
            has the label of the row; the label given is that with the least expected cost. For
            rows of one label only, and without thresholds.
        least: k probabilities; a row whose label is less probable gets none: the classifier
            abstains. For rows of one label only.
        set_from: probability from which a label belongs to the prediction set of a row.
        coverage: share of rows whose prediction set has the true label, or all true labels, as
            conformal prediction promises it for rows like those of validation.
        aim: how the rule was chosen, in words.
    """

    temperature: float = 1.0
    thresholds: tuple[float, ...] | None = None
    costs: tuple[tuple[float, ...], ...] | None = None
    least: tuple[float, ...] | None = None
    set_from: float | None = None
    coverage: float | None = None
    aim: str = ""

    def labels(self, probabilities: Floats, multilabel: bool) -> Integers:
        """The label or labels of each row, as if it never abstained.

        Args:
            probabilities: (n, k).
            multilabel: whether a row can have several labels.

        Returns:
            (n,) columns, or (n, k) of 0 and 1 when multi-label.
        """
        limits = None if self.thresholds is None else np.array(self.thresholds)
        if multilabel:
            return (probabilities >= (0.5 if limits is None else limits)).astype(np.int64)
        if self.costs is not None:
            merit = -(probabilities @ np.array(self.costs))
        else:
            merit = probabilities if limits is None else probabilities / limits
        return np.asarray(merit.argmax(axis=1), dtype=np.int64)

    def abstains(self, probabilities: Floats) -> Booleans:
        """Which rows get no label, (n,): those whose label is less probable than it should be."""
        if self.least is None:
            return np.zeros(len(probabilities), dtype=np.bool_)
        given = self.labels(probabilities, multilabel=False)
        return np.asarray(probabilities[np.arange(len(given)), given] < np.array(self.least)[given])

    def sets(self, probabilities: Floats) -> Booleans | None:
        """Which labels are in the prediction set of each row, (n, k); None without coverage."""
        return None if self.set_from is None else np.asarray(probabilities >= self.set_from)

    def check(self, labels: int) -> None:
        """Raise a `ValueError` if the sizes are not those of so many labels."""
        for part in (self.thresholds, self.least, self.costs, *(self.costs or ())):
            if part is not None and len(part) != labels:
                raise ValueError(f"it has {len(part)} figures of decision for {labels} labels")

    def to_json(self) -> dict[str, Any]:
        """As JSON values: what is not at its default."""
        default = Decision()
        return {
            name: value for name, value in asdict(self).items() if value != getattr(default, name)
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Decision:
        """The inverse of `to_json`; unknown keys are left out.

        Raises:
            TypeError, ValueError, AttributeError: a value is not of the kind it should be.
        """
        read: dict[str, Any] = {
            "temperature": float,
            "thresholds": _numbers,
            "least": _numbers,
            "costs": lambda rows: tuple(map(_numbers, rows)),
            "set_from": float,
            "coverage": float,
            "aim": str,
        }
        known = {field.name for field in fields(cls)} & values.keys()
        return cls(**{name: read[name](values[name]) for name in known})


def decision_in(described: Mapping[str, Any]) -> Decision:
    """The decision of a file; those of format 1 have no more of it than `thresholds`.

    Raises:
        KeyError: there is neither.
        TypeError, ValueError, AttributeError: a value is not of the kind it should be.
    """
    if "decision" in described:
        return Decision.from_json(described["decision"])
    limits = described["thresholds"]
    return Decision(thresholds=None if limits is None else _numbers(limits))


AS_LIKELY: Final = Decision()
"""The likeliest label; each label from a probability of 0.5 where there can be several."""


def _numbers(values: Any) -> tuple[float, ...]:
    if isinstance(values, str | Mapping):
        raise TypeError(f"{values!r} is no list of numbers")
    return tuple(float(value) for value in values)
