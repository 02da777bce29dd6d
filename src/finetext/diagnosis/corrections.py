"""The list of suspect labels as a file for a reviewer, and the reviewer's decisions in the data.

Only rows with an entry in the column `correct` change, and a list that does not match the data is
rejected as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.budget import explained, reading, within_memory
from finetext.core.errors import DataError, FinetextError, UnknownNameError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset, Finding, LabelScheme, Predictions
from finetext.data.columns import plain_name
from finetext.data.formats import DELIMITED, parse_table
from finetext.data.label_cells import Word, as_strings, joined, understood, written
from finetext.data.read import read as read_data
from finetext.data.rows import Batch
from finetext.data.sources import decode, file_at
from finetext.data.workbook import cell_text
from finetext.data.write import IN_CELLS, form_of, write_table
from finetext.diagnosis.label_errors import Suspects

_NEEDED: Final = ("id", "text", "label", "correct")
_MOST_SHOWN: Final = 10
_NEW: Final = "A label that no row has yet is allowed by --new-label NAME (Python: new_labels)."
_Decision = Word | tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Corrected:
    """A data set with a reviewer's decisions applied: ids of rows changed and dropped, and counts.

    `kept` rows have a confirmed label; `unreviewed` rows are listed without a decision.
    """

    dataset: Dataset
    changed: tuple[str, ...]
    dropped: tuple[str, ...]
    kept: int
    unreviewed: int


def write_suspects(
    suspects: Suspects, path: Path, locale: str | None = None, keep_formulas: bool = False
) -> tuple[Finding, ...]:
    """Write the list with an empty column `correct`; return warnings, raise a DataError.

    Test rows come without the suggestion and in the order of their ids, mixed with as many that are
    not suspected: a reviewer who knew what the method thinks would move the scores towards it.
    Without a locale, CSV has a byte order mark, commas and decimal points; see `text_of`.
    Cells that a spreadsheet would run have an apostrophe before them, unless `keep_formulas`.
    """
    numbers = ("probability_of_label", "probability_of_suggested", "quality")
    hidden = set(suspects.test)
    blind = [one for one in suspects.suspects if one.id in hidden]
    rows = [one for one in suspects.suspects if one.id not in hidden]
    rows += sorted([*blind, *suspects.others], key=lambda one: sha256(one.id.encode()).digest())
    shown = len(suspects.suspects) - len(blind)
    columns: dict[str, list[Any]] = {
        name: [getattr(one, name) for one in rows]
        for name in ("id", "text", "label", "suggested", *numbers)
    }
    columns |= {name: [round(value, 6) for value in columns[name]] for name in numbers}
    for name in ("suggested", *numbers):
        columns[name][shown:] = ["" if name == "suggested" else None] * (len(rows) - shown)
    columns["correct"] = [""] * len(rows)
    return write_table(path, columns, locale or "en", keep_formulas)


@within_memory
def apply_labels(
    what: Any,
    reviewed: str | Path,
    *,
    read: ReadSettings | None = None,
    new_labels: Sequence[str] = (),
) -> Corrected:
    """Apply a reviewer's decisions to a data set.

    The column `correct` of the list holds the right label (several, in a multi-label scheme,
    joined as in the column `label`), `drop` to remove the row, or `ok` or nothing to leave it as
    it is. If a label is called `ok` or `drop`, the name means that label, and `(ok)` or `(drop)`
    the decision.

    Args:
        what: the data that the list was made from: anything that `finetext.read` takes.
        reviewed: the list, as CSV (also with semicolons), TSV, JSON lines, Parquet or Excel.
        read: how to read the data; the same settings as for the list.
        new_labels: labels that no row has yet, and that the list may use.

    Raises:
        DataError: the file is not such a list, or does not match the data: an unknown id, another
            text or label, a label that does not exist, two decisions on one row.
    """
    dataset = read_data(what, settings=read)
    if dataset.scheme is None:
        raise DataError("the data have no labels to correct; name their column with --label")
    added = [name for name in dict.fromkeys(new_labels) if name not in dataset.scheme.index]
    scheme = dataset.scheme
    if added:
        scheme = LabelScheme((*scheme.names, *added), scheme.multilabel)
    path = Path(reviewed)
    listed = read_list(path, _NEEDED, "list of suspect labels")
    decisions, unreviewed = _decisions(path, listed, dataset, scheme)
    changed: dict[int, Any] = {}
    for row, decision in decisions.items():
        if isinstance(decision, tuple) and set(decision) != set(_labels(dataset, row)):
            changed[row] = list(decision) if scheme.multilabel else decision[0]
    dropped = {row for row, decision in decisions.items() if decision is Word.DROP}
    if len(dropped) == len(dataset):
        raise DataError(f"{path} drops all rows of the data")
    corrected = with_labels(dataset, changed, scheme) if changed else dataset
    if dropped:
        corrected = corrected.select([row for row in range(len(dataset)) if row not in dropped])
    return Corrected(
        corrected,
        tuple(dataset.ids[row] for row in sorted(changed)),
        tuple(dataset.ids[row] for row in sorted(dropped)),
        len(decisions) - len(changed) - len(dropped),
        unreviewed,
    )


def dataset_columns(dataset: Dataset, path: Path | None) -> dict[str, list[Any]]:
    """Return all rows in order as the columns of a table, for the format of a file."""
    known = ("id", "text", "label", "group", "split")
    names = [name for name in known if name in dataset.table.column_names]
    columns = {name: dataset.column(name) for name in names}
    scheme = dataset.scheme
    if scheme is not None and scheme.multilabel and path and form_of(path) in IN_CELLS:
        columns["label"] = [joined(labels, scheme) if labels else "" for labels in dataset.labels]
    if "group" in columns:
        pairs = zip(columns["group"], dataset.ids, strict=True)
        columns["group"] = [None if group == f"(row {one})" else group for group, one in pairs]
    return columns


def read_list(path: Path, needed: Sequence[str], what: str) -> Batch:
    """Return a reviewed list with only the columns that are needed, or raise a DataError."""
    with reading(), explained(path):
        file = file_at(path)
        delimiter = None
        if path.suffix.lower() in DELIMITED:
            first = decode(file.load(), file.name)[0].lstrip().split("\n", 1)[0]
            found = re.search(r"[,;\t|]", first)
            delimiter = found[0] if found else None
        table = parse_table(file, ReadSettings(delimiter=delimiter, header=True))
    by_name = {plain_name(name): values for name, values in table.columns.items()}
    if absent := [name for name in needed if name not in by_name]:
        raise DataError(
            f"{path} has no column {absent[0]!r}, so it is not a {what}. "
            f"Columns: {', '.join(table.columns)}"
        )
    return replace(table, columns={name: by_name[name] for name in needed})


def _decisions(
    path: Path, table: Batch, dataset: Dataset, scheme: LabelScheme
) -> tuple[dict[int, _Decision], int]:
    """Return the decision on each row of the data, and how many listed rows have none."""
    places = {one: row for row, one in enumerate(dataset.ids)}
    cells = [[cell or "" for cell in as_strings(of)] for of in table.columns.values()]
    first = 1 if path.suffix.lower() in (".jsonl", ".parquet") else 2  # a header is row 1
    seen: dict[int, tuple[int, _Decision]] = {}
    reviewed: set[int] = set()
    problems: list[str] = []
    hint: list[str] = []
    for number, (one, text, label, cell) in enumerate(zip(*cells, strict=True), start=first):
        if not (one or text or label or cell):
            continue
        try:
            row = _matching_row(one, text, label, dataset, places)
            decision = understood(cell, scheme)
            if seen.setdefault(row, (number, decision))[1] != decision:
                raise DataError(f"the id {one!r} has another decision in row {seen[row][0]}")
            reviewed |= {row} if cell.strip() else set()
        except FinetextError as error:
            hint = [_NEW] if isinstance(error, UnknownNameError) else hint
            problems.append(f"row {number}: {error}")
    if problems:
        more = len(problems) - _MOST_SHOWN
        shown = [*problems[:_MOST_SHOWN], *([f"and {more:,} more"] if more > 0 else []), *hint]
        raise DataError(
            "\n".join([f"{path} does not match the data, so nothing is changed:", *shown])
        )
    decisions = {row: decision for row, (_, decision) in seen.items() if row in reviewed}
    return decisions, len(seen) - len(decisions)


def _matching_row(one: str, text: str, label: str, dataset: Dataset, places: dict[str, int]) -> int:
    """Return the row of the data with this id, text and label, or raise a DataError."""
    if one not in places:
        raise DataError(f"the data have no row with the id {one!r}")
    row = places[one]
    there = dataset.texts[row]
    # Spreadsheets change spaces and line ends, and Excel cuts long texts.
    if text.split() not in (there.split(), cell_text(there).split()):
        raise DataError(f"the text of the id {one!r} is another one than in the data")
    assert dataset.scheme is not None
    there = written(_labels(dataset, row), dataset.scheme)
    if label.strip() != there.strip():
        raise DataError(f"the label of the id {one!r} is {there!r} in the data, not {label!r}")
    return row


def _labels(dataset: Dataset, row: int) -> list[str]:
    labels = dataset.labels[row]
    return [labels] if isinstance(labels, str) else labels


def before_and_after(
    predictions: Predictions, corrected: Corrected
) -> tuple[Predictions, Predictions] | None:
    """Return predictions with the labels before and after, on the same rows.

    Rows that are dropped, or have a label that the predictions do not know, are left out of both;
    None if no label of a row that is left changes.
    """
    labels = dict(zip(corrected.dataset.ids, corrected.dataset.labels, strict=True))
    column, changed = predictions.scheme.index, set(corrected.changed)
    kept, targets = list[int](), predictions.targets.copy()
    for row, one in enumerate(predictions.ids):
        names = labels.get(one)
        names = [names] if isinstance(names, str) else names
        if names is None or any(name not in column for name in names):
            continue
        kept.append(row)
        if one in changed and targets.ndim == 1:
            targets[row] = column[names[0]]
        elif one in changed:
            targets[row] = [int(name in names) for name in predictions.scheme.names]
    before = predictions.select(kept)
    after = replace(before, targets=targets[kept])
    return None if np.array_equal(before.targets, after.targets) else (before, after)


def with_labels(dataset: Dataset, changed: dict[int, Any], scheme: LabelScheme) -> Dataset:
    """Return the data with other labels in some rows, by position."""
    import datasets
    import pyarrow

    string = pyarrow.string()
    columns = {name: dataset.column(name) for name in dataset.table.column_names}
    columns["label"] = [changed.get(row, label) for row, label in enumerate(dataset.labels)]
    arrays = {
        name: pyarrow.array(
            values, pyarrow.list_(string) if name == "label" and scheme.multilabel else string
        )
        for name, values in columns.items()
    }
    return replace(dataset, table=datasets.Dataset(pyarrow.table(arrays)), scheme=scheme)
