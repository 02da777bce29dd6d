"""Excel workbooks: the sheet with the texts, cell by cell as Excel means them.

Error cells such as #N/A are missing values, and the value of merged cells counts in each of their
rows.
"""

from __future__ import annotations

import datetime
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from finetext.core.budget import take, take_cells
from finetext.core.errors import (
    DataError,
    FinetextError,
    MissingExtraError,
    UnclearError,
    nearest,
)
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import counted, short
from finetext.data.excel_package import Package, opened_book
from finetext.data.formulas import with_formulas
from finetext.data.headers import find_header, title_rows
from finetext.data.rows import Batch
from finetext.data.skipped_rows import skipped_findings, without_footers

_SAMPLE: Final = 1000
Rows = dict[int, list[Any]]
"""Cells by the number of their row, without blank rows."""


@dataclass(frozen=True)
class _Sheet:
    """A sheet, with what was noticed when it was read."""

    title: str
    rows: Rows
    is_hidden: bool = False
    blank: int = 0
    errors: int = 0
    merged: int = 0
    uncomputed: int = 0

    @property
    def has_texts(self) -> bool:
        """Whether it has a column of texts: cells of three words or more on average."""
        for column in zip(*list(self.rows.values())[1:_SAMPLE], strict=True):
            texts = [cell for cell in column if isinstance(cell, str) and cell.strip()]
            if texts and sum(cell.count(" ") + 1 for cell in texts) >= 3 * len(texts):
                return True
        return False


def parse_excel(data: bytes, name: str, settings: ReadSettings) -> Batch:
    """Read one sheet of an Excel workbook: the requested one, or the only one that has texts."""
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise MissingExtraError("reading Excel files", "openpyxl", "excel") from None
    try:
        book, archive = opened_book(data, name)
        sheets = [_read_sheet(sheet, archive, name) for sheet in book.worksheets]
    except (MemoryError, FinetextError):
        raise
    except Exception as error:  # openpyxl lets errors of zipfile, XML and its own through
        raise DataError(f"{name} is not a readable Excel file: {short(str(error), 200)}") from None
    full = [sheet for sheet in sheets if sheet.rows]
    if settings.sheet is not None:
        sheet = _named(sheets, settings.sheet, name)
    elif not full:
        raise DataError(f"{name} is empty")
    else:
        sheet = _chosen(full, name)
    if not sheet.rows:
        raise DataError(f"{name}, sheet {sheet.title!r}, is empty")
    batch = _table(sheet, f"{name}, sheet {sheet.title!r}", settings)
    if other := [one for one in full if one is not sheet]:
        shown = ", ".join(f"{one.title!r} ({counted(len(one.rows), 'row')})" for one in other)
        message = f"{name}: sheet {sheet.title!r} is read, not {shown}; --sheet chooses another"
        left = Finding("note", "other-sheets", message)
        form = batch.form.replace("Excel", f"Excel, sheet {sheet.title!r} of several", 1)
        batch = replace(batch, form=form, findings=(left, *batch.findings))
    return batch


def _named(sheets: Sequence[_Sheet], asked: str, name: str) -> _Sheet:
    titles = [sheet.title for sheet in sheets]
    alike = [sheet for sheet in sheets if sheet.title.strip().lower() == asked.strip().lower()]
    exact = [sheet for sheet in sheets if sheet.title == asked]
    if len(exact or alike) != 1:
        offer = nearest(asked, titles)
        there = "" if "there are" in offer else f"; the sheets are: {', '.join(titles)}"
        raise DataError(f"{name} has no sheet {asked!r}{offer}{there}")
    return (exact or alike)[0]


def _chosen(full: Sequence[_Sheet], name: str) -> _Sheet:
    """The only sheet with rows, among the visible ones if there are any, or with texts."""
    seen = [sheet for sheet in full if not sheet.is_hidden] or list(full)
    several = [sheet for sheet in seen if len(sheet.rows) > 1] or seen
    found = several if len(several) == 1 else [sheet for sheet in several if sheet.has_texts]
    if len(found) == 1:
        return found[0]
    sizes = {one.title: counted(len(one.rows), "row") for one in found or seen}
    shown = ", ".join(f"{title!r} ({size})" for title, size in sizes.items())
    have = "several sheets with texts" if found else "several sheets with rows, none with texts"
    readings = {title: (size,) for title, size in sizes.items()}
    problem = f"{name} has {have}: {shown}"
    raise UnclearError(problem, "; name one with --sheet", "sheet", readings)


def _read_sheet(sheet: Any, archive: Package, name: str) -> _Sheet:
    full, errors = dict[int, list[Any]](), 0
    merged: list[tuple[int, int, int]] = []
    last = sheet.max_row or 0
    for line, cells in archive.rows(sheet, merged):
        row: list[Any] = []
        last = max(last, line)
        take_cells(0, max((cell["column"] for cell in cells), default=0), name)
        for cell in cells:
            row += [None] * (cell["column"] - len(row))
            is_error = cell["data_type"] == "e"
            errors += is_error
            row[cell["column"] - 1] = None if is_error else cell["value"]
        take(8 * len(row) + sum(map(_cost, row)), name)
        full[line] = row[: _width(row)]
    _fill_merged(full, merged, last, name)
    full = {line: full[line] for line in sorted(full) if _width(full[line])}
    width = max(map(len, full.values()), default=0)
    take(8 * width * len(full), name)
    rows = {line: [*row, *[None] * (width - len(row))] for line, row in full.items()}
    blank = max(full, default=0) - len(full)
    is_hidden = getattr(sheet, "sheet_state", "visible") != "visible"
    return _Sheet(sheet.title, rows, is_hidden, blank, errors, len(merged), archive.uncomputed)


def _cost(value: Any) -> int:
    """Bytes of a cell; a text counts as often as cells share it, since it is copied later."""
    return 64 if not isinstance(value, str) else sys.getsizeof(value)


def _fill_merged(rows: Rows, merged: Sequence[tuple[int, int, int]], last: int, name: str) -> None:
    """Repeat the value of merged cells in all rows that they span."""
    covered: Counter[int] = Counter()
    for top, bottom, column in merged:
        bottom = min(bottom, last)
        covered[column] += max(0, bottom - top)
        if covered[column] > last:
            raise DataError(f"{name} is not a readable Excel file: its merged cells overlap")
        value = ([*rows.get(top, ()), *[None] * column])[column - 1]
        take(max(0, bottom - top) * (_cost(value) + 8 * column), name)
        for line in range(top + 1, bottom + 1):
            row = rows.setdefault(line, [])
            row += [None] * (column - len(row))
            row[column - 1] = value


def _width(row: Sequence[object]) -> int:
    """The number of cells up to the last that is not blank."""
    full = (n for n, cell in enumerate(row, 1) if cell is not None and str(cell).strip())
    return max(full, default=0)


def _table(sheet: _Sheet, name: str, settings: ReadSettings) -> Batch:
    lines, rows = list(sheet.rows), list(sheet.rows.values())
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    titles = title_rows(texts, lines, settings)
    header = find_header(texts[titles:], settings, f"{name}, line {lines[titles]}", texts[:titles])
    first = titles + len(header.records)
    again = {first + at for at in header.repeats(texts[first:])}
    kept = [at for at in range(first, len(lines)) if at not in again]
    end, footers = without_footers([texts[at] for at in kept], [lines[at] for at in kept])
    kept = kept[:end]
    dates = (datetime.date, datetime.time)
    columns = {}
    for place, key in enumerate(header.names):
        cells = [rows[at][place] for at in kept]
        columns[key] = [cell.isoformat() if isinstance(cell, dates) else cell for cell in cells]
    skipped = skipped_findings(name, sheet.blank, [lines[at] for at in sorted(again)], footers)
    findings = (*header.findings, *_noticed(sheet, name), *skipped)
    form = f"Excel, {header.shown}"
    columns = with_formulas(columns)
    return Batch(name, columns, form, [lines[at] for at in kept], findings=findings)


def _noticed(sheet: _Sheet, name: str) -> Iterator[Finding]:
    """Findings on cells that are not read as they stand there."""
    if sheet.errors:
        message = f"{name}: {counted(sheet.errors, 'error cell')} such as #N/A read as missing"
        yield Finding("warning", "excel-errors", message)
    if sheet.uncomputed:
        message = (
            f"{name}: {counted(sheet.uncomputed, 'formula')} without a stored result read as "
            "missing; open the file in a spreadsheet program and save it"
        )
        yield Finding("warning", "excel-formulas", message)
    if sheet.merged:
        message = (
            f"{name}: {counted(sheet.merged, 'range')} of merged cells; the value of each counts "
            "in all its rows"
        )
        yield Finding("note", "merged-cells", message)
