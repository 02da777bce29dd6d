"""Text tables: fields separated by a comma, a tab or the like, with or without quotes and header.

Quotes follow RFC 4180 strictly: text after a closing quote means that the file does not quote. So a
text that merely begins with a quote never swallows the lines after it.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from typing import Final

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.data.columns import KNOWN_NAMES, headed_names, plain_name
from finetext.data.rows import BadRow, Batch, Reject

_DELIMITERS: Final = (",", "\t", ";", "|")
_SAMPLE: Final = 1 << 18
_LONGEST_RECORD: Final = 1 << 22
_MOST_LINES: Final = 100
_RETURN: Final = re.compile(r"\r(?!\r*\n)")
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_SPOKEN: Final = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "space"}


def spoken(delimiter: str) -> str:
    """A delimiter in words."""
    return _SPOKEN.get(delimiter, repr(delimiter))


def blank_lines(count: int, name: str) -> tuple[Finding, ...]:
    """Return a note on blank lines that were skipped, if there were any."""
    message = f"{name}: {count:,} blank line{'s' * (count > 1)} skipped"
    return (Finding("note", "blank-lines", message),) if count else ()


@dataclass(frozen=True)
class _Records:
    records: list[list[str]]
    lines: list[int]
    quoted: bool
    blank: int = 0
    rest: str = ""
    settled: bool = True

    @property
    def width(self) -> int:
        counts = Counter(map(len, self.records)).most_common(1)
        return counts[0][0] if counts else 0

    @property
    def consistency(self) -> float:
        """The share of records that have that number of fields, two or more; else 0."""
        width = self.width
        return sum(len(r) == width for r in self.records) / len(self.records) if width > 1 else 0.0

    def where(self, keep: Sequence[bool]) -> _Records:
        records, lines = list(compress(self.records, keep)), list(compress(self.lines, keep))
        return replace(self, records=records, lines=lines)

    def without_blank(self, width: int | None = None) -> _Records:
        """The records without lines of spaces only, unless the table has one column only."""
        full = [len(record) > 1 or record[0].strip() != "" for record in self.records]
        if all(full) or (width or self.width) < 2:
            return self
        return replace(self.where(full), blank=self.blank + full.count(False))


def sniff(text: str, prefer: str | None, whole: bool = True) -> tuple[str | None, float]:
    """Find the delimiter of a text table from its beginning."""
    sample = text[:_SAMPLE]
    whole = whole and len(sample) == len(text)
    best: tuple[bool, bool, bool, float, str | None] = (False, False, False, 0.0, None)
    for delimiter in _DELIMITERS:
        ways = [_unquoted(sample, delimiter)]
        with suppress(csv.Error):
            ways.append(_quoted(sample, delimiter, complete=whole))
        ways = [way.without_blank() for way in ways]
        if not whole:
            ways = [way.where([*[True] * (len(way.records) - 1), False]) for way in ways]
        found = max(ways, key=lambda way: (way.consistency, way.quoted))
        if share := found.consistency:
            known = any(plain_name(cell) in KNOWN_NAMES for cell in found.records[0])
            rank = (share == 1.0, known, delimiter == prefer, share, delimiter)
            best = rank if rank[:4] > best[:4] else best
    return best[4], best[3]


@dataclass(frozen=True)
class _Form:
    """How the records of a table are read after those that settled it."""

    name: str
    delimiter: str
    quoted: bool
    names: Sequence[str]
    reject: Reject | None


def parse_delimited(
    text: str,
    name: str,
    delimiter: str,
    settings: ReadSettings,
    whole: bool = True,
    reject: Reject | None = None,
) -> Batch:
    """Read a text table whose delimiter is known."""
    if len(delimiter) != 1:
        raise DataError(f"the delimiter must be one character, not {delimiter!r}")
    rows = _records(text, name, delimiter, whole, reject)
    if not rows.records:
        return Batch(name, {}, "", rest=rows.rest)
    quoted = rows.quoted or (delimiter != "\t" and '"' not in text)
    form = _Form(name, delimiter, quoted, rows.records[0], reject)
    rows = _even(rows, text, 1, form)
    headed, names = headed_names(rows.records, settings)
    cells = (cell for record in rows.records for cell in record if '""' in cell[1:-1])
    doubled = 0 if rows.quoted else sum(bool(_QUOTED.fullmatch(cell)) for cell in cells)
    kept = (
        f"{name}: fields that look quoted, with quotes doubled inside ({doubled:,}), were taken "
        "as they are, since every line has the same number of fields without quoting"
    )
    findings = blank_lines(rows.blank, name)
    findings += (Finding("note", "quotes-kept", kept),) if doubled else ()
    shown = f"{spoken(delimiter)}-separated, {'with' if headed else 'no'} header"
    if '"' in text and not rows.quoted:
        shown += ", quotes taken as they are"
    more = partial(_more_rows, replace(form, names=names))
    proceed = more if rows.settled and not _returns_end_lines(text) else None
    columns, lines = _columns(names, rows.records[headed:]), rows.lines[headed:]
    return Batch(name, columns, shown, lines, findings=findings, rest=rows.rest, proceed=proceed)


def _columns(names: Sequence[str], records: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    return {name: [record[place] for record in records] for place, name in enumerate(names)}


def _more_rows(form: _Form, text: str, first: int, last: bool) -> Batch:
    """Further records of a table, read as those before."""
    if not form.quoted or '"' not in text:
        rows = _unquoted(text, form.delimiter, first)
    else:
        try:
            rows = _quoted(text, form.delimiter, last, first, form.reject)
        except csv.Error as error:
            raise DataError(f"{form.name}, {error}") from None
    rows = _even(rows.without_blank(len(form.names)), text, first, form)
    return Batch(form.name, _columns(form.names, rows.records), "", rows.lines, rest=rows.rest)


def _records(text: str, name: str, delimiter: str, whole: bool, reject: Reject | None) -> _Records:
    """The records of a text table, quoted if the quotes are well-formed throughout."""

    def plain() -> _Records:
        return _unquoted(text, delimiter).without_blank()

    if '"' not in text:
        return plain()
    try:
        quoted = _quoted(text, delimiter, whole).without_blank()
    except csv.Error as error:
        if (rows := plain()).consistency == 1.0:
            return rows
        if reject is not None:
            return _quoted(text, delimiter, whole, reject=reject).without_blank()
        raise DataError(f"{name}, {error}") from None
    if delimiter != "\t" or (rows := plain()).consistency < 1.0:
        return quoted
    return replace(quoted, settled=False) if _quotes_on_purpose(text, rows, quoted) else rows


def _quotes_on_purpose(text: str, plain: _Records, quoted: _Records) -> bool:
    """Whether a tab-separated file quotes: a column throughout, header aside, or every field."""
    body = plain.records[1:] or plain.records
    if any(all(map(_QUOTED.fullmatch, column)) for column in zip(*body, strict=True)):
        return True
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(quoted.records)
    written = stream.getvalue().replace("\r\n", "\n").rstrip("\n")
    return text.replace("\r\n", "\n").startswith(written)


def _even(rows: _Records, text: str, first: int, form: _Form) -> _Records:
    """The records with as many fields as there are columns, of a text from line `first` on."""
    expected = len(form.names)
    wrong = [row for row, record in enumerate(rows.records) if len(record) != expected]
    if not wrong:
        return rows
    found = len(rows.records[wrong[0]])
    fields = f"{expected} {spoken(form.delimiter)}-separated fields expected as in the first line"
    if form.reject is None:
        others = f"; {len(wrong):,} lines differ" if len(wrong) > 1 else ""
        raise DataError(
            f"{form.name}, line {rows.lines[wrong[0]]}: {fields}, {found} found{others}; quote the "
            "fields that contain the delimiter, or state another delimiter"
        )
    lines = text.split("\n") if "\n" in text else text.split("\r")
    begins = [line - first for line in rows.lines] + [len(lines)]
    for row in wrong:
        content = "\n".join(lines[begins[row] : begins[row + 1]]).rstrip("\r\n")
        reason = f"{fields}, {len(rows.records[row])} found"
        form.reject(BadRow(rows.lines[row], reason, content))
    return rows.where([len(record) == expected for record in rows.records])


def _unquoted(text: str, delimiter: str, first: int = 1) -> _Records:
    """Split lines, numbered from `first`, at every delimiter; quotes are ordinary characters."""
    if first == 1 and "\n" not in text:
        text = text.replace("\r", "\n")
    lines = dict(enumerate((line.rstrip("\r") for line in text.split("\n")), start=first))
    found = {number: line.split(delimiter) for number, line in lines.items() if line}
    blank = text.rstrip("\r\n").count("\n") + 1 - len(found)
    return _Records(list(found.values()), list(found), False, blank)


def _quoted(
    text: str, delimiter: str, complete: bool, first: int = 1, reject: Reject | None = None
) -> _Records:
    """Read records with quotes by RFC 4180; an incomplete text may leave an open record over."""
    mark = ""
    # Some writers leave returns inside a line unquoted, and the csv module would end a row there.
    if _RETURN.search(text) and (first > 1 or not _returns_end_lines(text)):
        mark = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
        text = _RETURN.sub(mark, text)
    lines = io.StringIO(text, newline="").readlines()
    records: list[list[str]] = []
    places: list[int] = []
    blank, start, rest = 0, 0, ""
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # else 131,072 characters
    try:
        while start < len(lines):
            further = map(lines.__getitem__, range(start, len(lines)))
            reader = csv.reader(further, delimiter=delimiter, strict=True)
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
    return _Records(records, places, True, blank, rest.replace(mark, "\r") if mark else rest)


def _returns_end_lines(text: str) -> bool:
    """Whether there are as many carriage returns that stand alone as line feeds."""
    alone = len(_RETURN.findall(text)) if "\r" in text else 0
    return alone > 0 and alone >= text.count("\n")
