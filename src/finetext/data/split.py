"""Train, validation and test rows, frozen once so that every rung sees the same.

The parts depend on the rows, their order, the settings and the seed alone, so that they come out
alike on every machine. Within a part the rows keep the order of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.errors import DataError, RecipeError
from finetext.core.settings import DEFAULT_SHARE, Size, SplitSettings, Strategy
from finetext.core.types import SPLIT_NAMES, Dataset, SplitName, Splits
from finetext.core.wording import counted
from finetext.data import stratify


def split(dataset: Dataset, settings: SplitSettings | None = None, seed: int = 0) -> Splits:
    """Divide the data into train, validation and test.

    Ready-made parts (the column `split`) are honoured. With groups, sizes are met as nearly as
    whole groups allow; ready-made parts are not rearranged when a group is on both sides.

    Args:
        dataset: rows with labels; without, only the strategy "random" will do.
        settings: sizes and strategy; `SplitSettings()` by default.
        seed: seed of the choice of rows.

    Returns:
        three parts without a common row; rows that no size asks for are left out.

    Raises:
        RecipeError: the sizes add up to more than there is, or groups are asked of data that
            have none.
        DataError: too few rows of a class, too few groups, or a part would be empty.
    """
    settings = settings or SplitSettings()
    pools = _pools(dataset)
    carved = {name: getattr(settings, name) for name in SPLIT_NAMES if name not in pools}
    cutter = _Cutter(dataset, settings.strategy, _heeds_groups(dataset, settings.grouped), seed)
    counts = _carved_counts(len(pools["train"]), settings.train, carved)
    rows = cutter.cut(pools.pop("train"), counts)
    for name, pool in pools.items():
        size = getattr(settings, name)
        rows |= {name: pool} if size is None else cutter.cut(pool, {name: _count(size, len(pool))})
    splits = Splits(**{name: dataset.select(rows[name]) for name in SPLIT_NAMES})
    _check_learnable(splits.train)
    return splits


def folds(
    dataset: Dataset,
    k: int = 5,
    seed: int = 0,
    strategy: Strategy = "stratified",
    grouped: bool | None = None,
) -> Iterator[tuple[Dataset, Dataset]]:
    """Divide the data k times, so that each row is held out once.

    Rows of a ready-made test part are left out: they must not help to choose anything.

    Args:
        dataset: rows with labels; without, only the strategy "random" will do.
        k: number of folds, 2 or more.
        seed: seed of the choice of rows.
        strategy: "stratified" or "random".
        grouped: whether rows of one group stay on one side; by default if there are groups.

    Returns:
        an iterator over k pairs: rows to learn from, rows held out.

    Raises:
        RecipeError: k is below 2, or groups are asked of data that have none.
        DataError: too few rows of a class or too few groups for k folds.
    """
    if k < 2:
        raise RecipeError(f"cannot make {k} folds; ask for 2 or more")
    rows = np.concatenate([pool for name, pool in _pools(dataset).items() if name != "test"])
    rows.sort()
    if len(rows) < k:
        raise DataError(
            f"{counted(len(rows), 'row')} cannot make {k} folds; give more rows or lower k"
        )
    counts = {f"fold {i + 1}": len(rows) // k + (i < len(rows) % k) for i in range(k)}
    cutter = _Cutter(dataset, strategy, _heeds_groups(dataset, grouped), seed)
    held_out = cutter.cut(rows, counts)
    return (
        (dataset.select(np.setdiff1d(rows, held, assume_unique=True)), dataset.select(held))
        for held in held_out.values()
    )


@dataclass(frozen=True)
class _Cutter:
    """Cuts rows of one data set into parts, always by the same rules."""

    dataset: Dataset
    strategy: Strategy
    grouped: bool
    seed: int

    def cut(self, pool: Integers, counts: Mapping[str, int]) -> dict[str, Integers]:
        """Positions of the rows of each part, in the order of the data.

        Args:
            pool: positions of the rows to cut.
            counts: rows wanted in each part.
        """
        for name, count in counts.items():
            if count < 1:
                raise DataError(
                    f"{name} would be empty: the sizes asked are too small for "
                    f"{counted(len(pool), 'row')}"
                )
        parts = self._assign(pool, counts)
        rows = {name: pool[parts == part] for part, name in enumerate(counts)}
        for name in rows:
            if not len(rows[name]):
                raise DataError(
                    f"{name} would be empty: the groups are too few or too large for "
                    f"{_and(counts)}; give more groups, or other sizes"
                )
        return rows

    def _assign(self, pool: Integers, counts: Mapping[str, int]) -> Integers:
        generator = np.random.default_rng(self.seed)
        sizes = list(counts.values())
        heed_labels = self.strategy == "stratified"
        if self.grouped and len(counts) > 1:
            groups = self._groups(pool, counts)
            targets = self._indicators(pool) if heed_labels else np.zeros((len(pool), 0), np.int64)
            if heed_labels:
                self._check_classes(targets, counts, groups)
            return stratify.grouped(targets, groups, sizes, generator)
        if not heed_labels:
            return stratify.shuffled(len(pool), sizes, generator)
        self._check_classes(self._indicators(pool), counts)
        targets = self.dataset.targets[pool]
        cut = stratify.iterative if targets.ndim == 2 else stratify.stratified
        return cut(targets, sizes, generator)

    def _groups(self, pool: Integers, counts: Mapping[str, int]) -> list[str]:
        names = self.dataset.groups or []
        groups = [str(names[row]) for row in pool]
        if (different := len(set(groups))) < len(counts):
            raise DataError(
                f"there {'is' if different == 1 else 'are'} {counted(different, 'group')}, too few "
                f"for {_and(counts)}, which may share none; give more groups, or split without them"
            )
        return groups

    def _indicators(self, pool: Integers) -> Integers:
        """(n, k) of 0 and 1, whether rows have one label or several."""
        targets = self.dataset.targets[pool]
        if targets.ndim == 2:
            return targets
        return np.asarray(targets[:, None] == np.arange(len(self._names)), dtype=np.int64)

    @property
    def _names(self) -> tuple[str, ...]:
        return () if self.dataset.scheme is None else self.dataset.scheme.names

    def _check_classes(
        self, targets: Integers, counts: Mapping[str, int], groups: list[str] | None = None
    ) -> None:
        """Refuse when some class cannot be in every part."""
        remedy = 'merge it with another class, leave it out, or use the strategy "random"'
        for column, name in enumerate(self._names):
            rows = np.flatnonzero(targets[:, column])
            found = len(rows) if groups is None else len({groups[row] for row in rows})
            if 0 < found < len(counts):
                what = "row" if groups is None else "group"
                raise DataError(
                    f"the class {name!r} has {counted(len(rows), 'row')}"
                    + ("" if groups is None else f" in {counted(found, 'group')}")
                    + f", but {_and(counts)} need {counted(len(counts), what)}, one each; "
                    f"collect more, {remedy}"
                )
        if groups is None and self.dataset.targets.ndim != 2:
            self._check_room(int(targets.any(axis=0).sum()), counts)

    def _check_room(self, classes: int, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            if count < classes:
                raise DataError(
                    f"{name} would have {counted(count, 'row')}, fewer than the {classes} classes; "
                    f'make it larger, give more rows, or use the strategy "random"'
                )


def _pools(dataset: Dataset) -> dict[SplitName, Integers]:
    """Positions of the rows of each ready-made part; all rows are train if there is none."""
    if not len(dataset):
        raise DataError("there are no rows to split")
    if "split" not in dataset.table.column_names:
        return {"train": np.arange(len(dataset), dtype=np.int64)}
    given = np.asarray(dataset.column("split"), dtype=object)
    if unknown := sorted({str(value) for value in set(given) - set(SPLIT_NAMES)}):
        raise DataError(
            f"the column 'split' has the value {unknown[0]!r}; it may only be "
            "'train', 'validation' or 'test'"
        )
    pools = {name: np.flatnonzero(given == name).astype(np.int64) for name in SPLIT_NAMES}
    if not len(pools["train"]):
        raise DataError("the data come with ready-made parts, but none of them is train")
    return {name: rows for name, rows in pools.items() if len(rows)}


def _heeds_groups(dataset: Dataset, grouped: bool | None) -> bool:
    there = "group" in dataset.table.column_names
    if grouped and not there:
        raise RecipeError(
            "rows are to be kept together by group, but the data have no group column; "
            "name it with --group"
        )
    return there if grouped is None else grouped


def _count(size: Size, rows: int) -> int:
    """Rows that a size stands for, out of a ready-made part.

    Raises:
        RecipeError: it asks for more rows than there are.
    """
    count = int(size * rows + 0.5) if isinstance(size, float) else size
    if count > rows:
        raise RecipeError(f"{count:,} rows are asked of a part that has {counted(rows, 'row')}")
    return count


def _carved_counts(
    rows: int, train: Size | None, carved: Mapping[SplitName, Size | None]
) -> dict[str, int]:
    """Rows of train and of each part that is carved out of it."""
    sizes = {name: DEFAULT_SHARE if size is None else size for name, size in carved.items()}
    counts: dict[str, int] = {name: _count(size, rows) for name, size in sizes.items()}
    left = rows - sum(counts.values())
    shares = sum(size for size in (*sizes.values(), train) if isinstance(size, float))
    wanted = left if train is None else _count(train, rows)
    if isinstance(train, float) and shares <= 1 + 1e-9:
        wanted = min(wanted, left)  # rounding each share up may ask for a row too many
    if left < 1 or wanted > left:
        asked = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        raise RecipeError(
            f"the sizes add up to more than the {counted(rows, 'row')} at hand"
            f" (train {'the rest' if train is None else f'{wanted:,}'}, {asked}); lower one of them"
        )
    return {"train": wanted, **counts}


def _check_learnable(train: Dataset) -> None:
    if train.scheme is not None and (train.targets == train.targets[0]).all():
        only = train.labels[0]
        raise DataError(
            f"all {len(train):,} rows of train have the label {only!r}; a classifier needs two "
            "classes or more"
        )


def _and(names: Mapping[str, int]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


HELD_OUT: Final = 0.1


def held_out(dataset: Dataset, seed: int, size: float = HELD_OUT) -> tuple[Dataset, Dataset]:
    """The rows to learn from, and those that choose: a tenth, with a row of each class.

    A class of one row is learnt from. If that leaves nothing to hold out, all rows do both.

    Args:
        dataset: labelled rows.
        seed: seed of the choice of rows.
        size: how many choose, as a share or a count; 0 for all that learn.

    Raises:
        DataError: so many cannot choose.
    """
    if not 0 <= size < len(dataset) or (isinstance(size, float) and size >= 1):
        raise DataError(
            f"{size} of {len(dataset)} rows cannot be held out: give a share such as 0.1 or a count"
        )
    if not size:
        return dataset, dataset
    wanted = size if isinstance(size, int) else round(size * len(dataset))
    targets = dataset.targets
    several = targets.ndim == 2
    indicators = targets if several else np.eye(targets.max() + 1, dtype=np.int64)[targets]
    alone = indicators.sum(axis=0) == 1
    free = np.flatnonzero(~indicators[:, alone].any(axis=1))
    classes = 1 if several else len(np.unique(targets[free]))
    count = min(max(wanted, classes), len(free) - classes)
    if count < 1:
        return dataset, dataset
    cut = stratify.iterative if several else stratify.stratified
    parts = cut(targets[free], [len(free) - count, count], np.random.default_rng(seed))
    held = free[parts == 1]
    rest = np.setdiff1d(np.arange(len(targets)), held)
    return dataset.select(rest), dataset.select(held)
