"""Parquet files, whose values are counted from the headers of their pages before any is decoded.

A few bytes of a page can stand for millions of values, and a place in a dictionary for a text that
every row repeats. So rows are decoded so few at a time that even the longest value in each of them
stays within the budget of reading.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from finetext.core.budget import current, explained, reading, take, take_cells
from finetext.core.errors import DataError
from finetext.data.rows import Batch, column_names

_ROWS: Final = 20_000
_VALUE: Final = 96
"""Bytes that a decoded value takes in Arrow and in Python, less those of a text."""
_FOOTER: Final = 20
"""Bytes of memory for a byte of the description of a file."""
_TAIL: Final = 1 << 16
"""Bytes at the end of a file that are read for its footer."""
_HEADER: Final = 1 << 12
_LONGEST_HEADER: Final = 1 << 24
_AHEAD: Final = 1 << 22
"""Bytes read at a time for headers of pages, each of which is a request in object storage."""
_SHARE: Final = 4
"""The longest values of a batch of rows take at most this part of the budget."""
_DELTA: Final = 7
"""The encoding of a value by the length that it has in common with the one before."""
_DATA: Final = 0
_DICTIONARY: Final = 2
_DATA_2: Final = 3
"""Kinds of pages."""
_MOST_FIELDS: Final = 50


@dataclass
class _Column:
    """What the pages of a column hold.

    Attributes:
        fixed: bytes of a value, if each has as many.
        values: in all pages, missing ones included.
        most_values: of a row group.
        page: bytes of the largest page.
        repeated: bytes of the longest value that a few bits can stand for.
    """

    path: str
    is_nested: bool
    is_text: bool
    fixed: int
    values: int = 0
    most_values: int = 0
    page: int = 0
    repeated: int = 0


def parse_parquet(data: bytes, name: str) -> Batch:
    """Read a Parquet file."""
    import pyarrow

    with _opened(pyarrow.BufferReader(data), name) as file:
        columns = _columns(file, io.BytesIO(data), name)
        names = column_names(file.schema_arrow.names)
        take_cells(file.metadata.num_rows, len(names), name)
        take(sum(of.values * (_VALUE + of.fixed) for of in columns), name)
        file, rows = _planned(file, pyarrow.BufferReader(data), columns, name)
        cells: dict[str, list[Any]] = {key: [] for key in names}
        for batch in file.iter_batches(rows, use_threads=False):
            for at, key in enumerate(names):
                cells[key] += _values(batch.column(at), name)
        metadata = file.schema_arrow.metadata
    classes: dict[str, tuple[str, ...]] = {}
    with suppress(KeyError, ValueError, TypeError, AttributeError):  # as `datasets` stores them
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        found = {key: feature.get("feature", feature) for key, feature in features.items()}
        classes = {key: tuple(kind["names"]) for key, kind in found.items() if "names" in kind}
    return Batch(name, cells, "Parquet", classes=classes)


def parquet_batches(
    path: Path, only: Sequence[str], most: int | str | None, rows: int = _ROWS
) -> Iterator[tuple[Batch, float]]:
    """Yield some rows of a Parquet file at a time, and the share of it that has been read.

    Args:
        path: the file.
        only: the columns needed; none for all.
        most: the budget of reading, for each batch.
        rows: how many at a time, or fewer if one of them may be long.
    """
    done, name = 0, str(path)
    with _opened(path, name) as file, path.open("rb") as raw:
        with reading(most):
            batches, rows = _decoded(file, path, raw, name, rows)
        names = column_names(file.schema_arrow.names)
        needed = [at for at, key in enumerate(names) if key in only or not only]
        while True:
            with reading(most), explained(path):
                take(rows * _VALUE * len(names), name)
                if (batch := next(batches, None)) is None:
                    return
                cells = {names[at]: _values(batch.column(at), name) for at in needed}
            done += len(batch)
            yield Batch(name, cells, "Parquet"), done / max(1, file.metadata.num_rows)


def parquet_footer(source: Any, name: str) -> tuple[Any, int, str]:
    """Return the Arrow schema, the number of rows and the footer's SHA-256 of an open Parquet file.

    The footer is read alone: in object storage that is one request, or two if it is a long one.
    """
    import pyarrow

    with _opened(source, name):
        size = source.size()
        source.seek(max(0, size - _TAIL))
        tail = source.read(_TAIL)
        length = int.from_bytes(tail[-8:-4], "little") + 8
        if len(tail) < length <= size:
            take(length, name)
            source.seek(size - length)
            tail = source.read(length)
    with _opened(pyarrow.BufferReader(tail), name) as file:
        columns, rows = file.schema_arrow, int(file.metadata.num_rows)
    return columns, rows, hashlib.sha256(tail[-length:]).hexdigest()


def parquet_rows(
    source: BinaryIO, name: str, most: int | str | None, start: int, stop: int
) -> Iterator[Any]:
    """Yield the rows from `start` to `stop` of an open Parquet file, as some Arrow tables.

    Only the row groups that hold them are read. `most` is the budget of reading, for each table.
    """
    with _opened(source, name) as file:
        counts = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
        ends = list(accumulate(counts))
        groups = [at for at, end in enumerate(ends) if end > start and end - counts[at] < stop]
        if not groups:
            return
        at, kinds = ends[groups[0]] - counts[groups[0]], file.schema_arrow
        with reading(most):
            raw = cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, source), _AHEAD))
            batches, rows = _decoded(file, source, raw, name, _ROWS, groups)
        while at < stop:
            with reading(most), explained(name):
                take(rows * _VALUE * len(kinds), name)
                if (batch := next(batches, None)) is None:
                    return
                take(sum(map(_size, batch.columns)), name)
                first = max(start, at)
                at += len(batch)
                if first < at:
                    table = _table(batch.slice(first - at + len(batch), stop - first), kinds)
            if first < at:
                yield table


def as_batch(table: Any, name: str) -> Batch:
    """Return an Arrow table as named columns of Python values."""
    cells = {
        key: [value for chunk in table[key].chunks for value in _values(chunk, name)]
        for key in table.column_names
    }
    return Batch(name, cells, "Parquet")


def _table(batch: Any, kinds: Any) -> Any:
    import pyarrow

    names = column_names(kinds.names)
    return pyarrow.Table.from_batches([batch]).cast(kinds).rename_columns(names)


def _decoded(
    file: Any, source: Any, raw: BinaryIO, name: str, rows: int, groups: Sequence[int] | None = None
) -> tuple[Iterator[Any], int]:
    """Return batches of at most so many rows, and how many fit the budget of reading."""
    columns = _columns(file, raw, name, groups)
    take(sum(of.most_values * (_VALUE + of.fixed) for of in columns if of.is_nested), name)
    file, fitting = _planned(file, source, columns, name)
    rows = min(rows, fitting)
    return file.iter_batches(rows, row_groups=groups, use_threads=False), rows


@contextmanager
def _opened(source: Any, name: str) -> Iterator[Any]:
    import pyarrow

    try:
        yield _file(source)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{name} is not a readable Parquet file: {error}") from None


def _file(source: Any, dictionaries: Sequence[str] = ()) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(
        source, pre_buffer=False, buffer_size=1 << 20, read_dictionary=list(dictionaries) or None
    )


def _planned(file: Any, source: Any, columns: Sequence[_Column], name: str) -> tuple[Any, int]:
    """Return the file, and how many of its rows to decode at once.

    Lists of texts, of which a row may have any number, are decoded as places in their dictionary.
    """
    take(sum(of.page for of in columns), name)
    room = current().left // _SHARE
    long = [of for of in columns if of.is_nested and of.most_values * of.repeated > room]
    if odd := [of for of in long if not of.is_text]:
        take(max(of.most_values * of.repeated for of in odd), f"{name}, column {odd[0].path!r},")
    longest = sum(of.repeated for of in columns if not of.is_nested)
    rows = max(1, min(_ROWS, room // max(1, longest)))
    take(longest, name)
    return (_file(source, [of.path for of in long]) if long else file), rows


def _values(array: Any, name: str) -> list[Any]:
    """The values of a column, counted before they are built."""
    take(2 * _size(array), name)
    return list(array.to_pylist())


def _size(array: Any) -> int:
    """Bytes of the values of an array, texts as often as they are repeated."""
    import pyarrow
    import pyarrow.compute

    kind = array.type
    if pyarrow.types.is_dictionary(kind):
        try:
            lengths = pyarrow.compute.binary_length(array.dictionary)
        except (pyarrow.ArrowNotImplementedError, pyarrow.ArrowInvalid):  # numbers
            return int(array.nbytes)
        total = pyarrow.compute.sum(pyarrow.compute.cast(lengths, "int64").take(array.indices))
        return int(array.nbytes) + int(total.as_py() or 0)
    if pyarrow.types.is_map(kind):
        return _size(array.keys) + _size(array.items)
    if pyarrow.types.is_nested(kind):
        inner = array.flatten()
        return sum(map(_size, inner)) if isinstance(inner, list) else _size(inner)
    return int(array.nbytes)


def _columns(
    file: Any, raw: BinaryIO, name: str, groups: Sequence[int] | None = None
) -> list[_Column]:
    """What the pages of each column hold, by their headers, in all row groups or in some."""
    metadata = file.metadata
    raw.seek(-8, io.SEEK_END)
    take(_FOOTER * int.from_bytes(raw.read(4), "little"), name)
    columns = []
    for at in range(metadata.num_columns):
        kind = file.schema.column(at)
        is_text = kind.physical_type == "BYTE_ARRAY"
        fixed = kind.length if kind.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0
        columns.append(_Column(kind.path, kind.max_repetition_level > 0, is_text, fixed, 0))
        columns[-1].repeated = fixed
    for group in range(metadata.num_row_groups) if groups is None else groups:
        described = metadata.row_group(group)
        for at, column in enumerate(columns):
            _count(column, described.column(at), raw, name)
    return columns


def _count(column: _Column, chunk: Any, raw: BinaryIO, name: str) -> None:
    """Count the pages of a column of a row group, as far as they are read."""
    start, values = chunk.data_page_offset, 0
    if chunk.has_dictionary_page and 0 < (chunk.dictionary_page_offset or 0) < start:
        start = chunk.dictionary_page_offset
    end = start + chunk.total_compressed_size
    while start < end and values < chunk.num_values:
        page = _page_at(raw, start, name)
        column.page = max(column.page, page.size)
        if page.kind == _DICTIONARY or page.is_delta:
            longest = page.size if column.is_text else column.fixed
            column.repeated = max(column.repeated, longest)
        if page.kind != _DICTIONARY:
            values += page.values
        elif page.values > page.size + 1:
            raise _broken(name, "a dictionary is smaller than it says")
        start += page.length
    column.values += values
    column.most_values = max(column.most_values, values)


@dataclass(frozen=True)
class _Page:
    """What the header of a page says; `length` is that of header and page in the file."""

    kind: int
    size: int
    length: int
    values: int
    is_delta: bool


def _page_at(raw: BinaryIO, start: int, name: str) -> _Page:
    """Return what the header of a page says, which Arrow follows as well."""
    window = _HEADER
    while True:
        raw.seek(start)
        data = raw.read(window)
        try:
            fields, length = _struct(data, 0, 0)
            about = fields.get({_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}.get(fields[1], 0), {})
            values, encoding = about.get(1, 0), about.get(4 if fields[1] == _DATA_2 else 2, 0)
            size, packed = fields[2], fields[3]
            if min(size, packed, values) < 0:
                raise _broken(name, "a page has a negative size")
            is_delta = fields[1] != _DICTIONARY and encoding == _DELTA
            return _Page(fields[1], size, length + packed, values, is_delta)
        except IndexError:
            if len(data) < window or window >= _LONGEST_HEADER:
                raise _broken(name, "it ends inside a page") from None
            window *= 16
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _broken(name, f"the header of a page is damaged ({error})") from None


def _broken(name: str, why: str) -> DataError:
    return DataError(f"{name} is not a readable Parquet file: {why}")


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a struct in the compact protocol of Thrift, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while (head := data[at]) != 0:
        at += 1
        number += head >> 4
        if not head >> 4:
            number, at = _integer(data, at)
        fields[number], at = _field(data, at, head & 15, depth)
        if len(fields) > _MOST_FIELDS or depth > _MOST_FIELDS:
            raise ValueError("too many fields")
    return fields, at + 1


def _field(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """Return a value, None if it is of no use here, and where it ends."""
    if kind in (1, 2):  # true and false have no bytes of their own
        return None, at
    if kind in (4, 5, 6):
        return _integer(data, at)
    if kind == 8:
        length, at = _unsigned(data, at)
        return None, at + length
    if kind == 12:
        return _struct(data, at, depth + 1)
    if kind in (3, 7):
        return None, at + (1 if kind == 3 else 8)
    raise ValueError(f"a field of type {kind}")


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("a number is too long")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at
