"""The metrics: each takes `Predictions`, returns a float and knows which direction is better.

Nearly all are functions of a few sums over rows (`CountMetric`), so a thousand bootstrap values
cost one matrix product. Zero divided by zero is left out of averages over labels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats, Integers
from finetext.core.errors import RecipeError
from finetext.core.registry import load, names
from finetext.core.types import LabelScheme, Predictions


@dataclass(frozen=True)
class Resampling:
    """The unit of each row, (n,), and how often each resample draws each unit, (resamples, units).

    A unit is drawn as a whole: a row, a group of rows, or, if there are more than 10,000, a random
    block of these, which changes the width of an interval by less than one percent.
    """

    unit: Integers
    weights: npt.NDArray[np.uint8]

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.weights.shape[1])

    def chunks(self, size: int = 100) -> Iterator[npt.NDArray[np.uint8]]:
        """The weights, `size` resamples at a time."""
        return (self.weights[i : i + size] for i in range(0, len(self.weights), size))

    def sums(self, of_units: Floats) -> Floats:
        """Sum what each unit adds, (units, m), over the units drawn: (resamples, m)."""
        return np.concatenate([chunk.astype(np.float64) @ of_units for chunk in self.chunks()])

    def total(self, of_rows: Floats) -> Floats:
        """Number of rows and sum of a value of each row, (n,), per unit: (units, 2)."""
        columns = (np.ones(len(of_rows)), of_rows)
        return np.stack([np.bincount(self.unit, c, self.units) for c in columns], axis=1)


def whole(rows: int) -> Resampling:
    """The one resample that holds each row once: for the metric itself."""
    return Resampling(np.zeros(rows, dtype=np.int64), np.ones((1, 1), dtype=np.uint8))


def _any_scheme(scheme: LabelScheme) -> bool:
    return True


def _one_label(scheme: LabelScheme) -> bool:
    return not scheme.multilabel


def several_labels(scheme: LabelScheme) -> bool:
    """Return whether a text can have several labels."""
    return scheme.multilabel


def two_classes(scheme: LabelScheme) -> bool:
    """Return whether a scheme has a positive class."""
    return scheme.is_binary


@dataclass(frozen=True)
class Metric(ABC):
    """A metric. Called with predictions, it returns its value on all rows.

    `has_interval` is false where bootstrap intervals do not hold the truth as often as they say.
    """

    name: str
    title: str
    applies: Callable[[LabelScheme], bool]
    higher_is_better: bool = True
    proportion: bool = True
    has_interval: bool = True

    def __call__(self, predictions: Predictions) -> float:
        """Return the value on all rows; nan where it is undefined."""
        return float(self.replicates(predictions, whole(len(predictions)))[0])

    def goodness(self, predictions: Predictions) -> float:
        """Return the value, signed so that higher is better; minus infinity if undefined."""
        value = self(predictions)
        if np.isnan(value):
            return -np.inf
        return value if self.higher_is_better else -value

    @abstractmethod
    def replicates(self, predictions: Predictions, resampling: Resampling) -> Floats:
        """Return the value on every resample, (resamples,); nan where it is undefined."""

    def leave_one_out(self, predictions: Predictions, resampling: Resampling) -> Floats | None:
        """Return the value without each unit in turn, (units,), or None if that is too slow."""
        return None

    def effects(self, predictions: Predictions) -> Floats:
        """Return how one more row of each label changes the value: if right, and if wrong, (2, k).

        Zero where that is unknown, as for metrics of probabilities.
        """
        return np.zeros((2, len(predictions.scheme)))

    def rests_on(self, predictions: Predictions, resampling: Resampling) -> int:
        """Return how many units decide the value, for the exact interval at 0 and at 1."""
        return resampling.units

    @property
    def of_positive_class(self) -> bool:
        """Whether the value depends on which of two classes is the positive one."""
        return self.applies is two_classes

    def class_of(self, scheme: LabelScheme) -> str | None:
        """Return the class of two that the value is about; None if it is about all."""
        return scheme.positive_class if self.of_positive_class else None


class Shares(NamedTuple):
    """Shares of rows that a metric is the mean of: how many are right, of how many rows, (..., k).

    F1 is a function of a share: with the share J of those rows that have a label or are given it
    that do both, it is 2J / (1 + J); `are_f1` says that the metric is the mean of that.
    """

    right: Floats
    rows: Floats
    are_f1: bool = False


@final
@dataclass(frozen=True, kw_only=True)
class CountMetric(Metric):
    """A metric that is a function, `value`, of sums per unit, (units, m), given by `tally`.

    `shares`, another such function, says what the value is the mean of, if not a share of all rows.
    """

    tally: Callable[[Predictions, Resampling], Floats]
    value: Callable[[Floats], Floats]
    shares: Callable[[Floats], Shares] | None = None

    def replicates(self, predictions: Predictions, resampling: Resampling) -> Floats:
        """See `Metric.replicates`."""
        return self.value(resampling.sums(self.tally(predictions, resampling)))

    def leave_one_out(self, predictions: Predictions, resampling: Resampling) -> Floats | None:
        """See `Metric.leave_one_out`."""
        sums = self.tally(predictions, resampling)
        return self.value(sums.sum(axis=0) - sums)

    def effects(self, predictions: Predictions) -> Floats:
        """See `Metric.effects`."""
        if not self.proportion:
            return super().effects(predictions)
        scheme, k = predictions.scheme, len(predictions.scheme)
        truth, given = np.tile(np.eye(k), (2, 1)), np.eye(k)
        given = np.concatenate([given, np.roll(given, 1, axis=1)])
        targets = truth.astype(np.int64) if scheme.multilabel else truth.argmax(axis=1)
        rows = Predictions(tuple(map(str, range(2 * k))), targets, given, scheme)
        each = Resampling(np.arange(2 * k), np.ones((1, 2 * k), dtype=np.uint8))
        sums = self.tally(predictions, whole(len(predictions))).sum(axis=0)
        changed = self.value(sums + self.tally(rows, each)) - self.value(sums)
        return np.asarray(np.nan_to_num(changed).reshape(2, k))

    def rests_on(self, predictions: Predictions, resampling: Resampling) -> int:
        """See `Metric.rests_on`."""
        if self.shares is None:
            return resampling.units
        rows = self.shares(self.tally(predictions, resampling).sum(axis=0)).rows
        return int(min(float(rows.sum()), resampling.units))


class Counts(NamedTuple):
    """The columns of `count`, by name: (...) for all labels, (..., k) for each label."""

    rows: Floats
    exact: Floats
    row_f1: Floats
    hits: Floats
    given: Floats
    true: Floats

    @classmethod
    def of(cls, sums: Floats) -> Counts:
        """Name the columns of what `count` returns, (..., 3 + 3k)."""
        hits, given, true = np.split(sums[..., 3:], 3, axis=-1)
        return cls(sums[..., 0], sums[..., 1], sums[..., 2], hits, given, true)

    @property
    def precision(self) -> Floats:
        """Share of the rows given a label that have it; nan when none is given it."""
        return ratio(self.hits, self.given)

    @property
    def recall(self) -> Floats:
        """Share of the rows that have a label that are given it; nan when none has it."""
        return ratio(self.hits, self.true)

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall; nan when no row has or is given the label."""
        return ratio(2 * self.hits, self.given + self.true)

    def shares(self, part: str, column: int | None = None) -> Shares:
        """Return what "precision", "recall" or "f1" of each label, or of one, is a share of."""
        of = slice(None) if column is None else slice(column, column + 1)
        hits, given, true = (each[..., of] for each in (self.hits, self.given, self.true))
        rows = {"precision": given, "recall": true, "f1": given + true - hits}[part]
        return Shares(hits, rows, are_f1=part == "f1")


def count(predictions: Predictions, resampling: Resampling) -> Floats:
    """Sums per unit that all F1 scores and accuracies need, (units, 3 + 3k); see `Counts`."""
    unit, units, scheme = resampling.unit, resampling.units, predictions.scheme
    targets, decisions = predictions.targets, predictions.decisions
    if scheme.multilabel:
        both = np.nonzero(targets & decisions)
        pairs = [both, np.nonzero(decisions), np.nonzero(targets)]
        right = (targets == decisions).all(axis=1)
        sizes = targets.sum(axis=1) + decisions.sum(axis=1)
        row_f1 = ratio(2 * (targets & decisions).sum(axis=1), sizes, 1.0)
    else:
        every, right = np.arange(len(targets)), targets == decisions
        row_f1 = right.astype(np.float64)
        pairs = [(every[right], targets[right]), (every, decisions), (every, targets)]
    k = len(scheme)
    per_label = [
        np.bincount(unit[rows] * k + labels, minlength=units * k).reshape(units, k)
        for rows, labels in pairs
    ]
    per_row = [np.bincount(unit, w, units)[:, None] for w in (np.ones(len(unit)), right, row_f1)]
    return np.concatenate([*per_row, *per_label], axis=1)


def row_losses(predictions: Predictions) -> Floats:
    """The log loss of each row, (n,), in nats; of a multi-label row, the mean over labels."""
    smallest = np.finfo(np.float64).eps
    probabilities, targets = predictions.probabilities, predictions.targets
    if predictions.scheme.multilabel:
        likely = np.clip(probabilities.astype(np.float64), smallest, 1 - smallest)
        return np.asarray(-np.log(np.where(targets == 1, likely, 1 - likely)).mean(axis=1))
    of_truth = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return np.asarray(-np.log(of_truth.clip(smallest, 1 - smallest)))


def ratio(numerator: Floats, denominator: Floats, undefined: float = np.nan) -> Floats:
    """Quotient, or `undefined` where the denominator is 0."""
    defined = denominator != 0
    return np.where(defined, numerator / np.where(defined, denominator, 1), undefined)


def mean_of_rows(sums: Floats) -> Floats:
    """The mean of a value over rows, from what `Resampling.total` returns."""
    return ratio(sums[..., 1], sums[..., 0])


def mean_of_defined(values: Floats) -> Floats:
    """Mean over the last axis of what is not nan."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def _counted(
    name: str,
    title: str,
    applies: Callable[[LabelScheme], bool],
    value: Callable[[Counts], Floats],
    part: str = "",
) -> CountMetric:
    """Return a metric of counts; `part` of each label is what it is the mean of, if it is one."""
    return CountMetric(
        name, title, applies, tally=count, value=lambda sums: value(Counts.of(sums)),
        shares=(lambda sums: Counts.of(sums).shares(part)) if part else None,
    )  # fmt: skip


def _count_positive(predictions: Predictions, resampling: Resampling) -> Floats:
    """Sums per unit of the positive class, (units, 3): rightly given, given, and true."""
    counts = Counts.of(count(predictions, resampling))
    column = predictions.scheme.positive_column
    return np.stack([of[:, column] for of in (counts.hits, counts.given, counts.true)], axis=1)


def loss(
    name: str,
    title: str,
    tally: Callable[[Predictions, Resampling], Floats],
    value: Callable[[Floats], Floats] = mean_of_rows,
) -> CountMetric:
    """Return a metric of probabilities for any data; lower is better."""
    return CountMetric(name, title, _any_scheme, False, False, tally=tally, value=value)


accuracy = _counted("accuracy", "accuracy", _one_label, lambda c: ratio(c.exact, c.rows))
"""Share of rows that are right."""
subset_accuracy = _counted(
    "subset_accuracy", "subset accuracy", several_labels, lambda c: ratio(c.exact, c.rows)
)
"""Share of rows whose labels are all right."""
balanced_accuracy = _counted(
    "balanced_accuracy", "balanced accuracy", _one_label, lambda c: mean_of_defined(c.recall),
    part="recall",
)  # fmt: skip
"""Mean recall of the classes that occur."""
macro_f1 = _counted("macro_f1", "macro F1", _any_scheme, lambda c: mean_of_defined(c.f1), "f1")
"""Mean F1 of the labels that occur in truth or prediction."""
weighted_f1 = _counted(
    "weighted_f1",
    "weighted F1",
    _any_scheme,
    lambda c: ratio((np.nan_to_num(c.f1) * c.true).sum(-1), c.true.sum(-1)),
)
"""Mean F1 of the labels, weighted by the number of rows that have them."""
micro_f1 = _counted(
    "micro_f1",
    "micro F1",
    _any_scheme,
    lambda c: ratio(2 * c.hits.sum(-1), c.given.sum(-1) + c.true.sum(-1)),
)
"""F1 of all decisions together; equal to accuracy when each row has one label."""
binary_precision = CountMetric(
    "binary_precision", "binary precision", two_classes, tally=_count_positive,
    value=lambda sums: ratio(sums[..., 0], sums[..., 1]),
    shares=lambda sums: Shares(sums[..., :1], sums[..., 1:2]),
)  # fmt: skip
"""Precision of the positive class: see `LabelScheme.positive_column`."""
binary_recall = CountMetric(
    "binary_recall", "binary recall", two_classes, tally=_count_positive,
    value=lambda sums: ratio(sums[..., 0], sums[..., 2]),
    shares=lambda sums: Shares(sums[..., :1], sums[..., 2:]),
)  # fmt: skip
"""Recall of the positive class."""
binary_f1 = CountMetric(
    "binary_f1", "binary F1", two_classes, tally=_count_positive,
    value=lambda sums: ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2]),
    shares=lambda sums: Shares(
        sums[..., :1], sums[..., 1:2] + sums[..., 2:] - sums[..., :1], are_f1=True
    ),
)  # fmt: skip
"""F1 of the positive class: of `neg` and `pos` it is that of `pos`, of `ja` and `nein` of `ja`."""
samples_f1 = _counted("samples_f1", "samples F1", several_labels, lambda c: ratio(c.row_f1, c.rows))
"""Mean over rows of the F1 of a row's labels; 1 for a row that has none and is given none."""
log_loss = loss("log_loss", "log loss", lambda of, resampling: resampling.total(row_losses(of)))
"""Mean of -log of the probability of the truth; lower is better."""


def applicable(scheme: LabelScheme) -> tuple[str, ...]:
    """Names of the registered metrics that apply to a label scheme, in table order."""
    return tuple(name for name in names("metrics") if load("metrics", name).applies(scheme))


def values_of(predictions: Predictions) -> dict[str, float]:
    """Every metric that applies, by name, without intervals."""
    scheme = predictions.scheme
    return {name: float(load("metrics", name)(predictions)) for name in applicable(scheme)}


def metric_for(name: str, scheme: LabelScheme) -> Metric:
    """Return the metric of that name; raises a RecipeError if it does not apply to the labels."""
    metric: Metric = load("metrics", name)
    if not metric.applies(scheme):
        data = "several labels per row" if scheme.multilabel else f"{len(scheme)} classes"
        fitting = ", ".join(applicable(scheme))
        raise RecipeError(
            f"the metric {name!r} does not apply to data with {data}; use one of: {fitting}"
        )
    return metric
