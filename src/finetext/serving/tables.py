"""A file that the page for people sends, read as `finetext predict` reads it.

A process of its own reads it, within limits of memory and time: a file can be made so that reading
it takes much of both. Nothing is written to disk.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, final

from finetext.core.budget import explained
from finetext.core.errors import DataError, FinetextError, TooLargeError, UnclearError
from finetext.core.settings import MEBIBYTE, ReadSettings
from finetext.core.threads import THREAD_VARIABLES
from finetext.core.wording import short
from finetext.serving.logs import LOG

if TYPE_CHECKING:
    from finetext.data.rows import Texts

SETTINGS: Final = ("text", "label", "id", "header", "delimiter", "sheet", "encoding")
"""Fields of `ReadSettings` that a request can state."""
MODULE: Final = "finetext.serving.tables"
LARGEST_ANSWER: Final = 64 * MEBIBYTE
_MEMORY: Final = 1024 * MEBIBYTE
_BUDGET: Final = 640 * MEBIBYTE
"""Most memory for what is in a file, so that the process itself has the rest."""
_SHARE_OF_TIME: Final = 0.8
_RETRY: Final = 5
_LATER: Final = {"retry-after": str(_RETRY)}
_EXAMPLE: Final = 80
_LONGEST_FAULT: Final = 2_000
_OTHER: Final = (".parquet", ".zip", ".tar", ".tgz", ".gz")
_PACKED: Final = (b"PAR1", b"\x1f\x8b", b"%PDF")
_ELSEWHERE: Final = (
    "this page reads CSV, TSV, Excel (.xlsx), JSON, JSON lines and plain text; save it as one of "
    "these, or use finetext predict"
)


@final
class TableReader:
    """Reads the files of requests, one at a time."""

    def __init__(self, seconds: float, queue: int, module: str = MODULE) -> None:
        """Take the longest time in which a request is answered, and how many files may wait.

        The process runs `module`, which reads and writes what `main` here does.
        """
        self._seconds, self._module = seconds * _SHARE_OF_TIME, module
        self._free, self._places = asyncio.Semaphore(1), queue + 1

    async def read(
        self, name: str, data: bytes, given: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bytes]:
        """Return what was found in a file, and its ids, texts and rows as members of JSON.

        If it cannot be read, the first has only `error`, and `choice` if a setting would help; then
        there are no rows.
        """
        from finetext.serving.requests import Refusal  # slow to import, also for the process

        if not self._places:
            raise Refusal(429, f"too many files wait to be read; retry in {_RETRY} s", _LATER)
        self._places -= 1
        try:
            async with self._free:
                return await self._read(name, data, given)
        except OSError as error:
            LOG.error("the process that reads files cannot start: %s", error)
            raise Refusal(503, "no file can be read now", _LATER) from None
        finally:
            self._places += 1

    async def _read(
        self, name: str, data: bytes, given: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bytes]:
        shown = short(name, 255)
        limit = math.ceil(self._seconds)
        asked = json.dumps({"name": shown, "settings": dict(given), "seconds": limit}).encode()
        environment = {name: of for name, of in os.environ.items() if name != "FINETEXT_TOKEN"}
        environment |= dict.fromkeys(THREAD_VARIABLES, "1")
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", self._module),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=environment,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._seconds):
                said, fault = await process.communicate(asked + b"\n" + data)
        except TimeoutError:
            seconds = f"{self._seconds:.0f} s"
            return {"error": f"{shown} cannot be read in {seconds}; send fewer rows"}, b""
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        first, found, rows = said.partition(b"\n")
        if not found:
            LOG.error("reading a file failed: %s", fault.decode(errors="replace")[-_LONGEST_FAULT:])
            return {"error": f"{shown} is too large or too damaged to be read"}, b""
        return json.loads(first), rows


def bytes_of(content: str) -> bytes | None:
    """Return the bytes of Base64; None if it is none."""
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return None


def read_table(name: str, data: bytes, settings: ReadSettings) -> tuple[dict[str, Any], bytes]:
    """Return what `TableReader.read` does; raises a FinetextError."""
    from finetext.batch.tables import EmptyTexts
    from finetext.data.stream import open_bytes
    from finetext.data.write import cell_of, encoded

    _refuse_unfit(name, data)
    texts = open_bytes(name, data, settings)
    empty = EmptyTexts(texts.id_column)
    lists: dict[str, list[Any]] = {"ids": [], "texts": [], "rows": []}
    for rows in empty.watched(texts.batches):
        lists["ids"] += rows.ids
        lists["texts"] += rows.texts
        cells = ([_text(cell_of(value)) for value in values] for values in rows.columns.values())
        lists["rows"] += zip(*cells, strict=True)
    body = encoded(json.dumps(lists, ensure_ascii=False, separators=(",", ":")))
    if len(body) > LARGEST_ANSWER:
        raise DataError(f"{name} has too much content for this page; use finetext predict")
    return _found(texts, empty.findings), body[1:]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _found(texts: Texts, more: tuple[Any, ...]) -> dict[str, Any]:
    return {
        "description": texts.description,
        "notes": [finding.message for finding in (*texts.findings, *more)],
        "names": list(texts.columns),
        "text": list(texts.text_columns),
        "id": texts.id_column,
    }


def _refuse_unfit(name: str, data: bytes) -> None:
    """Raise a DataError for forms that the page does not read."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _OTHER or data.startswith(_PACKED) or data[257:262] == b"ustar":
        raise DataError(f"{name} is compressed, an archive or of another kind: {_ELSEWHERE}")
    if suffix not in (".xlsx", ".xlsm") and data.startswith(b"PK\x03\x04"):
        raise DataError(f"{name} is compressed, an archive or of another kind: {_ELSEWHERE}")


def refused(error: FinetextError) -> dict[str, Any]:
    """Return the message for the page, and the choice that would help, with examples."""
    if not isinstance(error, UnclearError) or error.setting not in SETTINGS:
        return {"error": str(error)}
    readings = [
        {"value": value, "examples": [short(of, _EXAMPLE) for of in examples]}
        for value, examples in error.readings.items()
    ]
    choice = {"setting": error.setting, "problem": error.problem, "readings": readings}
    values = ", ".join(error.readings)
    end = f'; state it as "{error.setting}"' + (f": one of {values}" if values else "")
    return {"error": error.problem + end, "choice": choice}


def main() -> None:
    """Read a file from standard input; write what was found, and then its rows."""
    asked = json.loads(sys.stdin.buffer.readline())
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        # the server stops it earlier, unless the server itself was killed
        resource.setrlimit(resource.RLIMIT_CPU, (asked["seconds"],) * 2)
    given: dict[str, Any] = asked["settings"]
    given |= {"text": tuple(given["text"])} if "text" in given else {}
    rows = b""
    try:
        settings = ReadSettings(**given, labelled=False, most_bytes=_BUDGET)
        with explained(asked["name"]):
            found, rows = read_table(asked["name"], sys.stdin.buffer.read(), settings)
    except TooLargeError as error:
        found = {"error": f"{error.problem}: send fewer rows, or use finetext predict"}
    except FinetextError as error:
        found = refused(error)
    sys.stdout.buffer.write(json.dumps(found).encode() + b"\n" + rows)


if __name__ == "__main__":
    main()
