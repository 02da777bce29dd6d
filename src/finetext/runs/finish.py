"""The end of a run: which rung is best, which is the cheapest that will do, and the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from finetext.core.contracts import FitContext
from finetext.core.errors import FinetextError, MissingExtraError, RunError
from finetext.core.types import Finding, Predicted, Splits
from finetext.evaluation.compare import cheapest_not_worse
from finetext.evaluation.leaderboard import over_seeds
from finetext.evaluation.metrics import Metric, metric_for
from finetext.report.report import write_report
from finetext.runs.adapting import found_adapting, is_adapting
from finetext.runs.baselines import seconds_before, what_paid
from finetext.runs.diagnosing import diagnose
from finetext.runs.fit_methods import Rung
from finetext.runs.folder import write_leaderboard
from finetext.runs.recipe import ADAPTED, Recipe
from finetext.runs.recording import record_rungs
from finetext.runs.reporting import report_data
from finetext.runs.run import Run, resume_command

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
    """

    folder: Path
    recipe: Recipe
    splits: Splits


def finish(
    started: Started,
    rungs: Mapping[str, Rung],
    unfinished: Sequence[Finding] = (),
    with_report: bool = True,
    context: FitContext | None = None,
) -> Run:
    """Judge the rungs and write their model cards, the report, the leaderboard and the verdict.

    Args:
        started: the run.
        rungs: at least one, in the order of the ladder.
        unfinished: why rungs of the recipe are missing; nothing if they are not.
        with_report: False leaves the report out, which takes seconds, and removes an older one.
        context: seed and listeners to diagnose the run with; without, nothing is found out anew.

    Raises:
        RunError: the folder cannot be written.
    """
    folder, judged = started.folder, _judged(started, rungs, unfinished)
    if context is not None and "tfidf" in rungs:
        best = _best(started, rungs, judged.best)
        diagnose(folder, started.splits, best, rungs["tfidf"], context)
    try:
        record_rungs(folder, started.recipe, rungs, judged.findings)
        if with_report:
            data = report_data(judged)
            if context is not None:
                for finding in data.diagnoses.damaged:
                    context.find(finding)
            write_report(data, judged.report)
        else:
            judged.report.unlink(missing_ok=True)
        write_leaderboard(folder, judged.leaderboard, judged.verdict())
    except OSError as error:
        raise RunError(f"the run folder {folder} cannot be written: {error}") from None
    return judged


def _judged(started: Started, rungs: Mapping[str, Rung], unfinished: Sequence[Finding]) -> Run:
    """The best on validation, and what test rows say of the others.

    What adapting or pretraining an encoder took is a cost of the rungs that use it.
    """
    recipe, folder = started.recipe, started.folder
    metric = metric_for(recipe.metric, started.splits.scheme)
    best = max(rungs, key=lambda name: _goodness(rungs[name], metric))
    on_test = {name: rung.predictions["test"] for name, rung in rungs.items()}
    before = seconds_before(recipe, folder / ADAPTED)
    cost = {name: before[name] + rung.entry.seconds_to_train for name, rung in rungs.items()}
    cheapest, comparisons = cheapest_not_worse(on_test, cost, best, recipe.metric, recipe.seed)
    noticed = [*unfinished, *found_adapting(folder, recipe)]
    noticed += [finding for rung in rungs.values() for finding in rung.findings]
    return Run(
        folder,
        tuple(rung.entry for rung in rungs.values()),
        best,
        cheapest,
        recipe.metric,
        comparisons,
        unfinished=_unfinished(recipe, rungs),
        findings=tuple(noticed),
        paid=tuple(what_paid(recipe, rungs, before)),
    )


def _unfinished(recipe: Recipe, rungs: Mapping[str, Rung]) -> tuple[str, ...]:
    """The rungs that are missing, or lack the scores of further seeds."""
    seeds = 0 if recipe.seeds == 1 else recipe.seeds
    return tuple(
        name
        for name in recipe.methods
        if name not in rungs or len(rungs[name].entry.seeds) != seeds
    )


def _goodness(rung: Rung, metric: Metric) -> float:
    """How good a rung is on validation rows, on average over its seeds; higher is better."""
    over = over_seeds(rung.entry, metric.name, "validation")
    if over is None or math.isnan(over[0]):
        return metric.goodness(rung.predictions["validation"])
    return over[0] if metric.higher_is_better else -over[0]


def _best(started: Started, rungs: Mapping[str, Rung], best: str) -> Predicted:
    """What the best rung said of the validation rows."""
    return Predicted(
        name=f"{started.folder.name}/{best}",
        predictions=rungs[best].predictions["validation"],
        texts=tuple(started.splits.validation.texts),
        metric=started.recipe.metric,
        run=started.folder,
        method=best,
        part="validation",
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
    if rungs and _unfinished(started.recipe, rungs):
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
    """What a run was about when it ended early: adapting, a rung or its seeds, or the end."""
    if not rungs and is_adapting(started.folder, started.recipe):
        return "the adaptation"
    for name in started.recipe.methods:
        if name not in rungs:
            return name
    return "a further seed" if _unfinished(started.recipe, rungs) else "the report"


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
