"""Imports and functions that may fail in any way, tried in a process of their own.

A broken package may raise, hang, or end the process: a library that was built for another processor
ends it with SIGILL. Whoever looks for what is broken must outlive all of that.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from finetext.core.wording import short

_LONGEST: Final = 300
"""Characters of an error."""
_TICK: Final = 0.05
"""Seconds between looks at the process."""
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
    # Files, because a pipe does not end while a process that an item left behind holds it.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        tempfile.NamedTemporaryFile(dir=folder, delete=False) as to_out,
        tempfile.NamedTemporaryFile(dir=folder, delete=False) as to_err,
    ):
        out, err = Path(to_out.name), Path(to_err.name)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, mark, *items], stdin=subprocess.DEVNULL,
            stdout=to_out, stderr=to_err,
            env={**os.environ, "PYTHONPATH": places, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        if _ends(process, lambda: len([*_told(out, mark)]), seconds):
            ended = _in_words(process.returncode, err.read_text("utf-8", "replace"), mark)
        else:
            ended = f"it does not end within {seconds:g} seconds"
        return list(_told(out, mark)), ended


def _ends(process: subprocess.Popen[bytes], count: Callable[[], int], seconds: float) -> bool:
    """Return whether a process ended; kill it if a count does not rise for so many seconds."""
    last, since = 0, time.monotonic()
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_TICK)
                return True
            if (now := count()) != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > seconds:
                return False
    finally:
        process.kill()
        process.wait()


def _told(out: Path, mark: str) -> Iterator[dict[str, Any]]:
    """Yield what was told so far in lines that are whole."""
    text = out.read_text("utf-8", "replace")
    for line in text[: text.rfind("\n") + 1].splitlines():
        if line.startswith(mark):
            yield json.loads(line.removeprefix(mark))


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
