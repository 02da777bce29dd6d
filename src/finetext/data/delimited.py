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
from finetext.data.columns import KNOWN_NAMES, plain_name
from finetext.data.headers import Header, find_header, title_rows
from finetext.data.rows import BadRow, Batch, Reject
from finetext.data.skipped_rows import without_footers

_DELIMITERS: Final = (",", "\t", ";", "|")
_SAMPLE: Final = 1 << 18
_LONGEST_RECORD: Final = 1 << 22
_MOST_LINES: Final = 100
_RETURN: Final = re.compile(r"\r(?!\r*\n)")
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_SEPARATOR: Final = re.compile(r'[ \t]*"?sep=(\\t|[^"\r\n])"?[,;|\t ]*(?=[\r\n]|$)', re.I)
"""The first line by which Excel states the delimiter."""
_SPOKEN: Final = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "space"}


def spoken(delimiter: str) -> str:
    """A delimiter in words."""
    return _SPOKEN.get(delimiter, repr(delimiter))


def count_lines(text: str) -> int:
    """Return the number of lines; a last one needs no end."""
    return text.count("\n") + (text[-1:] not in ("", "\n"))


def stated_delimiter(text: str) -> str:
    """The delimiter that a first line such as "sep=;" states; empty without one."""
    found = _SEPARATOR.match(text)
    return found[1].replace("\\t", "\t") if found else ""


@dataclass(frozen=True)
class _Records:
    records: list[list[str]]
    lines: list[int]
    quoted: bool
    blank: int = 0
    rest: str = ""
    settled: bool = True
    padded: bool = False

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

    def after(self, first: int) -> _Records:
        """The records from number `first` on."""
        return replace(self, records=self.records[first:], lines=self.lines[first:])

    def without_blank(self, width: int | None = None) -> _Records:
        """The records without lines of spaces and delimiters only, unless there is one column."""
        full = [record[0].strip() != "" or any(map(str.strip, record)) for record in self.records]
        if all(full) or (width or self.width) < 2:
            return self
        return replace(self.where(full), blank=self.blank + full.count(False))


def sniff(text: str, prefer: str | None, whole: bool = True) -> tuple[str | None, float]:
    """Find the delimiter of a text table from its beginning."""
    sample = text[:_SAMPLE]
    whole = whole and len(sample) == len(text)
    best: tuple[bool, bool, bool, float, str | None] = (False, False, False, 0.0, None)
    plain = '"' not in sample and not _RETURN.search(sample)  # else quotes change the records
    for delimiter in filter(sample.__contains__, _DELIMITERS):
        ways = [_unquoted(sample, delimiter)]
        with suppress(csv.Error):
            if not plain:
                ways.append(_quoted(sample, delimiter, complete=whole))
        with suppress(csv.Error):
            if _may_be_padded(sample, delimiter):
                ways.append(_quoted(sample, delimiter, complete=whole, padded=True))
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
    padded: bool
    width: int
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
    if found := _SEPARATOR.match(text):
        text = text[found.end() :]
    rows = _records(text, name, delimiter, whole, reject)
    if not rows.records:
        return Batch(name, {}, "", rest=rows.rest)
    quoted = rows.quoted or (delimiter != "\t" and '"' not in text)
    rows, header = _with_header(rows, text, settings, _Form(
        name, delimiter, quoted, rows.padded, len(rows.records[0]), reject
    ))  # fmt: skip
    cells = (cell for record in rows.records for cell in record if '""' in cell[1:-1])
    doubled = 0 if rows.quoted else sum(bool(_QUOTED.fullmatch(cell)) for cell in cells)
    kept = (
        f"{name}: fields that look quoted, with quotes doubled inside ({doubled:,}), were taken "
        "as they are, since every line has the same number of fields without quoting"
    )
    findings = (Finding("note", "quotes-kept", kept),) if doubled else ()
    shown = f"{spoken(delimiter)}-separated, {header.shown}"
    if '"' in text and not rows.quoted:
        shown += ", quotes taken as they are"
    form = _Form(name, delimiter, quoted, rows.padded, len(header.names), reject)
    proceed = partial(_more_rows, form, header)
    batch = _batch(name, rows.after(len(header.records)), header, ended=whole)
    return replace(
        batch, form=shown, findings=header.findings + findings, blank=rows.blank - bool(found),
        proceed=proceed if rows.settled and not _returns_end_lines(text) else None,
    )  # fmt: skip


def _with_header(
    rows: _Records, text: str, settings: ReadSettings, form: _Form
) -> tuple[_Records, Header]:
    """Records of equal length, titles above them aside, and their header."""
    if len(rows.records[0]) == rows.width - 1 and _lacks_a_name(rows.records):
        rows = replace(rows, records=[["", *rows.records[0]], *rows.records[1:]])
    titles = title_rows(rows.records, rows.lines, settings)
    above, rows = rows.records[:titles], rows.after(titles)
    rows = _even(rows, text, 1, replace(form, width=len(rows.records[0])))
    return rows, find_header(rows.records, settings, f"{form.name}, line {rows.lines[0]}", above)


def _lacks_a_name(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first column counts the rows and has no name, as R's write.table leaves it."""
    counted = [record[0] for record in records[1:]]
    return len(counted) > 1 and counted == list(map(str, range(1, len(records))))


def _batch(name: str, rows: _Records, header: Header, ended: bool = False) -> Batch:
    """The rows below a header, without those that repeat it or, at the end, close the table."""
    again = header.repeats(rows.records)
    repeats = [rows.lines[at] for at in again]
    if again:
        rows = rows.where([at not in set(again) for at in range(len(rows.records))])
    end, footers = without_footers(rows.records, rows.lines) if ended else (len(rows.records), {})
    kept = rows.records[:end]
    columns = {key: [row[at] for row in kept] for at, key in enumerate(header.names)}
    return Batch(
        name, columns, "", rows.lines[:end], rest=rows.rest, blank=rows.blank, repeats=repeats,
        footers=footers,
    )  # fmt: skip


def _more_rows(form: _Form, header: Header, text: str, first: int, last: bool) -> Batch:
    """Further records of a table, read as those before."""
    if not form.quoted or '"' not in text:
        rows = _unquoted(text, form.delimiter, first, form.padded)
    else:
        try:
            rows = _quoted(text, form.delimiter, last, first, form.reject, form.padded)
        except csv.Error as error:
            raise DataError(f"{form.name}, {error}") from None
    return _batch(form.name, _even(rows.without_blank(form.width), text, first, form), header)


def _records(text: str, name: str, delimiter: str, whole: bool, reject: Reject | None) -> _Records:
    """The records of a text table, quoted if the quotes are well-formed throughout."""

    def plain() -> _Records:
        return _unquoted(text, delimiter).without_blank()

    if '"' not in text:
        rows = plain()
        if _is_padded(rows):
            rows = _unquoted(text, delimiter, padded=True).without_blank()
        return rows
    if (padded := _padded(text, delimiter, whole)) is not None:
        return padded
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


def _may_be_padded(text: str, delimiter: str) -> bool:
    """Whether a quote follows a delimiter and a space, and no quoted field ends before another."""
    if delimiter == "\t" or delimiter + ' "' not in text:
        return False
    return re.search(f'(?<!")"{re.escape(delimiter)}[^ \r\n]', text) is None


def _padded(text: str, delimiter: str, whole: bool) -> _Records | None:
    """The records if a space follows every delimiter, and quotes stand behind it; else None."""
    if not _may_be_padded(text, delimiter):
        return None
    if len(text) > _SAMPLE:
        sample = text[: text.rfind("\n", 0, _SAMPLE) + 1]
        if _padded(sample, delimiter, whole=False) is None:
            return None
    try:
        rows = _quoted(text, delimiter, whole, padded=True).without_blank()
    except csv.Error:
        return None
    with suppress(csv.Error):
        literal = _quoted(text, delimiter, whole).without_blank()
        if literal.consistency == 1.0 and not _is_padded(literal):
            return None
    return rows if rows.consistency == 1.0 else None


def _is_padded(rows: _Records) -> bool:
    """Whether every field after a delimiter begins with a space, the names aside."""
    fields = [cell for record in rows.records[1:3] for cell in record[1:]]
    if not any(fields):
        return False
    return all(not cell or cell[0] == " " for record in rows.records[1:] for cell in record[1:])


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
    expected = form.width
    wrong = [row for row, record in enumerate(rows.records) if len(record) != expected]
    if not wrong:
        return rows
    found = len(rows.records[wrong[0]])
    fields = f"{expected} {spoken(form.delimiter)}-separated fields expected as in the first line"
    if form.reject is None:
        others = f"; {len(wrong):,} lines differ" if len(wrong) > 1 else ""
        raise DataError(
            f"{form.name}, line {rows.lines[wrong[0]]}: {fields}, {found} found{others}. Correct "
            "the line, quote fields that contain the delimiter, or set data.delimiter"
        )
    lines = text.split("\n") if "\n" in text else text.split("\r")
    begins = [line - first for line in rows.lines] + [len(lines)]
    for row in wrong:
        content = "\n".join(lines[begins[row] : begins[row + 1]]).rstrip("\r\n")
        reason = f"{fields}, {len(rows.records[row])} found"
        form.reject(BadRow(rows.lines[row], reason, content))
    return rows.where([len(record) == expected for record in rows.records])


def _unquoted(text: str, delimiter: str, first: int = 1, padded: bool = False) -> _Records:
    """Split lines, numbered from `first`, at every delimiter; quotes are ordinary characters."""
    if first == 1 and "\n" not in text:
        text = text.replace("\r", "\n")
    lines = dict(enumerate((line.rstrip("\r") for line in text.split("\n")), start=first))
    found = {number: line.split(delimiter) for number, line in lines.items() if line}
    blank = count_lines(text) - len(found)
    records = list(found.values())
    if padded:
        records = [[cell.lstrip(" ") for cell in record] for record in records]
    return _Records(records, list(found), False, blank, padded=padded)


def _quoted(
    text: str,
    delimiter: str,
    complete: bool,
    first: int = 1,
    reject: Reject | None = None,
    padded: bool = False,
) -> _Records:
    """Read records with quotes by RFC 4180; an incomplete text may leave an open record over.

    In a padded text quotes may follow a space, and spaces that begin a field are no part of it.
    """
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
    return _Records(records, places, True, blank, rest, padded=padded)


def _returns_end_lines(text: str) -> bool:
    """Whether there are as many carriage returns that stand alone as line feeds."""
    alone = len(_RETURN.findall(text)) if "\r" in text else 0
    return alone > 0 and alone >= text.count("\n")
