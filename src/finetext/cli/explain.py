"""`finetext explain`: which words decide."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from finetext.cli import options
from finetext.cli.options import Output, Reading, TableOut, argument, flag, option
from finetext.core.errors import RecipeError, RunError

if TYPE_CHECKING:
    from finetext.core.console import Screen
    from finetext.core.types import LabelScheme
    from finetext.data.rows import Texts
    from finetext.diagnosis.explain import ClassWords, Explainer, Explanation

    Sink = Callable[[str, Explanation], None]

MOST_ON_A_PAGE: Final = 200


def explain(
    model: options.Model,
    source: Annotated[
        str | None, argument("INPUT", "Text, file or - for lines; of a run its validation rows.")
    ] = None,
    text: options.Text = None,
    id: options.RowId = None,
    header: options.Header = None,
    sheet: options.Sheet = None,
    settings: options.DataSettings = None,
    label: Annotated[str | None, option("NAME", "Explain this, not the predicted label.")] = None,
    way: Annotated[str, option("NAME", "auto, gradients, exact or occlusion.")] = "auto",
    classes: Annotated[bool, flag("--classes", "Show the important words of each label.")] = False,
    page: Annotated[Path | None, option("FILE", "Write a page with highlighted words.")] = None,
    seed: options.Seed = None,
    device: options.Device = None,
    *,
    table: options.TableOut,
    output: Output,
) -> None:
    """Show which words decide, for a text or for each label."""
    from finetext.cli import arguments
    from finetext.diagnosis.explain import choose_explainer, explanations
    from finetext.runs.load import load
    from finetext.runs.reporting import write_diagnosis
    from finetext.storage.files import check_new

    screen = output.screen()
    table.check(source)
    if page is not None:
        check_new(page, table.force, [source])
    if classes and label is not None:
        raise RecipeError("--classes is about all labels; leave --label out")
    explainer = choose_explainer(load(model, device, engine="torch"), way)
    given = Reading(text, id=id, header=header, sheet=sheet).given()
    scheme = explainer.classifier.scheme
    texts = _texts(model, source, arguments.data_settings(given, settings), scheme)
    if texts.description:
        screen.say(texts.description)
    if classes:
        words = _important_words(explainer, texts, seed or 0, screen)
        if source is None:
            with suppress(RunError):  # the run folder may be read-only
                write_diagnosis(model, "words", words)
        _show_classes(words, table, page, output)
    else:
        with ExitStack() as stack:
            sinks = _sinks(stack, source, table, page, output)
            if not sys.stdout.isatty():
                stack.enter_context(screen.watching())
            for chunk in texts.batches:
                found = explanations(explainer, chunk.texts, label, seed or 0, screen.progress)
                for row, explanation in zip(chunk.ids, found, strict=True):
                    for write in sinks:
                        write(row, explanation)
    screen.findings(texts.findings)


def _important_words(explainer: Explainer, texts: Texts, seed: int, screen: Screen) -> ClassWords:
    from finetext.diagnosis.explain import EXACT, MOST_TEXTS, class_words

    every = [text for chunk in texts.batches for text in chunk.texts]
    if explainer.way != EXACT and len(every) > MOST_TEXTS:
        screen.say(f"{MOST_TEXTS} of {len(every):,} texts are explained, drawn at random")
    with screen.watching():
        return class_words(explainer, every, seed=seed, progress=screen.progress)


def _texts(model: Path, source: str | None, read: dict[str, Any], scheme: LabelScheme) -> Texts:
    """Return the texts of INPUT, or else the validation rows of the run."""
    from finetext.batch.inputs import read_input
    from finetext.core.wording import rows_of
    from finetext.data.rows import Rows, Texts
    from finetext.runs.run import Run

    if source is not None:
        return read_input(source, read, scheme=scheme)
    if not Run.is_at(model):
        raise RecipeError(
            f"{model} is not a run folder with validation rows; name a text or a file"
        )
    run = Run.open(model)
    ids = run.predictions(split="validation").ids
    return Texts(
        iter([Rows(ids, run.texts(split="validation"), 1.0)]),
        description=f"the {rows_of(None if run.folds else 'validation')} of {model}",
    )


def _sinks(
    stack: ExitStack, source: str | None, table: TableOut, page: Path | None, output: Output
) -> list[Sink]:
    """Return where explanations go; files are complete when the stack ends."""
    from finetext.batch.inputs import is_text
    from finetext.cli.predict import json_printer, table_printer
    from finetext.report.explanations import WORD_COLUMNS, show_explanation, word_rows

    screen = output.screen()
    sinks: list[Sink] = []
    if table.out is not None:
        sinks.append(stack.enter_context(_words(table, screen)))
    if page is not None:
        sinks.append(stack.enter_context(_page(page, screen)))
    if output.as_json:
        write = stack.enter_context(json_printer(sys.stdout))
        sinks.append(
            lambda row, of: write({"id": [row], **{k: [v] for k, v in of.to_json().items()}})
        )
    elif source is not None and is_text(source):
        sinks.append(lambda row, of: show_explanation(of, screen.out))
    elif table.out is None and page is None:
        show = table_printer(sys.stdout)
        sinks.append(lambda row, of: show(_columns(WORD_COLUMNS, word_rows(row, of))))
    return sinks


def _columns(names: Sequence[str], rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


@contextmanager
def _words(table: TableOut, screen: Screen) -> Iterator[Sink]:
    """Write a file with a row for each word."""
    from finetext.report.explanations import WORD_COLUMNS, word_rows

    rows: list[tuple[Any, ...]] = []
    yield lambda row, of: rows.extend(word_rows(row, of))
    _write_words(table, WORD_COLUMNS, rows, screen)


def _write_words(
    table: TableOut, names: Sequence[str], rows: list[tuple[Any, ...]], screen: Screen
) -> None:
    table.write(_columns(names, rows), screen)
    screen.say(f"{len(rows):,} words: {table.out}")


@contextmanager
def _page(path: Path, screen: Screen) -> Iterator[Sink]:
    """Write a page with the first texts."""
    from finetext.report.explanations import write_explain_page

    kept: list[tuple[str, Explanation]] = []
    total = 0

    def write(row: str, explanation: Explanation) -> None:
        nonlocal total
        total += 1
        if total <= MOST_ON_A_PAGE:
            kept.append((row, explanation))

    yield write
    write_explain_page(path, kept, total=total)
    screen.say(f"page: {path}")


def _show_classes(words: ClassWords, table: TableOut, page: Path | None, output: Output) -> None:
    from finetext.report.explanations import show_class_words, write_explain_page

    screen = output.screen()
    if table.out is not None:
        rows = [(label, *row) for label, of in words.words.items() for row in of]
        _write_words(table, ("label", "word", "attribution", "texts"), rows, screen)
    if page is not None:
        write_explain_page(page, [], words)
        screen.say(f"page: {page}")
    if output.as_json:
        screen.json(words.to_json())
    elif table.out is None and page is None:
        show_class_words(words, screen.out)
