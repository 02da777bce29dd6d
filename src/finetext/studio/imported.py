"""Texts from files into a project, with their ids and further columns; nothing is lost unsaid."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.batch.inputs import read_input
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.wording import counted
from finetext.data.read import read
from finetext.data.rows import Rows, Texts, Wanted
from finetext.data.write import cell_of
from finetext.storage.codec import Jsonable
from finetext.studio.database import CURRENT
from finetext.studio.label_set import Label, labels_of, set_labels
from finetext.studio.project import Project, get, stored_settings

MOST_TEXTS: Final = 1_000_000
FILE: Final = "file"
"""Annotator of the labels that a file has."""
_MOST_LABELS: Final = 200


@dataclass(frozen=True)
class Imported(Jsonable):
    """What an import did: texts added, those left out and why, and labels that the file gave."""

    added: int
    repeated: int
    empty: int
    labeled: int
    notes: tuple[str, ...]


def add_texts(
    project: Project,
    source: str | Path,
    settings: ReadSettings | None = None,
    take_labels: bool = False,
) -> Imported:
    """Add the texts of a source that are not there yet, and draw their streams.

    A text that the project has, or that comes before in the source, is left out, as is an empty
    one. Ids that are taken get the name of the source before them.

    Args:
        project: the project.
        source: whatever `finetext predict` reads.
        settings: how to read it.
        take_labels: whether its labels become judgements of the annotator "file", which others
            can replace; labels that the project lacks are added to its set.

    Raises:
        DataError: the source cannot be read, or has no texts.
    """
    settings = replace(settings or ReadSettings(), labelled=False)
    found = read_input(str(source), settings, Wanted(columns=True))
    name = Path(source).name
    with project.database.write() as db:
        before = db.execute("SELECT count(*), coalesce(max(id), 0) FROM texts").fetchone()
        known = {row[0] for row in db.execute("SELECT digest FROM texts")}
        names = {row[0] for row in db.execute("SELECT name FROM texts")}
        fresh, repeated, empty = list[tuple[Any, ...]](), 0, 0
        for rows in found.batches:
            for id_, text, columns in _rows(found, rows):
                digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
                if not text.strip():
                    empty += 1
                elif digest in known:
                    repeated += 1
                else:
                    known.add(digest)
                    own = id_ if id_ not in names else _free(f"{name}/{id_}", names)
                    names.add(own)
                    fresh.append((own, text, digest, columns))
        if before[0] + len(fresh) > MOST_TEXTS:
            raise DataError(f"a project has at most {MOST_TEXTS:,} texts; take a sample of {name}")
        if not fresh and not before[0]:
            raise DataError(f"{name} has no texts")
        _insert(db, fresh, name, before[1])
    labeled = _take_labels(project, source, settings) if take_labels else 0
    return Imported(len(fresh), repeated, empty, labeled, _notes(found, repeated, empty))


def _rows(found: Texts, rows: Rows) -> Sequence[tuple[str, str, str]]:
    """Return id, text and the JSON of all other columns of each row."""
    shown = {
        name: values
        for name, values in rows.columns.items()
        if name not in (*found.text_columns, found.id_column)
    }
    cells = zip(*shown.values(), strict=True) if shown else [()] * len(rows.texts)
    return [
        (str(id_), text, _json({name: cell_of(of) for name, of in zip(shown, row, strict=True)}))
        for id_, text, row in zip(rows.ids, rows.texts, cells, strict=True)
    ]


def _json(columns: Mapping[str, Any]) -> str:
    return json.dumps(columns, ensure_ascii=False, default=str)


def _free(name: str, names: set[str]) -> str:
    """Return a name that is not taken."""
    number, free = 2, name
    while free in names:
        free, number = f"{name}-{number}", number + 1
    return free


def _insert(
    db: sqlite3.Connection, fresh: Sequence[tuple[Any, ...]], source: str, last: int
) -> None:
    """Insert texts in random order of draw, with exactly the shares of the project."""
    settings = stored_settings(db)
    generator = np.random.default_rng([int(get(db, "seed") or 0), last])
    count = len(fresh)
    is_random, is_double = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    order = generator.permutation(count)
    is_random[order[: round(settings.random_share * count)]] = True
    for stream in (order[is_random[order]], order[~is_random[order]]):
        is_double[generator.permutation(stream)[: round(settings.double_share * len(stream))]] = 1
    draws = generator.random(count)
    batch = db.execute("SELECT coalesce(max(batch), 0) + 1 FROM texts").fetchone()[0]
    db.executemany(
        "INSERT INTO texts (name, text, digest, batch, draw, stream, coders, needed, columns, "
        "source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                name,
                text,
                digest,
                batch,
                float(draws[row]),
                "random" if is_random[row] else "chosen",
                1 + int(is_double[row]),
                1 + int(is_double[row]),
                columns,
                source,
            )
            for row, (name, text, digest, columns) in enumerate(fresh)
        ),
    )


def _take_labels(project: Project, source: str | Path, settings: ReadSettings) -> int:
    """Store the labels of a file as judgements of nobody; return how many texts have some."""
    data = read(source, settings=settings)
    if data.scheme is None:
        raise DataError(f"{Path(source).name}: no column looks like labels; name it")
    with project.database.read() as db:
        several = stored_settings(db).multilabel
    if data.scheme.multilabel and not several:
        raise DataError(
            f"{Path(source).name} has several labels a text, and the project one; make a project "
            "with several labels a text"
        )
    there = {of.name for of in labels_of(project)}
    added = [Label(name) for name in data.scheme.names if name not in there]
    if len(there) + len(added) > _MOST_LABELS:
        raise DataError(
            f"{Path(source).name} has {counted(len(data.scheme.names), 'label')}, the project can "
            f"have {_MOST_LABELS}; check that the right column is read as labels"
        )
    if added:
        set_labels(project, [*labels_of(project), *added])
    given = []
    for text, label in zip(data.texts, data.labels, strict=True):
        labels = label if isinstance(label, list) else [] if label is None else [label]
        if labels or (label is not None and several):
            digest = hashlib.sha256((text or "").encode("utf-8", "replace")).digest()
            given.append((digest, json.dumps(list(labels), ensure_ascii=False)))
    with project.database.write() as db:
        now = time.time()
        before = db.execute("SELECT count(*) FROM judgements").fetchone()[0]
        db.executemany(
            "INSERT OR IGNORE INTO judgements (token, text, annotator, kind, labels, flagged, "
            "note, time) SELECT 'file-' || hex(digest), id, ?, 'label', ?, 0, '', ? FROM texts "
            "WHERE digest = ?",
            [(FILE, labels, now, digest) for digest, labels in given],
        )
        db.execute(
            "UPDATE texts SET needed = max(0, coders - (SELECT count(*) FROM judgements WHERE "
            f"judgements.text = texts.id AND kind = 'label' AND {CURRENT})) WHERE id IN "
            "(SELECT text FROM judgements WHERE annotator = ?)",
            (FILE,),
        )
        after = db.execute("SELECT count(*) FROM judgements").fetchone()[0]
    return int(after - before)


def _notes(found: Texts, repeated: int, empty: int) -> tuple[str, ...]:
    notes = [found.description, *(of.message for of in found.findings)]
    if repeated:
        notes.append(f"{counted(repeated, 'text')} left out that the project has already")
    if empty:
        notes.append(f"{counted(empty, 'row')} left out whose text is empty")
    return tuple(note for note in notes if note)
