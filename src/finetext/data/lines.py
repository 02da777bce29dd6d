"""Plain line formats: one text a line, with its label before or after it, or with none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from finetext.data.delimited import blank_lines, spoken
from finetext.data.raw import RawTable
from finetext.data.words import LABEL_NAMES, TEXT_NAMES, plain_name
from finetext.errors import DataError
from finetext.types import Finding

FASTTEXT: Final = "__label__"
_FORMS: Final = (("\t", "first", 3), ("\t", "last", 3), (";", "last", 3), (" ", "first", 10))
_MOST_LABELS: Final = 200


def numbered_lines(text: str, name: str) -> tuple[list[int], list[str], tuple[Finding, ...]]:
    """The lines that are not blank, with their numbers from 1, and a note on those that are.

    Only a line feed ends a line, or a carriage return in a file without line feeds.
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = text.rstrip("\r\n").split("\n")
    kept = [
        (number, line.removesuffix("\r"))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    note = blank_lines(len(lines) - len(kept), name)
    return [number for number, _ in kept], [line for _, line in kept], note


def parse_fasttext(text: str, name: str) -> RawTable:
    """Read `__label__a __label__b the text`, one a line.

    Raises:
        DataError: a line does not begin with a label.
    """
    numbers, lines, note = numbered_lines(text, name)
    labels, texts = [], []
    for number, line in zip(numbers, lines, strict=True):
        own, rest = [], line.strip()
        while rest.startswith(FASTTEXT):
            head, *tail = rest.split(None, 1)
            own.append(head.removeprefix(FASTTEXT).removesuffix(","))
            rest = (tail[0] if tail else "").removeprefix(", ")
        if not own:
            raise DataError(f"{name}, line {number}: no {FASTTEXT} at the beginning")
        labels.append(own)
        texts.append(rest)
    several = any(len(own) > 1 for own in labels)
    columns = {"label": labels if several else [own[0] for own in labels], "text": texts}
    return RawTable(name, columns, "fastText lines", numbers, findings=note)


def parse_edge_label(text: str, name: str) -> RawTable | None:
    """Read lines that hold a text and, before or after it, one of a few labels.

    Returns:
        the columns label and text, or None if no form fits all lines.
    """
    numbers, lines, note = numbered_lines(text, name)
    for separator, side, rows_each in _FORMS:
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
        return RawTable(name, columns, form, places, findings=note)
    return None


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
        and "" not in distinct
        and all(len(label) <= 40 and label.count(" ") <= 3 for label in distinct)
    )


def parse_texts(text: str, name: str) -> RawTable:
    """Read every line that is not blank as a text without a label."""
    numbers, lines, note = numbered_lines(text, name)
    return RawTable(name, {"text": lines}, "one text a line", numbers, findings=note)
