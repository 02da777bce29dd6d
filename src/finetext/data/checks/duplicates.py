"""Does the same text, or nearly the same, stand in several rows of one part?"""

from __future__ import annotations

from typing import Final

import numpy as np

from finetext.data.checks.material import Material, quoted
from finetext.data.words import counted
from finetext.types import Finding, Integers

MANY: Final = 0.01
_REMEDY: Final = "Keep one of each, or they count several times in training and in the scores."


def duplicates(material: Material) -> list[Finding]:
    """Rows whose text occurred before in the same part, spaces aside."""
    rows = _later(material, material.copies, np.arange(len(material)))
    if not len(rows):
        return []
    message = (
        f"Repeated word for word: {counted(len(rows), 'row')} "
        f"({_per_part(material, rows)}), such as {quoted(material.texts[rows[0]])}. {_REMEDY}"
    )
    return [_finding(material, "duplicates", message, rows)]


def near_duplicates(material: Material) -> list[Finding]:
    """Rows whose text is nearly that of an earlier row of the same part."""
    distinct = np.unique(_within_parts(material, material.copies), return_index=True)[1]
    rows = _later(material, material.clusters, np.sort(distinct))
    if not len(rows):
        return []
    example = rows[0]
    message = (
        f"Nearly the same as an earlier row: {counted(len(rows), 'row')} "
        f"({_per_part(material, rows)}), such as {quoted(material.texts[example])}. {_REMEDY}"
    )
    return [_finding(material, "near-duplicates", message, rows)]


def _within_parts(material: Material, numbers: Integers) -> Integers:
    """Numbers made different between parts."""
    return numbers + material.part * len(material)


def _later(material: Material, numbers: Integers, rows: Integers) -> Integers:
    """Those of `rows` whose number occurred before among them in the same part."""
    first = np.unique(_within_parts(material, numbers)[rows], return_index=True)[1]
    return np.delete(rows, first)


def _per_part(material: Material, rows: Integers) -> str:
    counts = np.bincount(material.part[rows], minlength=len(material.parts))
    pairs = zip(material.parts, counts, strict=True)
    if len(material.parts) == 1:
        return f"{len(rows) / len(material):.1%} of all"
    return ", ".join(f"{name} {count:,}" for (name, _), count in pairs if count)


def _finding(material: Material, code: str, message: str, rows: Integers) -> Finding:
    many = len(rows) >= MANY * len(material)
    return Finding("warning" if many else "note", code, message, material.name(rows))
