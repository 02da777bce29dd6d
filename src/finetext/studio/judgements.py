"""Judgements of annotators: each is stored once, none is ever overwritten."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from finetext.core.errors import DataError, UnknownNameError
from finetext.data.write import encoded
from finetext.studio.database import CURRENT
from finetext.studio.project import Project, stored_settings

Kind = Literal["label", "skip", "decision"]
_LONGEST_NOTE: Final = 5_000
_LONGEST_TOKEN: Final = 100
COUNT_NEEDED: Final = (
    "UPDATE texts SET needed = max(0, coders - (SELECT count(*) FROM judgements WHERE "
    f"judgements.text = texts.id AND kind = 'label' AND {CURRENT})) WHERE id"
)
"""Statement whose end says of which texts the labels that are still needed are counted."""


@dataclass(frozen=True)
class Judgement:
    """What somebody said of a text.

    Attributes:
        token: made by whoever sends it, so that sending it twice stores it once.
        text: number of the text.
        labels: names of labels; one, any number in a multi-label project, none of a skip.
        kind: "label"; "skip", so that this person is not asked again; or "decision", which holds
            whatever annotators said.
        flagged: whether others should look at the text.
        seconds: how long the text was seen.
        guideline: version of the guidelines that were shown.
        suggestion: labels, probability and source of a suggestion that was shown; None without.
    """

    token: str
    text: int
    labels: tuple[str, ...] = ()
    kind: Kind = "label"
    flagged: bool = False
    note: str = ""
    seconds: float | None = None
    guideline: int | None = None
    suggestion: dict[str, Any] | None = None


def judge(project: Project, annotator: str, judgement: Judgement) -> int:
    """Store a judgement and return its number; one with a known token is stored already.

    It replaces the current judgement of the same person on the same text, which stays in the
    history.

    Raises:
        DataError: there is no such text, or labels are not those of the project.
    """
    _check(judgement)
    with project.database.write() as db:
        known = db.execute(
            "SELECT * FROM judgements WHERE token = ?", (judgement.token,)
        ).fetchone()
        if known is not None:
            if known["annotator"] != annotator or known["text"] != judgement.text:
                raise DataError("another judgement has the same token; reload the page")
            return int(known["id"])
        return _store(db, annotator, judgement)


def _check(judgement: Judgement) -> None:
    if not 1 <= len(judgement.token) <= _LONGEST_TOKEN:
        raise DataError(f"a judgement needs a token of 1 to {_LONGEST_TOKEN} characters")
    if len(judgement.note) > _LONGEST_NOTE:
        raise DataError(f"the note has more than {_LONGEST_NOTE:,} characters; shorten it")
    if judgement.kind == "skip" and judgement.labels:
        raise DataError("a skipped text has no labels")
    if judgement.seconds is not None and not 0 <= judgement.seconds < math.inf:
        raise DataError(f"a text cannot be seen for {judgement.seconds} seconds")
    shown = judgement.suggestion
    if shown is not None and not isinstance(shown.get("labels"), list | tuple):
        raise DataError("a suggestion needs its labels as a list")


def _store(db: sqlite3.Connection, annotator: str, judgement: Judgement) -> int:
    if db.execute("SELECT 1 FROM texts WHERE id = ?", (judgement.text,)).fetchone() is None:
        raise DataError(f"the project has no text {judgement.text}")
    labels = _ordered(db, judgement)
    now, is_decision = time.time(), judgement.kind == "decision"
    before = db.execute(
        f"SELECT id FROM judgements WHERE text = ? AND annotator = ? AND {CURRENT} "
        "AND (kind = 'decision') = ?",
        (judgement.text, annotator, is_decision),
    ).fetchone()
    if is_decision:  # of all people, the latest decision holds
        before = db.execute(
            f"SELECT id FROM judgements WHERE text = ? AND kind = 'decision' AND {CURRENT}",
            (judgement.text,),
        ).fetchone()
    replaces = None if before is None else before["id"]
    db.execute("UPDATE judgements SET replaced = ? WHERE id = ?", (now, replaces))
    suggestion = judgement.suggestion
    stored = db.execute(
        "INSERT INTO judgements (token, text, annotator, kind, labels, flagged, note, time, "
        "seconds, guideline, suggestion, replaces) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            judgement.token,
            judgement.text,
            annotator,
            judgement.kind,
            _json(labels),
            int(judgement.flagged),
            whole(judgement.note),
            now,
            judgement.seconds,
            judgement.guideline,
            None if suggestion is None else whole(_json(suggestion)),
            replaces,
        ),
    )
    if not is_decision:  # after a decision the person can still be labeling the text
        held = (annotator, judgement.text)
        db.execute("DELETE FROM claims WHERE annotator = ? AND text = ?", held)
    db.execute(f"{COUNT_NEEDED} = ?", (judgement.text,))
    return int(stored.lastrowid or 0)


def _ordered(db: sqlite3.Connection, judgement: Judgement) -> list[str]:
    """Return the labels in the order of the set; raises a DataError if they cannot be given."""
    if judgement.kind == "skip":
        return []
    rows = db.execute("SELECT name FROM labels WHERE NOT retired ORDER BY position")
    names = [row["name"] for row in rows]
    if unknown := [name for name in judgement.labels if name not in names]:
        raise UnknownNameError("label", unknown[0], names)
    several = stored_settings(db).multilabel
    if not several and len(set(judgement.labels)) != 1:
        raise DataError("a text gets exactly one label in this project")
    return [name for name in names if name in judgement.labels]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def whole(text: str) -> str:
    """Return text as a database holds it; halves of characters, which some JSON has, replaced."""
    return encoded(text).decode()


def undo(project: Project, annotator: str) -> int | None:
    """Undo the last current judgement of a person, and return its text; None without one.

    A judgement that it had replaced holds again. Decisions are not undone; make another one.
    """
    with project.database.write() as db:
        last = db.execute(
            "SELECT id, text, replaces FROM judgements WHERE annotator = ? AND kind != 'decision' "
            f"AND {CURRENT} ORDER BY id DESC LIMIT 1",
            (annotator,),
        ).fetchone()
        if last is None:
            return None
        db.execute("UPDATE judgements SET undone = ? WHERE id = ?", (time.time(), last["id"]))
        db.execute("UPDATE judgements SET replaced = NULL WHERE id = ?", (last["replaces"],))
        db.execute(f"{COUNT_NEEDED} = ?", (last["text"],))
        return int(last["text"])


def history(
    project: Project,
    annotator: str | None = None,
    limit: int = 50,
    before: int | None = None,
    text: int | None = None,
) -> list[dict[str, Any]]:
    """Return judgements, the newest first, whatever became of them.

    Args:
        project: the project.
        annotator: whose; None (the default) for all.
        limit: most of them, 50 by default.
        before: number of a judgement; only older ones are returned.
        text: number of a text; only judgements of it are returned.
    """
    conditions, values = ["1"], list[Any]()
    for condition, value in (
        ("annotator = ?", annotator),
        ("judgements.id < ?", before),
        ("judgements.text = ?", text),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    with project.database.read() as db:
        rows = db.execute(
            "SELECT judgements.*, texts.name, texts.text AS content FROM judgements JOIN texts ON "
            f"texts.id = judgements.text WHERE {' AND '.join(conditions)} "
            "ORDER BY judgements.id DESC LIMIT ?",
            (*values, limit),
        ).fetchall()
    return [shown(row) for row in rows]


def shown(row: sqlite3.Row) -> dict[str, Any]:
    """Return a judgement as JSON values, with its text where the row has it."""
    of = dict(row)
    text = {"id": of.pop("text"), "name": of.pop("name", None), "text": of.pop("content", None)}
    suggestion = of.pop("suggestion")
    return {
        **{name: value for name, value in of.items() if name not in ("token", "replaces")},
        "text": text,
        "labels": json.loads(of["labels"]),
        "flagged": bool(of["flagged"]),
        "suggestion": None if suggestion is None else json.loads(suggestion),
    }


def current_answers(db: sqlite3.Connection) -> dict[int, list[tuple[str, tuple[str, ...]]]]:
    """Return for each text who gives which labels now, in the order of time; no decisions."""
    answers: dict[int, list[tuple[str, tuple[str, ...]]]] = {}
    rows = db.execute(
        "SELECT text, annotator, labels FROM judgements WHERE kind = 'label' "
        f"AND {CURRENT} ORDER BY id"
    )
    for text, annotator, labels in rows:
        answers.setdefault(text, []).append((annotator, labels_in(labels)))
    return answers


_KNOWN: dict[str, tuple[str, ...]] = {}


def labels_in(cell: str) -> tuple[str, ...]:
    """Return the labels of a cell of the database; there are few different ones."""
    found = _KNOWN.get(cell)
    if found is None:
        found = _KNOWN[cell] = tuple(json.loads(cell))
    return found


def acceptance(project: Project) -> tuple[int, int]:
    """Return how many current judgements were given with a suggestion, and how many took it."""
    with project.database.read() as db:
        rows: Sequence[sqlite3.Row] = db.execute(
            f"SELECT labels, suggestion FROM judgements WHERE kind = 'label' AND {CURRENT} "
            "AND suggestion IS NOT NULL"
        ).fetchall()
    taken = sum(json.loads(r["suggestion"])["labels"] == json.loads(r["labels"]) for r in rows)
    return len(rows), taken
