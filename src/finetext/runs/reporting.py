"""The report of a run, made of nothing but its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from finetext.data.explore import lengths_from_json
from finetext.errors import FinetextError, RunError
from finetext.recipe import ADAPTED
from finetext.report.report import ReportData, write_report
from finetext.runs.diagnosing import kept
from finetext.runs.folder import finding_from_json
from finetext.runs.run import Run, read_log, stored_predictions
from finetext.types import Finding


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
        lengths = [lengths_from_json(of) for of in data["lengths"]]
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
