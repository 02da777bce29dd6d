"""Accesses to the test rows of a run: a log in its folder, and how the report counts them.

Whoever reads test rows is recorded in the run, once a command or Python program: what is chosen
after a look at the test set is no longer tested by it.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from finetext.storage.resume import read_log

ACCESSES: Final = "openings.jsonl"
_THIS_PROGRAM: Final = secrets.token_hex(8)


def record_access(run: Path, by: str, program: str | None = None) -> int:
    """Record an access to the test rows where possible; return their number, with the run's own."""
    before = len(accesses(run))
    line = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "by": by}
    if program is not None:
        line["program"] = program
    with suppress(OSError), (run / ACCESSES).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(line)}\n")
    return before + 2


def record_python_access(run: Path) -> None:
    """Record that this Python program reads test rows, unless it is recorded already."""
    if has_test_rows(run) and all(line.get("program") != _THIS_PROGRAM for line in accesses(run)):
        record_access(run, "Python", _THIS_PROGRAM)


def has_test_rows(run: Path) -> bool:
    """Return whether a finished run held out test rows, rather than being cross-validated."""
    with suppress(OSError, ValueError, AttributeError):
        return not json.loads((run / "verdict.json").read_text("utf-8")).get("folds")
    return True


def accesses(run: Path) -> list[dict[str, Any]]:
    """Return the accesses after the run's own evaluation: "when" (ISO 8601, UTC) and "by"."""
    return read_log(run / ACCESSES)


def accesses_in_words(run: Path, number: int) -> str:
    """Return a message with the number that `record_access` returns."""
    return f"the test set of {run} has been accessed {number} times"
