"""The budget of reading: how much memory files, archives, downloads and model folders may take.

Whatever is read, decompressed or built from it is counted against one budget before it is there.
Sizes that a file states about itself are never trusted: bytes count as they come.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from finetext.core.errors import FinetextError, ModelError, RecipeError, TooLargeError
from finetext.core.wording import short, size

LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux states the memory limit of a container, in versions 2 and 1 of cgroups."""
VARIABLE: Final = "FINETEXT_MOST_BYTES"
_OPTION: Final = "data.most_bytes"
_SHARE: Final = 0.75
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.I)
_CHUNK: Final = 1 << 20
_MOST_COLUMNS: Final = 50_000
_MOST_PARTS: Final = 200
_BETWEEN_KEYS: Final = re.compile(r"[=,\n\[\]{}]")
_LINE: Final = 160
"""Bytes of a line of a table, less those of its fields: the line, a list and a number."""
_ROW: Final = 300
"""Bytes of the id, the place and the labels of a row."""
_OBJECT: Final = 64
"""Bytes of a small object of Python, such as an empty text, with the place in a list for it."""
Given = ParamSpec("Given")
Result = TypeVar("Result")


class Stream(Protocol):
    """Anything that bytes can be read from, some at a time."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""


class Budget:
    """Bytes of memory that reading may still take."""

    def __init__(self, most: int) -> None:
        """Begin with all of them."""
        self.most = self.left = most

    def take(self, count: int, name: str) -> None:
        """Count bytes that are about to be read or built; raises a TooLargeError."""
        self.left -= count
        if self.left < 0:
            raise TooLargeError(
                f"{name} takes more than {size(self.most)} of memory to read",
                f", the most that {_OPTION} allows; if you trust it, raise the limit with --set "
                f"{_OPTION}={_doubled(self.most)}, or with {VARIABLE}={_doubled(self.most)} in the "
                "environment",
            )


_CURRENT: Final[ContextVar[Budget | None]] = ContextVar("budget", default=None)


@contextmanager
def reading(most: int | str | None = None) -> Iterator[Budget]:
    """Count all that the body reads against one budget; within another body, against its budget.

    Args:
        most: bytes, or a size such as "8GB"; None is three quarters of the machine's memory.
    """
    if (outer := _CURRENT.get()) is not None:
        yield outer
        return
    token = _CURRENT.set(budget := Budget(most_bytes(most)))
    try:
        yield budget
    finally:
        _CURRENT.reset(token)


def current() -> Budget:
    """Return the budget of the present reading; outside of any, a new one."""
    return _CURRENT.get() or Budget(most_bytes(None))


def take(count: int, name: str) -> None:
    """Count bytes that are about to be read or built; raises a TooLargeError."""
    current().take(count, name)


def take_cells(rows: int, columns: int, name: str) -> None:
    """Count the cells of a table that is about to be built; raises a TooLargeError."""
    if columns > _MOST_COLUMNS:
        raise TooLargeError(
            f"{name} has {columns:,} columns or more, and a table may have {_MOST_COLUMNS:,}",
            "; keep the columns that you need",
        )
    take(rows * columns * _OBJECT, name)


def take_rows(rows: int, name: str) -> None:
    """Count what is noted of rows that are made into a data set; raises a TooLargeError."""
    take(_ROW * rows, name)


def take_column(rows: int, number: int, name: str) -> None:
    """Count one more column of a table, which then has `number`; raises a TooLargeError."""
    take_cells(0, number, name)
    take_cells(rows, 1, name)


def take_text(data: bytes, name: str) -> None:
    """Count the text that bytes are about to be decoded to; raises a TooLargeError."""
    wide = not data.isascii() and any(bytes((lead,)) in data for lead in range(0xF0, 0xF5))
    take(len(data) * (4 if wide else 1 if data.isascii() else 2), name)


def take_lines(text: str, name: str) -> None:
    """Count the lines of a text and what they hold before it is split; raises a TooLargeError."""
    lines = text.count("\n") or text.count("\r")
    take(3 * sys.getsizeof(text) + _LINE * lines, name)


def take_fields(text: str, delimiter: str, name: str) -> None:
    """Count the fields of a text table, beside its lines; raises a TooLargeError."""
    lines = text.count("\n") or text.count("\r")
    take(_OBJECT * (text.count(delimiter) + 2 * lines), name)


def take_json(text: str, name: str) -> None:
    """Count the values of JSON before it is parsed; raises a TooLargeError."""
    values = text.count(",") + text.count(":") + 2 * text.count("[") + 3 * text.count("{")
    take(sys.getsizeof(text) + _OBJECT * values, name)


def read_all(file: Stream, name: str, chunk: int = _CHUNK) -> bytes:
    """Return all that a stream gives, counted as it comes; raises a TooLargeError."""
    budget, found = current(), io.BytesIO()
    while data := file.read(chunk):
        budget.take(len(data), name)
        found.write(data)
    return found.getvalue()


def toml_values(text: str) -> dict[str, Any]:
    """Return the values of a TOML text; raises a ValueError if it is none.

    A key of thousands of parts, each a table within the one before, takes tomllib time and memory
    by the square of their number; one of more than 200 parts is refused.
    """
    if any(part.count(".") > _MOST_PARTS for part in _BETWEEN_KEYS.split(text)):
        raise ValueError(f"a key has more than {_MOST_PARTS} parts")
    return tomllib.loads(text)


def file_bytes(path: Path) -> bytes:
    """Return the content of a file; raises a TooLargeError or an OSError."""
    budget = current()
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or not about.st_size:
            return read_all(file, str(path))
        budget.take(about.st_size, str(path))
        data = file.read(about.st_size)
        return data if not (more := read_all(file, str(path))) else data + more


def most_bytes(most: int | str | None) -> int:
    """Return a limit in bytes, by default that of the environment or of the machine.

    Raises a RecipeError if it is not a positive number or size.
    """
    where = _OPTION
    if most is None:
        where, most = VARIABLE, os.environ.get(VARIABLE) or None
    if most is None:
        return int(_SHARE * _machine_memory())
    found = _SIZE.fullmatch(str(most))
    units = _BINARY if found and found[3] else _UNITS
    count = int(float(found[1]) * units[found[2].lower()]) if found else 0
    if count <= 0:
        raise RecipeError(f"{where} = {most!r} is not a size; write bytes, or such as 500MB or 8GB")
    return count


@cache
def _machine_memory() -> int:
    """The memory of the machine, or of the container."""
    import psutil

    return min([int(psutil.virtual_memory().total), *container_limits()])


def container_limits() -> list[int]:
    """Return the memory limits of the container in bytes; none outside of one."""
    limits = []
    for path in LIMITS:
        with suppress(OSError):
            limit = path.read_text(encoding="ascii").strip()
            limits += [int(limit)] if limit.isdecimal() and int(limit) else []
    return limits


def _doubled(most: int) -> str:
    unit = next(name for name in ("t", "g", "m", "k", "") if 2 * most >= _UNITS[name])
    return f"{2 * most / _UNITS[unit]:.3g}{unit.upper().replace('K', 'k')}B"


def in_words(error: BaseException, what: object = None) -> FinetextError | None:
    """Return an error of memory or nesting, or a panic, as one for people; None for any other.

    `what` is named if it is a path.
    """
    is_path = isinstance(what, Path) or (isinstance(what, str) and "://" not in what)
    where = f"{what}: " if is_path else ""
    if isinstance(error, MemoryError) or _is_allocation(error):
        problem = f"{where}there is not enough memory on this machine, or on its GPU"
        return TooLargeError(problem, "; close other programs, or give less data at once")
    if isinstance(error, RecursionError):
        problem = f"{where}lists or objects lie inside each other too deeply to be read"
        return TooLargeError(problem, "; write the data as a flat table")
    if is_panic(error):
        reason = short(str(error), 200)
        return ModelError(f"{where}a native library, such as a tokenizer, gave up: {reason}")
    return None


def is_panic(error: BaseException) -> bool:
    """Return whether native code in Rust gave up, which is no `Exception` in Python."""
    return type(error).__name__ == "PanicException"


def _is_allocation(error: BaseException) -> bool:
    """Whether an error of torch says that memory is used up."""
    kind = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, RuntimeError) and (kind or "can't allocate memory" in str(error))


@contextmanager
def explained(what: object = None) -> Iterator[None]:
    """Turn errors of memory and nesting in the body, and panics, into a FinetextError."""
    try:
        yield
    except BaseException as error:
        if (told := in_words(error, what)) is None:
            raise
        raise told from None


@contextmanager
def native(what: str) -> Iterator[None]:
    """Turn whatever native code raises in the body, also a panic, into a ModelError."""
    try:
        yield
    except (FinetextError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        reason = short(f"{type(error).__name__}: {error}", 200)
        raise ModelError(f"{what} fails, so the model is damaged: {reason}") from error


def within_memory(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return a public function that raises a FinetextError if memory ends or nesting is deep."""

    @wraps(function)
    def run(*values: Given.args, **named: Given.kwargs) -> Result:
        with explained():
            return function(*values, **named)

    return run
