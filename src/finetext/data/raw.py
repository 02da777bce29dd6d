"""What every reader makes of its source: named columns, before text and label are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from finetext.types import Finding, SplitName

SPLIT_WORDS: Final[dict[str, SplitName]] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class File:
    """A file on disk, in an archive or from the network.

    Attributes:
        name: what messages call it.
        path: where it lies below the folder or archive that was given.
        load: reads all its bytes.
    """

    name: str
    path: PurePosixPath
    load: Callable[[], bytes] = field(repr=False)


@dataclass(frozen=True)
class RawTable:
    """Named columns of equal length.

    Attributes:
        name: the file or object they are from.
        columns: column name to n values, in the order of the source.
        form: the format in words, for the line that says what was chosen.
        lines: (n,) line at which each row begins, for messages; None counts rows from 1.
        classes: column name to the names of its classes in their own order, where known.
        findings: what reading noticed.
        rest: text at the end that is no whole row yet, where more of the file is to come.
        proceed: reads more of the same file in the same way: text from the beginning of a row,
            the number of its first line, and whether it is the last of the file; None where the
            form can only be settled on the whole file.
    """

    name: str
    columns: dict[str, list[Any]]
    form: str
    lines: Sequence[int] | None = None
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    rest: str = ""
    proceed: Callable[[str, int, bool], RawTable] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def where(self, rows: Sequence[int]) -> str:
        """Words for the places of some rows, the first ten at most."""
        places = [(self.lines[row] if self.lines else row + 1) for row in rows[:10]]
        kind = "line" if self.lines else "row"
        more = f" and {len(rows) - 10:,} more" if len(rows) > 10 else ""
        plural = "s" if len(rows) > 1 else ""
        return f"{kind}{plural} {', '.join(map(str, places))}{more}"


@dataclass(frozen=True)
class Part:
    """One table and the ready-made split it is, if any."""

    table: RawTable
    split: SplitName | None = None


@dataclass(frozen=True)
class Reading:
    """All tables of one source.

    Attributes:
        title: what the source is called.
        parts: one table, or one or more for each ready-made split.
        beside: files next to the data that may hold the names of label ids.
        findings: what was noticed beyond the single tables.
    """

    title: str
    parts: tuple[Part, ...]
    beside: tuple[File, ...] = ()
    findings: tuple[Finding, ...] = ()


def column_names(header: Iterable[object]) -> list[str]:
    """Unique names for columns: blank ones get their number, repeated ones theirs added."""
    names: list[str] = []
    for number, cell in enumerate(header, start=1):
        name = str(cell).strip() if cell is not None else ""
        name = name or str(number)
        names.append(f"{name} ({number})" if name in names else name)
    return names


def repeated_names(columns: Iterable[str]) -> dict[str, tuple[str, int]]:
    """The names to which `column_names` added a number, each with what it was and that number."""
    names = list(columns)
    found = {}
    for number, name in enumerate(names, start=1):
        first = name.removesuffix(f" ({number})")
        if first != name and first in names[: number - 1]:
            found[name] = (first, number)
    return found
