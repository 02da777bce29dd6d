"""Arrays that are costly to compute, kept in the cache folder under the hash of what made them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.storage.files import put_in_place

MOST_BYTES: Final = 4 * 2**30
"""What one kind of array may take on disk; those that were not used for longest go first."""
OLDEST_PART: Final = 86_400.0
"""Seconds after which a file that is not whole was left by a process that was killed."""
Arrays = dict[str, np.ndarray[Any, Any]]


def kept(cache: Path | None, kind: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """Arrays from the cache, or else made and put there.

    A file that cannot be read or written is done without.

    Args:
        cache: the cache folder; None always makes them.
        kind: what they are, the name of a folder in it.
        key: hash of everything they depend on.
        make: makes them, by name.
    """
    if cache is None:
        return make()
    path = cache / kind / f"{key}.safetensors"
    arrays = _read(path)
    if arrays is None:
        arrays = make()
        _write(path, arrays)
    return arrays


def _read(path: Path) -> Arrays | None:
    """The arrays in a file, which counts as used; None if it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays: Arrays = load_file(path)
        os.utime(path)
    except (OSError, ValueError, SafetensorError):
        return None
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    """Write beside and rename, then make room."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    beside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
        save_file({name: np.ascontiguousarray(of) for name, of in arrays.items()}, beside)
        put_in_place(Path(beside), path)
        _make_room(path.parent)
    except (OSError, SafetensorError):
        if beside is not None:
            Path(beside).unlink(missing_ok=True)


def _make_room(folder: Path) -> None:
    """Delete leftovers, and what was not used for longest until the rest is within `MOST_BYTES`."""
    for path in folder.glob("*.part"):
        if time.time() - path.stat().st_mtime > OLDEST_PART:
            path.unlink(missing_ok=True)
    files = [(path, path.stat()) for path in folder.glob("*.safetensors")]
    total = 0
    for path, facts in sorted(files, key=lambda file: -file[1].st_mtime):
        total += facts.st_size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)
