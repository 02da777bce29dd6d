"""Rows to predict, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetext.data.bad_rows import BadRow
from finetext.types import Finding


@dataclass(frozen=True)
class Chunk:
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

    def part(self, start: int, stop: int) -> Chunk:
        """The rows from `start` to `stop`, without the bad ones."""
        columns = {name: values[start:stop] for name, values in self.columns.items()}
        return Chunk(self.ids[start:stop], self.texts[start:stop], self.share, columns)


@dataclass(frozen=True)
class Texts:
    """Rows to predict.

    Attributes:
        chunks: the rows in the order of the source, once.
        findings: what reading noticed; complete when all chunks have been taken.
        description: one line on what was read and chosen; empty where there was no choice.
        columns: column of the source to the kind of its values, as `finetext.data.kinds` names
            it or as an Arrow type; none unless asked for.
        id_column: the column that names the rows, if one does.
    """

    chunks: Iterator[Chunk]
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
