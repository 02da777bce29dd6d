"""The labels that texts of a project can get, and the guidelines for giving them."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from finetext.core.errors import DataError, near
from finetext.core.types import LabelScheme
from finetext.studio.database import CURRENT
from finetext.studio.project import Project, get, put, stored_settings

_COLOR: Final = re.compile(r"#[0-9a-f]{6}")
COLORS: Final = (
    "#2563a8", "#b3541e", "#2e7d4f", "#8a4fa3", "#a8323e", "#5f6b1d", "#1f7a8c", "#9a5b8a",
    "#6b5b2e", "#4d5bb0",
)  # fmt: skip
"""Colors of labels in their order; each is told from its background in light and dark."""
_KEYS: Final = "123456789"


@dataclass(frozen=True)
class Label:
    """A label that texts can get.

    Attributes:
        description: what belongs to it, in a sentence; shown beside the name.
        color: "#rrggbb"; given by the position if empty.
        key: the key that gives it; 1 to 9 by the position if empty.
        retired: whether it can no longer be given; judgements that have it stay.
        judged: how many current judgements have it.
    """

    name: str
    description: str = ""
    color: str = ""
    key: str = ""
    retired: bool = False
    judged: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Guidelines:
    """What annotators are told, and its version, 0 if nothing was written yet."""

    version: int = 0
    text: str = ""
    time: float | None = None


def labels_of(project: Project) -> tuple[Label, ...]:
    """Return the labels in their order, retired ones too."""
    with project.database.read() as db:
        return stored_labels(db)


def stored_labels(db: sqlite3.Connection) -> tuple[Label, ...]:
    """Return the labels within a transaction."""
    judged = _judgements_with(db, CURRENT)
    return tuple(
        Label(
            row["name"],
            row["description"],
            row["color"],
            row["key"],
            bool(row["retired"]),
            judged[row["name"]],
        )
        for row in db.execute("SELECT * FROM labels ORDER BY position")
    )


def _judgements_with(db: sqlite3.Connection, condition: str = "1") -> Counter[str]:
    """Return how many judgements have each label, of those that a condition holds for."""
    found = Counter[str]()
    rows = db.execute(f"SELECT labels, count(*) FROM judgements WHERE {condition} GROUP BY labels")
    for cell, count in rows:
        found.update(dict.fromkeys(json.loads(cell), count))
    return found


def scheme_of(project: Project) -> LabelScheme:
    """Return the labels that can be given."""
    with project.database.read() as db:
        names = db.execute("SELECT name FROM labels WHERE NOT retired ORDER BY position")
        return LabelScheme(tuple(row["name"] for row in names), stored_settings(db).multilabel)


def set_labels(project: Project, labels: Sequence[Label]) -> tuple[Label, ...]:
    """Set the labels and their order; those left out that judgements have become retired.

    Judgements that were undone or replaced count, too, since they can hold again.
    """
    with project.database.write() as db:
        return store_labels(db, labels)


def store_labels(db: sqlite3.Connection, labels: Sequence[Label]) -> tuple[Label, ...]:
    """Set the labels within a transaction; see `set_labels`."""
    labels = _completed(labels)
    names, used = {of.name for of in labels}, _judgements_with(db)
    gone = [of for of in stored_labels(db) if of.name not in names and used[of.name]]
    labels = (*labels, *(replace(of, retired=True, key="") for of in gone))
    db.execute("DELETE FROM labels")
    db.executemany(
        "INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?)",
        [
            (of.name, place, of.description, of.color, of.key, int(of.retired))
            for place, of in enumerate(labels)
        ],
    )
    return stored_labels(db)


def _completed(labels: Sequence[Label]) -> tuple[Label, ...]:
    """Return labels with keys and colors; raises a DataError for names or keys that clash."""
    names = [of.name.strip() for of in labels]
    if "" in names:
        raise DataError(f"label {names.index('') + 1} has no name")
    for what, values in (
        ("name", [name.casefold() for name in names]),
        ("key", [of.key.casefold() for of in labels if of.key and not of.retired]),
    ):
        if twice := [one for one in values if values.count(one) > 1]:
            raise DataError(f"two labels have the {what} {twice[0]!r}; change one of them")
    if odd := [of.key for of in labels if of.key and (len(of.key) > 1 or of.key.isspace())]:
        raise DataError(f"{odd[0]!r} is no key: give one character")
    if odd := [of.color for of in labels if of.color and not _COLOR.fullmatch(of.color)]:
        raise DataError(f"{odd[0]!r} is no color: give one as #2563a8")
    free = [key for key in _KEYS if key not in {of.key for of in labels if not of.retired}]
    done = []
    for place, (label, name) in enumerate(zip(labels, names, strict=True)):
        key = "" if label.retired else label.key or (free.pop(0) if free else "")
        color = label.color or COLORS[place % len(COLORS)]
        done.append(replace(label, name=name, key=key, color=color))
    return tuple(done)


def rename_label(project: Project, old: str, new: str) -> None:
    """Rename a label in the set, in every judgement and in doubts; raises a DataError."""
    new = new.strip()
    with project.database.write() as db:
        names = {of.name for of in stored_labels(db)}
        if old not in names:
            raise DataError(f"there is no label {old!r}{near(old, sorted(names))}")
        if not new or new.casefold() in {name.casefold() for name in names - {old}}:
            raise DataError(f"{new!r} is empty or the name of another label; choose another name")
        db.execute("UPDATE labels SET name = ? WHERE name = ?", (new, old))
        for column in ("label", "suggested"):
            db.execute(f"UPDATE doubts SET {column} = ? WHERE {column} = ?", (new, old))
        rows = db.execute("SELECT id, labels, suggestion FROM judgements").fetchall()
        db.executemany(
            "UPDATE judgements SET labels = ?, suggestion = ? WHERE id = ?",
            [(_renamed(r["labels"], old, new), _renamed(r["suggestion"], old, new), r["id"])
             for r in rows],
        )  # fmt: skip
        renames = [*(get(db, "renames") or []), {"from": old, "to": new, "time": time.time()}]
        put(db, "renames", renames)


def _renamed(cell: str | None, old: str, new: str) -> str | None:
    """Return the JSON of labels, or of a suggestion with them, with another name."""
    value = None if cell is None else json.loads(cell)
    if value is None:
        return cell
    names = value["labels"] if isinstance(value, dict) else value
    names = [new if name == old else name for name in names]
    renamed = value | {"labels": names} if isinstance(value, dict) else names
    return json.dumps(renamed, ensure_ascii=False)


def guidelines_of(project: Project) -> Guidelines:
    """Return the latest guidelines."""
    with project.database.read() as db:
        row = db.execute("SELECT * FROM guidelines ORDER BY version DESC LIMIT 1").fetchone()
        return Guidelines(**dict(row)) if row else Guidelines()


def set_guidelines(project: Project, text: str) -> Guidelines:
    """Store guidelines as a new version, if they differ from the latest ones."""
    if text != guidelines_of(project).text:
        with project.database.write() as db:
            db.execute("INSERT INTO guidelines (text, time) VALUES (?, ?)", (text, time.time()))
    return guidelines_of(project)
