"""The database of a project: whole, ours, and never half written."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from studio_toys import project_of, rows, work

from finetext.core.errors import DataError
from finetext.studio.database import Database
from finetext.studio.project import DATABASE, open_project, opened

JUDGING = """
import sys, uuid
from pathlib import Path
from finetext.studio.judgements import Judgement, judge
from finetext.studio.next_text import next_text
from finetext.studio.project import opened
with opened(Path(sys.argv[1])) as project:
    while True:
        token, found = str(uuid.uuid4()), next_text(project, "Anna")
        judge(project, "Anna", Judgement(token, found.id, ("good",)))
        print(token, flush=True)
"""


def test_every_acknowledged_judgement_survives_kills(tmp_path: Path) -> None:
    with project_of(tmp_path, 3_000) as project:
        folder = project.folder
    generator, told = random.Random(0), list[str]()
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", JUDGING, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(generator.randint(1, 200)):
            told.append(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().split()
        process.wait()
        process.stdout.close()
    with opened(folder) as project:
        stored = [token for (token,) in rows(project, "SELECT token FROM judgements ORDER BY id")]
        assert len(set(stored)) == len(stored)
        assert set(told) <= set(stored)
        assert len(set(stored) - set(told)) <= 5  # stored, and killed before it was told
        assert rows(project, "PRAGMA integrity_check") == [("ok",)]
        judged = rows(project, "SELECT count(*) FROM texts WHERE needed < coders")[0][0]
        assert judged == len(stored)


def test_four_people_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    with project_of(tmp_path, 300, double_share=0.2) as project:
        done: dict[str, int] = {}
        people = [
            Thread(target=lambda who=who: done.update({who: len(work(project, who, 60))}))
            for who in ("Anna", "Bert", "Clara", "Deniz")
        ]
        for person in people:
            person.start()
        for person in people:
            person.join()
        assert set(done.values()) == {60}
        answers = "SELECT count(*), count(DISTINCT annotator), max(coders) FROM judgements JOIN "
        answers += "texts ON texts.id = judgements.text GROUP BY judgements.text"
        for number, people_of, coders in rows(project, answers):
            assert number == people_of <= coders
        assert rows(project, "SELECT count(*) FROM judgements") == [(240,)]


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "one.sqlite")

    def fail() -> None:
        with database.write() as db:
            db.execute("INSERT INTO meta VALUES ('a', '1')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as db:
        assert db.execute("SELECT count(*) FROM meta").fetchone()[0] == 0
    database.close()


def test_what_is_no_project_is_refused_in_words(tmp_path: Path) -> None:
    other = tmp_path / "other" / DATABASE
    other.parent.mkdir()
    sqlite3.connect(other).execute("CREATE TABLE a (b)").connection.close()
    with pytest.raises(DataError, match="no project of the studio"):
        open_project(other.parent)
    damaged = tmp_path / "damaged" / DATABASE
    damaged.parent.mkdir()
    damaged.write_bytes(bytes(range(256)) * 64)
    with pytest.raises(DataError, match="not a database"):
        open_project(damaged.parent)
    with pytest.raises(DataError, match=r"holds no project.*did you mean|holds no project"):
        open_project(tmp_path / "missing")


def test_a_project_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        with project.database.write() as db:
            db.execute("PRAGMA user_version = 99")
        folder = project.folder
    with pytest.raises(DataError, match="later version of finetext"):
        open_project(folder)


def test_one_process_has_a_project_open(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        asked = subprocess.run(
            [sys.executable, "-c", JUDGING, str(project.folder)], capture_output=True, text=True
        )
    assert "another process has the project" in asked.stderr
