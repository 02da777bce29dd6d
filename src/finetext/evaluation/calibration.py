"""Can probabilities be taken at their word? Temperature, reliability and what they miss by.

For rows of one label the confidence is the probability of the likeliest label, and it is right
when that is the true one. For rows of several labels every probability of every label counts, and
it is right when the row has the label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, logits_of, probabilities_of
from finetext.core.types import Predictions
from finetext.evaluation.metrics import CountMetric, any_scheme, log_loss, ratio
from finetext.evaluation.resampling import Resampling, whole

BINS: Final = 15
TEMPERATURES: Final = (0.05, 20.0)


@dataclass(frozen=True)
class Bin:
    """Rows, or pairs of row and label, of about equal confidence.

    Attributes:
        low: least confidence.
        high: highest confidence.
        confidence: its mean; nan without rows.
        accuracy: share that is right; nan without rows.
        rows: how many there are.
    """

    low: float
    high: float
    confidence: float
    accuracy: float
    rows: int

    def interval(self) -> tuple[float, float]:
        """The 95% interval of the accuracy (Wilson 1927); nan without rows."""
        from scipy.stats import binomtest

        if not self.rows:
            return math.nan, math.nan
        right = round(self.accuracy * self.rows)
        found = binomtest(right, self.rows).proportion_ci(method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Reliability:
    """How far probabilities are from what they promise.

    Attributes:
        bins: 15 of equal width.
        calibration_error: expected calibration error: mean distance of confidence and accuracy
            over the bins, weighted by rows (Guo et al., ICML 2017, equation 3).
        brier_score: mean squared error of the probabilities (Brier 1950): of the second of two
            labels, summed over more, averaged over labels where a row can have several.
        log_loss: mean of -log of the probability of the truth.
    """

    bins: tuple[Bin, ...]
    calibration_error: float
    brier_score: float
    log_loss: float


@dataclass(frozen=True)
class Calibration:
    """What temperature scaling did.

    Attributes:
        temperature: what the logits were divided by; above 1 for a model that was too sure.
        before: as the model came out of training.
        after: as it is.
    """

    temperature: float
    before: Reliability
    after: Reliability

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is not defined is null."""
        values: dict[str, Any] = _with_null(asdict(self))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_json`."""
        before, after = (_reliability_from_json(values[name]) for name in ("before", "after"))
        return cls(float(values["temperature"]), before, after)


def fit_temperature(predictions: Predictions) -> float:
    """The temperature with the least log loss, to be fitted on validation rows.

    Guo et al., On calibration of modern neural networks, ICML 2017, section 4.2. So that a few
    rows that are all right do not make a model infinitely sure, the summed loss is joined by half
    the squared logarithm of the temperature: one row's worth of belief in 1.

    Args:
        predictions: of validation rows, as the model came out of training.

    Returns:
        a number from 0.05 to 20; 1 without rows.
    """
    from scipy.optimize import minimize_scalar

    if not len(predictions):
        return 1.0

    def loss(logarithm: float) -> float:
        tempered = with_temperature(predictions, math.exp(logarithm))
        return log_loss(tempered) * len(predictions) + logarithm**2 / 2

    low, high = (math.log(end) for end in TEMPERATURES)
    return float(math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """The predictions as they are with the logits divided by a temperature."""
    several = predictions.scheme.multilabel
    return replace(
        predictions, probabilities=tempered(predictions.probabilities, several, temperature)
    )


def tempered(probabilities: Floats, multilabel: bool, temperature: float) -> Floats:
    """Probabilities after their logits were divided by a temperature.

    The logits are found from the probabilities; see `finetext.core.arrays.logits_of`.

    Args:
        probabilities: (n, k).
        multilabel: whether each label is for itself.
        temperature: a positive number.

    Returns:
        (n, k).
    """
    return probabilities_of(logits_of(probabilities, multilabel) / temperature, multilabel)


def calibration(predictions: Predictions) -> Calibration:
    """What temperature scaling did to the predictions of a model, on any rows."""
    temperature = predictions.decision.temperature
    before = with_temperature(predictions, 1 / temperature)
    return Calibration(temperature, reliability(before), reliability(predictions))


def reliability(predictions: Predictions) -> Reliability:
    """See `Reliability`."""
    sums = _in_bins(predictions, whole(len(predictions)))[0].reshape(BINS, 3)
    edges = np.linspace(0, 1, BINS + 1)
    bins = tuple(
        Bin(
            float(edges[i]),
            float(edges[i + 1]),
            sums[i, 1] / sums[i, 0] if sums[i, 0] else math.nan,
            sums[i, 2] / sums[i, 0] if sums[i, 0] else math.nan,
            int(sums[i, 0]),
        )
        for i in range(BINS)
    )
    metrics = (calibration_error, brier_score, log_loss)
    return Reliability(bins, *(metric(predictions) for metric in metrics))


def confidence(predictions: Predictions) -> tuple[Floats, Booleans]:
    """How sure each prediction is, and whether it is right: (n,), or (n, k) when multi-label."""
    likely = predictions.probabilities
    if predictions.scheme.multilabel:
        return likely, predictions.targets == 1
    return likely.max(axis=1), likely.argmax(axis=1) == predictions.targets


def _in_bins(predictions: Predictions, resampling: Resampling) -> Floats:
    """Number, summed confidence and number right in each bin, per unit: (units, 15 * 3)."""
    sure, right = confidence(predictions)
    number = np.clip((sure * BINS).astype(np.int64), 0, BINS - 1)
    unit = resampling.unit if sure.ndim == 1 else resampling.unit[:, None]
    cell = (unit * BINS + number).ravel()
    columns = (np.ones(cell.shape), sure.ravel(), right.ravel())
    sums = [np.bincount(cell, weights, resampling.units * BINS) for weights in columns]
    return np.asarray(np.stack(sums, axis=1).reshape(resampling.units, BINS * 3), dtype=np.float64)


def _distance(sums: Floats) -> Floats:
    rows, sure, right = np.moveaxis(sums.reshape(*sums.shape[:-1], BINS, 3), -1, 0)
    return ratio(np.abs(sure - right).sum(axis=-1), rows.sum(axis=-1))


def _squared(predictions: Predictions, resampling: Resampling) -> Floats:
    """Rows and summed squared error per unit, (units, 2)."""
    likely, targets = predictions.probabilities, predictions.targets
    if predictions.scheme.multilabel:
        errors = ((likely - targets) ** 2).mean(axis=1)
    else:
        of_truth = likely[np.arange(len(likely)), targets]
        errors = ((likely**2).sum(axis=1) - 2 * of_truth + 1) / (2 if likely.shape[1] == 2 else 1)
    columns = (np.ones(len(errors)), errors)
    return np.stack([np.bincount(resampling.unit, c, resampling.units) for c in columns], axis=1)


brier_score = CountMetric(
    "brier_score",
    "Brier score",
    any_scheme,
    higher_is_better=False,
    proportion=False,
    tally=_squared,
    value=lambda sums: ratio(sums[..., 1], sums[..., 0]),
)
"""See `Reliability`; lower is better."""
calibration_error = CountMetric(
    "calibration_error",
    "calibration error",
    any_scheme,
    higher_is_better=False,
    proportion=False,
    tally=_in_bins,
    value=_distance,
)
"""See `Reliability`; lower is better. It is never below 0, so small ones look a little larger."""


def _with_null(value: Any) -> Any:
    """Nested values with None instead of nan."""
    if isinstance(value, Mapping):
        return {name: _with_null(of) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [_with_null(of) for of in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _reliability_from_json(values: Mapping[str, Any]) -> Reliability:
    bins = tuple(
        Bin(
            low=float(each["low"]),
            high=float(each["high"]),
            confidence=_number(each["confidence"]),
            accuracy=_number(each["accuracy"]),
            rows=int(each["rows"]),
        )
        for each in values["bins"]
    )
    names = ("calibration_error", "brier_score", "log_loss")
    return Reliability(bins, *(float(values[name]) for name in names))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
