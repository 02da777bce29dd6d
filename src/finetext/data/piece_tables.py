"""The rows of a piece of a large table as Arrow tables, with the columns that all its files share.

Parquet files have a schema, and in CSV every value is text. In JSON lines each file shows the types
of its own values alone, and writers leave out what is null: there columns go by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final, final

from finetext.core.addresses import public_address
from finetext.core.errors import DataError, NoRowsError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import short
from finetext.data.columns import choose_columns, refuse_odd_text
from finetext.data.formats import JSON_LINES
from finetext.data.parquet import as_batch, parquet_rows
from finetext.data.pieces import InputFile, Piece, check_columns, pieces_of
from finetext.data.rows import TextWatch, Wanted, row_texts
from finetext.data.stream import ROWS, open_stream
from finetext.data.write import arrow_table, form_of
from finetext.storage.filesystems import place_of

_OF_A_FILE: Final = {"odd-ids", "missing-texts"}
"""What is noticed of a file and does not hold for its pieces, whose rows have no ids."""
_SAMPLE: Final = 1 << 26
"""Bytes of the first files of JSON lines that decide on the types of their columns."""


def tables_of(
    piece: Piece, settings: ReadSettings, rows: int, findings: list[Finding] | None = None
) -> Iterator[Any]:
    """Yield the rows of a piece as Arrow tables of `rows` rows, but for the last one.

    A text file without rows has none. What was noticed is added to `findings` at the end.
    """
    import pyarrow

    held: list[Any] = []
    for table in _tables(piece, settings, [] if findings is None else findings):
        held.append(table)
        whole = pyarrow.concat_tables(held)
        ends = range(rows, len(whole) + 1, rows)
        yield from (whole.slice(end - rows, rows) for end in ends)
        held = [whole.slice(ends[-1] if ends else 0)]
    if held and len(held[0]):
        yield held[0]


def _tables(piece: Piece, settings: ReadSettings, findings: list[Finding]) -> Iterator[Any]:
    if piece.stop is not None:
        place = place_of(piece.source)
        with place.open() as file:
            how = place.shown, settings.most_bytes, piece.start, piece.stop
            yield from parquet_rows(file, *how)
        return
    try:
        texts = open_stream(piece.source, settings, Wanted(columns=True))
    except NoRowsError:
        return
    for rows in texts.batches:
        yield arrow_table({name: list(of) for name, of in rows.columns.items()}, texts.columns)
    findings += [of for of in texts.findings if of.code not in _OF_A_FILE]


def texts_in(table: Any, columns: Sequence[str], source: str) -> list[Any]:
    """Return the texts of an Arrow table, None where they are missing; raises a DataError."""
    batch = as_batch(table.select(list(columns)), source)
    values = row_texts(batch, columns)
    TextWatch().look(batch, values)  # refuses what is no text
    return values


@final
@dataclass(frozen=True)
class CommonColumns:
    """The columns that all files of a table have.

    Attributes:
        schema: their Arrow schema; every column may have nulls.
        texts: the columns of the texts.
        source: the first file that has rows, to which the others are compared.
    """

    schema: Any
    texts: tuple[str, ...]
    source: str

    @classmethod
    def of(cls, files: Sequence[InputFile], settings: ReadSettings) -> CommonColumns:
        """Return the columns of a table by its first file that has rows; raises a DataError.

        If that is one of JSON lines, all of up to 64 MiB of the first of them decide: a column that
        is null in one has the type that it has in another, and whole numbers become `double` if
        another file has fractions.
        """
        import pyarrow

        pieces = pieces_of(files)
        for piece in pieces:
            with suppress(NoRowsError):
                table, texts = _first_table(piece, settings)
                break
        else:
            raise NoRowsError(f"{public_address(files[0].source)}: there are no rows")
        names = {field.name: field.type for field in table.schema}
        if _is_json_lines(piece.source):
            later = [of for of in pieces[pieces.index(piece) :] if _is_json_lines(of.source)]
            if len(later) > 1:
                names = _types_of(later, files, replace(settings, text=texts))
        return cls(pyarrow.schema(list(names.items())), texts, piece.source)

    def check(self, piece: Piece, settings: ReadSettings) -> None:
        """Raise a DataError if the first rows of a piece have other columns."""
        with suppress(NoRowsError):
            self.fitted(_first_table(piece, settings)[0], piece.source)

    def fitted(self, table: Any, source: str) -> Any:
        """Return some rows of a file with the columns of the schema; raises a DataError."""
        import pyarrow

        try:
            if _is_json_lines(source):
                table = _by_name(table, self.schema)
            check_columns(table.schema, source, self.schema, self.source)
            return table.cast(self.schema)
        except (pyarrow.ArrowException, ValueError, TypeError) as error:
            raise DataError(
                f"{public_address(source)} has values that do not fit the columns of "
                f"{public_address(self.source)}: {short(str(error), 200)}"
            ) from None


def _is_json_lines(source: str) -> bool:
    return form_of(PurePosixPath(source)) in JSON_LINES


def _first_table(piece: Piece, settings: ReadSettings) -> tuple[Any, tuple[str, ...]]:
    """Return the first rows of a piece, and the columns of their texts; raises as reading does."""
    table = next(tables_of(piece, settings, ROWS), None)
    if table is None:
        raise NoRowsError(f"{public_address(piece.source)} has no rows")
    batch = as_batch(table, piece.source)
    chosen = choose_columns(batch, settings)
    refuse_odd_text(batch, chosen.text, row_texts(batch, chosen.texts))
    return table, chosen.texts


def _types_of(
    pieces: Sequence[Piece], files: Sequence[InputFile], settings: ReadSettings
) -> dict[str, Any]:
    """Return column to Arrow type of the first files of JSON lines."""
    import pyarrow

    types, read = dict[str, Any](), 0
    for piece in pieces:
        if read >= _SAMPLE:
            break
        read += files[piece.number].size
        for name, own in _own_types(piece, settings).items():
            known = types.get(name, own)
            if (common := _common_type(known, own)) is None:
                own_schema, first = (pyarrow.schema([(name, of)]) for of in (own, known))
                check_columns(own_schema, piece.source, first, pieces[0].source)
            types[name] = common
    string = pyarrow.string()
    return {name: string if of == pyarrow.null() else of for name, of in types.items()}


def _own_types(piece: Piece, settings: ReadSettings) -> dict[str, Any]:
    """Return column to Arrow type of one file, null if it has no value; raises a DataError."""
    import pyarrow

    types, empty = dict[str, Any](), None
    for table in tables_of(piece, settings, ROWS):
        types = {field.name: field.type for field in table.schema}
        own = {name for name in types if table[name].null_count == len(table)}
        empty = own if empty is None else empty & own
        if not empty:
            break
    return types | dict.fromkeys(empty or (), pyarrow.null())


def _common_type(one: Any, other: Any) -> Any:
    """Return the type of two that holds both; None if there is none."""
    import pyarrow

    if one == other or other == pyarrow.null():
        return one
    if one == pyarrow.null():
        return other
    are_numbers = {one, other} == {pyarrow.int64(), pyarrow.float64()}
    return pyarrow.float64() if are_numbers else None


def _by_name(table: Any, schema: Any) -> Any:
    """Return a table with the columns of a schema as far as it can have them, then the others."""
    import pyarrow

    has = {name for name in table.column_names if table[name].null_count < len(table)}
    columns = {}
    for field in schema:
        if field.name not in has:
            columns[field.name] = pyarrow.nulls(len(table), field.type)
        elif _common_type(table[field.name].type, field.type) == field.type:
            columns[field.name] = table[field.name].cast(field.type)
        else:
            columns[field.name] = table[field.name]
    others = [name for name in table.column_names if name in has and name not in columns]
    return pyarrow.table(columns | {name: table[name] for name in others})
