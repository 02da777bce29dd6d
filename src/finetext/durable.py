"""Files that outlast a machine that is switched off: down to the disk before they are renamed."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final

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
