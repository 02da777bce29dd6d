"""Are there enough rows of every class, in every part?"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np

from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.diagnosis.data_checks import Material, quoted

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


PRECISION: Final = 0.98
COVERAGE: Final = 0.2
MUCH_COVERAGE: Final = 0.5
FEWEST_ROWS: Final = 20
MOST_TOKENS: Final = 8


def giveaway_tokens(material: Material) -> list[Finding]:
    """Tokens that stand in a class and hardly anywhere else.

    A giveaway stands in 20 rows or more, 98% of which have the class, and in a fifth or more of
    the rows of the class; and it is wrong at most a tenth as often as always guessing the class.
    """
    scheme = material.scheme
    if scheme is None or not len(material):
        return []
    presence = material.tokens.presence
    rows_with = np.bincount(presence.indices, minlength=presence.shape[1])
    tokens = np.flatnonzero(rows_with >= FEWEST_ROWS)
    totals = material.indicators.sum(axis=0)
    hits = np.asarray(presence[:, tokens].T @ material.indicators)
    precision = hits / rows_with[tokens, None]
    coverage = hits / np.maximum(totals, 1)
    surprising = 1 - precision <= 0.1 * (1 - totals / len(material))
    found = np.argwhere((precision >= PRECISION) & (coverage >= COVERAGE) & surprising)
    if not len(found):
        return []
    found = found[np.argsort(-coverage[found[:, 0], found[:, 1]], kind="stable")]
    described = [
        f"{material.tokens.vocabulary[tokens[t]]!r} (in {rows_with[tokens[t]]:,} rows, "
        f"{precision[t, c]:.0%} of them {scheme.names[c]!r}; in {coverage[t, c]:.0%} of that class)"
        for t, c in found[:MOST_TOKENS]
    ]
    more = f", and {len(found) - MOST_TOKENS} more" if len(found) > MOST_TOKENS else ""
    message = (
        f"A single token nearly decides a class: {', '.join(described)}{more}. If it comes from "
        "how the data were made, remove it: a model will look at nothing else."
    )
    strong = coverage[tuple(found[0])] >= MUCH_COVERAGE
    rows = presence[:, [tokens[found[0, 0]]]].nonzero()[0]
    return [
        Finding(
            "warning" if strong else "note",
            "giveaway-tokens",
            message,
            material.name(np.sort(rows)),
        )
    ]
