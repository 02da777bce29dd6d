"""How often the test rows of a run have been looked at: what is chosen by them is not tested.

The run opens them once, for its leaderboard. Every later opening is a line of `openings.jsonl`:
one for each command that shows them, and one for each Python program that reads them.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from finetext.runs.run import read_log

OPENINGS: Final = "openings.jsonl"
_THIS_PROGRAM: Final = secrets.token_hex(8)
"""What tells this process from any other that reads the same test rows."""


def opened(run: Path, by: str, program: str | None = None) -> int:
    """Write down that the test rows have been opened once more.

    Args:
        run: the run folder; where it cannot be written, nothing is.
        by: what opened them, such as "finetext errors".
        program: a name of the process, if that is to count only once.

    Returns:
        how often they have been opened, with this time and the run's own evaluation.
    """
    before = len(openings(run))
    line = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "by": by}
    if program is not None:
        line["program"] = program
    with suppress(OSError), (run / OPENINGS).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(line)}\n")
    return before + 2


def opened_in_python(run: Path) -> None:
    """Write down that a program in Python reads test rows: once, however often it does."""
    if all(line.get("program") != _THIS_PROGRAM for line in openings(run)):
        opened(run, "Python", _THIS_PROGRAM)


def openings(run: Path) -> list[dict[str, Any]]:
    """The openings after the run's own evaluation, each with "when" (ISO 8601, UTC) and "by"."""
    return read_log(run / OPENINGS)


def opened_in_words(run: Path, times: int) -> str:
    """What to say of the number that `opened` gives."""
    return f"the test rows of {run} have been opened {times} times"
