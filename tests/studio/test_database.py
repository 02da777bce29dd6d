"""The database of a project: whole, refused or unchanged, but never half-written."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from finetext.core.errors import DataError
from finetext.studio.database import VERSION, Database, make_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "project.sqlite"
    make_database(path, {"seed": 3})
    found = Database(path)
    yield found
    found.close()


def put(db: sqlite3.Connection, key: str, value: str = "1") -> None:
    db.execute("INSERT INTO meta VALUES (?, ?)", (key, value))


def keys(database: Database) -> set[str]:
    with database.read() as db:
        return {row["key"] for row in db.execute("SELECT key FROM meta")}


def test_a_new_database_has_its_first_values_and_no_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "project.sqlite"
    make_database(path, {"seed": 3})
    assert [of.name for of in tmp_path.iterdir()] == ["project.sqlite"]
    database = Database(path)
    assert keys(database) == {"seed"}
    with database.read() as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
    database.close()


def test_a_database_is_never_replaced(database: Database) -> None:
    with pytest.raises(DataError, match="exists already"):
        make_database(database.path, {})
    assert keys(database) == {"seed"}


def test_a_foreign_file_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mail.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mail (text)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="no project of the studio"):
        Database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"id,text\n1,hello\n" * 99, random.Random(0).randbytes(20_000)]
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "project.sqlite"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"project\.sqlite"):
        Database(path)
    assert path.read_bytes() == content


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        Database(tmp_path / "project.sqlite")
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_refused_with_advice(database: Database) -> None:
    with database.write() as db:
        for row in range(3000):
            put(db, f"key {row}", "value" * 20)
    database.close()
    whole = database.path.read_bytes()
    odd = random.Random(0).randbytes(9000)
    for content in (
        whole[: len(whole) // 2] + odd + whole[len(whole) // 2 + len(odd) :],
        whole[: len(whole) // 2],
        bytes(100) + whole[100:],
    ):
        database.path.write_bytes(content)
        with pytest.raises(DataError, match="from a backup"):
            Database(database.path)
        assert database.path.read_bytes() == content


def test_a_later_schema_is_refused(database: Database) -> None:
    with database.write() as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(DataError, match="later version of finetext"):
        Database(database.path)


def put_all(database: Database, *rows: tuple[str, str]) -> None:
    with database.write() as db:
        for key, value in rows:
            put(db, key, value)


def test_an_error_leaves_nothing_of_its_transaction(database: Database) -> None:
    with pytest.raises(ValueError, match="unpack"):
        put_all(database, ("half", "1"), ("no value",))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="UNIQUE"):
        put_all(database, ("half", "1"), ("seed", "4"))
    put_all(database, ("whole", "1"))
    assert keys(database) == {"seed", "whole"}


def test_a_full_disk_is_told_and_later_writes_succeed(database: Database) -> None:
    with database.write() as db:
        before = db.execute("PRAGMA max_page_count").fetchone()[0]
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(DataError, match=r"full.*not acknowledged.*room"):
        put_all(database, ("small", "1"), ("large", "x" * 100_000))
    with database.write() as db:
        db.execute(f"PRAGMA max_page_count = {before}")
    put_all(database, ("large", "x" * 100_000))
    assert keys(database) == {"seed", "large"}


def test_values_that_cannot_be_stored_are_told(database: Database) -> None:
    for value in ("\ud800", 2**70):
        with pytest.raises(DataError, match="cannot store a value"), database.write() as db:
            db.execute("INSERT INTO meta VALUES ('odd', ?)", (value,))


def test_a_reader_sees_one_state_while_others_write(database: Database) -> None:
    with database.read() as db:
        assert db.execute("SELECT count(*) FROM meta").fetchone()[0] == 1
        with database.write() as other:
            put(other, "new")
        assert db.execute("SELECT count(*) FROM meta").fetchone()[0] == 1
    assert keys(database) == {"seed", "new"}


def test_many_threads_add_up(database: Database) -> None:
    with database.write() as db:
        put(db, "count", "0")

    def add(_: int) -> None:
        with database.write() as db:
            value = int(db.execute("SELECT value FROM meta WHERE key = 'count'").fetchone()[0])
            db.execute("UPDATE meta SET value = ? WHERE key = 'count'", (str(value + 1),))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(200)))
    with database.read() as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'count'").fetchone()[0] == "200"


def test_a_closed_database_is_not_opened_again_unseen(database: Database) -> None:
    database.close()
    with pytest.raises(DataError, match="is closed"), database.read():
        pass
    with pytest.raises(DataError, match="is closed"), database.write():
        pass
    assert [of.name for of in database.path.parent.iterdir()] == ["project.sqlite"]


def test_closing_waits_for_nobody_who_reads(database: Database) -> None:
    with database.read() as db:
        database.close()
        assert db.execute("SELECT count(*) FROM meta").fetchone()[0] == 1
    assert [of.name for of in database.path.parent.iterdir()] == ["project.sqlite"]
