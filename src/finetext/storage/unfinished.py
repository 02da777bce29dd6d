"""Private folders in which files and folders are written before they get their place.

A `.finetext-TOKEN` folder lies beside the place, so that one rename suffices. Its process holds a
lock on it as long as it lives: one that nobody holds is what a killed process left, and goes with
the next write into the same folder.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from finetext.core.paths import ON_WINDOWS

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX: Final = ".finetext-"
_ROOM: Final = re.compile(r"\.finetext-[0-9a-f]{32}")
_REPLACED: Final = ".replaced"
"""Follows the name of a folder that was moved away to make room for a new one."""
OLDEST_ROOM: Final = 86_400.0
"""Seconds after which a process must have left its room, where folders cannot be locked."""
_HELD: Final = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}
_FOLDER: Final = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_PAUSES: Final = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between attempts to rename on Windows, where a virus scanner or an indexer opens each new
file for a moment, and what is open can be neither renamed nor replaced."""
_HERE: Final = -100  # AT_FDCWD
_EXCHANGE: Final = 2  # RENAME_EXCHANGE


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def rename(old: Path, new: Path) -> None:
    """Rename a file or folder, and replace a file of the new name; raises an OSError."""
    for pause in _PAUSES if ON_WINDOWS else ():
        with suppress(PermissionError):
            os.replace(old, new)
            return
        time.sleep(pause)
    try:
        os.replace(old, new)
    except PermissionError as error:
        if not ON_WINDOWS:
            raise
        reason = f"{error.strerror}; close programs that have it open, such as a spreadsheet"
        raise PermissionError(error.errno, reason, str(new)) from None


def is_unfinished(name: str) -> bool:
    """Return whether a name is that of a folder for unfinished files."""
    return _ROOM.fullmatch(name) is not None


@contextmanager
def room_in(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent`, which is removed at the end.

    Its user alone can enter it, except on Windows.

    What killed processes left there is removed first.
    """
    settle(parent)
    room, handle = _new_room(parent)
    try:
        yield room
    finally:
        try:
            shutil.rmtree(room, ignore_errors=True)
        finally:
            if handle is not None:
                os.close(handle)


def settle(parent: Path) -> None:
    """Put back or remove what killed processes left in a folder; others' rooms stay."""
    for room in _rooms(parent):
        with suppress(OSError):
            _settle_room(room)


def recover(place: Path) -> None:
    """Put a folder back that a killed process moved away to replace it; wait for a living one."""
    if os.path.lexists(place):
        return
    for room in _rooms(place.parent):
        if os.path.lexists(room / f"{place.name}{_REPLACED}"):
            with suppress(OSError):
                _settle_room(room, wait=True)


def move_into_place(unfinished: Path, place: Path) -> None:
    """Move a folder out of its room to a place, whose folder or link goes into the room.

    Where the system can exchange two names, the place is never empty. Elsewhere it is between two
    renames, and `recover` puts the old folder back if the process is killed just there.
    """
    if not os.path.lexists(place):
        rename(unfinished, place)
        return
    if _exchange(unfinished, place):
        return
    old = unfinished.with_name(f"{place.name}{_REPLACED}")
    rename(place, old)
    try:
        rename(unfinished, place)
    except BaseException:
        rename(old, place)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False where the system cannot."""
    rename = _renameat2()
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other)) == 0


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes], int] | None:
    function: Any = None
    with suppress(AttributeError, OSError, TypeError):
        function = ctypes.CDLL(None).renameat2
    if function is None:
        return None
    function.argtypes = (
        ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint,
    )  # fmt: skip
    function.restype = ctypes.c_int
    return lambda from_, one, to, other: int(function(from_, one, to, other, _EXCHANGE))


def _rooms(parent: Path) -> list[Path]:
    with suppress(OSError), os.scandir(parent) as entries:
        found = (entry for entry in entries if is_unfinished(entry.name))
        return [parent / of.name for of in found if of.is_dir(follow_symlinks=False)]
    return []


def _new_room(parent: Path) -> tuple[Path, int | None]:
    """Return a new room and the handle that locks it; None where folders cannot be opened."""
    while True:
        room = parent / f"{_PREFIX}{secrets.token_hex(16)}"
        # On Windows what is made in a private folder stays private where it is moved to.
        room.mkdir(mode=0o777 if ON_WINDOWS else 0o700)
        if fcntl is None:
            return room, None
        try:
            handle = os.open(room, _FOLDER)
        except FileNotFoundError:
            continue
        # Another process may have taken it for one without a process before it was locked.
        with suppress(FileNotFoundError):
            if _lock(handle) is not False and os.path.samestat(room.lstat(), os.fstat(handle)):
                return room, handle
        os.close(handle)


def _lock(handle: int, wait: bool = False) -> bool | None:
    """Lock an open folder; False if another process holds it, None if there are no such locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return False if error.errno in _HELD else None
    return True


def _settle_room(room: Path, wait: bool = False) -> None:
    handle = None if fcntl is None else os.open(room, _FOLDER)
    try:
        is_left = None if handle is None else _lock(handle, wait)
        if is_left is None:
            is_left = time.time() - room.lstat().st_mtime > OLDEST_ROOM
        if is_left:
            _put_back(room)
            shutil.rmtree(room)
    finally:
        if handle is not None:
            os.close(handle)


def _put_back(room: Path) -> None:
    for old in room.iterdir():
        place = room.parent / old.name.removesuffix(_REPLACED)
        if old.name.endswith(_REPLACED) and not os.path.lexists(place):
            rename(old, place)
