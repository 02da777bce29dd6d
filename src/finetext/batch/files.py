"""Files that tables are appended to, written beside their place and renamed at the end."""

from __future__ import annotations

import gzip
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, final

from finetext.batch.inputs import exists
from finetext.batch.state import claimed
from finetext.cli.arguments import check_place
from finetext.core.console import blaming
from finetext.core.errors import DataError
from finetext.data.rows import MIXED, TEXT
from finetext.data.write import Table, arrow_values, encoded, text_of
from finetext.storage.files import sync_names

Sink = Callable[[Table], None]
APPENDED: Final = (".csv", ".tsv", ".jsonl")
SUFFIXES: Final = (*APPENDED, ".parquet")
ROWS_A_GROUP: Final = 20_000
"""Rows in a row group of Parquet."""


def form_of(path: Path) -> str:
    """The ending that tells the form, in lower case and without `.gz`."""
    return Path(re.sub(r"\.gz$", "", path.name, flags=re.I)).suffix.lower()


def check_output(path: Path, source: str = "-") -> None:
    """Refuse a file that could not or should not be written, before any work is done.

    Args:
        path: the file.
        source: what is predicted; see `read_input`.

    Raises:
        DataError: the suffix is unknown, the folder is missing, or the file is the source.
    """
    form, is_zipped = form_of(path), path.suffix.lower() == ".gz"
    if form not in (APPENDED if is_zipped else SUFFIXES):
        excel = "; spreadsheets open .csv" if form in (".xlsx", ".xls") else ""
        raise DataError(
            f"{path}: the suffix must be one of {', '.join(SUFFIXES)}, or "
            f"{', '.join(f'{suffix}.gz' for suffix in APPENDED)}{excel}"
        )
    check_place(path)
    if exists(source) and path.exists() and path.samefile(source):
        raise DataError(f"{path} is the input itself; write the predictions to another file")


class Part(ABC):
    """A file that is not finished."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Take over an open file."""
        self.path = path
        self.file = file

    @abstractmethod
    def write(self, table: Table) -> None:
        """Append the rows of a table."""

    @abstractmethod
    def close(self) -> None:
        """Finish and close it."""

    def finish(self, place: Path) -> None:
        """Close it, and give it its name, down to the disk."""
        self.close()
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(place)
        sync_names(place.parent)

    def discard(self) -> None:
        """Remove it."""
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


@final
class TextPart(Part):
    """CSV, TSV or JSON lines, compressed or not.

    Attributes:
        size: bytes after the last table that was written whole.
    """

    def __init__(self, path: Path, file: BinaryIO, place: Path, size: int = 0) -> None:
        """Go on after so many bytes, with which the header has been written."""
        super().__init__(path, file)
        self._form = form_of(place)
        self._is_zipped = place.suffix.lower() == ".gz"
        self.size = size
        file.truncate(size)
        file.seek(size)

    def write(self, table: Table) -> None:
        """See `Part.write`; a member of its own where the file is compressed."""
        data = encoded(text_of(table, self._form, headed=not self.size))
        self.file.write(gzip.compress(data, mtime=0) if self._is_zipped and data else data)
        self.size = self.file.tell()

    def keep(self) -> None:
        """Bring what was written whole down to the disk."""
        self.file.flush()
        self.file.truncate(self.size)
        self.file.seek(self.size)
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """See `Part.close`."""
        self.file.close()


@final
class ParquetPart(Part):
    """Parquet, in row groups."""

    def __init__(self, path: Path, file: BinaryIO, kinds: Mapping[str, Any]) -> None:
        """Begin a file.

        Args:
            path: where it is.
            file: it, open and empty.
            kinds: column to the kind of its values, in a list if they are lists; numbers if it is
                left out.
        """
        super().__init__(path, file)
        self._kinds = kinds
        self._writer: Any = None
        self._waiting: Table = {}

    def write(self, table: Table) -> None:
        """See `Part.write`."""
        if not self._waiting:
            self._waiting = {name: [] for name in table}
        for name, values in table.items():
            self._waiting[name] += values
        if len(next(iter(self._waiting.values()))) >= ROWS_A_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow
        import pyarrow.parquet

        table = {n: arrow_values(of, self._kinds.get(n)) for n, of in self._waiting.items()}
        schema = pyarrow.schema([(name, self._type(name)) for name in table])
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self.file, schema)
        self._writer.write_table(pyarrow.table(table, schema=schema))
        self._waiting = {}

    def _type(self, name: str) -> Any:
        import pyarrow

        kind = self._kinds.get(name, "double")
        if isinstance(kind, list):
            return pyarrow.list_(pyarrow.string())
        if isinstance(kind, str):
            return pyarrow.type_for_alias(TEXT if kind == MIXED else kind)
        return kind

    def discard(self) -> None:
        """See `Part.discard`."""
        if self._writer is not None:
            with suppress(OSError, ValueError):
                self._writer.close()
        super().discard()

    def close(self) -> None:
        """See `Part.close`."""
        if self._waiting:
            self._write_group()
        if self._writer is not None:
            self._writer.close()
        self.file.close()


@contextmanager
def table_file(
    path: Path, source: str = "-", kinds: Mapping[str, Any] | None = None
) -> Iterator[Sink]:
    """A file of CSV, TSV, JSON lines or Parquet by the suffix, which tables are appended to.

    It is written beside its place, and renamed when the body has ended without an error. The
    place of a link is what it leads to.

    Args:
        path: the file.
        source: what is predicted; see `read_input`.
        kinds: of the columns, for Parquet; see `ParquetPart`.

    Raises:
        DataError: it cannot or should not be written.
    """
    check_output(path, source)
    place = Path(os.path.realpath(path))
    with blaming(str(path)):
        claim = claimed(path, lasts=False)
        part = made_part(claim.path, claim.file, place, kinds or {})

    def write(table: Table) -> None:
        with blaming(str(path)):
            part.write(table)

    try:
        yield write
        with blaming(str(path)):
            part.finish(place)
    finally:
        part.discard()


def made_part(path: Path, file: BinaryIO, place: Path, kinds: Mapping[str, Any]) -> Part:
    """An open and empty file as one that tables are appended to."""
    if form_of(place) == ".parquet":
        return ParquetPart(path, file, kinds)
    return TextPart(path, file, place)
