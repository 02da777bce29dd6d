"""The records of a text table whose delimiter is known, with or without quotes."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from operator import itemgetter
from typing import Final

from finetext.data.rows import BadRow, Reject

_LONGEST_RECORD: Final = 1 << 22
_MOST_LINES: Final = 100
LONE_RETURNS: Final = re.compile(r"(?<!\r)\r+(?![\r\n])")
"""Carriage returns that end no line."""


def count_lines(text: str) -> int:
    """Return the number of lines; a last one needs no end."""
    return text.count("\n") + (text[-1:] not in ("", "\n"))


@dataclass(frozen=True)
class Records:
    """Records as lists of fields, and the line on which each begins.

    Attributes:
        quoted: whether quotes were taken as such, not as ordinary characters.
        blank: blank lines left out.
        rest: an open record at the end of an incomplete text.
        settled: whether more rows may be read in the same way.
        padded: whether spaces that begin a field were left out.
    """

    records: list[list[str]]
    lines: list[int]
    quoted: bool
    blank: int = 0
    rest: str = ""
    settled: bool = True
    padded: bool = False

    @cached_property
    def _widths(self) -> Counter[int]:
        return Counter(map(len, self.records))

    @cached_property
    def width(self) -> int:
        """The most frequent number of fields; 0 without records."""
        counts = self._widths.most_common(1)
        return counts[0][0] if counts else 0

    @property
    def consistency(self) -> float:
        """The share of records that have that number of fields, two or more; else 0."""
        return self._widths[self.width] / len(self.records) if self.width > 1 else 0.0

    @property
    def is_even(self) -> bool:
        """Whether all records but the last, which may be cut off, have as many fields."""
        return len(set(map(len, self.records[:-1]))) < 2

    def where(self, keep: Sequence[bool]) -> Records:
        """The records for which `keep` is true."""
        records, lines = list(compress(self.records, keep)), list(compress(self.lines, keep))
        return replace(self, records=records, lines=lines)

    def after(self, first: int) -> Records:
        """The records from number `first` on."""
        return replace(self, records=self.records[first:], lines=self.lines[first:])

    def without_blank(self, width: int | None = None) -> Records:
        """The records without lines of spaces and delimiters only, unless there is one column."""
        firsts = map(itemgetter(0), self.records)
        if (width or self.width) < 2 or all(map(str.strip, firsts)):
            return self  # most tables, at little cost
        full = [record[0].strip() != "" or any(map(str.strip, record)) for record in self.records]
        if all(full):
            return self
        return replace(self.where(full), blank=self.blank + full.count(False))


def split_unquoted(text: str, delimiter: str, first: int = 1, padded: bool = False) -> Records:
    """Split lines, numbered from `first`, at every delimiter; quotes are ordinary characters."""
    if first == 1 and "\n" not in text:
        text = text.replace("\r", "\n")
    lines = text.split("\n")
    if "\r" in text:
        lines = [line.rstrip("\r") for line in lines]
    places = [number for number, line in enumerate(lines, start=first) if line]
    records = [line.split(delimiter) for line in lines if line]
    blank = count_lines(text) - len(records)
    if padded:
        records = [[cell.lstrip(" ") for cell in record] for record in records]
    return Records(records, places, False, blank, padded=padded)


def split_quoted(
    text: str,
    delimiter: str,
    complete: bool,
    first: int = 1,
    reject: Reject | None = None,
    padded: bool = False,
) -> Records:
    """Read records with quotes by RFC 4180; an incomplete text may leave an open record over.

    In a padded text quotes may follow a space, and spaces that begin a field are no part of it.
    """
    mark = ""
    # Some writers leave returns inside a line unquoted, and the csv module would end a row there.
    if LONE_RETURNS.search(text) and (first > 1 or not returns_end_lines(text)):
        mark = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
        text = LONE_RETURNS.sub(lambda found: mark * len(found[0]), text)
    lines = _ended_lines(text)
    records: list[list[str]] = []
    places: list[int] = []
    blank, start, rest = 0, 0, ""
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # else 131,072 characters
    try:
        while start < len(lines):
            further = map(lines.__getitem__, range(start, len(lines)))
            reader = csv.reader(further, delimiter=delimiter, strict=True, skipinitialspace=padded)
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
                if 0 < len(rest) <= _LONGEST_RECORD:
                    break
                rest = ""
                odd = (line.count('"') % 2 for line in lines[at : at + 1 + _MOST_LINES])
                ends = [at + number for number, is_odd in enumerate(odd, start=1) if is_odd]
                start = ends[1] if ends[:1] == [at + 1] and len(ends) > 1 else at + 1
                content = "".join(lines[at:start]).rstrip("\r\n")
                content = content.replace(mark, "\r") if mark else content
                reason = f"the quotes are not well-formed ({error})"
                if reject is None:
                    advice = "a quote inside a quoted field must be doubled"
                    raise csv.Error(f"line {first + at}: {reason}; {advice}") from None
                reject(BadRow(first + at, reason, content))
    finally:
        csv.field_size_limit(limit)
    if mark:
        records = [[cell.replace(mark, "\r") for cell in record] for record in records]
    rest = rest.replace(mark, "\r") if mark else rest
    return Records(records, places, True, blank, rest, padded=padded)


def _ended_lines(text: str) -> list[str]:
    """The lines with their ends."""
    if "\r" in text:
        return io.StringIO(text, newline="").readlines()
    *lines, last = text.split("\n")  # takes less time
    return [f"{line}\n" for line in lines] + [last] * bool(last)


def returns_end_lines(text: str) -> bool:
    """Whether there are as many carriage returns that stand alone as line feeds."""
    alone = sum(map(len, LONE_RETURNS.findall(text))) if "\r" in text else 0
    return alone > 0 and alone >= text.count("\n")
