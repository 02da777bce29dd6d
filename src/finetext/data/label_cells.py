"""Labels in cells: one notation for values that hold one label or several.

For review, several labels are joined by the first of `, `, `; ` and ` | ` whose sign occurs in no
label, or are a JSON list if there is none. In predictions they are joined by commas, or are a JSON
list if one has a comma. When read, a cell can also hold a list as Python writes it.
"""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Final

from finetext.core import label_names
from finetext.core.errors import DataError, UnknownNameError
from finetext.core.types import LabelScheme

COLLECTIONS: Final = (list, tuple, set, frozenset)
"""The types of a value that holds several labels."""
_LONGEST: Final = 1 << 16
"""Characters of a cell that is read as Python, of which a few take much memory."""
_JOINERS: Final = (",", "|", ";")
_DOCCANO_JOINER: Final = "#"
_REVIEW_JOINERS: Final = (", ", "; ", " | ")
Names = tuple[str, ...]
Cell = str | tuple[str | None, ...] | None
"""A string, a tuple where the value is a collection, None where it is missing."""


def missing(value: Any) -> bool:
    """Whether a value is missing: None, not-a-number, or nothing but spaces."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and value != value)


def as_strings(values: Sequence[Any]) -> list[str | None]:
    """Return values as strings, None where missing; if all floats are whole, 1.0 becomes "1"."""
    if {str}.issuperset(map(type, values)):
        return [value if value.strip() else None for value in values]
    floats = [value for value in values if isinstance(value, float) and value == value]
    whole = all(value.is_integer() for value in floats)
    return [
        None if missing(value) else str(int(value) if whole and isinstance(value, float) else value)
        for value in values
    ]


def cells_of(values: Sequence[Any]) -> list[Cell]:
    """Return the values of a label column as cells."""
    if not any(isinstance(value, COLLECTIONS) for value in values):
        return list(as_strings(values))
    return [
        tuple(as_strings(list(value))) if isinstance(value, COLLECTIONS)
        else None if missing(value) else str(value)
        for value in values
    ]  # fmt: skip


def names_in(value: Any) -> list[str]:
    """Return the labels of a collection, each once; those of a set in alphabetical order."""
    several = list(value) if isinstance(value, COLLECTIONS) else [value]
    names = dict.fromkeys(name for name in as_strings(several) if name is not None)
    return sorted(names) if isinstance(value, set | frozenset) else list(names)


def list_in(cell: str) -> list[Any] | None:
    """Return the list in a cell as Python or JSON writes it, "['joy', 'anger']"; None if none."""
    found = None
    with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        found = ast.literal_eval(cell) if cell.startswith("[") and len(cell) <= _LONGEST else None
    return found if isinstance(found, list) else None


def split_cell(cell: str, joiner: str | None) -> list[str]:
    """Return the labels that a cell joins, each once; the cell alone if the joiner is None."""
    parts = cell.split(joiner) if joiner else [cell]
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def find_joiner(names: Sequence[str], sure: bool = False) -> str | None:
    """Return the delimiter that joins several labels, if `sure` or the parts recombine.

    That is `,`, `|` or `;`, or `#` as Doccano writes, if each label that it joins stands alone too.
    """
    counts = Counter(names)
    for joiner in _JOINERS:
        joined = [name for name in counts if joiner in name]
        if not joined:
            continue
        parts = Counter(part for name in counts for part in split_cell(name, joiner))
        inner = {part for name in joined for part in split_cell(name, joiner)}
        again = sum(parts[part] > 1 for part in inner)
        closed = again >= len(inner) / 2 and len(parts) <= max(3, len(names) / 2)
        if sure or closed:
            return joiner
    several = [name.split(_DOCCANO_JOINER) for name in counts if _DOCCANO_JOINER in name]
    alone = all(part and part in counts for parts in several for part in parts)
    return _DOCCANO_JOINER if several and alone else None


def labels_in(cell: Cell, known: set[str]) -> Names | None:
    """Return the labels in a cell, none if it is missing; None if one of them is not known.

    A label that is spelled otherwise, such as true for True, is the known one. 1,0 is two labels if
    both are known, else a number with a decimal comma.
    """
    if cell is None:
        return ()
    if isinstance(cell, tuple):
        return _found(map(str, cell), known)
    same = label_names.find(cell, known)
    if same is not None and (same == cell or label_names.pointed(cell) == cell):
        return (same,)
    if (several := list_in(cell)) is not None:
        return labels_in(tuple(as_strings(several)), known)
    joiners = (*_JOINERS, _DOCCANO_JOINER)
    ways = (_found(split_cell(cell, joiner), known) for joiner in joiners)
    parts = next((parts for parts in ways if parts), None)
    return parts if same is None or parts else (same,)


def _found(names: Iterable[str], known: set[str]) -> Names | None:
    """The known labels of some names, each once; None if one of them is not known."""
    found = [label_names.find(name, known) for name in names]
    return None if None in found else tuple(dict.fromkeys(name for name in found if name))


def parts_of(cell: Cell) -> list[str]:
    """Return all that a cell might name: itself, and its parts if it joins several labels."""
    if isinstance(cell, str):
        return [cell, *(part.strip() for joiner in _JOINERS for part in cell.split(joiner))]
    return [name for name in cell or () if name is not None]


def comma_joined(value: Any) -> Any:
    """Return a list of labels as one string, as predictions have it; any other value as it is."""
    if not isinstance(value, list):
        return value
    has_comma = any("," in name for name in value)
    return json.dumps(value, ensure_ascii=False) if has_comma else ",".join(value)


class Word(Enum):
    """What a reviewer can write instead of labels."""

    OK = "ok"
    DROP = "drop"
    NONE = "none"


def written(names: Sequence[str], scheme: LabelScheme) -> str:
    """Return the labels of a row as a cell: one label, or any number in the order of the scheme."""
    if not scheme.multilabel:
        return names[0]
    return joined([name for name in scheme.names if name in names], scheme)


def joined(names: Iterable[str], scheme: LabelScheme) -> str:
    """Return several labels as a cell, in the order given."""
    if (joiner := _review_joiner(scheme)) is None:
        cell = json.dumps(list(names), ensure_ascii=False)
        while label_names.find(cell, scheme.index) is not None:  # a label named like this list
            cell = f"[ {cell[1:]}"
        return cell
    return joiner.join(names) or f"({Word.NONE.value})"


def understood(cell: str, scheme: LabelScheme) -> Names | Word:
    """Return what a reviewer wrote: a word, or labels in the order of the scheme."""
    same = label_names.find(cell, scheme.index)
    joins = scheme.multilabel and label_names.pointed(cell) != cell
    if same is not None and (same == cell or not joins):
        return (same,)
    cell = cell.strip()
    if not cell:
        return Word.OK
    taken = {name.casefold() for name in scheme.names}
    for word in (Word.OK, Word.DROP, *([Word.NONE] if scheme.multilabel else [])):
        bare = cell.casefold() == word.value and word.value not in taken
        if bare or cell.casefold() == f"({word.value})":
            return () if word is Word.NONE else word
    parts: Any = [cell]
    if scheme.multilabel and (joiner := _review_joiner(scheme)) is not None:
        parts = split_cell(cell, joiner.strip())
    elif scheme.multilabel:
        parts = None
        with suppress(ValueError, RecursionError):
            parts = json.loads(cell)
        if not isinstance(parts, list):
            raise DataError(f"{cell!r} must be one label or a JSON list of labels")
        parts = list(map(str, parts))
    found = [label_names.find(part, scheme.index) for part in parts]
    for part, name in zip(parts, found, strict=True):
        if name is None:
            raise UnknownNameError("label", part, scheme.names)
    return tuple(name for name in scheme.names if name in found)


def _review_joiner(scheme: LabelScheme) -> str | None:
    names = scheme.names
    if any(name.strip() != name or name.startswith(("(", "[")) for name in names):
        return None
    free = (sign for sign in _REVIEW_JOINERS if not any(sign.strip() in name for name in names))
    return next(free, None)
