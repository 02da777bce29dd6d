"""What outlasts a kill while a rung is trained: the seconds spent and what was found."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from finetext.artefact.folder import write_json
from finetext.methods.base import FitContext, ProgressEvent
from finetext.runs.folder import finding_from_json, finding_to_json
from finetext.types import Finding

CHECKPOINT: Final = "checkpoint"
ATTEMPTS: Final = "attempts.json"
_SECONDS_BETWEEN: Final = 5.0
_RESULTS: Final = ("model", "predictions.parquet", "scores.json", "entry.json")


class Attempts:
    """The attempts at one rung. A new one goes on with the last if that left a checkpoint."""

    def __init__(self, place: Path, context: FitContext) -> None:
        """Clear away the results of an attempt that was not finished, and start the clock.

        Args:
            place: the folder of the rung.
            context: that of the run; its listeners hear what this one hears.

        Raises:
            OSError: something cannot be removed.
        """
        self._file = place / ATTEMPTS
        self._context = context
        self._before, self._findings = 0.0, list[Finding]()
        clear(place)
        if (place / CHECKPOINT).is_dir():
            self._remember()
        else:
            self._file.unlink(missing_ok=True)
        self._start = self._kept = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of this attempt and of those that it goes on with."""
        return self._before + time.perf_counter() - self._start

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What training noticed, each thing once."""
        return tuple(self._findings)

    def context(self, place: Path) -> FitContext:
        """The context in which the rung is trained: with a log, checkpoints and this listener."""
        checkpoints = self._context.checkpoints
        if checkpoints is not None:
            checkpoints = replace(checkpoints, folder=place / CHECKPOINT)
        return replace(
            self._context,
            log=place / "log.jsonl",
            checkpoints=checkpoints,
            progress=self._progress,
            find=self._find,
        )

    def keep(self) -> None:
        """Write down what there is so far; a full disk is left for others to notice."""
        self._kept = time.perf_counter()
        found = list(map(finding_to_json, self._findings))
        with suppress(OSError):
            write_json(self._file, {"seconds": self.seconds, "findings": found})

    def _progress(self, event: ProgressEvent) -> None:
        self._context.progress(event)
        if time.perf_counter() - self._kept >= _SECONDS_BETWEEN:
            self.keep()

    def _find(self, finding: Finding) -> None:
        if finding not in self._findings:
            self._findings.append(finding)
            self.keep()
            self._context.find(finding)

    def _remember(self) -> None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            values: dict[str, Any] = json.loads(self._file.read_text("utf-8"))
            self._findings = list(map(finding_from_json, values["findings"]))
            self._before = float(values["seconds"])


def clear(place: Path) -> None:
    """Remove the results of a rung, whole and half-written; its log and checkpoint stay."""
    for path in list(place.iterdir()):
        name = path.name
        hidden = any(name.startswith(f".{of}.") for of in (*_RESULTS, ATTEMPTS))
        if hidden or name in _RESULTS or name == "predictions.part":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def forget(place: Path) -> None:
    """Remove what only an unfinished rung needs: its checkpoint and the record of its attempts."""
    for path in list(place.iterdir()):
        if path.name == CHECKPOINT:
            shutil.rmtree(path)
        elif path.name == ATTEMPTS or path.name.startswith((f".{ATTEMPTS}.", ".entry.json.")):
            path.unlink()
