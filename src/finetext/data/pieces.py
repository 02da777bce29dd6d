"""The files of a large table, and the pieces of rows in which it is worked on.

A piece is a range of rows of one file, which depends on the files alone: not on how many processes
share the work, nor on which machine. Where only reading a file tells how many rows it has, as in
CSV, the file is one piece.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from finetext.core.addresses import public_address
from finetext.core.errors import DataError, NoRowsError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import listed
from finetext.data.columns import choose_columns, refuse_odd_text
from finetext.data.formats import DELIMITED, JSON_LINES
from finetext.data.parquet import as_batch, parquet_rows, parquet_shape
from finetext.data.rows import TextWatch, Wanted, row_texts
from finetext.data.stream import ROWS, open_stream
from finetext.data.write import arrow_table, form_of
from finetext.storage.filesystems import Place, place_of

ROWS_A_PIECE: Final = 100_000
"""A multiple of the rows that are read, and predicted, at a time: batches begin as in a file."""
_ENDS: Final = 1 << 20
"""Bytes at both ends of a file that show that it has not changed; of Parquet one is the footer."""
_HASHED_WHOLE: Final = 1 << 26
"""Bytes of a text file up to which all of it shows that."""
_AT_ONCE: Final = 16
_OF_A_FILE: Final = {"odd-ids", "missing-texts"}
"""What is noticed of a file and does not hold for its pieces, whose rows have no ids."""
_WILD: Final = re.compile(r"[*?\[]")
_SUFFIXES: Final = (".parquet", *DELIMITED, *sorted(JSON_LINES))


@dataclass(frozen=True)
class InputFile:
    """A file of a large table.

    Attributes:
        source: its path or address.
        size: in bytes.
        sha256: of all of it, or of its first and last MiB: see `facts`.
        rows: how many it has; None if only reading it tells.
        columns: its Arrow schema; None if only reading it tells.
        changed: when it was written, of a text file of more than 64 MiB: nanoseconds.
    """

    source: str
    size: int
    sha256: str
    rows: int | None = None
    columns: Any = None
    changed: int | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What must be the same when work on it is resumed, also on another machine.

        Of Parquet it is the size, the first MiB and the last one, which has the places, sizes and
        ranges of all values: what changes neither is not seen. Of a text file it is every byte, but
        of more than 64 MiB both ends and the time when it was written: copies on several machines
        must keep that time, as `cp -p` and `rsync -t` do.
        """
        facts = {"name": _name_of(self.source), "size": self.size, "sha256": self.sha256}
        return facts if self.changed is None else facts | {"changed": self.changed}

    def check_unchanged(self) -> None:
        """Raise a DataError if the file is another one by now."""
        if _known(self.source).facts != self.facts:
            raise changed_error(self.source)


@dataclass(frozen=True)
class Piece:
    """The rows of a file from `start` up to `stop`, None for its end; `number` is that of the file.

    Attributes:
        source: path or address of the file.
    """

    number: int
    source: str
    start: int = 0
    stop: int | None = None

    @property
    def name(self) -> str:
        """The beginning of the name of its part; names are in the order of the rows."""
        return f"part-{self.number:07}-{self.start:012}"


def pieces_of(files: Sequence[InputFile], most: int | None = None) -> list[Piece]:
    """Return the pieces of a table, of at most so many rows each, in the order of the rows."""
    most = most or ROWS_A_PIECE
    return [
        Piece(number, file.source, start, None if file.rows is None else min(start + most, rows))
        for number, file in enumerate(files)
        for rows in [1 if file.rows is None else file.rows]
        for start in range(0, rows, most)
    ]


def share_of(pieces: Sequence[Piece], number: int, count: int) -> Sequence[Piece]:
    """Return the pieces of share `number`, from 1 to `count`: neighbors, and as many in each."""
    total = len(pieces)
    return pieces[total * (number - 1) // count : total * number // count]


def input_files(sources: Sequence[str]) -> tuple[InputFile, ...]:
    """Return the files of paths, addresses, folders and patterns such as `data/*.parquet`.

    Raises:
        DataError: a source is missing or has no table, or a file has other columns than the first.
    """
    found = [one for source in sources for one in _files_at(source)]
    repeated = [one for one, times in Counter(map(_path_of, found)).items() if times > 1]
    if repeated:
        raise DataError(f"{public_address(repeated[0])} is given twice; name each file once")
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        files = tuple(threads.map(_file_of, found))
    if all(file.rows == 0 for file in files):
        raise DataError(f"{listed(list(map(public_address, found)), 3)}: there are no rows")
    shaped = [file for file in files if file.columns is not None]
    for file in shaped[1:]:
        check_columns(file.columns, file.source, shaped[0].columns, shaped[0].source)
    return files


def _files_at(source: str) -> list[str]:
    place = place_of(source)
    if place.is_local and (Path(place.path).exists() or not _WILD.search(source)):
        path = Path(place.path)
        if not path.exists():
            raise DataError(f"there is no file or folder {source}")
        return _tables_in(source, place) if path.is_dir() else [_refuse_other_form(source)]
    if place.is_local:
        fitting = glob.glob(os.path.expanduser(source), recursive=True)
        found = [path for path in fitting if os.path.isfile(path)]
    elif _WILD.search(place.path):
        found = _matching(source, place)
    else:
        is_file = place.size() is not None
        return [_refuse_other_form(source)] if is_file else _tables_in(source, place)
    if not found:
        raise DataError(f"no file fits {place.shown}")
    return [_refuse_other_form(one) for one in sorted(found)]


def _matching(source: str, place: Place) -> list[str]:
    """Return the addresses that fit a pattern, by listing the folder above its first wildcard."""
    from fsspec.utils import glob_translate

    parts = place.path.split("/")
    wild = next(at for at, part in enumerate(parts) if _WILD.search(part))
    root, fits = "/".join(parts[:wild]), re.compile(glob_translate("/".join(parts[wild:])))
    start = source[: len(source.rstrip("/")) - len("/".join(parts[wild:]))]
    names = replace(place, path=root, shown=place.shown).files()
    return [f"{start}{name}" for name in names if fits.match(name)]


def _tables_in(source: str, place: Place) -> list[str]:
    """Return the tables below a folder; names that begin with `_` or `.` are of no table."""
    names = [name for name in place.files() if not re.search(r"(^|/)[_.]", name)]
    tables = [name for name in names if form_of(PurePosixPath(name)) in _SUFFIXES]
    if not place.is_local and not names:
        raise DataError(f"there is no file or folder {place.shown}")
    if len(tables) < len(names):
        other = sorted({*names} - {*tables})
        raise DataError(
            f"{place.shown} has files that are no tables of {_shown_suffixes()}: "
            f"{listed(other, 3)}; name the files, as in '{place.shown.rstrip('/')}/*.parquet'"
        )
    if not tables:
        raise DataError(f"{place.shown} has no file of {_shown_suffixes()}")
    return [f"{source.rstrip('/')}/{name}" for name in tables]


def _refuse_other_form(source: str) -> str:
    if form_of(PurePosixPath(_name_of(source))) not in _SUFFIXES:
        raise DataError(
            f"{_name_of(source)}: a table in parts is made of {_shown_suffixes()} (.gz of the "
            "text formats); for this file, write one file with --out"
        )
    return source


def _shown_suffixes() -> str:
    return ", ".join(_SUFFIXES)


def _path_of(source: str) -> str:
    return source if "://" in source else os.path.abspath(source)


def _name_of(source: str) -> str:
    return source.rstrip("/").rpartition("/")[2] or source


def changed_error(source: str) -> DataError:
    """Return the error of a file that became another one while it was predicted."""
    return DataError(
        f"{public_address(source)} changed while it was read; predict into another folder once it "
        "is complete"
    )


def _known(source: str) -> InputFile:
    """Return a file with what shows that it has not changed."""
    place = place_of(source)
    size = place.size()
    if size is None:
        raise DataError(f"there is no file {place.shown}")
    is_parquet = form_of(PurePosixPath(place.name)) == ".parquet"
    if not is_parquet and size <= _HASHED_WHOLE:
        return InputFile(source, size, place.sha256())
    changed = None if is_parquet else place.changed()
    return InputFile(source, size, place.sha256(_ENDS), changed=changed)


def _file_of(source: str) -> InputFile:
    file, place = _known(source), place_of(source)
    if form_of(PurePosixPath(place.name)) != ".parquet":
        return file
    with place.open() as opened:
        columns, rows = parquet_shape(opened, place.shown)
    return replace(file, rows=rows, columns=columns)


def check_columns(columns: Any, source: str, first: Any, first_source: str) -> None:
    """Raise a DataError unless two Arrow schemas have the same columns of the same types."""
    here, there = ({field.name: field.type for field in of} for of in (columns, first))
    odd = [
        *(f"it lacks the column {name!r}" for name in there if name not in here),
        *(f"it has a column {name!r}" for name in here if name not in there),
        *(
            f"column {name!r} is {here[name]}, and {there[name]} there"
            for name in here
            if name in there and here[name] != there[name]
        ),
    ]
    if not odd and list(here) != list(there):
        odd = ["its columns are in another order"]
    if odd:
        raise DataError(
            f"{public_address(source)} has other columns than {public_address(first_source)}: "
            f"{'; '.join(odd[:3])}. All files of a table need the same ones: predict them apart, "
            "or convert them"
        )


def tables_of(
    piece: Piece, settings: ReadSettings, rows: int, findings: list[Finding] | None = None
) -> Iterator[Any]:
    """Yield the rows of a piece as Arrow tables of `rows` rows, but for the last one.

    A text file of a header alone has none.     What was noticed is added to `findings` at the end.
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


def text_columns_of(piece: Piece, settings: ReadSettings) -> tuple[Any, tuple[str, ...]]:
    """Return the Arrow schema of a piece, and the columns of its texts; raises as reading does."""
    table = next(tables_of(piece, settings, ROWS), None)
    if table is None:
        raise NoRowsError(f"{public_address(piece.source)} has no rows")
    batch = as_batch(table, piece.source)
    chosen = choose_columns(batch, settings)
    refuse_odd_text(batch, chosen.text, row_texts(batch, chosen.texts))
    return table.schema, chosen.texts


def texts_in(table: Any, columns: Sequence[str], source: str) -> list[Any]:
    """Return the texts of an Arrow table, None where they are missing; raises a DataError."""
    batch = as_batch(table.select(list(columns)), source)
    values = row_texts(batch, columns)
    TextWatch().look(batch, values)  # refuses what is no text
    return values
