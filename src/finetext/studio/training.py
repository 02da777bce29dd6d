"""Training runs of a project: estimated, started one after the other, watched, cancelled, resumed.

What is known of a run is on the disk, and whether its process lives is asked of the system: a
studio that was killed and started again tells the same as before.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock, Thread
from typing import Any, Final, Literal, final

from finetext.core.errors import DataError, RecipeError, UnknownNameError
from finetext.storage.codec import Jsonable
from finetext.storage.files import write_json
from finetext.studio.exporting import export
from finetext.studio.job_process import LOG, PROGRESS, REQUEST, RESULT, TrainRequest
from finetext.studio.project import Project

JOBS: Final = "jobs"
_STATE: Final = "state.json"
_NAME: Final = re.compile(r"run-[1-9][0-9]{0,5}")
_STEPS: Final = ((signal.SIGINT, 20.0), (signal.SIGTERM, 5.0))
"""Signals that end a run, and the seconds that it gets after each before it is killed."""
_LINES: Final = 40
_TAIL: Final = 20_000
_MODULE: Final = "finetext.studio.job_process"
State = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]
_ALIVE: Final = ("waiting", "running")


@dataclass(frozen=True)
class JobState(Jsonable):
    """How far a run is.

    Attributes:
        stage: what is being done.
        share: how much of that is done, from 0 to 1; None if unknown.
        seconds: since it was started.
        message: why it failed, or what is unfinished.
        command, python: the same run at the command line and in Python.
    """

    name: str
    state: State
    stage: str
    share: float | None
    seconds: float | None
    message: str
    command: str
    python: str


@dataclass(frozen=True)
class Estimate(Jsonable):
    """What a run would do, in lines, and what stands in its way."""

    lines: tuple[str, ...]
    seconds: float | None
    problems: tuple[str, ...]
    command: str
    python: str


def request_of(
    project: Project, name: str, methods: Sequence[str], minutes: float | None, seed: int
) -> TrainRequest:
    """Return the request of a run, whose data are a table of the project; raises a RecipeError."""
    if minutes is not None and not minutes > 0:
        raise RecipeError(f"minutes is {minutes:g}; it must be above 0")
    data, out = project.folder / "data" / f"{name}.jsonl", project.runs / name
    return TrainRequest(str(data), str(out), tuple(methods), minutes, seed)


def ways_of(request: TrainRequest) -> dict[str, str]:
    """Return the command and the Python code that train the same."""
    data, out = _shown(request.data), _shown(request.out)
    words = ["finetext", "train", data, "--out", out]
    if request.methods:
        words += ["--methods", ",".join(request.methods)]
    if request.minutes is not None:
        words += ["--minutes", f"{request.minutes:g}"]
    if request.seed:
        words += ["--seed", str(request.seed)]
    given = {"out": out, **request.arguments()}
    arguments = "".join(f", {name}={value!r}" for name, value in given.items())
    code = f"import finetext\n\nrun = finetext.train({data!r}{arguments})\nprint(run.summary())"
    return {"command": shlex.join(words), "python": code}


def _shown(path: str) -> str:
    """Return a path as a person types it in the folder that the studio was started in."""
    with suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path


@final
class TrainingJobs:
    """The runs of a project; one at a time, as each takes all cores."""

    def __init__(self, project: Project) -> None:
        """Take the project; runs that wait begin with the next look."""
        self._project, self._folder = project, project.folder / JOBS
        self._changing = RLock()

    def estimate(
        self, methods: Sequence[str] = (), minutes: float | None = None, seed: int = 0
    ) -> Estimate:
        """Return what a run of the labels so far would do, and about how long it takes.

        Raises a DataError if nothing is labeled yet, and a RecipeError for odd minutes.
        """
        request = request_of(self._project, "estimate", methods, minutes, seed)
        self._write_data(Path(request.data))
        words = [sys.executable, "-P", "-m", "finetext", "train", request.data, "--dry-run"]
        words += shlex.split(ways_of(request)["command"])[5:]
        found = subprocess.run(words, capture_output=True, env=_environment(), check=False)
        said = found.stdout.decode(errors="replace").strip().splitlines()
        wrong = found.stderr.decode(errors="replace").strip()
        problems = (wrong.removeprefix("finetext: "),) if found.returncode and wrong else ()
        return Estimate(tuple(said), None, problems, **ways_of(self._request_next(request)))

    def _request_next(self, request: TrainRequest) -> TrainRequest:
        again = request.methods, request.minutes, request.seed
        return request_of(self._project, self._free_name(), *again)

    def start(
        self, methods: Sequence[str] = (), minutes: float | None = None, seed: int = 0
    ) -> str:
        """Begin a run of the labels so far, or queue it behind the one that runs; return its name.

        Raises a DataError if nothing is labeled yet, and a RecipeError for odd minutes.
        """
        with self._changing:
            name = self._free_name()
            request = request_of(self._project, name, methods, minutes, seed)
            self._write_data(Path(request.data))
            folder = self._folder / name
            folder.mkdir(parents=True)
            write_json(folder / REQUEST, request.to_json())
            write_json(folder / _STATE, {"asked": time.time()})
            self._begin_next()
        return name

    def cancel(self, name: str) -> None:
        """End a run that waits or runs; what is finished stays, and it can be resumed."""
        with self._changing:
            folder, state = self._of(name), _read(self._of(name) / _STATE)
            if self._state(name)[0] not in _ALIVE:
                raise DataError(f"{name} does not run, so there is nothing to cancel")
            write_json(folder / _STATE, state | {"cancelled": True})
        if process := _process(state):
            for number, seconds in _STEPS:
                with suppress(OSError, ProcessLookupError):
                    process.send_signal(number)
                if _has_ended(process, seconds):
                    break
            else:
                process.kill()
        with self._changing:
            self._begin_next()

    def resume(self, name: str) -> None:
        """Begin again a run that was cancelled, interrupted or failed; finished methods stay."""
        with self._changing:
            folder = self._of(name)
            if (state := self._state(name)[0]) in (*_ALIVE, "done"):
                raise DataError(f"{name} is {state}, so there is nothing to resume")
            (folder / RESULT).unlink(missing_ok=True)
            write_json(folder / _STATE, {"asked": time.time()})
            self._begin_next()

    def states(self) -> list[JobState]:
        """Return all runs, the newest first."""
        with self._changing:
            self._begin_next()
            return self.peek()

    def peek(self) -> list[JobState]:
        """Return the same without beginning a run that waits."""
        return [self.get(name) for name in reversed(self._names())]

    def get(self, name: str) -> JobState:
        """Return how far a run is; raises an UnknownNameError if there is none of the name."""
        folder = self._of(name)
        state, message = self._state(name)
        request = TrainRequest.from_json(_read(folder / REQUEST))
        of, last = _read(folder / _STATE), _last_line(folder / PROGRESS)
        ended = _read(folder / RESULT).get("time") or time.time()
        began = of.get("began")
        is_running = state == "running"
        return JobState(
            name,
            state,
            str(last.get("stage", "reading the data")) if is_running else "",
            last.get("share") if is_running else None,
            None if began is None else max(0.0, ended - began),
            message,
            **ways_of(request),
        )

    def log(self, name: str) -> list[str]:
        """Return the last lines that a run said."""
        return _tail(self._of(name) / LOG)[-_LINES:]

    def stop(self) -> list[str]:
        """Cancel what runs or waits, as the studio ends; return the names of these runs."""
        stopped = [name for name in self._names() if self._state(name)[0] in _ALIVE]
        for name in reversed(stopped):  # those that wait first, so that none begins
            self.cancel(name)
        return stopped

    def _names(self) -> list[str]:
        found = [path.name for path in self._folder.glob("run-*") if (path / REQUEST).is_file()]
        return sorted((of for of in found if _NAME.fullmatch(of)), key=lambda of: int(of[4:]))

    def _free_name(self) -> str:
        taken = [
            int(path.name[4:]) for path in self._folder.glob("run-*") if path.name[4:].isdigit()
        ]
        taken += [
            int(of.name[4:]) for of in self._project.runs.glob("run-*") if of.name[4:].isdigit()
        ]
        return f"run-{max(taken, default=0) + 1}"

    def _of(self, name: str) -> Path:
        """Return the folder of a job; only names of the list, so that none leads elsewhere."""
        if name not in (names := self._names()):
            raise UnknownNameError("run", name[:80], names)
        return self._folder / name

    def _state(self, name: str) -> tuple[State, str]:
        folder = self._folder / name
        state, result = _read(folder / _STATE), _read(folder / RESULT)
        if result:
            return result["state"], str(result.get("message", ""))
        if _process(state):
            return "running", ""
        if state.get("cancelled"):
            return "cancelled", ""
        if "process" not in state:
            return "waiting", ""
        return "interrupted", "its process ended without a result, as if it was killed; resume it"

    def _begin_next(self) -> None:
        """Start the first run that waits, unless one runs."""
        states = {name: self._state(name)[0] for name in self._names()}
        if "running" in states.values():
            return
        for name in [of for of, state in states.items() if state == "waiting"][:1]:
            folder = self._folder / name
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, str(folder)], env=_environment(),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            import psutil

            began = psutil.Process(process.pid).create_time()
            of = {"process": process.pid, "created": began, "began": time.time()}
            write_json(folder / _STATE, _read(folder / _STATE) | of)
            Thread(target=self._wait, args=(process,), daemon=True).start()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Begin the next run when one has ended, also if nobody looks."""
        process.wait()
        with self._changing, suppress(OSError):
            if self._folder.is_dir():
                self._begin_next()

    def _write_data(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        export(self._project, "labeled", path)


def _environment() -> Mapping[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _process(state: Mapping[str, Any]) -> Any:
    """Return the process of a job if it lives; another one with its number is not it."""
    import psutil

    if "process" not in state:
        return None
    with suppress(psutil.Error):
        process = psutil.Process(state["process"])
        is_same = abs(process.create_time() - state["created"]) < 1
        if is_same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _has_ended(process: Any, seconds: float) -> bool:
    import psutil

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        with suppress(psutil.Error):
            process.wait(0.1)
    return not process.is_running()


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON of a file; empty if there is none."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _tail(path: Path) -> list[str]:
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read().decode(errors="replace").splitlines()
    return []


def _last_line(path: Path) -> dict[str, Any]:
    for line in reversed(_tail(path)):
        with suppress(ValueError):
            found = json.loads(line)
            return found if isinstance(found, dict) else {}
    return {}
