"""Cells that a spreadsheet would run as formulas: an apostrophe before them, and back.

The apostrophe is also put before cells that have one already, so that none is lost: `=1` becomes
`'=1`, and `'=1` becomes `''=1`. A table with such cells says so by the column `ADDED`, without
which nothing is taken off when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any, Final

ADDED: Final = "apostrophe_added"
"""The column that names, for each row, the columns in which an apostrophe was added."""
_SIGNS: Final = "=+\\-@\N{MINUS SIGN}\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
"""The signs that formulas begin with, and their full-width and small forms."""
_BLANK: Final = "\\s\\x00-\\x1f\\x7f-\\x9f\u200b-\u200f\u2060\ufeff"
"""What programs may skip before such a sign."""
_NUMBER: Final = "-[0-9]+(?:[.,][0-9]+)*\\Z"
"""Negative numbers, which columns of numbers have: they are no formulas, and shown as they are."""
_FORMULA: Final = re.compile(f"'*(?!{_NUMBER})(?:[\\t\\r\\n]|[{_BLANK}]*[{_SIGNS}])")


def neutralized(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; numbers are returned as they are."""
    if cell is None or isinstance(cell, Number):
        return cell
    return f"'{cell}" if _FORMULA.match(text := str(cell)) else text


def restored(cell: Any) -> Any:
    """Return the cell that `neutralized` was given."""
    is_marked = isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell)
    return cell[1:] if is_marked else cell


def without_formulas(
    table: Mapping[str, Sequence[Any]], always: bool
) -> Mapping[str, Sequence[Any]]:
    """Return a table whose cells and names are neutralized, with the column `ADDED` at its end.

    The column is left out if no cell changes, unless it is there `always`, as in the first part of
    a table whose other parts may need it.
    """
    rows = len(next(iter(table.values()), ()))
    added: list[list[str]] = [[] for _ in range(rows)]
    names = [str(neutralized(name)) for name in table]
    columns: list[Sequence[Any]] = []
    for name, values in table.items():
        columns.append([neutralized(value) for value in values])
        for row, (before, after) in enumerate(zip(values, columns[-1], strict=True)):
            if isinstance(before, str) and after != before:
                added[row].append(name)
    if not (always or any(added) or names != list(table)):
        return table
    marks = [", ".join(of) and str(neutralized(", ".join(of))) for of in added]
    return dict(zip(names, columns, strict=True)) | {_free(names): marks}


def _free(names: Sequence[str]) -> str:
    """The name of the column, other than those that are there."""
    name = ADDED
    while name in names:
        name += "_"
    return name


def with_formulas(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the columns of a table that was read, as they were before `without_formulas`."""
    marked = [name for name in columns if name.rstrip("_") == ADDED]
    if not marked:
        return columns
    last = max(marked, key=len)
    return {
        str(restored(name)): list(map(restored, values))
        for name, values in columns.items()
        if name != last
    }
