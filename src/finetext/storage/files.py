"""Files that outlast a machine that is switched off: down to the disk before they are renamed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from finetext.core.errors import DataError

_NOT_FOR_FOLDERS: Final = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}
_FULL: Final = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_SAYS_FULL: Final = re.compile(r"no space left|\(os error (28|112|122)\)", re.I)
"""How libraries in Rust tell of it, whose errors have no number."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it comes from, is that a disk or a share of it is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if _SAYS_FULL.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def put_in_place(unfinished: Path, place: Path) -> None:
    """Rename a file, down to the disk before and its new name after.

    Args:
        unfinished: what was written and closed, in the same folder.
        place: its name from now on; a file that is there is replaced.

    Raises:
        OSError: it cannot be written or renamed.
    """
    sync(unfinished)
    os.replace(unfinished, place)
    sync_names(place.parent)


def check_place(path: Path) -> None:
    """Refuse a file that cannot be written, before any work is done.

    Raises:
        DataError: its folder is missing, or it is a folder itself.
    """
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise DataError(f"{path} cannot be written: it is a folder")


def finish_folder(folder: Path) -> None:
    """Bring a folder of results down to the disk, its files readable as new files are.

    safetensors writes files that their owner alone can read, which is no use to a server.

    Raises:
        OSError: it cannot be written.
    """
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)
    sync(folder)


def sync(path: Path) -> None:
    """Bring a file, or a folder with all that is in it, down to the disk.

    Raises:
        OSError: it cannot be written.
    """
    if path.is_dir():
        for inside in path.iterdir():
            sync(inside)
        sync_names(path)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_names(folder: Path) -> None:
    """Bring the names in a folder down to the disk, where the platform can do that.

    Raises:
        OSError: they cannot be written.
    """
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
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text beside its place, down to the disk, and rename it, or leave nothing."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.chmod(beside, 0o644)
        put_in_place(Path(beside), path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill; when all went well it is on the disk, in the place of `folder`."""
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
