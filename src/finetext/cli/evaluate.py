"""`finetext evaluate`, `confusion`, `errors`, `slices`: how good predictions are, and where not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from finetext.cli import options
from finetext.cli.options import Output, PictureOut, Reading, TableOut, argument, option
from finetext.core.errors import DataError, FinetextError, RunError

if TYPE_CHECKING:
    from finetext.core.console import Screen
    from finetext.core.contracts import Classifier
    from finetext.core.settings import ReadSettings
    from finetext.core.types import Dataset, Predicted, Predictions, SplitName
    from finetext.diagnosis.group_gaps import GroupGaps
    from finetext.evaluation.out_of_scope import ScopeScores
    from finetext.evaluation.ranking import PositiveCurve

Judged = Annotated[str, argument("RUN", "A run folder, RUN/METHOD, or a table of predictions.")]

Groups = Annotated[
    str | None, option("COLUMN", "Compare error rates between the values of a column.")
]


def evaluate(
    model: options.Model,
    data: options.Data,
    *,
    reading: Reading,
    positive: options.Positive = None,
    out_of_scope_label: options.OutOfScopeLabel = None,
    settings: options.DataSettings = None,
    group_gaps: Groups = None,
    precision: options.ModelPrecision = None,
    seed: options.Seed = None,
    device: options.Device = None,
    table: TableOut,
    output: Output,
) -> None:
    """Measure MODEL on the labeled rows of DATA."""
    from finetext.cli import arguments
    from finetext.core.contracts import predict
    from finetext.evaluation.consistency import consistency
    from finetext.evaluation.intervals import evaluate as measure
    from finetext.evaluation.intervals import per_class
    from finetext.report.errors import evaluation_sheets, scores_json, scores_table, show_scores
    from finetext.report.group_gaps import group_gaps_table
    from finetext.report.positive import curves_of_positive
    from finetext.report.probabilities import decided_json
    from finetext.runs.asked import answers_watched
    from finetext.runs.load import load

    table.check(data)
    screen = output.screen(data)
    classifier = load(model, device, precision=precision, engine="torch", say=screen.say)
    how = arguments.settings_for(classifier.scheme, reading, settings)
    how = replace(how, out_of_scope=out_of_scope_label or how.out_of_scope)
    classifier = classifier.with_positive(how.positive if positive is None else positive)
    dataset = _read(data, replace(how, positive=None), screen)
    with answers_watched(classifier, screen.finding) as check_answers:
        predictions = predict(classifier, dataset)
        check_answers()
        scope = _scope(classifier, predictions, dataset)
    gaps = None if group_gaps is None else _group_gaps(predictions, data, group_gaps, how)
    label = classifier.scheme.positive_class
    curve = curves_of_positive({"": predictions}).get("")
    scores = measure(predictions, seed or 0)
    classes = per_class(predictions, seed or 0)
    check = consistency(predictions)
    known = _known_rows(model, data, dataset.texts, screen)
    sheets = evaluation_sheets(scores, classes, predictions, dataset.texts)
    sheets |= {} if gaps is None else {"group gaps": group_gaps_table(gaps)}
    table.write(scores_table(scores, classes), screen, **sheets)
    if table.out is not None:
        screen.say(f"table: {table.out}")
    if output.as_json:
        found = scores_json(scores, classes) | decided_json(predictions)
        found |= {"calibration": check.to_json(), "positive": label}
        found |= {"scope": scope and scope.to_json(), "group_gaps": gaps and gaps.to_json()}
        found |= {"curve": curve and curve.to_json(), "out": table.out and str(table.out)}
        screen.json(found | known)
        return
    show_scores(scores, classes, screen.out, label)
    _show_more(predictions, curve, check.words, gaps, scope)


def _scope(
    classifier: Classifier, predictions: Predictions, dataset: Dataset
) -> ScopeScores | None:
    """Return what the model makes of the rows, and of the texts of the data of no class."""
    from finetext.evaluation.out_of_scope import scope_scores

    others = dataset.out_of_scope
    likely = None if others is None else classifier.predict_proba(others.texts)
    return scope_scores(predictions, likely)


def _read(data: str, how: ReadSettings, screen: Screen) -> Dataset:
    """Read labeled rows and say what they are; refuse those that a model labeled."""
    from finetext.data.read import read
    from finetext.data.weak_labels import refuse_weak

    dataset = read(data, settings=how)
    screen.say(dataset.description)
    screen.findings(dataset.findings)
    refuse_weak(dataset, "evaluated")
    return dataset


def _group_gaps(predictions: Predictions, data: str, column: str, how: ReadSettings) -> GroupGaps:
    """Return the gaps between the values of a column of the data."""
    from finetext.data.read import source_columns
    from finetext.diagnosis.group_gaps import find_group_gaps

    ((name, values),) = source_columns(data, [column], predictions.ids, how).items()
    return find_group_gaps(predictions, values, name)


def _show_more(
    predictions: Predictions,
    curve: PositiveCurve | None,
    calibration: str,
    gaps: GroupGaps | None,
    scope: ScopeScores | None,
) -> None:
    """Print what is said below the scores."""
    from finetext.evaluation.intervals import uncertain_intervals
    from finetext.report.group_gaps import group_gaps_lines
    from finetext.report.positive import positive_line, threshold_line
    from finetext.report.probabilities import decided_lines

    if few := uncertain_intervals(predictions):
        print(f"\n{few}")
    if predictions.scheme.is_binary:
        print(f"\n{positive_line(predictions.scheme)}")
    if curve is not None:
        print(threshold_line(curve))
    print(f"\nprobabilities are {calibration}")
    for line in [*decided_lines(predictions), *([] if scope is None else [scope.words])]:
        print(f"\n{line}")
    for line in [] if gaps is None else ["", *group_gaps_lines(gaps)]:
        print(line)


def errors(
    source: Judged,
    method: options.OneMethod = None,
    part: options.Part = "validation",
    count: Annotated[int, option("NUMBER", "Rows of either kind, and confusions.", min=1)] = 20,
    page: Annotated[Path | None, option("FILE", "Write a page to search, sort and filter.")] = None,
    positive: options.Positive = None,
    *,
    table: TableOut,
    output: Output,
) -> None:
    """Show the highest and lowest losses, and the confusions."""
    from finetext.cli import arguments
    from finetext.diagnosis.losses import find_errors, ranked
    from finetext.report.errors import errors_lines, write_errors_page
    from finetext.runs.predicted import predicted_in
    from finetext.storage.files import check_new

    rows, out = arguments.split_name(part), table.out
    table.check(source)
    if page is not None:
        check_new(page, table.force, [source])
    screen = output.screen()
    predicted = predicted_in(source, method, rows, positive)
    label = predicted.predictions.scheme.positive_class
    screen.findings(predicted.findings)
    found = find_errors(predicted, count)
    accesses = arguments.count_access(predicted.run, rows, "finetext errors", screen)
    _keep_for_report(predicted, rows, "errors", lambda: found, screen)
    table.write(ranked(predicted), screen)
    if page is not None:
        write_errors_page(found, predicted.name, page)
    told = {"openings": accesses, "out": out and str(out), "page": page and str(page)}
    told["positive"] = label
    lines = errors_lines(found, predicted.name, label)
    output.show(found.to_json() | told, lines, table=out, page=page)


def confusion(
    source: Judged,
    method: options.OneMethod = None,
    part: options.Part = "validation",
    normalize: Annotated[
        str, option("NAME", "Shares of true, predicted or all rows; none for counts.")
    ] = "true",
    *,
    chosen: PictureOut,
    output: Output,
) -> None:
    """Show the confusion matrix, with counts and shares."""
    from finetext.cli import arguments
    from finetext.report.confusion import confusion_matrix
    from finetext.report.rendering import terminal_width
    from finetext.runs.predicted import predicted_in
    from finetext.runs.predictions import folds_of

    rows = arguments.split_name(part)
    chosen.check(source)
    screen = output.screen()
    predicted = predicted_in(source, method, rows)
    screen.findings(predicted.findings)
    found = confusion_matrix(predicted, normalize, folds_of(predicted))
    accesses = arguments.count_access(predicted.run, rows, "finetext confusion", screen)
    chosen.save(found, screen)
    told = {"openings": accesses, "out": chosen.out and str(chosen.out)}
    output.show(found.to_json() | told, found.lines(terminal_width()), **chosen.written)


def slices(
    source: Judged,
    by: Annotated[
        list[str] | None, option("KIND", "length, cut, group, label, language, token or a column.")
    ] = None,
    token: Annotated[
        list[str] | None, option("TEXT", "Also a slice with this word or phrase; repeatable.")
    ] = None,
    data: Annotated[str | None, option("DATA", "Data with the columns of --by; the run's.")] = None,
    id: options.RowId = None,
    metric: Annotated[str | None, option("NAME", "Metric; accuracy or samples F1.")] = None,
    method: options.OneMethod = None,
    part: options.Part = "validation",
    positive: options.Positive = None,
    *,
    table: TableOut,
    output: Output,
) -> None:
    """Find groups of rows with significantly worse scores."""
    from finetext.cli import arguments
    from finetext.diagnosis.slices import find_slices
    from finetext.diagnosis.slicing import COLUMN, KINDS
    from finetext.report.errors import slices_lines, slices_table
    from finetext.runs.predicted import predicted_in

    rows, out = arguments.split_name(part), table.out
    table.check(source, data)
    screen = output.screen()
    predicted = predicted_in(source, method, rows, positive)
    screen.findings(predicted.findings)
    kinds = None if by is None else [name for name in by if name in KINDS]
    names = [name.removeprefix(COLUMN) for name in by or () if name not in KINDS]
    columns = _columns(predicted, names, data, id) if names else {}
    found = find_slices(predicted, kinds, metric, token or (), columns)
    accesses = arguments.count_access(predicted.run, rows, "finetext slices", screen)
    if by is None:
        _keep_for_report(predicted, rows, "slices", lambda: found, screen)
    elif columns:  # the report shows all other kinds beside them
        whole = partial(find_slices, predicted, None, metric, token or (), columns)
        _keep_for_report(predicted, rows, "slices", whole, screen)
    table.write(slices_table(found), screen)
    told = {"openings": accesses, "out": out and str(out)}
    output.show(found.to_json() | told, slices_lines(found, predicted.name), table=out)


def _columns(
    predicted: Predicted, names: list[str], data: str | None, row_id: str | None
) -> dict[str, list[Any]]:
    """Return the columns of the data, for the rows predicted."""
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


def _known_rows(
    model: Path, data: str, texts: Sequence[str], screen: Screen
) -> dict[str, int | None]:
    """Say what the run of a model knows of the texts; return it by name."""
    return {
        "openings": _count_if_test_rows(model, texts, screen),
        "training_rows": _count_training_rows(model, data, texts, screen),
        "learned_from": _say_learned(model, screen),
    }


def _count_if_test_rows(model: Path, texts: Sequence[str], screen: Screen) -> int | None:
    """Count an access if half of the texts are test rows of the model's run, or the reverse."""
    from finetext.cli import arguments
    from finetext.runs.run import Run

    run, method = _run_and_method(model)
    if run is None:
        return None
    try:
        own = set(Run.open(run).texts(method, "test"))
    except FinetextError:
        return None
    measured = set(texts)
    if 2 * len(measured & own) < min(len(measured), len(own)) or not own:
        return None
    return arguments.count_access(run, "test", "finetext evaluate", screen)


def _count_training_rows(
    model: Path, data: str, texts: Sequence[str], screen: Screen
) -> int | None:
    """Warn of texts that the model's run trained on; return their number, None if unknown."""
    from finetext.core.types import Finding
    from finetext.core.wording import part_in_words
    from finetext.runs.run import Run

    run, method = _run_and_method(model)
    if run is None:
        return None
    try:
        opened = Run.open(run)
        trained = set(opened.rows(method, "train").texts)
    except FinetextError as error:
        screen.say(f"{data} was not compared with the training rows of {run}: {error}")
        return None
    count = sum(text in trained for text in texts)
    if count:
        scored = part_in_words("test", opened.folds)
        message = (
            f"{data}: {count:,} of {len(texts):,} texts are training rows of {run}, so the scores "
            f"are better than on new texts. Leave them out; {scored} scores: finetext show {run}"
        )
        screen.findings([Finding("warning", "trained-on", message)])
    return count


def _say_learned(model: Path, screen: Screen) -> int | None:
    """Say how many rows the model learned from; return the number, None if unknown."""
    from finetext.core.wording import counted, learned_in_words, refitted_in_words
    from finetext.models.folder import best_model, record_of
    from finetext.models.hub import model_folder

    try:
        record = record_of(best_model(model_folder(model)))
    except FinetextError:  # a model that finetext did not write
        return None
    learned: int | None = record.get("learned_from")
    if learned is not None and record.get("folds"):
        screen.say(f"the model {learned_in_words(learned, record.get('chosen_on', 0))}")
    elif learned is not None:
        again = refitted_in_words(learned, record.get("data", {}).get("rows", {}))
        screen.say(f"the model {again or 'learned from ' + counted(learned, 'row')}")
    return learned


def _run_and_method(model: Path) -> tuple[Path | None, str | None]:
    """Return the run that a model is of, and the method in it, None for its best."""
    from finetext.models.hub import model_folder
    from finetext.runs.run import Run

    model = model_folder(model)
    place = model.resolve()
    if Run.is_at(place):
        return model, None
    run = place.parent.parent
    return (run, place.parent.name) if Run.is_at(run) else (None, None)


def _keep_for_report(
    predicted: Predicted, part: SplitName, kind: str, find: Callable[[], Any], screen: Screen
) -> None:
    """Keep what `find` gives for the report, if it is about the best method, and not about test.

    In a cross-validated run both splits stand for the same rows.
    """
    from finetext.runs.reporting import write_diagnosis
    from finetext.runs.run import Run

    run = predicted.run
    if run is None:
        return
    opened = Run.open(run)
    if predicted.method == opened.best and (part == "validation" or opened.folds):
        try:
            write_diagnosis(run, kind, find())
        except RunError as error:  # the run folder may be read-only
            screen.say(f"not kept for the report: {error}")
