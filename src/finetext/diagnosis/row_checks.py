"""Are rows of one part also in another, so that the model has seen what it is tested on?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Self

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.diagnosis.data_checks import Material, ModelInput, quoted

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


FEWEST_GROUPS: Final = 20


def group_leakage(material: Material) -> list[Finding]:
    """Groups with rows in two parts."""
    if material.groups is None:
        return []
    _, numbers = np.unique(np.asarray(material.groups, dtype=str), return_inverse=True)
    shared = Shared.of(shared_rows(material, numbers.astype(np.int64)), "group")
    if shared is None:
        return []
    message = (
        f"Groups with rows in two parts: {shared.pairs}, such as "
        f"{material.groups[shared.rows[0]]!r}. Split by group, or scores do not tell how the "
        "model does on groups it has never seen."
    )
    return [Finding("warning", "group-leakage", message, material.name(shared.rows))]


def few_groups(material: Material) -> list[Finding]:
    """Too few groups in test for trustworthy intervals, which are drawn by group."""
    if material.groups is None:
        return []
    groups = {
        group for part, rows in material.parts if part == "test" for group in rows.groups or ()
    }
    if not 0 < len(groups) < FEWEST_GROUPS:
        return []
    rough = "have no interval" if len(groups) == 1 else "have a rough interval, mostly too narrow"
    message = (
        f"test has {counted(len(groups), 'group')}, fewer than {FEWEST_GROUPS}. Rows of one group "
        f"are alike and count as one, so scores on test {rough}; give test more groups."
    )
    return [Finding("warning", "few-groups", message)]


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


_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
MANY_CUT: Final = 0.1


def blank_texts(material: Material) -> list[Finding]:
    """Rows whose text is empty or spaces alone; an error if there is nothing else."""
    if not len(material):
        return [Finding("error", "no-rows", "There are no rows.")]
    rows = [i for i, text in enumerate(material.texts) if not text or text.isspace()]
    if not rows:
        return []
    if len(rows) == len(material):
        message = "Every text is blank; is it the right column?"
        return [Finding("error", "blank-texts", message, material.name(rows))]
    message = f"Blank texts in {counted(len(rows), 'row')}; leave them out, or fill them in."
    return [Finding("warning", "blank-texts", message, material.name(rows))]


def control_characters(material: Material) -> list[Finding]:
    """Characters that no one sees, mostly from text decoded with the wrong encoding."""
    rows = [i for i, text in enumerate(material.texts) if _CONTROL.search(text)]
    if not rows:
        return []
    found = sum(len(_CONTROL.findall(material.texts[i])) for i in rows)
    text = material.texts[rows[0]]
    match = _CONTROL.search(text)
    start = max(match.start() - 20, 0) if match else 0
    message = (
        f"Control characters in {counted(len(rows), 'text')} ({found:,} in all), such as "
        f"{text[start : start + 40]!r}. They are kept as they are; if they come from a "
        "wrong encoding, save the file as UTF-8 anew."
    )
    return [Finding("warning", "control-characters", message, material.name(rows))]


def cut_texts(material: Material) -> list[Finding]:
    """Texts longer than a model is given, of which the end is not seen."""
    return [
        finding for each in material.inputs for finding in _cut(each, material) if len(material)
    ]


def _cut(given: ModelInput, material: Material) -> list[Finding]:
    rows = np.flatnonzero(given.pieces > given.limit)
    if not len(rows):
        return []
    share = len(rows) / len(material)
    lost = 1 - np.minimum(given.pieces, given.limit).sum() / given.pieces.sum()
    verb = "is" if len(rows) == 1 else "are"
    message = (
        f"Longer than the {given.limit:,} word pieces that {given.encoder} is given of a text: "
        f"{counted(len(rows), 'text')} ({share:.1%}), which {verb} cut; {lost:.1%} of all pieces "
        "are not seen. If what matters stands at the end, shorten the texts, raise max_length, "
        "or take an encoder with a longer context."
    )
    many = share > MANY_CUT
    return [Finding("warning" if many else "note", "cut-texts", message, material.name(rows))]
