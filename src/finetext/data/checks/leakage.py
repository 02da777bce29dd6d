"""Are rows of one part also in another, so that the model has seen what it is tested on?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np

from finetext.data.checks.material import Material, quoted
from finetext.data.words import counted
from finetext.types import Finding, Integers

Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Shared:
    """What pairs of parts share.

    Attributes:
        pairs: the pairs in words, with counts.
        rows: positions of the rows of the second part of each pair, rising.
    """

    pairs: str
    rows: Integers

    @classmethod
    def of(cls, found: Iterable[tuple[Pair, int, Integers]], noun: str) -> Self | None:
        """Put pairs, how much each shares and in which rows, together; None if there are none."""
        found = list(found)
        if not found:
            return None
        pairs = [
            f"{counted(number, noun)} of {one} in {counted(len(rows), 'row')} of {other}"
            for (one, other), number, rows in found
        ]
        return cls("; ".join(pairs), np.unique(np.concatenate([rows for _, _, rows in found])))


def leakage(material: Material) -> list[Finding]:
    """Texts that stand word for word in two parts."""
    shared = Shared.of(shared_rows(material, material.copies), "text")
    if shared is None:
        return []
    message = (
        f"The same text word for word in two parts: {shared.pairs}, such as "
        f"{quoted(material.texts[shared.rows[0]])}. Leave these rows out of one of the two, or "
        "scores are too good."
    )
    return [Finding("warning", "leakage", message, material.name(shared.rows))]


def near_leakage(material: Material) -> list[Finding]:
    """Texts that stand in two parts with a few words changed."""
    exact = {pair: rows for pair, _, rows in shared_rows(material, material.copies)}
    near = (
        (pair, np.setdiff1d(rows, exact.get(pair, rows[:0])))
        for pair, _, rows in shared_rows(material, material.clusters)
    )
    pairs = [(pair, rows) for pair, rows in near if len(rows)]
    if not pairs:
        return []
    described = "; ".join(
        f"{counted(len(rows), 'row')} of {other} like one of {one}" for (one, other), rows in pairs
    )
    rows = np.unique(np.concatenate([rows for _, rows in pairs]))
    message = (
        f"Nearly the same text in two parts: {described}, such as "
        f"{quoted(material.texts[rows[0]])}. Look at them, and leave copies out of one of the two."
    )
    return [Finding("warning", "near-leakage", message, material.name(rows))]


def shared_rows(material: Material, numbers: Integers) -> Iterator[tuple[Pair, int, Integers]]:
    """Names of two parts, how many numbers they share, and the rows of the second with one."""
    for (i, (one, _)), (j, (other, _)) in combinations(enumerate(material.parts), 2):
        common = np.intersect1d(numbers[material.part == i], numbers[material.part == j])
        if len(common):
            rows = np.flatnonzero((material.part == j) & np.isin(numbers, common))
            yield (one, other), len(common), rows
