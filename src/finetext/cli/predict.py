"""`finetext predict`: a table of labels and probabilities for texts, as large as it may be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from finetext.cli import arguments, options
from finetext.cli.arguments import DataOptions
from finetext.core.console import Screen, blaming, json_text, told_how_to_go_on
from finetext.core.errors import DataError
from finetext.core.wording import short

if TYPE_CHECKING:
    from finetext.core.contracts import Classifier
    from finetext.data.write import Table

    Sink = Callable[[Table], None]

_LONGEST: Final = 200
"""Characters of label names that are shown."""


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
    from finetext.batch.inputs import is_text
    from finetext.batch.predict_file import predict_file
    from finetext.core.contracts import Listener

    if resume and as_json:
        raise DataError("--json prints all rows, which --resume does not have; leave one out")
    read = arguments.data_settings(DataOptions(text, id=row_id).given(), settings)
    screen = Screen(quiet or as_json)
    with told_how_to_go_on(), ExitStack() as stack:
        each = None
        if as_json:
            print_json = stack.enter_context(json_printer(sys.stdout))
            each = lambda _, table: print_json(table)  # noqa: E731
        elif out is None:
            each = text_printer(sys.stdout) if is_text(source) else table_printer(sys.stdout)
        if out is not None or not sys.stdout.isatty():
            stack.enter_context(screen.watching())
        predict_file(
            model, source, out, read=read, top=top, every=every or None, rejected=set_aside,
            resume=resume, precision=precision, device=device, each=each,
            listener=Listener(screen.say, screen.progress, screen.finding),
        )  # fmt: skip


def table_printer(file: TextIO) -> Callable[[Classifier, Table], None]:
    """Return a function that prints rows as lines of CSV, below a header."""
    from finetext.data.write import encoded, text_of

    headed = False

    def write(_: Classifier, table: Table) -> None:
        nonlocal headed
        with blaming("standard output", file):
            file.write(encoded(text_of(table, ".csv", not headed)).decode())
            file.flush()
        headed = True

    return write


@contextmanager
def json_printer(file: TextIO) -> Iterator[Sink]:
    """Print rows as the items of one JSON list, which ends when the body does."""
    from finetext.data.write import encoded, plain, rows_of

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


def text_printer(file: TextIO) -> Callable[[Classifier, Table], None]:
    """Return a function that prints the only row as lines of label and probability."""

    def write(classifier: Classifier, table: Table) -> None:
        with blaming("standard output", file):
            print_text(table, file, len(classifier.scheme))

    return write


def print_text(table: Table, file: TextIO, labels: int) -> None:
    """Print the only row as lines of label and probability, likeliest first, of so many labels."""
    from finetext.data.predictions import PREFIX

    given = table["prediction"][0]
    abstains = "none, as no label is probable enough"
    print(f"prediction: {abstains if given is None else _shown(given)}", file=file)
    if "set" in table:
        print(f"prediction set: {_shown(table['set'][0])}", file=file)
    found = [
        (values[0], name.removeprefix(PREFIX))
        for name, values in table.items()
        if name.startswith(PREFIX)
    ] or [
        (table[f"probability_{place}"][0], table[f"label_{place}"][0])
        for place in range(1, 1 + sum(name.startswith("label_") for name in table))
    ]
    for probability, name in sorted(found, key=lambda pair: -pair[0]):
        print(f"{probability:.4f}  {short(name, _LONGEST)}", file=file)
    if len(found) < labels:
        print(f"and {labels - len(found):,} less likely labels (--all shows them)", file=file)


def _shown(labels: str | list[str]) -> str:
    """Return labels on one line, without characters that a terminal would obey."""
    from finetext.data.write import joined

    return short(joined(labels), _LONGEST) or "no label"
