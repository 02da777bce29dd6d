"""Predictions with their true labels, of a run, of a method in it, or from a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from finetext.core.budget import within_memory
from finetext.core.errors import DataError
from finetext.core.paths import expanded
from finetext.core.types import Predicted, SplitName
from finetext.data.predictions import read_predicted_table
from finetext.runs.accesses import record_python_access
from finetext.runs.run import PREDICTIONS, Run, is_run, predicted_of

USUAL_METRIC: Final = "macro_f1"


@within_memory
def open_predicted(
    source: str | Path,
    method: str | None = None,
    part: SplitName = "test",
    positive: str | None = None,
) -> Predicted:
    """Open predictions with their true labels.

    A program that opens test rows of a run is recorded in the run, once.

    Args:
        source: a run folder; a method's folder in it; or a table (CSV, TSV, JSON lines, Parquet)
            as `finetext.data.predictions.read_predicted_table` describes it.
        method: the method of a run; the best one on validation rows by default.
        part: "validation" or "test"; of a table without a column `split` all rows are taken.
        positive: the positive class; by default that of the run or table.

    Raises:
        DataError: nothing has that name, there are no such rows, or a table is invalid; or there
            is no such class of two.
        RunError: the folder is not that of a finished run or of a method in it.
        UnknownNameError: the run has no such method.
    """
    predicted = predicted_in(source, method, part, positive)
    if predicted.run is not None and part == "test":
        record_python_access(predicted.run)
    return predicted


def predicted_in(
    source: str | Path,
    method: str | None = None,
    part: SplitName = "test",
    positive: str | None = None,
) -> Predicted:
    """Return the same as `open_predicted`, for finetext itself: nothing is recorded."""
    path = expanded(source)
    if not path.exists():
        raise DataError(f"there is no run folder or file of predictions {str(source)!r}")
    folder = path.parent if path.name == PREDICTIONS else path
    if folder.is_dir() and is_run(folder.resolve().parent) and not is_run(folder):
        name = folder.resolve().name
        if method not in (None, name):
            raise DataError(f"{folder} is the method {name!r}: leave out the method {method!r}")
        path, method = folder.parent if folder.name == name else folder.resolve().parent, name
    if not path.is_dir():
        if method is not None:
            raise DataError(f"{source} is a table, not a run: leave out the method {method}")
        table = read_predicted_table(path, part)
        known = (table.predictions.with_positive(positive), table.texts, USUAL_METRIC)
        return Predicted(path.name, *known, findings=table.findings, part=table.part)
    run = Run.open(path)
    found = predicted_of(run, method or run.best, part)
    return replace(found, predictions=found.predictions.with_positive(positive))


def of_shared_rows(sets: Mapping[str, Predicted]) -> dict[str, Predicted]:
    """Return methods of one run on the rows that all have; anything else as it is.

    A method that asks an endpoint has a sample of the rows where its budget ended.
    """
    if None in (runs := {of.run for of in sets.values()}) or len(runs) > 1:
        return dict(sets)
    shared = set.intersection(*(set(of.predictions.ids) for of in sets.values()))
    found = {}
    for name, of in sets.items():
        rows = [row for row, row_id in enumerate(of.predictions.ids) if row_id in shared]
        texts = None if of.texts is None else tuple(of.texts[row] for row in rows)
        is_whole = len(rows) == len(of.predictions)
        chosen = of.predictions if is_whole else of.predictions.select(rows)
        found[name] = replace(of, predictions=chosen, texts=texts)
    return found
