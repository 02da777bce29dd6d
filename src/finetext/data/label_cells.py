"""The labels of a row as one cell of a table, and what a reviewer writes beside them.

A label is written as it is. Several labels are joined by the first of `, `, `; ` and ` | ` of whose
sign no label has any; where each occurs in some label they are a JSON list. No label at all is
`(none)`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from typing import Final

from finetext.core.errors import DataError, UnknownNameError, nearest
from finetext.core.types import LabelScheme
from finetext.data.labels import COLLECTIONS, as_strings, missing
from finetext.data.rows import Batch

_JOINERS: Final = (",", "|", ";")
Names = tuple[str, ...]
Cell = str | tuple[str | None, ...] | None


def cells_of(table: Batch, column: str) -> list[Cell]:
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
    table: Batch, column: str, cells: Sequence[Cell], known: Names
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


_CELL_JOINERS: Final = (", ", "; ", " | ")


class Word(Enum):
    """What a reviewer can write instead of labels."""

    OK = "ok"
    DROP = "drop"
    NONE = "none"


def written(names: Sequence[str], scheme: LabelScheme) -> str:
    """The labels of a row as a cell, in the order of the scheme.

    Args:
        names: one name, or any number of them in a multi-label scheme.
        scheme: all names.
    """
    if not scheme.multilabel:
        return names[0]
    return joined([name for name in scheme.names if name in names], scheme)


def joined(names: Sequence[str], scheme: LabelScheme) -> str:
    """Several labels as a cell, in the order given."""
    joiner = _joiner(scheme)
    if joiner is None:
        return json.dumps(list(names), ensure_ascii=False)
    return joiner.join(names) or f"({Word.NONE.value})"


def _as_spelt(word: Word, scheme: LabelScheme) -> str:
    """A word as it must be spelt at least: in parentheses if a label is called so."""
    taken = any(name.casefold() == word.value for name in scheme.names)
    return f"({word.value})" if taken else word.value


def understood(cell: str, scheme: LabelScheme) -> tuple[str, ...] | Word:
    """What a reviewer wrote: labels, or that a row stays as it is or is dropped.

    A name of a label is always that label. The words `ok` and `drop`, and `none` where a row can
    have several labels, are understood in any case, with parentheses or, unless a label is called
    so, without.

    Args:
        cell: what was written; blank means `Word.OK`.
        scheme: the labels that there can be.

    Returns:
        `Word.OK`, `Word.DROP`, or the labels, in the order of the scheme.

    Raises:
        UnknownNameError: it is none of these; the message offers what is near.
        DataError: it should be a JSON list and is none.
    """
    for name in (cell, cell.strip()):
        if name in scheme.index:
            return (name,)
    cell = cell.strip()
    if not cell:
        return Word.OK
    known = [Word.OK, Word.DROP, *([Word.NONE] if scheme.multilabel else [])]
    for word in known:
        if cell.casefold() in (f"({word.value})", _as_spelt(word, scheme)):
            return () if word is Word.NONE else word
    if not scheme.multilabel:
        raise UnknownNameError("label", cell, scheme.names)
    parts = _parts(cell, scheme)
    for part in parts:
        if part not in scheme.index:
            raise UnknownNameError("label", part, scheme.names)
    return tuple(name for name in scheme.names if name in parts)


def _parts(cell: str, scheme: LabelScheme) -> list[str]:
    """The labels that a cell joins."""
    joiner = _joiner(scheme)
    if joiner is not None:
        return [part.strip() for part in cell.split(joiner.strip()) if part.strip()]
    try:
        several = json.loads(cell)
    except ValueError:
        several = None
    if not isinstance(several, list):
        raise DataError(f"{cell!r} must be one label or a JSON list of labels")
    return [str(name) for name in several]


def _joiner(scheme: LabelScheme) -> str | None:
    names = scheme.names
    if any(name.strip() != name or name.startswith(("(", "[")) for name in names):
        return None
    free = (sign for sign in _CELL_JOINERS if not any(sign.strip() in name for name in names))
    return next(free, None)
