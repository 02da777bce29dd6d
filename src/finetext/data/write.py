"""Tables as files: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from finetext.core.arrays import finite
from finetext.core.console import blaming
from finetext.core.errors import DataError
from finetext.data.label_cells import comma_joined
from finetext.data.rows import MIXED, TEXT
from finetext.storage.files import replaced_file

SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".parquet")
_LABELS: Final = ("prediction", "set")
Table = dict[str, list[Any]]
"""Column name to values."""


def check_new(path: Path, source: Any = None, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Check, before any work, that a file can be written and would not become part of the data."""
    if path.suffix not in suffixes:
        one_of = "one of " if len(suffixes) > 1 else ""
        raise DataError(f"{path}: the suffix must be {one_of}{', '.join(suffixes)}")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {path.parent}")
    if os.path.lexists(path):
        raise DataError(f"{path} exists, and is not overwritten; name another file, or delete it")
    place = path.resolve()
    for part in source.values() if isinstance(source, Mapping) else [source]:
        folder = Path(part).expanduser() if isinstance(part, str | Path) else None
        if folder and os.path.isdir(folder) and place.is_relative_to(folder.resolve()):
            raise DataError(
                f"{path} would be among the data in {folder.resolve()}; name another place"
            )


def write_table(
    path: Path, columns: Mapping[str, Sequence[Any]], for_spreadsheets: bool = False
) -> None:
    """Write a new file beside its place and rename it, or leave nothing."""
    table = {column: list(values) for column, values in columns.items()}
    name = path.name.lower()
    form = Path(name.removesuffix(".gz")).suffix
    with blaming(str(path)), replaced_file(path) as beside:
        beside.chmod(0o644)
        if form == ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.table(table), beside)
            return
        is_json = form == ".jsonl"
        text = _json_lines(table) if is_json else _delimited(table, form, True, "\r\n")
        data = encoded("\ufeff" + text if for_spreadsheets and not is_json else text)
        beside.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)


def text_of(table: Table, form: str, headed: bool) -> str:
    """Return the rows of a table of predictions as text."""
    if form == ".jsonl":
        return _json_lines(table)
    cells = {
        name: list(map(comma_joined if name in _LABELS else _cell, values))
        for name, values in table.items()
    }
    return _delimited(cells, form, headed, "\n")


def _json_lines(table: Table) -> str:
    rows = (json.dumps(finite(row), ensure_ascii=False, default=plain) for row in rows_of(table))
    return "".join(f"{row}\n" for row in rows)


def _delimited(table: Table, form: str, headed: bool, end: str) -> str:
    rows: list[str] = []
    # Quotes around some cells only are taken for part of the text in tab-separated files.
    tabs = form == ".tsv"
    quoting: Any = csv.QUOTE_ALL if tabs else csv.QUOTE_MINIMAL
    sink: Any = SimpleNamespace(write=rows.append)  # rows that end in CR LF, so that CR is quoted
    writer = csv.writer(sink, delimiter="\t" if tabs else ",", quoting=quoting)
    if headed:
        writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return "".join(row.removesuffix("\r\n") + end for row in rows)


def encoded(text: str) -> bytes:
    """Return UTF-8; halves of surrogate pairs, which are no characters, are replaced."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """Return the rows of a table as mappings."""
    return (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))


def plain(value: Any) -> Any:
    """Return a value that JSON does not know as one that it knows."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def arrow_values(values: list[Any], kind: Any) -> list[Any]:
    """Return values as Arrow takes them for a kind: mixed ones as text of whole characters."""
    if kind == MIXED:
        values = [value if value is None else str(_cell(value)) for value in values]
    if kind in (TEXT, MIXED):
        return [value if value is None else encoded(value).decode() for value in values]
    return values


def _cell(value: Any) -> Any:
    """A value in a cell: nested ones and truth values as JSON."""
    if isinstance(value, bool | list | tuple | Mapping):
        return json.dumps(finite(value), ensure_ascii=False, default=plain)
    return value if value is None or isinstance(value, str | int | float) else plain(value)
