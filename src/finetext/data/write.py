"""Rows of a table as text: CSV, TSV or JSON lines."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

from finetext.core.arrays import finite
from finetext.core.console import blaming
from finetext.core.errors import DataError
from finetext.data.rows import MIXED, TEXT
from finetext.storage.files import put_in_place

SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".parquet")


def check_new(path: Path, source: Any = None) -> None:
    """Refuse a file that is there already or would become part of the data, before any work.

    Args:
        path: the file to write.
        source: the data: paths count if they exist; anything else cannot be in the way.

    Raises:
        DataError: the suffix is unknown, the folder is missing, the file exists, or it would lie
            in the folder of the data.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: the suffix must be one of {', '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {path.parent}")
    if os.path.lexists(path):
        raise DataError(f"{path} exists, and is not overwritten; name another file, or delete it")
    place = path.resolve()
    for folder in _folders(source):
        if place.is_relative_to(folder):
            raise DataError(f"{path} would lie among the data in {folder}; name another place")


def _folders(source: Any) -> list[Path]:
    """The folders that data are read from."""
    parts = source.values() if isinstance(source, Mapping) else [source]
    paths = [Path(part).expanduser() for part in parts if isinstance(part, str | Path)]
    return [path.resolve() for path in paths if os.path.isdir(path)]


def write_table(
    path: Path, columns: Mapping[str, Sequence[Any]], for_spreadsheets: bool = False
) -> None:
    """Write a new file beside its place and rename it, or leave nothing.

    Args:
        path: the file; see `check_new`.
        columns: name to n values: strings, numbers, None, or lists of strings, which stay lists in
            JSON lines and Parquet and are not for CSV and TSV.
        for_spreadsheets: whether CSV and TSV begin with a byte order mark, without which Excel
            takes them for Windows-1252.

    Raises:
        DataError: it cannot be written.
    """
    with blaming(str(path)):
        handle, beside = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            if path.suffix == ".parquet":
                _write_parquet(Path(beside), columns)
            else:
                _write_text(Path(beside), path.suffix, columns, for_spreadsheets)
            os.chmod(beside, 0o644)
            put_in_place(Path(beside), path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise


def _write_text(
    path: Path, suffix: str, columns: Mapping[str, Sequence[Any]], for_spreadsheets: bool
) -> None:
    encoding = "utf-8-sig" if for_spreadsheets and suffix != ".jsonl" else "utf-8"
    rows = zip(*columns.values(), strict=True)
    with path.open("w", encoding=encoding, newline="") as file:
        if suffix == ".jsonl":
            for row in rows:
                said = dict(zip(columns, row, strict=True))
                file.write(json.dumps(said, ensure_ascii=False) + "\n")
            return
        # Quotes around some fields only are taken for part of the text in tab-separated files.
        tabs = suffix == ".tsv"
        quoting: Any = csv.QUOTE_ALL if tabs else csv.QUOTE_MINIMAL
        writer = csv.writer(file, delimiter="\t" if tabs else ",", quoting=quoting)
        writer.writerow(columns)
        writer.writerows(rows)


def _write_parquet(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({k: list(of) for k, of in columns.items()}), path)


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
