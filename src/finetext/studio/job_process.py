"""A training run in a process of its own: `python -m finetext.studio.job_process FOLDER`.

The folder has `request.json`, what to train. Here are written, so that the studio knows how far it
is even after a restart: `progress.jsonl`, `log.txt`, and at the end `result.json`.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.errors import FinetextError
from finetext.storage.codec import Jsonable
from finetext.storage.files import append_text, write_json

if TYPE_CHECKING:
    from finetext.core.types import Finding

REQUEST: Final = "request.json"
PROGRESS: Final = "progress.jsonl"
LOG: Final = "log.txt"
RESULT: Final = "result.json"
_PAUSE: Final = 0.5
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class TrainRequest(Jsonable):
    """What to train; all but the data and the run folder as `finetext.train` takes it.

    Attributes:
        data: the file of labeled texts.
        out: the run folder.
        methods: names of methods; the whole ladder without.
        minutes: how long it takes at most; as long as it needs without.
        seed: seed of every random choice.
    """

    data: str
    out: str
    methods: tuple[str, ...] = ()
    minutes: float | None = None
    seed: int = 0

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `finetext.train` that differ from their defaults."""
        given = {"methods": list(self.methods), "minutes": self.minutes, "seed": self.seed}
        return {name: value for name, value in given.items() if value}


@final
@dataclass
class Reporter:
    """Writes what a run reports into the folder of its job."""

    folder: Path
    _last: float = field(default=-_PAUSE, repr=False)

    def listener(self) -> Listener:
        """Return the listener to train with."""
        return Listener(say=self.say, progress=self.progress, finding=self.finding)

    def say(self, line: str) -> None:
        """Append a line to the log."""
        append_text(self.folder / LOG, f"{line}\n", lasting=False)

    def finding(self, finding: Finding) -> None:
        """Append a finding to the log."""
        self.say(f"{finding.severity}: {finding.message}")

    def progress(self, event: ProgressEvent) -> None:
        """Append a line of progress, at most two a second."""
        if time.monotonic() - self._last < _PAUSE:
            return
        self._last = time.monotonic()
        share = event.done / event.total if event.total else None
        line = json.dumps({"stage": event.stage, "share": share, "time": time.time()})
        append_text(self.folder / PROGRESS, f"{line}\n", lasting=False)


def run(folder: Path) -> dict[str, Any]:
    """Train as the request in a folder says, and return the result."""
    from finetext.runs.pipeline import train

    request = TrainRequest.from_json(json.loads((folder / REQUEST).read_text(encoding="utf-8")))
    reporter = Reporter(folder)

    def work() -> dict[str, Any]:
        done = train(
            request.data, out=request.out, resume=True, listener=reporter.listener(),
            **request.arguments(),
        )  # fmt: skip
        return {"state": "done", "message": ", ".join(done.unfinished) and _unfinished(done)}

    return _told(work, reporter)


def _unfinished(run: Any) -> str:
    return f"not finished: {', '.join(run.unfinished)}"


def _told(work: Callable[[], dict[str, Any]], reporter: Reporter) -> dict[str, Any]:
    """Return the result of some work, or how it failed, in words."""
    try:
        return work()
    except KeyboardInterrupt:
        return {"state": "cancelled", "message": ""}
    except (FinetextError, OSError, ImportError) as error:
        return {"state": "failed", "message": str(error)}
    except MemoryError:
        return {"state": "failed", "message": "there is too little memory; train fewer methods"}
    except Exception as error:
        reporter.say(traceback.format_exc())
        bug = "this is a bug in finetext; the log of the run has more"
        return {"state": "failed", "message": f"{type(error).__name__}: {error} ({bug})"}


def main() -> None:
    """Run the job in the folder that the command line names."""
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result = run(folder)
    write_json(folder / RESULT, result | {"time": time.time()})


if __name__ == "__main__":
    main()
