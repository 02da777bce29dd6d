"""Train, validation and test rows, frozen once so that every method sees the same rows.

The splits depend on the rows, their order, the settings and the seed alone. Within a split the rows
keep the order of the data. Rows with one label each are split by exact quotas per class, rows with
several labels by iterative stratification, and rows with groups by greedy placement of groups.
Equal and nearly equal texts stay in one split.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.contracts import check_read
from finetext.core.errors import DataError, RecipeError
from finetext.core.settings import DEFAULT_SHARE, Size, SplitSettings, Strategy
from finetext.core.types import SPLIT_NAMES, Dataset, SplitName, Splits
from finetext.core.wording import counted
from finetext.data.near_duplicates import near_duplicates
from finetext.data.placement import grouped, iterative, stratified
from finetext.data.units import numbers_of, together

HELD_OUT: Final = 0.1
MOST_ROOM: Final = 1 / 3


def split(dataset: Dataset, settings: SplitSettings | None = None, seed: int = 0) -> Splits:
    """Divide the data into train, validation and test.

    Ready-made splits (the column `split`) are used as they are. With groups, sizes are met as
    nearly as whole groups allow; a group that is in two ready-made splits stays there. Texts that
    are equal or nearly equal are kept in one split (see `finetext.data.units` for the exceptions),
    unless both splits are ready-made, or the settings keep duplicates.

    Args:
        dataset: rows with labels; without, only the strategy "random" works.
        settings: sizes and strategy; `SplitSettings()` by default.
        seed: seed of the choice of rows.

    Returns:
        three splits without a common row; rows that no size asks for are left out. With
        `cross_validate` all rows are train or validation, and test is empty.

    Raises:
        RecipeError: the sizes add up to more than there is, or groups are requested of data that
            have none.
        DataError: too few rows of a class, too few groups, or a split would be empty.
    """
    check_read("split", dataset)
    settings = settings or SplitSettings()
    clusters = None if settings.keep_duplicates else near_duplicates(dataset.texts)
    return _split(dataset, settings, seed, clusters)


def _split(
    dataset: Dataset, settings: SplitSettings, seed: int, clusters: Integers | None
) -> Splits:
    """Return the same as `split`; `clusters` are those of `near_duplicates`, or None."""
    pools = _pools(dataset)
    if settings.cross_validate:
        pools["test"] = _no_test_rows(pools)
    carved = {name: getattr(settings, name) for name in SPLIT_NAMES if name not in pools}
    keeps_groups = _keeps_groups(dataset, settings.grouped)
    cutter = _Cutter(dataset, settings.strategy, keeps_groups, seed, clusters)
    counts = _carved_counts(len(pools["train"]), settings.train, carved)
    if settings.train is None and settings.validation is None and "test" not in counts:
        _make_room(counts, cutter, pools["train"], settings.cross_validate)
    rows = cutter.cut(pools.pop("train"), counts)
    for name, pool in pools.items():
        size = getattr(settings, name)
        rows |= {name: pool} if size is None else cutter.cut(pool, {name: _count(size, len(pool))})
    if clusters is not None:
        clusters = clusters[np.concatenate([rows[name] for name in SPLIT_NAMES])]
    parts = {name: dataset.select(rows[name]) for name in SPLIT_NAMES}
    splits = Splits(**parts, clusters=clusters)
    train = splits.train
    if train.scheme is not None and (train.targets == train.targets[0]).all():
        raise DataError(
            f"all {len(train):,} rows of train have the label {train.labels[0]!r}; a classifier "
            "needs two classes or more"
        )
    return splits


def _make_room(
    counts: dict[str, int], cutter: _Cutter, pool: Integers, is_cross_validated: bool | None
) -> None:
    """Give validation a row of each class with two; else `cut` says what is lacking.

    Where test rows are given, no more than a third of the rows to learn from goes there.
    """
    shared = np.setdiff1d(pool, cutter.alone(pool, counts))
    needed = cutter.classes(shared)
    if "validation" in counts and (is_cross_validated or needed <= MOST_ROOM * len(pool)):
        lacking = max(0, needed - counts["validation"])
        counts["validation"] += lacking
        counts["train"] -= lacking


def folds(
    dataset: Dataset,
    k: int = 5,
    seed: int = 0,
    strategy: Strategy = "stratified",
    grouped: bool | None = None,
    *,
    keep_duplicates: bool = False,
) -> Iterator[tuple[Dataset, Dataset]]:
    """Divide the data k times, so that each row is held out once.

    Rows of a ready-made test split are left out: they must not help to choose anything. Equal and
    nearly equal texts are in one fold, as `split` keeps them in one split.

    Args:
        dataset: rows with labels; without, only the strategy "random" works.
        k: number of folds, 2 or more.
        seed: seed of the choice of rows.
        strategy: "stratified" or "random".
        grouped: whether rows of one group stay together; by default if there are groups.
        keep_duplicates: whether copies of a text may be in several folds.

    Returns:
        an iterator over k pairs: rows to learn from, rows held out.

    Raises:
        RecipeError: k is below 2, or groups are requested of data that have none.
        DataError: too few rows of a class or too few groups for k folds.
    """
    settings = SplitSettings(strategy=strategy, grouped=grouped, keep_duplicates=keep_duplicates)
    clusters = None if keep_duplicates else near_duplicates(dataset.texts)
    parts = fold_rows(dataset, k, seed, settings, clusters)
    rows = np.sort(np.concatenate(parts))
    return (
        (dataset.select(np.setdiff1d(rows, held, assume_unique=True)), dataset.select(held))
        for held in parts
    )


def fold_rows(
    dataset: Dataset, k: int, seed: int, settings: SplitSettings, clusters: Integers | None
) -> list[Integers]:
    """Return the positions of the rows that each of k folds holds out; raises as `folds`.

    `clusters` are those of `near_duplicates`, or None.
    """
    if k < 2:
        raise RecipeError(f"cannot make {k} folds; ask for 2 or more")
    rows = np.concatenate([pool for name, pool in _pools(dataset).items() if name != "test"])
    rows.sort()
    if len(rows) < k:
        there = counted(len(rows), "row")
        raise DataError(f"{there} cannot make {k} folds; give more rows or lower k")
    counts = {f"fold {i + 1}": len(rows) // k + (i < len(rows) % k) for i in range(k)}
    keeps_groups = _keeps_groups(dataset, settings.grouped)
    cutter = _Cutter(dataset, settings.strategy, keeps_groups, seed, clusters)
    return list(cutter.cut(rows, counts).values())


def with_validation(
    dataset: Dataset, settings: SplitSettings, seed: int, clusters: Integers | None
) -> tuple[Dataset, Dataset]:
    """Return rows to learn from and validation rows, as a cross-validated run has them.

    Where a class or group is too small for both, its rows stay among those to learn from.
    """
    try:
        parts = _split(dataset, replace(settings, cross_validate=True), seed, clusters)
    except DataError:
        return held_out(dataset, seed, settings.validation or DEFAULT_SHARE)
    return parts.train, parts.validation


def all_train(splits: Splits, dataset: Dataset) -> Splits:
    """Return splits without validation and test rows: all of them are train, as in the data."""
    if "split" in dataset.table.column_names:
        dataset = replace(dataset, table=dataset.table.remove_columns("split"))
    row = {name: at for at, name in enumerate(name for _, of in splits.items() for name in of.ids)}
    order = np.array([row[name] for name in dataset.ids])
    clusters = None if splits.clusters is None else splits.clusters[order]
    return Splits(dataset, dataset.select([]), dataset.select([]), clusters)


def held_out(dataset: Dataset, seed: int, size: float = HELD_OUT) -> tuple[Dataset, Dataset]:
    """Return the rows to learn from, and those to choose by: a tenth, with a row of each class."""
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
    free = np.flatnonzero(~indicators[:, indicators.sum(axis=0) == 1].any(axis=1))
    classes = 1 if several else len(np.unique(targets[free]))
    count = min(max(wanted, classes), len(free) - classes)
    if count < 1:
        return dataset, dataset
    cut = iterative if several else stratified
    parts = cut(targets[free], [len(free) - count, count], np.random.default_rng(seed))
    held = free[parts == 1]
    return dataset.select(np.setdiff1d(np.arange(len(targets)), held)), dataset.select(held)


@dataclass(frozen=True)
class _Cutter:
    """Cuts rows of one data set into splits, always by the same rules."""

    dataset: Dataset
    strategy: Strategy
    grouped: bool
    seed: int
    clusters: Integers | None

    def cut(self, pool: Integers, counts: Mapping[str, int]) -> dict[str, Integers]:
        """Return the positions of the rows of each split, out of those in the pool."""
        if empty := next((name for name, count in counts.items() if count < 1), None):
            size, classes = counted(len(pool), "row"), self.classes(pool)
            if len(pool) < classes * len(counts):
                raise DataError(
                    f"{empty} would be empty: each label needs a row in {_and(counts)}, and "
                    f"{size} with {counted(classes, 'label')} are too few; give {len(counts)} rows "
                    "or more of each"
                )
            raise DataError(f"{empty} would be empty: the requested sizes are too small for {size}")
        alone = self.alone(pool, counts)
        shared = np.setdiff1d(pool, alone)
        sizes = {name: of - (len(alone) if name == "train" else 0) for name, of in counts.items()}
        parts = self._assign(shared, sizes)
        rows = {name: shared[parts == part] for part, name in enumerate(counts)}
        if len(alone):
            rows["train"] = np.sort(np.concatenate([rows["train"], alone]))
        if empty := next((name for name in rows if not len(rows[name])), None):
            raise DataError(
                f"{empty} would be empty: the groups are too few or too large for "
                f"{_and(counts)}; give more groups, or other sizes"
            )
        return rows

    def alone(self, pool: Integers, counts: Mapping[str, int]) -> Integers:
        """Return the rows with a class of one row, which stay in train if test rows are given.

        Validation then has no row of the class, and can do without. Rows in groups are not among
        them, nor are copies of other texts, and not all of the rows that train is to have.
        """
        if set(counts) != {"train", "validation"} or self.strategy != "stratified" or self.grouped:
            return pool[:0]
        indicators = self._indicators(pool)
        rows = pool[indicators[:, indicators.sum(axis=0) == 1].any(axis=1)]
        if self.clusters is not None:
            sizes = np.bincount(self.clusters[pool])
            rows = rows[sizes[self.clusters[rows]] == 1]
        return rows if len(rows) < counts["train"] else pool[:0]

    def classes(self, pool: Integers) -> int:
        """Return how many classes each split must have, in a stratified split by one label."""
        by_class = self.strategy == "stratified" and not self.grouped
        is_single = self.dataset.scheme is not None and not self.dataset.scheme.multilabel
        return len(np.unique(self.dataset.targets[pool])) if by_class and is_single else 1

    def _assign(self, pool: Integers, counts: Mapping[str, int]) -> Integers:
        generator, sizes = np.random.default_rng(self.seed), list(counts.values())
        by_label, groups = self.strategy == "stratified", None
        if self.grouped and len(counts) > 1:
            names = self.dataset.groups or []
            groups = [str(names[row]) for row in pool]
            if (different := len(set(groups))) < len(counts):
                raise DataError(
                    f"{counted(different, 'group')} cannot fill {_and(counts)}, which may share "
                    "none; give more groups, or split without them"
                )
        indicators = self._indicators(pool) if by_label else np.zeros((len(pool), 0), np.int64)
        if by_label:
            self._check_classes(indicators, counts, groups)
        units = numbers_of(groups, len(pool))
        if self.clusters is not None and len(counts) > 1:
            texts = [self.dataset.texts[row] for row in pool]
            units = together(units, self.clusters[pool], texts, indicators, sizes)
        if groups is not None:
            return grouped(indicators, units, sizes, generator)
        targets = self.dataset.targets[pool] if by_label else np.zeros(len(pool), np.int64)
        return (iterative if targets.ndim == 2 else stratified)(targets, sizes, generator, units)

    def _indicators(self, pool: Integers) -> Integers:
        """(n, k) of 0 and 1, whether rows have one label or several."""
        targets = self.dataset.targets[pool]
        classes = np.arange(len(self.dataset.scheme or ()))
        return targets if targets.ndim == 2 else (targets[:, None] == classes).astype(np.int64)

    def _check_classes(
        self, targets: Integers, counts: Mapping[str, int], groups: list[str] | None = None
    ) -> None:
        """Check that every class can be in every split."""
        for column, name in enumerate(self.dataset.scheme.names if self.dataset.scheme else ()):
            rows = np.flatnonzero(targets[:, column])
            found = len(rows) if groups is None else len({groups[row] for row in rows})
            if 0 < found < len(counts):
                there = "" if groups is None else f" in {counted(found, 'group')}"
                needed = counted(len(counts), "row" if groups is None else "group")
                advice = without_class(name, self.dataset.targets.ndim == 2)
                if "test" in counts and found > 1:
                    advice += "; finetext train --cross-validate needs no test rows"
                raise DataError(
                    f"the class {name!r} has {counted(len(rows), 'row')}{there}, but "
                    f"{_and(counts)} need {needed}, one each; {advice}"
                )
        if groups is not None or self.dataset.targets.ndim == 2:
            return
        classes = int(targets.any(axis=0).sum())
        if small := next((name for name, count in counts.items() if count < classes), None):
            raise DataError(
                f"{small} would have {counted(counts[small], 'row')}, fewer than the {classes} "
                "classes; make it larger, give more rows, or split at random: "
                "--set split.strategy=random"
            )


def without_class(name: str, multilabel: bool) -> str:
    """Return what to do about a class with too few rows, with an option that leaves it out."""
    merge = "collect more, merge it with another class"
    if multilabel:  # where a row has other labels, too
        return merge
    return f"{merge}, or leave it out: --set {shlex.quote(f'data.missing={name}')}"


def _pools(dataset: Dataset) -> dict[SplitName, Integers]:
    """Positions of the rows of each ready-made split; all rows are train if there is none."""
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
        raise DataError("the data have ready-made splits, but none of them is train")
    return {name: rows for name, rows in pools.items() if len(rows)}


def _no_test_rows(pools: Mapping[SplitName, Integers]) -> Integers:
    """Return no rows, for a cross-validated run; refuse data with a ready-made test split."""
    if "test" in pools:
        raise RecipeError(
            f"the data have a ready-made test split of {counted(len(pools['test']), 'row')}, so "
            "they are scored on that; leave out --cross-validate, or give the data without it"
        )
    return np.zeros(0, dtype=np.int64)


def _keeps_groups(dataset: Dataset, grouped: bool | None) -> bool:
    there = "group" in dataset.table.column_names
    if grouped and not there:
        raise RecipeError("the data have no group column to split by; name it with --group")
    return there if grouped is None else grouped


def _count(size: Size, rows: int) -> int:
    """The number of rows that a size stands for, out of so many."""
    count = int(size * rows + 0.5) if isinstance(size, float) else size
    if count > rows:
        raise RecipeError(
            f"{count:,} rows are requested of a split that has {counted(rows, 'row')}"
        )
    return count


def _carved_counts(
    rows: int, train: Size | None, carved: Mapping[SplitName, Size | None]
) -> dict[str, int]:
    """Rows of train and of each split that is carved out of it."""
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
            f"the sizes add up to more than the {counted(rows, 'row')} available"
            f" (train {'the rest' if train is None else f'{wanted:,}'}, {asked}); lower one of them"
        )
    return {"train": wanted, **counts}


def _and(names: Mapping[str, int]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
