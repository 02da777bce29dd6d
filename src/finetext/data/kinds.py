"""Kinds of the values of columns, as Arrow names them, found without Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, final

TEXT: Final = "string"
MIXED: Final = "mixed"
"""Values that are neither all text, nor all numbers, nor all truth values."""

_LARGEST_INTEGER: Final = 2**63
_LARGEST_EXACT: Final = 2**53


@final
class Kinds:
    """Looks at the columns of a source, table by table."""

    def __init__(self) -> None:
        """Nothing seen so far."""
        self._types: dict[str, set[type]] = {}
        self._largest: dict[str, int] = {}

    def look(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """See further values."""
        for name, values in columns.items():
            types = set(map(type, values)) - {type(None)}
            self._types.setdefault(name, set()).update(types)
            if int in types:
                largest = max(abs(value) for value in values if type(value) is int)
                self._largest[name] = max(largest, self._largest.get(name, 0))

    def found(self) -> dict[str, str]:
        """Column to kind, in the order in which the columns were first seen."""
        return {name: self._kind(types, self._largest.get(name, 0)) for name, types in
                self._types.items()}  # fmt: skip

    def _kind(self, types: set[type], largest: int) -> str:
        if types <= {str}:
            return TEXT
        if types == {bool}:
            return "bool"
        if types == {int}:
            return "int64" if largest < _LARGEST_INTEGER else MIXED
        if types <= {int, float}:
            return "double" if largest <= _LARGEST_EXACT else MIXED
        return MIXED


def all_text(names: Iterable[str]) -> dict[str, str]:
    """The kinds of columns that hold nothing but text."""
    return dict.fromkeys(names, TEXT)
