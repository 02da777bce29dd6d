"""Further columns of a source, for rows that are known by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetext.data.assemble import rows_of
from finetext.data.columns import named
from finetext.data.joined import has_column
from finetext.data.read import reading_of
from finetext.data.settings import ReadSettings
from finetext.data.words import counted
from finetext.errors import DataError


def source_columns(
    source: Any, names: Sequence[str], ids: Sequence[str], settings: ReadSettings | None = None
) -> dict[str, list[Any]]:
    """Read columns that `read` leaves aside, for some rows.

    Args:
        source: anything that `read` takes.
        names: the columns, by name or by number from "1".
        ids: the n rows.
        settings: how the source is read; ids are the same if they are the same.

    Returns:
        name of each column as it is in the source to n values as they stand there; None where a
        part of the source lacks the column.

    Raises:
        DataError: the source cannot be read, or has no such column, or lacks a row.
    """
    settings = settings or ReadSettings(labelled=False)
    reading, _ = reading_of(source, settings)
    rows = rows_of(reading, settings)
    absent = [one for one in ids if one not in rows]
    if absent:
        more = f", nor {len(absent) - 1:,} more" if len(absent) > 1 else ""
        raise DataError(
            f"{reading.title} has no row {absent[0]!r}{more}, of "
            f"{counted(len(ids), 'row')}: name the column of their ids with --id"
        )
    places = [rows[one] for one in ids]
    tables = [part.table for part in reading.parts]
    found = {}
    for name in names:
        having = next((table for table in tables if has_column(table, name)), tables[0])
        column = named(having, name)
        of_table = {id(table): table.columns.get(column) for table in tables}
        values = ((of_table[id(table)], row) for table, row in places)
        found[column] = [None if of is None else of[row] for of, row in values]
    return found
