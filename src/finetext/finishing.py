"""The end of a run: which rung is best, which is the cheapest that will do, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from finetext.data.explore import Lengths
from finetext.environment import describe_environment
from finetext.errors import RunError
from finetext.evaluation.compare import cheapest_not_worse
from finetext.evaluation.leaderboard import comparison_to_json
from finetext.evaluation.metrics import metric_for
from finetext.recipe import Recipe
from finetext.report.report import ReportData, write_report
from finetext.run import Run
from finetext.run_folder import class_counts, write_leaderboard
from finetext.rungs import Rung
from finetext.types import Finding, Splits


@dataclass(frozen=True, eq=False)
class Started:
    """A run whose folder is made and whose rows are frozen.

    Attributes:
        folder: the run folder.
        recipe: as it was written into the folder.
        splits: the frozen rows.
        findings: what reading and checking noticed.
        lengths: how long the texts are.
    """

    folder: Path
    recipe: Recipe
    splits: Splits
    findings: Sequence[Finding]
    lengths: Sequence[Lengths]


def finish(started: Started, rungs: Mapping[str, Rung]) -> Run:
    """Judge the rungs and write the leaderboard, the verdict and the report.

    Args:
        started: the run.
        rungs: at least one, in the order of the ladder.

    Raises:
        RunError: the folder cannot be written.
    """
    folder, recipe, splits = started.folder, started.recipe, started.splits
    metric = metric_for(recipe.metric, splits.scheme)
    best = max(rungs, key=lambda name: metric.goodness(rungs[name].predictions["validation"]))
    on_test = {name: rung.predictions["test"] for name, rung in rungs.items()}
    cost = {name: rung.entry.seconds_to_train for name, rung in rungs.items()}
    cheapest, comparisons = cheapest_not_worse(on_test, cost, best, recipe.metric, recipe.seed)
    entries = [rung.entry for rung in rungs.values()]
    verdict = {
        "best": best,
        "cheapest": cheapest,
        "metric": recipe.metric,
        "comparisons": {name: comparison_to_json(of) for name, of in comparisons.items()},
    }
    data = ReportData(
        title=folder.name,
        description=splits.train.description,
        rows={name: len(part) for name, part in splits.items()},
        class_counts=class_counts(splits),
        lengths=started.lengths,
        findings=started.findings,
        entries=entries,
        predictions=on_test,
        comparisons=comparisons,
        metric=recipe.metric,
        best=best,
        cheapest=cheapest,
        recipe=recipe.to_toml(),
        environment=describe_environment(recipe),
        seed=recipe.seed,
    )
    try:
        write_leaderboard(folder, entries, verdict)
        write_report(data, folder / "report.html")
    except OSError as error:
        raise RunError(f"the run folder {folder} cannot be written: {error}") from None
    return Run.open(folder)


def finish_without(
    started: Started,
    rungs: Mapping[str, Rung],
    failed: str,
    error: BaseException,
) -> str:
    """Keep what was finished before a rung failed or was stopped.

    Returns:
        what happened, and where the rest lies.
    """
    reason = f"failed: {error}" if str(error) else f"was stopped ({type(error).__name__})"
    if not rungs:
        return f"{failed} {reason}"
    names = ", ".join(rungs)
    lost = Finding(
        "error",
        "unfinished",
        f"{failed} {reason}; the leaderboard has only what was finished before: {names}",
    )
    finish(replace(started, findings=[lost, *started.findings]), rungs)
    return f"{failed} {reason}\nwhat was finished before ({names}) lies in {started.folder}"
