"""`finetext explore`, `agreement` and `label-errors`: look at labeled data and correct it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from finetext.cli import options
from finetext.cli.options import Output, Reading, TableOut, Training, flag, option
from finetext.core.addresses import recorded
from finetext.core.errors import DataError, FinetextError, RecipeError, RunError

if TYPE_CHECKING:
    from finetext.core.types import Dataset
    from finetext.diagnosis.adjudication import Decided
    from finetext.diagnosis.corrections import Corrected
    from finetext.diagnosis.label_errors import Suspects
    from finetext.runs.recipe import Recipe

_SHOWN: Final = 10
_ROWS_A_BATCH: Final = 8
_MISTAKES_SHOWN: Final = 5
_TEXT_SHOWN: Final = 160


def explore(
    data: options.Data,
    *,
    reading: Reading,
    settings: options.DataSettings = None,
    encoder: Annotated[str, option("NAME", "Whose tokens are counted.")] = "minilm",
    tokens: Annotated[int | None, option("ROW", "Show the tokens of this row, from 1.")] = None,
    batch: Annotated[bool, flag("--batch", "Show a training batch, of --rows or 8.")] = False,
    objective: Annotated[
        str | None, option("NAME", "The batch of a language model: masked or causal.")
    ] = None,
    rows: Annotated[int | None, option("NUMBER", "Show so many random rows.", min=1)] = None,
    page: Annotated[Path | None, option("FILE", "Write a page with plots.", "--html")] = None,
    force: options.Force = False,
    seed: options.Seed = None,
    output: Output,
) -> None:
    """Look at the data: classes, lengths, duplicates, tokens."""
    from finetext.cli import arguments
    from finetext.diagnosis.explore import explore as look
    from finetext.report.exploration import show_exploration, write_explore_page
    from finetext.storage.files import check_new

    screen = output.screen()
    if objective is not None and not batch:
        raise RecipeError("--objective goes with --batch, which shows a training batch")
    if page is not None:
        check_new(page, force, [data])
    dataset = arguments.read_with_or_without_labels(data, reading, settings)
    if rows is not None or batch:
        from finetext.report.batches import show_batch

        of = encoder if batch else None
        shown = show_batch(dataset, rows or _ROWS_A_BATCH, of, objective=objective, seed=seed or 0)
        screen.json(shown.to_json()) if output.as_json else shown.show(screen.out)
        return
    if tokens is not None:
        _show_tokens(dataset, encoder, tokens, output)
        return
    with screen.watching():
        seen = look(dataset, encoder, screen.progress)
    if page is not None:
        write_explore_page(seen, page)
        screen.say(f"page: {page}")
    if output.as_json:
        screen.json(seen.to_json())
    else:
        show_exploration(seen, screen.out, recorded(data))


def _show_tokens(dataset: Dataset, encoder: str, row: int, output: Output) -> None:
    """Show one row as the model sees it."""
    from finetext.diagnosis.explore import tokenized_row

    look = tokenized_row(dataset, row, encoder)
    # Two keys are those of version 0.1.
    known = {"characters": len(look.characters), "pieces": look.tokens}
    output.show(look.to_json() | known, look.lines())


def agreement(
    data: options.Data,
    *,
    reading: Reading,
    settings: options.DataSettings = None,
    annotators: Annotated[
        str | None, option("COLUMNS", "A column of labels per annotator: coder1,coder2.")
    ] = None,
    majority: Annotated[bool, flag("--majority", "Write the majority label of each text.")] = False,
    apply: Annotated[Path | None, option("FILE", "Write labels by this decided list.")] = None,
    new_label: Annotated[list[str] | None, option("NAME", "A new label; repeatable.")] = None,
    table: TableOut,
    output: Output,
) -> None:
    """Show how far the annotators of DATA agree."""
    from finetext.cli import arguments
    from finetext.diagnosis.adjudication import decide_texts, read_annotated, write_differing
    from finetext.evaluation.agreement import agreement as agree
    from finetext.report.agreement import agreement_lines

    if table.out is None and (majority or apply is not None):
        option_name = "--majority" if majority else "--apply"
        raise RecipeError(f"{option_name} needs --out, the file for the labels")
    if new_label and apply is None:
        raise RecipeError("--new-label goes with --apply")
    table.check(data, *([] if apply is None else [apply]))
    screen = output.screen()
    read_as = arguments.read_settings(reading.given(), settings)
    dataset = read_annotated(data, arguments.names(annotators) or (), read_as)
    if majority or apply is not None:
        _write_decided(decide_texts(dataset, apply, new_label or [], table.out), table, output)
        return
    found = agree(dataset)
    lines = [dataset.description, "", *agreement_lines(found)]
    if table.out is not None:
        if dataset.annotations is None or dataset.scheme is None:
            raise DataError(f"{data}: no column says who gave a label, so there is no list to make")
        notes = write_differing(
            dataset.annotations, dataset.scheme, table.out, table.locale, table.keep_formulas
        )
        screen.findings(notes)
        differ = sum(of.differ for of in dataset.annotations.texts)
        lines += [
            f"\n{table.out}: {differ:,} texts on which annotators differ, those without a majority "
            "first. In its column decision, write the right label, or (drop) to remove the text. "
            f"Then run the same command with --apply {table.out} --out decided.csv"
        ]
    elif found.annotators:
        by = "" if annotators is None else f" --annotators {shlex.quote(annotators)}"
        command = f"finetext agreement {shlex.quote(recorded(data))}{by} --out differ.csv"
        if reading.given() or settings:
            command = "the same command with --out differ.csv"
        lines.append(f"\nTo decide the texts on which they differ:\n  {command}")
    output.show(found.to_json() | {"out": table.out and str(table.out)}, lines)


def _write_decided(done: Decided, table: TableOut, output: Output) -> None:
    """Write one row for each text, and say how the labels came about."""
    from finetext.core.wording import counted

    rows = len(done.columns["id"])
    table.write(done.columns, output.screen())
    tied = f"; {counted(done.tied, 'text')} without majority or decision left out"
    said = f"{done.decided:,} decided, {done.dropped:,} dropped" + (tied if done.tied else "")
    facts = {"out": str(table.out), "rows": rows, "decided": done.decided}
    facts |= {"dropped": done.dropped, "tied": done.tied}
    columns = ", ".join(done.columns)
    output.show(facts, [f"{table.out}: {counted(rows, 'text')}, columns {columns}; {said}"])


def label_errors(
    data: options.OptionalData = None,
    *,
    chosen: Training,
    method: Annotated[str | None, option("NAME", "Method to fit; default tfidf.")] = None,
    epochs: options.Epochs = None,
    folds: Annotated[int | None, option("NUMBER", "Cross-validation folds; default 5.")] = None,
    apply: Annotated[Path | None, option("FILE", "Correct DATA by this reviewed list.")] = None,
    new_label: Annotated[list[str] | None, option("NAME", "A new label; repeatable.")] = None,
    table: TableOut,
    output: Output,
) -> None:
    """Find labels of DATA that may be wrong, or correct them."""
    from finetext.cli import arguments
    from finetext.runs.ablations import with_encoder
    from finetext.runs.recipe import ADAPTED

    of_method = (method, chosen.encoder, chosen.max_length, epochs, folds)
    if apply is None and new_label:
        raise RecipeError("--new-label goes with --apply")
    if apply is not None and of_method != (None,) * 5:
        raise RecipeError("--apply trains nothing; leave out the options of the method")
    if apply is not None and table.out is None:
        raise RecipeError("--apply needs --out, the file for the corrected data")
    run = arguments.run_folder_at(data)
    if run is not None and chosen.recipe is not None:
        raise RecipeError(f"{data} is a run folder, which has its own recipe; leave --recipe out")
    if "," in (method or ""):
        raise RecipeError(f"--method {method}: name one method")
    method = method or "tfidf"
    path = run / "recipe.toml" if run else chosen.recipe
    methods = arguments.MethodOptions(method, epochs=epochs)
    asked = arguments.asked_recipe(None if run else data, chosen, methods, path)
    if apply is not None:
        _apply(asked, apply, new_label or [], run, table, output)
        return
    if path is not None and asked.adapt is not None:  # the adapted encoder is beside the recipe
        adapted = with_encoder(asked, str(path.parent.absolute() / ADAPTED))
        asked = replace(asked, methods=adapted, adapt=None)
    _find(asked, method, 5 if folds is None else folds, run, table, output)


def _find(
    asked: Recipe, method: str, folds: int, run: Path | None, table: TableOut, output: Output
) -> None:
    """Search, write the list for a reviewer, and show the first suspects."""
    from finetext.diagnosis.corrections import write_suspects
    from finetext.runs.accesses import has_test_rows
    from finetext.runs.fit import find_label_errors
    from finetext.runs.reporting import write_diagnosis

    out = table.out
    table.check(asked.source)
    screen = output.screen(asked.source)
    with screen.watching():
        found = find_label_errors(
            asked, method, folds=folds, test_ids=_test_ids(run), listener=screen.listener
        )
    if run is not None:
        with suppress(RunError):  # a run folder may be read-only
            write_diagnosis(run, "suspects", found)
    if out is not None:
        try:
            screen.findings(write_suspects(found, out, table.locale, table.keep_formulas))
        except DataError:
            print("\n".join(_suspect_lines(found, None)))
            raise
    lines = [*_suspect_lines(found, out)]
    if run is not None and found.suspects and not has_test_rows(run):
        lines.append(
            f"\nThe scores of {run} are cross-validated on all of these rows: labels that are "
            "corrected towards a method make its score too high."
        )
    output.show(found.to_json() | {"out": out and str(out)}, lines)


def _test_ids(run: Path | None) -> tuple[str, ...]:
    """Return the ids of a run's test rows; () where it has none or nothing is known of them."""
    from finetext.runs.accesses import has_test_rows
    from finetext.runs.run import Run, stored_predictions

    if run is None or not has_test_rows(run):
        return ()
    try:
        return stored_predictions(Run.open(run), None, "test").ids
    except FinetextError:  # unfinished, or damaged: the search itself needs only the recipe
        return ()


def _suspect_lines(found: Suspects, out: Path | None) -> Iterator[str]:
    """Yield the result in words, then the most suspicious labels."""
    from finetext.core.wording import counted, short

    count, labels = len(found.suspects), counted(found.rows, "label")
    if count:
        yield f"{count:,} of {labels} may be wrong ({count / found.rows:.1%})."
    else:
        yield f"None of {labels} is listed as wrong."
    yield from found.words()
    if not count:
        return
    if found.too_many:
        yield (
            f"That many suggest that {found.method} has learned too little to tell wrong labels "
            "from hard texts: trust the first at most, or try a better --method."
        )
    most = [f"{what} ({times:,})" for what, times in found.mistakes[:_MISTAKES_SHOWN]]
    if most:
        yield f"Most frequent: {', '.join(most)}."
    shown = [one for one in found.suspects if one.id not in set(found.test)]
    if shown:
        yield f"\nThe first {min(len(shown), _SHOWN)}, the most suspicious first:\n"
    for one in shown[:_SHOWN]:
        yield (
            f"{one.id}: {one.label} ({one.probability_of_label:.2f}) -> "
            f"{one.suggested} ({one.probability_of_suggested:.2f})\n"
            f"    {short(one.text, _TEXT_SHOWN)}"
        )
    if found.test:
        yield (
            f"\n{counted(len(found.test), 'more row')} of the test set may be wrong. They are not "
            "shown: labels that are corrected towards a method make its score too high. The list "
            "of --out has them without suggestions, among "
            f"{counted(len(found.others), 'other test row')}."
        )
    if out is None:
        yield "\nTo review them: --out suspects.csv"
        return
    yield (
        f"\nAll are in {out}. In its column correct, write the right label, (drop) to remove the "
        "row, or (ok) or nothing to leave it as it is. Then run the same command on the same data "
        f"with --apply {out} --out corrected.csv"
    )


def _apply(
    asked: Recipe,
    reviewed: Path,
    new_labels: list[str],
    run: Path | None,
    table: TableOut,
    output: Output,
) -> None:
    """Write the corrected data set, and show the scores of a run with both labels."""
    from finetext.core.wording import counted
    from finetext.diagnosis.corrections import apply_labels, dataset_columns

    table.check(asked.source, reviewed)
    done = apply_labels(asked.source, reviewed, read=asked.read, new_labels=new_labels)
    screen = output.screen(asked.source)
    screen.findings(done.dataset.findings)
    columns = dataset_columns(done.dataset, table.out)
    table.write(columns, screen)
    counts = {name: getattr(done, name) for name in ("changed", "dropped", "kept", "unreviewed")}
    lines = [
        f"{counted(len(done.changed), 'label')} changed, {counted(len(done.dropped), 'row')} "
        f"dropped, {done.kept:,} confirmed, {done.unreviewed:,} not reviewed and left as they are.",
        f"{table.out}: {counted(len(done.dataset), 'row')}, columns {', '.join(columns)}",
        *([] if run is None else _both_scores(run, done)),
    ]
    told = {"out": str(table.out), "rows": len(done.dataset), "columns": tuple(columns)}
    output.show(told | counts, lines)


def _both_scores(run: Path, done: Corrected) -> Iterator[str]:
    """Yield the scores of a run's methods with the labels before and after."""
    from finetext.core.wording import counted, ends, first_repeat, number, part_in_words, row_of
    from finetext.diagnosis.corrections import before_and_after
    from finetext.evaluation.intervals import evaluate
    from finetext.report.rendering import metric_title
    from finetext.runs.accesses import has_test_rows, record_access
    from finetext.runs.run import Run, stored_predictions

    opened = Run.open(run)
    part = part_in_words("test", opened.folds)
    row = row_of(part)
    if has_test_rows(run):
        record_access(run, "finetext label-errors --apply")
    for entry in opened.leaderboard:
        both = before_and_after(stored_predictions(opened, entry.method, "test"), done)
        if both is None:
            yield f"No {row} of the run has another label: its scores stay as they are."
            return
        scores = [evaluate(of, metrics=[opened.metric])[opened.metric] for of in both]
        old, new = (f"{number(score.value)} {ends(score)}".rstrip() for score in scores)
        yield (
            f"{entry.method}, {metric_title(opened.metric)} on the same "
            f"{counted(len(both[0]), row)}{first_repeat(part)}: {old} with the labels before, "
            f"{new} with those after."
        )
