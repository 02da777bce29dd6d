"""Tables of a project: a row for each text with its decided label, or one for each judgement."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from finetext.core.errors import DataError, UnknownNameError
from finetext.core.types import Finding
from finetext.data.formulas import without_formulas
from finetext.data.rows import MIXED, Batch, kinds_of
from finetext.data.write import IN_CELLS, SUFFIXES, Table, arrow_values, form_of, write_table
from finetext.studio.database import CURRENT
from finetext.studio.project import Project, stored_settings
from finetext.studio.review import decided_within

WHATS: Final = ("texts", "labeled", "answers", "judgements")
_PREFIX: Final = "source_"
_JOINING: Final = frozenset(",;|#[")
"""Signs in cells that are read as several labels."""


def export(
    project: Project, what: str, path: Path, locale: str | None = None
) -> tuple[Finding, ...]:
    """Write a table: CSV, TSV, JSON lines, Parquet or Excel by the suffix of `path`.

    Args:
        project: the project.
        what: "texts" (all of them), "labeled" (those with a decided label, to train on),
            "answers" (the current labels of each annotator, for `finetext agreement`) or
            "judgements" (each one, with those that were undone or replaced).
        path: the file, which is replaced.
        locale: language of the spreadsheet that opens a CSV file; see `write_table`. Cells that a
            spreadsheet would run are neutralized in any case.

    Returns:
        warnings.

    Raises:
        DataError: the suffix is unknown, or nothing is labeled yet.
    """
    if what not in WHATS:
        raise UnknownNameError("table", what, WHATS)
    if form_of(path) not in SUFFIXES:
        raise DataError(f"{path.name}: the suffix must be one of {', '.join(SUFFIXES)}")
    is_of_texts = what in ("texts", "labeled")
    table = texts_table(project, what) if is_of_texts else judgements_table(project, what)
    form = form_of(path)
    if form == ".parquet":
        table = _uniform(table)
    if form in IN_CELLS:
        table = _lists_in_cells(table)
    if form == ".tsv":  # a locale, which says so for CSV, would change how it is written, too
        table = {name: list(of) for name, of in without_formulas(table, always=False).items()}
    return write_table(path, table, locale or "en" if form == ".csv" else None)


def _lists_in_cells(table: Table) -> Table:
    """Return lists of labels as JSON if labels joined by commas would be read as other ones.

    That is so if a name has a sign that joins labels, or a text has no label, whose cell would be
    as empty as that of a text that is still to be labeled.
    """
    lists = [of for values in table.values() for of in values if isinstance(of, list)]
    if all(lists) and not any(set(name) & _JOINING for of in lists for name in of):
        return table
    return {
        name: [_json(of) if isinstance(of, list) else of for of in values]
        for name, values in table.items()
    }


def _json(labels: list[str]) -> str:
    return json.dumps(labels, ensure_ascii=False)


def _uniform(table: Table) -> Table:
    """Return columns of one type each, as Parquet wants them: mixed ones become text."""
    kinds = kinds_of([Batch("", table, "columns")])
    return {
        name: arrow_values(values, MIXED) if kinds[name] == MIXED and not _has_lists(values)
        else values
        for name, values in table.items()
    }  # fmt: skip


def _has_lists(values: Iterable[Any]) -> bool:
    return any(isinstance(value, list) for value in values)


def texts_table(project: Project, what: str = "texts") -> Table:
    """Return a column for id, text, label, split, decided_by, and each of the source.

    `label` is the decided label, empty without one. `split` is "test" for texts of the random
    stream and "train" for all others, labeled or not, since finetext reads no table in which a
    split is blank; `decided_by` is "decision", "majority" or the name
    of the only annotator.
    """
    with project.database.read() as db:
        decided, several = decided_within(db), stored_settings(db).multilabel
        texts = db.execute("SELECT id, name, text, stream, columns FROM texts ORDER BY id")
        rows = [dict(row) for row in texts]
        people: dict[int, list[str]] = {}
        for text, annotator in db.execute(
            f"SELECT text, annotator FROM judgements WHERE kind = 'label' AND {CURRENT} ORDER BY id"
        ):
            people.setdefault(text, []).append(annotator)
    if what == "labeled":
        rows = [row for row in rows if row["id"] in decided.labels]
        if not rows:
            raise DataError("no text has a label yet")
    own = ["id", "text", "label", "split", "decided_by"]
    table: Table = {name: [] for name in own}
    further = [json.loads(row["columns"]) for row in rows]
    names = _free_names(dict.fromkeys(name for columns in further for name in columns), own)
    for row, columns in zip(rows, further, strict=True):
        labels = decided.labels.get(row["id"])
        by = people.get(row["id"], [])
        table["id"].append(row["name"])
        table["text"].append(row["text"])
        table["label"].append(_label(labels, several))
        table["split"].append("test" if row["stream"] == "random" else "train")
        how = "decision" if row["id"] in decided.by_decision else "majority"
        alone = len(by) == 1 and row["id"] not in decided.by_decision
        table["decided_by"].append(None if labels is None else by[0] if alone else how)
        for name, free in names.items():
            table.setdefault(free, []).append(columns.get(name))
    if what == "labeled":
        table = {name: values for name, values in table.items() if name in own[:4]}
    return table


def judgements_table(project: Project, what: str = "judgements") -> Table:
    """Return a row for each judgement, in the order of time; of "answers" current labels alone.

    `state` is "current", "replaced" (by a later one of the same person) or "undone".
    """
    names = (
        "id", "text", "label", "annotator", "kind", "state", "flagged", "note", "time", "seconds",
        "guideline", "suggested", "stream",
    )  # fmt: skip
    with project.database.read() as db:
        several = stored_settings(db).multilabel
        rows = db.execute(
            "SELECT texts.name, texts.text, judgements.labels, annotator, kind, "
            "CASE WHEN undone IS NOT NULL THEN 'undone' WHEN replaced IS NOT NULL THEN 'replaced' "
            "ELSE 'current' END, flagged, note, time, seconds, guideline, suggestion, stream "
            "FROM judgements JOIN texts ON texts.id = judgements.text ORDER BY judgements.id"
        ).fetchall()
    table: Table = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    table["label"] = [
        None if kind == "skip" else _label(tuple(json.loads(cell)), several)
        for cell, kind in zip(table["label"], table["kind"], strict=True)
    ]
    table["time"] = [_time(of) for of in table["time"]]
    table["flagged"] = [bool(of) for of in table["flagged"]]
    table["suggested"] = [
        None if cell is None else _label(tuple(json.loads(cell)["labels"]), several)
        for cell in table["suggested"]
    ]
    if what != "answers":
        return table
    kinds = zip(table["kind"], table["state"], strict=True)
    kept = [row for row, of in enumerate(kinds) if of == ("label", "current")]
    return {name: [table[name][row] for row in kept] for name in names[:4]}


def _label(labels: tuple[str, ...] | None, several: bool) -> Any:
    """Return a cell: a name, a list of names where texts have several, None without a label."""
    if labels is None:
        return None
    return list(labels) if several else (labels[0] if labels else None)


def _free_names(names: Iterable[str], own: Iterable[str]) -> dict[str, str]:
    """Return for columns of the source names that no other column of the table has."""
    taken, free = {name.casefold() for name in own}, dict[str, str]()
    for name in names:
        free[name] = name
        while free[name].casefold() in taken:
            free[name] = _PREFIX + free[name]
        taken.add(free[name].casefold())
    return free


def _time(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, which sorts and which spreadsheets read."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
