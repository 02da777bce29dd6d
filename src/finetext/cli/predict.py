"""`finetext predict`: a table of labels and probabilities for texts, as large as it may be."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.cli import options
from finetext.cli.arguments import DataOptions
from finetext.core.console import Screen, told_how_to_go_on
from finetext.core.errors import DataError
from finetext.core.wording import counted

if TYPE_CHECKING:
    from finetext.batch.files import Sink
    from finetext.batch.output import Files, Output
    from finetext.batch.state import Identity


_LONG: Final = 10.0
"""Seconds from which it is said how fast it went."""


def predict(
    model: options.Model,
    source: options.Input,
    text: options.Text = None,
    row_id: options.RowId = None,
    settings: options.DataSettings = None,
    out: options.PredictedOut = None,
    top: options.Top = None,
    every: options.EveryLabel = False,
    set_aside: options.SetAside = None,
    resume: options.ResumePrediction = False,
    precision: options.Precision = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Predict a text, the rows of a file, or lines of standard input."""
    from finetext.batch.inputs import is_text, read_input
    from finetext.batch.output import Files, opened
    from finetext.batch.tables import Shown, layout_of, predictions
    from finetext.data.rows import Wanted
    from finetext.runs.run import load

    screen = Screen(quiet or as_json)
    shown = Shown(top, every or None)
    files = Files(out, set_aside, source, resume)
    if resume and as_json:
        raise DataError("--json prints all rows, which --resume does not have; leave one out")
    if set_aside is not None and is_text(source):
        raise DataError("--set-aside is for files; this is one text")
    given = DataOptions(text, id=row_id).given()
    with told_how_to_go_on(), ExitStack() as stack:
        output = stack.enter_context(opened(files))
        classifier = load(model, device, precision=precision, say=screen.say)
        wanted = Wanted(columns=True, bad=set_aside is not None)
        texts = read_input(source, given, settings, wanted)
        if texts.description:
            screen.say(texts.description)
        layout = layout_of(classifier, texts, shown, is_text(source))
        asked = {"--text": text, "--id": row_id, "--set": settings, "--top": top, "--all": every}
        asked |= {"--precision": precision, "--device": device}
        done = output.begin(_identity(model, files, output, asked), layout.kinds)
        if resume:
            screen.say(
                f"going on after {done:,} rows" if done else "there is nothing to go on with"
            )
        sinks = _sinks(stack, is_text(source), files, as_json, len(classifier.scheme))
        if out is not None or not sys.stdout.isatty():
            stack.enter_context(screen.watching())
        start, before = time.monotonic(), done
        for piece, table in predictions(classifier, texts, screen.progress, layout, done):
            for write in sinks:
                write(table)
            output.write(table, piece.bad)
        seconds = time.monotonic() - start
    for finding in (*layout.findings, *texts.findings):
        screen.finding(finding)
    _say_counts(output, files, (output.rows - before) / seconds if seconds > _LONG else 0, screen)


def _identity(model: Path, files: Files, output: Output, asked: dict[str, Any]) -> Identity | None:
    """What is predicted, if it can be gone on with."""
    from finetext.batch.state import Identity, model_hash, source_of
    from finetext.core import __version__

    if not output.needs_identity:
        return None
    asked = {name: value for name, value in asked.items() if value}
    return Identity(__version__, model_hash(model), source_of(Path(files.source)), asked)


def _sinks(stack: ExitStack, is_one: bool, files: Files, as_json: bool, labels: int) -> list[Sink]:
    """What is printed, if anything is."""
    from finetext.batch.tables import json_printer, table_printer, text_printer

    if as_json:
        return [stack.enter_context(json_printer(sys.stdout))]
    if files.out is not None:
        return []
    return [text_printer(sys.stdout, labels) if is_one else table_printer(sys.stdout)]


def _say_counts(output: Output, files: Files, speed: float, screen: Screen) -> None:
    """How many rows there were, and where they are."""
    fast = f" ({speed:,.0f} rows/s)" if speed else ""
    if files.out is not None:
        done = counted(output.rows - output.bad, "prediction")
        screen.say(f"{done}{fast}: {files.out}")
    if files.aside is not None:
        bad = counted(output.bad, "row")
        screen.say(f"{bad} of {output.rows:,} set aside: {files.aside}")
