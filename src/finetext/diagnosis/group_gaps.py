"""Gaps between groups of rows in false-positive and false-negative rates, such as by dialect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Final, Literal

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers, Number
from finetext.core.errors import DataError
from finetext.core.types import Predicted, Predictions, Score
from finetext.core.wording import counted
from finetext.diagnosis.slicing import COLUMN, FEWEST_ROWS, candidates
from finetext.evaluation.estimates import POWER, SIGNIFICANT, Estimate, of_units
from finetext.evaluation.proportions import score_interval
from finetext.evaluation.several import holm
from finetext.storage.codec import Jsonable

MOST_VALUES: Final = 10
"""Most values that are compared; the rows of all others are counted together."""
OTHER: Final = "(other)"
AIM: Final = 0.1
"""The gap for which the number of rows needed is stated."""
Kind = Literal["false positives", "false negatives"]
KINDS: Final[tuple[Kind, ...]] = ("false positives", "false negatives")


@dataclass(frozen=True)
class ProportionGap(Estimate):
    """The difference of two proportions of rows that have nothing in common.

    Bounds and p-value are of the adjusted proportions, with one more success and one more failure
    in each, so that they hold for few rows and for proportions of 0 and 1.

    Source: Agresti and Caffo, Simple and effective confidence intervals for proportions, The
    American Statistician, 2000.

    Attributes:
        center: the difference of the adjusted proportions.
    """

    center: float = 0.0

    @classmethod
    def of(cls, a: int, of_a: int, b: int, of_b: int) -> ProportionGap:
        """Return `a` of `of_a` rows minus `b` of `of_b` rows."""
        first, second = (a + 1) / (of_a + 2), (b + 1) / (of_b + 2)
        variance = first * (1 - first) / (of_a + 2) + second * (1 - second) / (of_b + 2)
        units = min(of_a, of_b)
        return cls(a / of_a - b / of_b, math.sqrt(variance), math.inf, units, center=first - second)

    def lower(self, level: float = 0.05) -> float:
        """See `Estimate.lower`."""
        return max(-1.0, self._centered().lower(level))

    def upper(self, level: float = 0.05) -> float:
        """See `Estimate.upper`."""
        return min(1.0, self._centered().upper(level))

    def tail(self, at: float = 0.0) -> float:
        """See `Estimate.tail`."""
        return self._centered().tail(at)

    def negated(self) -> ProportionGap:
        """See `Estimate.negated`."""
        return replace(self, value=-self.value, center=-self.center)

    def _centered(self) -> Estimate:
        return Estimate(self.center, self.error, self.freedom, self.units)


@dataclass(frozen=True)
class GroupRate:
    """An error rate of one class among the rows with one value.

    Attributes:
        wrong: number of errors.
        rate: errors over `rate.n`, the rows that could be such an error, with its 95% interval.
        compared: whether there are ten such rows or more, from two groups or more if there are
            groups, so that it is compared with others.
        groups: number of groups that these rows are from; None if there are no groups.
    """

    value: str
    wrong: int
    rate: Score
    compared: bool
    groups: int | None = None


@dataclass(frozen=True)
class RateGap:
    """The rates of one kind of error of one class, and the largest gap between two values.

    Attributes:
        label: the class.
        kind: "false positives" (share of the rows without the label that are given it) or "false
            negatives" (share of the rows with the label that are not).
        rates: the rate for each value, those of most rows first.
        higher: the value with the highest rate; None if fewer than two values can be compared.
        lower: the value with the lowest rate.
        gap: the difference of the two, the largest that is shown, if any; its 95% interval is at
            the level of the correction, so it leaves 0 out exactly if the gap is shown.
        p_value: two-sided, corrected for all gaps (Holm).
        shown: whether p is below 0.05.
        rows_needed: rows of each of the two values that could be such an error, for a gap of 0.1
            to be shown in four of five cases.
    """

    label: str
    kind: Kind
    rates: tuple[GroupRate, ...]
    higher: str | None = None
    lower: str | None = None
    gap: Score | None = None
    p_value: Number | None = None
    shown: bool = False
    rows_needed: int | None = None


@dataclass(frozen=True)
class GroupGaps(Jsonable):
    """Gaps between the values of a column in false-positive and false-negative rates.

    Attributes:
        column: its name.
        values: value to rows, most first; values of few rows are together as "(other)".
        tested: number of gaps that were tested, between any two values.
        gaps: for each class and kind of error; of two classes, for the positive class alone.
        grouped: whether intervals rest on groups of rows.
    """

    column: str
    values: dict[str, int]
    tested: int
    gaps: tuple[RateGap, ...]
    grouped: bool = False


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two values to compare: the place of the rates, the names, and their difference."""

    place: int
    names: tuple[str, str]
    gap: Estimate
    sizes: tuple[int, int]


def find_group_gaps(predictions: Predictions, values: Sequence[Any], column: str) -> GroupGaps:
    """Return how error rates differ between the values of a column, one value for each row.

    Every two values with ten rows or more are compared, for each class and kind of error. The
    intervals of rates are those of Wilson (JASA 1927), and by jackknife over groups where the
    predictions have groups, as are the gaps. Rows of a single group are not compared: the group may
    be what makes them differ. Numbers of many values are divided into quarters.

    Raises:
        DataError: fewer than two values have ten rows or more.
    """
    parts = _parts(predictions, values, column)
    scheme, truth, given = predictions.scheme, predictions.targets, predictions.decisions
    if not scheme.multilabel:
        truth, given = (of[:, None] == np.arange(len(scheme)) for of in (truth, given))
    columns = [scheme.positive_column] if scheme.is_binary else range(len(scheme))
    unit = None
    if predictions.groups is not None:
        unit = np.unique(predictions.groups, return_inverse=True)[1]
    gaps, pairs = list[RateGap](), list[_Pair]()
    for at in columns:
        for kind in KINDS:
            has = truth[:, at].astype(bool)
            could = has if kind == "false negatives" else ~has
            cases = _Cases(could, given[:, at].astype(bool) != has, unit)
            rates = tuple(cases.rate(name, rows) for name, rows in parts.items())
            compared = [each.value for each in rates if each.compared and each.value != OTHER]
            pairs += [
                cases.pair(len(gaps), (a, b), (parts[a], parts[b]))
                for a, b in combinations(compared, 2)
            ]
            gaps.append(RateGap(scheme.names[at], kind, rates))
    p_values = holm([pair.gap.p_value() for pair in pairs])
    for place, gap in enumerate(gaps):
        own = [(p, pair) for p, pair in zip(p_values, pairs, strict=True) if pair.place == place]
        if own:
            largest = max(own, key=lambda one: (one[0] < SIGNIFICANT, abs(one[1].gap.value)))
            gaps[place] = _with_largest(gap, *largest, len(pairs))
    sizes = {name: len(rows) for name, rows in parts.items()}
    return GroupGaps(column, sizes, len(pairs), tuple(gaps), unit is not None)


def _parts(predictions: Predictions, values: Sequence[Any], column: str) -> dict[str, Integers]:
    """Return value to rows; values of few rows, and all beyond the largest ten, as one."""
    known = Predicted(column, predictions, None, "")
    found = sorted(candidates(known, (), (), {column: values}), key=lambda of: -len(of.rows))
    parts = {each.name: each.rows for each in found[:MOST_VALUES]}
    rest = np.ones(len(predictions), dtype=bool)
    for rows in parts.values():
        rest[rows] = False
    if len(parts) < 2:
        raise DataError(
            f"{column.removeprefix(COLUMN)!r} has fewer than two values with {FEWEST_ROWS} rows "
            f"each, of {counted(len(predictions), 'row')} in all, so no groups can be "
            "compared; name a column with fewer values, or more rows"
        )
    return parts | ({OTHER: np.flatnonzero(rest)} if rest.any() else {})


@dataclass(frozen=True, eq=False)
class _Cases:
    """Which of n rows could be an error of a kind, which are wrong, and their groups if any."""

    could: Booleans
    wrong: Booleans
    unit: Integers | None

    def rate(self, name: str, rows: Integers) -> GroupRate:
        cases = rows[self.could[rows]]
        n, wrong = len(cases), int(self.wrong[cases].sum())
        rate, groups = wrong / n if n else math.nan, None
        if self.unit is not None:
            groups = len(np.unique(self.unit[cases]))
        low, high = score_interval(rate, n if groups is None else groups)
        if groups is not None and groups > 1 and 0 < wrong < n:
            low, high = self._without(cases).interval()
            low, high = max(0.0, low), min(1.0, high)
        compared = n >= FEWEST_ROWS and (groups is None or groups > 1)
        return GroupRate(name, wrong, Score(rate, low, high, n), compared, groups)

    def pair(self, place: int, names: tuple[str, str], rows: tuple[Integers, Integers]) -> _Pair:
        a, b = (each[self.could[each]] for each in rows)
        gap: Estimate = ProportionGap.of(*self._counts(a), *self._counts(b))
        if self.unit is not None:
            clustered = self._without(a, b)
            if clustered.error > gap.error:  # a jackknife of rare errors may see no variance
                gap = clustered
        return _Pair(place, names, gap, (len(a), len(b)))

    def _counts(self, rows: Integers) -> tuple[int, int]:
        """Return how many are wrong, of how many: of groups if all rows are alike."""
        n, wrong = len(rows), int(self.wrong[rows].sum())
        if self.unit is None or 0 < wrong < n:
            return wrong, n
        groups = len(np.unique(self.unit[rows]))
        return groups if wrong else 0, groups

    def _without(self, a: Integers, b: Integers | None = None) -> Estimate:
        """Return a rate, or the difference of two, with its jackknife error over groups."""
        assert self.unit is not None
        both = a if b is None else np.concatenate([a, b])
        number = np.unique(self.unit[both], return_inverse=True)[1]
        units = int(number.max()) + 1
        value, without = self._left_out(a, number[: len(a)], units)
        if b is not None:
            other, left = self._left_out(b, number[len(a) :], units)
            value, without = value - other, without - left
        return of_units(value, without)

    def _left_out(self, rows: Integers, number: Integers, units: int) -> tuple[float, Floats]:
        counts = np.bincount(number, minlength=units)
        wrong = np.bincount(number, self.wrong[rows], units)
        rest = counts.sum() - counts
        left = np.where(rest > 0, (wrong.sum() - wrong) / np.maximum(rest, 1), np.nan)
        return float(wrong.sum() / counts.sum()), left


def _with_largest(gap: RateGap, p_value: float, pair: _Pair, tested: int) -> RateGap:
    """Return the rates with the largest gap, its corrected interval, and the rows needed."""
    from scipy.special import ndtri

    estimate, (higher, lower) = pair.gap, pair.names
    alone = estimate.p_value()
    level = SIGNIFICANT * alone / p_value if 0 < p_value < 1 else SIGNIFICANT / tested
    low, high = estimate.interval(1 - level)
    value = estimate.value
    if value < 0:
        value, low, high, higher, lower = -value, -high, -low, lower, higher
    factor = float(ndtri(1 - SIGNIFICANT / tested / 2) + ndtri(POWER))
    per_row = estimate.error**2 * 2 / (1 / (pair.sizes[0] + 2) + 1 / (pair.sizes[1] + 2))
    return replace(
        gap,
        higher=higher,
        lower=lower,
        gap=Score(value, low, high, min(pair.sizes)),
        p_value=p_value,
        shown=p_value < SIGNIFICANT,
        rows_needed=math.ceil((factor / AIM) ** 2 * per_row),
    )
