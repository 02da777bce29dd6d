"""Rows of a table as text: CSV, TSV or JSON lines."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, final

from finetext.data.kinds import MIXED, TEXT
from finetext.finite import finite

Table = dict[str, list[Any]]

_LABELS: Final = ("prediction", "set")


def text_of(table: Table, form: str, headed: bool) -> str:
    """The rows of a table.

    Args:
        table: column to values.
        form: ".csv", ".tsv" or ".jsonl".
        headed: whether a line with the names of the columns comes first, where the form has one.
    """
    file = io.StringIO(newline="")
    if form == ".jsonl":
        for row in rows_of(table):
            file.write(json.dumps(finite(row), ensure_ascii=False, default=plain) + "\n")
        return file.getvalue()
    # Quotes around some cells only are taken for part of the text in tab-separated files.
    tabs = form == ".tsv"
    quoting: Any = csv.QUOTE_ALL if tabs else csv.QUOTE_MINIMAL
    writer = csv.writer(_Lines(file), delimiter="\t" if tabs else ",", quoting=quoting)
    if headed:
        writer.writerow(table)
    shown = {name: _cells(name, values) for name, values in table.items()}
    writer.writerows(zip(*shown.values(), strict=True))
    return file.getvalue()


def encoded(text: str) -> bytes:
    """UTF-8; halves of surrogate pairs, which are no characters, are replaced."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """The rows of a table as mappings."""
    return (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))


def joined(value: Any) -> Any:
    """Several labels as one string: between commas, or as JSON if one of them has a comma."""
    if not isinstance(value, list):
        return value
    if any("," in name for name in value):
        return json.dumps(value, ensure_ascii=False)
    return ",".join(value)


def plain(value: Any) -> Any:
    """A value that JSON does not know as one that it knows."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def arrow_values(values: list[Any], kind: Any) -> list[Any]:
    """Values as Arrow takes them for a kind: those of mixed kinds as text of whole characters."""
    if kind == MIXED:
        values = [value if value is None else str(_cell(value)) for value in values]
    if kind in (TEXT, MIXED):
        return [value if value is None else encoded(value).decode() for value in values]
    return values


@final
class _Lines:
    """Where rows of CSV are written, which end in CR LF, as rows that end in LF.

    Before Python 3.13, cells with a lone CR are only quoted if that is in the end of a row.
    """

    def __init__(self, file: io.StringIO) -> None:
        self._file = file

    def write(self, row: str) -> None:
        """Write one row."""
        self._file.write(row.removesuffix("\r\n") + "\n")


def _cells(name: str, values: list[Any]) -> list[Any]:
    """The values of a column, as they stand between delimiters."""
    if name in _LABELS:
        return list(map(joined, values))
    if set(map(type, values)) <= {str, int, float, type(None)}:
        return values
    return list(map(_cell, values))


def _cell(value: Any) -> Any:
    """A value in a cell: nested ones and truth values as JSON."""
    if isinstance(value, bool | list | tuple | Mapping):
        return json.dumps(finite(value), ensure_ascii=False, default=plain)
    if value is None or isinstance(value, str | int | float):
        return value
    return plain(value)
