"""Predictions beside truths, to get a feeling for what a rung does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetext.report.figures import short
from finetext.run import Run

if TYPE_CHECKING:
    from rich.console import Console


def results_rows(run: Run, method: str | None, count: int) -> list[dict[str, Any]]:
    """The first test rows of a run with text, truth, prediction and its probability.

    Raises:
        UnknownNameError: the run has no such rung.
    """
    predictions = run.predictions(method)
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


def show_results(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the rows as a table; what is wrong is marked."""
    from rich.table import Table

    table = Table("", "truth", "prediction", "probability", "text", box=None, pad_edge=False)
    for row in rows:
        mark = "" if row["truth"] == row["prediction"] else "x"
        table.add_row(
            mark, _name(row["truth"]), _name(row["prediction"]), f"{row['probability']:.3f}",
            short(" ".join(row["text"].split()), 60),
        )  # fmt: skip
    console.print(table, markup=False)


def _name(label: Any) -> str:
    return label if isinstance(label, str) else ", ".join(label) or "none"
