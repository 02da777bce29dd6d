"""Imports and functions that may fail in any way, tried in a process of their own.

A broken package may raise, hang, or end the process: a library that was built for another processor
ends it with SIGILL. Whoever looks for what is broken must outlive all of that.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from finetext.core.wording import short

_LONGEST: Final = 300
"""Characters of an error."""
_STEP: Final = 0.1
"""Seconds between looks at whether the process has ended."""
_REST: Final = 1.0
"""Seconds for the rest of what an ended process told."""
_CODE: Final = """
import importlib, json, sys
def tell(**told):
    sys.__stdout__.write(chr(10) + sys.argv[1] + json.dumps(told) + chr(10))
    sys.__stdout__.flush()
for item in sys.argv[2:]:
    print(sys.argv[1], file=sys.__stderr__, flush=True)
    tell(item=item)
    module, _, name = item.partition(":")
    try:
        found = importlib.import_module(module)
        tell(item=item, value=getattr(found, name)() if name else None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        tell(item=item, error=type(error).__name__ + ": " + str(error))
"""


@final
@dataclass(frozen=True)
class Trial:
    """What came of an import or a function: its value, or an error in one line."""

    value: Any = None
    error: str = ""


def tried(items: Sequence[str], seconds: float = 60.0) -> dict[str, Trial]:
    """Import modules or call functions, one after the other, in another process.

    Args:
        items: each is a module, or "module:function" of a function that takes nothing and returns
            what JSON can hold.
        seconds: time for each; what has not ended by then counts as hanging.
    """
    found: dict[str, Trial] = {}
    while left := [item for item in items if item not in found]:
        begun, ended = "", ""
        told, ended = _run(left, seconds)
        for one in told:
            if "error" in one or "value" in one:
                found[one["item"]] = Trial(one.get("value"), short(one.get("error", ""), _LONGEST))
                begun = ""
            else:
                begun = one["item"]
        if not told or begun:
            found[begun or left[0]] = Trial(error=ended)
    return {item: found[item] for item in items}


def _run(items: Sequence[str], seconds: float) -> tuple[list[dict[str, Any]], str]:
    """Return what a process told of items, and how it ended."""
    mark = secrets.token_hex(8)
    # Modules are found where this process finds them.
    places = os.pathsep.join(dict.fromkeys(of or os.getcwd() for of in sys.path))
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, mark, *items], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors, bufsize=0,
            env={**os.environ, "PYTHONPATH": places, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        told: list[dict[str, Any]] = []
        try:
            if not _listen(process, mark, told, seconds):
                return told, f"it does not end within {seconds:g} seconds"
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        return told, _in_words(process.returncode, errors.read().decode("utf-8", "replace"), mark)


def _listen(
    process: subprocess.Popen[bytes], mark: str, told: list[dict[str, Any]], seconds: float
) -> bool:
    """Append what a process tells; return whether it ends before an item takes too long.

    A process that it leaves behind may hold the pipe, so the end of the process counts, too.
    """
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    until = time.monotonic() + seconds
    while True:
        has_ended = process.poll() is not None
        if has_ended:
            reader.join(_REST)
        try:
            line = lines.get(timeout=0 if has_ended else _STEP).decode("utf-8", "replace")
        except queue.Empty:
            if has_ended:
                return True
            if time.monotonic() >= until:
                return False
            continue
        if line.startswith(mark):
            told.append(json.loads(line.removeprefix(mark)))
            until = time.monotonic() + seconds
        elif time.monotonic() >= until and not has_ended:
            return False


def _read(process: subprocess.Popen[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    assert process.stdout is not None
    with process.stdout as out:
        for line in out:
            lines.put(line)


def _in_words(status: int, err: str, mark: str) -> str:
    """Return how a process ended during an item, with the last that it said of it."""
    last = err.rpartition(mark)[2].strip().rpartition("\n")[2]
    said = f": {short(last, _LONGEST)}" if last else ""
    if status >= 0:
        return f"it ends Python with status {status}{said}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"it ends Python by {name}{said}"
