"""The SQLite database of a project: nothing that was acknowledged is lost, whatever happens.

In WAL mode readers never wait for writers; with `synchronous=FULL` a transaction is on the disk
before it is acknowledged (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final, final

from finetext.core.errors import DataError
from finetext.storage.files import output_file

VERSION: Final = 1
"""Of the schema; a database of a later one is refused."""
APPLICATION: Final = 0x66747874
"""Number in the header of the file that says whose it is (the letters ftxt)."""
_SECONDS: Final = 30.0
CURRENT: Final = "replaced IS NULL AND undone IS NULL"
"""Condition for judgements that hold: neither undone nor replaced by a later one."""

# Indexes that counts come from have all columns of the condition: rows are looked up otherwise.
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
CREATE INDEX texts_begun ON texts (stream, draw) WHERE needed > 0 AND needed < coders;
CREATE INDEX texts_judged ON texts (stream, needed, coders) WHERE needed < coders;
CREATE TABLE judgements (
    id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE,
    text INTEGER NOT NULL REFERENCES texts, annotator TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('label', 'skip', 'decision')), labels TEXT NOT NULL,
    flagged INTEGER NOT NULL, note TEXT NOT NULL, time REAL NOT NULL, seconds REAL,
    guideline INTEGER, suggestion TEXT, replaces INTEGER, replaced REAL, undone REAL);
CREATE UNIQUE INDEX judgements_current ON judgements (text, annotator, kind = 'decision')
    WHERE {CURRENT};
CREATE INDEX judgements_of ON judgements (annotator, id);
CREATE INDEX judgements_labels ON judgements (annotator, kind, replaced, undone)
    WHERE kind = 'label' AND {CURRENT};
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


def make_database(path: Path, values: Mapping[str, Any]) -> None:
    """Write a new database with values of `meta`, whole or not at all; replaces none."""
    if path.exists():
        raise DataError(f"{path} exists already; choose another folder")
    with output_file(path) as beside, _told(path):
        connection = sqlite3.connect(beside, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}")
            rows = [(key, json.dumps(value)) for key, value in values.items()]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            connection.execute("COMMIT")
        finally:
            connection.close()


@final
class Database:
    """One file; each thread reads and writes by a connection that no other one uses meanwhile."""

    def __init__(self, path: Path) -> None:
        """Open a database; raises a DataError if it is missing, damaged or of something else."""
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False
        self._changing, self._writing = Lock(), Lock()
        if not path.is_file():
            raise DataError(f"there is no file {path}")
        with _told(path):
            first = self._connected()
            try:
                self._check(first)
            except BaseException:
                first.close()
                raise
        self._idle.append(first)

    def _check(self, connection: sqlite3.Connection) -> None:
        ours = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if ours != APPLICATION:
            raise DataError(f"{self.path} is no project of the studio; choose another folder")
        if version > VERSION:
            raise DataError(
                f"{self.path} was written by a later version of finetext (schema {version}; this "
                f"one knows {VERSION}); update finetext"
            )
        if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"the file is damaged ({found})")

    def _connected(self) -> sqlite3.Connection:
        """Return a new connection; of a foreign file nothing is changed."""
        connection = sqlite3.connect(
            self.path, timeout=_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that is rolled back if the body leaves a transaction open."""
        with self._changing:
            if self._is_closed:
                raise DataError(f"the project {self.path.parent.name} is closed; open it again")
            found = self._idle.pop() if self._idle else None
        connection = self._connected() if found is None else found
        keep = False
        try:
            yield connection
        finally:
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                with self._changing:
                    keep = not self._is_closed
                    self._idle += [connection] if keep else []
            finally:
                if not keep:
                    connection.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees one state of the database while the body runs."""
        with _told(self.path), self._connection() as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for one transaction, which is on the disk when the body has ended.

        An error in the body, or in storing, leaves nothing of it. The body must not write by
        another connection, which would wait for this one.
        """
        # A lock of Python wakes the next one at once; SQLite would try again after pauses.
        with self._writing, _told(self.path), self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file once a transaction that writes has ended; nothing is read after that."""
        with self._writing, self._changing:
            self._is_closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn an error of SQLite into a message."""
    try:
        yield
    except sqlite3.Error as error:
        raise DataError(
            f"{path}: {error}; what was not acknowledged is not stored. Check that the disk has "
            "room, and that the file is a project of the studio; if it is damaged, take a copy of "
            "its folder from a backup"
        ) from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise DataError(f"{path.parent.name} cannot store a value: {error}") from error
