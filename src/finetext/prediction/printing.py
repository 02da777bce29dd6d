"""Tables of predictions on standard output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from finetext.console import blaming, json_text
from finetext.data.predictions import PREFIX
from finetext.prediction.cells import Table, encoded, joined, plain, rows_of, text_of
from finetext.prediction.files import Sink
from finetext.report.figures import short

_LONGEST: Final = 200
"""Characters of label names that are shown."""


def table_printer(file: TextIO) -> Sink:
    """Every row as a line of CSV, below a header."""
    headed = False

    def write(table: Table) -> None:
        nonlocal headed
        with blaming("standard output", file):
            file.write(encoded(text_of(table, ".csv", not headed)).decode())
            file.flush()
        headed = True

    return write


@contextmanager
def json_printer(file: TextIO) -> Iterator[Sink]:
    """Every row as an item of one JSON list."""
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


def text_printer(file: TextIO, labels: int) -> Sink:
    """The only row as lines of label and probability, likeliest first, of so many labels."""

    def write(table: Table) -> None:
        with blaming("standard output", file):
            print_text(table, file, labels)

    return write


def print_text(table: Table, file: TextIO, labels: int) -> None:
    """The only row as lines of label and probability, likeliest first.

    Args:
        table: one row.
        file: where to.
        labels: how many labels there are.
    """
    given = table["prediction"][0]
    abstains = "none, as no label is probable enough"
    print(f"prediction: {abstains if given is None else _said(given)}", file=file)
    if "set" in table:
        print(f"prediction set: {_said(table['set'][0])}", file=file)
    found = _found(table)
    for probability, name in sorted(found, key=lambda pair: -pair[0]):
        print(f"{probability:.4f}  {short(name, _LONGEST)}", file=file)
    if len(found) < labels:
        print(f"and {labels - len(found):,} less likely labels (--all shows them)", file=file)


def _said(labels: str | list[str]) -> str:
    """Labels on one line, without characters that a terminal would obey."""
    return short(joined(labels), _LONGEST) or "no label"


def _found(table: Table) -> list[tuple[float, str]]:
    """Probability and name of the labels that the table shows."""
    every = [
        (values[0], name.removeprefix(PREFIX))
        for name, values in table.items()
        if name.startswith(PREFIX)
    ]
    top = [
        (table[f"probability_{place}"][0], table[f"label_{place}"][0])
        for place in range(1, 1 + sum(name.startswith("label_") for name in table))
    ]
    return every or top
