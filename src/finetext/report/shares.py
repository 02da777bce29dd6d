"""The rows of each label in each split, and their share: a table that displays itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.errors import UnknownNameError
from finetext.core.types import Splits
from finetext.core.wording import counted, short
from finetext.report.rendering import Cell, Table, count, share, table_html, table_lines

_LONGEST_LABEL: Final = 24


@dataclass(frozen=True, repr=False)
class Shares:
    """The rows of each label in each split; `shares["train"]["joy"]` is a share of its rows.

    Attributes:
        rows: split to number of rows.
        counts: split to label to number of rows that have it.
        multilabel: whether a row can have several labels; then shares need not add up to 1.
    """

    rows: Mapping[str, int]
    counts: Mapping[str, Mapping[str, int]]
    multilabel: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the scheme."""
        return tuple(next(iter(self.counts.values()), {}))

    def keys(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return tuple(self.counts)

    def __len__(self) -> int:
        return len(self.counts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.counts)

    def __getitem__(self, split: str) -> dict[str, float]:
        if split not in self.counts:
            raise UnknownNameError("split", split, self.counts)
        total = max(self.rows[split], 1)
        return {label: number / total for label, number in self.counts[split].items()}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Floats:
        columns = [list(self[split].values()) for split in self]
        return np.array(columns, dtype or np.float64).T

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: `rows`, and `counts` and `shares` by split and label."""
        counts = {split: dict(of) for split, of in self.counts.items()}
        shares = {split: self[split] for split in self}
        return {"rows": dict(self.rows), "counts": counts, "shares": shares}

    def lines(self, most: int) -> list[str]:
        """Return the shares of the most frequent labels, that many at most, as aligned lines."""
        frequent = sorted(self.labels, key=lambda label: -self._total(label))[:most]
        columns = [self[split] for split in self]
        rows = [
            (Cell(short(of, _LONGEST_LABEL)), *(share(c[of]) for c in columns)) for of in frequent
        ]
        lines = table_lines(Table("", ("share of rows", *self), rows))
        left = len(self.labels) - len(frequent)
        return [*lines, f"and {counted(left, 'less frequent label')}"] if left else lines

    def table(self) -> Table:
        """Return rows and shares as a table for terminal and page."""
        several = " A row can have several labels." if self.multilabel else ""
        return class_table(self._by_label(), self.rows, f"Rows of each label.{several}")

    def _by_label(self) -> dict[str, dict[str, int]]:
        return {label: {s: of[label] for s, of in self.counts.items()} for label in self.labels}

    def _total(self, label: str) -> int:
        return sum(of[label] for of in self.counts.values())

    def __repr__(self) -> str:
        table = self.table()
        return "\n".join([table.caption, "", *table_lines(table)])

    def _repr_html_(self) -> str:
        return table_html(self.table())


def shares_of(splits: Splits) -> Shares:
    """Return the shares of the labels in all splits with rows; a DataError without labels."""
    names, counts = splits.scheme.names, dict[str, dict[str, int]]()
    there = [(split, part) for split, part in splits.items() if len(part)]
    for split, part in there:
        targets = part.targets
        of = (
            targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=len(names))
        )
        counts[split] = dict(zip(names, map(int, of), strict=True))
    rows = {str(split): len(part) for split, part in there}
    return Shares(rows, counts, splits.scheme.multilabel)


def class_table(
    classes: Mapping[str, Mapping[str, int]],
    rows: Mapping[str, int],
    caption: str = "Rows of each class.",
) -> Table:
    """Return the rows of each class in each part, with their share of the part, as a table."""
    every, several = sum(rows.values()), len(rows) > 1
    lines = []
    for name, counts in classes.items():
        cells = [_counted(counts[part], rows[part]) for part in rows]
        total = sum(counts.values())
        cells = (
            [*cells, _counted(total, every)] if several else [count(total), share_of(total, every)]
        )
        lines.append((Cell(name), *cells))
    sums = [count(of) for of in rows.values()]
    lines.append((Cell("all rows"), *sums, count(every) if several else Cell("")))
    return Table(caption, ("class", *rows, "total" if several else "share"), lines)


def share_of(number: int, total: int) -> Cell:
    """A cell with a percentage of a total."""
    return share(number / max(total, 1))


def _counted(number: int, total: int) -> Cell:
    """A cell with a number of rows, and its share as the note, aligned in a terminal."""
    return Cell(f"{number:,}", f"{number / max(total, 1):6.1%}", number)
