"""Tables of predictions made elsewhere: id, true label, and a probability for each label."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.budget import explained, reading
from finetext.core.decision import Decision
from finetext.core.errors import DataError, nearest
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding, LabelScheme, Predictions, SplitName
from finetext.data.archives import gunzipped
from finetext.data.columns import TEXT_NAMES, by_name, is_number
from finetext.data.flags import affirmative
from finetext.data.formats import parse_table
from finetext.data.label_cells import Names, as_strings, cells_of, labels_in, parts_of
from finetext.data.rows import SPLIT_WORDS, Batch
from finetext.data.sources import file_at

PREFIX: Final = "probability:"
OWN: Final = "finetext:"
"""Prefix of a column of predictions whose name another column of the table has."""
OUT_OF_SCOPE: Final = "out_of_scope"
"""Column that says whether a text belongs to no class, of a model that tells."""
_TRUTHS: Final = ("truth", "label")
_ABOUT_ROWS: Final = {
    "id", *_TRUTHS, "text", "group", "split", "prediction", "probability", OUT_OF_SCOPE,
}  # fmt: skip
_SPECK: Final = 1e-6
_COMMA: Final = re.compile(r"\s*\d+,\d+([eE][-+]?\d+)?\s*")  # a decimal comma


@dataclass(frozen=True, eq=False)
class PredictedTable:
    """What a table of predictions says, with the (n,) texts if it has them."""

    predictions: Predictions
    texts: tuple[str, ...] | None = None
    findings: tuple[Finding, ...] = ()
    part: SplitName | None = None


def read_predicted_table(path: Path, part: SplitName = "test") -> PredictedTable:
    """Read predictions with their true labels from CSV, TSV, JSON lines, Parquet and the like."""
    with reading(), explained(path):
        table = _newest(parse_table(gunzipped(file_at(path)), ReadSettings(header=True)))
    truth = _truth_column(table)
    known_part = part if "split" in table.columns else None
    table = _rows_of_part(table, part)
    columns = _probability_columns(table, truth)
    _refuse_repeated(table, columns.values())
    rows, several = _labels(table, truth, tuple(columns))
    given, several_given = None, False
    if "prediction" in table.columns:
        given, several_given = _labels(table, "prediction", tuple(columns))
    is_several = several or several_given
    yes = None if is_several else affirmative(tuple(columns))
    scheme = LabelScheme(tuple(columns), is_several, affirmative=yes)
    if not scheme.multilabel and (empty := [row for row, names in enumerate(rows) if not names]):
        raise DataError(
            f"{table.name}, {table.where(empty)}: the true label in column {truth!r} is empty"
        )
    predictions = Predictions(
        ids=_ids(table),
        targets=scheme.encode(rows if scheme.multilabel else [names[0] for names in rows]),
        probabilities=_probabilities(table, list(columns.values()), scheme),
        scheme=scheme,
        groups=_filled(table, "group") if "group" in table.columns else None,
    )
    findings = table.findings
    if given is not None:
        predictions, noticed = _as_given(table, predictions, given)
        findings += noticed
    return PredictedTable(predictions, _texts(table), findings, known_part)


def own_column(columns: Collection[str], name: str) -> str:
    """Return the column of a table that holds `name` of its newest predictions."""
    while OWN + name in columns:
        name = OWN + name
    return name


def _newest(table: Batch) -> Batch:
    """The newest predictions under the usual names, without older ones; also `ID` as `id`."""
    columns = list(table.columns)
    names = {own_column(columns, name): name for name in ("id", "prediction", "probability")}
    alike = [name for name in columns if name.casefold() == "id"]
    if "id" not in columns and len(alike) == 1:
        names |= {alike[0]: "id"}
    prefix = ""
    while any(name.startswith(OWN + prefix + PREFIX) for name in columns):
        prefix += OWN
    names |= {n: n.removeprefix(prefix) for n in columns if n.startswith(prefix + PREFIX)}
    renamed = {new for old, new in names.items() if old != new and old in columns}
    is_old = {n for n in columns if n in renamed or (prefix and n.startswith(PREFIX))}
    kept = {names.get(n, n): of for n, of in table.columns.items() if n in names or n not in is_old}
    return replace(table, columns=kept)


def _truth_column(table: Batch) -> str:
    there = ", ".join(map(repr, list(table.columns)[:20])) or "none"
    if "id" not in table.columns:
        raise DataError(
            f"{table.name} has no column 'id', the name of each row; its columns are: {there}"
        )
    if not (found := next((name for name in _TRUTHS if name in table.columns), None)):
        raise DataError(
            f"{table.name} has no column 'truth' (or 'label') with the true label of each row; its "
            f"columns are: {there}. The output of finetext predict has the columns of its input: "
            "add a column 'truth' or 'label' there, several labels of a row joined by commas"
        )
    if not len(table):
        raise DataError(f"{table.name} has no rows")
    return found


def _rows_of_part(table: Batch, part: SplitName) -> Batch:
    """The rows of one split, or all if there is no column `split`."""
    if "split" not in table.columns:
        return table
    splits = [str(value).strip().lower() for value in table.columns["split"]]
    rows = [row for row, split in enumerate(splits) if SPLIT_WORDS.get(split) == part]
    if not rows:
        there = ", ".join(list(dict.fromkeys(splits))[:10])
        raise DataError(f"{table.name} has no {part} rows; its column 'split' says: {there}")
    if len(rows) == len(splits):
        return table
    columns = {name: [values[row] for row in rows] for name, values in table.columns.items()}
    lines = [table.lines[row] if table.lines else row + 1 for row in rows]
    return replace(table, columns=columns, lines=lines)


def _labels(table: Batch, column: str, known: Names) -> tuple[list[Names], bool]:
    """The labels in each cell of a column, and whether some cell is a list or holds several."""
    labels, cells = set(known), cells_of(table.columns[column])
    found = {cell: labels_in(cell, labels) for cell in set(cells)}
    odd = next((row for row, cell in enumerate(cells) if found[cell] is None), None)
    if odd is not None:
        cell = cells[odd]
        name = cell if isinstance(cell, str) else next(n for n in cell or () if n not in labels)
        raise DataError(
            f"{table.name}, {table.where([odd])}, column {column!r}: the label {name!r} has no "
            f"column of probabilities{nearest(str(name), list(known))}"
        )
    several = any(cell is not None and cell not in labels for cell in found)
    return [found[cell] or () for cell in cells], several


def _probability_columns(table: Batch, truth: str) -> dict[str, str]:
    """Label to the column of its probabilities, in the order of the table."""
    if named := {n.removeprefix(PREFIX): n for n in table.columns if n.startswith(PREFIX)}:
        return named
    known = {name for cell in set(cells_of(table.columns[truth])) for name in parts_of(cell)}
    others = {name: of for name, of in table.columns.items() if name not in _ABOUT_ROWS}
    found = [n for n, of in others.items() if n in known or any(map(_is_number, of[:100]))]
    if not found:
        raise DataError(
            f"{table.name} has no columns of probabilities: name them '{PREFIX}LABEL', as finetext "
            f"predict --all does, or by the labels alone ({', '.join(sorted(known)[:5])})"
        )
    return dict(zip(found, found, strict=True))


def _refuse_repeated(table: Batch, probabilities: Collection[str]) -> None:
    """Refuse a table with two columns of the same name where it matters which is meant."""
    columns = list(table.columns)
    for number, name in enumerate(columns, start=1):
        first = name.removesuffix(f" ({number})")  # as `column_names` marks a repeated name
        if first in columns[: number - 1] and (first in _ABOUT_ROWS or name in probabilities):
            raise DataError(
                f"{table.name}: the column {first!r} occurs twice (columns "
                f"{columns.index(first) + 1} and {number}); remove one of them, or rename it"
            )


def _is_number(value: Any) -> bool:
    try:
        return float(value) == float(value)
    except (TypeError, ValueError):
        return False


def _probabilities(table: Batch, columns: Sequence[str], scheme: LabelScheme) -> Floats:
    """The probabilities, (n, k); those of a row with one label divided by their sum."""
    values = np.stack([_column_of_probabilities(table, column) for column in columns], axis=1)
    if scheme.multilabel:
        return values
    sums = values.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > max(1e-3, 5e-4 * len(scheme))).tolist()
    if off:
        raise DataError(
            f"{table.name}, {table.where(off)}: the probabilities sum to {sums[off[0]]:.4g}, not "
            f"to 1, over the columns {', '.join(map(repr, columns[:10]))}. If a text can have "
            "several labels, write those of some row as a list: ['one', 'another']; if a column is "
            f"not a probability, name those that are '{PREFIX}LABEL'"
        )
    return np.asarray(values / sums[:, None])


def _column_of_probabilities(table: Batch, column: str) -> Floats:
    cells = [
        cell.replace(",", ".") if isinstance(cell, str) and _COMMA.fullmatch(cell) else cell
        for cell in table.columns[column]
    ]
    try:
        values = np.array(cells, dtype=np.float64)
        what = "is not a probability between 0 and 1"
        odd = np.flatnonzero(~((values >= -_SPECK) & (values <= 1 + _SPECK))).tolist()
    except (TypeError, ValueError):
        what = "is not a number"
        odd = [row for row, cell in enumerate(cells) if not _is_number(cell)]
    if not odd:
        return values.clip(0, 1)
    advice = f"; if {column!r} is not a label, name the columns of the labels '{PREFIX}LABEL'"
    raise DataError(
        f"{table.name}, {table.where(odd)}, column {column!r}: {cells[odd[0]]!r} {what}"
        f"{'' if column.startswith(PREFIX) else advice}"
    )


def _ids(table: Batch) -> Names:
    ids = _filled(table, "id")
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if first.setdefault(name, row) != row:
            raise DataError(
                f"{table.name}: the id {name!r} occurs twice, in "
                f"{table.where([first[name], row])}; ids must be unique"
            )
    return ids


def _filled(table: Batch, column: str) -> Names:
    values = as_strings(table.columns[column])
    if empty := [row for row, value in enumerate(values) if value is None]:
        raise DataError(f"{table.name}, {table.where(empty)}: the column {column!r} is empty")
    return tuple(map(str, values))


def _texts(table: Batch) -> Names | None:
    """The column `text`, or if there is none the first with a usual name for texts."""
    usual = by_name(TEXT_NAMES, [
        name for name, values in table.columns.items()
        if any(isinstance(value, str) and not is_number(value) for value in values)
    ])  # fmt: skip
    name = "text" if "text" in table.columns else usual
    if name is None:
        return None
    return tuple("" if text is None else str(text) for text in table.columns[name])


def _as_given(
    table: Batch, predictions: Predictions, given: Sequence[Names]
) -> tuple[Predictions, tuple[Finding, ...]]:
    """The predictions with thresholds that explain the given labels, and a warning if none do."""
    scheme = predictions.scheme
    if scheme.multilabel:
        encoded = scheme.encode(given)
        # 0.5 if that explains where a label is given, else the least probability where it is.
        least = np.where(encoded == 1, predictions.probabilities, np.inf).min(axis=0)
        most = np.where(encoded == 0, predictions.probabilities, -np.inf).max(axis=0)
        above = np.where(np.isinf(least), np.nextafter(most, 2.0), least)
        limits = np.where((most < 0.5) & (least >= 0.5), 0.5, above)
        predictions = replace(predictions, decision=Decision(thresholds=tuple(limits.tolist())))
        wrong = (predictions.decisions != encoded).any(axis=1)
        rule = "those at or above one threshold per label"
    else:
        likeliest = scheme.decode(predictions.decisions)
        pairs = zip(given, likeliest, strict=True)
        wrong = np.array([bool(names) and names != (name,) for names, name in pairs])
        rule = "the likeliest label"
    rows = np.flatnonzero(wrong).tolist()
    message = (
        f"{table.name}, {table.where(rows)}: the column 'prediction' does not give {rule}, as "
        "evaluated here; it is not followed in these rows"
    )
    return predictions, (Finding("warning", "odd-predictions", message),) if rows else ()
