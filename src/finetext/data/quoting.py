"""The records of a text table whose delimiter and way of quoting are known, with their lines.

Quotes follow RFC 4180 strictly. `mended_rows` does the same but for records with broken quotes,
which it sets aside.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final

from finetext.data.rows import Aside, BadRow

_LONGEST_RECORD: Final = 1 << 22
_MOST_LINES: Final = 100
_RETURN: Final = re.compile(r"\r(?!\r*\n)")


@dataclass(frozen=True)
class Records:
    """The records of a text table and the line each begins on.

    Attributes:
        records: the fields of each record.
        lines: the line each begins on.
        quoted: whether quotes were taken as such, not as characters like any other.
        blank: number of blank lines passed over.
        rest: text of a record at the end that is not complete.
        settled: whether no further record could show that `quoted` is wrong.
    """

    records: list[list[str]]
    lines: list[int]
    quoted: bool
    blank: int = 0
    rest: str = ""
    settled: bool = True

    @property
    def width(self) -> int:
        """The number of fields that most records have."""
        counts = Counter(map(len, self.records))
        return max(counts, key=lambda width: counts[width], default=0)

    @property
    def consistency(self) -> float:
        """The share of records that have that number of fields."""
        width = self.width
        return sum(len(record) == width for record in self.records) / max(1, len(self.records))


def unquoted_rows(text: str, delimiter: str, first: int = 1) -> Records:
    """Split lines, numbered from `first`, at every delimiter; quotes are ordinary characters."""
    if first == 1 and "\n" not in text:
        text = text.replace("\r", "\n")
    found = [
        (number, line.rstrip("\r").split(delimiter))
        for number, line in enumerate(text.split("\n"), start=first)
        if line.rstrip("\r")
    ]
    blank = text.rstrip("\r\n").count("\n") + 1 - len(found)
    return Records([fields for _, fields in found], [number for number, _ in found], False, blank)


def quoted_rows(text: str, delimiter: str, complete: bool = True, first: int = 1) -> Records:
    """Read records with quotes by RFC 4180.

    Args:
        text: the table, or its beginning.
        delimiter: one character.
        complete: whether a quote that stays open at the end is an error; if not, the record that
            it begins is left over, unless it is longer than any text.
        first: the number of the first line.

    Raises:
        csv.Error: text follows a closing quote, or a quote stays open; the message has the line.
    """
    text, mark = _mark_returns(text, further=first > 1)
    records, lines, blank, line, end = [], [], 0, first, len(text)
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    with _long_fields():
        try:
            for record in reader:
                if record:
                    records.append(record)
                    lines.append(line)
                blank += not record
                line = first + reader.line_num
        except csv.Error as error:
            stream.seek(0)
            end = sum(map(len, islice(stream, line - first)))
            if complete or len(text) - end > _LONGEST_RECORD or "unexpected end" not in str(error):
                raise csv.Error(
                    f"line {line}: the quotes are not well-formed ({error}); "
                    "a quote inside a quoted field must be doubled"
                ) from None
    if mark:
        records = [[cell.replace(mark, "\r") for cell in record] for record in records]
    rest = text[end:].replace(mark, "\r") if mark else text[end:]
    return Records(records, lines, True, blank, rest)


def _mark_returns(text: str, further: bool) -> tuple[str, str]:
    """Replace carriage returns that end no line by a character that the text does not have.

    Some writers leave them unquoted, and the csv module would end the row there.

    Args:
        text: a text table, or a part of it.
        further: whether this is a further part of a file in which line feeds end the lines.

    Returns:
        the text and that character, or "" if nothing was replaced.
    """
    if not _RETURN.search(text) or (not further and returns_end_lines(text)):
        return text, ""
    mark = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
    return _RETURN.sub(mark, text), mark


def returns_end_lines(text: str) -> bool:
    """Whether there are as many carriage returns that stand alone as line feeds."""
    alone = len(_RETURN.findall(text)) if "\r" in text else 0
    return alone > 0 and alone >= text.count("\n")


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lift the csv module's limit of 131,072 characters a field for a while."""
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def mended_rows(text: str, delimiter: str, complete: bool, first: int, aside: Aside) -> Records:
    """Read records as `quoted_rows` does, but set aside those with broken quotes.

    Such a record ends with the line in which its quotes are even again, or if there is none near,
    with its first line.

    Args:
        text: the table, or a part of it.
        delimiter: one character.
        complete: whether nothing follows.
        first: the number of the first line.
        aside: takes the records with broken quotes.
    """
    text, mark = _mark_returns(text, further=first > 1)
    lines = io.StringIO(text, newline="").readlines()
    records: list[list[str]] = []
    places: list[int] = []
    blank, start, rest = 0, 0, ""
    with _long_fields():
        while start < len(lines):
            source = (lines[number] for number in range(start, len(lines)))
            reader = csv.reader(source, delimiter=delimiter, strict=True)
            at = start
            try:
                for record in reader:
                    if record:
                        records.append(record)
                        places.append(first + at)
                    blank += not record
                    at = start + reader.line_num
                break
            except csv.Error as error:
                rest = "" if complete or "unexpected end" not in str(error) else "".join(lines[at:])
                if rest and len(rest) <= _LONGEST_RECORD:
                    break
                rest = ""
                start = _end_of_broken(lines, at)
                content = "".join(lines[at:start]).rstrip("\r\n")
                content = content.replace(mark, "\r") if mark else content
                aside(BadRow(first + at, f"the quotes are not well-formed ({error})", content))
    if mark:
        records = [[cell.replace(mark, "\r") for cell in record] for record in records]
    return Records(records, places, True, blank, rest.replace(mark, "\r") if mark else rest)


def _end_of_broken(lines: Sequence[str], start: int) -> int:
    """The line after a record with broken quotes."""
    if lines[start].count('"') % 2 == 0:
        return start + 1
    for number in range(start + 1, min(start + 1 + _MOST_LINES, len(lines))):
        if lines[number].count('"') % 2:
            return number + 1
    return start + 1
