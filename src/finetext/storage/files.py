"""Files that survive a power failure: on the disk before they get their name."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from finetext.core.errors import DataError
from finetext.core.terminal import json_escaped

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
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise DataError(f"{path} cannot be written: it is a folder")
    if path.exists():
        for source in inputs:
            is_path = isinstance(source, str | Path) and os.path.exists(source)
            if is_path and path.samefile(source):
                raise DataError(f"{path} is an input of this command; write to another file")
    if path.exists() and not force:  # what a link without a target replaces is nothing
        raise DataError(f"{path} exists; name another file, or replace it with --force")


def check_new_folder(folder: Path, force: bool = False) -> None:
    """Raise a DataError if a folder would be replaced without `force`; it may be empty."""
    if not force and os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists; name another folder, or replace it with --force")


def put_in_place(unfinished: Path, place: Path) -> None:
    """Rename a closed file within its folder: to the disk before, and its new name after."""
    sync(unfinished)
    os.replace(unfinished, place)
    sync_names(place.parent)


def finish_folder(folder: Path) -> None:
    """Write a folder of results to the disk, its files as readable as new files are."""
    mask = os.umask(0)  # safetensors writes files that only their owner can read
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)
    sync(folder)


def sync(path: Path) -> None:
    """Write a file, or a folder with all that is in it, to the disk."""
    if path.is_dir():
        for inside in path.iterdir():
            sync(inside)
        sync_names(path)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_names(folder: Path) -> None:
    """Write the names in a folder to the disk, where the platform can do that."""
    if os.name == "nt":
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
        beside.write_text(text, encoding="utf-8", errors="replace")
        beside.chmod(0o644)


@contextmanager
def replaced_file(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yield an empty file to fill; it replaces `path` when the body ends without error."""
    handle, name = tempfile.mkstemp(suffix, f".{path.name}.", path.parent)
    os.close(handle)
    try:
        yield Path(name)
        put_in_place(Path(name), path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it replaces `folder` when the body ends without error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield unfinished
        unfinished.chmod(0o755)
        finish_folder(unfinished)
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            os.replace(folder, old / "old")
            try:
                os.replace(unfinished, folder)
            except BaseException:
                os.replace(old / "old", folder)
                old.rmdir()
                raise
            shutil.rmtree(old)
        else:
            os.replace(unfinished, folder)
        sync_names(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
