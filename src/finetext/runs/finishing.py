"""The end of a run: which rung is best, which is the cheapest that will do, and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetext.data.explore import Lengths
from finetext.environment import describe_environment
from finetext.errors import FinetextError, MissingExtraError, RunError
from finetext.evaluation.compare import Comparison, cheapest_not_worse
from finetext.evaluation.leaderboard import comparison_to_json
from finetext.evaluation.metrics import metric_for
from finetext.evaluation.paying import Paid
from finetext.recipe import ADAPTED, Recipe
from finetext.report.report import ReportData, write_report
from finetext.runs.adapting import found_adapting, is_adapting
from finetext.runs.folder import class_counts, finding_to_json, write_leaderboard
from finetext.runs.run import Run, read_log, resume_command
from finetext.runs.rungs import Rung
from finetext.runs.twins import seconds_before, what_paid
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
    folder, judged = started.folder, _judged(started, rungs, unfinished)
    try:
        if with_report:
            write_report(_report(started, rungs, judged), folder / "report.html")
        else:
            (folder / "report.html").unlink(missing_ok=True)
        entries = [rung.entry for rung in rungs.values()]
        write_leaderboard(folder, entries, judged.verdict(started.recipe, rungs))
    except OSError as error:
        raise RunError(f"the run folder {folder} cannot be written: {error}") from None
    return Run.open(folder)


@dataclass(frozen=True, eq=False)
class _Judged:
    """What is to be said of the rungs; see `Run`."""

    best: str
    cheapest: str
    comparisons: Mapping[str, Comparison]
    paid: Sequence[Paid]
    noticed: Sequence[Finding]

    def verdict(self, recipe: Recipe, rungs: Mapping[str, Rung]) -> dict[str, Any]:
        """What `verdict.json` says."""
        compared = self.comparisons.items()
        return {
            "best": self.best,
            "cheapest": self.cheapest,
            "metric": recipe.metric,
            "comparisons": {name: comparison_to_json(of) for name, of in compared},
            "paid": [pair.to_json() for pair in self.paid],
            "unfinished": [name for name in recipe.methods if name not in rungs],
            "findings": list(map(finding_to_json, self.noticed)),
        }


def _judged(started: Started, rungs: Mapping[str, Rung], unfinished: Sequence[Finding]) -> _Judged:
    """The best on validation, and what test rows say of the others.

    What adapting or pretraining an encoder took is a cost of the rungs that use it.
    """
    recipe = started.recipe
    metric = metric_for(recipe.metric, started.splits.scheme)
    best = max(rungs, key=lambda name: metric.goodness(rungs[name].predictions["validation"]))
    on_test = {name: rung.predictions["test"] for name, rung in rungs.items()}
    before = seconds_before(recipe, started.folder / ADAPTED)
    cost = {name: before[name] + rung.entry.seconds_to_train for name, rung in rungs.items()}
    cheapest, comparisons = cheapest_not_worse(on_test, cost, best, recipe.metric, recipe.seed)
    paid = what_paid(recipe, rungs, before)
    noticed = [*unfinished, *found_adapting(started.folder, recipe)]
    noticed += [finding for rung in rungs.values() for finding in rung.findings]
    return _Judged(best, cheapest, comparisons, paid, noticed)


def _report(started: Started, rungs: Mapping[str, Rung], judged: _Judged) -> ReportData:
    """What the report says."""
    folder, recipe, splits = started.folder, started.recipe, started.splits
    return ReportData(
        title=folder.name,
        description=started.description,
        rows={name: len(part) for name, part in splits.items()},
        class_counts=class_counts(splits),
        lengths=started.lengths,
        findings=[*judged.noticed, *started.findings],
        entries=[rung.entry for rung in rungs.values()],
        predictions={name: rung.predictions["test"] for name, rung in rungs.items()},
        comparisons=judged.comparisons,
        paid=judged.paid,
        metric=recipe.metric,
        best=judged.best,
        cheapest=judged.cheapest,
        recipe=recipe.to_toml(),
        environment=describe_environment(recipe),
        seed=recipe.seed,
        logs={name: read_log(folder / name / "log.jsonl") for name in (ADAPTED, *recipe.methods)},
    )


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
    """What a run was about when it ended early: adapting, its next rung, or the end."""
    if not rungs and is_adapting(started.folder, started.recipe):
        return "the adaptation"
    return next((name for name in started.recipe.methods if name not in rungs), "the report")


def _reason(started: Started, error: BaseException) -> str:
    """What ended a run, without the name of the method, which stands before it."""
    if isinstance(error, KeyboardInterrupt):
        return "was stopped"
    message = str(error) or type(error).__name__
    for name in ("adapt", *(method.name for method in started.recipe.methods.values())):
        message = message.removeprefix(f"{name}: ")
    return f"failed: {message}"


def _would_fail_again(error: BaseException | None) -> bool:
    """Whether data and settings are at fault, rather than the disk, the network or a package."""
    from safetensors import SafetensorError

    if not isinstance(error, FinetextError) or isinstance(error, MissingExtraError):
        return False
    while error is not None and not isinstance(error, OSError | SafetensorError):
        error = error.__cause__ or error.__context__
    return error is None
