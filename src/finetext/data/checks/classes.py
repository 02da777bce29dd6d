"""Are there enough rows of every class, in every part?"""

from __future__ import annotations

from typing import Final

import numpy as np

from finetext.data.checks.material import Material
from finetext.types import Finding

FEW_ROWS: Final = 20
UNEVEN: Final = 3.0
MOST_NAMES: Final = 8


def class_balance(material: Material) -> list[Finding]:
    """How uneven the classes are; an error if there is only one."""
    scheme = material.scheme
    if scheme is None or not len(material):
        return []
    totals = material.counts.sum(axis=0)
    present = np.flatnonzero(totals)
    if len(present) < 2 and not scheme.multilabel:
        only = f"all rows have the label {scheme.names[present[0]]!r}"
        return [Finding("error", "one-class", f"{only}; a classifier needs two classes or more.")]
    largest, smallest = (int(present[f(totals[present])]) for f in (np.argmax, np.argmin))
    ratio = totals[largest] / totals[smallest]
    if ratio < UNEVEN:
        return []
    share = totals[largest] / len(material)
    message = (
        f"The classes are uneven: {scheme.names[largest]!r} has {totals[largest]:,} rows "
        f"({share:.0%}), {scheme.names[smallest]!r} has {totals[smallest]:,}. Judge by macro F1 "
        "rather than accuracy; class weights or oversampling may help the smaller ones."
    )
    return [Finding("warning" if ratio >= 10 * UNEVEN else "note", "class-balance", message)]


def rare_classes(material: Material) -> list[Finding]:
    """Classes with too few rows to learn or to measure."""
    scheme = material.scheme
    if scheme is None:
        return []
    totals = material.counts.sum(axis=0)
    findings = []
    if len(rare := np.flatnonzero((totals > 0) & (totals < FEW_ROWS))):
        rows = np.flatnonzero(material.indicators[:, rare].any(axis=1))
        names = [f"{scheme.names[i]!r} ({totals[i]})" for i in rare]
        message = (
            f"{_classes(len(rare))} fewer than {FEW_ROWS} rows: {_listed(names)}. Collect more, or "
            "merge them with another class; scores of so few rows say little."
        )
        findings.append(Finding("warning", "rare-classes", message, material.name(rows)))
    if len(unused := np.flatnonzero(totals == 0)):
        names = [repr(scheme.names[i]) for i in unused]
        message = f"{_classes(len(unused))} no row at all: {_listed(names)}; it is never predicted."
        findings.append(Finding("note", "unused-classes", message))
    return findings


def missing_classes(material: Material) -> list[Finding]:
    """Classes that are in the data, but not in every part."""
    scheme = material.scheme
    if scheme is None or len(material.parts) < 2:
        return []
    findings = []
    there = material.counts.sum(axis=0) > 0
    for (part, _), counts in zip(material.parts, material.counts, strict=True):
        missing = np.flatnonzero(there & (counts == 0))
        if not len(missing):
            continue
        effect = "cannot be learnt" if part == "train" else "cannot be measured there"
        names = _listed([repr(scheme.names[i]) for i in missing])
        message = (
            f"{part} has no row of {names}, so {'it' if len(missing) == 1 else 'they'} {effect}; "
            "split anew, stratified, or collect more rows."
        )
        findings.append(Finding("warning", "missing-classes", message))
    return findings


def _classes(number: int) -> str:
    return "1 class has" if number == 1 else f"{number} classes have"


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
