"""The trainings behind a learning curve, one JSON line each, so that none is done twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from finetext.artefact.folder import write_text
from finetext.durable import sync_names
from finetext.errors import RunError
from finetext.finite import finite
from finetext.methods.base import Method
from finetext.recipe import hyperparameters

FILE: Final = "fits.jsonl"
FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class Training:
    """Which training it is.

    Attributes:
        method: fingerprint of the method and its hyperparameters.
        labels: size of the share asked for.
        seed: of the share and of the training.
    """

    method: str
    labels: int
    seed: int


@dataclass(frozen=True)
class Fit:
    """What came out of a training.

    Attributes:
        rung: name of the rung, for people.
        rows: rows of the share.
        score: the metric on the validation rows.
        replicates: the metric on each resample of them; the draws are the same for all trainings.
        seconds: time to train.
    """

    rung: str
    rows: int
    score: float
    replicates: tuple[float, ...]
    seconds: float


class Ledger:
    """The file of the trainings that are finished. Each line is on the disk before the next."""

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        """Read what is there, or begin.

        Args:
            folder: where the file is or will be.
            header: what all trainings share: data, division, metric, seed.

        Raises:
            RunError: the file was begun with another header, or cannot be read or written.
        """
        self._path = folder / FILE
        self._fits: dict[Training, Fit] = {}
        begun = read_header(folder)
        try:
            if begun is None:
                write_text(self._path, _line({"format_version": FORMAT_VERSION, **header}))
            else:
                self._check(begun, header)
                self._read()
        except OSError as error:
            raise RunError(f"{self._path} cannot be written: {error.strerror}") from None

    def get(self, training: Training) -> Fit | None:
        """What came out of a training, or None if it is still to be done."""
        return self._fits.get(training)

    def add(self, training: Training, fit: Fit) -> None:
        """Keep what came out of a training.

        Raises:
            RunError: it cannot be written.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(asdict(training) | asdict(fit)))
                file.flush()
                os.fsync(file.fileno())
            sync_names(self._path.parent)
        except OSError as error:
            raise RunError(f"{self._path} cannot be written: {error.strerror}") from None
        self._fits[training] = fit

    def _check(self, begun: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        differing = [name for name, of in header.items() if begun.get(name) != of]
        if differing:
            raise RunError(
                f"the learning curve in {self._path.parent} was begun with other settings: "
                f"{', '.join(differing)}. Give it the same again to go on, or choose another folder"
            )

    def _read(self) -> None:
        """Take the lines that are whole; a kill can leave half of the last one, which goes."""
        lines = self._path.read_text("utf-8", errors="replace").splitlines(keepends=True)
        whole = [lines[0]]
        for line in lines[1:]:
            try:
                values = json.loads(line)
                training = Training(values["method"], values["labels"], values["seed"])
                self._fits[training] = _fit(values)
                whole.append(line)
            except (ValueError, KeyError, TypeError):
                continue
        if len(whole) < len(lines) or not lines[-1].endswith("\n"):
            write_text(self._path, "".join(line.rstrip("\n") + "\n" for line in whole))


def read_header(folder: Path) -> dict[str, Any] | None:
    """What a learning curve in a folder was begun with; None where there is none."""
    try:
        with (folder / FILE).open(encoding="utf-8") as file:
            values = json.loads(file.readline())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def fingerprint(method: Method) -> str:
    """A hash of a method and its hyperparameters."""
    described = json.dumps([method.name, hyperparameters(method)], default=str, sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(finite(values), ensure_ascii=False, allow_nan=False) + "\n"


def _fit(values: Mapping[str, Any]) -> Fit:
    return Fit(
        str(values["rung"]),
        int(values["rows"]),
        _number(values["score"]),
        tuple(map(_number, values["replicates"])),
        float(values["seconds"]),
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
