"""Ids and texts of a large file or of standard input, some rows at a time.

`open_stream` gives what `read` would, without holding the file: what there is to decide (form,
delimiter, quoting, header, columns) is decided on its beginning, and a later row that does not fit
is an error. Where only the whole file can decide, there is no stream. If rows have names of their
own, the file is read once more, first, to see that these differ.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, compress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast, final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset, Finding
from finetext.data.assemble import assemble, rows_of
from finetext.data.columns import Chosen, choose_columns, named, refuse_odd_text
from finetext.data.formats import EXCEL, parse_text
from finetext.data.joined import (
    TextWatch,
    as_texts,
    broken_characters,
    missing_text,
    whole_characters,
)
from finetext.data.labels import as_strings
from finetext.data.read import reading_of
from finetext.data.rows import (
    ONLY_TEXTS,
    Aside,
    BadRow,
    Batch,
    Kinds,
    Reading,
    Rows,
    Texts,
    Wanted,
    all_text,
    column_names,
)
from finetext.data.sources import Decoder

ESCAPED: Final = re.compile("[\udc80-\udcff]")
"""Bytes that are no text in the encoding that was stated, as the decoder leaves them."""


def sort_out(table: Batch, column: str, first: int) -> tuple[Batch, list[BadRow]]:
    """Part the rows whose text is missing or no text from the others.

    Args:
        table: n rows.
        column: that of the texts.
        first: number of the first row, for tables without lines.

    Returns:
        the other rows, with lines, and the bad ones.
    """
    count = len(table) if table.lines is None else len(table.lines)
    lines = list(table.lines or range(first, first + count))
    texts = table.columns.get(column, [None] * count)
    reasons = [_reason(text) for text in texts]
    for values in table.columns.values():
        for row, value in enumerate(values):
            if isinstance(value, str) and not value.isascii() and ESCAPED.search(value):
                reasons[row] = reasons[row] or "not text in the encoding that was stated"
    if not any(reasons):
        return replace(table, lines=lines), []
    bad = [
        BadRow(lines[row], reason, _content(table, row))
        for row, reason in enumerate(reasons)
        if reason
    ]
    good = [not reason for reason in reasons]
    columns = {name: list(compress(values, good)) for name, values in table.columns.items()}
    return replace(table, columns=columns, lines=list(compress(lines, good))), bad


def _reason(text: Any) -> str:
    if isinstance(text, str):
        return ""
    if isinstance(text, list | tuple | set | dict):
        return f"the text is {'an object' if isinstance(text, dict) else 'a list'}, not a string"
    return "the text is missing" if missing_text(text) else ""


def _content(table: Batch, row: int) -> str:
    """The values of a row as JSON, bytes that are no text as they are written in Python."""
    values = {name: values[row] for name, values in table.columns.items()}
    text = json.dumps(values, ensure_ascii=False, default=str)
    return ESCAPED.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)


ROWS: Final = 20_000
"""Rows in a chunk: enough to sort by length, and little memory."""
BYTES: Final = 1 << 23
"""Bytes read at a time; a file of no more is not worth a stream."""
_OTHER: Final = {*EXCEL, ".xls", ".zip", ".tar", ".tgz"}
_VARIED: Final = ("JSON lines", "fastText lines")
_Tables = Iterator[tuple[Batch, float]]


def all_of(dataset: Dataset) -> Texts:
    """The rows of a data set."""

    def chunks() -> Iterator[Rows]:
        for start in range(0, len(dataset), ROWS):
            part = slice(start, start + ROWS)
            share = min(1.0, part.stop / len(dataset))
            yield Rows(dataset.ids[part], dataset.texts[part], share)

    return Texts(chunks(), list(dataset.findings), dataset.description)


def lines_of(file: BinaryIO, name: str) -> Texts:
    """Every line of a stream of bytes, blank ones too, numbered from 1.

    Raises:
        DataError: there is nothing in it; or, when its chunks are taken, it is no text.
    """
    decoder = Decoder(name)
    pieces = _pieces(file, decoder)
    first = next(pieces)
    if not first[0]:
        raise DataError(f"{name} is empty; give one text a line")
    findings: list[Finding] = []
    return Texts(_chunks_of_lines(chain([first], pieces), decoder, findings), findings)


def _chunks_of_lines(
    pieces: Iterable[tuple[str, bool]], decoder: Decoder, findings: list[Finding]
) -> Iterator[Rows]:
    done = 0
    for piece, _ in pieces:
        lines = piece.removesuffix("\n").split("\n") if piece else []
        for start in range(0, len(lines), ROWS):
            texts = [line.removesuffix("\r") for line in lines[start : start + ROWS]]
            ids = [str(done + number) for number in range(1, len(texts) + 1)]
            yield Rows(ids, texts)
            done += len(texts)
    findings.extend(decoder.findings)


def open_stream(source: str | Path, settings: ReadSettings, wanted: Wanted = ONLY_TEXTS) -> Texts:
    """The rows of a source, some at a time where it is a large file.

    Raises:
        DataError: it cannot be read; also when its batches are taken.
    """
    try:
        is_there = Path(source).exists()
    except (OSError, ValueError):
        is_there = False
    texts = _streamed(Path(source), settings, wanted) if is_there else None
    return texts or _read_whole(str(source), settings, wanted)


def _streamed(path: Path, settings: ReadSettings, wanted: Wanted = ONLY_TEXTS) -> Texts | None:
    """The rows of a large file; None if it is small, or has to be read whole.

    Args:
        path: a file: delimited text, lines or JSON lines, gzipped or not, or Parquet.
        settings: how to read it.
        wanted: what beside ids and texts. For all columns a Parquet file need not be large, for
            bad rows no file.

    Raises:
        DataError: it cannot be read; also when its chunks are taken.
    """
    if settings.labelled or settings.drop_unlabelled:
        return None
    tables = _tables_of(path, settings, wanted)
    beginning = next(tables(()), None) if tables else None
    if tables is None or beginning is None or not len(beginning[0]):
        return None
    table = beginning[0]
    chosen = choose_columns(table, settings)
    refuse_odd_text(table, chosen.text, table.columns[chosen.text])
    findings: list[Finding] = []
    if chosen.id is not None:
        if float in set(map(type, table.columns[chosen.id])):
            return None
        problem = _problem_of_ids(tables((chosen.id,)), chosen.id, str(path))
        if problem and settings.id is not None:
            raise DataError(f"{problem}; ids must be unique: name another column with --id")
        if problem:
            message = f"the rows are numbered, since {problem}"
            findings.append(Finding("warning", "odd-ids", message))
            chosen = replace(chosen, id=None)
    named = [("text", chosen.text), ("id", chosen.id)]
    told = ", ".join(f"{what} {name!r}" for what, name in named if name)
    description = f"{path.name}: {table.form}; {told}"
    columns = _columns_of(path, table, tables) if wanted.columns else {}
    chunks = _chunks_of_tables(tables, chosen, findings, columns, wanted.bad)
    return Texts(chunks, findings, description, columns, chosen.id)


def _columns_of(path: Path, beginning: Batch, tables: Callable[..., _Tables]) -> Mapping[str, Any]:
    """All columns of a file with the kind of their values; see `Texts.columns`."""
    if beginning.form == "Parquet":
        import pyarrow.parquet

        schema = pyarrow.parquet.read_schema(path)
        return dict(zip(column_names(schema.names), schema.types, strict=True))
    if beginning.form not in _VARIED:
        return all_text(beginning.columns)
    kinds = Kinds()
    for table, _ in tables(()):
        kinds.look(table.columns)
    return kinds.found()


def _tables_of(path: Path, settings: ReadSettings, wanted: Wanted) -> Callable[..., _Tables] | None:
    """A function that reads a file as tables of some rows, if its form and size call for that.

    The function takes the names of the columns that are needed, none for all, where to put what
    it notices, and where to put the rows that cannot be read.
    """
    if not path.is_file():
        return None
    with _opened(path) as (file, _):
        beginning = file.read(BYTES + 1)
    suffix = PurePosixPath(re.sub(r"\.gz$", "", path.name, flags=re.I)).suffix.lower()
    is_small = len(beginning) <= BYTES
    if suffix in _OTHER or beginning[257:262] == b"ustar":
        return None
    if suffix == ".parquet" or beginning.startswith(b"PAR1"):
        as_whole = _is_gzipped(path) or (is_small and wanted == ONLY_TEXTS)
        return None if as_whole else partial(_tables_of_parquet, path)
    if is_small and not (wanted.bad and beginning.strip()):
        return None
    if not is_small and b"\n" not in beginning:
        return None
    return _TextFile(path, suffix, settings, wanted.bad, is_small).tables


@final
@dataclass(frozen=True)
class _TextFile:
    """A text file that is read some rows at a time.

    Attributes:
        path: where it is.
        suffix: its ending in lower case, without that of compression.
        settings: how to read it.
        mends: whether rows that cannot be read are left out instead of being an error.
        is_small: whether it is read as one piece.
    """

    path: Path
    suffix: str
    settings: ReadSettings
    mends: bool
    is_small: bool

    def tables(
        self,
        only: Sequence[str],
        findings: list[Finding] | None = None,
        bad: list[BadRow] | None = None,
    ) -> _Tables:
        """Its rows; none if only the whole file says how to read it.

        Args:
            only: the columns that are needed; all are read.
            findings: where to put what is noticed.
            bad: where to put rows that cannot be read.
        """
        decoder = Decoder(str(self.path), self.settings.encoding, lenient=self.mends)
        aside = None if not self.mends else (lambda row: None) if bad is None else bad.append
        rest, line, table = "", 1, None
        with _opened(self.path) as (file, share):
            for piece, last in self._pieces(file, decoder):
                text = rest + piece
                if table is None:
                    table = self._beginning(text, aside)
                    proceed = table.proceed
                elif proceed is not None:
                    table = proceed(text, line, last)
                if proceed is None and not self.is_small:
                    return
                rest = table.rest
                line += text.count("\n") - rest.count("\n")
                yield table, share()
        if findings is not None:
            findings.extend(decoder.findings)

    def _pieces(self, file: BinaryIO, decoder: Decoder) -> Iterator[tuple[str, bool]]:
        if self.is_small:
            return iter([(decoder.decode(file.read(), last=True), True)])
        return _pieces(file, decoder)

    def _beginning(self, text: str, aside: Aside | None) -> Batch:
        """The first rows, which settle the form.

        Raises:
            DataError: there are none; other than for JSON, of which the beginning alone says
                little.
        """
        name = str(self.path)
        try:
            return parse_text(text, name, self.suffix, self.settings, self.is_small, aside)
        except DataError:
            if self.suffix != ".json":
                raise
            return Batch(name, {}, "")


def _tables_of_parquet(
    path: Path,
    only: Sequence[str],
    findings: list[Finding] | None = None,
    bad: list[BadRow] | None = None,
) -> _Tables:
    """The rows of a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    done = 0
    try:
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            names = column_names(file.schema_arrow.names)
            for batch in file.iter_batches(ROWS):
                columns = {
                    name: batch.column(place).to_pylist()
                    for place, name in enumerate(names)
                    if name in only or not only
                }
                done += len(batch)
                yield Batch(str(path), columns, "Parquet"), done / file.metadata.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}") from None


def _problem_of_ids(tables: _Tables, column: str, name: str) -> str | None:
    """What keeps a column from naming the rows, such as a repeated value; None if nothing."""
    found: list[Integers] = []
    done = 0
    for table, _ in tables:
        values = _column(table, column)
        if float in set(map(type, values)):
            return f"{name}: the id column {column!r} holds fractions after row {done:,}"
        ids = as_strings(values)
        if None in ids:
            row = done + ids.index(None) + 1
            return f"{name}: the id column {column!r} is empty in row {row:,}"
        found.append(np.fromiter(map(hash, ids), np.int64, len(ids)))
        done += len(ids)
    hashes = np.concatenate(found)
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(np.diff(hashes[order]) == 0)
    if not len(same):
        return None
    first, second = order[same[0]] + 1, order[same[0] + 1] + 1
    return f"{name}: the id in column {column!r} is the same in rows {first:,} and {second:,}"


def _chunks_of_tables(
    tables: Callable[..., _Tables],
    chosen: Chosen,
    findings: list[Finding],
    columns: Mapping[str, Any],
    sorts_out: bool,
) -> Iterator[Rows]:
    done, changed, watch = 0, 0, TextWatch()
    needed = () if columns else (chosen.text,) if chosen.id is None else (chosen.text, chosen.id)
    unread: list[BadRow] = []
    for table, share in tables(needed, findings, unread):
        bad: list[BadRow] = []
        if sorts_out:
            table, bad = sort_out(table, chosen.text, done + 1)
            bad = sorted([*unread, *bad], key=lambda row: row.line)
            unread.clear()
        values = _column(table, chosen.text)
        watch.look(table, values)
        texts, broken = whole_characters(as_texts(values))
        changed += broken
        ids = list(map(str, _numbers(table, len(texts), done, bad)))
        if chosen.id is not None:
            ids = list(map(str, as_strings(_column(table, chosen.id))))
        done += len(texts) + len(bad)
        yield from _cut(
            table, Rows(ids, texts, share, {n: _column(table, n) for n in columns}, bad)
        )
    findings.extend(watch.findings)
    if changed:
        findings.append(broken_characters(changed))


def _numbers(table: Batch, count: int, done: int, bad: Sequence[BadRow]) -> Integers | range:
    """The numbers of rows that come after `done` others, bad rows counted."""
    if not bad:
        return range(done + 1, done + count + 1)
    before = np.searchsorted([row.line for row in bad], np.array(table.lines, dtype=np.int64))
    return np.asarray(done + 1 + np.arange(count) + before)


def _cut(table: Batch, chunk: Rows) -> Iterator[Rows]:
    """The rows of a table some at a time, each bad one with those before it."""
    count, bad = len(chunk.ids), list(chunk.bad)
    for start in range(0, max(count, bool(bad)), ROWS):
        last = start + ROWS >= count
        until = np.inf if last or table.lines is None else table.lines[start + ROWS]
        own = [row for row in bad if row.line < until]
        bad = bad[len(own) :]
        yield replace(chunk.part(start, start + ROWS), bad=own)


def _column(table: Batch, name: str) -> list[Any]:
    """A column; no values where none of some JSON lines has it."""
    count = len(table) if table.lines is None else len(table.lines)
    return table.columns.get(name, [None] * count)


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b" or path.suffix.lower() == ".gz"


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    """A file, unzipped if it is gzipped, and the share of it that has been read.

    Raises:
        DataError: it cannot be read, or is broken.
    """
    zipped = False
    try:
        zipped = _is_gzipped(path)
        with path.open("rb") as raw:
            size = max(1, path.stat().st_size)
            plain = cast(BinaryIO, gzip.GzipFile(fileobj=raw) if zipped else raw)
            yield plain, lambda: min(1.0, raw.tell() / size)
    except (OSError, EOFError, zlib.error) as error:
        if zipped:
            raise DataError(f"{path} is broken: {error}") from None
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None


def _pieces(file: BinaryIO, decoder: Decoder) -> Iterator[tuple[str, bool]]:
    """Whole lines of text, and whether they are the last ones."""
    rest, last = "", False
    while not last:
        data = file.read(BYTES)
        last = not data
        text = rest + decoder.decode(data, last)
        end = len(text) if last else text.rfind("\n") + 1
        text, rest = text[:end], text[end:]
        if text or last:
            yield text, last


_Place = tuple[Batch, int]
_Key = tuple[int, int]
"""Which table, by its identity, and which row of it."""


def _read_whole(source: str, settings: ReadSettings, wanted: Wanted) -> Texts:
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
    columns = _whole_columns(reading)
    chunks = _whole_chunks(dataset, places, list(columns), bad)
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


def _whole_columns(reading: Reading) -> dict[str, str]:
    """All columns of all tables with the kind of their values."""
    kinds = Kinds()
    for part in reading.parts:
        kinds.look(part.table.columns)
    return kinds.found()


def _whole_chunks(
    dataset: Dataset, places: dict[str, _Place], names: list[str], bad: dict[_Key, BadRow]
) -> Iterator[Rows]:
    for chunk in all_of(dataset).batches:
        where = [places[name] for name in chunk.ids]
        odd = [bad.get((id(table), row)) for table, row in where]
        good = [place for place, one in enumerate(odd) if one is None]
        columns: dict[str, list[Any]] = {
            name: [_value(*where[place], name) for place in good] for name in names
        }
        yield Rows(
            [chunk.ids[place] for place in good],
            [chunk.texts[place] for place in good],
            chunk.share,
            columns,
            [one for one in odd if one is not None],
        )


def _value(table: Batch, row: int, name: str) -> Any:
    """A value, or None where the table has no such column."""
    return table.columns[name][row] if name in table.columns else None
