"""Text tables: fields separated by a comma, a tab or the like, with or without quotes and header.

Quotes follow RFC 4180 strictly: text after a closing quote means that the file does not quote. So a
text that merely begins with a quote never swallows the lines after it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from finetext.core.budget import take_cells, take_fields
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.data.columns import KNOWN_NAMES, plain_name
from finetext.data.delimited_records import (
    LONE_RETURNS,
    Records,
    returns_end_lines,
    split_quoted,
    split_unquoted,
)
from finetext.data.formulas import with_formulas
from finetext.data.headers import Header, find_header, title_rows
from finetext.data.rows import BadRow, Batch, Reject
from finetext.data.skipped_rows import without_footers

_DELIMITERS: Final = (",", "\t", ";", "|")
_SAMPLE: Final = 1 << 18
_BEGINNING: Final = 1 << 12
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_SEPARATOR: Final = re.compile(r'[ \t]*"?sep=(\\t|[^"\r\n])"?[,;|\t ]*(?=[\r\n]|$)', re.I)
"""The first line by which Excel states the delimiter."""
_SPOKEN: Final = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "space"}


def spoken(delimiter: str) -> str:
    """A delimiter in words."""
    return _SPOKEN.get(delimiter, repr(delimiter))


def stated_delimiter(text: str) -> str:
    """The delimiter that a first line such as "sep=;" states; empty without one."""
    found = _SEPARATOR.match(text)
    return found[1].replace("\\t", "\t") if found else ""


def sniff(text: str, prefer: str | None, whole: bool = True) -> tuple[str | None, float]:
    """Find the delimiter of a text table from its beginning."""
    sample = text[:_SAMPLE]
    whole = whole and len(sample) == len(text)
    delimiters = list(filter(sample.__contains__, _DELIMITERS))
    even = {delimiter: _begins_evenly(sample, delimiter) for delimiter in delimiters}
    ranks: dict[str, tuple[bool, bool, bool, float]] = {}
    for delimiter in sorted(delimiters, key=even.__getitem__, reverse=True):
        if not even[delimiter] and any(share == 1.0 for *_, share in ranks.values()):
            continue  # it cannot be better
        ways = []
        for way in _ways(sample, sample, delimiter, whole):
            way = way.without_blank()
            ways.append(way if whole else way.where([*[True] * (len(way.records) - 1), False]))
            if _settles(ways[0], sample):
                break
        found = max(ways, key=lambda way: (way.consistency, way.quoted))
        if share := found.consistency:
            known = any(plain_name(cell) in KNOWN_NAMES for cell in found.records[0])
            ranks[delimiter] = (share == 1.0, known, delimiter == prefer, share)
    best = max(filter(ranks.__contains__, delimiters), key=ranks.__getitem__, default=None)
    return best, ranks[best][3] if best else 0.0


def _settles(rows: Records, sample: str) -> bool:
    """Whether no other way of reading has a better rank, or another first record."""
    if rows.consistency < 1.0 or '"' in "".join(rows.records[0]):
        return False
    return "\r" not in sample or LONE_RETURNS.search(sample) is None


def _ways(sample: str, part: str, delimiter: str, whole: bool) -> Iterator[Records]:
    """Yield part of a sample, read in all ways that the sample allows."""
    yield split_unquoted(part, delimiter)
    if '"' in sample or LONE_RETURNS.search(sample):  # else quotes do not change the records
        with suppress(csv.Error):
            yield split_quoted(part, delimiter, complete=whole)
    with suppress(csv.Error):
        if _may_be_padded(sample, delimiter):
            yield split_quoted(part, delimiter, complete=whole, padded=True)


def _begins_evenly(sample: str, delimiter: str) -> bool:
    """Whether all records of a sample may have as many fields, as those at its beginning have."""
    part = sample[: sample.rfind("\n", 0, _BEGINNING) + 1]
    if not part or "\r" in sample:
        return True
    ways = _ways(sample, part, delimiter, whole=False)
    return any(way.without_blank(width=2).is_even for way in ways)


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
    take_fields(text, delimiter, name)
    rows = _records(text, name, delimiter, whole, reject)
    take_cells(0, max(rows.width, *map(len, rows.records[:1]), 0), name)
    if not rows.records:
        return Batch(name, {}, "", rest=rows.rest)
    quoted = rows.quoted or (delimiter != "\t" and '"' not in text)
    rows, header = _with_header(rows, text, settings, _Form(
        name, delimiter, quoted, rows.padded, len(rows.records[0]), reject
    ))  # fmt: skip
    doubled = 0
    if not rows.quoted and '""' in text:
        cells = (cell for record in rows.records for cell in record if '""' in cell)
        doubled = sum('""' in cell[1:-1] and bool(_QUOTED.fullmatch(cell)) for cell in cells)
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
        proceed=proceed if rows.settled and not returns_end_lines(text) else None,
    )  # fmt: skip


def _with_header(
    rows: Records, text: str, settings: ReadSettings, form: _Form
) -> tuple[Records, Header]:
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


def _batch(name: str, rows: Records, header: Header, ended: bool = False) -> Batch:
    """The rows below a header, without those that repeat it or, at the end, close the table."""
    again = set(header.repeats(rows.records))
    repeats = [rows.lines[at] for at in sorted(again)]
    if again:
        rows = rows.where([at not in again for at in range(len(rows.records))])
    end, footers = without_footers(rows.records, rows.lines) if ended else (len(rows.records), {})
    kept = rows.records[:end]
    columns = {key: [row[at] for row in kept] for at, key in enumerate(header.names)}
    columns = with_formulas(columns)
    return Batch(
        name, columns, "", rows.lines[:end], rest=rows.rest, blank=rows.blank, repeats=repeats,
        footers=footers,
    )  # fmt: skip


def _more_rows(form: _Form, header: Header, text: str, first: int, last: bool) -> Batch:
    """Further records of a table, read as those before."""
    take_fields(text, form.delimiter, form.name)
    if not form.quoted or '"' not in text:
        rows = split_unquoted(text, form.delimiter, first, form.padded)
    else:
        try:
            rows = split_quoted(text, form.delimiter, last, first, form.reject, form.padded)
        except csv.Error as error:
            raise DataError(f"{form.name}, {error}") from None
    return _batch(form.name, _even(rows.without_blank(form.width), text, first, form), header)


def _records(text: str, name: str, delimiter: str, whole: bool, reject: Reject | None) -> Records:
    """The records of a text table, quoted if the quotes are well-formed throughout."""

    def plain() -> Records:
        return split_unquoted(text, delimiter).without_blank()

    if '"' not in text:
        rows = plain()
        if _is_padded(rows):
            rows = split_unquoted(text, delimiter, padded=True).without_blank()
        return rows
    if (padded := _padded(text, delimiter, whole)) is not None:
        return padded
    try:
        quoted = split_quoted(text, delimiter, whole).without_blank()
    except csv.Error as error:
        if (rows := plain()).consistency == 1.0:
            return rows
        if reject is not None:
            return split_quoted(text, delimiter, whole, reject=reject).without_blank()
        raise DataError(f"{name}, {error}") from None
    if delimiter != "\t" or (rows := plain()).consistency < 1.0:
        return quoted
    return replace(quoted, settled=False) if _quotes_on_purpose(text, rows, quoted) else rows


def _may_be_padded(text: str, delimiter: str) -> bool:
    """Whether a quote follows a delimiter and a space, and no quoted field ends before another."""
    if delimiter == "\t" or delimiter + ' "' not in text:
        return False
    return re.search(f'(?<!")"{re.escape(delimiter)}[^ \r\n]', text) is None


def _padded(text: str, delimiter: str, whole: bool) -> Records | None:
    """The records if a space follows every delimiter, and quotes stand behind it; else None."""
    if not _may_be_padded(text, delimiter):
        return None
    if len(text) > _SAMPLE:
        sample = text[: text.rfind("\n", 0, _SAMPLE) + 1]
        if _padded(sample, delimiter, whole=False) is None:
            return None
    try:
        rows = split_quoted(text, delimiter, whole, padded=True).without_blank()
    except csv.Error:
        return None
    with suppress(csv.Error):
        literal = split_quoted(text, delimiter, whole).without_blank()
        if literal.consistency == 1.0 and not _is_padded(literal):
            return None
    return rows if rows.consistency == 1.0 else None


def _is_padded(rows: Records) -> bool:
    """Whether every field after a delimiter begins with a space, the names aside."""
    fields = [cell for record in rows.records[1:3] for cell in record[1:]]
    if not any(fields):
        return False
    return all(not cell or cell[0] == " " for record in rows.records[1:] for cell in record[1:])


def _quotes_on_purpose(text: str, plain: Records, quoted: Records) -> bool:
    """Whether a tab-separated file quotes: a column throughout, header aside, or every field."""
    body = plain.records[1:] or plain.records
    if any(all(map(_QUOTED.fullmatch, column)) for column in zip(*body, strict=True)):
        return True
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(quoted.records)
    written = stream.getvalue().replace("\r\n", "\n").rstrip("\n")
    return text.replace("\r\n", "\n").startswith(written)


def _even(rows: Records, text: str, first: int, form: _Form) -> Records:
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
