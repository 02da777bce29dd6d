"""Do the labels contradict each other?"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from finetext.data.checks.material import Material, quoted
from finetext.data.words import counted
from finetext.types import Finding


def label_spelling(material: Material) -> list[Finding]:
    """Labels that differ by case or spaces alone, and so are probably one."""
    if material.scheme is None:
        return []
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for column, name in enumerate(material.scheme.names):
        alike["".join(name.split()).casefold()].append(column)
    several = [columns for columns in alike.values() if len(columns) > 1]
    if not several:
        return []
    totals = material.counts.sum(axis=0)
    names = material.scheme.names
    sets = "; ".join(" / ".join(f"{names[i]!r} ({totals[i]:,})" for i in s) for s in several)
    smaller = [i for s in several for i in sorted(s, key=lambda i: -totals[i])[1:]]
    rows = np.flatnonzero(material.indicators[:, smaller].any(axis=1))
    message = f"Labels differ by case or spaces alone: {sets}. Write them alike if they are one."
    return [Finding("warning", "label-spelling", message, material.name(rows))]


def conflicting_labels(material: Material) -> list[Finding]:
    """The same text under two labels."""
    if material.scheme is None:
        return []
    first = material.copies
    differs = (material.indicators != material.indicators[first]).any(axis=1)
    texts = np.unique(first[differs])
    if not len(texts):
        return []
    rows = np.flatnonzero(np.isin(first, texts))
    other = int(np.flatnonzero(differs & (first == texts[0]))[0])
    labels = [_labels(material, row) for row in (int(texts[0]), other)]
    message = (
        f"Different labels for the same text: {counted(len(texts), 'text')} in "
        f"{counted(len(rows), 'row')}, such as {quoted(material.texts[texts[0]])}: "
        f"{labels[0]} and {labels[1]}. Decide on one label for each, or drop them: no model can "
        "get them all right."
    )
    return [Finding("warning", "conflicting-labels", message, material.name(rows))]


def _labels(material: Material, row: int) -> str:
    names = material.scheme.names if material.scheme else ()
    return " + ".join(names[i] for i in np.flatnonzero(material.indicators[row])) or "none"
