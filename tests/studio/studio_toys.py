"""Small projects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from finetext.studio.imported import add_texts
from finetext.studio.judgements import Judgement, judge
from finetext.studio.label_set import Label, set_labels
from finetext.studio.next_text import GivenText, next_text
from finetext.studio.project import Project, ProjectSettings, create_project

_NUMBERS = count()


def token() -> str:
    """A token that no other judgement has."""
    return f"token-{next(_NUMBERS)}"


def write_texts(path: Path, texts: Sequence[str], **columns: Sequence[Any]) -> Path:
    """Write texts and further columns as JSON lines."""
    names = ["text", *columns]
    rows = (
        dict(zip(names, row, strict=True)) for row in zip(texts, *columns.values(), strict=True)
    )
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@contextmanager
def project_of(
    folder: Path,
    texts: int | Sequence[str] = 20,
    labels: Sequence[str] = ("good", "bad", "odd"),
    **settings: Any,
) -> Iterator[Project]:
    """A project with texts and labels, closed at the end."""
    project = create_project(folder, "films", ProjectSettings(**settings))
    set_labels(project, [Label(name) for name in labels])
    if isinstance(texts, int):
        texts = [f"film number {n}" for n in range(texts)]
    add_texts(project, write_texts(folder / "films.jsonl", texts))
    try:
        yield project
    finally:
        project.close()


def say(project: Project, who: str, text: int, *labels: str, **more: Any) -> int:
    """Let somebody judge a text."""
    return judge(project, who, Judgement(token(), text, labels, **more))


def work(project: Project, who: str, number: int, label: str = "good") -> list[GivenText]:
    """Let somebody label the next texts, and return them."""
    done = []
    for _ in range(number):
        found = next_text(project, who, f"tab of {who}")
        if not isinstance(found, GivenText):
            break
        done.append(found)
        say(project, who, found.id, label)
    return done


def rows(project: Project, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with project.database.read() as db:
        return [tuple(row) for row in db.execute(query, values)]
