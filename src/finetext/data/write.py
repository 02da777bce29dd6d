"""Tables of rows as files: CSV, TSV, JSON lines or Parquet, by the ending of the name."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from finetext.console import blaming
from finetext.durable import put_in_place
from finetext.errors import DataError

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
