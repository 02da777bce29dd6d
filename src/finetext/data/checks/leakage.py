"""Are rows of one part also in another, so that the model has seen what it is tested on?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from finetext.data.checks.material import Material, counted, quoted
from finetext.types import Finding, Integers


def leakage(material: Material) -> list[Finding]:
    """Texts that stand word for word in two parts."""
    return [
        Finding(
            "warning",
            "leakage",
            f"Word for word in {one} and in {other}: {counted(texts, 'text')} "
            f"({counted(len(rows), 'row')} of {other}), such as "
            f"{quoted(material.texts[rows[0]])}. Leave these rows out of {other}, or its scores "
            "are too good.",
            material.name(rows),
        )
        for one, other, texts, rows in _shared(material, material.copies)
    ]


def near_leakage(material: Material) -> list[Finding]:
    """Texts that stand in two parts with a few words changed."""
    exact = {(one, other): rows for one, other, _, rows in _shared(material, material.copies)}
    findings = []
    for one, other, _, rows in _shared(material, material.clusters):
        rows = np.setdiff1d(rows, exact.get((one, other), rows[:0]))
        if len(rows):
            message = (
                f"Nearly the same as a row of {one}: {counted(len(rows), 'row')} of {other}, such "
                f"as {quoted(material.texts[rows[0]])}. Look at them, and leave copies out of "
                f"{other}."
            )
            findings.append(Finding("warning", "near-leakage", message, material.name(rows)))
    return findings


def group_leakage(material: Material) -> list[Finding]:
    """Groups with rows in two parts."""
    if material.groups is None:
        return []
    _, numbers = np.unique(np.asarray(material.groups, dtype=str), return_inverse=True)
    return [
        Finding(
            "warning",
            "group-leakage",
            f"In {one} and in {other}: {counted(groups, 'group')} "
            f"({counted(len(rows), 'row')} of {other}), such as "
            f"{material.groups[rows[0]]!r}. Split by group, or scores on {other} do not tell how "
            "the model does on groups it has never seen.",
            material.name(rows),
        )
        for one, other, groups, rows in _shared(material, numbers.astype(np.int64))
    ]


def _shared(material: Material, numbers: Integers) -> Iterator[tuple[str, str, int, Integers]]:
    """Names of two parts, how many numbers they share, and the rows of the second with one."""
    for (i, (one, _)), (j, (other, _)) in combinations(enumerate(material.parts), 2):
        common = np.intersect1d(numbers[material.part == i], numbers[material.part == j])
        if len(common):
            rows = np.flatnonzero((material.part == j) & np.isin(numbers, common))
            yield one, other, len(common), rows
