"""The checks: labels and classes, texts, duplicates, leakage between parts, giveaway tokens.

Each takes the material of `data_checks` and returns findings; the registry lists them all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Final, Literal

import numpy as np

from finetext.core import label_names
from finetext.core.arrays import Integers
from finetext.core.text_columns import as_one
from finetext.core.types import Finding
from finetext.core.wording import counted, short
from finetext.diagnosis.data_checks import Material
from finetext.evaluation.estimates import SIGNIFICANT
from finetext.evaluation.several import holm

FEW_ROWS: Final = 20
IMBALANCED: Final = 3.0
MOST_NAMES: Final = 8
FEWEST_GROUPS: Final = 20
MANY_DUPLICATES: Final = 0.01
MANY_TRUNCATED: Final = 0.1
MUCH_SHIFTED: Final = 0.1
PRECISION: Final = 0.98
COVERAGE: Final = 0.2
HIGH_COVERAGE: Final = 0.5
FEWEST_ROWS_WITH_TOKEN: Final = 20
MOST_TOKENS: Final = 8
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _severity(is_serious: bool) -> Literal["warning", "note"]:
    return "warning" if is_serious else "note"


def _have(number: int) -> str:
    return "1 class has" if number == 1 else f"{number} classes have"


def _listed(names: Sequence[str], most: int = MOST_NAMES) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def class_balance(material: Material) -> list[Finding]:
    """Return how imbalanced the classes are; an error if there is only one."""
    if (scheme := material.scheme) is None or not len(material):
        return []
    totals = material.counts.sum(axis=0)
    present = np.flatnonzero(totals)
    if len(present) < 2 and not scheme.multilabel:
        only = f"All rows have the label {scheme.names[present[0]]!r}"
        return [Finding("error", "one-class", f"{only}. A classifier needs two classes or more.")]
    largest, smallest = (int(present[f(totals[present])]) for f in (np.argmax, np.argmin))
    ratio = totals[largest] / totals[smallest]
    if ratio < IMBALANCED:
        return []
    message = (
        f"The classes are imbalanced: {scheme.names[largest]!r} has {totals[largest]:,} rows "
        f"({totals[largest] / len(material):.0%}), {scheme.names[smallest]!r} has "
        f"{totals[smallest]:,}. Judge by macro F1 rather than accuracy; class weights or "
        "oversampling may help the smaller classes."
    )
    return [Finding(_severity(ratio >= 10 * IMBALANCED), "class-balance", message)]


def rare_classes(material: Material) -> list[Finding]:
    """Return classes with too few rows to learn or to measure."""
    if (scheme := material.scheme) is None:
        return []
    totals = material.counts.sum(axis=0)
    findings = []
    if len(rare := np.flatnonzero((totals > 0) & (totals < FEW_ROWS))):
        rows = np.flatnonzero(material.indicators[:, rare].any(axis=1))
        names = _listed([f"{scheme.names[i]!r} ({totals[i]})" for i in rare])
        message = (
            f"{_have(len(rare))} fewer than {FEW_ROWS} rows: {names}. Collect more, or "
            "merge them with another class; scores on so few rows are unreliable."
        )
        if totals[rare].min() == 1:
            message += " A class with 1 row is in one fold only, which stops a cross-validated run."
        findings.append(Finding("warning", "rare-classes", message, material.name(rows)))
    if len(unused := np.flatnonzero(totals == 0)):
        names = _listed([repr(scheme.names[i]) for i in unused])
        message = f"{_have(len(unused))} no rows, so they are never predicted: {names}."
        findings.append(Finding("note", "unused-classes", message))
    return findings


def missing_classes(material: Material) -> list[Finding]:
    """Return classes that occur in the data, but not in every part."""
    if (scheme := material.scheme) is None or len(material.parts) < 2:
        return []
    findings = []
    total = material.counts.sum(axis=0)
    sizes, classes = material.counts.sum(axis=1), np.count_nonzero(total)
    # Elsewhere a stratified split is refused, or leaves a class with one row in train.
    can_be = min(total[total > 0]) >= len(material.parts) and min(sizes) >= classes
    can_be &= bool((material.counts[0][total > 0] > 1).all())
    for (part, _), counts in zip(material.parts, material.counts, strict=True):
        missing = np.flatnonzero((total > 0) & (counts == 0))
        if len(missing):
            advice = "Use a stratified split, or collect" if can_be else "Collect"
            effect = "cannot be learned" if part == "train" else "cannot be measured there"
            message = (
                f"{part} has no row of {_listed([repr(scheme.names[i]) for i in missing])}, so "
                f"{'it' if len(missing) == 1 else 'they'} {effect}. {advice} more rows."
            )
            findings.append(Finding("warning", "missing-classes", message))
    return findings


def label_shares(material: Material) -> list[Finding]:
    """Return classes whose share of a ready-made part is not that of train, beyond chance.

    Chi-square tests of each class and part, corrected by Holm. Rows in groups are left out, as
    labels within a group are alike, so such tests would be false alarms.
    """
    from scipy.stats import chi2_contingency

    scheme, names = material.scheme, [name for name, _ in material.parts]
    if scheme is None or names[:1] != ["train"] or material.groups is not None:
        return []
    sizes = np.array([len(part) for _, part in material.parts])
    tested, p_values = [], []
    for part in range(1, len(names)):
        for column in range(1 if scheme.is_binary else 0, len(scheme)):
            pair = material.counts[[0, part], column]
            table = np.stack([pair, sizes[[0, part]] - pair], axis=1)
            if (np.outer(table.sum(axis=1), table.sum(axis=0)) < 5 * table.sum()).any():
                continue  # too few rows expected for the test
            tested.append((part, column))
            p_values.append(float(chi2_contingency(table).pvalue))
    shares = material.counts / np.maximum(sizes, 1)[:, None]
    found = [at for at, p in zip(tested, holm(p_values), strict=True) if p < SIGNIFICANT]
    if not found:
        return []
    most = sorted(found, key=lambda at: -abs(shares[at] - shares[0, at[1]]))
    told = [
        f"{scheme.names[column]!r} is {shares[0, column]:.1%} of train and "
        f"{shares[part, column]:.1%} of {names[part]}"
        for part, column in most
    ]
    message = (
        f"The parts do not have the same shares of labels: {_listed(told, 3)}. Chance does not "
        "explain it, so they were drawn from different sources or times. Scores on such rows may "
        "not hold for new texts: find out which part is like them."
    )
    largest = abs(shares[most[0]] - shares[0, most[0][1]])
    return [Finding(_severity(largest >= MUCH_SHIFTED), "label-shares", message)]


def label_spelling(material: Material) -> list[Finding]:
    """Return labels that differ only in case, spaces or look-alike letters: probably the same."""
    if material.scheme is None:
        return []
    names, totals = material.scheme.names, material.counts.sum(axis=0)
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for column, name in enumerate(names):
        alike[label_names.look(name)].append(column)
    if not (several := [columns for columns in alike.values() if len(columns) > 1]):
        return []
    plain = {name: "".join(name.split()).casefold() for name in names}
    spaced = all(len({plain[names[i]] for i in s}) == 1 for s in several)
    shown = repr if spaced else ascii
    sets = "; ".join(" / ".join(f"{shown(names[i])} ({totals[i]:,})" for i in s) for s in several)
    smaller = [i for s in several for i in sorted(s, key=lambda i: -totals[i])[1:]]
    rows = np.flatnonzero(material.indicators[:, smaller].any(axis=1))
    what = "case or spaces" if spaced else "case, spaces or letters that look alike"
    message = f"Labels differ only in {what}: {sets}. If they mean the same, merge them."
    return [Finding("warning", "label-spelling", message, material.name(rows))]


def conflicting_labels(material: Material) -> list[Finding]:
    """Return texts that occur with different labels."""
    if (scheme := material.scheme) is None:
        return []
    first = material.copies
    differs = (material.indicators != material.indicators[first]).any(axis=1)
    texts = np.unique(first[differs])
    if not len(texts):
        return []
    rows = np.flatnonzero(np.isin(first, texts))
    other = int(np.flatnonzero(differs & (first == texts[0]))[0])
    labels = [
        " + ".join(scheme.names[i] for i in np.flatnonzero(material.indicators[row])) or "none"
        for row in (int(texts[0]), other)
    ]
    message = (
        f"The same text has different labels: {counted(len(texts), 'text')} in "
        f"{counted(len(rows), 'row')}, such as {short(material.texts[texts[0]], 60)!r}: "
        f"{labels[0]} and {labels[1]}. Decide on one label for each, or drop them: no model can "
        "get them all right."
    )
    return [Finding("warning", "conflicting-labels", message, material.name(rows))]


def blank_texts(material: Material) -> list[Finding]:
    """Return rows whose text is empty or only spaces; an error if all are."""
    if not len(material):
        return [Finding("error", "no-rows", "There are no rows.")]
    if not (rows := [i for i, text in enumerate(material.texts) if not text or text.isspace()]):
        return []
    if len(rows) == len(material):
        message = "Every text is blank. Is it the right column?"
        return [Finding("error", "blank-texts", message, material.name(rows))]
    message = f"Blank texts in {counted(len(rows), 'row')}. Remove the rows, or fill them in."
    return [Finding("warning", "blank-texts", message, material.name(rows))]


def control_characters(material: Material) -> list[Finding]:
    """Return invisible characters, mostly from text decoded with the wrong encoding."""
    texts = list(map(as_one, material.texts))
    if not (rows := [i for i, text in enumerate(texts) if _CONTROL.search(text)]):
        return []
    found = [match for i in rows for match in _CONTROL.finditer(texts[i])]
    start = max(found[0].start() - 20, 0)
    message = (
        f"Control characters in {counted(len(rows), 'text')} ({len(found):,} in all), such as "
        f"{found[0].string[start : start + 40]!r}. They are left unchanged; if they come from a "
        "wrong encoding, save the file again as UTF-8."
    )
    return [Finding("warning", "control-characters", message, material.name(rows))]


def duplicates(material: Material) -> list[Finding]:
    """Return rows whose text occurred before in the same part, spaces aside."""
    rows = _later(material, material.copies, np.arange(len(material)))
    return _duplicates(material, "duplicates", "Exact copies of an earlier row", rows)


def near_duplicates(material: Material) -> list[Finding]:
    """Return rows whose text is nearly that of an earlier row of the same part."""
    distinct = np.unique(_within_parts(material, material.copies), return_index=True)[1]
    rows = _later(material, material.clusters, np.sort(distinct))
    return _duplicates(material, "near-duplicates", "Near-duplicates of an earlier row", rows)


def _within_parts(material: Material, numbers: Integers) -> Integers:
    return numbers + material.part * len(material)


def _later(material: Material, numbers: Integers, rows: Integers) -> Integers:
    """Return those of `rows` whose number occurred before among them in the same part."""
    first = np.unique(_within_parts(material, numbers)[rows], return_index=True)[1]
    return np.delete(rows, first)


def _duplicates(material: Material, code: str, what: str, rows: Integers) -> list[Finding]:
    if not len(rows):
        return []
    where = f"{len(rows) / len(material):.1%} of all"
    if len(material.parts) > 1:
        counts = np.bincount(material.part[rows], minlength=len(material.parts))
        pairs = zip(material.parts, counts, strict=True)
        where = ", ".join(f"{name} {count:,}" for (name, _), count in pairs if count)
    message = (
        f"{what}: {counted(len(rows), 'row')} ({where}), such as "
        f"{short(material.texts[rows[0]], 60)!r}. Keep one of each, or they count several times in "
        "training and in the scores."
    )
    severity = _severity(len(rows) >= MANY_DUPLICATES * len(material))
    return [Finding(severity, code, message, material.name(rows))]


def leakage(material: Material) -> list[Finding]:
    """Return texts that occur word for word in two parts."""
    found = _overlaps(_shared(material, material.copies))
    advice = "Remove these rows from one of the two, or scores are too high."
    return _leakage(material, "leakage", "The same text in two parts", found, advice)


def near_leakage(material: Material) -> list[Finding]:
    """Return texts that occur in two parts with a few words changed."""
    exact = {pair: rows for pair, _, rows in _shared(material, material.copies)}
    found = [
        (f"{counted(len(rows), 'row')} of {pair[1]} like one of {pair[0]}", rows)
        for pair, _, near in _shared(material, material.clusters)
        if len(rows := np.setdiff1d(near, exact.get(pair, near[:0])))
    ]
    advice = "Review them, and remove copies from one of the two."
    return _leakage(material, "near-leakage", "Nearly the same text in two parts", found, advice)


def group_leakage(material: Material) -> list[Finding]:
    """Return groups with rows in two parts."""
    if material.groups is None:
        return []
    _, numbers = np.unique(np.asarray(material.groups, dtype=str), return_inverse=True)
    found = _overlaps(_shared(material, numbers.astype(np.int64)), "group")
    advice = "Split by group, or the scores do not hold for new groups."
    what = "Groups with rows in two parts"
    return _leakage(material, "group-leakage", what, found, advice, material.groups)


_Overlap = tuple[tuple[str, str], int, Integers]


def _shared(material: Material, numbers: Integers) -> Iterator[_Overlap]:
    """Yield names of two parts, how many numbers they share, and rows of the second with one."""
    for (i, (one, _)), (j, (other, _)) in combinations(enumerate(material.parts), 2):
        common = np.intersect1d(numbers[material.part == i], numbers[material.part == j])
        if len(common):
            rows = np.flatnonzero((material.part == j) & np.isin(numbers, common))
            yield (one, other), len(common), rows


def _overlaps(found: Iterable[_Overlap], noun: str = "text") -> list[tuple[str, Integers]]:
    return [
        (f"{counted(number, noun)} of {one} in {counted(len(rows), 'row')} of {other}", rows)
        for (one, other), number, rows in found
    ]


def _leakage(
    material: Material,
    code: str,
    what: str,
    found: Sequence[tuple[str, Integers]],
    advice: str,
    groups: Sequence[str] | None = None,
) -> list[Finding]:
    """Return the overlaps of all pairs of parts as one finding."""
    if not found:
        return []
    rows = np.unique(np.concatenate([rows for _, rows in found]))
    example = short(material.texts[rows[0]], 60) if groups is None else groups[rows[0]]
    pairs = "; ".join(pair for pair, _ in found)
    message = f"{what}: {pairs}, such as {example!r}. {advice}"
    return [Finding("warning", code, message, material.name(rows))]


def few_groups(material: Material) -> list[Finding]:
    """Return whether test has too few groups for intervals, which are drawn by group."""
    if material.groups is None:
        return []
    groups = {g for part, rows in material.parts if part == "test" for g in rows.groups or ()}
    if not 0 < len(groups) < FEWEST_GROUPS:
        return []
    effect = "have no interval" if len(groups) == 1 else "have an interval that is too narrow"
    message = (
        f"test has {counted(len(groups), 'group')}, fewer than {FEWEST_GROUPS}. Rows of a group "
        f"are alike and count as one, so scores on test {effect}. Put more groups into test."
    )
    return [Finding("warning", "few-groups", message)]


def giveaway_tokens(material: Material) -> list[Finding]:
    """Return tokens that occur in one class and hardly anywhere else."""
    if (scheme := material.scheme) is None or not len(material):
        return []
    presence, vocabulary = material.tokens.presence, material.tokens.vocabulary
    rows_with = np.bincount(presence.indices, minlength=presence.shape[1])
    tokens = np.flatnonzero(rows_with >= FEWEST_ROWS_WITH_TOKEN)
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
        f"{vocabulary[tokens[t]]!r} (in {rows_with[tokens[t]]:,} rows, {precision[t, c]:.0%} of "
        f"them {scheme.names[c]!r}; in {coverage[t, c]:.0%} of that class)"
        for t, c in found
    ]
    message = (
        f"A single token nearly decides a class: {_listed(described, MOST_TOKENS)}. If it is an "
        "artifact of how the data were collected, remove it: a model will rely on nothing else."
    )
    strong = coverage[tuple(found[0])] >= HIGH_COVERAGE
    rows = np.sort(presence[:, [tokens[found[0, 0]]]].nonzero()[0])
    return [Finding(_severity(strong), "giveaway-tokens", message, material.name(rows))]


def cut_texts(material: Material) -> list[Finding]:
    """Return texts that are longer than a model's input, so that it reads a part of them."""
    findings = []
    for each in material.inputs if len(material) else ():
        if len(rows := each.longer):
            severity = _severity(len(rows) > MANY_TRUNCATED * len(material))
            findings.append(Finding(severity, "cut-texts", each.words, material.name(rows)))
    return findings
