"""A project of the studio: a folder with a database, its labels, guidelines and settings."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from finetext.core.errors import DataError, near
from finetext.core.paths import refuse_reserved
from finetext.core.wording import counted
from finetext.storage.codec import Jsonable, from_json
from finetext.storage.locks import try_lock
from finetext.studio.database import CURRENT, Database, make_database

DATABASE: Final = "project.sqlite"
LOCK: Final = ".studio.lock"
LONGEST_NAME: Final = 60
_NAME: Final = re.compile(r"[^\W_](?:[\w .-]*[\w-])?", re.UNICODE)


@dataclass(frozen=True)
class ProjectSettings(Jsonable):
    """How a project is annotated.

    Attributes:
        multilabel: whether a text can have any number of labels, including none.
        random_share: share of the texts that are a random sample and become the test set, 0 to 0.5.
        double_share: share of the texts that two people label without seeing each other's answer.
        suggestions: "model" shows what the model would answer for texts that the model chose and
            that one person labels; "none" never.
        suggest_everywhere: whether suggestions are shown for random and double-coded texts, too,
            which makes accuracy and agreement look better than they are.
    """

    multilabel: bool = False
    random_share: float = 0.2
    double_share: float = 0.1
    suggestions: Literal["model", "none"] = "model"
    suggest_everywhere: bool = False

    def __post_init__(self) -> None:
        for name, most in (("random_share", 0.5), ("double_share", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise DataError(f"{name} is {getattr(self, name):g}; it must be 0 to {most:g}")


@dataclass(frozen=True)
class Counts:
    """Texts of a project, by what happened to them; texts, not judgements."""

    texts: int
    judged: int
    random_judged: int
    chosen_judged: int
    skipped: int
    flagged: int


@dataclass(frozen=True, eq=False)
class Project:
    """An open project; `close` it so that another process can open it."""

    folder: Path
    database: Database
    lock: Any = field(repr=False)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def runs(self) -> Path:
        """The folder of its training runs."""
        return self.folder / "runs"

    def close(self) -> None:
        """Close the database, and let others open the project."""
        self.database.close()
        self.lock.release()


def create_project(
    workspace: Path, name: str, settings: ProjectSettings | None = None, seed: int = 0
) -> Project:
    """Make a project in a folder of the workspace and open it; raises a DataError if it exists.

    `seed` is that of the choice of random and of double-coded texts.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise DataError(
            f"{name!r} cannot be the name of a project: use letters, digits, spaces, dots and "
            f"hyphens, with a letter or digit first, {LONGEST_NAME} characters at most"
        )
    folder = workspace / name
    refuse_reserved(folder)
    if (folder / DATABASE).exists():
        raise DataError(f"there is a project {name!r} already; choose another name")
    values = {"settings": (settings or ProjectSettings()).to_json(), "created": time.time()}
    return _opened(folder, values | {"seed": seed})


def open_project(folder: Path) -> Project:
    """Open a project; raises a DataError if there is none, or if another process has it open."""
    if not (folder / DATABASE).is_file():
        raise DataError(f"{folder} holds no project{near(folder.name, projects_in(folder.parent))}")
    return _opened(folder)


def _opened(folder: Path, new: dict[str, Any] | None = None) -> Project:
    """Return a project that no other process has open, made with values of `new` if given."""
    try:
        lock = try_lock(folder / LOCK)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be written: {error}") from None
    if lock is None:
        raise DataError(f"another process has the project {folder} open; close that one first")
    try:
        if new is not None:
            make_database(folder / DATABASE, new)
        return Project(folder, Database(folder / DATABASE), lock)
    except BaseException:
        lock.release()
        raise


def projects_in(workspace: Path) -> list[str]:
    """Return the names of the projects in a workspace, in order."""
    with suppress(OSError):
        return sorted(of.parent.name for of in workspace.glob(f"*/{DATABASE}"))
    return []


def settings_of(project: Project) -> ProjectSettings:
    """Return the settings of a project."""
    with project.database.read() as db:
        return stored_settings(db)


def stored_settings(db: sqlite3.Connection) -> ProjectSettings:
    """Return the settings within a transaction."""
    return from_json(ProjectSettings, get(db, "settings"), "the settings of the project", DataError)


def change_settings(project: Project, changes: dict[str, Any]) -> ProjectSettings:
    """Set some settings; shares hold for texts added later, and labels given fix `multilabel`."""
    with project.database.write() as db:
        before = stored_settings(db)
        if unknown := changes.keys() - before.to_json().keys():
            raise DataError(f"there is no setting {min(unknown)!r}")
        after = from_json(ProjectSettings, before.to_json() | changes, "the settings", DataError)
        has_labels = db.execute(f"SELECT 1 FROM judgements WHERE {CURRENT} LIMIT 1").fetchone()
        if after.multilabel != before.multilabel and has_labels:
            raise DataError("texts are labeled already, so one or several labels a text is fixed")
        put(db, "settings", after.to_json())
    return after


def counts_of(project: Project) -> Counts:
    """Return how many texts are there, and how many are labeled, skipped and flagged."""
    with project.database.read() as db:
        texts, judged = text_count(db), _judged_by_stream(db)
        skipped, flagged = (
            db.execute(
                f"SELECT count(DISTINCT text) FROM judgements WHERE {CURRENT} AND {condition}"
            ).fetchone()[0]
            for condition in ("kind = 'skip'", "flagged AND kind != 'decision'")
        )
    random, chosen = judged.get("random", 0), judged.get("chosen", 0)
    return Counts(texts, random + chosen, random, chosen, skipped, flagged)


def text_count(db: sqlite3.Connection) -> int:
    """Return how many texts there are: the last number, as none is ever removed."""
    return int(db.execute("SELECT coalesce(max(id), 0) FROM texts").fetchone()[0])


def _judged_by_stream(db: sqlite3.Connection) -> dict[str, int]:
    return dict(
        db.execute("SELECT stream, count(*) FROM texts WHERE needed < coders GROUP BY stream")
    )


def annotators_of(project: Project) -> dict[str, int]:
    """Return the texts that each annotator has labeled, by name."""
    with project.database.read() as db:
        return dict(
            db.execute(
                f"SELECT annotator, count(*) FROM judgements WHERE {CURRENT} AND kind = 'label' "
                "GROUP BY annotator ORDER BY min(id)"
            )
        )


def about(project: Project) -> dict[str, Any]:
    """Return what a list of projects shows of one."""
    counts, people = counts_of(project), annotators_of(project)
    with project.database.read() as db:
        last = db.execute("SELECT max(time) FROM judgements").fetchone()[0]
        created = get(db, "created")
        names = db.execute("SELECT name FROM labels WHERE NOT retired ORDER BY position")
        labels = [row["name"] for row in names]
    return {
        "name": project.name,
        "texts": counts.texts,
        "judged": counts.judged,
        "labels": labels,
        "annotators": list(people),
        "created": created,
        "last": last,
        "said": f"{counts.judged:,} of {counted(counts.texts, 'text')} labeled",
    }


def get(db: sqlite3.Connection, key: str) -> Any:
    """Return a value of the project within a transaction; None if it was never set."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else json.loads(row["value"])


def put(db: sqlite3.Connection, key: str, value: Any) -> None:
    """Set a value of the project within a transaction."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))


@contextmanager
def opened(folder: Path) -> Iterator[Project]:
    """Open a project while the body runs; see `open_project`."""
    project = open_project(folder)
    try:
        yield project
    finally:
        project.close()
