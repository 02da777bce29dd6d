"""The end of a run: which rung is best, which is the cheapest that will do, and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from finetext.data.explore import Lengths
from finetext.environment import describe_environment
from finetext.errors import FinetextError, MissingExtraError, RunError
from finetext.evaluation.compare import cheapest_not_worse
from finetext.evaluation.leaderboard import comparison_to_json
from finetext.evaluation.metrics import metric_for
from finetext.recipe import Recipe
from finetext.report.report import ReportData, write_report
from finetext.runs.run import Run, read_log, resume_command
from finetext.runs.folder import class_counts, finding_to_json, write_leaderboard
from finetext.runs.rungs import Rung
from finetext.types import Finding, Splits

FAILED: Final = "failed"
"""Code of the finding that a rung failed, and would fail again with the same settings."""
STOPPED: Final = "unfinished"
"""Code of the finding that rungs are missing, which can be gone on with."""


@dataclass(frozen=True, eq=False)
class Started:
    """A run whose folder is made and whose rows are frozen.

    Attributes:
        folder: the run folder.
        recipe: as it was written into the folder.
        splits: the frozen rows.
        findings: what reading and checking noticed.
        lengths: how long the texts are.
        description: one line on the data.
    """

    folder: Path
    recipe: Recipe
    splits: Splits
    findings: Sequence[Finding]
    lengths: Sequence[Lengths]
    description: str


def finish(
    started: Started,
    rungs: Mapping[str, Rung],
    unfinished: Sequence[Finding] = (),
    with_report: bool = True,
) -> Run:
    """Judge the rungs and write the report, the leaderboard and the verdict.

    Args:
        started: the run.
        rungs: at least one, in the order of the ladder.
        unfinished: why rungs of the recipe are missing; nothing if they are not.
        with_report: False leaves the report out, which takes seconds, and removes an older one.

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
    noticed = [*unfinished, *(finding for rung in rungs.values() for finding in rung.findings)]
    verdict = {
        "best": best,
        "cheapest": cheapest,
        "metric": recipe.metric,
        "comparisons": {name: comparison_to_json(of) for name, of in comparisons.items()},
        "unfinished": [name for name in recipe.methods if name not in rungs],
        "findings": list(map(finding_to_json, noticed)),
    }
    data = ReportData(
        title=folder.name,
        description=started.description,
        rows={name: len(part) for name, part in splits.items()},
        class_counts=class_counts(splits),
        lengths=started.lengths,
        findings=[*noticed, *started.findings],
        entries=entries,
        predictions=on_test,
        comparisons=comparisons,
        metric=recipe.metric,
        best=best,
        cheapest=cheapest,
        recipe=recipe.to_toml(),
        environment=describe_environment(recipe),
        seed=recipe.seed,
        logs={name: read_log(folder / name / "log.jsonl") for name in recipe.methods},
    )
    try:
        if with_report:
            write_report(data, folder / "report.html")
        else:
            (folder / "report.html").unlink(missing_ok=True)
        write_leaderboard(folder, entries, verdict)
    except OSError as error:
        raise RunError(f"the run folder {folder} cannot be written: {error}") from None
    return Run.open(folder)


def finish_without(
    started: Started,
    rungs: Mapping[str, Rung],
    error: BaseException,
    say: Callable[[str], None] = lambda line: None,
) -> str:
    """Keep what was finished before a run failed or was stopped.

    Args:
        started: the run.
        rungs: those that were finished.
        error: what ended it; after `KeyboardInterrupt` no time is spent on a report.
        say: called with a line on what takes a moment.

    Returns:
        what happened, where the rest lies, and how to go on.
    """
    is_stopped, is_final = isinstance(error, KeyboardInterrupt), _would_fail_again(error)
    happened = f"{_at(started, rungs)} {_reason(started, error)}"
    lines = [happened]
    names = ", ".join(rungs)
    if rungs and len(rungs) < len(started.recipe.methods):
        lost = Finding(
            "error",
            FAILED if is_final else STOPPED,
            f"{happened}; the leaderboard has only what was finished before: {names}",
        )
        with suppress(FinetextError, KeyboardInterrupt):
            if is_stopped:
                say("stopping; what is finished is written (Ctrl-C again to leave that out)")
            finish(started, rungs, [lost], with_report=not is_stopped)
            lines.append(f"what was finished before ({names}) lies in {started.folder}")
    if is_final:
        lines.append("the same settings would fail again: start a new run in another folder")
    else:
        lines.append(f"to go on: {resume_command(started.folder)}")
    return "\n".join(lines)


def _at(started: Started, rungs: Mapping[str, Rung]) -> str:
    """What a run was about when it ended early: its next rung, or the end."""
    return next((name for name in started.recipe.methods if name not in rungs), "the report")


def _reason(started: Started, error: BaseException) -> str:
    """What ended a run, without the name of the method, which stands before it."""
    if isinstance(error, KeyboardInterrupt):
        return "was stopped"
    message = str(error) or type(error).__name__
    for method in started.recipe.methods.values():
        message = message.removeprefix(f"{method.name}: ")
    return f"failed: {message}"


def _would_fail_again(error: BaseException | None) -> bool:
    """Whether data and settings are at fault, rather than the disk, the network or a package."""
    from safetensors import SafetensorError

    if not isinstance(error, FinetextError) or isinstance(error, MissingExtraError):
        return False
    while error is not None and not isinstance(error, OSError | SafetensorError):
        error = error.__cause__ or error.__context__
    return error is None
