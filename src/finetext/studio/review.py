"""Texts that somebody has to decide: annotators differ, a flag, or a label that a model doubts."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from finetext.core.annotations import majorities
from finetext.storage.codec import Jsonable
from finetext.studio.database import CURRENT
from finetext.studio.judgements import current_answers, labels_in
from finetext.studio.pool import PoolText
from finetext.studio.project import Project, stored_settings

Labels = tuple[str, ...]
Reason = Literal["differ", "flagged", "doubtful"]
_MOST: Final = 500


@dataclass(frozen=True)
class Doubt:
    """A label that a trained model doubts: what it would say, and its probability."""

    text: int
    run: str
    label: str
    suggested: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What an annotator said of a text, with the note."""

    annotator: str
    labels: Labels
    note: str
    flagged: bool


@dataclass(frozen=True)
class ReviewText(Jsonable):
    """A text to decide, why, and what was said of it."""

    text: dict[str, Any]
    reasons: tuple[Reason, ...]
    answers: tuple[Answer, ...]
    doubt: Doubt | None


@dataclass(frozen=True)
class Decided:
    """The labels of texts now.

    Attributes:
        labels: number of a text to its decided labels: those of a decision, or else those of the
            only annotator or of the majority.
        tied: texts whose annotators differ without a majority and without a decision.
        by_decision: texts with a decision.
    """

    labels: Mapping[int, Labels]
    tied: frozenset[int]
    by_decision: frozenset[int]


def decided_labels(project: Project) -> Decided:
    """Return the decided label of each text that has one."""
    with project.database.read() as db:
        return decided_within(db)


def decided_within(db: sqlite3.Connection) -> Decided:
    """Return the decided labels within a transaction."""
    several = stored_settings(db).multilabel
    labels, tied = dict[int, Labels](), set[int]()
    for text, answers in current_answers(db).items():
        if len(answers) == 1:
            labels[text] = answers[0][1]
            continue
        most = majorities([given for _, given in answers], several)
        if len(most) == 1:
            labels[text] = most[0]
        else:
            tied.add(text)
    decisions = dict(
        db.execute(f"SELECT text, labels FROM judgements WHERE kind = 'decision' AND {CURRENT}")
    )
    labels |= {text: labels_in(cell) for text, cell in decisions.items()}
    return Decided(labels, frozenset(tied - decisions.keys()), frozenset(decisions))


def add_doubts(project: Project, run: str, doubts: Iterable[tuple[str, str, str, float]]) -> int:
    """Queue labels that a run doubts, as (id of the row, label, suggested, probability).

    Rows that the project does not know, or whose label is another one by now, are passed over.
    Returns how many are queued.
    """
    now, added = time.time(), 0
    with project.database.write() as db:
        labels = decided_within(db).labels
        for name, label, suggested, probability in doubts:
            row = db.execute("SELECT id FROM texts WHERE name = ?", (name,)).fetchone()
            if row is not None and label in labels.get(row["id"], ()):
                given = (row["id"], run, label, suggested, probability, now)
                db.execute("INSERT OR REPLACE INTO doubts VALUES (?, ?, ?, ?, ?, ?)", given)
                added += 1
    return added


def texts_to_review(project: Project, limit: int = _MOST) -> list[ReviewText]:
    """Return the texts to decide: those on which annotators differ, flagged ones, doubtful ones."""
    with project.database.read() as db:
        reasons = _reasons(db, decided_within(db))
        return [_shown(db, text, why) for text, why in list(reasons.items())[:limit]]


def count_to_review(project: Project) -> int:
    """Return how many texts are to be decided."""
    with project.database.read() as db:
        return len(_reasons(db, decided_within(db)))


def _reasons(db: sqlite3.Connection, decided: Decided) -> dict[int, list[Reason]]:
    reasons: dict[int, list[Reason]] = {text: ["differ"] for text in sorted(decided.tied)}
    flagged = db.execute(
        f"SELECT DISTINCT text FROM judgements WHERE flagged AND kind != 'decision' AND {CURRENT} "
        "AND NOT EXISTS (SELECT 1 FROM judgements AS later WHERE later.text = judgements.text AND "
        "later.kind = 'decision' AND later.replaced IS NULL AND later.undone IS NULL AND "
        "later.id > judgements.id)"
    )
    for row in flagged:
        reasons.setdefault(row["text"], []).append("flagged")
    doubts = db.execute(
        "SELECT text, label FROM doubts WHERE NOT EXISTS (SELECT 1 FROM judgements WHERE kind = "
        f"'decision' AND judgements.text = doubts.text AND {CURRENT} "
        "AND judgements.time > doubts.time) ORDER BY probability DESC"
    )
    for text, label in doubts:
        # A label that annotators have changed by now is no longer the one that is doubted.
        if text in decided.tied or label in decided.labels.get(text, ()):
            reasons.setdefault(text, []).append("doubtful")
    return reasons


def _shown(db: sqlite3.Connection, text: int, reasons: list[Reason]) -> ReviewText:
    of = db.execute("SELECT id, name, text, columns FROM texts WHERE id = ?", (text,)).fetchone()
    answers = db.execute(
        "SELECT annotator, labels, note, flagged FROM judgements WHERE text = ? AND kind != "
        f"'decision' AND {CURRENT} ORDER BY id",
        (text,),
    )
    doubt = db.execute(
        "SELECT text, run, label, suggested, probability FROM doubts WHERE text = ?", (text,)
    ).fetchone()
    return ReviewText(
        dict(of) | {"columns": json.loads(of["columns"])},
        tuple(reasons),
        tuple(
            Answer(row["annotator"], labels_in(row["labels"]), row["note"], bool(row["flagged"]))
            for row in answers
        ),
        Doubt(**dict(doubt)) if doubt and "doubtful" in reasons else None,
    )


def pool_texts(project: Project) -> list[PoolText]:
    """Return all texts, import by import, in the order of their draw, which is random."""
    with project.database.read() as db:
        rows = db.execute("SELECT id, text, stream, batch FROM texts ORDER BY batch, draw")
        return [PoolText(id_, text, of == "random", batch) for id_, text, of, batch in rows]


def undecided_random(project: Project) -> int:
    """Return how many texts of the random stream wait for a decision."""
    with project.database.read() as db:
        tied = decided_within(db).tied
        random = {row["id"] for row in db.execute("SELECT id FROM texts WHERE stream = 'random'")}
    return len(tied & random)
