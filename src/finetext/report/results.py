"""Random rows with their truth and prediction side by side: a table that displays itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable

from finetext.core.errors import DataError
from finetext.core.styled import Text
from finetext.core.types import Predicted
from finetext.core.wording import counted, first_repeat, row_of, short
from finetext.diagnosis.losses import probability_of
from finetext.report.rendering import Cell, Table, printed, table_html

_LONGEST_NAME: Final = 30
_GAP: Final = 2


@dataclass(frozen=True)
class Result:
    """One row; `probability` is that of the prediction, the lowest of several labels."""

    id: str
    text: str
    truth: Any
    prediction: Any
    probability: float
    right: bool


@dataclass(frozen=True, repr=False)
class Results:
    """Random rows of the predictions called `name`, out of `total`; iterate to get each."""

    name: str
    part: str | None
    rows: tuple[Result, ...]
    total: int

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.rows)

    def __getitem__(self, place: int) -> Result:
        return self.rows[place]

    @property
    def headline(self) -> str:
        """How many of the rows shown are right."""
        right = sum(row.right for row in self.rows)
        of = f"{len(self):,} of {counted(self.total, row_of(self.part))}{first_repeat(self.part)}"
        return f"{self.name} on {of}, drawn at random: {right:,} right, {len(self) - right:,} wrong"

    def to_json(self) -> list[dict[str, Any]]:
        """Return a mapping for each row."""
        return [asdict(row) for row in self.rows]

    def show(self, console: Console) -> None:
        """Print a line for each row, with a mark on errors."""
        lines: list[tuple[str, ...]] = [("", "truth", "prediction", "probability")]
        for row in self.rows:
            mark = "" if row.right else "x"
            names = (short(_named(of), _LONGEST_NAME) for of in (row.truth, row.prediction))
            lines.append((mark, *names, f"{row.probability:.3f}"))
        taken = sum(max(map(len, column)) + _GAP for column in zip(*lines, strict=True))
        room = max(console.width - taken, _LONGEST_NAME)
        table = RichTable(*lines[0], "text", box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
        for line, row in zip(lines[1:], self.rows, strict=True):
            table.add_row(*map(Text, (*line, short(row.text, room))))
        console.print(Text(self.headline), soft_wrap=True)
        console.print(table)

    def __repr__(self) -> str:
        return printed(self.show)

    def _repr_html_(self) -> str:
        header = ("text", "truth", "prediction", "probability", "")
        rows = [
            tuple(map(Cell, (row.text, *_names(row), "right" if row.right else "wrong")))
            for row in self.rows
        ]
        return table_html(Table(self.headline, header, rows))


def results_of(predicted: Predicted, n: int = 10, seed: int = 0) -> Results:
    """Return n random rows of predictions, fewer if there are fewer, without repeats.

    Raises a DataError if n is below 1.
    """
    if n < 1:
        raise DataError(f"cannot show {n} rows; ask for 1 or more")
    of, total = predicted.predictions, len(predicted.predictions)
    rows = np.random.default_rng(seed).permutation(total)[:n]
    targets, given = of.targets[rows], of.decisions[rows]
    right = (targets == given).reshape(len(rows), -1).all(axis=1)
    columns: tuple[Sequence[Any], ...] = (
        [of.ids[row] for row in rows],
        ["" if predicted.texts is None else predicted.texts[row] for row in rows],
        of.scheme.decode(targets),
        of.scheme.decode(given),
        probability_of(of.probabilities[rows], given).tolist(),
        right.tolist(),
    )
    found = tuple(Result(*values) for values in zip(*columns, strict=True))
    return Results(predicted.name, predicted.part, found, total)


def _named(labels: Any) -> str:
    return labels if isinstance(labels, str) else ", ".join(labels) or "none"


def _names(row: Result) -> tuple[str, str, str]:
    return _named(row.truth), _named(row.prediction), f"{row.probability:.3f}"
