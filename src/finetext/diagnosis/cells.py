"""The labels of a row as one cell of a table, and what a reviewer writes beside them.

A label is written as it is. Several labels are joined by the first of `, `, `; ` and ` | ` of whose
sign no label has any; where each occurs in some label they are a JSON list. No label at all is
`(none)`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from typing import Final

from finetext.errors import DataError, UnknownNameError
from finetext.types import LabelScheme

_JOINERS: Final = (", ", "; ", " | ")


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
    free = (sign for sign in _JOINERS if not any(sign.strip() in name for name in names))
    return next(free, None)
