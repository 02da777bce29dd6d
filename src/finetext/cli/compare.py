"""`finetext compare` and `precision-recall`: several sets of predictions of the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from finetext.cli import options
from finetext.cli.options import Output, PictureOut, TableOut, argument, option
from finetext.core.errors import DataError, RecipeError, UnknownNameError
from finetext.core.paths import expanded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finetext.core.console import Screen
    from finetext.core.types import Predicted, SplitName
    from finetext.evaluation.fold_scores import FoldPredictions


def compare(
    sources: Annotated[
        list[str], argument("SOURCE", "Runs, RUN/METHOD, tables of predictions; or one run.")
    ],
    metric: Annotated[str | None, option("NAME", "Metric; by default that of the runs.")] = None,
    method: Annotated[str | None, option("NAME", "Method of each run; best by default.")] = None,
    part: Annotated[
        str, option("NAME", "Which rows: test (the default) or validation.", "--split", "--part")
    ] = "test",
    against: Annotated[str | None, option("NAME", "Compare all others with this one only.")] = None,
    seed: options.Seed = None,
    positive: options.Positive = None,
    *,
    table: TableOut,
    output: Output,
) -> None:
    """Compare methods, runs or tables of predictions."""
    from finetext.cli.arguments import split_name
    from finetext.evaluation.several import compare_all, compare_folds
    from finetext.report.leaderboard import comparison_lines, comparison_table
    from finetext.runs.predicted import USUAL_METRIC

    rows, out = split_name(part), table.out
    table.check(*sources)
    screen = output.screen()
    _refuse_one(sources, method)
    sets = _predictions(sources, method, rows)
    for of in sets.values():
        screen.findings(of.findings)
    sets = _of_shared_rows(sets, screen)
    metrics = {of.metric for of in sets.values() if of.run is not None}
    by = metric or (metrics.pop() if len(metrics) == 1 else USUAL_METRIC)
    other = None if against is None else _named(against, sources, sets)
    if (folds := _on_same_folds(sets, positive)) is not None:
        found = compare_folds(folds, by, other)
    else:
        given = {name: of.predictions for name, of in sets.items()}
        found = compare_all(given, by, other, seed or 0, positive=positive)
    shown = next((of.part for of in sets.values() if of.part is not None), None)
    accesses = _accesses(sets, rows, "finetext compare", screen)
    table.write(comparison_table(found), screen)
    told = {"part": shown, "openings": accesses, "out": out and str(out)}
    output.show(found.to_json() | told, comparison_lines(found, shown), table=out)


def precision_recall(
    sources: Annotated[
        list[str], argument("SOURCE", "A run, RUN/METHOD, or tables of predictions.")
    ],
    method: options.OneMethod = None,
    part: options.Part = "validation",
    positive: options.Positive = None,
    *,
    chosen: PictureOut,
    output: Output,
) -> None:
    """Show precision-recall and ROC curves of two classes."""
    from finetext.cli.arguments import split_name
    from finetext.report.positive import PositiveCurves
    from finetext.runs.run import Run

    rows = split_name(part)
    chosen.check(*sources)
    screen = output.screen()
    sets = _predictions(sources, method, rows)
    for of in sets.values():
        screen.findings(of.findings)
    shown = next((of.part for of in sets.values() if of.part is not None), None)
    best = Run.open(expanded(sources[0])).best if len(sets) > len(sources) else None
    ranked = sorted(sets, key=lambda name: name != best)
    given = {name: sets[name].predictions for name in ranked}
    found = PositiveCurves.of(given, shown, positive)
    accesses = _accesses(sets, rows, "finetext precision-recall", screen)
    chosen.save(found, screen)
    told = {"openings": accesses, "out": chosen.out and str(chosen.out)}
    output.show(found.to_json() | told, found.lines(), **chosen.written)


def _refuse_one(sources: list[str], method: str | None) -> None:
    """Refuse a single set of predictions, which cannot be compared."""
    from finetext.runs.run import Run, is_run

    if len(sources) > 1:
        return
    path = expanded(sources[0])
    if not is_run(path):
        raise DataError(
            f"{path} alone is nothing to compare: give two sets of predictions or more, or a run "
            "folder to compare its methods"
        )
    methods = [entry.method for entry in Run.open(path).leaderboard]
    if method in methods:
        raise RecipeError(
            f"{method} of {path} alone is nothing to compare: leave --method out to compare "
            f"{', '.join(methods)}, or name another run or table"
        )
    if method is not None:
        raise UnknownNameError("method in this run", method, methods)


def _predictions(sources: list[str], method: str | None, part: SplitName) -> dict[str, Predicted]:
    """Return name to predictions: all methods of the only run, or one set of each source."""
    from finetext.runs.predicted import predicted_in
    from finetext.runs.run import Run, is_run

    paths = [expanded(source) for source in sources]
    runs = list(map(is_run, paths))
    if len(sources) == 1 and runs[0] and method is None:
        run = Run.open(paths[0])
        return {of.method: predicted_in(sources[0], of.method, part) for of in run.leaderboard}
    found = [
        predicted_in(source, method if of_run else None, part)
        for source, of_run in zip(sources, runs, strict=True)
    ]
    names = [of.name for of in found]
    if len(set(names)) < len(names):  # folders or files of the same name
        names = [
            source if of.run is None else f"{of.run}/{of.method}"
            for source, of in zip(sources, found, strict=True)
        ]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{twice[0]} is given twice; name each set of predictions once")
    return dict(zip(names, found, strict=True))


def _of_shared_rows(sets: dict[str, Predicted], screen: Screen) -> dict[str, Predicted]:
    """Return methods of one run on the rows of the one that has a sample of them; say so."""
    from finetext.runs.predicted import of_shared_rows

    shared = of_shared_rows(sets)
    sizes = {name: len(of.predictions) for name, of in sets.items()}
    rows = len(next(iter(shared.values())).predictions)
    if fewer := [name for name, size in sizes.items() if size < max(sizes.values())]:
        screen.say(
            f"{', '.join(fewer)}: a sample of the rows was predicted; compared on the {rows:,} "
            "rows of all"
        )
    return shared


def _on_same_folds(
    sets: Mapping[str, Predicted], positive: str | None
) -> dict[str, FoldPredictions] | None:
    """Return all folds of cross-validated methods on the same folds; None for anything else."""
    from finetext.runs.predictions import folds_of

    found = {name: folds_of(of) for name, of in sets.items()}
    known = {name: of for name, of in found.items() if of is not None}
    first = next(iter(known.values()), None)
    if first is None or len(known) < len(sets):
        return None
    if not all(first.same_folds(of) for of in known.values()):
        return None
    label = first.scheme.positive if positive is None else positive
    return {name: of.with_positive(label) for name, of in known.items()}


def _named(against: str, sources: list[str], sets: dict[str, Predicted]) -> str:
    """Return the name of the set that `--against` gives by its name, its source or its method."""
    if against in sets:
        return against
    if len(sources) == len(sets) and against in sources:
        return list(sets)[sources.index(against)]
    methods = [name for name, of in sets.items() if of.method == against]
    return methods[0] if len(methods) == 1 else against


def _accesses(
    sets: Mapping[str, Predicted], rows: SplitName, command: str, screen: Screen
) -> dict[str, int | None]:
    """Count an access to the test rows of each run; return the count of each."""
    from finetext.cli.arguments import count_access

    runs = {of.run.resolve(): of.run for of in sets.values() if of.run is not None}
    if rows != "test":
        return {}
    return {str(run): count_access(run, rows, command, screen) for run in runs.values()}
