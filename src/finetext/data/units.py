"""Rows that stay together when data are split: groups, and texts that are equal or nearly equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Integers
from finetext.core.types import Splits
from finetext.core.wording import counted
from finetext.data.near_duplicates import copies, is_searchable

FEWEST_IN_CLUSTER: Final = 10
"""A cluster of near-duplicates may always have so many rows, however small the splits are."""


def numbers_of(groups: Sequence[str] | None, rows: int) -> Integers:
    """Return the (n,) number of the group of each row, in order of the names, or of the row."""
    if groups is None:
        return np.arange(rows, dtype=np.int64)
    names = np.asarray(groups, dtype=object).astype(str)
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def together(
    groups: Integers,
    clusters: Integers,
    texts: Sequence[str],
    indicators: Integers,
    sizes: Sequence[int],
) -> Integers:
    """Return the (n,) unit of each row: the least number among the groups that are joined in it.

    Equal and nearly equal texts join the groups of their rows. There are exceptions, in which a
    split would be worse than one with copies in two parts. Near-duplicates with more rows than the
    smallest split join only where the texts are equal: they are a template rather than copies.
    Duplicates of several groups join them only as long as the result has no more rows than that. If
    a class (or the whole) would have fewer units than there are splits, near-duplicates of its
    groups do not join them, and if that is not enough, equal texts do not either.

    Args:
        groups: (n,) the number of the group of each row, all different if there are no groups.
        clusters: (n,) the number of the near-duplicates of each row, equal texts included.
        texts: n texts.
        indicators: (n, k) of 0 and 1, the classes of each row.
        sizes: rows of each split.
    """
    most = max(min(sizes), FEWEST_IN_CLUSTER)
    exact = copies(texts)
    is_grouped = len(np.unique(groups)) < len(groups)
    of_classes = [column > 0 for column in indicators.T] + [np.ones(len(groups), dtype=bool)]
    enough = [rows for rows in of_classes if len(np.unique(groups[rows])) >= len(sizes)]
    barred = {"exact": np.zeros(len(groups), dtype=bool), "near": np.zeros(len(groups), dtype=bool)}
    while True:
        units = _joined(groups, exact, ~barred["exact"], most if is_grouped else len(groups))
        units = _joined(units, clusters, ~barred["near"], most)
        few = [rows for rows in enough if len(np.unique(units[rows])) < len(sizes)]
        if not few:
            return units
        for rows in few:
            own = np.isin(groups, groups[rows])
            barred["exact" if barred["near"][own].all() else "near"] |= own


def _joined(groups: Integers, clusters: Integers, allowed: Booleans, most: int) -> Integers:
    """Join the groups of allowed rows in one cluster, smallest clusters first, up to most rows."""
    parent = np.arange(groups.max() + 1)
    sizes = np.bincount(groups)

    def root(group: int) -> int:
        while parent[group] != group:
            parent[group] = group = int(parent[parent[group]])
        return group

    rows = np.flatnonzero(allowed)
    rows = rows[np.argsort(clusters[rows], kind="stable")]
    found = np.split(rows, np.flatnonzero(np.diff(clusters[rows])) + 1)
    for members in sorted((of for of in found if len(of) > 1), key=len):
        roots = sorted({root(int(group)) for group in groups[members]})
        if len(roots) > 1 and sizes[roots].sum() <= most:
            sizes[roots[0]] = sizes[roots].sum()
            parent[roots] = roots[0]
    return np.array([root(int(group)) for group in groups], dtype=np.int64)


def one_of_each(units: Sequence[str], seed: int) -> Integers:
    """Return a row of each unit, such as a group, both drawn at random in random order."""
    found = dict[str, int]()
    for row in np.random.default_rng(seed).permutation(len(units)):
        found.setdefault(units[row], int(row))
    return np.array(list(found.values()), dtype=np.int64)


def duplicate_lines(splits: Splits) -> list[str]:
    """Return what to say about the duplicates that splitting kept together."""
    if splits.clusters is None:
        return []
    parts = list(splits.items())
    part = np.repeat(np.arange(len(parts)), [len(rows) for _, rows in parts])
    pairs, rows = np.unique(np.stack([splits.clusters, part]), axis=1, return_counts=True)
    is_whole = np.isin(pairs[0], np.flatnonzero(np.bincount(pairs[0]) == 1)) & (rows > 1)
    lines = []
    if not is_searchable([text for _, rows in parts for text in rows.texts]):
        lines.append(
            "duplicates: only equal texts are found, since nearly equal ones take too long"
        )
    if is_whole.any():
        number, sets = int(rows[is_whole].sum()), int(is_whole.sum())
        lines.append(
            f"duplicates: {counted(number, 'row')} in {counted(sets, 'group')} of equal or nearly "
            f"equal texts are kept in one split {'each' if sets > 1 else ''}".rstrip()
        )
    return lines
