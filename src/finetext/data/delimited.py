"""Text tables: fields separated by a comma, a tab or the like, with or without quotes and header.

`sniff` settles delimiter and quoting, `parse_delimited` reads. Quotes follow RFC 4180 strictly:
text after a closing quote means that the file does not quote, and then a quote is a character
like any other. So a text that merely begins with a quote never swallows the lines after it.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress, islice
from typing import Final

from finetext.data.raw import RawTable, column_names
from finetext.data.words import KNOWN_NAMES, plain_name
from finetext.errors import DataError
from finetext.types import Finding

DELIMITERS: Final = (",", "\t", ";", "|")
_SAMPLE: Final = 1 << 18
_LONGEST_RECORD: Final = 1 << 22
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_RETURN: Final = re.compile(r"\r(?!\r*\n)")
_SPOKEN: Final = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "space"}


@dataclass(frozen=True)
class Rows:
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


def spoken(delimiter: str) -> str:
    """A delimiter in words."""
    return _SPOKEN.get(delimiter, repr(delimiter))


def sniff(text: str, prefer: str | None, whole: bool = True) -> tuple[str | None, float]:
    """Find the delimiter of a text table from its beginning.

    Args:
        text: the file, or lines at its beginning.
        prefer: the delimiter that the file's ending suggests, or None.
        whole: whether the text is the whole file.

    Returns:
        the delimiter, or None if none makes two fields of most lines; and the share of records
        that have the usual number of fields.
    """
    sample = text[:_SAMPLE]
    whole = whole and len(sample) == len(text)
    best: tuple[bool, bool, bool, float, str | None] = (False, False, False, 0.0, None)
    for delimiter in DELIMITERS:
        rows = _best_rows(sample, delimiter, whole)
        if rows.width < 2 or not rows.records:
            continue
        known = any(plain_name(cell) in KNOWN_NAMES for cell in rows.records[0])
        full = rows.consistency == 1.0
        rank = (full, known, delimiter == prefer, rows.consistency, delimiter)
        if rank[:4] > best[:4]:
            best = rank
    return best[4], best[3]


def _best_rows(sample: str, delimiter: str, whole: bool) -> Rows:
    """The records of a sample in the way of quoting that gives the more even ones."""
    ways = [unquoted_rows(sample, delimiter)]
    with suppress(csv.Error):
        ways.append(quoted_rows(sample, delimiter, complete=whole))
    ways = [_without_blank(way) for way in ways]
    kept = [way if whole else Rows(way.records[:-1], way.lines[:-1], way.quoted) for way in ways]
    return max(kept, key=lambda rows: (rows.consistency if rows.width > 1 else 0.0, rows.quoted))


def parse_delimited(
    text: str,
    name: str,
    delimiter: str,
    header: bool | None = None,
    asked: Collection[str] = (),
    whole: bool = True,
) -> RawTable:
    """Read a text table whose delimiter is known.

    Args:
        text: the file, or lines at its beginning.
        name: what messages call the file.
        delimiter: one character.
        header: whether the first record holds column names; None finds out.
        asked: column names given by the user, which tell a header.
        whole: whether the text is the whole file.

    Raises:
        DataError: a record has more or fewer fields than the first; the message has its line.
    """
    rows = read_rows(text, name, delimiter, whole)
    if not rows.records:
        return RawTable(name, {}, "", rest=rows.rest)
    _refuse_ragged(rows, name, delimiter, len(rows.records[0]))
    headed = looks_headed(rows.records, asked) if header is None else header
    names = column_names(rows.records[0] if headed else range(1, len(rows.records[0]) + 1))
    body = rows.records[1:] if headed else rows.records
    quoted = rows.quoted or (delimiter != "\t" and '"' not in text)
    more = partial(_more_rows, name, delimiter, quoted, names)
    form = f"{spoken(delimiter)}-separated, {'with' if headed else 'no'} header"
    return RawTable(
        name,
        _columns(names, body),
        form + ("" if rows.quoted or '"' not in text else ", quotes taken as they are"),
        rows.lines[1:] if headed else rows.lines,
        findings=blank_lines(rows.blank, name) + _quotes_kept(rows, name),
        rest=rows.rest,
        proceed=more if rows.settled and not _returns_end_lines(text) else None,
    )


def _columns(names: Sequence[str], records: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    return {name: [record[place] for record in records] for place, name in enumerate(names)}


def _more_rows(
    name: str, delimiter: str, quoted: bool, names: list[str], text: str, first: int, last: bool
) -> RawTable:
    """Further records of a table, read as those before.

    Raises:
        DataError: the quotes are not well-formed, or a record has more or fewer fields.
    """
    try:
        rows = (
            quoted_rows(text, delimiter, last, first)
            if quoted and '"' in text
            else unquoted_rows(text, delimiter, first)
        )
    except csv.Error as error:
        raise DataError(f"{name}, {error}") from None
    rows = _without_blank(rows, len(names))
    _refuse_ragged(rows, name, delimiter, len(names))
    return RawTable(name, _columns(names, rows.records), "", rows.lines, rest=rows.rest)


def _quotes_kept(rows: Rows, name: str) -> tuple[Finding, ...]:
    """A note on fields that a program may have quoted, where quotes were taken as they are."""
    cells = (cell for record in rows.records for cell in record if '""' in cell[1:-1])
    doubled = 0 if rows.quoted else sum(bool(_QUOTED.fullmatch(cell)) for cell in cells)
    if not doubled:
        return ()
    message = (
        f"{name}: fields that look quoted, with quotes doubled inside ({doubled:,}), were taken "
        "as they are, since every line has the same number of fields without quoting"
    )
    return (Finding("note", "quotes-kept", message),)


def blank_lines(count: int, name: str) -> tuple[Finding, ...]:
    """A note on blank lines that were passed over, if there are any."""
    if not count:
        return ()
    message = f"{name}: {count:,} blank line{'s' if count > 1 else ''} passed over"
    return (Finding("note", "blank-lines", message),)


def read_rows(text: str, name: str, delimiter: str, whole: bool = True) -> Rows:
    """The records of a text table, quoted if the quotes are well-formed throughout.

    Raises:
        DataError: the quotes are not well-formed, and without quoting the records are uneven.
    """
    if '"' not in text:
        return _without_blank(unquoted_rows(text, delimiter))
    try:
        quoted = _without_blank(quoted_rows(text, delimiter, whole))
    except csv.Error as error:
        plain = _without_blank(unquoted_rows(text, delimiter))
        if plain.width > 1 and plain.consistency == 1.0:
            return plain
        raise DataError(f"{name}, {error}") from None
    if delimiter != "\t":
        return quoted
    plain = _without_blank(unquoted_rows(text, delimiter))
    even = plain.width > 1 and plain.consistency == 1.0
    on_purpose = even and (_quotes_on_purpose(plain) or _all_quoted(text, quoted, delimiter))
    return plain if even and not on_purpose else replace(quoted, settled=not even)


def _without_blank(rows: Rows, width: int | None = None) -> Rows:
    """Leave out lines of nothing but spaces, unless the table has one column only.

    Args:
        rows: the records.
        width: number of columns; None counts.
    """
    full = [len(record) > 1 or record[0].strip() != "" for record in rows.records]
    if all(full) or (width or rows.width) < 2:
        return rows
    return replace(
        rows,
        records=list(compress(rows.records, full)),
        lines=list(compress(rows.lines, full)),
        blank=rows.blank + full.count(False),
    )


def _quotes_on_purpose(rows: Rows) -> bool:
    """Whether some column of tab-separated fields is in quotes throughout, header aside.

    Tab-separated files as a rule do not quote, so quotes around some of the texts are their own.
    """
    body = rows.records[1:] or rows.records
    return any(all(map(_QUOTED.fullmatch, column)) for column in zip(*body, strict=True))


def _all_quoted(text: str, rows: Rows, delimiter: str) -> bool:
    """Whether the text is what a writer makes of the records that quotes every field."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(rows.records)
    written = stream.getvalue().replace("\r\n", "\n").rstrip("\n")
    return text.replace("\r\n", "\n").startswith(written)


def unquoted_rows(text: str, delimiter: str, first: int = 1) -> Rows:
    """Split lines, numbered from `first`, at every delimiter; quotes are ordinary characters."""
    if first == 1 and "\n" not in text:
        text = text.replace("\r", "\n")
    found = [
        (number, line.rstrip("\r").split(delimiter))
        for number, line in enumerate(text.split("\n"), start=first)
        if line.rstrip("\r")
    ]
    blank = text.rstrip("\r\n").count("\n") + 1 - len(found)
    return Rows([fields for _, fields in found], [number for number, _ in found], False, blank)


def quoted_rows(text: str, delimiter: str, complete: bool = True, first: int = 1) -> Rows:
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
    return Rows(records, lines, True, blank, rest)


def _mark_returns(text: str, further: bool) -> tuple[str, str]:
    """Replace carriage returns that end no line by a character that the text does not have.

    Some writers leave them unquoted, and the csv module would end the row there.

    Args:
        text: a text table, or a part of it.
        further: whether this is a further part of a file in which line feeds end the lines.

    Returns:
        the text and that character, or "" if nothing was replaced.
    """
    if not _RETURN.search(text) or (not further and _returns_end_lines(text)):
        return text, ""
    mark = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
    return _RETURN.sub(mark, text), mark


def _returns_end_lines(text: str) -> bool:
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


def _refuse_ragged(rows: Rows, name: str, delimiter: str, expected: int) -> None:
    wrong = [row for row, record in enumerate(rows.records) if len(record) != expected]
    if not wrong:
        return
    found = len(rows.records[wrong[0]])
    others = f"; {len(wrong):,} lines are so" if len(wrong) > 1 else ""
    raise DataError(
        f"{name}, line {rows.lines[wrong[0]]}: {expected} {spoken(delimiter)}-separated fields "
        f"expected as in the first line, {found} found{others}; quote the fields that contain "
        "the delimiter, or state another delimiter"
    )


def looks_headed(records: Sequence[Sequence[str]], asked: Collection[str] = ()) -> bool:
    """Whether the first record holds column names, `asked` ones or such as tables have."""
    first, body = records[0], records[1:]
    if any(cell.strip() in asked for cell in first):
        return True
    if not all(_could_name(cell) for cell in first) or not any(first):
        return False
    if any(plain_name(cell) in KNOWN_NAMES for cell in first):
        return True
    columns = [[record[place] for record in body] for place in range(len(first))]
    if not body or any(
        cell and cell in column for cell, column in zip(first, columns, strict=True)
    ):
        return False
    return any(len(set(column)) <= len(column) / 4 or _numeric(column) for column in columns)


def _could_name(cell: str) -> bool:
    return len(cell) <= 40 and not is_number(cell) and cell.count(" ") <= 2


def _numeric(column: Sequence[str]) -> bool:
    return all(is_number(cell) for cell in column)


def is_number(cell: str) -> bool:
    """Whether a field is a number, or several joined by commas."""
    return re.fullmatch(r"\s*[-+]?\d+([.,]\d+)*([eE][-+]?\d+)?\s*", cell) is not None
