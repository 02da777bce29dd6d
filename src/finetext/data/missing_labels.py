"""Rows without a class: blank labels, codes for no answer such as -99, and texts out of scope."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from finetext.core import label_names
from finetext.core.errors import DataError, UnknownNameError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding, LabelScheme
from finetext.core.wording import counted
from finetext.data.column_words import unaccented
from finetext.data.columns import Chosen
from finetext.data.flags import ON, affirmative
from finetext.data.labels import Labels
from finetext.data.rows import ROWS_SHOWN, Source

_NEGATIVE: Final = {-7, -8, -9, -66, -77, -88, -97, -98, -99, -777, -888, -999, -9999}
_POSITIVE: Final = {77, 88, 97, 98, 99, 777, 888, 997, 998, 999, 9999}
_LONGEST_SCALE: Final = 10
_MOST_BELOW_9: Final = 7
_WORDS: Final = {
    "ka", "keineangabe", "keineantwort", "verweigert", "na", "nan", "null", "noanswer",
    "noresponse", "refused", "missing", "nr", "sansreponse", "sansopinion",
    "sinrespuesta", "nessunarisposta",
    "semresposta", "geenantwoord", "brakodpowiedzi", "未回答", "无回答",
}  # fmt: skip
"""Words that say that nobody answered; "don't know" can be a class."""


def coded_rows(
    values: Sequence[Any], settings: ReadSettings, findings: list[Finding]
) -> list[bool]:
    """Return whether the label of each row is one of the codes for no answer of the settings."""
    given = settings.missing
    asked = given if isinstance(given, tuple) else (given,)
    codes = {label_names.key(str(code)) for code in asked}
    is_coded = [codes and label_names.key(str(value)) in codes for value in values]
    shown = ", ".join(repr(str(code)) for code in asked)
    if any(is_coded):
        rows = counted(is_coded.count(True), "row")
        message = f"{rows} left out, with a label of data.missing ({shown})"
        findings.append(Finding("warning", "missing-codes", message))
    elif codes:
        message = f"data.missing = {shown} has no effect: no row has such a label"
        findings.append(Finding("warning", "unused-setting", message))
    return [bool(one) for one in is_coded]


def code_findings(labels: Labels, classes: Sequence[str]) -> list[Finding]:
    """Return a warning on classes that look like codes for no answer, with their rows.

    They are words such as "k.A." or "refused"; -7, -8, -9, -77, -99 and the like among numbers from
    0; 77, 88, 99, 999 and the like among numbers up to 10; and 9 among numbers up to 7.
    """
    plain = {name: "".join(filter(str.isalpha, unaccented(name))) for name in classes}
    codes = [name for name, word in plain.items() if word in _WORDS and not name.isalpha()]
    codes += [n for n, word in plain.items() if word in _WORDS - {"ka", "nr"} and n.isalpha()]
    codes += _numeric_codes([name for name in classes if name not in codes])
    if not codes or len(codes) == len(classes):
        return []
    rows = {name: sum(own == [name] for own in labels) for name in codes}
    each = ", ".join(f"{name!r} ({counted(count, 'row')})" for name, count in rows.items())
    option = "[" + ", ".join(f'"{name}"' for name in codes) + "]"
    message = (
        f"labels that look like codes for no answer are classes: {each}; if nobody answered there, "
        f"leave these rows out with --set data.missing={shlex.quote(option)}"
    )
    return [Finding("warning", "codes-as-classes", message)]


def scope_findings(labels: Labels, classes: Sequence[str]) -> list[Finding]:
    """Return a note for each class that sounds like the texts of no class, such as "oos"."""
    found = []
    for name in filter(label_names.says_no_class, classes):
        rows = counted(sum(own == [name] for own in labels), "row")
        message = (
            f"{name!r} ({rows}) is learned as a class; if these texts belong to none, recognize "
            f"such texts with --out-of-scope-label {shlex.quote(name)}"
        )
        found.append(Finding("note", "no-class-as-class", message))
    return found


def _numeric_codes(names: Sequence[str]) -> list[str]:
    """The names of numbers that are codes beside the others."""
    numbers = {name: int(name) for name in names if re.fullmatch(r"-?\d{1,18}", name)}
    if not numbers or len(numbers) < len(names):
        return []
    below = {name for name, number in numbers.items() if number in _NEGATIVE}
    above = {name for name, number in numbers.items() if number in _POSITIVE}
    scale = [number for name, number in numbers.items() if name not in below | above]
    if not scale or min(scale) < 0:
        return []
    found = below | (above if max(scale) <= _LONGEST_SCALE else set())
    others = [number for number in scale if number not in (8, 9)]
    if 9 in scale and others and max(others) < (_MOST_BELOW_9 if 8 in scale else 8):
        found |= {name for name, number in numbers.items() if number in (8, 9)}
    return [name for name in names if name in found]


def labeled_rows(
    labels: Labels,
    columns: Mapping[str, Sequence[Any]],
    source: Source,
    chosen: Chosen,
    settings: ReadSettings,
    findings: list[Finding],
) -> list[bool]:
    """Return which rows to keep; those without a label are an error, or left out if requested."""
    absent = [row for row, own in enumerate(labels) if own is None]
    if not absent or (not settings.labelled and not settings.drop_unlabelled):
        return [True] * len(labels)
    if not settings.drop_unlabelled:
        places = [columns["place"][row] for row in absent]
        batch = source.batches[places[0][0]]
        own_rows = [row for at, row in places if at == places[0][0]]
        kind = UnlabeledError if len(absent) == len(labels) else DataError
        several = len(chosen.labels) == 1 and any(len(own) > 1 for own in labels if own)
        blank = ", or say that a blank one means no label with --set data.multilabel=true"
        marks = {name.strip().casefold() for own in labels for name in own or ()}
        no = "; if a blank cell means no, write no there" if len(marks) == 1 and marks <= ON else ""
        raise kind(
            f"{batch.name}, column {', '.join(map(repr, chosen.labels))}: the label is missing in "
            f"{len(own_rows):,} of {counted(len(batch), 'row')} ({batch.where(own_rows)}); fill it "
            f"in, or leave these rows out with --drop-unlabelled{blank if several else no}"
        )
    are = "is" if len(absent) == 1 else "are"
    message = f"{counted(len(absent), 'row')} without a label {are} left out"
    ids = tuple(columns["id"][row] for row in absent[:ROWS_SHOWN])
    findings.append(Finding("warning", "unlabelled-dropped", message, ids))
    return [own is not None for own in labels]


def out_of_scope_rows(
    labels: Labels,
    scheme: LabelScheme,
    settings: ReadSettings,
    annotated: bool,
    findings: list[Finding],
) -> tuple[list[bool], LabelScheme]:
    """Return which rows have the label of texts that belong to no class, and the others' scheme."""
    asked = str(settings.out_of_scope)
    name = label_names.find(asked, scheme.names)
    if scheme.multilabel:
        raise DataError(
            f"data.out_of_scope = {asked!r} needs one label per row; a row with several labels can "
            "have none of them: leave its labels blank"
        )
    if annotated:
        raise DataError(
            f"data.out_of_scope = {asked!r} needs one row for each text, and several annotators "
            "labeled some: write the majority labels into one column, and name that with --label"
        )
    if len(scheme) == 1 and name is not None:
        raise DataError(
            f"every row has the label {name!r}, so no text is of any class; add some, or leave "
            "data.out_of_scope out"
        )
    if name is None:
        raise UnknownNameError(
            "label for data.out_of_scope (--out-of-scope-label)", asked, scheme.names
        )
    is_out = [own == [name] for own in labels]
    rest = tuple(other for other in scheme.names if other != name)
    message = (
        f"{counted(is_out.count(True), 'row')} with the label {name!r} belong to no class: nothing "
        "is learned from them"
    )
    findings.append(Finding("note", "out-of-scope", message))
    return is_out, replace(scheme, names=rest, affirmative=affirmative(rest))
