"""Text tables: fields separated by a comma, a tab or the like, with or without quotes and header.

`sniff` settles delimiter and quoting, `parse_delimited` reads. Quotes follow RFC 4180 strictly:
text after a closing quote means that the file does not quote, and then a quote is a character
like any other. So a text that merely begins with a quote never swallows the lines after it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from typing import Final

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import KNOWN_NAMES, plain_name
from finetext.data.quoting import (
    Records,
    mended_rows,
    quoted_rows,
    returns_end_lines,
    unquoted_rows,
)
from finetext.data.rows import Aside, BadRow, Batch, column_names, lines_from

DELIMITERS: Final = (",", "\t", ";", "|")
_SAMPLE: Final = 1 << 18
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_SPOKEN: Final = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "space"}


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


def _best_rows(sample: str, delimiter: str, whole: bool) -> Records:
    """The records of a sample in the way of quoting that gives the more even ones."""
    ways = [unquoted_rows(sample, delimiter)]
    with suppress(csv.Error):
        ways.append(quoted_rows(sample, delimiter, complete=whole))
    ways = [_without_blank(way) for way in ways]
    kept = [way if whole else Records(way.records[:-1], way.lines[:-1], way.quoted) for way in ways]
    return max(kept, key=lambda rows: (rows.consistency if rows.width > 1 else 0.0, rows.quoted))


@dataclass(frozen=True)
class _Form:
    """How the records of a table are read that follow those which settled it.

    Attributes:
        name: what messages call the file.
        delimiter: one character.
        quoted: whether quotes are taken as such.
        names: the columns.
        aside: takes the records that cannot be read, or None.
    """

    name: str
    delimiter: str
    quoted: bool
    names: Sequence[str]
    aside: Aside | None


def parse_delimited(
    text: str,
    name: str,
    delimiter: str,
    settings: ReadSettings,
    whole: bool = True,
    aside: Aside | None = None,
) -> Batch:
    """Read a text table whose delimiter is known.

    Args:
        text: the file, or lines at its beginning.
        name: what messages call the file.
        delimiter: one character.
        settings: whether the first record holds column names; None finds out. Column names that
            are given tell a header.
        whole: whether the text is the whole file.
        aside: takes the records that cannot be read, which otherwise are an error.

    Raises:
        DataError: a record has more or fewer fields than the first; the message has its line.
    """
    rows = read_rows(text, name, delimiter, whole, aside)
    if not rows.records:
        return Batch(name, {}, "", rest=rows.rest)
    quoted = rows.quoted or (delimiter != "\t" and '"' not in text)
    form = _Form(name, delimiter, quoted, rows.records[0], aside)
    rows = _even(rows, text, 1, form)
    headed = settings.header
    if headed is None:
        headed = looks_headed(rows.records, settings.columns)
    names = column_names(rows.records[0] if headed else range(1, len(rows.records[0]) + 1))
    body = rows.records[1:] if headed else rows.records
    more = partial(_more_rows, replace(form, names=names))
    shown = f"{spoken(delimiter)}-separated, {'with' if headed else 'no'} header"
    return Batch(
        name,
        _columns(names, body),
        shown + ("" if rows.quoted or '"' not in text else ", quotes taken as they are"),
        rows.lines[1:] if headed else rows.lines,
        findings=blank_lines(rows.blank, name) + _quotes_kept(rows, name),
        rest=rows.rest,
        proceed=more if rows.settled and not returns_end_lines(text) else None,
    )


def _columns(names: Sequence[str], records: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    return {name: [record[place] for record in records] for place, name in enumerate(names)}


def _more_rows(form: _Form, text: str, first: int, last: bool) -> Batch:
    """Further records of a table, read as those before.

    Raises:
        DataError: the quotes are not well-formed, or a record has more or fewer fields.
    """
    if not form.quoted or '"' not in text:
        rows = unquoted_rows(text, form.delimiter, first)
    elif form.aside is not None:
        rows = mended_rows(text, form.delimiter, last, first, form.aside)
    else:
        try:
            rows = quoted_rows(text, form.delimiter, last, first)
        except csv.Error as error:
            raise DataError(f"{form.name}, {error}") from None
    rows = _even(_without_blank(rows, len(form.names)), text, first, form)
    return Batch(form.name, _columns(form.names, rows.records), "", rows.lines, rest=rows.rest)


def _quotes_kept(rows: Records, name: str) -> tuple[Finding, ...]:
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


def read_rows(
    text: str, name: str, delimiter: str, whole: bool = True, aside: Aside | None = None
) -> Records:
    """The records of a text table, quoted if the quotes are well-formed throughout.

    Args:
        text: the file, or lines at its beginning.
        name: what messages call the file.
        delimiter: one character.
        whole: whether the text is the whole file.
        aside: takes the records with broken quotes, which otherwise are an error.

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
        if aside is not None:
            return _without_blank(mended_rows(text, delimiter, whole, 1, aside))
        raise DataError(f"{name}, {error}") from None
    if delimiter != "\t":
        return quoted
    plain = _without_blank(unquoted_rows(text, delimiter))
    even = plain.width > 1 and plain.consistency == 1.0
    on_purpose = even and (_quotes_on_purpose(plain) or _all_quoted(text, quoted, delimiter))
    return plain if even and not on_purpose else replace(quoted, settled=not even)


def _without_blank(rows: Records, width: int | None = None) -> Records:
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


def _quotes_on_purpose(rows: Records) -> bool:
    """Whether some column of tab-separated fields is in quotes throughout, header aside.

    Tab-separated files as a rule do not quote, so quotes around some of the texts are their own.
    """
    body = rows.records[1:] or rows.records
    return any(all(map(_QUOTED.fullmatch, column)) for column in zip(*body, strict=True))


def _all_quoted(text: str, rows: Records, delimiter: str) -> bool:
    """Whether the text is what a writer makes of the records that quotes every field."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(rows.records)
    written = stream.getvalue().replace("\r\n", "\n").rstrip("\n")
    return text.replace("\r\n", "\n").startswith(written)


def _even(rows: Records, text: str, first: int, form: _Form) -> Records:
    """The records with as many fields as there are columns.

    Args:
        rows: records.
        text: what they were read from.
        first: the number of its first line.
        form: how; if nobody takes the others, they are an error.

    Raises:
        DataError: a record has more or fewer fields; the message has its line.
    """
    expected = len(form.names)
    wrong = [row for row, record in enumerate(rows.records) if len(record) != expected]
    if not wrong:
        return rows
    found = len(rows.records[wrong[0]])
    fields = f"{expected} {spoken(form.delimiter)}-separated fields expected as in the first line"
    if form.aside is None:
        others = f"; {len(wrong):,} lines are so" if len(wrong) > 1 else ""
        raise DataError(
            f"{form.name}, line {rows.lines[wrong[0]]}: {fields}, {found} found{others}; quote the "
            "fields that contain the delimiter, or state another delimiter"
        )
    for row in wrong:
        reason = f"{fields}, {len(rows.records[row])} found"
        content = lines_from(text, rows.lines, row, first)
        form.aside(BadRow(rows.lines[row], reason, content))
    good = [len(record) == expected for record in rows.records]
    return replace(
        rows, records=list(compress(rows.records, good)), lines=list(compress(rows.lines, good))
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
