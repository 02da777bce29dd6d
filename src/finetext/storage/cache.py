"""What is costly to get, kept in the cache folder under the hash of what made it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.storage.files import replaced_file, write_json

MOST_BYTES: Final = 4 * 2**30  # on disk for arrays of one kind; the least recently used go first
OLDEST_PART: Final = 86_400.0  # seconds after which a killed process must have left the file
Arrays = dict[str, np.ndarray[Any, Any]]


def kept(cache: Path | None, kind: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """Return cached arrays, where `key` is the hash of what they depend on, or make them."""
    if cache is None:
        return make()
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save_file

    path = cache / kind / f"{key}.safetensors"
    with suppress(OSError, ValueError, SafetensorError):
        arrays: Arrays = load_file(path)
        os.utime(path)
        return arrays
    arrays = make()
    with suppress(OSError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as beside:
            save_file({name: np.ascontiguousarray(of) for name, of in arrays.items()}, beside)
        _make_room(path.parent)
    return arrays


def kept_json(cache: Path, kind: str, key: str) -> dict[str, Any] | None:
    """Return what `keep_json` wrote; None if there is nothing that can be read."""
    with suppress(OSError, ValueError):
        value = json.loads(_place_of(cache, kind, key).read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else None
    return None


def keep_json(cache: Path, kind: str, key: str, value: dict[str, Any]) -> None:
    """Write JSON under the hash of what it depends on; it stays until a person removes it.

    Raises an OSError, as what was paid for must not be lost unnoticed.
    """
    path = _place_of(cache, kind, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, value)


def _place_of(cache: Path, kind: str, key: str) -> Path:
    """Return a file in one of 256 folders, as some file systems are slow with many in one."""
    return cache / kind / key[:2] / f"{key}.json"


def _make_room(folder: Path) -> None:
    """Delete the least recently used beyond `MOST_BYTES`, and what older versions left."""
    for path in folder.glob("*.part"):
        if time.time() - path.stat().st_mtime > OLDEST_PART:
            path.unlink(missing_ok=True)
    files = [(path, path.stat()) for path in folder.glob("*.safetensors")]
    total = 0
    for path, facts in sorted(files, key=lambda file: -file[1].st_mtime):
        total += facts.st_size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)
