"""What a learning curve says: scores on growing shares of the labels, and what more would bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from finetext.core.arrays import Integers, finite
from finetext.core.errors import DataError, RecipeError, RunError
from finetext.core.types import Dataset, Score
from finetext.core.wording import counted
from finetext.evaluation.compare import Comparison

FEWEST_ROWS: Final = 25
FEWEST_OF_A_CLASS: Final = 2
FEWEST_GROUPS: Final = 4
RATIO: Final = 2.0
"""How many times larger each share is than the one before, at most."""


@dataclass(frozen=True, eq=False)
class NestedShares:
    """The training rows in an order of which every beginning is a share.

    A beginning has each class in its proportion, and as soon as there is room two rows of each.
    The units of the order are rows, or whole groups where the data have groups. Where a row can
    have several labels, the rarest of them counts as its class.

    Attributes:
        dataset: all training rows.
        order: positions of the rows, unit after unit.
        ends: rows in the first unit, in the first two, ...
    """

    dataset: Dataset
    order: Integers
    ends: Integers

    @classmethod
    def of(cls, dataset: Dataset, seed: int) -> NestedShares:
        """Draw an order.

        Args:
            dataset: labelled rows.
            seed: another seed gives other shares; that of all rows is always the same.
        """
        classes = _classes(dataset)
        member = _members(dataset)
        units = int(member.max()) + 1
        drawn = np.random.default_rng(seed).permutation(units)
        counts = np.zeros((units, int(classes.max()) + 1), dtype=np.int64)
        np.add.at(counts, (member, classes), 1)
        placed = _placed(counts[drawn])
        order = np.argsort(np.argsort(drawn[placed])[member], kind="stable")
        return cls(dataset, order, np.cumsum(counts.sum(axis=1)[drawn[placed]]))

    def share(self, size: int) -> Dataset:
        """The share of about `size` rows, in the order of the data: exact unless by group."""
        units = int(np.abs(self.ends - size).argmin())
        return self.dataset.select(np.sort(self.order[: self.ends[units]]))


def _placed(counts: Integers) -> Integers:
    """The units in their order: the first that give two rows of each class, then by proportion.

    Args:
        counts: (units, classes) rows of each class in each unit; in random order.
    """
    first: list[int] = []
    for column in np.argsort(counts.sum(axis=0), kind="stable"):
        lacking = FEWEST_OF_A_CLASS - int(counts[first, column].sum())
        for unit in np.flatnonzero(counts[:, column]):
            if lacking > 0 and int(unit) not in first:
                first.append(int(unit))
                lacking -= int(counts[unit, column])
    key = _evenly(counts.argmax(axis=1))
    key[first] -= 2.0
    return np.argsort(key, kind="stable")


def _evenly(strata: Integers) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Numbers from 0 to 1 that spread the units of each stratum evenly, in the order given."""
    key = np.zeros(len(strata))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        key[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return key


def _classes(dataset: Dataset) -> Integers:
    """(n,) the class of each row; of several labels the rarest, and one more class for none."""
    targets = dataset.targets
    if targets.ndim == 1:
        return np.unique(targets, return_inverse=True)[1]
    frequency = targets.sum(axis=0)
    rarest = np.where(targets == 1, frequency, len(targets) + 1).argmin(axis=1)
    rarest[~targets.any(axis=1)] = targets.shape[1]
    return np.unique(rarest, return_inverse=True)[1]


def _members(dataset: Dataset) -> Integers:
    """(n,) the unit of each row."""
    groups = dataset.groups
    if groups is None:
        return np.arange(len(dataset))
    return np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1]


def least_rows(dataset: Dataset) -> int:
    """Rows that the smallest share needs to have two of each class, and four groups or more."""
    groups = dataset.groups
    several = 0 if groups is None else -(-FEWEST_GROUPS * len(groups) // len(set(groups)))
    return max(FEWEST_OF_A_CLASS * (int(_classes(dataset).max()) + 1), several)


def default_sizes(dataset: Dataset, steps: int) -> tuple[int, ...]:
    """Sizes of shares in equal ratios, up to all rows.

    Each is twice the one before, or less where that would begin below 25 rows, or a quarter of
    them if that is fewer, or below what `least_rows` asks for.

    Args:
        dataset: the training rows.
        steps: how many sizes.

    Raises:
        DataError: there are too few rows for two shares.
    """
    rows = len(dataset)
    low = max(min(FEWEST_ROWS, rows // 4), least_rows(dataset))
    if rows < 2 * low:
        raise DataError(
            f"{counted(rows, 'training row')} are too few for a learning curve, whose smallest "
            f"share would have {low}; it takes {2 * low} or more"
        )
    low = max(low, round(rows / RATIO ** (steps - 1)))
    sizes = np.geomspace(low, rows, steps)
    return tuple(sorted({int(size) for size in np.round(sizes)}))


def checked_sizes(dataset: Dataset, sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes that were asked for, in rising order.

    Raises:
        RecipeError: one is larger than the training rows are many, or too small to have two of
            each class.
    """
    least = least_rows(dataset)
    for size in sizes:
        if size > len(dataset):
            raise RecipeError(
                f"a share of {size:,} rows is asked for, but there are "
                f"{counted(len(dataset), 'training row')}"
            )
        if size < least:
            kind = "class" if dataset.groups is None else "class and four groups"
            raise RecipeError(
                f"a share of {counted(size, 'row')} is too small: to have two of each {kind} it "
                f"takes {least}"
            )
    return tuple(sorted(set(sizes)))


Outlook = Literal["told", "perfect", "steepening", "too few"]
_MAY_BE_UNDEFINED = {"value", "low", "high", "p_value"}


@dataclass(frozen=True)
class Point:
    """How good a rung is when it has learnt from a share of the training rows.

    Attributes:
        labels: rows asked for.
        rows: rows there were, on average over the trainings; others where groups stay whole.
        score: mean over the trainings, with an interval for the chance in validation rows, in
            the choice of the share, and in training.
        scores: of each training.
        seconds: mean time to train.
    """

    labels: int
    rows: float
    score: Score
    scores: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Law:
    """The power law score(n) = limit - gap * n ** -rate; `gap` is negative if lower is better.

    Attributes:
        limit: the score that is neared.
        gap: see above.
        rate: see above.
        labels_from: the smallest share that it was fitted on.
    """

    limit: float
    gap: float
    rate: float
    labels_from: int


@dataclass(frozen=True)
class Expectation:
    """What a rung is expected to reach with more labels.

    Attributes:
        times: how many times as many as now.
        labels: how many that is.
        score: the score expected, with its 95% interval.
        gain: what that is more than now, with its 95% interval.
        shown: whether the whole interval of the gain is on the side of the better.
    """

    times: float
    labels: int
    score: Score
    gain: Score
    shown: bool


@dataclass(frozen=True)
class Drawn:
    """A place of the fitted line, for the picture."""

    labels: float
    score: Score


@dataclass(frozen=True)
class RungCurve:
    """The learning curve of one rung.

    Attributes:
        method: its name.
        points: one a share, the smallest first.
        outlook: "told"; or why nothing is said of more labels: "perfect", no row is left to gain;
            "steepening", each doubling still brings more than the one before; "too few" sizes or
            trainings.
        law: the power law that fits best, or None.
        expected: at 1.5, 2 and 4 times the labels; none unless told.
        line: the law with its 95% interval, from the labels there are to four times as many.
    """

    method: str
    points: tuple[Point, ...]
    outlook: Outlook
    law: Law | None = None
    expected: tuple[Expectation, ...] = ()
    line: tuple[Drawn, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Which rung is right with so many labels.

    Attributes:
        labels: how many.
        best: the rung with the best mean score.
        cheapest: the one that trains fastest among those not significantly worse.
        comparisons: rung to its difference from the best, paired over trainings and rows.
    """

    labels: int
    best: str
    cheapest: str
    comparisons: dict[str, Comparison]


@dataclass(frozen=True)
class Crossing:
    """Where one rung, significantly ahead with fewer labels, falls behind another with more.

    Attributes:
        before: the rung that is ahead with fewer labels.
        after: the rung that is ahead with more.
        labels: about how many labels make them equal.
    """

    before: str
    after: str
    labels: int


@dataclass(frozen=True)
class Curve:
    """The learning curves of several rungs on the same shares.

    Attributes:
        metric: name of the metric.
        part: the rows it was measured on, "validation".
        measured_rows: how many these are.
        training_rows: how many there are to learn from in all.
        sizes: labels in each share.
        trainings: how many times each rung learnt from each size, each time from another share.
        rungs: one curve each.
        choices: one for each size.
        crossings: in the order of their labels.
    """

    metric: str
    part: str
    measured_rows: int
    training_rows: int
    sizes: tuple[int, ...]
    trainings: int
    rungs: tuple[RungCurve, ...]
    choices: tuple[Choice, ...]
    crossings: tuple[Crossing, ...]

    def rung(self, method: str) -> RungCurve:
        """The curve of a rung by its name."""
        return next(rung for rung in self.rungs if rung.method == method)

    @property
    def best(self) -> RungCurve:
        """The curve of the rung that is best with the most labels."""
        return self.rung(self.choices[-1].best)

    def to_json(self) -> dict[str, Any]:
        """The curve as JSON values; a figure that is not defined is null."""
        values: dict[str, Any] = finite(asdict(self))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Curve:
        """The inverse of `to_json`.

        Raises:
            RunError: a value is missing or not of the kind it should be.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_python(_with_nan(values))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise RunError(f"the learning curve cannot be read: {place}: {first['msg']}") from None


def _with_nan(value: Any) -> Any:
    """Nested values with nan again where a score is not defined."""
    if isinstance(value, Mapping):
        return {
            key: float("nan") if of is None and key in _MAY_BE_UNDEFINED else _with_nan(of)
            for key, of in value.items()
        }
    return [_with_nan(of) for of in value] if isinstance(value, list | tuple) else value
