"""Bootstrap weights: how often each row, or each group of rows, is drawn in every resample.

Metrics are computed from weights, never from copied rows, so that memory stays the same however
many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats, Integers
from finetext.core.errors import DataError
from finetext.core.types import Predictions

MOST_UNITS: Final = 10_000
_CHUNK: Final = 100


@dataclass(frozen=True)
class Resampling:
    """Which unit every row belongs to, and how often every resample draws every unit.

    A unit is what is drawn as a whole: a row, a group of rows, or, when there are more than
    10,000 of these, a random block of them. Blocks leave the variance as it is and bound the
    work: with 10,000 of them the width of an interval is off by under one percent.

    Attributes:
        unit: the unit of each of n rows, (n,).
        weights: times drawn, (resamples, units).
    """

    unit: Integers
    weights: npt.NDArray[np.uint8]

    @property
    def units(self) -> int:
        """How many units there are."""
        return int(self.weights.shape[1])

    def chunks(self, size: int = _CHUNK) -> Iterator[npt.NDArray[np.uint8]]:
        """The weights, `size` resamples at a time."""
        return (self.weights[i : i + size] for i in range(0, len(self.weights), size))

    def sums(self, of_units: Floats) -> Floats:
        """Sums over the units drawn.

        Args:
            of_units: what each unit adds, (units, m).

        Returns:
            (resamples, m).
        """
        return np.concatenate([chunk.astype(np.float64) @ of_units for chunk in self.chunks()])


def whole(rows: int) -> Resampling:
    """The one resample that has each of `rows` rows once: for the metric itself."""
    return Resampling(np.zeros(rows, dtype=np.int64), np.ones((1, 1), dtype=np.uint8))


def resample(predictions: Predictions, resamples: int = 1000, seed: int = 0) -> Resampling:
    """Draw rows with replacement, or whole groups where the predictions have groups.

    The same rows, groups and seed give the same draws, which is what pairs two classifiers.

    Args:
        predictions: only their number and groups matter.
        resamples: how many resamples.
        seed: seed of the draws.

    Raises:
        DataError: there are no rows.
    """
    if len(predictions) == 0:
        raise DataError("there are no predictions to evaluate: the data set has no rows")
    random = np.random.default_rng(seed)
    unit = _units(predictions)
    units = int(unit.max()) + 1
    if units > MOST_UNITS:
        unit = (random.permutation(units) % MOST_UNITS)[unit]
        units = MOST_UNITS
    weights = np.empty((resamples, units), dtype=np.uint8)
    for row in weights:
        row[:] = np.bincount(random.integers(units, size=units), minlength=units)
    return Resampling(unit, weights)


def _units(predictions: Predictions) -> Integers:
    if predictions.groups is None:
        return np.arange(len(predictions))
    number: dict[str, int] = {}
    return np.array([number.setdefault(name, len(number)) for name in predictions.groups])
