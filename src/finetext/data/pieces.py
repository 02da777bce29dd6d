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
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Final

from finetext.core.addresses import public_address
from finetext.core.errors import DataError
from finetext.core.types import Finding
from finetext.core.wording import listed
from finetext.data.formats import DELIMITED, JSON_LINES
from finetext.data.parquet import parquet_footer
from finetext.data.write import form_of
from finetext.storage.filesystems import Place, place_of

ROWS_A_PIECE: Final = 100_000
"""A multiple of the rows that are read, and predicted, at a time: batches begin as in a file."""
_ENDS: Final = 1 << 20
"""Bytes at both ends of a Parquet file that show that it has not changed; one is the footer."""
_HASHED: Final = 1 << 26
"""Bytes of a table up to which its content shows that, and not what the file system says of it."""
_AT_ONCE: Final = 16
_WILD: Final = re.compile(r"[*?\[]")
_PARTITION: Final = re.compile(r"(\w+)=.*")
_SUFFIXES: Final = (".parquet", *DELIMITED, *sorted(JSON_LINES))


@dataclass(frozen=True)
class InputFile:
    """A file of a large table.

    Attributes:
        source: its path or address.
        size: in bytes.
        sha256: of all of it, or of a part of it, or empty: see `facts`.
        rows: how many it has; None if only reading it tells.
        columns: its Arrow schema; None if only reading it tells.
        version: ETag or the like, else when it was written; None where the content shows changes.
        is_hashed: whether the content was hashed as in a table of up to 64 MiB.
    """

    source: str
    size: int
    sha256: str
    rows: int | None = None
    columns: Any = None
    version: str | None = None
    is_hashed: bool = field(default=True, compare=False)

    @property
    def facts(self) -> dict[str, Any]:
        """What must be the same when work on it is resumed, also on another machine.

        If at most 64 MiB of the whole table have to be read for that, it is the content: every byte
        of a text file, the first and the last MiB of a Parquet file. Of a larger table, every
        process would have to read all of it: there it is the ETag or the like, or the time when the
        file was written, and of Parquet the footer, which has the places, sizes and ranges of all
        values. Where a file system tells neither, it is the first and the last MiB.
        """
        facts = {"name": _name_of(self.source), "size": self.size, "sha256": self.sha256}
        return facts if self.version is None else facts | {"version": self.version}

    def check_unchanged(self) -> None:
        """Raise a DataError if the file is another one by now."""
        if _known(_listed(self.source, again=True), self.is_hashed).facts != self.facts:
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


def share_at(place: int, total: int, count: int) -> int:
    """Return the share, from 1 to `count`, that has the piece at a place, from 0, of `total`."""
    return -(-(place + 1) * count // total)


def input_files(sources: Sequence[str]) -> tuple[InputFile, ...]:
    """Return the files of paths, addresses, folders and patterns such as `data/*.parquet`.

    Raises:
        DataError: a source is missing or has no table, or a file has other columns than the first.
    """
    found = [one for source in sources for one in _files_at(source)]
    if not found:
        raise DataError("no files are given; name files, folders or patterns of them")
    repeated = [one for one, times in Counter(map(_path_of, found)).items() if times > 1]
    if repeated:
        raise DataError(f"{public_address(repeated[0])} is given twice; name each file once")
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        listed_ones = list(threads.map(_listed, found))
        is_small = sum(map(_bytes_to_hash, listed_ones)) <= _HASHED
        files = tuple(threads.map(partial(_known, is_hashed=is_small), listed_ones))
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
        _refuse_dangling(fitting)
        found = [path for path in fitting if os.path.isfile(path)]
    elif _WILD.search(place.path):
        found = _matching(source, place)
    else:
        is_file = place.size() is not None
        return [_refuse_other_form(source)] if is_file else _tables_in(source, place)
    if not found:
        raise DataError(f"no file fits {place.shown}")
    return [_refuse_other_form(one) for one in sorted(found)]


def _refuse_dangling(paths: Iterable[str]) -> None:
    """Raise a DataError for a link to a file that is gone: its rows would be missed in silence."""
    for path in paths:
        if not os.path.exists(path):
            raise DataError(f"{path} is a link to a file that is not there; restore or remove it")


def partition_columns(files: Sequence[InputFile]) -> list[str]:
    """Return the columns that folders name, as in `day=1/part.parquet`, where they differ."""
    folders = [PurePosixPath(file.source).parts[:-1] for file in files]
    every = set(chain.from_iterable(folders))
    shared = every.intersection(*folders)
    found = (_PARTITION.fullmatch(folder) for folder in sorted(every - shared))
    return list(dict.fromkeys(of[1] for of in found if of))


def partition_findings(files: Sequence[InputFile]) -> list[Finding]:
    """Return a warning if folders name values of columns that the files do not have."""
    if not (names := partition_columns(files)):
        return []
    message = (
        f"folders such as {names[0]}=... name values of {listed(names, 3)}: only columns that are "
        "in the files are in the parts"
    )
    return [Finding("warning", "partition-columns", message)]


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
    if place.is_local:
        _refuse_dangling(map(str, Path(place.path).rglob("*")))
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


def _is_parquet(source: str) -> bool:
    return form_of(PurePosixPath(source)) == ".parquet"


def _listed(source: str, again: bool = False) -> InputFile:
    """Return a file as far as the file system knows it."""
    place = place_of(source)
    if (about := place.about(again)) is None:
        raise DataError(f"there is no file {place.shown}")
    return InputFile(source, about[0], "", version=about[1])


def _bytes_to_hash(file: InputFile) -> int:
    return min(file.size, 2 * _ENDS) if _is_parquet(file.source) else file.size


def _known(file: InputFile, is_hashed: bool) -> InputFile:
    """Return a file with what shows that it has not changed."""
    place, is_parquet = place_of(file.source), _is_parquet(file.source)
    columns, rows, digest, version = None, None, "", file.version
    if is_parquet:
        with place.open() as opened:
            columns, rows, digest = parquet_footer(opened, place.shown)
    if is_hashed:
        digest, version = place.sha256(_ENDS if is_parquet else None), None
    elif version is None:
        digest = place.sha256(_ENDS)
    known = replace(file, sha256=digest, rows=rows, columns=columns)
    return replace(known, version=version, is_hashed=is_hashed)


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
