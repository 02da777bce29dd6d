"""Cells of a column of labels, where it is known which labels there are."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from finetext.data.labels import COLLECTIONS, as_strings, missing
from finetext.data.raw import RawTable
from finetext.errors import DataError, nearest

_JOINERS: Final = (",", "|", ";")

Names = tuple[str, ...]
Cell = str | tuple[str | None, ...] | None


def cells_of(table: RawTable, column: str) -> list[Cell]:
    """Values of a column of labels: a string, a tuple where it is a list, None where empty."""
    values = table.columns[column]
    if any(isinstance(value, COLLECTIONS) for value in values):
        return [
            tuple(as_strings(list(value))) if isinstance(value, COLLECTIONS)
            else None if missing(value) else str(value)
            for value in values
        ]  # fmt: skip
    return list(as_strings(values))


def labels_of(
    table: RawTable, column: str, cells: Sequence[Cell], known: Names
) -> tuple[list[Names], bool]:
    """The labels in each cell of a column, and whether some cell is a list or holds several.

    Raises:
        DataError: a label has no column of probabilities.
    """
    labels = set(known)
    apart = {cell: _taken_apart(cell, labels) for cell in set(cells)}
    if None in apart.values():
        row = next(row for row, cell in enumerate(cells) if apart[cell] is None)
        odd = cells[row]
        told = odd if isinstance(odd, str) else next(n for n in odd or () if n not in labels)
        offered = nearest(str(told), list(known))
        raise DataError(
            f"{table.name}, {table.where([row])}, column {column!r}: the label {told!r} has no "
            f"column of probabilities{offered}"
        )
    several = any(cell is not None and cell not in labels for cell in apart)
    return [apart[cell] or () for cell in cells], several


def _taken_apart(cell: Cell, known: set[str]) -> Names | None:
    """The labels in a cell, none if it is empty; None if one of them is not known."""
    if cell is None:
        return ()
    if isinstance(cell, tuple):
        names = tuple(dict.fromkeys(str(name) for name in cell))
        return names if known.issuperset(names) else None
    if cell in known:
        return (cell,)
    if cell.startswith("["):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return _taken_apart(tuple(as_strings(list(ast.literal_eval(cell)))), known)
    for joiner in _JOINERS:
        parts = tuple(dict.fromkeys(p.strip() for p in cell.split(joiner) if p.strip()))
        if parts and known.issuperset(parts):
            return parts
    return None


def parts_of(cell: Cell) -> list[str]:
    """All that a cell might name: itself, and its parts if several labels are joined in it."""
    if isinstance(cell, str):
        return [cell, *(part.strip() for joiner in _JOINERS for part in cell.split(joiner))]
    return [name for name in cell or () if name is not None]
