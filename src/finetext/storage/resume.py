"""State that survives a kill: what is resumed, in what it differs, and how far it has come."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final

from finetext.core.arrays import finite
from finetext.core.contracts import FitContext, ProgressEvent
from finetext.core.errors import FinetextError, RecipeError, RunError
from finetext.core.terminal import json_escaped
from finetext.core.types import Finding
from finetext.storage.codec import from_json, to_json
from finetext.storage.files import append_text, sync_names, write_json, write_text
from finetext.storage.unfinished import remove, settle

HOW_TO_RESUME: Final = "to continue, run the same command with --resume"
CHECKPOINT: Final = "checkpoint"
ATTEMPTS: Final = "attempts.json"
_SECONDS_BETWEEN: Final = 5.0
_HASH: Final = re.compile("[0-9a-f]{64}")


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each value that differs: "seed was 1 and is 2" ("not set" if missing)."""
    phrases = []
    for name in sorted({*was, *now}):
        pair = was.get(name), now.get(name)
        before, after = ("not set" if of is None else of for of in pair)
        if pair[0] != pair[1]:
            opaque = any(isinstance(of, Mapping) or _HASH.fullmatch(str(of)) for of in pair)
            phrases.append(f"{name} {'changed' if opaque else f'was {before} and is {after}'}")
    return phrases


def check_same(
    what: str,
    was: Mapping[str, Any],
    now: Mapping[str, Any],
    error: type[FinetextError] = RecipeError,
) -> None:
    """Raise an error that lists in what `what`, such as "the encoder in FOLDER", differs."""
    if differing := differences(was, now):
        raise error(
            f"{what} has other settings: {'; '.join(differing)}. Give the same settings to resume "
            "it, or choose another folder"
        )


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log of JSON objects, without those that a kill cut short."""
    return list(filter(None, map(_object, _lines(path))))


def _lines(path: Path) -> list[str]:
    # Not splitlines(): a label may hold characters that it takes for the end of a line.
    return path.read_text("utf-8", errors="replace").split("\n") if path.is_file() else [""]


def _object(line: str) -> dict[str, Any] | None:
    with suppress(ValueError):
        value = json.loads(line)
        return value if isinstance(value, dict) else None
    return None


@final
class ResumeLog:
    """A log of finished steps below a header; a line that a kill cut short is dropped."""

    def __init__(self, path: Path, header: Mapping[str, Any], what: str) -> None:
        """Read the log of a header with the same values, or begin it; raises a RunError."""
        self.path = path
        self.steps: list[dict[str, Any]] = []
        try:
            if (begun := read_header(path)) is None:
                write_text(path, _line(header))
                return
            known = {name: of for name, of in begun.items() if name in header}
            check_same(what, known, header, RunError)
            text, self.steps = path.read_text("utf-8", errors="replace"), read_log(path)[1:]
            lines = [line for line in _lines(path) if _object(line) is not None]
            if (whole := "".join(f"{line}\n" for line in lines)) != text:
                write_text(path, whole)
        except OSError as error:
            raise self._unwritable(error) from None

    def add(self, step: Mapping[str, Any]) -> None:
        """Append a finished step; raises a RunError."""
        try:
            append_text(self.path, _line(step))
            sync_names(self.path.parent)
        except OSError as error:
            raise self._unwritable(error) from None
        self.steps.append(dict(step))

    def _unwritable(self, error: OSError) -> RunError:
        return RunError(f"{self.path} cannot be written: {error.strerror}")


def read_header(path: Path) -> dict[str, Any] | None:
    """Return the header of a `ResumeLog`, or None if there is none at the path."""
    try:
        with path.open(encoding="utf-8") as file:
            return _object(file.readline())
    except (OSError, ValueError):
        return None


def _line(values: Mapping[str, Any]) -> str:
    line = json.dumps(finite(values), ensure_ascii=False, allow_nan=False)
    return json_escaped(line) + "\n"


@final
class Attempts:
    """The seconds and findings of one training over all attempts that continue its checkpoint."""

    def __init__(self, place: Path, context: FitContext, results: tuple[str, ...] = ()) -> None:
        """Remove the results of an unfinished attempt from a folder, and start the clock."""
        self._place, self._file, self._context = place, place / ATTEMPTS, context
        self._before, self._findings = 0.0, list[Finding]()
        settle(place)
        for path in list(place.iterdir()):
            hidden = any(path.name.startswith(f".{of}.") for of in (*results, ATTEMPTS))
            if hidden or path.name in results:
                remove(path)
        if (place / CHECKPOINT).is_dir():
            with suppress(OSError, ValueError, KeyError, TypeError, FinetextError):
                values: dict[str, Any] = json.loads(self._file.read_text("utf-8"))
                self._findings = [from_json(Finding, of, "a finding") for of in values["findings"]]
                self._before = float(values["seconds"])
        else:
            self._file.unlink(missing_ok=True)
        self._start = self._kept = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of this attempt and of those that it continues."""
        return self._before + time.perf_counter() - self._start

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What training noticed, each finding once."""
        return tuple(self._findings)

    def context(self) -> FitContext:
        """Return the context to train in: with a log, checkpoints and this listener."""
        checkpoints = self._context.checkpoints
        if checkpoints is not None:
            checkpoints = replace(checkpoints, folder=self._place / CHECKPOINT)
        log = self._place / "log.jsonl"
        return replace(
            self._context, log=log, checkpoints=checkpoints, progress=self._hear, find=self._find
        )

    def keep(self) -> None:
        """Write down what there is so far; a full disk is left for others to notice."""
        self._kept = time.perf_counter()
        with suppress(OSError):
            write_json(self._file, {"seconds": self.seconds, "findings": to_json(self._findings)})

    def _hear(self, event: ProgressEvent) -> None:
        self._context.progress(event)
        if time.perf_counter() - self._kept >= _SECONDS_BETWEEN:
            self.keep()

    def _find(self, finding: Finding) -> None:
        if finding not in self._findings:
            self._findings.append(finding)
            self.keep()
            self._context.find(finding)


def seconds_of_attempts(place: Path) -> float:
    """Return the seconds of an unfinished training so far, as far as its folder says."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return float(json.loads((place / ATTEMPTS).read_text("utf-8"))["seconds"])
    return 0.0


def forget(place: Path) -> None:
    """Remove the checkpoint of a training and the record of its attempts."""
    settle(place)
    for path in list(place.iterdir()):
        if path.name in (CHECKPOINT, ATTEMPTS) or path.name.startswith(
            (f".{ATTEMPTS}.", ".entry.json.")
        ):
            remove(path)
