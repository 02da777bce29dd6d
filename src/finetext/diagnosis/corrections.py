"""The list of suspects as a file for a reviewer, and what the reviewer decided put into the data.

Nothing is changed without a word in the column `correct`, and a list that does not fit the data is
refused as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from finetext.core.errors import DataError, FinetextError, UnknownNameError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset, LabelScheme
from finetext.core.wording import plain_name
from finetext.data.formats import DELIMITED, parse_table
from finetext.data.label_cells import Word, joined, understood, written
from finetext.data.labels import as_strings
from finetext.data.read import read as read_data
from finetext.data.rows import Batch
from finetext.data.sources import decode, file_at
from finetext.data.write import check_new, write_table
from finetext.diagnosis.label_errors import Suspects

NEEDED: Final = ("id", "text", "label", "correct")
_MOST_SHOWN: Final = 10
_NEW: Final = "A label that no row has yet is allowed by --new-label NAME (Python: new_labels)."


@dataclass(frozen=True, eq=False)
class Corrected:
    """A data set with what a reviewer decided put into it.

    Attributes:
        dataset: the rows that are left, in their order.
        changed: ids of the rows that have another label now.
        dropped: ids of the rows that are gone.
        kept: rows whose label the reviewer found right.
        unreviewed: rows of the list without a word on them, which stay as they are.
    """

    dataset: Dataset
    changed: tuple[str, ...]
    dropped: tuple[str, ...]
    kept: int
    unreviewed: int


def write_suspects(suspects: Suspects, path: Path) -> None:
    """Write the list with an empty column `correct`, as CSV, TSV, JSON lines or Parquet.

    Raises:
        DataError: the file exists, or cannot be written.
    """
    check_new(path)
    rows = suspects.suspects
    columns: dict[str, list[Any]] = {
        name: [getattr(one, name) for one in rows] for name in ("id", "text", "label", "suggested")
    }
    for name in ("probability_of_label", "probability_of_suggested", "quality"):
        columns[name] = [round(getattr(one, name), 6) for one in rows]
    columns["correct"] = [""] * len(rows)
    write_table(path, columns, for_spreadsheets=True)


def apply_labels(
    what: Any,
    reviewed: str | Path,
    *,
    read: ReadSettings | None = None,
    new_labels: Sequence[str] = (),
) -> Corrected:
    """Put the words of a reviewer into a data set.

    In the column `correct` of the list stands the label that is right (several, where a row can
    have them, joined as in the column `label`), `drop` to remove the row, or `ok` or nothing to
    leave it as it is. Where a label is called `ok` or `drop`, the name means that label, and
    `(ok)` or `(drop)` the word.

    Args:
        what: the data that the list was made of: anything that `finetext.read` takes.
        reviewed: the list, as CSV (also with semicolons), TSV, JSON lines, Parquet or Excel.
        read: how to read the data; as they were read for the list.
        new_labels: labels that no row has yet, and that the list may give.

    Returns:
        the corrected data and what was done; nothing is written.

    Raises:
        DataError: the list is none, or does not fit the data: an id that the data do not have, a
            text or label that is another one now, a label that does not exist, two words on one
            row. The message has the rows of the list.
    """
    dataset = read_data(what, settings=read)
    if dataset.scheme is None:
        raise DataError("the data have no labels to correct; name their column with --label")
    added = [name for name in dict.fromkeys(new_labels) if name not in dataset.scheme.index]
    scheme = replace(dataset.scheme, names=(*dataset.scheme.names, *added))
    path = Path(reviewed)
    decided = _decisions(path, _review(path), dataset, scheme)
    changed: dict[int, Any] = {}
    for row, word in decided.words.items():
        if not isinstance(word, Word) and set(word) != set(_names(dataset.labels[row])):
            changed[row] = list(word) if scheme.multilabel else word[0]
    dropped = {row for row, word in decided.words.items() if word is Word.DROP}
    if len(dropped) == len(dataset):
        raise DataError(f"{path} drops all rows of the data")
    left = [row for row in range(len(dataset)) if row not in dropped]
    corrected = _with_labels(dataset, changed, scheme) if changed else dataset
    return Corrected(
        corrected.select(left) if dropped else corrected,
        tuple(dataset.ids[row] for row in sorted(changed)),
        tuple(dataset.ids[row] for row in sorted(dropped)),
        len(decided.words) - len(changed) - len(dropped),
        decided.unreviewed,
    )


def write_dataset(dataset: Dataset, path: Path) -> tuple[str, ...]:
    """Write all rows in their order: `id`, `text`, `label`, and `group` and `split` if there are.

    Several labels of a row are a list in JSON lines and Parquet, and joined in CSV and TSV. A row
    without a group has none in the file either.

    Returns:
        the names of the columns.

    Raises:
        DataError: it cannot be written.
    """
    names = [
        n for n in ("id", "text", "label", "group", "split") if n in dataset.table.column_names
    ]
    columns = {name: dataset.column(name) for name in names}
    if dataset.scheme is not None and dataset.scheme.multilabel and path.suffix in DELIMITED:
        scheme = dataset.scheme
        columns["label"] = [
            joined(several, scheme) if several else "" for several in dataset.labels
        ]
    if "group" in columns:
        pairs = zip(columns["group"], dataset.ids, strict=True)
        columns["group"] = [None if group == f"(row {one})" else group for group, one in pairs]
    write_table(path, columns)
    return tuple(names)


@dataclass(frozen=True)
class _Decided:
    """What a list says: the word on each row of the data, and how many rows have none."""

    words: dict[int, Word | tuple[str, ...]]
    unreviewed: int


def _review(path: Path) -> Batch:
    """The list, with the columns that are needed by their own names.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    file = file_at(path)
    delimiter = None
    if path.suffix.lower() in DELIMITED:
        first = decode(file.load(), file.name)[0].lstrip().split("\n", 1)[0]
        found = re.search(r"[,;\t|]", first)
        delimiter = found[0] if found else None
    table = parse_table(file, ReadSettings(delimiter=delimiter, header=True))
    by_name = {plain_name(name): values for name, values in table.columns.items()}
    if absent := [name for name in NEEDED if name not in by_name]:
        raise DataError(
            f"{path} has no column {absent[0]!r}, so it is no list of suspects; there are: "
            f"{', '.join(table.columns)}"
        )
    return replace(table, columns={name: by_name[name] for name in NEEDED})


def _decisions(path: Path, table: Batch, dataset: Dataset, scheme: LabelScheme) -> _Decided:
    """What the list says of the rows of the data.

    Raises:
        DataError: it does not fit the data; the message has the first ten places.
    """
    places = {one: row for row, one in enumerate(dataset.ids)}
    cells = [[cell or "" for cell in as_strings(of)] for of in table.columns.values()]
    first = 1 if path.suffix.lower() in (".jsonl", ".parquet") else 2  # a header is row 1
    seen: dict[int, tuple[int, Word | tuple[str, ...]]] = {}
    reviewed: set[int] = set()
    problems: list[str] = []
    hint: list[str] = []
    for number, (one, text, label, word) in enumerate(zip(*cells, strict=True), start=first):
        if not (one or text or label or word):
            continue
        try:
            row = _row_of(one, text, label, dataset, places)
            meant = understood(word, scheme)
            if seen.setdefault(row, (number, meant))[1] != meant:
                raise DataError(f"the id {one!r} has another word in row {seen[row][0]}")
            reviewed |= {row} if word.strip() else set()
        except FinetextError as error:
            hint = [_NEW] if isinstance(error, UnknownNameError) else hint
            problems.append(f"row {number}: {error}")
    if problems:
        more = len(problems) - _MOST_SHOWN
        shown = [*problems[:_MOST_SHOWN], *([f"and {more:,} more"] if more > 0 else []), *hint]
        raise DataError(
            "\n".join([f"{path} does not fit the data, so nothing is changed:", *shown])
        )
    words = {row: meant for row, (_, meant) in seen.items() if row in reviewed}
    return _Decided(words, len(seen) - len(words))


def _row_of(one: str, text: str, label: str, dataset: Dataset, places: dict[str, int]) -> int:
    """The row of the data that a row of the list is about.

    Raises:
        DataError: there is none, or its text or label is another one.
    """
    if one not in places:
        raise DataError(f"the data have no row with the id {one!r}")
    row = places[one]
    if _plain(text) != _plain(dataset.texts[row]):
        raise DataError(f"the text of the id {one!r} is another one than in the data")
    assert dataset.scheme is not None
    there = written(_names(dataset.labels[row]), dataset.scheme)
    if label.strip() != there.strip():
        raise DataError(f"the label of the id {one!r} is {there!r} in the data, not {label!r}")
    return row


def _plain(text: str) -> str:
    """A text without what a spreadsheet may change about it: spaces, ends of lines."""
    return " ".join(text.split())


def _names(labels: str | list[str]) -> list[str]:
    return [labels] if isinstance(labels, str) else labels


def _with_labels(dataset: Dataset, changed: dict[int, Any], scheme: LabelScheme) -> Dataset:
    """The data set with other labels in some rows."""
    import pyarrow

    names = dataset.table.column_names
    columns = {name: dataset.column(name) for name in names}
    columns["label"] = [changed.get(row, label) for row, label in enumerate(dataset.labels)]
    several = pyarrow.list_(pyarrow.string())
    kinds = {"label": several if scheme.multilabel else pyarrow.string()}
    arrays = {n: pyarrow.array(columns[n], kinds.get(n, pyarrow.string())) for n in names}
    return replace(dataset, table=_table(arrays), scheme=scheme)


def _table(arrays: dict[str, Any]) -> Any:
    import datasets
    import pyarrow

    return datasets.Dataset(pyarrow.table(arrays))
