"""Several classifiers on the same rows, compared pair by pair, with corrected p-values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Final

import numpy as np

from finetext.core.display import ShownInNotebook
from finetext.core.errors import DataError, UnknownNameError
from finetext.core.types import Predictions, Score
from finetext.core.wording import counted
from finetext.evaluation.compare import Comparison, compare, discordant
from finetext.evaluation.estimates import POWER, SIGNIFICANT
from finetext.evaluation.fold_scores import FoldPredictions, compare_on
from finetext.evaluation.intervals import evaluate
from finetext.evaluation.metrics import metric_for
from finetext.storage.codec import to_json

_SHOWN: Final = 3


@dataclass(frozen=True)
class Pair:
    """The classifier `a` minus the classifier `b`.

    Attributes:
        corrected: the p-value, corrected for the number of comparisons by `holm`.
        smallest: see `smallest_difference`; None where it is undefined.
        only_a: rows that only the first has right; `only_b` likewise.
    """

    a: str
    b: str
    comparison: Comparison
    corrected: float
    smallest: float | None
    only_a: int
    only_b: int


@dataclass(frozen=True)
class Several(ShownInNotebook):
    """Sets of predictions of the same rows, compared pair by pair.

    Attributes:
        groups: number of groups, drawn as a whole; None where there are none.
        scores: name to the metric with its 95% interval, in the order given.
        pairs: every pair, or every other set against one.
        positive: the positive class; None if there are not two classes.
        repeats: the fewest repeats of cross-validation of a method.
        repeats_of: name to the repeats that its score is a mean over, if cross-validated; a
            difference is a mean over those that both have.
    """

    metric: str
    higher_is_better: bool
    rows: int
    groups: int | None
    scores: dict[str, Score]
    pairs: tuple[Pair, ...]
    positive: str | None = None
    repeats: int = 1
    repeats_of: Mapping[str, int] = field(default_factory=dict)

    def better(self, pair: Pair) -> str | None:
        """The one that is significantly better after correction, or None."""
        value = pair.comparison.difference.value
        if not pair.corrected < SIGNIFICANT or not math.isfinite(value) or value == 0:
            return None
        return pair.a if (value > 0) == self.higher_is_better else pair.b

    def verdict(self, pair: Pair) -> str:
        """The result of a comparison in plain words."""
        better = self.better(pair)
        if better is not None:
            return f"{better} is better than {pair.b if better == pair.a else pair.a}"
        if not pair.only_a + pair.only_b and pair.comparison.difference.value == 0:
            return "equal on every row"
        words = "no difference could be shown"
        if pair.comparison.p_value < SIGNIFICANT:
            words += f" in {len(self.pairs)} comparisons"
        if pair.smallest is None:
            return words
        return f"{words}; these rows could have shown one of {pair.smallest:.2g}"

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, with the verdict on each pair; what is undefined is null."""
        values: dict[str, Any] = to_json(self)
        for pair, written in zip(self.pairs, values["pairs"], strict=True):
            written |= {"better": self.better(pair), "verdict": self.verdict(pair)}
        return values


def compare_all(
    predictions: Mapping[str, Predictions],
    metric: str = "macro_f1",
    against: str | None = None,
    seed: int = 0,
    positive: str | None = None,
) -> Several:
    """Compare several sets of predictions of the same rows, pair by pair.

    Each pair is compared as by `finetext.compare`; p-values are corrected for the number of pairs.
    Rows and labels in another order are brought into the order of the first set.

    Args:
        predictions: name to predictions, at least two.
        metric: name of the metric.
        against: the set that every other is compared with; every pair by default.
        seed: seed of the bootstrap intervals of the scores.
        positive: the positive class of binary metrics; by default the one that a set names, else
            that of the label scheme of the first set.

    Raises:
        DataError: there are fewer than two sets, they are not about the same rows and labels, or
            there are no rows; there is no such class of two, or two sets name different ones.
        UnknownNameError: there is no metric, or no set of predictions, of that name.
        RecipeError: the metric does not apply to the label scheme.
    """
    if len(predictions) < 2:
        raise DataError("a comparison needs at least two sets of predictions")
    if against is not None and against not in predictions:
        raise UnknownNameError("set of predictions", against, predictions)
    aligned = on_same_rows(predictions, positive, metric)
    some = next(iter(aligned.values()))
    higher = metric_for(metric, some.scheme).higher_is_better
    names = list(combinations(aligned, 2))
    if against is not None:
        names = [(name, against) for name in aligned if name != against]
    found = [compare(aligned[a], aligned[b], metric, seed) for a, b in names]
    groups = None if some.groups is None else len(set(some.groups))
    pairs = _corrected(names, found, [discordant(aligned[a], aligned[b]) for a, b in names])
    scores = {name: evaluate(of, seed, metrics=[metric])[metric] for name, of in aligned.items()}
    of = some.scheme.positive_class
    return Several(metric, higher, len(some), groups, scores, pairs, of)


def compare_folds(
    folds: Mapping[str, FoldPredictions], metric: str = "macro_f1", against: str | None = None
) -> Several:
    """Compare cross-validated methods, two at least, on the same folds of all repeats.

    Scores, differences and p-values are those of the leaderboard of a run, but corrected for the
    number of pairs. Raises as `compare_all`.
    """
    some = next(iter(folds.values()))
    chosen = metric_for(metric, some.scheme)
    names = list(combinations(folds, 2))
    if against is not None:
        if against not in folds:
            raise UnknownNameError("set of predictions", against, folds)
        names = [(name, against) for name in folds if name != against]
    found = [compare_on(folds[a], folds[b], metric, 0) for a, b in names]
    pairs = _corrected(names, found, [_mean_discordant(folds[a], folds[b]) for a, b in names])
    scores = {name: of.score(metric) for name, of in folds.items()}
    groups = some.units if some.units < some.rows else None
    repeats = {name: len(of.repeats) for name, of in folds.items()}
    of = some.scheme.positive_class
    return Several(
        metric, chosen.higher_is_better, some.rows, groups, scores, pairs, of,
        min(repeats.values()), repeats,
    )  # fmt: skip


def _mean_discordant(a: FoldPredictions, b: FoldPredictions) -> tuple[int, int]:
    """Return how many rows only one of two has right, as rounded means over the repeats."""
    only = [discordant(one, other) for one, other in zip(a.given(), b.given(), strict=False)]
    first, second = np.mean(only, axis=0)
    return round(float(first)), round(float(second))


def _corrected(
    names: Sequence[tuple[str, str]],
    found: Sequence[Comparison],
    only: Sequence[tuple[int, int]],
) -> tuple[Pair, ...]:
    """Return the pairs with p-values that are corrected for their number."""
    corrected = holm([comparison.p_value for comparison in found])
    return tuple(
        Pair(*pair, of, p_value, smallest_difference(of.standard_error, len(names)), *alone)
        for pair, of, p_value, alone in zip(names, found, corrected, only, strict=True)
    )


def on_same_rows(
    predictions: Mapping[str, Predictions], positive: str | None = None, metric: str = "binary_f1"
) -> dict[str, Predictions]:
    """Return the sets with rows and labels in the order of the first, and one positive class.

    That is the one asked for, else the one that some set names.

    Raises:
        DataError: the sets are not about the same rows and labels; or they name different positive
            classes, and the metric is about one.
    """
    aligned = align(predictions)
    named = {of.scheme.positive: name for name, of in predictions.items() if of.scheme.positive}
    scheme = next(iter(aligned.values())).scheme
    if positive is None and len(named) > 1 and metric_for(metric, scheme).of_positive_class:
        said = " and ".join(f"{label!r} in {name}" for label, name in named.items())
        raise DataError(f"the positive class is {said}; choose one with --positive")
    chosen = next(iter(named), None) if positive is None else positive
    scheme = scheme.with_positive(chosen)
    return {name: replace(of, scheme=scheme) for name, of in aligned.items()}


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values so that the chance of any false positive is at most 5%.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat., 1979.
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given)
    raised = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(raised, 1.0)
    return [float(value) for value in corrected]


def smallest_difference(standard_error: float | None, comparisons: int = 1) -> float | None:
    """Return the minimum detectable difference, without sign, at a power of 80%.

    Two-sided at 5% / comparisons (Bloom, Minimum detectable effects, Evaluation Review, 1995).
    None where the standard error is zero or undefined.
    """
    from scipy.special import ndtri

    if not standard_error:
        return None
    level = SIGNIFICANT / comparisons
    return float(ndtri(1 - level / 2) + ndtri(POWER)) * standard_error


def align(predictions: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """Return the same predictions, with rows and labels in the order of the first set."""
    (first, wanted), *others = predictions.items()
    aligned = {first: wanted}
    for name, given in others:
        names = (first, name)
        aligned[name] = _in_row_order(wanted, _in_label_order(wanted, given, names), names)
    groups = next((p.groups for p in aligned.values() if p.groups is not None), None)
    for name, given in aligned.items():
        if given.groups is None:
            aligned[name] = replace(given, groups=groups)
        elif given.groups != groups:
            raise DataError(f"{name} has other groups than the sets of predictions before it")
    return aligned


def _in_label_order(wanted: Predictions, given: Predictions, names: tuple[str, str]) -> Predictions:
    """The predictions with their columns in the order of another set."""
    if wanted.scheme.multilabel != given.scheme.multilabel:
        several, one = names if wanted.scheme.multilabel else names[::-1]
        raise DataError(f"in {several} a row can have several labels, in {one} it has one")
    if wanted.scheme == given.scheme:
        return given
    ours, theirs = wanted.scheme.names, given.scheme.names
    if set(ours) != set(theirs):
        raise DataError(
            f"{names[0]} and {names[1]} do not have the same labels: "
            + _only_in(names, ours, theirs, "label")
        )
    order = [given.scheme.index[name] for name in ours]
    decision = given.decision.in_order(order)
    likely, targets = given.probabilities[:, order], given.targets
    targets = targets[:, order] if targets.ndim == 2 else np.argsort(order)[targets]
    return replace(
        given, scheme=wanted.scheme, targets=targets, probabilities=likely, decision=decision
    )


def _in_row_order(wanted: Predictions, given: Predictions, names: tuple[str, str]) -> Predictions:
    """The predictions with their rows in the order of another set."""
    if wanted.ids != given.ids:
        place = {row_id: row for row, row_id in enumerate(given.ids)}
        if len(wanted) != len(given) or not place.keys() >= set(wanted.ids):
            raise DataError(
                f"{names[0]} and {names[1]} are not about the same rows: "
                + _only_in(names, wanted.ids, given.ids, "id")
            )
        given = given.select([place[row_id] for row_id in wanted.ids])
    differ = wanted.targets != given.targets
    wrong = np.flatnonzero(differ.any(axis=1) if differ.ndim == 2 else differ)
    if len(wrong):
        row = int(wrong[0])
        ours, theirs = (p.scheme.decode(p.targets[row : row + 1])[0] for p in (wanted, given))
        some = ", ".join(repr(wanted.ids[row]) for row in wrong[:_SHOWN])
        raise DataError(
            f"{names[0]} and {names[1]} disagree on the true labels of "
            f"{counted(len(wrong), 'row')} ({some}): "
            f"{wanted.ids[row]!r} is {ours!r} in the first and {theirs!r} in the second"
        )
    return given


def _only_in(names: tuple[str, str], ours: Sequence[str], theirs: Sequence[str], what: str) -> str:
    """Counts and examples of what only one of two sets has."""
    parts = []
    for name, own, other in ((names[0], ours, set(theirs)), (names[1], theirs, set(ours))):
        alone = [each for each in own if each not in other]
        if alone:
            some = ", ".join(map(repr, alone[:_SHOWN]))
            parts.append(f"only in {name} {counted(len(alone), what)} ({some})")
    return f"{'; '.join(parts)}; in both {counted(len(set(ours) & set(theirs)), what)}"
