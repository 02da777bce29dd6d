"""Files that outlast a machine that is switched off: down to the disk before they are renamed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

_NOT_FOR_FOLDERS: Final = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}


def put_in_place(unfinished: Path, place: Path) -> None:
    """Rename a file or a folder of files, of which all is then on the disk, the new name too.

    Args:
        unfinished: what was written, on the same file system; closed.
        place: its name from now on; a file that is there is replaced.

    Raises:
        OSError: it cannot be written or renamed.
    """
    for path in unfinished.rglob("*"):
        sync(path)
    sync(unfinished)
    os.replace(unfinished, place)
    sync(place.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder where the platform can do that, down to the disk.

    Raises:
        OSError: it cannot be written.
    """
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    except OSError as error:
        if not is_folder or error.errno not in _NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(handle)
