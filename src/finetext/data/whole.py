"""Sources that are read whole, with all their columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.data.assemble import assemble, rows_of
from finetext.data.columns import choose_columns, named
from finetext.data.labels import as_strings
from finetext.data.raw import BadRow, Chunk, Kinds, RawTable, Reading, Texts, Wanted
from finetext.data.read import reading_of
from finetext.data.stream import all_of, sort_out

_Place = tuple[RawTable, int]
_Key = tuple[int, int]
"""Which table, by its identity, and which row of it."""


def read_whole(source: str, settings: ReadSettings, wanted: Wanted) -> Texts:
    """The rows of a source that is no stream.

    Args:
        source: as `finetext.data.read.read` takes it.
        settings: how to read it.
        wanted: what beside ids and texts.

    Raises:
        DataError: see `finetext.data.read.read`.
    """
    reading, folder = reading_of(source, settings)
    bad: dict[_Key, BadRow] = {}
    if wanted.bad:
        reading, bad = _without_bad(reading, settings)
    dataset = assemble(reading, settings, folder)
    if not wanted.columns and not bad:
        return all_of(dataset)
    places = rows_of(reading, settings)
    columns = _columns(reading)
    chunks = _chunks(dataset, places, list(columns), bad)
    found = choose_columns(reading.parts[0].table, settings).id
    is_id = found is not None and dataset.ids == as_strings(
        [_value(*place, found) for place in places.values()]
    )
    id_column = found if is_id else None
    return Texts(chunks, list(dataset.findings), dataset.description, columns, id_column)


def _without_bad(reading: Reading, settings: ReadSettings) -> tuple[Reading, dict[_Key, BadRow]]:
    """The rows with an empty text in the place of what is none, and which these are."""
    bad: dict[_Key, BadRow] = {}
    parts = []
    for part in reading.parts:
        table = part.table
        column = named(table, choose_columns(reading.parts[0].table, settings).text)
        good, found = sort_out(table, column, 1)
        if found:
            lines = set(good.lines or ())
            places = list(table.lines or range(1, len(table) + 1))
            odd = [row for row, line in enumerate(places) if line not in lines]
            texts = list(table.columns[column])
            for row in odd:
                texts[row] = ""
            table = replace(table, columns={**table.columns, column: texts})
            bad |= {(id(table), row): of for row, of in zip(odd, found, strict=True)}
        parts.append(replace(part, table=table))
    return replace(reading, parts=tuple(parts)), bad


def _columns(reading: Reading) -> dict[str, str]:
    """All columns of all tables with the kind of their values."""
    kinds = Kinds()
    for part in reading.parts:
        kinds.look(part.table.columns)
    return kinds.found()


def _chunks(
    dataset: Dataset, places: dict[str, _Place], names: list[str], bad: dict[_Key, BadRow]
) -> Iterator[Chunk]:
    for chunk in all_of(dataset).chunks:
        where = [places[name] for name in chunk.ids]
        odd = [bad.get((id(table), row)) for table, row in where]
        good = [place for place, one in enumerate(odd) if one is None]
        columns: dict[str, list[Any]] = {
            name: [_value(*where[place], name) for place in good] for name in names
        }
        yield Chunk(
            [chunk.ids[place] for place in good],
            [chunk.texts[place] for place in good],
            chunk.share,
            columns,
            [one for one in odd if one is not None],
        )


def _value(table: RawTable, row: int, name: str) -> Any:
    """A value, or None where the table has no such column."""
    return table.columns[name][row] if name in table.columns else None
