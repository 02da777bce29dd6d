"""What every reader makes of its source: named columns, before text and label are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, final

from finetext.core.types import Finding, SplitName


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be predicted.

    Attributes:
        line: the line of the file at which it begins; its number where there are no lines.
        reason: what is wrong with it, for people.
        content: the row as it stands, as far as that can be written.
    """

    line: int
    reason: str
    content: str


Aside = Callable[[BadRow], None]
"""Who takes the bad rows."""


def lines_from(text: str, lines: Sequence[int], row: int, first: int) -> str:
    """What stands in a text from the line of one row to that of the next.

    Args:
        text: lines.
        lines: the line at which each row begins.
        row: which row.
        first: the number of the first line of the text.
    """
    every = text.split("\n") if "\n" in text else text.split("\r")
    end = lines[row + 1] if row + 1 < len(lines) else len(every) + first
    return "\n".join(every[lines[row] - first : end - first]).rstrip("\r\n")


TEXT: Final = "string"
MIXED: Final = "mixed"
"""Values that are neither all text, nor all numbers, nor all truth values."""
_LARGEST_INTEGER: Final = 2**63
_LARGEST_EXACT: Final = 2**53


@final
class Kinds:
    """Looks at the columns of a source, table by table."""

    def __init__(self) -> None:
        """Nothing seen so far."""
        self._types: dict[str, set[type]] = {}
        self._largest: dict[str, int] = {}

    def look(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """See further values."""
        for name, values in columns.items():
            types = set(map(type, values)) - {type(None)}
            self._types.setdefault(name, set()).update(types)
            if int in types:
                largest = max(abs(value) for value in values if type(value) is int)
                self._largest[name] = max(largest, self._largest.get(name, 0))

    def found(self) -> dict[str, str]:
        """Column to kind, in the order in which the columns were first seen."""
        return {name: self._kind(types, self._largest.get(name, 0)) for name, types in
                self._types.items()}  # fmt: skip

    def _kind(self, types: set[type], largest: int) -> str:
        if types <= {str}:
            return TEXT
        if types == {bool}:
            return "bool"
        if types == {int}:
            return "int64" if largest < _LARGEST_INTEGER else MIXED
        if types <= {int, float}:
            return "double" if largest <= _LARGEST_EXACT else MIXED
        return MIXED


def all_text(names: Iterable[str]) -> dict[str, str]:
    """The kinds of columns that hold nothing but text."""
    return dict.fromkeys(names, TEXT)


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
class Batch:
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
    proceed: Callable[[str, int, bool], Batch] | None = field(default=None, repr=False)

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

    table: Batch
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


@dataclass(frozen=True)
class Rows:
    """Some rows.

    Attributes:
        ids: (m,) the name of each row.
        texts: (m,) the text of each.
        share: share of the source that has been read by now, 0 if unknown.
        columns: column of the source to its (m,) values as they were read; none unless asked for.
        bad: rows that lie between these or right after them and cannot be predicted.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    share: float = 0.0
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    bad: Sequence[BadRow] = ()

    def __len__(self) -> int:
        """The number of rows, bad ones too."""
        return len(self.ids) + len(self.bad)

    def part(self, start: int, stop: int) -> Rows:
        """The rows from `start` to `stop`, without the bad ones."""
        columns = {name: values[start:stop] for name, values in self.columns.items()}
        return Rows(self.ids[start:stop], self.texts[start:stop], self.share, columns)


@dataclass(frozen=True)
class Texts:
    """Rows to predict.

    Attributes:
        batches: the rows in the order of the source, once.
        findings: what reading noticed; complete when all chunks have been taken.
        description: one line on what was read and chosen; empty where there was no choice.
        columns: column of the source to the kind of its values, as `finetext.data.rows` names
            it or as an Arrow type; none unless asked for.
        id_column: the column that names the rows, if one does.
    """

    batches: Iterator[Rows]
    findings: list[Finding] = field(default_factory=list)
    description: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)
    id_column: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What is wanted beside ids and texts.

    Attributes:
        columns: whether all columns of the source.
        bad: whether rows that cannot be predicted; if not, the first of them is an error.
    """

    columns: bool = False
    bad: bool = False


ONLY_TEXTS = Wanted()
