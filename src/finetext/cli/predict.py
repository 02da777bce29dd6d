"""`finetext predict`, `plot` and `classify`: labels and probabilities of texts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

from finetext.cli import options
from finetext.cli.options import Output, Reading, argument, flag, option
from finetext.core.console import blaming, json_text
from finetext.core.errors import DataError, RecipeError
from finetext.core.terminal import unescaped

if TYPE_CHECKING:
    from finetext.core.contracts import Classifier
    from finetext.data.write import Table

    Sink = Callable[[Table], None]

_LONGEST: Final = 200
"""Characters of label names that are shown."""


@dataclass(frozen=True)
class Rows:
    """Which texts are read, and the table that is written of them."""

    text: options.Text = None
    id: options.RowId = None
    header: options.Header = None
    sheet: options.Sheet = None
    settings: options.DataSettings = None
    out: Annotated[
        str | None, option("FILE", "Write .csv, .tsv, .jsonl (.gz of these), .parquet or .xlsx.")
    ] = None
    locale: options.Locale = None
    keep_formulas: options.KeepFormulas = False
    force: options.Force = False

    @contextmanager
    def going_through(self, source: str, output: Output) -> Iterator[dict[str, Any]]:
        """Yield what both `predict_file` and `classify_file` take; the body calls one of them."""
        from finetext.cli import arguments

        given = Reading(self.text, id=self.id, header=self.header, sheet=self.sheet).given()
        read, screen = arguments.data_settings(given, self.settings), output.screen()
        with ExitStack() as stack:
            each = _shown(stack, source, self.out, output.as_json)
            if self.out is not None or not sys.stdout.isatty():
                stack.enter_context(screen.watching())
            yield {
                "out": self.out, "read": read, "force": self.force, "locale": self.locale,
                "keep_formulas": self.keep_formulas, "each": each, "listener": screen.listener,
            }  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What one process predicts of a large table, into a folder of parts."""

    sources: list[str]
    shard: str | None
    engine: str | None
    actors: int | None
    top: int | None
    every: bool | None
    precision: str | None
    device: str | None

    def predict(self, model: Path, rows: Rows, refused: dict[str, Any], output: Output) -> None:
        """Predict it; raises a DataError for options that a folder does not have."""
        from finetext.batch.predict_parts import predict_parts
        from finetext.cli import arguments
        from finetext.core.settings import ReadSettings, made
        from finetext.data.formats import TABLE_SUFFIXES
        from finetext.data.write import form_of

        own = {"--shard": self.shard, "--engine": self.engine, "--actors": self.actors}
        asked = next((f"{name} {of}" for name, of in own.items() if of is not None), "")
        if rows.out is None:
            raise DataError(f"{asked} needs a folder; name it with --out FOLDER/")
        if not _is_folder(rows.out) and form_of(PurePath(rows.out)) in TABLE_SUFFIXES:
            raise DataError(
                f"{rows.out} is the name of a file, and {asked} needs a folder; name it with "
                f"--out FOLDER/, or write {rows.out}/ if the folder is to have this name"
            )
        refused |= {
            "--id": rows.id, "--sheet": rows.sheet, "--locale": rows.locale, "--force": rows.force,
            "--keep-formulas": rows.keep_formulas, "--json": output.as_json,
        }  # fmt: skip
        if given := [name for name, value in refused.items() if value]:
            raise DataError(
                f"{given[0]} is not for a folder of parts, as {rows.out} is; leave it out"
            )
        named = Reading(rows.text, header=rows.header).given()
        values = {"labelled": False, **arguments.data_settings(named, rows.settings)}
        screen = output.screen()
        with screen.watching():
            predict_parts(
                model, self.sources, rows.out, shard=self.shard or "1/1",
                engine=self.engine or "local", actors=self.actors,
                read=made("[data]", ReadSettings, values), top=self.top, every=self.every,
                precision=self.precision, device=self.device, listener=screen.listener,
            )  # fmt: skip


def _is_folder(out: str | None) -> bool:
    return out is not None and (out.endswith(("/", os.sep)) or os.path.isdir(out))


def predict(
    model: options.Model,
    sources: Annotated[
        list[str], argument("INPUT", "A text, a file, - for lines; for --out FOLDER/, files.")
    ],
    rows: Rows,
    top: Annotated[int | None, option("NUMBER", "Show that many of the likeliest labels.")] = None,
    every: Annotated[bool, flag("--all", "Show the probability of every label.")] = False,
    set_aside: Annotated[Path | None, option("FILE", "Write rejected rows here; continue.")] = None,
    resume: Annotated[bool, flag("--resume", "Resume a prediction that was stopped.")] = False,
    correct_base_rates: Annotated[
        bool, flag("--correct-base-rates", "Correct for other shares of classes; reads twice.")
    ] = False,
    shard: Annotated[str | None, option("N/OF", "Do this share of a folder: 3/16.")] = None,
    engine: Annotated[str | None, option("ray", "Let actors of Ray fill a folder.")] = None,
    actors: Annotated[
        int | None, option("NUMBER", "Actors of Ray; one a GPU or CPU.", min=1)
    ] = None,
    precision: options.ModelPrecision = None,
    device: options.Device = None,
    *,
    output: Output,
) -> None:
    """Predict a text, a file, standard input or a large table."""
    from finetext.batch.predict_file import predict_file

    if (shard, engine, actors) != (None, None, None) or _is_folder(rows.out):
        refused = {"--set-aside": set_aside, "--correct-base-rates": correct_base_rates}
        parts = Parts(sources, shard, engine, actors, top, every or None, precision, device)
        parts.predict(model, rows, refused, output)
        return
    source, *more = sources
    if more:
        raise DataError(
            "several inputs are predicted into a folder, and its name ends with /: --out FOLDER/"
        )
    if resume and output.as_json:
        raise DataError("--json prints all rows, which --resume does not have; leave one out")
    with rows.going_through(source, output) as how:
        predict_file(
            model, source, top=top, every=every or None, rejected=set_aside, resume=resume,
            precision=precision, device=device, correct_base_rates=correct_base_rates, **how,
        )  # fmt: skip


def classify(
    source: Annotated[str, argument("TEXTS", "A text, a file, or - for lines.")],
    rows: Rows,
    labels: Annotated[
        str | None, option("NAMES", 'Labels, joined by commas: news,"arts, film".')
    ] = None,
    describe: Annotated[
        Path | None, option("FILE", "TOML: label = description, or a list of them.")
    ] = None,
    several: Annotated[bool, flag("--multilabel", "A text can have several labels.")] = False,
    encoder: options.Encoder = None,
    llm: Annotated[str | None, option("URL", "Ask an LLM instead, the one of --llm-model.")] = None,
    llm_model: options.LlmModel = None,
    llm_budget: options.LlmBudget = None,
    save: Annotated[Path | None, option("FOLDER", "Keep the model here: evaluate, serve.")] = None,
    seed: options.Seed = None,
    device: options.Device = None,
    *,
    output: Output,
) -> None:
    """Classify texts by the names of labels alone."""
    from finetext.batch.predict_file import classify_file
    from finetext.cli import arguments

    described = arguments.descriptions(labels, describe)
    asked = arguments.llm(options.of_llm(llm, llm_model, llm_budget))
    if asked is not None and encoder is not None:
        raise RecipeError(f"--encoder {encoder} and --llm {llm} exclude each other; leave one out")
    with rows.going_through(source, output) as how:
        classify_file(
            described, source, encoder=encoder or "minilm", llm=asked, multilabel=several,
            save=save, seed=seed or 0, device=device or "auto", **how,
        )  # fmt: skip


def _shown(
    stack: ExitStack, source: str, out: str | None, as_json: bool
) -> Callable[[Classifier, Table], None] | None:
    """Return what prints each table of predictions; None if they go into a file alone."""
    from finetext.batch.inputs import is_text

    if as_json or (out is None and not is_text(source)):
        printer = (
            stack.enter_context(json_printer(sys.stdout)) if as_json else table_printer(sys.stdout)
        )
        return lambda _, table: printer(table)
    if out is None:
        return lambda model, table: print_text(table, sys.stdout, len(model.scheme))
    return None


def table_printer(file: TextIO) -> Sink:
    """Return a function that prints rows as lines of CSV, below a header: to a pipe as they are."""
    from finetext.data.write import encoded, text_of

    headed = False
    file = file if file.isatty() else unescaped(file)

    def write(table: Table) -> None:
        nonlocal headed
        with blaming("standard output", file):
            file.write(encoded(text_of(table, ".csv", not headed)).decode())
            file.flush()
        headed = True

    return write


@contextmanager
def json_printer(file: TextIO) -> Iterator[Sink]:
    """Print rows as the items of one JSON list, which ends when the body does."""
    from finetext.core.arrays import plain
    from finetext.data.write import encoded, rows_of

    between = "["

    def write(table: Table) -> None:
        nonlocal between
        with blaming("standard output", file):
            for row in rows_of(table):
                text = encoded(json_text(row, plain)).decode().replace("\n", "\n  ")
                file.write(f"{between}\n  {text}")
                between = ","
            file.flush()

    yield write
    with blaming("standard output", file):
        file.write("[]\n" if between == "[" else "\n]\n")


def print_text(table: Table, file: TextIO, labels: int) -> None:
    """Print the only row as lines of label and probability, likeliest first, of so many labels."""
    from finetext.core.wording import short
    from finetext.data.label_cells import comma_joined
    from finetext.data.predictions import OUT_OF_SCOPE, PREFIX

    def shown(labels: str | list[str]) -> str:
        return short(comma_joined(labels), _LONGEST) or "no label"

    given = table["prediction"][0]
    abstains = "none, as no label is probable enough"
    if table.get(OUT_OF_SCOPE, [False])[0]:
        abstains = "none, as the text belongs to no class"
    lines = [f"prediction: {abstains if given is None else shown(given)}"]
    if "set" in table:
        lines.append(f"prediction set: {shown(table['set'][0])}")
    found = [
        (values[0], name.removeprefix(PREFIX))
        for name, values in table.items()
        if name.startswith(PREFIX)
    ] or [
        (table[f"probability_{place}"][0], table[f"label_{place}"][0])
        for place in range(1, 1 + sum(name.startswith("label_") for name in table))
    ]
    for probability, name in sorted(found, key=lambda pair: -pair[0]):
        lines.append(f"{probability:.4f}  {short(name, _LONGEST)}")
    if len(found) < labels:
        lines.append(f"and {labels - len(found):,} less likely labels (--all shows them)")
    with blaming("standard output", file):
        file.write("".join(f"{line}\n" for line in lines))


def plot(
    model: options.Model,
    source: Annotated[str, argument("TEXT", "The text, or - for all of standard input.")],
    out: Annotated[Path | None, option("FILE", "Draw the bars here, too: .png or .svg.")] = None,
    force: options.Force = False,
    top: Annotated[int, option("NUMBER", "Show that many of the likeliest labels.", min=1)] = 20,
    precision: options.ModelPrecision = None,
    device: options.Device = None,
    *,
    output: Output,
) -> None:
    """Show the probability of each label of a text as bars."""
    from finetext.core.text_columns import text_in_json
    from finetext.models.engines import engine_of
    from finetext.report.one_text import Bars, bar_lines, draw_bars
    from finetext.report.plots import check_picture
    from finetext.runs.load import load_for
    from finetext.storage.files import check_new

    if out is not None:
        check_new(out, force)
        check_picture(out)
    text = _text(source)
    screen = output.screen()
    classifier = load_for("latency", model, device, precision, screen.say)
    text = text_in_json(text, classifier.scheme.text_columns)
    bars = Bars.of(classifier, text)
    computes = engine_of(classifier)
    if output.as_json:
        screen.json(bars.to_json() | {"picture": out and str(out), "engine": computes})
    else:
        is_plain = not (sys.stdout.encoding or "").lower().startswith("utf")
        with blaming("standard output", sys.stdout):
            for line in bar_lines(bars, top, screen.out.width, is_plain):
                screen.out.print(line, soft_wrap=True)
    if out is not None:
        draw_bars(bars, top, out)
        screen.say(f"picture: {out}")
    if computes:
        screen.say(f"engine: {computes}")


def _text(source: str) -> str:
    """Return the text that is given, or all of standard input."""
    from finetext.batch.inputs import exists, is_text, one_text
    from finetext.data.sources import decode

    if source == "-":
        if sys.stdin is None:
            raise DataError("standard input is closed; give the text")
        return decode(sys.stdin.buffer.read(), "standard input")[0].strip()
    if is_text(source):
        return one_text(source)
    if os.path.isfile(source):
        raise DataError(
            f"{source} is a file, and this shows one text; for what is in a file: "
            f"finetext plot MODEL - < {source}"
        )
    kind = "a folder" if exists(source) else "an address"
    raise DataError(f"{source} is {kind}, and this shows one text")
