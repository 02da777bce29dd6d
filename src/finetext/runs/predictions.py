"""Predictions from wherever they are: a run, a rung of it, or a table made elsewhere.

`open_predicted` is for users, and counts that test rows of a run are opened. What finetext itself
reads comes from `predicted_in`, which does not: each command counts once for all that it reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from finetext.core.errors import DataError
from finetext.core.types import Dataset, Predicted, SplitName
from finetext.data.predictions import read_predicted_table
from finetext.runs.run import Run, is_run, opened_in_python, stored_predictions


def part_of_run(run: Run, method: str | None = None, part: SplitName = "validation") -> Dataset:
    """Texts and true labels of the validation or test rows of a run, as a data set.

    Raises:
        UnknownNameError: the run has no such rung.
        RunError: the file of predictions is missing or damaged.
    """
    import datasets

    predictions = run.predictions(method, part)
    columns = {
        "id": list(predictions.ids),
        "text": run.texts(method, part),
        "label": predictions.scheme.decode(predictions.targets),
    }
    return Dataset(datasets.Dataset.from_dict(columns), predictions.scheme)


USUAL_METRIC: Final = "macro_f1"
_PREDICTIONS: Final = "predictions.parquet"


def open_predicted(
    source: str | Path, method: str | None = None, part: SplitName = "test"
) -> Predicted:
    """Open predictions with their true labels.

    A program that opens test rows of a run is counted in the run, once.

    Args:
        source: a run folder; a rung's folder in it; or a table (CSV, TSV, JSON lines, Parquet) as
            `finetext.data.predictions.read_predicted_table` describes it.
        method: which rung of a run; the best one on validation rows by default.
        part: "validation" or "test"; of a table without a column `split` all rows are taken.

    Raises:
        DataError: there is nothing of that name, there are no such rows, or a table is not as it
            should be.
        RunError: it is a folder, but not that of a finished run or a rung of one.
        UnknownNameError: the run has no such rung.
    """
    predicted = predicted_in(source, method, part)
    if predicted.run is not None and part == "test":
        opened_in_python(predicted.run)
    return predicted


def predicted_in(
    source: str | Path, method: str | None = None, part: SplitName = "test"
) -> Predicted:
    """The same as `open_predicted`, but nothing is counted."""
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(f"there is no run folder or file of predictions {str(source)!r}")
    folder = path.parent if path.name == _PREDICTIONS else path
    if folder.is_dir() and is_run(folder.resolve().parent) and not is_run(folder):
        return _of_rung(folder, method, part)
    if path.is_dir():
        return _of_run(path, method, part)
    if method is not None:
        raise DataError(f"{source} is a table, not a run with rungs: leave out the method {method}")
    table = read_predicted_table(path, part)
    return Predicted(path.name, table.predictions, table.texts, USUAL_METRIC,
                     findings=table.findings, part=table.part)  # fmt: skip


def _of_rung(folder: Path, method: str | None, part: SplitName) -> Predicted:
    """A rung that is named by its own folder."""
    rung = folder.resolve().name
    if method not in (None, rung):
        raise DataError(f"{folder} is the rung {rung!r}: leave out the method {method!r}")
    above = folder.parent if folder.name == rung else folder.resolve().parent
    return _of_run(above, rung, part)


def _of_run(folder: Path, method: str | None, part: SplitName) -> Predicted:
    run = Run.open(folder)
    rung = method or run.best
    predictions = stored_predictions(run, rung, part)
    if not len(predictions):
        raise DataError(
            f"{folder} has no predictions of {part} rows; a run keeps those of validation and test"
        )
    return Predicted(
        name=f"{folder.resolve().name}/{rung}",
        predictions=predictions,
        texts=tuple(run.texts(rung, part)),
        metric=run.metric,
        run=folder,
        method=rung,
        part=part,
    )
