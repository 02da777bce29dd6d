"""Unfinished files that tables are appended to, beside the place to which they are renamed."""

from __future__ import annotations

import gzip
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from finetext.core.console import blaming
from finetext.core.errors import DataError
from finetext.core.types import Finding
from finetext.data.workbook import Workbook
from finetext.data.write import Table, arrow_table, encoded, form_of, text_of
from finetext.storage.files import open_own, put_in_place
from finetext.storage.locks import try_lock
from finetext.storage.unfinished import room_in, settle

if TYPE_CHECKING:
    from filelock import BaseFileLock

ROWS_A_GROUP: Final = 20_000  # in a row group of Parquet


def unfinished_path(path: Path) -> Path:
    """Return where a file is written before it gets its name, beside what a link leads to."""
    place = Path(os.path.realpath(path))
    return place.with_name(f".{place.name}.part")


def state_path_of(unfinished: Path) -> Path:
    """Return where it is written down how far an unfinished file has come."""
    return unfinished.with_name(f"{unfinished.name}.json")


class Part(ABC):
    """An unfinished file that tables are appended to, beside the place it is renamed to."""

    locale: str | None = None
    keep_formulas = False
    findings: tuple[Finding, ...] = ()

    def __init__(self, shown: Path, lasting: bool = False, is_needed: bool = False) -> None:
        """Open a file that this process alone writes, beside what a link leads to."""
        self.shown, self.place = shown, Path(os.path.realpath(shown))
        self.path = unfinished_path(shown)
        self.lock: BaseFileLock | None = None
        self.size = 0
        settle(self.place.parent)  # a prediction killed at its very end writes no state again
        with blaming(str(shown)):
            if lasting:
                self.lock = try_lock(self.path.with_name(f"{self.path.name}.lock"))
            if lasting and is_needed and self.lock is None:
                raise DataError(f"another process is writing {shown}; wait until it ends")
            with ExitStack() as opened:
                if self.lock is None:
                    self.path = opened.enter_context(room_in(self.place.parent)) / self.place.name
                else:
                    opened.callback(self.lock.release)
                self.file = open_own(self.path, os.O_APPEND if self.lock else os.O_EXCL)
                self._opened = opened.pop_all()

    @property
    def state_path(self) -> Path:
        """Where it is written down how far the file has come."""
        return state_path_of(self.path)

    def begin(self, size: int, kinds: Mapping[str, Any]) -> None:
        """Continue after `size` bytes; columns that `kinds` leaves out hold numbers."""
        self.size, self.kinds = size, kinds
        self.file.truncate(size)
        self.file.seek(size)

    @abstractmethod
    def write(self, table: Table) -> None:
        """Append the rows of a table; raises a DataError."""

    def close(self) -> None:
        """Finish and close the file."""
        self.file.close()

    def keep(self) -> None:
        """Bring all whole tables down to the disk."""
        self.file.flush()
        self.begin(self.size, self.kinds)
        os.fsync(self.file.fileno())

    def finish(self) -> None:
        """Close the file and rename it to its place, down to the disk; raises a DataError."""
        with blaming(str(self.shown)):
            self.close()
            put_in_place(self.path, self.place)

    def release(self, remove: bool) -> None:
        """Close the file and remove it with its state, or only if it is empty; free its lock."""
        with suppress(OSError):
            self.file.close()
            if remove or not self.path.stat().st_size:
                self.path.unlink(missing_ok=True)
        if self.lock is not None:
            with suppress(OSError):
                if remove:
                    self.state_path.unlink(missing_ok=True)
                Path(self.lock.lock_file).unlink()  # not while it is open on Windows
        self._opened.close()


@final
class TextPart(Part):
    """CSV, TSV or JSON lines, compressed or not; each table is a gzip member of its own."""

    def write(self, table: Table) -> None:
        """See `Part.write`."""
        with blaming(str(self.shown)):
            form = form_of(self.place)
            text = text_of(table, form, not self.size, self.locale, self.keep_formulas)
            data = encoded(text)
            is_zipped = self.place.suffix.lower() == ".gz"
            self.file.write(gzip.compress(data, mtime=0) if is_zipped and data else data)
            self.size = self.file.tell()


@final
class ParquetPart(Part):
    """Parquet, in row groups."""

    _writer: Any = None
    _waiting: Table

    def begin(self, size: int, kinds: Mapping[str, Any]) -> None:
        """See `Part.begin`; a file is never continued."""
        super().begin(0, kinds)
        self._waiting = {}

    def write(self, table: Table) -> None:
        """See `Part.write`."""
        with blaming(str(self.shown)):
            for name, values in table.items():
                self._waiting.setdefault(name, []).extend(values)
            if len(next(iter(self._waiting.values()))) >= ROWS_A_GROUP:
                self._write_group()

    def _write_group(self) -> None:
        import pyarrow.parquet

        table = arrow_table(self._waiting, self.kinds)
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self.file, table.schema)
        self._writer.write_table(table)
        self._waiting = {}

    def close(self) -> None:
        """See `Part.close`."""
        if self._waiting:
            self._write_group()
        if self._writer is not None:
            self._writer.close()
        super().close()

    def release(self, remove: bool) -> None:
        """See `Part.release`."""
        if self._writer is not None:
            with suppress(OSError, ValueError):
                self._writer.close()
        super().release(remove)


@final
class ExcelPart(Part):
    """An Excel workbook of one sheet."""

    def begin(self, size: int, kinds: Mapping[str, Any]) -> None:
        """See `Part.begin`; a file is never continued."""
        super().begin(0, kinds)
        self._book = Workbook()

    def write(self, table: Table) -> None:
        """See `Part.write`."""
        with blaming(str(self.shown)):
            self._book.append("predictions", table)

    def close(self) -> None:
        """See `Part.close`."""
        self._book.save(self.file)
        self.findings = self._book.findings
        super().close()


def part_at(path: Path, lasting: bool, is_needed: bool) -> Part:
    """Open the unfinished file of a format; see `Part`."""
    kind = {".parquet": ParquetPart, ".xlsx": ExcelPart}.get(form_of(path), TextPart)
    return kind(path, lasting, is_needed)
