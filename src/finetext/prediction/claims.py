"""Unfinished files beside their place, each written by one process at a time."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from finetext.errors import DataError
from finetext.prediction.state import State, read_state


@dataclass(frozen=True)
class Claim:
    """An unfinished file that this process alone writes.

    Attributes:
        place: where it is to be.
        path: where it is.
        file: it, open.
        is_lasting: whether it has a name by which a later process finds it.
    """

    place: Path
    path: Path
    file: BinaryIO
    is_lasting: bool

    def state(self) -> State | None:
        """How far what is in it has come, if that is known and it is all there."""
        if not self.is_lasting:
            return None
        found = read_state(state_path(self.path))
        size = os.fstat(self.file.fileno()).st_size
        return None if found is None or found.size > size else found

    def forget(self) -> None:
        """Remove what is known of how far it has come."""
        if self.is_lasting:
            with suppress(OSError):
                state_path(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, and remove it if there is nothing in it."""
        with suppress(OSError, ValueError):
            is_empty = os.fstat(self.file.fileno()).st_size == 0
            self.file.close()
            if is_empty:
                self.path.unlink(missing_ok=True)


def claimed(place: Path, lasts: bool, is_needed: bool = False) -> Claim:
    """Claim an unfinished file beside a place; that of a link is what it leads to.

    Args:
        place: where it is to be.
        lasts: whether it is to have a name by which a later process finds it. If another process
            is writing it, it gets one of its own all the same.
        is_needed: whether that is an error instead.

    Raises:
        DataError: another process is writing it.
        OSError: it cannot be written.
    """
    real = Path(os.path.realpath(place))
    if lasts:
        path = real.with_name(f".{real.name}.part")
        file = _locked(path)
        if file is not None:
            return Claim(real, path, file, True)
        if is_needed:
            raise DataError(f"another process is writing {place}; wait for its end")
    path = real.with_name(f".{real.name}.{secrets.token_hex(4)}.part")
    return Claim(real, path, path.open("x+b"), False)


def state_path(path: Path) -> Path:
    """Where it is written down how far an unfinished file has come."""
    return path.with_name(f"{path.name}.json")


def _locked(path: Path) -> BinaryIO | None:
    """A file, made if it is missing, that no other process has locked; None if one has.

    The lock goes with the process, however that ends.
    """
    try:
        import fcntl
    except ImportError:  # where a file that is open cannot be removed or renamed anyway
        return path.open("a+b")
    while True:
        file = path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BlockingIOError:
            file.close()
            return None
        except FileNotFoundError:
            pass
        file.close()
