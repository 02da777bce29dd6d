"""Whether probabilities can be what they say: calibration error beyond what chance explains.

The calibration error of a perfectly calibrated model is not 0: few rows make it large. So outcomes
are drawn from the stated probabilities many times, and the error found is compared with the errors
of these draws (Broecker and Smith, Increasing the reliability of reliability diagrams, Weather and
Forecasting, 2007; Vaicenavicius et al., Evaluating model calibration in classification, AISTATS
2019).

Rows that belong together are right or wrong together. Their draws come from a Gaussian copula with
one correlation, estimated from the pairs of rows in a group, so that the draws vary as much as
groups do. In multi-label data the unit is the row with all of its labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.types import Predictions, Score
from finetext.core.wording import counted
from finetext.evaluation.calibration import confidence
from finetext.evaluation.estimates import SIGNIFICANT
from finetext.evaluation.proportions import proportion

FEWEST_ROWS: Final = 75
DRAWS: Final = 200
MOST_CELLS: Final = 100_000
_BINS: Final = 10
_CHUNK: Final = 2_000_000
_HIGHEST: Final = 0.99
_SEED: Final = 0

Status = Literal["too few", "calibrated", "overconfident", "underconfident", "off"]


@dataclass(frozen=True)
class Consistency:
    """How calibrated the probabilities are, as far as these rows can tell.

    Attributes:
        units: number of rows, or of groups that belong together.
        error: calibration error over bins of equally many rows.
        by_chance: the mean error of a calibrated model with the same probabilities.
        p_value: share of the draws from a calibrated model with an error as large.
        overconfidence: mean stated confidence minus the share that is right; in multi-label data,
            that of the likelier answer to each label, yes or no.
    """

    rows: int
    units: int
    error: float
    by_chance: float
    p_value: float
    overconfidence: float

    @property
    def excess(self) -> float:
        """The calibration error less what chance explains; 0 on average if calibrated."""
        return self.error - self.by_chance

    @property
    def status(self) -> Status:
        """The verdict at a level of 5%; "off" if too high in places, too low in others."""
        if self.units < FEWEST_ROWS:
            return "too few"
        if self.p_value > SIGNIFICANT:
            return "calibrated"
        if abs(self.overconfidence) < self.excess / 2:
            return "off"
        return "overconfident" if self.overconfidence > 0 else "underconfident"

    @property
    def words(self) -> str:
        """The verdict in words that continue "The probabilities are ..."."""
        units = "row" if self.units == self.rows else "group"
        if self.status == "too few":
            fewest = f"{counted(self.units, units)}, at least {FEWEST_ROWS} are needed"
            return f"not known to be calibrated: too few {units}s to tell ({fewest})"
        if self.status == "calibrated":
            return f"calibrated as far as these {counted(self.rows, 'row')} can tell"
        if self.status == "off":
            points = _points(self.excess)
            return f"off by about {points}, too high in places and too low in others"
        return f"{self.status} by about {_points(abs(self.overconfidence))}"

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "status": self.status,
            "words": self.words,
            "rows": self.rows,
            "units": self.units,
            "error": self.error,
            "by_chance": self.by_chance,
            "excess": self.excess,
            "p_value": self.p_value,
            "overconfidence": self.overconfidence,
        }


def _points(share: float) -> str:
    return f"{100 * share:.0f} points" if share >= 0.015 else f"{100 * share:.1f} points"


def consistency(predictions: Predictions, draws: int = DRAWS) -> Consistency:
    """Return how calibrated predictions with one row or more are; the same each time."""
    random = np.random.default_rng(_SEED)
    sure, right, unit = _cells(predictions, random)
    bins = _equal_bins(sure)
    found = float(_error(bins, sure, right[None])[0])
    drawn = np.concatenate(
        [_error(bins, sure, of) for of in _outcomes(sure, right, unit, bins, draws, random)]
    )
    likelier = np.where(sure >= 0.5, 1.0, -1.0) if predictions.scheme.multilabel else 1.0
    above = int((drawn >= found - 1e-12).sum())
    units = len(predictions) if predictions.groups is None else len(set(predictions.groups))
    return Consistency(
        rows=len(predictions),
        units=units,
        error=found,
        by_chance=float(drawn.mean()),
        p_value=(1 + above) / (1 + draws),
        overconfidence=float((likelier * (sure - right)).mean()),
    )


@dataclass(frozen=True)
class Stated:
    """Rows, or pairs of row and label, of about one confidence, and the share that is right."""

    confidence: float
    right: Score


def stated(predictions: Predictions, near: float = 0.9) -> Stated:
    """Return the fifth of the rows, or pairs, whose mean confidence is nearest to `near`."""
    sure, right = confidence(predictions)
    of_row = predictions.groups
    if sure.ndim == 2:
        rows = range(len(sure)) if of_row is None else of_row
        of_row = tuple(str(row) for row in rows for _ in range(sure.shape[1]))
    sure, right = sure.ravel(), right.ravel()
    fifth = _equal_bins(sure, 5)
    means = {int(number): float(sure[fifth == number].mean()) for number in np.unique(fifth)}
    members = fifth == min(means, key=lambda number: abs(means[number] - near))
    groups = None if of_row is None else [of_row[row] for row in np.flatnonzero(members)]
    return Stated(float(sure[members].mean()), proportion(right[members], groups))


def _cells(
    predictions: Predictions, random: np.random.Generator
) -> tuple[Floats, Booleans, Integers | None]:
    """Confidence, outcome and unit of each row, or of each pair of row and label.

    The unit is None where each is its own. Of very many units, some are drawn.
    """
    sure, right = confidence(predictions)
    unit = _numbers(predictions.groups, len(predictions))
    most = max(FEWEST_ROWS, MOST_CELLS * (int(unit.max()) + 1) // sure.size)
    if sure.size > MOST_CELLS:
        kept = np.isin(unit, random.permutation(int(unit.max()) + 1)[:most])
        sure, right, unit = sure[kept], right[kept], unit[kept]
    if sure.ndim == 2:
        unit = np.repeat(unit, sure.shape[1])
    is_alone = predictions.groups is None and sure.ndim == 1
    return sure.ravel().astype(np.float64), right.ravel(), None if is_alone else unit


def _numbers(groups: Sequence[str] | None, rows: int) -> Integers:
    if groups is None:
        return np.arange(rows)
    return np.asarray(np.unique(np.array(groups), return_inverse=True)[1])


def _equal_bins(sure: Floats, bins: int = _BINS) -> Integers:
    """The bin of each value: bins have equally many; equal values share one."""
    edges = np.quantile(sure, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, sure)


def _error(bins: Integers, sure: Floats, right: Floats | Booleans) -> Floats:
    """Calibration error of each row of outcomes, (draws, cells)."""
    members = np.eye(_BINS)[bins]
    return np.asarray(np.abs(right @ members - sure @ members).sum(axis=1) / len(sure))


def _outcomes(
    sure: Floats,
    right: Booleans,
    unit: Integers | None,
    bins: Integers,
    draws: int,
    random: np.random.Generator,
) -> Iterator[Booleans]:
    """Yield outcomes as a calibrated model has them, (draws, cells), some draws at a time."""
    from scipy.special import ndtri

    size = max(1, _CHUNK // len(sure))
    parts = [min(size, draws - start) for start in range(0, draws, size)]
    if unit is None:
        yield from (random.random((part, len(sure))) < sure for part in parts)
        return
    limits = ndtri(sure.clip(1e-12, 1 - 1e-12))
    together = _correlation(sure - right, limits, unit, bins)
    for part in parts:
        shared = random.standard_normal((part, int(unit.max()) + 1))[:, unit]
        own = random.standard_normal((part, len(sure)))
        yield np.sqrt(together) * shared + np.sqrt(1 - together) * own < limits


def _correlation(away: Floats, limits: Floats, unit: Integers, bins: Integers) -> float:
    """The latent correlation of outcomes within units, by the first term of Pearson's series.

    It is too large rather than too small (Pearson, Mathematical contributions to the theory of
    evolution VII, Philosophical Transactions A, 1900). `away` is taken from its mean in each bin,
    so that an error that all rows share does not count as correlation.
    """
    number = np.bincount(bins, minlength=_BINS)
    means = np.bincount(bins, away, _BINS) / np.maximum(number, 1)
    centered = away - means[bins]
    density = np.exp(-(limits**2) / 2) / np.sqrt(2 * np.pi)

    def pairs(values: Floats) -> float:
        return float((np.bincount(unit, values) ** 2).sum() - (values**2).sum())

    of_density = pairs(density)
    return float(np.clip(pairs(centered) / of_density, 0, _HIGHEST)) if of_density > 0 else 0.0
