"""Growing shares of the training rows: each holds the smaller ones, all look like the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.data.words import counted
from finetext.errors import DataError, RecipeError
from finetext.types import Dataset, Integers

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
