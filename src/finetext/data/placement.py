"""Placing rows in splits: exact quotas of classes, iterative stratification, whole groups.

Each function takes the sizes of the splits and returns the split of each row, -1 for rows that are
left over. Units are rows that stay together: with few of them the result is nearly as exact as
without, and without any it is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers

_UNUSED: Final = -1


def stratified(
    targets: Integers,
    sizes: Sequence[int],
    generator: np.random.Generator,
    units: Integers | None = None,
) -> Integers:
    """Return the split of each row, (n,); each has the exact share of each class, never zero.

    Units of several rows are placed first, at random where their rows still fit, else where they
    exceed a share the least; single rows then fill the shares up.

    Args:
        targets: (n,) the class of each row.
        sizes: rows of each split.
        generator: the source of random choices.
        units: (n,) the unit of each row; None if each row is one.
    """
    _, targets = np.unique(targets, return_inverse=True)
    quotas = _quotas(np.bincount(targets), sizes)
    parts = np.full(len(targets), _UNUSED, dtype=np.int64)
    if units is not None and len(np.unique(units)) < len(units):
        parts, quotas = _with_units(targets, units, quotas, generator)
    free = parts == _UNUSED
    for column in range(quotas.shape[1]):
        rows = generator.permutation(np.flatnonzero(free & (targets == column)))
        filled = np.repeat(np.arange(len(quotas)), quotas[:, column])
        parts[rows[: len(filled)]] = filled
    parts[parts == len(sizes)] = _UNUSED
    return parts


def _with_units(
    targets: Integers, units: Integers, quotas: Integers, generator: np.random.Generator
) -> tuple[Integers, Integers]:
    """Place units of several rows; return the (n,) splits of their rows, and the quotas left.

    Rows that no split asks for are one more part.
    """
    _, member, rows = np.unique(units, return_inverse=True, return_counts=True)
    counts = np.zeros((len(rows), quotas.shape[1]), dtype=np.int64)
    np.add.at(counts, (member, targets), 1)
    goals = np.vstack([quotas, counts.sum(axis=0) - quotas.sum(axis=0)])
    held = np.zeros_like(goals)
    part_of_unit = np.full(len(rows), _UNUSED, dtype=np.int64)
    left = (counts > 0).sum(axis=0)  # units of each class that are not placed yet
    order = generator.permutation(np.flatnonzero(rows > 1))
    for unit in order[np.argsort(-rows[order], kind="stable")]:
        own = counts[unit]
        allowed = np.ones(len(goals), dtype=bool)
        for column in np.flatnonzero(own):
            lacking = np.append(held[:-1, column] == 0, False)
            if left[column] <= lacking.sum() and (allowed & lacking).any():
                allowed &= lacking  # or a split would be left without the class
        part = _part_for(own, held, goals, allowed, generator)
        part_of_unit[unit] = part
        held[part] += own
        left -= own > 0
    singles = np.bincount(targets[rows[member] == 1], minlength=quotas.shape[1])
    return part_of_unit[member], _room(goals, held, singles)


def _part_for(
    own: Integers,
    held: Integers,
    goals: Integers,
    allowed: Booleans,
    generator: np.random.Generator,
) -> int:
    """Return the split for a unit with so many rows of each class."""
    room = goals - held
    fits = allowed & (room >= own).all(axis=1)
    if fits.any():
        chance = np.where(fits, room[:, own > 0].sum(axis=1), 0)
        return int(generator.choice(len(goals), p=chance / chance.sum()))
    excess = (np.maximum(own - room, 0) / np.maximum(goals, 1)).sum(axis=1)
    return int(np.where(allowed, excess, np.inf).argmin())


def _room(goals: Integers, held: Integers, singles: Integers) -> Integers:
    """Return the single rows of each class for each part: all of them, and no class missing."""
    room: Integers = np.maximum(goals - held, 0)
    least = np.zeros_like(room)
    least[:-1] = held[:-1] == 0
    room = np.maximum(room, least)
    for column, there in enumerate(singles):
        while room[:, column].sum() > there:
            spare = room[:, column] > least[:, column]
            if not spare.any():
                spare = room[:, column] > 0
            room[int(np.where(spare, room[:, column], -1).argmax()), column] -= 1
    return room


def _quotas(counts: Integers, sizes: Sequence[int]) -> Integers:
    """Rows of each class in each split, (splits, k): sums as requested, shares kept, none zero."""
    quotas = np.zeros((len(sizes), len(counts)), dtype=np.int64)
    left = counts.copy()
    order = sorted(range(len(sizes)), key=lambda part: sizes[part])
    for served, part in enumerate(order, start=1):
        ideal = sizes[part] * counts / counts.sum()
        most = left - (len(sizes) - served)
        quota = np.clip(np.floor(ideal).astype(np.int64), 1, most)
        while quota.sum() != sizes[part]:
            step = 1 if quota.sum() < sizes[part] else -1
            room = quota < most if step == 1 else quota > 1
            lack = np.where(room, step * (ideal - quota), -np.inf)
            quota[int(lack.argmax())] += step
        quotas[part] = quota
        left -= quota
    return quotas


def iterative(
    targets: Integers,
    sizes: Sequence[int],
    generator: np.random.Generator,
    units: Integers | None = None,
) -> Integers:
    """Return the split of each multi-label row, (n,); every label has about its share in each.

    The sizes are met exactly, or as nearly as whole units allow; rows that are left over have the
    split -1. The rarest label that still has free units is served first; each of its units goes to
    the split that lacks that label most, among those with room. Source: Sechidis, Tsoumakas and
    Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011.
    """
    count = len(targets)
    units = np.arange(count) if units is None else units
    _, member, rows = np.unique(units, return_inverse=True, return_counts=True)
    counts = np.zeros((len(rows), targets.shape[1]), dtype=np.int64)
    np.add.at(counts, member, targets)
    room = np.array([*sizes, count - sum(sizes)])
    ideal = np.outer(room / room.sum(), counts.sum(axis=0))
    lacking = ideal.copy()  # occurrences of each label in each split, at least one if possible
    lacking[:-1] = np.maximum(ideal[:-1], 1.0)
    lacking[int(room.argmax())] -= (lacking - ideal).sum(axis=0)
    parts = np.full(len(rows), len(sizes), dtype=np.int64)
    order = generator.permutation(len(rows))
    order = order[np.argsort(-rows[order], kind="stable")]
    free = np.ones(len(rows), dtype=bool)

    def place(unit: int, wanted: Floats | Integers) -> None:
        # Ties go to the split with most room: full splits are out, whatever they lack.
        want = np.where(room >= rows[unit], wanted, -np.inf)
        parts[unit] = part = int(np.lexsort((room, want))[-1])
        lacking[part] -= counts[unit]
        room[part] -= rows[unit]

    while (open_labels := counts[free].sum(axis=0)).any():
        label = int(np.where(open_labels > 0, open_labels, count + 1).argmin())
        for unit in order[free[order] & (counts[order, label] > 0)]:
            place(unit, lacking[:, label])
        free &= counts[:, label] == 0
    unlabeled = order[free[order]]
    for unit in unlabeled[rows[unlabeled] > 1]:
        place(unit, room)
    unlabeled = unlabeled[rows[unlabeled] == 1]
    filled = np.repeat(np.arange(len(room)), np.maximum(room, 0))
    parts[unlabeled] = filled[: len(unlabeled)]
    parts = parts[member]
    parts[parts == len(sizes)] = _UNUSED
    return parts


def grouped(
    targets: Integers, units: Integers, sizes: Sequence[int], generator: np.random.Generator
) -> Integers:
    """Return the split of each row, (n,), or -1; no unit is in two, each class near its share."""
    names, member = np.unique(units, return_inverse=True)
    rows = np.ones((len(targets), max(targets.shape[1], 1)), dtype=np.int64)
    columns = np.hstack([targets, rows])
    counts = np.zeros((len(names), columns.shape[1]))
    np.add.at(counts, member, columns)
    goals = np.array([*sizes, len(targets) - sum(sizes)])[:, None] / len(targets) * counts.sum(0)
    goals = np.maximum(goals, 1e-9)
    held = np.zeros_like(goals)
    part_of_unit = np.zeros(len(names), dtype=np.int64)
    order = generator.permutation(len(names))
    for unit in order[np.argsort(-counts[order, -1], kind="stable")]:
        change = ((2 * (held - goals) + counts[unit]) * counts[unit] / goals).sum(axis=1)
        part_of_unit[unit] = part = int(change.argmin())
        held[part] += counts[unit]
    parts = part_of_unit[member]
    parts[parts == len(sizes)] = _UNUSED
    return parts
