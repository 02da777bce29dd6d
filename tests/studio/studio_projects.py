"""Projects of the studio, made for tests."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from finetext.studio.database import CURRENT
from finetext.studio.imported import add_texts
from finetext.studio.judgements import Judgement, Kind, judge
from finetext.studio.label_set import Label, set_labels
from finetext.studio.next_text import GivenText, next_text
from finetext.studio.project import Project, ProjectSettings, create_project

LABELS = ("good", "bad", "odd")
_TOKENS = count()


@contextmanager
def project_in(workspace: Path, texts: int = 20, **settings: Any) -> Iterator[Project]:
    """Make a project "p" with texts "text 0", "text 1", ..., whose ids are "r0", "r1", ..."""
    project = create_project(workspace, "p", ProjectSettings(**settings))
    try:
        set_labels(project, [Label(name) for name in LABELS])
        if texts:
            rows = [(f"r{row}", f"text {row}") for row in range(texts)]
            add_texts(project, write_rows(workspace / "texts.csv", ("id", "text"), rows))
        yield project
    finally:
        project.close()


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    """Write a CSV file and return its path."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def give(
    project: Project, who: str, text: int, *labels: str, kind: Kind = "label", **more: Any
) -> int:
    """Store a judgement with a new token."""
    token = f"token {next(_TOKENS)}"
    return judge(project, who, Judgement(token, text, labels, kind, **more))


def judged_next(project: Project, who: str, label: str = "good") -> int | None:
    """Label the text that a person gets next; return its number, None if there is none."""
    found = next_text(project, who)
    if not isinstance(found, GivenText):
        return None
    give(project, who, found.id, label)
    return found.id


def number_of(project: Project, name: str) -> int:
    """Return the number of the text with an id."""
    with project.database.read() as db:
        return int(db.execute("SELECT id FROM texts WHERE name = ?", (name,)).fetchone()[0])


def check_counts(db: sqlite3.Connection) -> None:
    """Check what must hold in every project at any time."""
    for row in db.execute(
        "SELECT id, coders, needed, (SELECT count(DISTINCT annotator) FROM judgements WHERE "
        f"judgements.text = texts.id AND kind = 'label' AND {CURRENT}) AS given FROM texts"
    ):
        assert row["needed"] == max(0, row["coders"] - row["given"]), dict(row)
    twice = db.execute(
        f"SELECT text, annotator FROM judgements WHERE {CURRENT} AND kind != 'decision' "
        "GROUP BY text, annotator HAVING count(*) > 1"
    ).fetchall()
    decided = db.execute(
        f"SELECT text FROM judgements WHERE {CURRENT} AND kind = 'decision' "
        "GROUP BY text HAVING count(*) > 1"
    ).fetchall()
    assert not twice
    assert not decided
