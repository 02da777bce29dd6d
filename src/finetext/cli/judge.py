"""`finetext compare`: which of several sets of predictions is better, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from finetext.cli import arguments, options
from finetext.cli.opened import count_opening, keep_for_report, open_rows, part_of
from finetext.core.console import Screen
from finetext.core.errors import DataError, RecipeError, UnknownNameError
from finetext.evaluation.deciding import Deciding, choose_decision
from finetext.report.trust import decided_json, decided_lines, threshold_lines

if TYPE_CHECKING:
    from finetext.core.types import Predicted, SplitName


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
    from finetext.runs.run import is_run, predicted_in

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
    from finetext.runs.run import USUAL_METRIC

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
    """Run folder to the number of accesses to its test set, this one included."""
    from finetext.runs.run import accesses_in_words, record_access

    times: dict[str, Any] = {}
    runs = {of.run.resolve(): of.run for of in sets.values() if of.run is not None}
    for run in runs.values():
        times[str(run)] = record_access(run, "finetext compare")
        screen.say(accesses_in_words(run, times[str(run)]))
    return times


def errors(
    source: options.Judged,
    method: options.OneMethod = None,
    part: options.JudgedPart = "validation",
    count: options.ErrorCount = 20,
    out: options.ListOut = None,
    page: options.ErrorsPage = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show the highest and lowest losses, and what is taken for what."""
    from finetext.data.write import check_new, write_table
    from finetext.diagnosis.losses import find_errors, ranked
    from finetext.report.errors import errors_lines, with_joined_labels, write_errors_page

    chosen = part_of(part)
    if out is not None:
        check_new(out)
    if page is not None:
        arguments.check_place(page)
    screen = Screen(as_json)
    predicted = open_rows(source, method, chosen, screen)
    found = find_errors(predicted, count)
    times = count_opening(predicted, chosen, "finetext errors", screen)
    keep_for_report(predicted, chosen, "errors", lambda: found, screen)
    if out is not None:
        table = ranked(predicted)
        write_table(out, with_joined_labels(table) if out.suffix in (".csv", ".tsv") else table)
    if page is not None:
        write_errors_page(found, predicted.name, page)
    if as_json:
        written = {"out": out and str(out), "page": page and str(page)}
        screen.json(found.to_json() | {"openings": times} | written)
        return
    print("\n".join(errors_lines(found, predicted.name)))
    for what, path in (("table", out), ("page", page)):
        if path is not None:
            screen.say(f"{what}: {path}")


def slices(
    source: options.Judged,
    by: options.SliceKinds = None,
    token: options.SliceTokens = None,
    data: options.SliceData = None,
    row_id: options.RowId = None,
    metric: options.SliceMetric = None,
    method: options.OneMethod = None,
    part: options.JudgedPart = "validation",
    out: options.ListOut = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Find kinds of rows that are worse than the others."""
    from finetext.data.write import check_new, write_table
    from finetext.diagnosis.slices import find_slices
    from finetext.diagnosis.slicing import COLUMN, KINDS
    from finetext.report.slices import slices_lines, slices_table

    chosen = part_of(part)
    if out is not None:
        check_new(out)
    screen = Screen(as_json)
    predicted = open_rows(source, method, chosen, screen)
    kinds = None if by is None else [name for name in by if name in KINDS]
    names = [name.removeprefix(COLUMN) for name in by or () if name not in KINDS]
    columns = _columns(predicted, names, data, row_id) if names else {}
    found = find_slices(predicted, kinds, metric, token or (), columns)
    times = count_opening(predicted, chosen, "finetext slices", screen)
    if by is None:
        keep_for_report(predicted, chosen, "slices", lambda: found, screen)
    elif columns:  # the report shows all other kinds beside them
        whole = partial(find_slices, predicted, None, metric, token or (), columns)
        keep_for_report(predicted, chosen, "slices", whole, screen)
    if out is not None:
        write_table(out, slices_table(found))
    if as_json:
        screen.json(found.to_json() | {"openings": times, "out": out and str(out)})
        return
    print("\n".join(slices_lines(found, predicted.name)))
    if out is not None:
        screen.say(f"table: {out}")


def _columns(
    predicted: Predicted, names: list[str], data: str | None, row_id: str | None
) -> dict[str, list[Any]]:
    """The columns of the data, for the rows predicted.

    Raises:
        DataError: it is not known where the data are, or they lack a column or row.
    """
    from dataclasses import replace

    from finetext.core.settings import ReadSettings
    from finetext.data.read import source_columns
    from finetext.diagnosis.slicing import KINDS
    from finetext.runs.recipe import Recipe

    settings, source = ReadSettings(labelled=False), cast(Any, data)
    if predicted.run is not None:
        recipe = Recipe.from_file(predicted.run / "recipe.toml")
        settings, source = recipe.read, data or recipe.source
    if source is None:
        raise DataError(
            f"there are no slices by {names[0]!r}: it is none of {', '.join(KINDS)}; if it is a "
            "column, name the data that have it with --data"
        )
    settings = replace(settings, id=row_id or settings.id)
    return source_columns(source, names, predicted.predictions.ids, settings)


_MEASURED: Final = frozenset({"scores", "validation_scores", "baselines", "decided", "slices"})
"""What is recorded of a model that hangs on how it decides."""


def decide(
    run: options.RunFolder,
    out: options.ModelOut,
    method: options.OneMethod = None,
    aim: options.Aim = None,
    costs: options.Costs = None,
    abstain: options.Abstain = None,
    coverage: options.Coverage = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Choose anew how a rung of RUN decides, on its validation rows."""
    from finetext.models.folder import provenance, record_of, save_model
    from finetext.runs.run import load, predicted_in

    wanted = Deciding(aim, costs, abstain, coverage)
    predicted = predicted_in(run, method, "validation")
    if predicted.run is None or predicted.method is None:
        raise DataError(f"{run} is not a run folder or a rung in one, so it holds no model")
    model = predicted.run / predicted.method / "model"
    if out.resolve() == model.resolve() or _is_of_run(out.resolve()):
        raise DataError(f"{out} is the model of a run; write the new one to another folder")
    decision = choose_decision(predicted.predictions, wanted)
    classifier = load(model, "cpu").with_decision(decision)
    known = {name: of for name, of in record_of(model).items() if name not in _MEASURED}
    save_model(classifier, out, provenance(model), known)
    screen = Screen()
    decided = replace(predicted.predictions, decision=decision)
    if as_json:
        written = {"model": str(out), "decision": decision.to_json()}
        screen.json(written | decided_json(decided))
        return
    print(f"{predicted.name}: {wanted.words or 'the likeliest label'}")
    if lines := [*decided_lines(decided), *threshold_lines(decided)]:
        print(f"on the {len(decided):,} validation rows that it was chosen on:")
        for line in lines:
            print(f"  {line}")
    print(f"model: {out}")


def _is_of_run(model: Path) -> bool:
    """Whether it is the model of a rung: another model must not take its place."""
    from finetext.runs.run import Run

    return model.name == "model" and Run.is_at(model.parent.parent)
