"""Ids and texts of a file or of standard input, some rows at a time.

Form, delimiter, quoting, header and columns of a large file are decided on its beginning, and a
later row that does not fit is an error. Where only the whole file can decide, it is read whole.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast, final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.budget import explained, reading, take, take_lines
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.text_columns import text_in_json
from finetext.core.types import Finding
from finetext.data.annotations import is_export, plain
from finetext.data.columns import Chosen, choose_columns, named, refuse_odd_text
from finetext.data.folders import read_file
from finetext.data.formats import EXCEL, TEXT_A_LINE, parse_text, refuse_sheet
from finetext.data.label_cells import as_strings
from finetext.data.parquet import parquet_batches
from finetext.data.read import assemble, open_source
from finetext.data.rows import (
    ONLY_TEXTS,
    TEXT,
    BadRow,
    Batch,
    File,
    Rows,
    Source,
    Texts,
    TextWatch,
    Wanted,
    as_texts,
    broken_characters,
    column_names,
    kinds_of,
    missing_text,
    nested,
    row_texts,
    unused_settings,
)
from finetext.data.skipped_rows import skipped_findings
from finetext.data.sources import Decoder

ROWS: Final = 20_000
BYTES: Final = 1 << 23
"""Bytes read at a time; a file of no more is read whole."""
_HASH: Final = 32
"""Bytes of memory that is held for a row of a whole file: the hash of its id, or its number."""
_ESCAPED: Final = re.compile("[\udc80-\udcff]")
"""Bytes that are not text in the stated encoding, as the decoder leaves them."""
_OTHER: Final = {*EXCEL, ".xls", ".zip", ".tar", ".tgz"}
_VARIED: Final = ("JSON lines", "fastText lines")
_Batches = Iterator[tuple[Batch, float]]
_Reader = Callable[..., _Batches]
"""Takes the columns needed (none for all), and lists for findings and for bad rows."""


def open_stream(source: str | Path, settings: ReadSettings, wanted: Wanted = ONLY_TEXTS) -> Texts:
    """Open the rows of a source, whatever `read` takes."""
    batches = _batches_of(Path(source), settings, wanted)
    first = next(batches(()), (None, 0.0))[0] if batches else None
    if not batches or not first or is_export(first):
        return _open_whole(open_source(str(source), settings), settings, wanted)
    chosen = choose_columns(first, settings)
    refuse_odd_text(first, chosen.text, row_texts(first, chosen.texts))
    findings = [*chosen.findings, *unused_settings([first], settings)]
    if chosen.id is not None:
        if float in set(map(type, first.columns[chosen.id])):
            return _open_whole(open_source(str(source), settings), settings, wanted)
        problem = _problem_of_ids(batches((chosen.id,)), chosen.id, str(source))
        if problem and settings.id is not None:
            raise DataError(f"{problem}; ids must be unique: name another column with --id")
        if problem:
            findings += [Finding("warning", "odd-ids", f"the rows are numbered, since {problem}")]
            chosen = replace(chosen, id=None)
    id_shown = f", id {chosen.id!r}" if chosen.id else ""
    description = f"{Path(source).name}: {first.form}; text {chosen.texts_shown}{id_shown}"
    kinds = _kinds(Path(source), first, batches) if wanted.columns else {}
    rows = _rows(batches, chosen, findings, kinds, wanted.bad)
    return Texts(rows, findings, description, kinds, chosen.id)


def lines_of(
    file: BinaryIO, name: str, columns: Sequence[str] = (), rejects: bool = False
) -> Texts:
    """Return the lines of a stream of bytes that are not blank, with their numbers from 1 as ids.

    For a model of several text `columns` each is a JSON object of them. Raises a DataError if there
    is none.
    """
    decoder = Decoder(name)
    pieces = _pieces(file, decoder)
    first = next(pieces)
    if not first[0]:
        raise DataError(f"{name} is empty; give one text per line")
    findings: list[Finding] = []

    def batches() -> Iterator[Rows]:
        number = blank = 0
        for piece, _ in chain([first], pieces):
            lines = piece.removesuffix("\n").split("\n") if piece else []
            numbered = enumerate(lines, start=number + 1)
            full = {str(at): line.removesuffix("\r") for at, line in numbered if line.strip()}
            number += len(lines)
            blank += len(lines) - len(full)
            for start in range(0, len(full), ROWS):
                ids = list(islice(full, start, start + ROWS))
                texts = [full[one] for one in ids]
                bad = _read_json(ids, texts, columns, name, rejects)
                order = [bad.get(row, row) for row in range(len(texts))]
                yield from _cut(order, Rows(ids, texts)) if bad else [Rows(ids, texts)]
        if blank == number:
            raise DataError(f"{name} has blank lines only; give one text per line")
        findings.extend([*decoder.findings, *skipped_findings(name, blank, ())])

    return Texts(batches(), findings)


def _read_json(
    ids: Sequence[str], lines: list[str], columns: Sequence[str], name: str, rejects: bool
) -> dict[int, BadRow]:
    """Replace lines of JSON by their joined texts; return those that are none, or raise for one."""
    bad: dict[int, BadRow] = {}
    for row, line in enumerate(lines) if columns else ():
        try:
            lines[row] = text_in_json(line, columns)
        except DataError as error:
            if not rejects:
                raise DataError(f"{name}, line {ids[row]}: {error}") from None
            bad[row] = BadRow(int(ids[row]), str(error), line)
    return bad


def open_bytes(name: str, data: bytes, settings: ReadSettings) -> Texts:
    """Open the rows, with all columns, of a file in memory, as `open_stream` does those on disk."""
    with reading(settings.most_bytes), explained(name):
        opened = read_file(File(name, PurePosixPath(name), lambda: data), settings)
        batches = tuple(plain(batch, settings) for batch in opened.batches)
    return _open_whole(replace(opened, batches=batches), settings, Wanted(columns=True))


def _open_whole(opened: Source, settings: ReadSettings, wanted: Wanted) -> Texts:
    bad: list[dict[int, BadRow]] = [{} for _ in opened.batches]
    if wanted.bad and opened.batches[0]:
        chosen = choose_columns(opened.batches[0], settings)
        batches = []
        for at, batch in enumerate(opened.batches):
            bad[at] = odd = _bad_rows(batch, chosen.texts_in(batch), 1)
            good = dict(batch.columns)
            for name in (named(batch, name) for name in chosen.texts):
                values = enumerate(batch.columns[name])
                good[name] = ["" if row in odd else value for row, value in values]
            batches.append(replace(batch, columns=good))
        opened = replace(opened, batches=tuple(batches))
    dataset, places = assemble(opened, settings)
    order = [bad[at].get(row, place) for place, (at, row) in enumerate(places)]
    kinds = kinds_of(opened.batches) if wanted.columns or any(bad) else {}
    columns = {name: [opened.batches[at].column(name)[row] for at, row in places] for name in kinds}

    def batches_of_rows() -> Iterator[Rows]:
        for start in range(0, len(order), ROWS):
            share = min(1.0, (start + ROWS) / len(order))
            rows = Rows(dataset.ids, dataset.texts, share, columns)
            yield from _cut(order[start : start + ROWS], rows)

    all_chosen = choose_columns(opened.batches[0], settings) if kinds else None
    found, texts = (all_chosen.id, all_chosen.texts) if all_chosen else (None, ())
    is_id = found is not None and dataset.ids == as_strings(columns[found])
    told = list(dataset.findings), dataset.description
    return Texts(batches_of_rows(), *told, kinds, found if is_id else None, texts)


def _kinds(path: Path, first: Batch, batches: _Reader) -> Mapping[str, Any]:
    """The columns of a file with the kinds of their values; see `Texts.columns`."""
    if first.form == "Parquet":
        import pyarrow.parquet

        schema = pyarrow.parquet.read_schema(path)
        return dict(zip(column_names(schema.names), schema.types, strict=True))
    if first.form in _VARIED:
        return kinds_of(batch for batch, _ in batches(()))
    return dict.fromkeys(first.columns, TEXT)


def _batches_of(path: Path, settings: ReadSettings, wanted: Wanted) -> _Reader | None:
    """A function that reads a file in batches, if its form and size call for that."""
    if not os.path.isfile(path) or settings.labelled or settings.drop_unlabelled:
        return None
    with _opened(path) as (file, _):
        beginning = file.read(BYTES + 1)
    suffix = PurePosixPath(re.sub(r"\.gz$", "", path.name, flags=re.I)).suffix.lower()
    is_small = len(beginning) <= BYTES
    if suffix in _OTHER or beginning[257:262] == b"ustar":
        return None
    if suffix == ".parquet" or beginning.startswith(b"PAR1"):
        as_whole = _is_gzipped(path) or (is_small and wanted == ONLY_TEXTS)
        return None if as_whole else partial(_parquet, path, settings)
    refuse_sheet(str(path), settings)
    in_batches = wanted.bad and beginning.strip() if is_small else b"\n" in beginning
    return _TextFile(path, suffix, settings, wanted.bad, is_small).batches if in_batches else None


@final
@dataclass(frozen=True)
class _TextFile:
    path: Path
    suffix: str
    settings: ReadSettings
    rejects: bool
    is_small: bool

    def batches(
        self, _: Any, findings: list[Finding] | None = None, bad: list[BadRow] | None = None
    ) -> _Batches:
        """See `_batches_of`; no batch if only the whole file can say how to read it."""
        name, suffix, settings = str(self.path), self.suffix, self.settings
        decoder = Decoder(name, settings.encoding, lenient=self.rejects)
        reject = ([] if bad is None else bad).append if self.rejects else None
        rest, line, batch, blank = "", 1, None, 0
        found: tuple[Finding, ...] = ()
        repeats: list[int] = []
        footers: dict[int, str] = {}
        with _opened(self.path) as (file, share):
            pieces = _pieces(file, decoder)
            if self.is_small:
                pieces = iter([(decoder.decode(file.read(), last=True), True)])
            while True:
                with reading(settings.most_bytes), explained(self.path):
                    if (piece := next(pieces, None)) is None:
                        break
                    text, last = rest + piece[0], piece[1]
                    if batch is None:
                        try:
                            batch = parse_text(text, name, suffix, settings, self.is_small, reject)
                        except DataError:
                            if suffix != ".json":  # the beginning alone says little of JSON
                                raise
                            return
                        proceed, found = batch.proceed, batch.findings
                    elif proceed is not None:
                        take_lines(text, name)
                        batch = proceed(text, line, last)
                    take(_HASH * len(repeats), name)
                if proceed is None and not self.is_small:
                    return
                rest = batch.rest
                blank += batch.blank
                repeats += batch.repeats
                footers |= batch.footers
                line += text.count("\n") - rest.count("\n")
                yield batch, share()
        if findings is not None:
            skipped = skipped_findings(name, blank, repeats, footers)
            findings += [*decoder.findings, *found, *skipped]


def _parquet(path: Path, settings: ReadSettings, only: Sequence[str], *_: Any) -> _Batches:
    return parquet_batches(path, only, settings.most_bytes, ROWS)


def _problem_of_ids(batches: _Batches, column: str, name: str) -> str | None:
    """Why a column cannot name the rows, such as a repeated value; None if it can."""
    found: list[Integers] = []
    done = 0
    for batch, _ in batches:
        take(_HASH * done, name)
        values = batch.column(column)
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


def _rows(
    batches: _Reader, chosen: Chosen, findings: list[Finding], names: Collection[str], rejects: bool
) -> Iterator[Rows]:
    done, changed, watch = 0, 0, TextWatch()
    needed = () if names else tuple(name for name in (*chosen.texts, chosen.id) if name)
    unread: list[BadRow] = []
    for batch, share in batches(needed, findings, unread):
        values = row_texts(batch, chosen.texts)
        bad = _bad_rows(batch, values, done + 1) if rejects else {}
        order: list[int | BadRow] = [bad.get(row, row) for row in range(len(batch))]
        if unread:
            lines = batch.lines or ()
            order += unread
            order.sort(key=lambda row: row.line if isinstance(row, BadRow) else lines[row])
            unread.clear()
        if not bad:
            watch.look(batch, values)
        texts, broken = as_texts([None if at in bad else v for at, v in enumerate(values)])
        changed += broken
        if chosen.id is None:
            numbers = {row: str(number) for number, row in enumerate(order, start=done + 1)
                       if not isinstance(row, BadRow)}  # fmt: skip
            ids = [numbers.get(row, "") for row in range(len(batch))]
            ids = list(map(str, batch.lines or ())) if batch.form == TEXT_A_LINE else ids
        else:
            ids = list(map(str, as_strings(batch.column(chosen.id))))
        done += len(order)
        columns = {name: batch.column(name) for name in names}
        yield from _cut(order, Rows(ids, texts, share, columns))
    findings += [*watch.findings, *broken_characters(changed)]


def _cut(order: Sequence[int | BadRow], rows: Rows) -> Iterator[Rows]:
    """Rows some at a time in their order, each bad one with those before it."""
    good = [place for place, row in enumerate(order) if not isinstance(row, BadRow)]
    for start, end in pairwise([0, *good[ROWS::ROWS], len(order)] if order else []):
        kept = [row for row in order[start:end] if not isinstance(row, BadRow)]
        ids, texts = [rows.ids[row] for row in kept], [rows.texts[row] for row in kept]
        columns = {name: [values[row] for row in kept] for name, values in rows.columns.items()}
        bad = [row for row in order[start:end] if isinstance(row, BadRow)]
        yield Rows(ids, texts, rows.share, columns, bad)


def _bad_rows(batch: Batch, texts: Sequence[Any], first: int) -> dict[int, BadRow]:
    """The rows whose text is missing or not text; those without lines are numbered from `first`."""
    reasons: dict[int, str] = {}
    for row, text in enumerate(texts):
        if (what := nested(text)) or missing_text(text):
            reasons[row] = f"the text is {what + ', not a string' if what else 'missing'}"
    for values in batch.columns.values():
        for row, value in enumerate(values):
            if isinstance(value, str) and not value.isascii() and _ESCAPED.search(value):
                reasons.setdefault(row, "not text in the stated encoding")

    def content(row: int) -> str:
        values = {name: values[row] for name, values in batch.columns.items()}
        text = json.dumps(values, ensure_ascii=False, default=str)
        return _ESCAPED.sub(lambda sign: f"\\x{ord(sign[0]) - 0xDC00:02x}", text)

    lines = batch.lines or range(first, first + len(batch))
    return {row: BadRow(lines[row], reason, content(row)) for row, reason in reasons.items()}


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b" or path.suffix.lower() == ".gz"


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    """A file, decompressed if it is gzipped, and the share of it that has been read."""
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
    held: list[str] = []
    last = False
    while not last:
        data = file.read(BYTES)
        last = not data
        text = decoder.decode(data, last)
        if (end := len(text) if last else text.rfind("\n") + 1) or last:
            yield "".join([*held, text[:end]]), last
            held = []
        held.append(text[end:])
        take(4 * sum(map(len, held)), decoder.name)
