"""Predictions beside truths, to get a feeling for what a rung does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from finetext.report.figures import short
from finetext.runs.run import Run, stored_predictions

if TYPE_CHECKING:
    from rich.console import Console

_LONGEST_NAME: Final = 30
_GAP: Final = 2


def results_rows(run: Run, method: str | None, count: int) -> list[dict[str, Any]]:
    """The first test rows of a run with text, truth, prediction and its probability.

    Raises:
        UnknownNameError: the run has no such rung.
    """
    predictions = stored_predictions(run, method, "test")
    texts = run.texts(method)[:count]
    truths = predictions.scheme.decode(predictions.targets[:count])
    given = predictions.scheme.decode(predictions.decisions[:count])
    return [
        {
            "id": predictions.ids[row],
            "text": text,
            "truth": truths[row],
            "prediction": given[row],
            "probability": float(predictions.probabilities[row].max()),
        }
        for row, text in enumerate(texts)
    ]


def show_results(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the rows as a table, one line each; what is wrong is marked."""
    from rich.table import Table
    from rich.text import Text

    lines: list[tuple[str, ...]] = [("", "truth", "prediction", "probability")]
    for row in rows:
        mark = "" if row["truth"] == row["prediction"] else "x"
        names = (short(_name(row[key]), _LONGEST_NAME) for key in ("truth", "prediction"))
        lines.append((mark, *names, f"{row['probability']:.3f}"))
    taken = sum(max(map(len, column)) + _GAP for column in zip(*lines, strict=True))
    room = max(console.width - taken, _LONGEST_NAME)
    table = Table(*lines[0], "text", box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for line, row in zip(lines[1:], rows, strict=True):
        table.add_row(*map(Text, (*line, short(row["text"], room))))
    console.print(table)


def _name(label: Any) -> str:
    return label if isinstance(label, str) else ", ".join(label) or "none"
