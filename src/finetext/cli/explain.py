"""`finetext explain`: which words decided, of one text, of many, of each label."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.cli import arguments, options
from finetext.cli.arguments import DataOptions
from finetext.core.console import Screen, blaming
from finetext.core.errors import RecipeError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from finetext.data.rows import Texts
    from finetext.diagnosis.explain import ClassWords, Explainer, Explanation

    Sink = Callable[[str, Explanation], None]

MOST_ON_A_PAGE: Final = 200


def explain(
    model: options.Model,
    source: options.ExplainedInput = None,
    text: options.Text = None,
    row_id: options.RowId = None,
    settings: options.DataSettings = None,
    label: options.ExplainedLabel = None,
    way: options.ExplainWay = "auto",
    classes: options.ClassSummary = False,
    out: options.TableOut = None,
    page: options.ExplainPage = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Say which words decide, of a text or for each label."""
    from finetext.batch.files import check_output
    from finetext.diagnosis.explain import choose_explainer
    from finetext.runs.run import load

    screen = Screen(quiet or as_json)
    if out is not None:
        check_output(out, source or "-")
    if page is not None:
        arguments.check_place(page)
    if classes and label is not None:
        raise RecipeError("--classes is about all labels; leave --label out")
    explainer = choose_explainer(load(model, device), way)
    texts = _texts(model, source, DataOptions(text, id=row_id).given(), settings)
    if texts.description:
        screen.say(texts.description)
    if classes:
        words = _class_words(explainer, texts, seed or 0, screen)
        if source is None:
            _keep(words, model)
        _show_classes(words, out, page, screen, as_json)
    else:
        with ExitStack() as stack:
            sinks = _sinks(stack, source, out, page, screen, as_json)
            _explain_all(explainer, texts, label, seed or 0, screen, sinks)
    for finding in texts.findings:
        screen.finding(finding)


def _texts(
    model: Path, source: str | None, given: dict[str, Any], settings: list[str] | None
) -> Texts:
    """The texts of INPUT, or else the validation rows of the run."""
    from finetext.batch.inputs import read_input
    from finetext.data.rows import Rows, Texts
    from finetext.runs.run import Run

    if source is not None:
        return read_input(source, arguments.data_settings(given, settings))
    if not Run.is_at(model):
        raise RecipeError(f"{model} is no run with texts of its own; name a text or a file")
    run = Run.open(model)
    ids = run.predictions(split="validation").ids
    rows = Rows(ids, run.texts(split="validation"), 1.0)
    return Texts(iter([rows]), description=f"the validation rows of {model}")


def _explain_all(
    explainer: Explainer,
    texts: Texts,
    label: str | None,
    seed: int,
    screen: Screen,
    sinks: list[Sink],
) -> None:
    from finetext.diagnosis.explain import explanations

    with ExitStack() as stack:
        if not sys.stdout.isatty():
            stack.enter_context(screen.watching())
        for chunk in texts.batches:
            found = explanations(explainer, chunk.texts, label, seed, screen.progress)
            for row, explanation in zip(chunk.ids, found, strict=True):
                for write in sinks:
                    write(row, explanation)


def _sinks(
    stack: ExitStack,
    source: str | None,
    out: Path | None,
    page: Path | None,
    screen: Screen,
    as_json: bool,
) -> list[Sink]:
    """Where explanations go; what is written as a whole is written when the stack ends."""
    from finetext.batch.inputs import is_text
    from finetext.cli.predict import json_printer
    from finetext.report.explanations import show_explanation

    sinks: list[Sink] = []
    if out is not None:
        sinks.append(stack.enter_context(_table(out, screen)))
    if page is not None:
        sinks.append(stack.enter_context(_page(page, screen)))
    if as_json:
        write = stack.enter_context(json_printer(sys.stdout))
        sinks.append(
            lambda row, of: write({"id": [row], **{k: [v] for k, v in of.to_json().items()}})
        )
    elif source is not None and is_text(source):
        sinks.append(lambda row, of: show_explanation(of, screen.out))
    elif out is None and page is None:
        sinks.append(_printer())
    return sinks


def _printer() -> Sink:
    """Every word as a line of CSV, below a header."""
    from finetext.report.explanations import WORD_COLUMNS, word_rows

    writer = csv.writer(sys.stdout, lineterminator="\n")
    with blaming("standard output", sys.stdout):
        writer.writerow(WORD_COLUMNS)

    def write(row: str, explanation: Explanation) -> None:
        with blaming("standard output", sys.stdout):
            writer.writerows(word_rows(row, explanation))

    return write


@contextmanager
def _table(path: Path, screen: Screen) -> Iterator[Sink]:
    """A file with a row for each word."""
    from finetext.data.write import write_table
    from finetext.report.explanations import WORD_COLUMNS, word_rows

    rows: list[tuple[Any, ...]] = []
    yield lambda row, of: rows.extend(word_rows(row, of))
    columns = zip(*rows, strict=True) if rows else [()] * len(WORD_COLUMNS)
    write_table(path, dict(zip(WORD_COLUMNS, map(list, columns), strict=True)))
    screen.say(f"{len(rows):,} words: {path}")


@contextmanager
def _page(path: Path, screen: Screen) -> Iterator[Sink]:
    """A page with the first texts."""
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


def _class_words(explainer: Explainer, texts: Texts, seed: int, screen: Screen) -> ClassWords:
    from finetext.diagnosis.explain import EXACT, MOST_TEXTS, class_words

    every = [text for chunk in texts.batches for text in chunk.texts]
    if explainer.way != EXACT and len(every) > MOST_TEXTS:
        screen.say(f"{MOST_TEXTS} of {len(every):,} texts are explained, drawn at random")
    with screen.watching():
        return class_words(explainer, every, seed=seed, progress=screen.progress)


def _show_classes(
    words: ClassWords, out: Path | None, page: Path | None, screen: Screen, as_json: bool
) -> None:
    from finetext.data.write import write_table
    from finetext.report.explanations import show_class_words, write_explain_page

    if out is not None:
        rows = [(label, *row) for label, of in words.words.items() for row in of]
        names = ("label", "word", "attribution", "texts")
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        write_table(out, dict(zip(names, map(list, columns), strict=True)))
        screen.say(f"{len(rows):,} words: {out}")
    if page is not None:
        write_explain_page(page, [], words)
        screen.say(f"page: {page}")
    if as_json:
        screen.json(words.to_json())
    elif out is None and page is None:
        show_class_words(words, screen.out)


def _keep(words: ClassWords, run: Path) -> None:
    """Leave the words in the folder of the run, for its report."""
    from finetext.runs.diagnosing import keep

    with suppress(RunError):  # a run that one may only read
        keep(run, "words", words)
