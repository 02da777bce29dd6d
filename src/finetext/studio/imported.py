"""Texts from files into a project, with their ids and further columns; nothing is lost unsaid."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.batch.inputs import is_text, read_input
from finetext.core.arrays import finite
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import LabelScheme
from finetext.core.wording import counted
from finetext.data.read import read
from finetext.data.rows import Rows, Texts, Wanted
from finetext.data.write import cell_of
from finetext.storage.codec import Jsonable
from finetext.studio.judgements import COUNT_NEEDED, whole
from finetext.studio.label_set import Label, store_labels, stored_labels
from finetext.studio.project import Project, get, stored_settings

MOST_TEXTS: Final = 1_000_000
FILE: Final = "file"
"""Annotator of the labels that a file has."""
MOST_LABELS: Final = 200


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
    """Add the texts of a source that are not there yet, and draw their streams; all or none.

    A text that the project has, or that comes before in the source, is left out, as is an empty
    one. Ids that are taken get the name of the source before them.

    Args:
        project: the project.
        source: whatever `finetext predict` reads.
        settings: how to read it.
        take_labels: whether its labels become judgements of the annotator "file", which others
            can replace; labels that the project lacks are added to its set.

    Raises:
        DataError: the source cannot be read, has no texts, or has labels that do not fit.
    """
    settings, name = settings or ReadSettings(), Path(source).name
    if is_text(str(source)):
        raise DataError(f"there is no file {source}; check its name")
    # Nobody waits while files are read: the transaction begins after that.
    given = _labels_in(source, settings) if take_labels else None
    found = read_input(str(source), replace(settings, labelled=False), Wanted(columns=True))
    rows = [row for some in found.batches for row in _rows(found, some)]
    with project.database.write() as db:
        last = db.execute("SELECT coalesce(max(id), 0) FROM texts").fetchone()[0]
        added = _new(db, rows, name)
        if last + len(added.rows) > MOST_TEXTS:
            raise DataError(f"a project has at most {MOST_TEXTS:,} texts; take a sample of {name}")
        if not added.rows and not last:
            raise DataError(f"{name} has no texts")
        _insert(db, added.rows, name, last)
        labeled = 0 if given is None else _store_labels(db, given, name)
    notes = [found.description, *(of.message for of in found.findings), *added.notes(name)]
    if given is not None and given.differ:
        texts = counted(given.differ, "text")
        notes.append(f"{texts} have several answers in {name}: the first of each is taken")
    return Imported(
        len(added.rows), added.repeated, added.empty, labeled, tuple(filter(None, notes))
    )


@dataclass(frozen=True)
class _Row:
    """A row of a source; `columns` is the JSON of all but its text and id."""

    name: str
    text: str
    columns: str

    @property
    def digest(self) -> bytes:
        return _digest(self.text)


@dataclass(frozen=True)
class _New:
    """The rows that a project lacks, and how many others were left out or got another id."""

    rows: list[_Row]
    repeated: int
    empty: int
    renamed: int

    def notes(self, source: str) -> Iterator[str]:
        """Yield what was done to rows."""
        if self.repeated:
            yield f"{counted(self.repeated, 'text')} left out that the project has already"
        if self.empty:
            yield f"{counted(self.empty, 'row')} left out whose text is empty"
        if self.renamed:
            ids = counted(self.renamed, "id")
            yield f"{ids} that other texts have already: they begin with {source}/ now"


def _rows(found: Texts, rows: Rows) -> Iterator[_Row]:
    """Yield the rows of a batch, with all other columns."""
    shown = {
        whole(name): values
        for name, values in rows.columns.items()
        if name not in (*found.text_columns, found.id_column)
    }
    cells = zip(*shown.values(), strict=True) if shown else repeat((), len(rows.texts))
    for id_, text, row in zip(rows.ids, rows.texts, cells, strict=True):
        columns = {name: cell_of(value) for name, value in zip(shown, row, strict=True)}
        yield _Row(whole(str(id_)), whole(text), whole(_json(columns)))


def _json(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, default=str)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _new(db: sqlite3.Connection, rows: Sequence[_Row], source: str) -> _New:
    """Return the rows whose texts the project lacks, under ids that are free."""
    known = {row[0] for row in db.execute("SELECT digest FROM texts")}
    names = {row[0] for row in db.execute("SELECT name FROM texts")}
    kept, empty, renamed = list[_Row](), 0, 0
    for row in rows:
        if not row.text.strip():
            empty += 1
        elif row.digest not in known:
            known.add(row.digest)
            if row.name in names:
                row, renamed = replace(row, name=_free(f"{source}/{row.name}", names)), renamed + 1
            names.add(row.name)
            kept.append(row)
    return _New(kept, len(rows) - empty - len(kept), empty, renamed)


def _free(name: str, names: set[str]) -> str:
    """Return a name that is not taken."""
    number, free = 2, name
    while free in names:
        free, number = f"{name}-{number}", number + 1
    return free


def _insert(db: sqlite3.Connection, rows: Sequence[_Row], source: str, last: int) -> None:
    """Insert texts in random order of draw, with exactly the shares of the project."""
    settings, count = stored_settings(db), len(rows)
    generator = np.random.default_rng([int(get(db, "seed") or 0), last])
    is_random, is_double = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    order = generator.permutation(count)
    is_random[order[: round(settings.random_share * count)]] = True
    for stream in (order[is_random[order]], order[~is_random[order]]):
        is_double[generator.permutation(stream)[: round(settings.double_share * len(stream))]] = 1
    streams = np.where(is_random, "random", "chosen").tolist()
    draws, coders = generator.random(count).tolist(), (1 + is_double.astype(int)).tolist()
    batch = db.execute("SELECT coalesce(max(batch), 0) + 1 FROM texts").fetchone()[0]
    db.executemany(
        "INSERT INTO texts (name, text, digest, batch, draw, stream, coders, needed, columns, "
        "source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (of.name, of.text, of.digest, batch, draw, stream, wanted, wanted, of.columns, source)
            for of, draw, stream, wanted in zip(rows, draws, streams, coders, strict=True)
        ),
    )


@dataclass(frozen=True)
class _Given:
    """The labels of a file: its scheme, the first answer on each text by its digest.

    `differ` is how many texts have other answers, too.
    """

    scheme: LabelScheme
    labels: dict[bytes, list[str]]
    differ: int


def _labels_in(source: str | Path, settings: ReadSettings) -> _Given:
    # Texts without a label are those that are left to people.
    data = read(source, settings=replace(settings, labelled=True, drop_unlabelled=True))
    if data.scheme is None:
        raise DataError(f"{Path(source).name}: no column looks like labels; name it")
    several, labels = data.scheme.multilabel, dict[bytes, list[str]]()
    differ = set[bytes]()
    for text, label in zip(data.texts, data.labels, strict=True):
        if label is not None:
            names = list(label) if several else [str(label)]
            digest = _digest(whole(text or ""))
            if set(labels.setdefault(digest, names)) != set(names):
                differ.add(digest)
    return _Given(data.scheme, labels, len(differ))


def _store_labels(db: sqlite3.Connection, given: _Given, source: str) -> int:
    """Store the labels of a file as judgements; return how many texts got some by that."""
    several = stored_settings(db).multilabel
    if given.scheme.multilabel and not several:
        raise DataError(
            f"{source} has several labels a text, and the project one; make a project with several "
            "labels a text"
        )
    there = stored_labels(db)
    if retired := [of.name for of in there if of.retired and of.name in given.scheme.names]:
        raise DataError(
            f"{source} gives {retired[0]!r}, a label that is retired; bring it back first, or add "
            "the texts without their labels"
        )
    added = [Label(name) for name in given.scheme.names if name not in {of.name for of in there}]
    if len(there) + len(added) > MOST_LABELS:
        raise DataError(
            f"{source} has {counted(len(given.scheme.names), 'label')}, and a project has at most "
            f"{MOST_LABELS}; check that the right column is read as labels"
        )
    if added:
        store_labels(db, [*there, *added])
    before, now = db.total_changes, time.time()
    db.executemany(
        "INSERT OR IGNORE INTO judgements (token, text, annotator, kind, labels, flagged, note, "
        "time) SELECT 'file-' || hex(digest), id, ?, 'label', ?, 0, '', ? FROM texts "
        "WHERE digest = ?",
        [(FILE, _json(labels), now, digest) for digest, labels in given.labels.items()],
    )
    stored = db.total_changes - before
    db.execute(f"{COUNT_NEEDED} IN (SELECT text FROM judgements WHERE annotator = ?)", (FILE,))
    return stored
