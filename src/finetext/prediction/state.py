"""How far a prediction has come, and of what: kept beside the unfinished file to go on with it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from finetext.artefact.folder import write_text
from finetext.errors import DataError

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
    from finetext.artefact.hub import model_folder
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
