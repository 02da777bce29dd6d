"""The kinds of rows that a classifier is worse at than at the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from finetext.core.arrays import Floats, Integers, finite
from finetext.core.errors import RecipeError, RunError, UnknownNameError
from finetext.core.types import LabelScheme, Predictions, Score
from finetext.diagnosis.slicing import KINDS, Candidate, Teller, candidates, teller, usual_kinds
from finetext.evaluation.intervals import interval, percentiles, resample, widened
from finetext.evaluation.metrics import CountMetric, Resampling, applicable, metric_for, ratio

if TYPE_CHECKING:
    from finetext.core.types import Predicted


SIGNIFICANT: Final = 0.05


@final
class Chance:
    """Tests the mean of a slice's values against that of the other rows.

    Values of 0 and 1 are tested by Fisher's exact test, on the hypergeometric distribution. The
    mean of others over all subsets of the size of the slice is taken to follow Pearson's type III
    distribution with the same mean, variance and skewness (Mielke and Berry, Permutation Methods,
    2007).

    Rows of a group resemble each other. So numbers of rows are divided by the design effect, the
    factor by which groups widen the variance of the difference (Rao and Scott, A simple method
    for the analysis of clustered binary data, Biometrics 1992); it is 1 at least.
    """

    def __init__(self, values: Floats, unit: Integers | None = None) -> None:
        """Prepare all rows.

        Args:
            values: (n,) the value of each row; three rows or more.
            unit: (n,) the number of the group of each row; None if there are no groups.
        """
        self._values, self._unit = values, unit
        self._away = values - values.mean()
        self._variance = float((self._away**2).mean())
        self._binary = bool(np.isin(values, (0, 1)).all())
        units = 0 if unit is None else int(unit.max()) + 1
        self._of_units = np.zeros(0) if unit is None else np.bincount(unit, self._away, units)

    def p_values(self, slices: Sequence[Integers]) -> Floats:
        """Two-sided: how likely a difference as large is between random rows and the rest.

        Args:
            slices: for each slice the positions of its rows, some but not all.

        Returns:
            (slices,) twice the smaller tail, 1 at most.
        """
        if self._variance < 1e-24 or not slices:
            return np.ones(len(slices))
        sizes = np.array([len(rows) for rows in slices], dtype=np.float64)
        sums = np.array([self._values[rows].sum() for rows in slices])
        effects = np.array([self._design_effect(rows) for rows in slices])
        tails = self._exact if self._binary else self._by_moments
        return np.asarray(np.minimum(1, 2 * np.minimum(*tails(sizes, sums, effects))))

    def _design_effect(self, rows: Integers) -> float:
        if self._unit is None:
            return 1.0
        m, rest, units = len(rows), len(self._values) - len(rows), len(self._of_units)
        inside = np.bincount(self._unit[rows], self._away[rows], units)
        difference = inside / m - (self._of_units - inside) / rest
        between = float((difference**2).sum()) * units / max(units - 1, 1)
        return max(1.0, between / (self._variance * (1 / m + 1 / rest)))

    def _exact(self, sizes: Floats, sums: Floats, effects: Floats) -> tuple[Floats, Floats]:
        """Both tails of the hypergeometric distribution."""
        from scipy.stats import hypergeom

        others, others_right = len(self._values) - sizes, self._values.sum() - sums
        cells = (sums, sizes - sums, others_right, others - others_right)
        right, wrong, right_beside, wrong_beside = (np.rint(cell / effects) for cell in cells)
        all_right, drawn = right + right_beside, right + wrong
        rows = drawn + right_beside + wrong_beside
        return (
            hypergeom.cdf(right, rows, all_right, drawn),
            hypergeom.sf(right - 1, rows, all_right, drawn),
        )

    def _by_moments(self, sizes: Floats, sums: Floats, effects: Floats) -> tuple[Floats, Floats]:
        """Both tails of Pearson's type III distribution."""
        from scipy.stats import pearson3

        n, rests = len(self._values), len(self._values) - sizes
        spread = np.sqrt(self._variance / sizes * rests / (n - 1) * effects)
        skewness = float((self._away**3).mean()) / self._variance**1.5
        of_mean = skewness * (n - 2 * sizes) / (n - 2) * np.sqrt((n - 1) / sizes / rests * effects)
        seen = (sums / sizes - self._values.mean()) / spread
        return pearson3.cdf(seen, of_mean), pearson3.sf(seen, of_mean)


def corrected(p_values: Floats) -> Floats:
    """P-values corrected for their number by Holm's method.

    Whatever the tests have to do with each other, the probability that any difference is named
    that chance alone has made is 5% at most (Holm, A simple sequentially rejective multiple test
    procedure, Scandinavian Journal of Statistics 1979).
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    raised = np.empty(len(order))
    raised[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return raised


MEANS: Final = ("accuracy", "samples_f1", "subset_accuracy", "log_loss")
"""Metrics that are a mean over rows, so that of a slice does not hang on which labels it has."""
_RESAMPLES: Final = 1000
_UNKNOWN: Final = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Contrasted:
    """A slice beside the rest.

    Attributes:
        score: the metric on the slice.
        difference: the metric on the slice less that on the rest.
        p_value: two-sided, of the difference, not corrected for other slices.
    """

    score: Score
    difference: Score
    p_value: float


@final
class Contrast:
    """Compares slices with the other rows; what all slices share is computed once.

    Intervals are bootstrap intervals, the score's as `evaluate` gives them and the difference's
    of percentiles; where there are groups, these are drawn as a whole. See `Chance` for the
    p-value. It tests the mean over rows of what a row adds to the metric: its own value where the
    metric is a mean over rows, else its pseudo-value, which says how much it pulls the metric of
    all rows (Tukey 1958, the jackknife).
    """

    def __init__(self, predictions: Predictions, metric: CountMetric, seed: int = 0) -> None:
        """Prepare all rows.

        Args:
            predictions: the n rows, two or more.
            metric: what to compare; see `metric_of_slices`.
            seed: seed of the bootstrap.
        """
        self._tally, self._metric, values = _tallied(predictions, metric)
        draws = resample(predictions, _RESAMPLES, seed)
        self._unit, self._units = draws.unit, draws.units
        self._weights = np.ascontiguousarray(draws.weights.T, dtype=np.float32)
        of_units = _sums(draws.unit, self._tally, draws.units)
        self._total = of_units.sum(axis=0)
        self._drawn = self._draw(np.arange(draws.units), of_units)
        self._chance = Chance(values, None if predictions.groups is None else draws.unit)

    def of(self, slices: Sequence[Integers]) -> list[Contrasted]:
        """Compare slices.

        Args:
            slices: for each the positions of its rows, some but not all.
        """
        p_values = self._chance.p_values(slices)
        return [
            Contrasted(*self._scores(rows), float(p_value))
            for rows, p_value in zip(slices, p_values, strict=True)
        ]

    def _scores(self, rows: Integers) -> tuple[Score, Score]:
        """The metric on a slice, and the difference to the rest."""
        touched, unit = np.unique(self._unit[rows], return_inverse=True)
        of_units = _sums(unit, self._tally[rows], len(touched))
        own, drawn = of_units.sum(axis=0), self._draw(touched, of_units)
        value, rest = (float(self._metric.value(sums)) for sums in (own, self._total - own))
        ends = gap = _UNKNOWN
        if len(touched) > 1:
            replicates = self._metric.value(drawn)
            ends = interval(value, replicates, self._metric.value(own - of_units))
            if self._metric.proportion:
                ends = widened(*ends, len(touched))
            of_rest = self._metric.value(self._drawn - drawn)
            gap = percentiles(replicates - of_rest, self._units)
        m = len(rows)
        return Score(value, *ends, m), Score(value - rest, *gap, m)

    def _draw(self, units: Integers, of_units: Floats) -> Floats:
        """Sums over the given units in every resample, (resamples, m)."""
        return np.asarray(self._weights[units].T @ of_units.astype(np.float32), dtype=np.float64)


def metric_of_slices(scheme: LabelScheme, asked: str | None, of_run: str) -> CountMetric:
    """The metric to compare slices by.

    Args:
        scheme: the labels.
        asked: name of the metric that is asked for, if one is.
        of_run: that of the run, taken if it is a mean over rows. If not, accuracy is, or samples
            F1: macro F1 of a slice, say, hangs on which labels happen to be in it.

    Raises:
        UnknownNameError: there is no metric of that name.
        RecipeError: it makes no sense for the label scheme, or for parts of the rows.
    """
    usual = of_run if of_run in MEANS else next(m for m in MEANS if m in applicable(scheme))
    metric = metric_for(asked or usual, scheme)
    if not isinstance(metric, CountMetric):
        raise RecipeError(f"the metric {asked!r} is not for slices; use {usual!r}, for one")
    return metric


def _tallied(predictions: Predictions, metric: CountMetric) -> tuple[Floats, CountMetric, Floats]:
    """What each row adds to sums, (n, m), the metric of such sums, and the value of each row."""
    n = len(predictions)
    tally = metric.tally(predictions, Resampling(np.arange(n), np.zeros((0, n), dtype=np.uint8)))
    if metric.name in MEANS:
        values = metric.value(tally)
        mean = replace(metric, value=lambda sums: ratio(sums[..., 1], sums[..., 0]))
        return np.stack([np.ones(n), values], axis=1), mean, values
    total = tally.sum(axis=0)
    value = metric.value(total)
    pseudo = n * value - (n - 1) * metric.value(total - tally)
    return tally, metric, np.where(np.isfinite(pseudo), pseudo, value)


def _sums(unit: Integers, values: Floats, units: int) -> Floats:
    """Sums over the rows of each unit, (units, m)."""
    if len(unit) == units and np.array_equal(unit, np.arange(units)):
        return values
    return np.stack([np.bincount(unit, of, units) for of in values.T], axis=1)


_FLOATS: Final = ("value", "low", "high")


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common, beside all others.

    Attributes:
        kind: "length", "cut", "group", "label", "language", "token" or "column:NAME".
        name: which one of its kind.
        rows: how many.
        score: the metric on them.
        difference: the metric on them less that on the other rows.
        p_value: two-sided, of the difference; corrected for all slices looked at (Holm).
        worse: whether the slice is significantly worse: p below 0.05, and behind.
    """

    kind: str
    name: str
    rows: int
    score: Score
    difference: Score
    p_value: float
    worse: bool

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Slice:
        """From JSON values; raises a KeyError or TypeError if they are not those of a slice."""
        scores = {name: _score(values[name]) for name in ("score", "difference")}
        return cls(**{**values, **scores})


@dataclass(frozen=True)
class Slices:
    """All slices that were looked at.

    Attributes:
        method: the rung, or the name of a table.
        part: which rows: "validation" or "test"; None of a table that does not say.
        metric: name of the metric.
        looked_at: how many slices were looked at.
        slices: them, from the one that is most surely worse to the one most surely better.
        languages_by: what told the languages, "py3langid" or "script"; None if no slice is of one.
    """

    method: str
    part: str | None
    metric: str
    looked_at: int
    slices: tuple[Slice, ...]
    languages_by: Teller | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values; None for the end of an interval that is not defined."""
        values: dict[str, Any] = finite(asdict(self))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Slices:
        """The inverse of `to_json`.

        Raises:
            RunError: a key is missing, or a value is not of the kind it should be.
        """
        try:
            return cls(**{**values, "slices": tuple(map(Slice.from_json, values["slices"]))})
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"the slices kept of the run cannot be read: {error!r}") from None


def find_slices(
    predicted: Predicted,
    by: Sequence[str] | None = None,
    metric: str | None = None,
    tokens: Sequence[str] = (),
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> Slices:
    """Compare the rows of many slices with the other rows, and say where they are worse.

    A slice has at least ten rows and at least ten beside it. Lengths and numbers are taken in
    quarters; of tokens, groups and values the 300 most frequent. The language of a text is told
    by py3langid, or by its script alone where that is not installed.

    Args:
        predicted: predictions of the rows of one part, as `open_predicted` gives them.
        by: kinds of slices out of "length", "cut" (texts longer than what the model reads, of
            rungs of a run that have an encoder), "group", "label", "language" and "token"; by
            default all that there can be.
        metric: what to compare. By default that of the run if it is a mean over rows, else
            accuracy, or samples F1 where a row can have several labels: what macro F1 of a slice
            is hangs on which labels happen to be in it.
        tokens: words, signs or phrases to look for besides the frequent ones.
        columns: name of a further column to its values, one for each row; see
            `finetext.data.read.source_columns`.

    Raises:
        UnknownNameError: there is no kind or metric of that name.
        RecipeError: the metric makes no sense for the label scheme, or for parts of the rows.
        DataError: there are no texts or groups that a kind needs, or a token that was named is in
            too few rows.
    """
    predictions = predicted.predictions
    unknown = next((kind for kind in by or () if kind not in KINDS), None)
    if unknown is not None:
        raise UnknownNameError("kind of slice", unknown, KINDS)
    chosen = metric_of_slices(predictions.scheme, metric, predicted.metric)
    kinds = usual_kinds(predicted) if by is None else by
    found = list(candidates(predicted, kinds, tokens, columns))
    seen = _contrasted(predictions, chosen, found)
    return Slices(
        method=predicted.method or predicted.name,
        part=predicted.part,
        metric=chosen.name,
        looked_at=len(found),
        slices=_ranked(found, seen, chosen.higher_is_better),
        languages_by=teller() if any(each.kind == "language" for each in found) else None,
    )


def _contrasted(
    predictions: Predictions, metric: CountMetric, found: Sequence[Candidate]
) -> list[Contrasted]:
    """Each slice beside the rest; of a single group the rows are what chance draws."""
    if not found:
        return []
    clustered = Contrast(predictions, metric).of([s.rows for s in found if s.kind != "group"])
    if predictions.groups is None:
        return clustered
    alone = Contrast(replace(predictions, groups=None), metric)
    groups = iter(alone.of([s.rows for s in found if s.kind == "group"]))
    others = iter(clustered)
    return [next(groups if slice_.kind == "group" else others) for slice_ in found]


def _ranked(
    found: Sequence[Candidate], contrasted: Sequence[Contrasted], higher_is_better: bool
) -> tuple[Slice, ...]:
    """The slices with corrected p-values, from surely worse to surely better."""
    ranked = []
    p_values = corrected(np.array([seen.p_value for seen in contrasted]))
    for slice_, seen, p_value in zip(found, contrasted, map(float, p_values), strict=True):
        gap = seen.difference.value
        behind = gap < 0 if higher_is_better else gap > 0
        scores = (len(slice_.rows), seen.score, seen.difference, p_value)
        said = Slice(slice_.kind, slice_.name, *scores, worse=behind and p_value < SIGNIFICANT)
        evidence = (False, seen.p_value) if behind else (True, -seen.p_value)
        ranked.append((evidence, said))
    return tuple(said for _, said in sorted(ranked, key=lambda pair: pair[0]))


def _score(values: Mapping[str, Any]) -> Score:
    """A score from JSON values, where what is not defined is None."""
    ends = {name: float("nan") if values[name] is None else float(values[name]) for name in _FLOATS}
    return Score(**ends, n=int(values["n"]))
