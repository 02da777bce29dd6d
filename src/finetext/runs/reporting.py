"""The report of a run, made of nothing but its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import FinetextError, RunError
from finetext.core.types import Finding
from finetext.core.wording import short
from finetext.diagnosis.explore import Lengths
from finetext.report.data import ReportData
from finetext.report.report import write_report
from finetext.runs.diagnosing import kept
from finetext.runs.recipe import ADAPTED
from finetext.runs.run import Run, stored_predictions
from finetext.storage.codec import finding_from_json, from_json
from finetext.storage.resume import read_log

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


def report(run: str | Path, find: Callable[[Finding], None] = lambda finding: None) -> Path:
    """Write the report of a finished run anew, with all that was found out about it since.

    Args:
        run: the run folder.
        find: called with a finding on each file of what was found out that cannot be read; the
            report leaves out what it held, and has the finding, too.

    Returns:
        the page, `report.html` in the run folder.

    Raises:
        RunError: it is not the folder of a finished run, is damaged, or cannot be written.
    """
    opened = Run.open(run)
    data = report_data(opened)
    for finding in data.diagnoses.damaged:
        find(finding)
    try:
        return write_report(data, opened.report)
    except OSError as error:
        raise RunError(f"{opened.report} cannot be written: {error}") from None


def report_data(run: Run) -> ReportData:
    """What the report says.

    Raises:
        RunError: a file of the run is missing or damaged.
    """
    folder, methods = run.folder, [entry.method for entry in run.leaderboard]
    logged = (ADAPTED, *methods, *run.unfinished)
    try:
        data = json.loads((folder / "data.json").read_text("utf-8"))
        environment = json.loads((folder / "environment.json").read_text("utf-8"))
        known = [finding_from_json(of) for of in data["findings"]]
        lengths = [from_json(Lengths, of, "the lengths of the texts") for of in data["lengths"]]
        diagnoses = kept(folder)
        return ReportData(
            description=str(data["description"]),
            rows=dict(data["rows"]),
            class_counts=dict(data["labels_by_split"]),
            recipe=(folder / "recipe.toml").read_text("utf-8"),
            seed=int(environment["seed"]),
            title=folder.resolve().name,
            lengths=lengths,
            findings=[*run.findings, *diagnoses.damaged, *known],
            entries=run.leaderboard,
            predictions={name: stored_predictions(run, name, "test") for name in methods},
            comparisons=run.comparisons,
            paid=run.paid,
            metric=run.metric,
            best=run.best,
            cheapest=run.cheapest,
            environment=environment,
            diagnoses=diagnoses,
            logs={name: read_log(folder / name / "log.jsonl") for name in logged},
        )
    except FinetextError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"the run in {folder} is damaged, or of an earlier version of finetext: {error!r}; its "
            "report.html stays as it is"
        ) from None
