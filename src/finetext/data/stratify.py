"""Which row goes into which part, so that the classes keep their shares.

Three ways, by what the rows are like: one label each (exact quotas), several labels each
(iterative stratification), rows that belong together (greedy placement of whole groups). All
take the sizes of the parts wanted and return the part of every row, or `UNUSED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats, Integers

UNUSED: Final = -1


def shuffled(count: int, sizes: Sequence[int], generator: np.random.Generator) -> Integers:
    """Parts at random.

    Args:
        count: number of rows, n.
        sizes: rows wanted in each part; their sum is at most n.
        generator: source of chance.

    Returns:
        (n,) the part of each row, `UNUSED` for rows that are left over.
    """
    parts = np.full(count, UNUSED, dtype=np.int64)
    filled = np.repeat(np.arange(len(sizes)), sizes)
    parts[generator.permutation(count)[: len(filled)]] = filled
    return parts


def stratified(targets: Integers, sizes: Sequence[int], generator: np.random.Generator) -> Integers:
    """Parts in which each class has its share, to the row, and at least one row.

    Args:
        targets: (n,) class of each row; each class that occurs has `len(sizes)` rows or more.
        sizes: rows wanted in each part, each at least the number of classes that occur.
        generator: source of chance.

    Returns:
        (n,) the part of each row, `UNUSED` for rows that are left over.
    """
    _, targets = np.unique(targets, return_inverse=True)
    quotas = _quotas(np.bincount(targets), sizes)
    parts = np.full(len(targets), UNUSED, dtype=np.int64)
    for column in range(quotas.shape[1]):
        rows = generator.permutation(np.flatnonzero(targets == column))
        filled = np.repeat(np.arange(len(sizes)), quotas[:, column])
        parts[rows[: len(filled)]] = filled
    return parts


def _quotas(counts: Integers, sizes: Sequence[int]) -> Integers:
    """Rows of each class in each part, (parts, k): sums as asked, shares kept, none at zero.

    The smallest part is served first, since rounding hurts it most.
    """
    quotas = np.zeros((len(sizes), len(counts)), dtype=np.int64)
    left = counts.copy()
    order = sorted(range(len(sizes)), key=lambda part: sizes[part])
    for served, part in enumerate(order, start=1):
        most = left - (len(sizes) - served)
        quotas[part] = _rounded(sizes[part] * counts / counts.sum(), most, sizes[part])
        left -= quotas[part]
    return quotas


def _rounded(ideal: Floats, most: Integers, total: int) -> Integers:
    """Whole numbers from 1 to `most` near `ideal` that add up to `total`."""
    quota = np.clip(np.floor(ideal).astype(np.int64), 1, most)
    while quota.sum() != total:
        step = 1 if quota.sum() < total else -1
        room = quota < most if step == 1 else quota > 1
        lack = np.where(room, step * (ideal - quota), -np.inf)
        quota[int(lack.argmax())] += step
    return quota


def iterative(targets: Integers, sizes: Sequence[int], generator: np.random.Generator) -> Integers:
    """Parts in which every label of multi-label rows has about its share; sizes are exact.

    The rarest label that still has free rows is served first; each of its rows goes to the part
    that lacks that label most, among those with room. Source: Sechidis, Tsoumakas and Vlahavas,
    "On the Stratification of Multi-Label Data", ECML PKDD 2011.

    Args:
        targets: (n, k) of 0 and 1.
        sizes: rows wanted in each part; their sum is at most n.
        generator: source of chance.

    Returns:
        (n,) the part of each row, `UNUSED` for rows that are left over.
    """
    count = len(targets)
    room = np.array([*sizes, count - sum(sizes)])
    lacking = _wanted_labels(targets.sum(axis=0), room)
    parts = np.full(count, len(sizes), dtype=np.int64)
    order = generator.permutation(count)
    free = np.ones(count, dtype=bool)
    while (open_labels := targets[free].sum(axis=0)).any():
        label = int(np.where(open_labels > 0, open_labels, count + 1).argmin())
        for row in order[free[order] & (targets[order, label] == 1)]:
            # Ties go to the part with most room: full parts are out, whatever they lack.
            want = np.where(room > 0, lacking[:, label], -np.inf)
            part = int(np.lexsort((room, want))[-1])
            parts[row] = part
            lacking[part] -= targets[row]
            room[part] -= 1
        free &= targets[:, label] == 0
    unlabelled = order[free[order]]
    parts[unlabelled] = np.repeat(np.arange(len(room)), room)
    parts[parts == len(sizes)] = UNUSED
    return parts


def _wanted_labels(counts: Integers, room: Integers) -> Floats:
    """Occurrences of each label that each part should get, (parts, k), one or more if it can be."""
    ideal = np.outer(room / room.sum(), counts)
    wanted = ideal.copy()
    wanted[:-1] = np.maximum(ideal[:-1], 1.0)
    wanted[int(room.argmax())] -= (wanted - ideal).sum(axis=0)
    return wanted


def grouped(
    targets: Integers, groups: Sequence[str], sizes: Sequence[int], generator: np.random.Generator
) -> Integers:
    """Parts that share no group, near the sizes asked, with each class near its share.

    Groups are placed whole, the largest first, each into the part where it lowers most the
    chi-square distance between what the parts hold and what they should hold.

    Args:
        targets: (n, k) of 0 and 1; k = 0 to heed sizes alone.
        groups: n group names.
        sizes: rows wanted in each part; their sum is at most n.
        generator: source of chance.

    Returns:
        (n,) the part of each row, `UNUSED` for rows that are left over.
    """
    names, member = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    counts = _rows_per_group(targets, member, len(names))
    goals = np.array([*sizes, len(targets) - sum(sizes)])[:, None] / len(targets) * counts.sum(0)
    goals = np.maximum(goals, 1e-9)
    held = np.zeros_like(goals)
    part_of_group = np.zeros(len(names), dtype=np.int64)
    order = generator.permutation(len(names))
    for group in order[np.argsort(-counts[order, -1], kind="stable")]:
        change = ((2 * (held - goals) + counts[group]) * counts[group] / goals).sum(axis=1)
        part_of_group[group] = part = int(change.argmin())
        held[part] += counts[group]
    parts = part_of_group[member]
    parts[parts == len(sizes)] = UNUSED
    return parts


def _rows_per_group(targets: Integers, member: npt.NDArray[np.intp], groups: int) -> Floats:
    """Occurrences of each class in each group, with the number of rows as last columns.

    The number of rows stands as often as there are classes, so that sizes weigh as much as shares.
    """
    rows = np.ones((len(targets), max(targets.shape[1], 1)), dtype=np.int64)
    columns = np.hstack([targets, rows])
    counts = np.zeros((groups, columns.shape[1]))
    np.add.at(counts, member, columns)
    return counts
