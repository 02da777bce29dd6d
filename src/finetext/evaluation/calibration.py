"""Calibration of probabilities: temperature scaling, reliability and calibration error.

The confidence of a row with one label is the probability of the likeliest label, right when that is
the true one. In multi-label rows every probability counts, right when the row has the label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from finetext.core.arrays import Booleans, Floats, logits_of, probabilities_of
from finetext.core.contracts import Classifier, predict
from finetext.core.decision import CrossFitted, Decision
from finetext.core.errors import DataError
from finetext.core.settings import SplitSettings, Strategy
from finetext.core.types import Dataset, Predictions
from finetext.data.near_duplicates import near_duplicates
from finetext.data.split import fold_rows
from finetext.evaluation.deciding import Deciding, choose_decision
from finetext.evaluation.metrics import Resampling, log_loss, loss, ratio, whole
from finetext.evaluation.proportions import score_interval

AnyClassifier = TypeVar("AnyClassifier", bound=Classifier)
BINS: Final = 15
FEWEST_TO_HALVE: Final = 300
TEMPERATURES: Final = (0.05, 20.0)
PRIOR_ROWS: Final = 10
"""Of 1, 5, 10 and 20 the one with the best balance on new rows: `benchmarks/judging.py`."""


@dataclass(frozen=True)
class Bin:
    """Rows, or pairs of row and label, of similar confidence, from `low` to `high`."""

    low: float
    high: float
    confidence: float
    accuracy: float
    rows: int

    def interval(self) -> tuple[float, float]:
        """The 95% interval of the accuracy (Wilson 1927); nan without rows."""
        return score_interval(self.accuracy, self.rows)


@dataclass(frozen=True)
class Reliability:
    """How far probabilities are from observed frequencies.

    Attributes:
        calibration_error: expected calibration error: mean distance of confidence and accuracy
            over the bins, weighted by rows (Guo et al., ICML 2017, equation 3).
        brier_score: mean squared error of the probabilities (Brier 1950): of the second of two
            labels, summed over more, averaged over labels in multi-label data.
    """

    bins: tuple[Bin, ...]
    calibration_error: float
    brier_score: float
    log_loss: float


@dataclass(frozen=True)
class Calibration:
    """The effect of dividing the logits by a temperature, above 1 for an overconfident model."""

    temperature: float
    before: Reliability
    after: Reliability


def fit_temperature(predictions: Predictions, prior_rows: float = PRIOR_ROWS) -> float:
    """Return the temperature with the lowest log loss; 1 without rows.

    Guo et al., On calibration of modern neural networks, ICML 2017, section 4.2, with a prior for 1
    worth about ten rows: a few rows, which may all be right, say little about the temperature.
    """
    from scipy.optimize import minimize_scalar

    if not len(predictions):
        return 1.0

    def penalized(logarithm: float) -> float:
        scaled = with_temperature(predictions, math.exp(logarithm))
        return log_loss(scaled) * len(predictions) + prior_rows * logarithm**2 / 2

    low, high = (math.log(end) for end in TEMPERATURES)
    return float(math.exp(minimize_scalar(penalized, bounds=(low, high), method="bounded").x))


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """Return the predictions with their logits divided by a temperature."""
    several, likely = predictions.scheme.multilabel, predictions.probabilities
    return replace(predictions, probabilities=tempered(likely, several, temperature))


def tempered(probabilities: Floats, multilabel: bool, temperature: float) -> Floats:
    """Return (n, k) probabilities with their logits divided by a temperature."""
    return probabilities_of(logits_of(probabilities, multilabel) / temperature, multilabel)


def calibration(predictions: Predictions) -> Calibration:
    """Compare the predictions of a model with the same before temperature scaling."""
    temperature = predictions.decision.temperature
    before = with_temperature(predictions, 1 / temperature)
    return Calibration(temperature, reliability(before), reliability(predictions))


def reliability(predictions: Predictions) -> Reliability:
    """See `Reliability`."""
    sums = _in_bins(predictions, whole(len(predictions))).reshape(BINS, 3).tolist()
    edges = np.linspace(0, 1, BINS + 1).tolist()
    bins = []
    for low, high, (rows, sure, right) in zip(edges, edges[1:], sums, strict=False):
        sure, right = (sure / rows, right / rows) if rows else (math.nan, math.nan)
        bins.append(Bin(low, high, sure, right, int(rows)))
    metrics = (calibration_error, brier_score, log_loss)
    return Reliability(tuple(bins), *(metric(predictions) for metric in metrics))


def confidence(predictions: Predictions) -> tuple[Floats, Booleans]:
    """Return confidence and correctness: (n,) each, or (n, k) in multi-label data."""
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
        return resampling.total(((likely - targets) ** 2).mean(axis=1))
    of_truth = likely[np.arange(len(likely)), targets]
    errors = ((likely**2).sum(axis=1) - 2 * of_truth + 1) / (2 if likely.shape[1] == 2 else 1)
    return resampling.total(errors)


brier_score = loss("brier_score", "Brier score", _squared)
"""See `Reliability`; lower is better."""
calibration_error = replace(
    loss("calibration_error", "calibration error", _in_bins, _distance), has_interval=False
)
"""See `Reliability`; lower is better. On few rows it is large even for a calibrated model: whether
that is chance says `consistency`. It has no interval, as none of the bootstrap holds the truth."""


def calibrated(
    classifier: Classifier,
    validation: Dataset,
    wanted: Deciding | None = None,
    kept: Dataset | None = None,
    *,
    learns: bool = True,
) -> tuple[Classifier, Predictions]:
    """Return the calibrated classifier and its predictions on the validation rows.

    `kept` are the validation rows for the decision rule alone; by default all serve everything. A
    model of a method that does not learn stays as it is.
    """
    predictions = predict(classifier, validation)
    rows = None if kept is None else np.isin(predictions.ids, kept.ids)
    return calibrated_by(classifier, predictions, wanted, rows, learns=learns)


def calibrated_by(
    classifier: AnyClassifier,
    predictions: Predictions,
    wanted: Deciding | None = None,
    kept: Booleans | None = None,
    *,
    learns: bool = True,
) -> tuple[AnyClassifier, Predictions]:
    """Return the classifier and predictions, calibrated by these predictions of unseen rows.

    `kept`, (n,), are the rows for the decision rule alone; by default all serve everything. A
    model of a method that does not learn (`Method.learns`) stays as it is.
    """
    if not learns:
        return classifier, predictions
    temperature = fit_temperature(predictions if kept is None else predictions.select(~kept))
    scaled = classifier.with_temperature(temperature)
    found = ruled(predictions, temperature if scaled is not classifier else None, wanted, kept)
    return scaled.with_decision(found.decision), found


def ruled(
    predictions: Predictions,
    temperature: float | None = None,
    wanted: Deciding | None = None,
    kept: Booleans | None = None,
) -> Predictions:
    """Return predictions with a temperature, if any, and the decision rule that they then choose.

    `kept`, (n,), are the rows for the decision rule; by default all are.
    """
    if temperature is not None:
        decision = replace(predictions.decision, temperature=temperature)
        predictions = replace(with_temperature(predictions, temperature), decision=decision)
    chosen_on = predictions if kept is None else predictions.select(kept)
    decision = choose_decision(chosen_on, wanted or Deciding())
    if kept is not None and decision.rows_needed is not None:
        whole = decision.rows_needed * len(predictions) / len(chosen_on)
        decision = replace(decision, rows_needed=round(whole))
    return replace(predictions, decision=decision)


def cross_calibrated(
    folds: Sequence[Predictions], wanted: Deciding, is_scaled: bool = True
) -> tuple[Predictions, ...]:
    """Return out-of-fold predictions, each fold calibrated and decided without its own labels.

    Temperature and decision rule of a fold are chosen on the predictions of all other folds. So
    they are chosen as those of the final model are, which come from all folds.

    Args:
        folds: predictions of each fold by a model that did not see it, not calibrated.
        wanted: the decision rule that was asked for.
        is_scaled: whether the logits of the model can be divided by a temperature.
    """
    found = []
    for number, fold in enumerate(folds):
        others = joined([*folds[:number], *folds[number + 1 :]])
        temperature = fit_temperature(others) if is_scaled else 1.0
        scaled, mine = (with_temperature(of, temperature) for of in (others, fold))
        unruled = replace(scaled, decision=Decision(temperature=temperature))
        found.append(replace(mine, decision=choose_decision(unruled, wanted)))
    return tuple(found)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several sets of rows as one; each set keeps its decision rule."""
    first, groups = parts[0], [of.groups for of in parts]
    rule, rules = first.decision, [of.decision for of in parts]
    if any(of != rule for of in rules):
        rule = CrossFitted.of(rule, rules, np.repeat(range(len(parts)), list(map(len, parts))))
    return replace(
        first,
        ids=tuple(row for of in parts for row in of.ids),
        targets=np.concatenate([of.targets for of in parts]),
        probabilities=np.concatenate([of.probabilities for of in parts]),
        decision=rule,
        groups=None if None in groups else tuple(name for of in groups for name in of or ()),
    )


def for_decisions(
    validation: Dataset, wanted: Deciding, settings: SplitSettings | None = None
) -> tuple[Dataset, Dataset | None]:
    """Return validation rows for checkpoint and temperature, and those for the decision rule.

    A rule that is chosen on the rows that chose the checkpoint reaches its target less often on new
    rows. So each gets a half, stratified and without common groups, where there are 300 rows or
    more and a rule was asked for; else all rows serve both, and the second is None. So they do
    where groups or near-duplicates do not fill two halves.

    Args:
        validation: the validation rows.
        wanted: the decision rule that was asked for.
        settings: how the splits were made, which says whether groups and near-duplicates stay
            together; by default they do.
    """
    if len(validation) < FEWEST_TO_HALVE or not wanted.is_chosen_on_rows:
        return validation, None
    settings, unsplit = settings or SplitSettings(), validation
    if "split" in validation.table.column_names:  # of rows that are all from one split
        unsplit = replace(validation, table=validation.table.remove_columns("split"))
    clusters = None if settings.keep_duplicates else near_duplicates(validation.texts)
    strategies: tuple[Strategy, ...] = ("stratified", "random")
    for strategy in strategies:  # a class of one row cannot be in both
        with suppress(DataError):
            of_halves = replace(settings, strategy=strategy)
            kept, rest = fold_rows(unsplit, 2, 0, of_halves, clusters)
            return validation.select(rest), validation.select(kept)
    return validation, None
