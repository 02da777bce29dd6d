"""How far a prediction has come, and of what: kept beside the unfinished file to go on with it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from finetext.core.errors import DataError
from finetext.storage.files import write_text


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


FORMAT: Final = 1
_ENDS: Final = 1 << 20


@dataclass(frozen=True)
class Identity:
    """What has to be the same for a prediction to go on.

    Attributes:
        finetext: the version.
        model: SHA-256 of the files of the model.
        source: the input: its path, size, time of change, and SHA-256 of its first and last MiB.
        options: the options on reading, columns and arithmetic.
    """

    finetext: str
    model: str
    source: Mapping[str, Any]
    options: Mapping[str, Any]

    def changed(self, before: Identity) -> list[str]:
        """What is not as it was before, in words."""
        found = []
        if self.finetext != before.finetext:
            found.append(f"finetext is {self.finetext}, and was {before.finetext}")
        if self.model != before.model:
            found.append("the model is another one")
        if self.source != before.source:
            found.append("the input has changed or is another one")
        names = sorted({*self.options, *before.options})
        for name in names:
            now, then = self.options.get(name), before.options.get(name)
            if now != then:
                found.append(f"{name} is {_said(now)}, and was {_said(then)}")
        return found


@dataclass(frozen=True)
class State:
    """How far a prediction has come.

    Attributes:
        identity: of what.
        rows: rows of the input that are done, bad ones too.
        bad: how many of them were set aside.
        size: bytes of the unfinished output that belong to them.
        aside: the file of bad rows, or None.
        aside_size: bytes of it that belong to them.
    """

    identity: Identity
    rows: int = 0
    bad: int = 0
    size: int = 0
    aside: str | None = None
    aside_size: int = 0

    def write(self, path: Path) -> None:
        """Write it, whole or not at all, down to the disk."""
        write_text(path, json.dumps({"format": FORMAT} | asdict(self)) + "\n")


def read_state(path: Path) -> State | None:
    """The state at a path, or None if there is none that can be used."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            return None
        return State(**values | {"identity": Identity(**values["identity"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def model_hash(folder: Path) -> str:
    """SHA-256 of the files of a model folder, or of the best model of a run folder.

    Raises:
        RunError: the run is damaged.
        DataError: a file cannot be read.
    """
    from finetext.models.hub import model_folder
    from finetext.runs.run import Run

    folder = model_folder(folder)
    if Run.is_at(folder):
        run = Run.open(folder)
        folder = run.folder / run.best / "model"
    digest = hashlib.sha256()
    try:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from None
    return digest.hexdigest()


def source_of(path: Path) -> dict[str, Any]:
    """Where a file is, and what tells that it is still the same.

    Raises:
        DataError: it cannot be read.
    """
    try:
        about = path.stat()
        with path.open("rb") as file:
            start = file.read(_ENDS)
            file.seek(max(0, about.st_size - _ENDS))
            end = file.read(_ENDS)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    return {
        "path": os.path.realpath(path),
        "size": about.st_size,
        "changed": about.st_mtime_ns,
        "ends": hashlib.sha256(start + end).hexdigest(),
    }


def _said(value: Any) -> str:
    return "not given" if value is None else str(value)
