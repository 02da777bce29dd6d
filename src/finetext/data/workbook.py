"""Excel workbooks: tables as sheets, whose cells Excel shows as they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from finetext.core.arrays import finite, plain
from finetext.core.errors import DataError, MissingExtraError
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.label_cells import comma_joined

if TYPE_CHECKING:
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

LONGEST: Final = 32_767  # UTF-16 code units in a cell
ROWS: Final = 1_048_576  # in a sheet, its header included
_COLUMNS: Final = 16_384
_DIGITS: Final = 10**15  # Excel rounds larger numbers
_WIDEST: Final = 60
_ILLEGAL: Final = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "#")
_WHOLE: Final = re.compile("0|[1-9][0-9]{0,14}")


class Workbook:
    """A workbook that tables are appended to, in memory that does not grow with them."""

    def __init__(self) -> None:
        """Begin a workbook without sheets; raises a MissingExtraError."""
        check_installed()
        import openpyxl

        self._book = openpyxl.Workbook(write_only=True)
        self._sheets: dict[str, list[WriteOnlyWorksheet]] = {}
        self._rows: dict[str, int] = {}
        self._cut = self._replaced = 0

    def append(self, title: str, table: Mapping[str, Sequence[Any]]) -> None:
        """Append the rows of a table to a sheet, which a first table begins with its header.

        Lists of labels are joined by commas. In the column `id`, whole numbers are written as such,
        so that they are found by the formulas of a spreadsheet. Rows for which a sheet has no place
        are on further ones, called "TITLE 2" and so on.
        """
        if title not in self._sheets:
            self._sheets[title] = []
            self._begin(title, table)
        for row in zip(*table.values(), strict=True):
            if self._rows[title] == ROWS:
                self._begin(title, table)
            sheet = self._sheets[title][-1]
            pairs = zip(table, row, strict=True)
            sheet.append(
                [self._cell(sheet, value, name.casefold() == "id") for name, value in pairs]
            )
            self._rows[title] += 1

    def _begin(self, title: str, table: Mapping[str, Sequence[Any]]) -> None:
        from openpyxl.utils import get_column_letter

        if len(table) > _COLUMNS:
            raise DataError(
                f"the table has {len(table):,} columns, and a sheet of Excel {_COLUMNS:,} at most; "
                "write .csv or .parquet"
            )
        sheets = self._sheets[title]
        sheet = self._book.create_sheet(title if not sheets else f"{title} {len(sheets) + 1}")
        sheet.freeze_panes = "A2"
        for place, (name, values) in enumerate(table.items(), start=1):
            longest = max((len(str(value)) for value in (name, *values[:100])), default=0)
            letter = get_column_letter(place)
            sheet.column_dimensions[letter].width = min(max(longest, 8) + 2, _WIDEST)
        sheet.append([self._cell(sheet, name, False) for name in table])
        sheets.append(sheet)
        self._rows[title] = 1

    def _cell(self, sheet: WriteOnlyWorksheet, value: Any, is_id: bool) -> Any:
        """Return a value as a cell; text that looks like a formula or an error stays text."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and not value:
            return None
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, int):
            return value if abs(value) < _DIGITS else str(value)
        if is_id and isinstance(value, str) and _WHOLE.fullmatch(value):
            return int(value)
        text = self._legal(value if isinstance(value, str) else _as_text(value))
        if not text.startswith(_FORMULA):
            return text
        from openpyxl.cell import WriteOnlyCell

        cell = WriteOnlyCell(sheet, text)
        cell.data_type = "s"
        cell.quotePrefix = True  # it stays text when it is edited
        return cell

    def _legal(self, text: str) -> str:
        """Return text as a cell holds it; count the cells that change."""
        legal = _ILLEGAL.sub(_REPLACED, text)
        self._replaced += legal != text
        held = cell_text(text)
        self._cut += held != legal
        return held

    def save(self, file: BinaryIO) -> None:
        """Write the workbook to an open file."""
        self._book.save(file)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What Excel could not hold, as warnings."""
        said = []
        if self._cut:
            said.append(
                f"{_cells(self._cut, 'is', 'are')} longer than the {LONGEST:,} characters that "
                "Excel allows, cut there and marked with …; .csv holds all of them"
            )
        if self._replaced:
            said.append(
                f"{_cells(self._replaced, 'has', 'have')} control characters that Excel does "
                f"not allow, written as {_REPLACED}; .csv keeps them"
            )
        if more := [title for title, sheets in self._sheets.items() if len(sheets) > 1]:
            said.append(
                f"the sheet {more[0]!r} is full at {ROWS - 1:,} rows; the rest are on "
                f"{self._sheets[more[0]][1].title!r} and the sheets after it"
            )
        return tuple(Finding("warning", "excel-limits", message) for message in said)


def cell_text(text: str) -> str:
    """Return a text as a cell holds it: without control characters, and cut if it is too long."""
    legal = _ILLEGAL.sub(_REPLACED, text)
    if len(legal) * 2 > LONGEST and len(units := legal.encode("utf-16-le")) > 2 * LONGEST:
        return units[: 2 * (LONGEST - 1)].decode("utf-16-le", "ignore") + "…"
    return legal


def check_installed() -> None:
    """Raise a MissingExtraError if Excel files cannot be written here."""
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise MissingExtraError("writing Excel files", "openpyxl", "excel") from None


def _cells(count: int, of_one: str, of_more: str) -> str:
    return f"{counted(count, 'cell')} {of_one if count == 1 else of_more}"


def _as_text(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(of, str) for of in value):
        return str(comma_joined(list(value)))
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(finite(value), ensure_ascii=False, default=plain)
    return str(plain(value))
