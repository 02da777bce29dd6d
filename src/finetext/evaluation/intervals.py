"""Scores with 95% confidence intervals, for all rows and for each label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.display import html_table
from finetext.core.errors import DataError, UnknownNameError
from finetext.core.registry import load
from finetext.core.types import Predictions, Score
from finetext.core.wording import counted, ends, number
from finetext.evaluation.metrics import (
    CountMetric,
    Counts,
    Resampling,
    applicable,
    count,
    metric_for,
)
from finetext.evaluation.proportions import score_interval

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_UNITS: Final = 10_000
FEWEST_GROUPS: Final = 6
FEWEST_OF_A_CLASS: Final = 10
"""Rows of the rarest class, as groups, below which intervals are called uncertain."""
FEWEST_CROSSED: Final = 100
"""Rows below which the intervals of cross-validation are called uncertain."""
_OF_LABEL: Final = ("precision", "recall", "f1")
_TAIL: Final = 0.025
_ROUNDING: Final = 1e-12
_UNKNOWN: Final = (float("nan"), float("nan"))


class Scores(dict[str, Score]):
    """Metric name to score; an unknown name raises an UnknownNameError that offers the nearest."""

    def __missing__(self, name: str) -> Score:
        raise UnknownNameError("metric", name, self)

    def to_pandas(self) -> DataFrame:
        """Return a data frame with one row for each metric: value, low, high and number of rows."""
        import pandas as pd

        return pd.DataFrame.from_dict({name: vars(of) for name, of in self.items()}, "index")

    def _repr_html_(self) -> str:
        rows = (
            (load("metrics", name).title, f"{number(of.value)} {ends(of)}")
            for name, of in self.items()
        )
        return html_table(_rows_in(self.values()), ("", "value and 95% interval"), rows)


class ScoresBySplit(dict[str, Scores]):
    """Name of a split to its scores; an unknown name raises an UnknownNameError."""

    def __missing__(self, name: str) -> Scores:
        raise UnknownNameError("split", name, self)


@dataclass(frozen=True)
class LabelScores:
    """Precision, recall and F1 of one label.

    Attributes:
        precision: share of the rows given it that have it; nan when none is given it.
        recall: share of the rows that have it that are given it; nan when none has it.
        support: number of rows that have it.
    """

    name: str
    precision: Score
    recall: Score
    f1: Score
    support: int


class LabelTable(list[LabelScores]):
    """The scores of each label as a list that shows itself as a table in a notebook."""

    def to_pandas(self) -> DataFrame:
        """Return a data frame with one row for each label.

        Columns: precision, recall and f1, each with its interval ("f1_low", "f1_high"), and rows.
        """
        import pandas as pd

        rows = {}
        for of in self:
            row: dict[str, float] = {}
            for name in _OF_LABEL:
                score = getattr(of, name)
                row |= {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}
            rows[of.name] = row | {"rows": of.support}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("label")

    def _repr_html_(self) -> str:
        header = ("label", "precision [95%]", "recall [95%]", "F1 [95%]", "rows")
        rows = ((of.name, of.precision, of.recall, of.f1, f"{of.support:,}") for of in self)
        return html_table(_rows_in(of.f1 for of in self), header, rows)


def _rows_in(scores: Iterable[Score]) -> str:
    return f"{max((of.n for of in scores), default=0):,} rows"


def units_of(predictions: Predictions, random: np.random.Generator) -> tuple[Integers, int]:
    """Return the unit of each row, (n,), and the number of units: rows, or groups.

    More than 10,000 are put into so many random blocks. Raises a DataError if there are no rows.
    """
    if len(predictions) == 0:
        raise DataError("there are no predictions to evaluate: the data have no rows")
    unit = np.arange(len(predictions))
    if predictions.groups is not None:
        number: dict[str, int] = {}
        unit = np.array([number.setdefault(name, len(number)) for name in predictions.groups])
    units = int(unit.max()) + 1
    if units > MOST_UNITS:
        unit = (random.permutation(units) % MOST_UNITS)[unit]
        units = MOST_UNITS
    return unit, units


def resample(predictions: Predictions, resamples: int = 1000, seed: int = 0) -> Resampling:
    """Draw rows with replacement, or whole groups where the predictions have groups."""
    random = np.random.default_rng(seed)
    unit, units = units_of(predictions, random)
    weights = np.empty((resamples, units), dtype=np.uint8)
    for row in weights:
        row[:] = np.bincount(random.integers(units, size=units), minlength=units)
    return Resampling(unit, weights)


def evaluate(
    predictions: Predictions,
    seed: int = 0,
    resamples: int = 1000,
    metrics: Sequence[str] | None = None,
    positive: str | None = None,
) -> Scores:
    """Return metrics with 95% confidence intervals.

    Groups, where the predictions have them, are drawn as a whole. Intervals are those of the
    bootstrap, bias-corrected and accelerated (Efron, Better bootstrap confidence intervals, JASA
    1987; of (mean) average precision and ROC AUC bias-corrected only), with Student's t, and those
    of scores from 0 to 1 as wide as a score interval at least: see `interval_of_share`. For a
    single row or group the interval is nan, as is that of the calibration error, whose bootstrap
    intervals do not hold.

    Args:
        predictions: what to evaluate.
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples.
        metrics: names of metrics; by default all that apply to the label scheme.
        positive: the class of two that the binary metrics are about; by default that of the
            scheme: named, or the one that says yes, or the second.

    Raises:
        DataError: there are no rows, or no such class of two.
        UnknownNameError: there is no metric of that name.
        RecipeError: a metric does not apply to the label scheme.
    """
    predictions = _checked(predictions, "evaluate").with_positive(positive)
    chosen = applicable(predictions.scheme) if metrics is None else metrics
    found = {name: metric_for(name, predictions.scheme) for name in chosen}
    draws = resample(predictions, resamples, seed)
    scores = Scores()
    for name, metric in found.items():
        value, (low, high) = metric(predictions), _UNKNOWN
        if draws.units > 1 and metric.has_interval:
            drawn = metric.replicates(predictions, draws), metric.leave_one_out(predictions, draws)
            if metric.proportion:
                ends = interval_of_share(value, *drawn, draws.units, len(predictions))
                low, high = widened(*ends, metric.rests_on(predictions, draws))
                if isinstance(metric, CountMetric) and draws.units < MOST_UNITS:
                    few = by_class(metric, [metric.tally(predictions, draws)])
                    low, high = float(np.fmin(low, few[0])), float(np.fmax(high, few[1]))
            else:
                low, high = interval(value, *drawn, draws.units)
        scores[name] = Score(value, low, high, len(predictions))
    return scores


def _checked(predictions: Any, name: str) -> Predictions:
    """Return what was given, or say how to get predictions from a model and data."""
    if not isinstance(predictions, Predictions):
        raise DataError(
            f"{name} takes predictions with their true labels, not a {type(predictions).__name__}; "
            "of a run take run.predictions(), of what open_predicted returns its predictions; of a "
            "classifier and labeled data make them first: "
            f"finetext.{name}(finetext.predict(classifier, finetext.read(data)))"
        )
    return predictions


def per_class(predictions: Predictions, seed: int = 0, resamples: int = 1000) -> LabelTable:
    """Return precision, recall and F1 of each label with bootstrap 95% confidence intervals.

    Args and errors are those of `evaluate`; labels are in the order of the scheme.
    """
    draws = resample(_checked(predictions, "per_class"), resamples, seed)
    sums = count(predictions, draws)
    total = sums.sum(axis=0)
    whole, drawn, without = (Counts.of(s) for s in (total, draws.sums(sums), total - sums))

    def score(part: str, column: int) -> Score:
        value, replicates, left = (getattr(c, part)[..., column] for c in (whole, drawn, without))
        if draws.units < 2:
            return Score(float(value), *_UNKNOWN, len(predictions))
        rows = len(predictions)
        low, high = interval_of_share(float(value), replicates, left, draws.units, rows)
        rests_on = whole.given if part == "precision" else whole.true
        low, high = widened(low, high, int(min(rests_on[column], draws.units)))
        return Score(float(value), low, high, len(predictions))

    found = LabelTable()
    for column, name in enumerate(predictions.scheme.names):
        precision, recall, f1 = (score(part, column) for part in ("precision", "recall", "f1"))
        found.append(LabelScores(name, precision, recall, f1, int(whole.true[column])))
    return found


def interval(
    value: float, replicates: Floats, leave_one_out: Floats | None = None, units: int | None = None
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap 95% interval (Efron 1987).

    With `units`, the number of rows or groups that are drawn, it is as much wider as Student's t
    is than the normal distribution: resamples of few units vary too little (Hesterberg, What
    teachers should know about the bootstrap, The American Statistician 2015).
    """
    from scipy.special import ndtr, ndtri, stdtrit

    replicates = replicates[np.isfinite(replicates)]
    if np.isnan(value) or len(replicates) == 0:
        return _UNKNOWN
    # Ties count half; without the tolerance, rounding would decide them, by processor.
    tie = _ROUNDING * max(abs(value), 1.0)
    below = (np.mean(replicates < value - tie) + np.mean(replicates <= value + tie)) / 2
    least = 1 / (len(replicates) + 1)
    bias = ndtri(np.clip(below, least, 1 - least))
    far = float(ndtri(1 - _TAIL))
    if units is not None and units > 1:
        far = float(stdtrit(units - 1, 1 - _TAIL)) * (units / (units - 1)) ** 0.5
    shifted = bias + np.array([-far, far])
    acceleration = 0.0
    if leave_one_out is not None:
        left = leave_one_out[np.isfinite(leave_one_out)]
        away = left.mean() - left if len(left) else left
        spread = float((away**2).sum())
        acceleration = float((away**3).sum()) / (6 * spread**1.5) if spread > 1e-20 else 0.0
    levels = ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(replicates, levels)
    return min(float(low), value), max(float(high), value)


def interval_of_share(
    value: float, replicates: Floats, leave_one_out: Floats | None, units: int, rows: int
) -> tuple[float, float]:
    """Return the 95% interval of a score from 0 to 1, for few rows or groups, too.

    It is the bootstrap interval, widened to the score interval (Wilson, JASA 1927) of a share of so
    many rows that its standard error is that of the score, with Student's t. The bootstrap knows
    that few errors mean a skewed score, the score interval what may be in rows that are not there.

    Args:
        value: the score.
        replicates: its values on resamples.
        leave_one_out: its values without each unit, for the standard error; None if unknown.
        units: number of rows or groups that are drawn.
        rows: number of rows.
    """
    from scipy.special import stdtrit

    low, high = interval(value, replicates, leave_one_out, units)
    if leave_one_out is None:
        error = float(np.nanstd(replicates)) if np.isfinite(replicates).any() else 0.0
    else:
        left = leave_one_out[np.isfinite(leave_one_out)]
        error = float(left.std()) * max(len(left) - 1, 0) ** 0.5 if len(left) else 0.0
    if not 0 < value < 1 or error < _ROUNDING or units < 2:
        return low, high
    n = min(value * (1 - value) / error**2, rows)
    least, most = score_interval(value, n, float(stdtrit(units - 1, 1 - _TAIL)))
    return min(low, least), max(high, most)


def uncertain_intervals(predictions: Predictions, folds: bool = False) -> str:
    """Return why intervals may hold the truth in fewer than 95% of cases, in sentences; "" if not.

    With fewer than 6 groups the spread between them is nearly unknown, and a class with fewer than
    10 rows may by chance have none that is hard. With `folds` the scores are of cross-validation,
    which cannot see how far another sample of rows would move the model: `benchmarks/RESULTS.md`
    has how often its intervals hold.
    """
    said = []
    if (groups := predictions.groups) is not None and len(set(groups)) < FEWEST_GROUPS:
        few = counted(len(set(groups)), "group")
        return f"The intervals are uncertain: they rest on {few}."
    if folds and len(predictions) < FEWEST_CROSSED:
        said.append(
            f"The intervals are uncertain: in simulations of cross-validation with fewer than "
            f"{FEWEST_CROSSED} rows, some held the truth in only 90% of cases instead of 95%."
        )
    targets, names = predictions.targets, predictions.scheme.names
    columns = targets if targets.ndim == 2 else np.eye(len(names), dtype=np.int64)[targets]
    support = columns.sum(axis=0)
    rarest = int(support.argmin())
    if support[rarest] < FEWEST_OF_A_CLASS:
        said.append(
            "The intervals of means over classes, such as macro F1, are uncertain: "
            f"{names[rarest]!r} has {counted(int(support[rarest]), 'row')}."
        )
    if folds and predictions.scheme.is_binary:
        said.append(
            "The intervals of one class, such as that of binary recall, are about these rows: "
            "another sample may make the model give the class more or less often."
        )
    return " ".join(said)


def widened(low: float, high: float, units: int) -> tuple[float, float]:
    """Widen the interval of a proportion of 0 or 1 to the exact one (Clopper and Pearson 1934)."""
    if units and low == high and low in (0.0, 1.0):
        edge = _TAIL ** (1 / units)
        return (0.0, 1 - edge) if low == 0.0 else (edge, 1.0)
    return low, high


def by_class(metric: CountMetric, tallies: Sequence[Floats]) -> tuple[float, float]:
    """Return the 95% interval that the classes have, of a metric that is a mean over them.

    Each class has the score interval of its share of rows, and their mean that of Zou and Donner
    (Construction of confidence limits about effect measures, Statistics in Medicine, 2008). So it
    is wide where a class has few rows, also if they are all wrong or all right, of which neither
    jackknife nor bootstrap knows that it could be otherwise (`benchmarks/LOG.md`). Both ends are
    nan if the metric is no such mean.

    Args:
        metric: the metric.
        tallies: what each unit adds to it, (units, m), in each repeat of cross-validation.
    """
    from scipy.special import stdtrit

    if metric.shares is None:
        return _UNKNOWN
    each = [metric.shares(of) for of in tallies]
    right, rows = (np.mean([of.sum(axis=0) for of in part], axis=0) for part in zip(
        *((of.right, of.rows) for of in each), strict=True
    ))  # fmt: skip
    units = np.mean([(of.rows > 0).sum(axis=0) for of in each], axis=0)
    known = rows > 0
    if not known.any():
        return _UNKNOWN
    value = right[known] / rows[known]
    far = stdtrit(np.maximum(units[known] - 1, 1), 1 - _TAIL)
    ends = [score_interval(*of) for of in zip(value, units[known], far, strict=True)]
    shares = np.stack([value, *np.array(ends).T])
    middle, low, high = 2 * shares / (1 + shares) if each[0].are_f1 else shares
    below, above = (
        float(np.sqrt(((middle - end) ** 2).sum())) / len(middle) for end in (low, high)
    )
    return max(0.0, middle.mean() - below), min(1.0, middle.mean() + above)


def confusion(predictions: Predictions) -> Integers:
    """Return the confusion matrix: (k, k) counts, truth in rows and prediction in columns.

    In multi-label data the diagonal counts the rows where a label is rightly given, and row i,
    column j those where i is missed and j is given wrongly.
    """
    k = len(_checked(predictions, "confusion").scheme)
    targets, decisions = predictions.targets, predictions.decisions
    if not predictions.scheme.multilabel:
        return np.bincount(targets * k + decisions, minlength=k * k).reshape(k, k)
    missed, wrong = targets & (1 - decisions), decisions & (1 - targets)
    instead = missed.T.astype(np.float64) @ wrong
    return np.asarray(instead + np.diag((targets & decisions).sum(axis=0)), dtype=np.int64)
