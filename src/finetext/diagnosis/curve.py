"""A learning curve: its results, and the nested shares of the labels that it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.errors import DataError, RecipeError
from finetext.core.types import Dataset, Score
from finetext.core.wording import counted
from finetext.evaluation.compare import Comparison
from finetext.storage.codec import Jsonable

FEWEST_ROWS: Final = 25
FEWEST_OF_A_CLASS: Final = 2
FEWEST_GROUPS: Final = 4
RATIO: Final = 2.0
"""Largest ratio of the sizes of two shares in sequence."""


@dataclass(frozen=True, eq=False)
class NestedShares:
    """The training rows in an order of which every beginning is a stratified share.

    Its units are rows or whole groups; `ends` are the rows in the first unit, in the first two, ...
    """

    dataset: Dataset
    order: Integers
    ends: Integers

    @classmethod
    def of(cls, dataset: Dataset, seed: int) -> NestedShares:
        """Draw an order; seeds differ in all shares but that of all rows."""
        groups = dataset.groups
        unit = np.arange(len(dataset))
        if groups is not None:
            unit = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1]
        classes = _classes(dataset)
        units = int(unit.max()) + 1
        drawn = np.random.default_rng(seed).permutation(units)
        counts = np.zeros((units, int(classes.max()) + 1), dtype=np.int64)
        np.add.at(counts, (unit, classes), 1)
        placed = drawn[_stratified_order(counts[drawn])]
        order = np.argsort(np.argsort(placed)[unit], kind="stable")
        return cls(dataset, order, np.cumsum(counts.sum(axis=1)[placed]))

    def share(self, size: int) -> Dataset:
        """Return the share of `size` rows in the order of the data, about as many if by group."""
        return self.dataset.select(self.rows(size))

    def rows(self, size: int) -> Integers:
        """Return the positions of the rows of a share."""
        units = int(np.abs(self.ends - size).argmin())
        return np.sort(self.order[: self.ends[units]])


def _stratified_order(counts: Integers) -> Integers:
    """Order (units, classes) counts: first two rows of each class, then in proportion."""
    first: list[int] = []
    for column in np.argsort(counts.sum(axis=0), kind="stable"):
        lacking = FEWEST_OF_A_CLASS - int(counts[first, column].sum())
        for unit in np.flatnonzero(counts[:, column]):
            if lacking > 0 and int(unit) not in first:
                first.append(int(unit))
                lacking -= int(counts[unit, column])
    strata, key = counts.argmax(axis=1), np.zeros(len(counts))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        key[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    key[first] -= 2.0
    return np.argsort(key, kind="stable")


def _classes(dataset: Dataset) -> Integers:
    """Return the (n,) class of each row; of several labels the rarest, and one class for none."""
    targets = dataset.targets
    if targets.ndim == 2:
        unlabeled, k = ~targets.any(axis=1), targets.shape[1]
        targets = np.where(targets == 1, targets.sum(axis=0), len(targets) + 1).argmin(axis=1)
        targets[unlabeled] = k
    return np.unique(targets, return_inverse=True)[1]


def least_rows(dataset: Dataset) -> int:
    """Return the smallest share that has two rows of each class, and four groups or more."""
    groups = dataset.groups
    of_groups = 0 if groups is None else -(-FEWEST_GROUPS * len(groups) // len(set(groups)))
    return max(FEWEST_OF_A_CLASS * (int(_classes(dataset).max()) + 1), of_groups)


def default_sizes(dataset: Dataset, steps: int) -> tuple[int, ...]:
    """Return the sizes of `steps` shares in equal ratios, up to all training rows."""
    rows = len(dataset)
    low = max(min(FEWEST_ROWS, rows // 4), least_rows(dataset))
    if rows < 2 * low:
        raise DataError(
            f"{counted(rows, 'training row')} are too few for a learning curve, whose smallest "
            f"share would have {low}; use {2 * low} or more"
        )
    low = max(low, round(rows / RATIO ** (steps - 1)))
    sizes = np.geomspace(low, rows, steps)
    return tuple(sorted({int(size) for size in np.round(sizes)}))


def checked_sizes(dataset: Dataset, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the given sizes in rising order; raise a RecipeError if one is too small or large."""
    least, rows = least_rows(dataset), counted(len(dataset), "training row")
    for size in sizes:
        if size > len(dataset):
            raise RecipeError(f"a share of {size:,} rows is asked for, but there are {rows}")
        if size < least:
            needs = "class" if dataset.groups is None else "class and four groups"
            raise RecipeError(
                f"a share of {counted(size, 'row')} is too small: two rows of each {needs} need "
                f"{least}"
            )
    return tuple(sorted(set(sizes)))


Outlook = Literal["told", "perfect", "steepening", "too few"]


@dataclass(frozen=True)
class Point:
    """The score of a method trained on a share of `labels` rows, a mean over the trainings."""

    labels: int
    rows: float
    score: Score
    scores: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class PowerLaw:
    """The power law score(n) = limit - gap * n ** -rate; `gap` is negative if lower is better.

    It was fitted on shares from `labels_from` labels.
    """

    limit: float
    gap: float
    rate: float
    labels_from: int


@dataclass(frozen=True)
class Expectation:
    """The expected score, and its gain over the score now, with `times` as many labels as now.

    `shown` is whether the whole 95% interval of the gain is an improvement.
    """

    times: float
    labels: int
    score: Score
    gain: Score
    shown: bool


@dataclass(frozen=True)
class LinePoint:
    """A point of the fitted line."""

    labels: float
    score: Score


@dataclass(frozen=True)
class MethodCurve:
    """The learning curve of one method: a point for each share, and the forecast.

    Attributes:
        outlook: "told"; or why there is no forecast: "perfect", no row is left to gain;
            "steepening", each doubling still brings more than the one before; "too few" sizes or
            trainings.
        expected: at 1.5, 2 and 4 times the labels.
        line: the law with its 95% interval, from the labels now to four times as many.
    """

    method: str
    points: tuple[Point, ...]
    outlook: Outlook
    law: PowerLaw | None = None
    expected: tuple[Expectation, ...] = ()
    line: tuple[LinePoint, ...] = ()


@dataclass(frozen=True)
class SizeChoice:
    """The best method with so many labels, and the one recommended by `evaluation.choice`.

    Files of earlier versions recommend none; then it is the best.
    """

    labels: int
    best: str
    comparisons: dict[str, Comparison]
    recommended: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "recommended", self.recommended or self.best)


@dataclass(frozen=True)
class Crossing:
    """About where `before`, significantly ahead with fewer labels, falls behind `after`.

    `low` is the last size up to there with which `before` is significantly ahead, `high` the first
    from there with which it is significantly behind; 0 in files of earlier versions.
    """

    before: str
    after: str
    labels: int
    low: int = 0
    high: int = 0

    @property
    def words(self) -> str:
        """The crossing in a sentence."""
        where = f"{self.after} overtakes {self.before} at about {self.labels:,} labels"
        if not self.high:
            return f"{where}."
        return (
            f"{where} [{self.low:,}, {self.high:,}]: up to the first of these sizes it is "
            "significantly behind, from the last on ahead."
        )


@dataclass(frozen=True)
class Curve(Jsonable):
    """The learning curves of several methods on the same shares, and a choice for each size.

    Attributes:
        trainings: trainings of each method with each size, each on another share.
        rungs: one curve for each method.
        positive: the class of two that the metric is about; None if it is about all.
    """

    metric: str
    part: str
    measured_rows: int
    training_rows: int
    sizes: tuple[int, ...]
    trainings: int
    rungs: tuple[MethodCurve, ...]
    choices: tuple[SizeChoice, ...]
    crossings: tuple[Crossing, ...]
    positive: str | None = None

    def rung(self, method: str) -> MethodCurve:
        """Return the curve of a method by its name."""
        return next(curve for curve in self.rungs if curve.method == method)

    @property
    def best(self) -> MethodCurve:
        """The curve of the method that is best with the most labels."""
        return self.rung(self.choices[-1].best)
