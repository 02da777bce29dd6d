"""`finetext compare`: which of several sets of predictions is better, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetext import options
from finetext.commands.opened import part_of
from finetext.console import Screen
from finetext.errors import DataError, RecipeError, UnknownNameError

if TYPE_CHECKING:
    from finetext.runs.predicted import Predicted
    from finetext.types import SplitName


def compare(
    sources: options.Compared,
    metric: options.ComparedMetric = None,
    method: options.ComparedMethod = None,
    part: options.Part = "test",
    against: options.Against = None,
    out: options.TableOut = None,
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Compare the rungs of a run, or runs and tables of predictions."""
    from finetext.data.write import check_new, write_table
    from finetext.evaluation.several import compare_all
    from finetext.report.comparisons import comparison_lines, comparison_table

    rows = part_of(part)
    if out is not None:
        check_new(out)
    screen = Screen(quiet or as_json)
    sets = _opened(sources, method, rows)
    for of in sets.values():
        for finding in of.findings:
            screen.finding(finding)
    found = compare_all(
        {name: of.predictions for name, of in sets.items()},
        metric or _usual_metric(list(sets.values())),
        None if against is None else _meant(against, sources, sets),
        seed or 0,
    )
    told = next((of.part for of in sets.values() if of.part is not None), None)
    times = _counted(sets, screen) if rows == "test" else {}
    if out is not None:
        write_table(out, comparison_table(found))
    if as_json:
        screen.json(found.to_json() | {"part": told, "openings": times, "out": out and str(out)})
        return
    print("\n".join(comparison_lines(found, told)))
    if out is not None:
        screen.say(f"table: {out}")


def _opened(sources: list[str], method: str | None, part: SplitName) -> dict[str, Predicted]:
    """Name to predictions: all rungs of the only run, or one set of each source.

    Raises:
        DataError: there is nothing to compare.
    """
    from finetext.runs.predicted import predicted_in
    from finetext.runs.run import is_run

    folders = [is_run(Path(source).expanduser()) for source in sources]
    if len(sources) == 1:
        rungs = _rungs(Path(sources[0]).expanduser(), method) if folders[0] else []
        if not rungs:
            raise DataError(
                f"{sources[0]} alone is nothing to compare: give two sets of predictions or more, "
                "or a run folder to compare its rungs"
            )
        return {rung: predicted_in(sources[0], rung, part) for rung in rungs}
    found = [
        predicted_in(source, method if is_run else None, part)
        for source, is_run in zip(sources, folders, strict=True)
    ]
    names = [of.name for of in found]
    if len(set(names)) < len(names):
        names = [_longer(source, of) for source, of in zip(sources, found, strict=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{twice} is given twice; name each set of predictions once")
    return dict(zip(names, found, strict=True))


def _rungs(folder: Path, method: str | None) -> list[str]:
    """The rungs of the only run.

    Raises:
        RecipeError: one of them was chosen, which leaves nothing to compare it with.
        UnknownNameError: another one was.
    """
    from finetext.runs.run import Run

    rungs = [entry.method for entry in Run.open(folder).leaderboard]
    if method is None:
        return rungs
    if method not in rungs:
        raise UnknownNameError("rung in this run", method, rungs)
    raise RecipeError(
        f"{method} of {folder} alone is nothing to compare: leave --method out to compare "
        f"{', '.join(rungs)}, or name another run or table"
    )


def _longer(source: str, of: Predicted) -> str:
    """A name that tells sets apart whose folders or files are called alike."""
    return source if of.run is None else f"{of.run}/{of.method}"


def _usual_metric(sets: list[Predicted]) -> str:
    """The metric of the runs, or macro F1 if there are none, or they have several."""
    from finetext.runs.predicted import USUAL_METRIC

    metrics = {of.metric for of in sets if of.run is not None}
    return metrics.pop() if len(metrics) == 1 else USUAL_METRIC


def _meant(against: str, sources: list[str], sets: dict[str, Predicted]) -> str:
    """The name of the set that `--against` means: its name, its source, or its rung."""
    if against in sets:
        return against
    if len(sources) == len(sets) and against in sources:
        return list(sets)[sources.index(against)]
    rungs = [name for name, of in sets.items() if of.method == against]
    return rungs[0] if len(rungs) == 1 else against


def _counted(sets: dict[str, Predicted], screen: Screen) -> dict[str, Any]:
    """Run folder to how often its test rows have been opened, this time included."""
    from finetext.runs.openings import opened, opened_in_words

    times: dict[str, Any] = {}
    runs = {of.run.resolve(): of.run for of in sets.values() if of.run is not None}
    for run in runs.values():
        times[str(run)] = opened(run, "finetext compare")
        screen.say(opened_in_words(run, times[str(run)]))
    return times
