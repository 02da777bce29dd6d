"""Plain line formats: one text a line, with its label before or after it, or with none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from finetext.core.errors import DataError
from finetext.core.types import Finding
from finetext.core.wording import LABEL_NAMES, TEXT_NAMES, plain_name
from finetext.data.delimited import blank_lines, spoken
from finetext.data.raw import Aside, BadRow, RawTable

FASTTEXT: Final = "__label__"
TEXT_A_LINE: Final = "one text a line"
LABEL_TAKEN_OFF: Final = "label-taken-off"
"""Code of the note that lines of a corpus are read without their labels."""
WHOLE_LINES: Final = "whole-lines"
"""Code of the warning that lines of a corpus are taken whole though they may have labels."""
_FORMS: Final = (("\t", "first", 3), ("\t", "last", 3), (";", "last", 3), (" ", "first", 10))
_MOST_LABELS: Final = 200


def numbered_lines(
    text: str, name: str, first: int = 1
) -> tuple[list[int], list[str], tuple[Finding, ...]]:
    """The lines that are not blank, with their numbers from `first`, and a note on those that are.

    Only a line feed ends a line, or a carriage return in a file without line feeds.
    """
    if first == 1 and "\n" not in text:
        text = text.replace("\r", "\n")
    kept = [
        (number, line.removesuffix("\r"))
        for number, line in enumerate(text.split("\n"), start=first)
        if line.strip()
    ]
    note = blank_lines(text.rstrip("\r\n").count("\n") + 1 - len(kept), name)
    return [number for number, _ in kept], [line for _, line in kept], note


def parse_fasttext(text: str, name: str, first: int = 1, aside: Aside | None = None) -> RawTable:
    """Read `__label__a __label__b the text`, one a line.

    Args:
        text: lines.
        name: what messages call the file.
        first: the number of the first line.
        aside: takes the lines without a label, which otherwise are an error.

    Raises:
        DataError: a line does not begin with a label.
    """
    every, lines, note = numbered_lines(text, name, first)
    numbers, labels, texts = [], [], []
    for number, line in zip(every, lines, strict=True):
        own, rest = [], line.strip()
        while rest.startswith(FASTTEXT):
            head, *tail = rest.split(None, 1)
            own.append(head.removeprefix(FASTTEXT).removesuffix(","))
            rest = (tail[0] if tail else "").removeprefix(", ")
        if not own:
            _refuse(number, line, f"no {FASTTEXT} at the beginning", name, aside)
            continue
        numbers.append(number)
        labels.append(own)
        texts.append(rest)
    several = any(len(own) > 1 for own in labels)
    columns = {"label": labels if several else [own[0] for own in labels], "text": texts}
    return RawTable(
        name, columns, "fastText lines", numbers, findings=note,
        proceed=lambda more, line, last: parse_fasttext(more, name, line, aside),
    )  # fmt: skip


def _refuse(number: int, line: str, reason: str, name: str, aside: Aside | None) -> None:
    """Set a line aside, or raise a `DataError` where nobody takes it."""
    if aside is None:
        raise DataError(f"{name}, line {number}: {reason}")
    aside(BadRow(number, reason, line))


def parse_edge_label(
    text: str, name: str, only: str | None = None, aside: Aside | None = None
) -> RawTable | None:
    """Read lines that hold a text and, before or after it, one of a few labels.

    Args:
        text: the file, or lines at its beginning.
        name: what messages call the file.
        only: the separator to try; None tries tab, semicolon and space.
        aside: takes further lines that do not fit, which otherwise are an error.

    Returns:
        the columns label and text, or None if no form fits all lines.
    """
    numbers, lines, note = numbered_lines(text, name)
    for separator, side, rows_each in _FORMS:
        if only not in (None, separator):
            continue
        pairs = [_split_at(line, separator, side) for line in lines]
        names = pairs[0]
        headed = plain_name(names[0]) in LABEL_NAMES and plain_name(names[1]) in TEXT_NAMES
        body = pairs[1:] if headed else pairs
        if not is_closed([label for label, _ in body], rows_each):
            continue
        columns = {"label": [label for label, _ in body], "text": [part for _, part in body]}
        shown = "label TEXT" if side == "first" else "TEXT label"
        form = f"lines of {shown}, {spoken(separator)} between".replace("TEXT", "text")
        places = numbers[1:] if headed else numbers
        more = partial(_more_edge_labels, name, separator, side, aside)
        return RawTable(name, columns, form, places, findings=note, proceed=more)
    return None


def _more_edge_labels(
    name: str, separator: str, side: str, aside: Aside | None, text: str, first: int, last: bool
) -> RawTable:
    """Further lines of a text and a label.

    Raises:
        DataError: a line holds no label, and nobody takes it.
    """
    where = "before" if side == "first" else "after"
    missing = f"no label {where} the text, {spoken(separator)} between, as in the lines above"
    every, lines, note = numbered_lines(text, name, first)
    numbers, labels, texts = [], [], []
    for number, line in zip(every, lines, strict=True):
        label, part = _split_at(line, separator, side)
        if not _could_label(label):
            _refuse(number, line, missing, name, aside)
            continue
        numbers.append(number)
        labels.append(label)
        texts.append(part)
    columns = {"label": labels, "text": texts}
    return RawTable(name, columns, "", numbers, findings=note)


def _split_at(line: str, separator: str, side: str) -> tuple[str, str]:
    """Label and text of a line; an empty label where there is no separator."""
    if side == "first":
        label, found, text = line.partition(separator)
    else:
        text, found, label = line.rpartition(separator)
    return (label.strip(), text) if found else ("", line)


def is_closed(labels: Sequence[str], rows_each: int = 3) -> bool:
    """Whether values are labels: short, never missing, and each in `rows_each` rows on average."""
    distinct = set(labels)
    few = min(_MOST_LABELS, max(2, len(labels) // rows_each))
    return (
        2 <= len(distinct) <= few
        and len(distinct) < len(labels)
        and all(map(_could_label, distinct))
    )


def _could_label(value: str) -> bool:
    return value != "" and len(value) <= 40 and value.count(" ") <= 3


def parse_texts(text: str, name: str, first: int = 1) -> RawTable:
    """Read every line that is not blank as a text without a label."""
    numbers, lines, note = numbered_lines(text, name, first)
    return RawTable(
        name, {"text": lines}, TEXT_A_LINE, numbers, findings=note,
        proceed=lambda more, line, last: parse_texts(more, name, line),
    )  # fmt: skip
