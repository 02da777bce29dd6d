"""Files that survive a power failure: on the disk before they get their name."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from finetext.core.errors import DataError
from finetext.core.paths import ON_WINDOWS, refuse_reserved
from finetext.core.terminal import json_escaped
from finetext.storage.unfinished import move_into_place, recover, rename, room_in

NOT_REGULAR: Final = "it is not a regular file"
_NO_LINK: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe without a reader must not block
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NOT_FOR_FOLDERS: Final = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}
_FULL: Final = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
# Errors of libraries in Rust have no number.
_SAYS_FULL: Final = re.compile(r"no space left|\(os error (28|112|122)\)", re.I)


def is_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, is that a disk or a quota is full."""
    while error is not None:
        has_number = isinstance(error, OSError) and error.errno in _FULL
        if has_number or _SAYS_FULL.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def check_new(path: Path, force: bool = False, inputs: Iterable[Any] = ()) -> None:
    """Raise a DataError if a file cannot be written, or would replace another.

    Every command calls it for each file that it writes, before any work. With `force` a file is
    replaced, but never one of `inputs`, of which all that are no paths of files are passed over.
    """
    refuse_reserved(path)
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise DataError(f"{path} cannot be written: it is a folder")
    if path.exists() and not path.is_file():
        raise DataError(f"{path} cannot be written: {NOT_REGULAR}")
    if path.exists():
        for source in inputs:
            is_path = isinstance(source, str | Path) and os.path.exists(source)
            if is_path and path.samefile(source):
                raise DataError(f"{path} is an input of this command; write to another file")
    if path.exists() and not force:  # what a link without a target replaces is nothing
        raise DataError(f"{path} exists; name another file, or replace it with --force")


def check_new_folder(folder: Path, force: bool = False) -> None:
    """Raise a DataError if a folder would be replaced without `force`; it may be empty."""
    refuse_reserved(folder)
    recover(folder)
    if not force and os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists; name another folder, or replace it with --force")


def put_in_place(unfinished: Path, place: Path) -> None:
    """Rename a closed file to its place: to the disk before, and its new name after.

    A link at the place is replaced, not what it leads to. Raises an OSError for what is no file.
    """
    sync(unfinished)
    with suppress(FileNotFoundError):
        kind = place.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISLNK(kind) or stat.S_ISDIR(kind)):
            raise OSError(errno.EINVAL, NOT_REGULAR, str(place))
    rename(unfinished, place)
    sync_names(place.parent)


def finish_folder(folder: Path, mode: int) -> None:
    """Write a folder of results to the disk, all in it as readable as a new folder of `mode`."""
    # Libraries write, and copy, files that only their owner can read.
    folder.chmod(mode)
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(place) / name
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                path.chmod(mode)
            elif stat.S_ISREG(kind):
                path.chmod(mode & 0o666)
    sync(folder)


def sync(path: Path) -> None:
    """Write a file, or a folder with all that is in it, to the disk; links are passed over."""
    if path.is_symlink():
        return
    if path.is_dir():
        for inside in path.iterdir():
            sync(inside)
        sync_names(path)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_names(folder: Path) -> None:
    """Write the names in a folder to the disk, where the platform can do that."""
    if ON_WINDOWS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `write_text` does."""
    write_text(path, json_escaped(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to a file, whole or not at all."""
    with replaced_file(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="replace", newline="\n")


def append_text(path: Path, text: str, lasting: bool = True) -> None:
    """Append UTF-8 text to a file, down to the disk if `lasting`; see `open_own`."""
    with open_own(path) as file:
        file.write(text.encode("utf-8", "replace"))
        file.flush()
        if lasting:
            os.fsync(file.fileno())


def open_own(path: Path, flags: int = os.O_APPEND) -> BinaryIO:
    """Open a file to read and to write it, made if missing; raises an OSError.

    What others may have put there is refused: a link, or anything else than a file that has this
    name alone.
    """
    handle = os.open(path, flags | os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
    facts = os.fstat(handle)
    is_file = stat.S_ISREG(facts.st_mode)
    if is_file and facts.st_nlink < 2:
        return os.fdopen(handle, "a+b" if flags & os.O_APPEND else "w+b")
    os.close(handle)
    why = "it has a second name, a hard link; copy it" if is_file else NOT_REGULAR
    raise OSError(errno.EINVAL, why, str(path))


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield an empty file of the same name to fill; it replaces `path` when the body ends well.

    A link at `path` is replaced, not what it leads to; see `output_file`.
    """
    with room_in(path.parent) as room:
        beside = room / path.name
        handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _NO_LINK, 0o666)
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
        yield beside
        beside.chmod(mode)  # libraries replace the file by one that its owner alone can read
        put_in_place(beside, path)


def output_file(path: Path) -> AbstractContextManager[Path]:
    """Return `replaced_file` of a place that a user names: what a link leads to is replaced."""
    return replaced_file(Path(os.path.realpath(path)))


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it replaces `folder` when the body ends without error.

    Whoever opens `folder` finds the old or the new one, also after a kill; see `recover`. A link at
    `folder` is replaced, and what it leads to stays as it is.
    """
    if folder.name in ("", ".."):
        raise OSError(errno.EBUSY, "a folder that is in use cannot be replaced", str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with room_in(folder.parent) as room:
        unfinished = room / folder.name
        unfinished.mkdir()
        mode = stat.S_IMODE(unfinished.stat().st_mode)
        yield unfinished
        finish_folder(unfinished, mode)
        move_into_place(unfinished, folder)
        sync_names(folder.parent)
