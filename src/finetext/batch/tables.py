"""Tables of predictions: the columns of the input, then label and probabilities.

Everything goes in chunks of rows, so that memory does not grow with the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, TextIO

import numpy as np

from finetext.batch.files import Sink
from finetext.core.arrays import Floats
from finetext.core.console import blaming, json_text
from finetext.core.contracts import Classifier, ProgressEvent, decided, silent
from finetext.core.errors import RecipeError
from finetext.core.types import Finding
from finetext.core.wording import short
from finetext.data.predictions import PREFIX
from finetext.data.rows import TEXT, Rows, Texts
from finetext.data.write import Table, encoded, joined, plain, rows_of, text_of

FEW: Final = 20
"""Most labels of which every probability is shown unless something else is asked for."""
ROWS: Final = 2_000
"""Rows that are predicted and written at a time: enough to sort by length, and soon done."""
TAKEN: Final = "input:"
"""What comes before the name of a column of the input whose own name a prediction takes."""
_OWN: Final = ("id", "prediction", "set", "probability")


@dataclass(frozen=True)
class Shown:
    """Which probabilities a table has beside that of the label given.

    Attributes:
        top: the so many likeliest labels with theirs; None for none.
        every: whether that of every label; None does so for at most `FEW` labels, unless `top` is
            given.
    """

    top: int | None = None
    every: bool | None = None

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise RecipeError(f"--top {self.top}: the number of labels must be 1 or more")
        if self.top is not None and self.every:
            raise RecipeError("--top shows the likeliest labels and --all every one; give one")


@dataclass(frozen=True)
class Layout:
    """The columns of the tables of one prediction.

    Attributes:
        kept: column of the input to its name in the output.
        has_id: whether the ids need a column of their own.
        top: how many of the likeliest labels have columns.
        every: whether every label has a column.
        kinds: column of the output to the kind of its values, where that is not a number.
    """

    kept: Mapping[str, str] = field(default_factory=dict)
    has_id: bool = True
    top: int = 0
    every: bool = True
    kinds: Mapping[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning if columns of the input have another name in the output."""
        renamed = [(old, new) for old, new in self.kept.items() if old != new]
        if not renamed:
            return ()
        shown = ", ".join(f"{old!r} is {new!r}" for old, new in renamed[:5])
        more = f", and {len(renamed) - 5} more" if len(renamed) > 5 else ""
        message = (
            f"columns of the input have the names of columns of a prediction; in the output {shown}"
            f"{more}"
        )
        return (Finding("warning", "renamed-columns", message),)


def layout_of(classifier: Classifier, texts: Texts, shown: Shown, is_one: bool = False) -> Layout:
    """The columns of the predictions of some texts.

    Args:
        classifier: what predicts.
        texts: the rows with the columns to keep.
        shown: which probabilities.
        is_one: whether there is one text only: then the likeliest of many labels are shown.
    """
    count = len(classifier.scheme)
    every = shown.every if shown.every is not None else count <= FEW and shown.top is None
    top = min(shown.top or (FEW // 2 if is_one and not every else 0), count)
    kept = _names(list(texts.columns), texts.id_column, top)
    several = classifier.scheme.multilabel
    kinds = {kept[name]: kind for name, kind in texts.columns.items()}
    kinds |= {"prediction": [TEXT] if several else TEXT, "set": [TEXT]}
    kinds |= {f"label_{place}": TEXT for place in range(1, top + 1)}
    has_id = "id" not in kept.values()
    kinds |= {"id": TEXT} if has_id else {}
    kinds |= {"text": TEXT} if not kept else {}
    return Layout(kept, has_id, top, every, kinds)


def _names(columns: list[str], id_column: str | None, top: int) -> dict[str, str]:
    """Column of the input to its name in the output, which none of a prediction's own has."""
    own = {*_OWN, *(f"{what}_{n}" for n in range(1, top + 1) for what in ("label", "probability"))}
    taken = {*columns, *own}
    names = {}
    for column in columns:
        name = column
        is_id = column == "id" == id_column
        is_ours = not is_id and (name in own or name.startswith(PREFIX))
        while is_ours and (name == column or name in taken):
            name = TAKEN + name
        names[column] = name
        taken.add(name)
    return names


def pieces(texts: Texts) -> Iterator[Rows]:
    """The rows some at a time, at the same places each time they are read."""
    before = 0.0
    for chunk in texts.batches:
        count = len(chunk.ids)
        starts = range(0, max(count, 1), ROWS)
        for start in starts:
            is_last = start == starts[-1]
            share = before + (chunk.share - before) * min(1.0, (start + ROWS) / max(count, 1))
            part = chunk.part(start, start + ROWS)
            yield replace(part, share=share, bad=chunk.bad if is_last else ())
        before = chunk.share


def predictions(
    classifier: Classifier,
    texts: Texts,
    progress: Callable[[ProgressEvent], None] = silent,
    layout: Layout | None = None,
    skipped: int = 0,
) -> Iterator[tuple[Rows, Table]]:
    """Some rows with a table of their predictions, one after the other.

    Args:
        classifier: any rung.
        texts: the rows; what reading noticed is in their findings when all tables were taken.
        progress: told the number of rows so far, and what it will be by the share that was read.
        layout: the columns; ids, texts and every probability by default.
        skipped: how many rows at the beginning to leave out, as many as some pieces have.
    """
    done = 0
    for piece in pieces(texts):
        done += len(piece)
        if done <= skipped:
            continue
        yield piece, predict_table(classifier, piece, layout or Layout())
        total = round(done / piece.share) if piece.share else 0
        progress(ProgressEvent(f"predicting: {done:,} rows", done, total))


def predict_table(classifier: Classifier, chunk: Rows, layout: Layout | None = None) -> Table:
    """Predict every row.

    Args:
        classifier: any rung.
        chunk: m rows.
        layout: the columns; ids, texts and every probability by default.

    Returns:
        the columns of the input, with `id` before them where it has none that names the rows, or
        `id` and `text` where it has no columns. Then `prediction` (a list of label names when
        multi-label; None where the classifier abstains), `set` (label names, likeliest first) if
        it makes prediction sets, `probability` (of the label given; of the likeliest when
        multi-label); `label_1`, `probability_1` and so on for the likeliest labels, and
        `probability:LABEL` for each label, where the layout has them.
    """
    layout = layout or Layout()
    scheme, decision = classifier.scheme, classifier.decision
    texts = list(chunk.texts)
    found = classifier.predict_proba(texts) if texts else np.zeros((0, len(scheme)))
    table: Table = {"id": list(chunk.ids)} if layout.has_id else {}
    table |= {layout.kept[name]: list(chunk.columns.get(name, ())) for name in layout.kept}
    if not layout.kept:
        table["text"] = texts
    table["prediction"] = decided(scheme, decision, found)
    likely = np.argsort(-found, axis=1, kind="stable")
    if (sets := decision.sets(found)) is not None:
        pairs = zip(likely, sets, strict=True)
        table["set"] = [[scheme.names[i] for i in order if among[i]] for order, among in pairs]
    table["probability"] = _highest(classifier, found).tolist()
    rows = np.arange(len(found))
    for place in range(layout.top):
        table[f"label_{place + 1}"] = [scheme.names[i] for i in likely[:, place]]
        table[f"probability_{place + 1}"] = found[rows, likely[:, place]].tolist()
    if layout.every:
        named = enumerate(scheme.names)
        table |= {f"{PREFIX}{name}": found[:, column].tolist() for column, name in named}
    return table


def _highest(classifier: Classifier, probabilities: Floats) -> Floats:
    """(m,) the probability of the label given, or of the likeliest when multi-label."""
    if classifier.scheme.multilabel:
        return np.asarray(probabilities.max(axis=1))
    given = classifier.decision.labels(probabilities, multilabel=False)
    return np.asarray(probabilities[np.arange(len(given)), given])


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
