"""The SQLite database of a project: nothing that was acknowledged is lost, whatever happens.

In WAL mode readers never wait for writers; with `synchronous=FULL` a transaction is on the disk
before it is acknowledged (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, local
from typing import Final, final

from finetext.core.errors import DataError

VERSION: Final = 1
"""Of the schema; a database of a later one is refused."""
APPLICATION: Final = 0x66747874
"""Number in the header of the file that says whose it is (the letters ftxt)."""
_SECONDS: Final = 30.0
CURRENT: Final = "replaced IS NULL AND undone IS NULL"
"""Condition for judgements that hold: neither undone nor replaced by a later one."""

_SCHEMA: Final = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE labels (
    name TEXT PRIMARY KEY, position INTEGER NOT NULL, description TEXT NOT NULL,
    color TEXT NOT NULL, key TEXT NOT NULL, retired INTEGER NOT NULL DEFAULT 0);
CREATE TABLE guidelines (version INTEGER PRIMARY KEY, text TEXT NOT NULL, time REAL NOT NULL);
CREATE TABLE texts (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, text TEXT NOT NULL, digest BLOB NOT NULL,
    batch INTEGER NOT NULL, draw REAL NOT NULL,
    stream TEXT NOT NULL CHECK (stream IN ('random', 'chosen')),
    coders INTEGER NOT NULL, needed INTEGER NOT NULL, columns TEXT NOT NULL,
    source TEXT NOT NULL);
CREATE UNIQUE INDEX texts_digest ON texts (digest);
CREATE INDEX texts_new ON texts (stream, draw) WHERE needed = coders;
CREATE INDEX texts_judged ON texts (stream) WHERE needed < coders;
CREATE INDEX texts_begun ON texts (stream, draw) WHERE needed > 0 AND needed < coders;
CREATE TABLE judgements (
    id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE,
    text INTEGER NOT NULL REFERENCES texts, annotator TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('label', 'skip', 'decision')), labels TEXT NOT NULL,
    flagged INTEGER NOT NULL, note TEXT NOT NULL, time REAL NOT NULL, seconds REAL,
    guideline INTEGER, suggestion TEXT, replaces INTEGER, replaced REAL, undone REAL);
CREATE UNIQUE INDEX judgements_current ON judgements (text, annotator, kind = 'decision')
    WHERE {CURRENT};
CREATE INDEX judgements_of ON judgements (annotator, id);
CREATE INDEX judgements_labels ON judgements (annotator) WHERE kind = 'label' AND {CURRENT};
CREATE TABLE claims (
    annotator TEXT NOT NULL, tab TEXT NOT NULL, text INTEGER NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (annotator, tab));
CREATE INDEX claims_text ON claims (text);
CREATE TABLE doubts (
    text INTEGER PRIMARY KEY REFERENCES texts, run TEXT NOT NULL, label TEXT NOT NULL,
    suggested TEXT NOT NULL, probability REAL NOT NULL, time REAL NOT NULL);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""


@final
class Database:
    """Connections to one file, one for each thread; writers wait for each other."""

    def __init__(self, path: Path) -> None:
        """Open a database, made if missing; raises a DataError for a file of something else."""
        self.path = path
        self._own = local()
        self._open: list[sqlite3.Connection] = []
        self._one, self._writing = Lock(), Lock()
        is_new = not path.exists()
        try:
            with self._told():
                if is_new:
                    self._connection().executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
                self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        ours = self._connection().execute("PRAGMA application_id").fetchone()[0]
        version = self._connection().execute("PRAGMA user_version").fetchone()[0]
        if ours != APPLICATION:
            raise DataError(f"{self.path} is no project of the studio; choose another folder")
        if version > VERSION:
            raise DataError(
                f"{self.path} was written by a later version of finetext (schema {version}; this "
                f"one knows {VERSION}); update finetext"
            )

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if found is None:
            found = sqlite3.connect(
                self.path, timeout=_SECONDS, isolation_level=None, check_same_thread=False
            )
            found.row_factory = sqlite3.Row
            found.execute("PRAGMA journal_mode = WAL")
            found.execute("PRAGMA synchronous = FULL")
            found.execute("PRAGMA foreign_keys = ON")
            self._own.connection = found
            with self._one:
                self._open.append(found)
        return found

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees one state of the database while the body runs."""
        with self._told():
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for one transaction, which is on the disk when the body has ended."""
        # Waiting for a lock of Python is fair; SQLite would try again after growing pauses.
        with self._writing, self._told():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn an error of SQLite into a message."""
        try:
            yield
        except sqlite3.Error as error:
            raise DataError(
                f"{self.path}: {error}; what was not acknowledged is not stored. Check that the "
                "disk has room and that the file is a project of the studio"
            ) from error

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._one:
            for connection in self._open:
                connection.close()
            self._open.clear()
        self._own = local()
