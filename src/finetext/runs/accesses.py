"""Accesses to the test rows of a run: a log in its folder, and a ledger for all runs of a user.

Whoever reads test rows is recorded in the run, once a command or Python program: what is chosen
after a look at the test set is no longer tested by it. A new run on the same test rows goes on
counting: the ledger is kept by a hash of their texts and labels, in the user's state folder. It
holds neither texts nor paths. Where it cannot be read or written, a run does without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from finetext.core.types import Dataset
from finetext.report.optimism import TestSetUse
from finetext.storage.files import append_text, open_own, write_json
from finetext.storage.received import read_received_text
from finetext.storage.resume import read_log

ACCESSES: Final = "openings.jsonl"
TEST_SET: Final = "test_set.json"
_SECONDS: Final = 5.0
"""How long to wait for another program that writes the ledger."""
_THIS_PROGRAM: Final = secrets.token_hex(8)


def record_access(run: Path, by: str, program: str | None = None) -> int:
    """Record an access to the test rows where possible; return their number, with the run's own."""
    before = len(accesses(run))
    line = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "by": by}
    if program is not None:
        line["program"] = program
    with suppress(OSError):
        append_text(run / ACCESSES, f"{json.dumps(line)}\n")
    if known := _test_set(run):
        _add(known["key"], {**line, "run": known["run"]})
    return before + 2


def ledger_folder() -> Path:
    """Return the folder of the ledgers: in XDG_STATE_HOME, or the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "finetext" / "test_sets"


def record_scoring(run: Path, test: Dataset) -> None:
    """Record once for a run that its methods are scored on these test rows."""
    if not len(test):
        return
    key = test_set_key(test)
    if (_test_set(run) or {}).get("key") == key:  # a resumed run
        return
    token = secrets.token_hex(8)
    with suppress(OSError):
        write_json(run / TEST_SET, {"key": key, "run": token})
    when = datetime.now(UTC).isoformat(timespec="seconds")
    _add(key, {"when": when, "by": "finetext train", "run": token, "scored": True})


def test_set_key(test: Dataset) -> str:
    """Return the hash of the texts and labels of test rows, in any order and of any file."""
    rows = (json.dumps([text, label]) for text, label in zip(test.texts, test.labels, strict=True))
    hashes = sorted(hashlib.sha256(row.encode("utf-8", "replace")).digest() for row in rows)
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def use_of_test_set(run: Path) -> TestSetUse:
    """Return how many runs were scored on the test rows of a run, and how often they were read."""
    known = _test_set(run)
    lines = list[dict[str, Any]]()
    if known is not None:
        with suppress(OSError, RuntimeError):
            lines = read_log(_ledger(known["key"]))
    scored = {str(line.get("run")) for line in lines if line.get("scored") is True}
    return TestSetUse(max(1, len(scored)), sum(line.get("scored") is not True for line in lines))


def _test_set(run: Path) -> dict[str, str] | None:
    """Return what a run knows of its test set; None in runs of versions that did not count."""
    with suppress(OSError, ValueError):
        known = json.loads(read_received_text(run, TEST_SET))
        if isinstance(known, dict) and all(isinstance(known.get(n), str) for n in ("key", "run")):
            return known
    return None


def _ledger(key: str) -> Path:
    # The key of a damaged file must not lead elsewhere.
    return ledger_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.jsonl"


def _add(key: str, line: dict[str, Any]) -> None:
    """Add a line to the ledger of a test set, if that is possible."""
    from filelock import FileLock, Timeout

    with suppress(OSError, RuntimeError, NotImplementedError, Timeout):  # Path.home() may fail
        path = _ledger(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(path.with_suffix(".lock"), timeout=_SECONDS),
            open_own(path) as file,
        ):
            is_cut = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
            file.write(f"{chr(10) if is_cut else ''}{json.dumps(line)}\n".encode())


def record_python_access(run: Path) -> None:
    """Record that this Python program reads test rows, unless it is recorded already."""
    if has_test_rows(run) and all(line.get("program") != _THIS_PROGRAM for line in accesses(run)):
        record_access(run, "Python", _THIS_PROGRAM)


def has_test_rows(run: Path) -> bool:
    """Return whether a finished run held out test rows, rather than being cross-validated."""
    with suppress(OSError, ValueError, AttributeError):
        return not json.loads(read_received_text(run, "verdict.json")).get("folds")
    return True


def accesses(run: Path) -> list[dict[str, Any]]:
    """Return the accesses after the run's own evaluation: "when" (ISO 8601, UTC) and "by"."""
    return read_log(run / ACCESSES)


def accesses_in_words(run: Path, number: int) -> str:
    """Return a message with the number that `record_access` returns."""
    return f"the test set of {run} has been accessed {number} times"
