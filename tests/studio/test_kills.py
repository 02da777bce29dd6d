"""Judgements that were acknowledged survive the end of their process at any moment."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from studio_projects import check_counts, project_in

from finetext.core.errors import DataError
from finetext.studio.judgements import Judgement, judge
from finetext.studio.project import open_project

_PERSON = """
import os
import sys
from pathlib import Path
from threading import Thread
from finetext.studio.judgements import Judgement, judge, undo
from finetext.studio.next_text import next_text
from finetext.studio.project import open_project

project = open_project(Path(sys.argv[1]))

def work(name):
    for number in range(100_000):
        text = next_text(project, name).id
        token = f"{sys.argv[2]}-{name}-{number}"
        judge(project, name, Judgement(token, text, ("good",)))
        os.write(1, f"{token} {text}\\n".encode())  # whole, whatever the other thread writes
        if number % 7 == 6:
            undo(project, name)

for name in ("ann", "bob"):
    Thread(target=work, args=(name,)).start()
"""


def one_life(folder: Path, name: str, lines: int) -> dict[str, int]:
    """Let two people judge until some lines are read, kill them; return what they were told."""
    command = [sys.executable, "-c", _PERSON, str(folder), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            read = [process.stdout.readline() for _ in range(lines)]
            with pytest.raises(DataError, match="another process has the project"):
                open_project(folder)
        finally:
            process.kill()
        read += process.stdout.readlines()
    return {token: int(text) for token, text in map(str.split, read)}


def test_killed_at_any_moment_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with project_in(tmp_path, texts=5_000, double_share=0.3) as project:
        folder = project.folder
    chance, told = random.Random(0), dict[str, int]()
    for life in range(6):
        told |= one_life(folder, str(life), chance.randrange(5, 80))
        with closing(open_project(folder)) as project:
            told[f"after {life}"] = 1 + life
            judge(project, "cy", Judgement(f"after {life}", 1 + life, ("bad",)))
            with project.database.read() as db:
                assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
                check_counts(db)
                stored = dict(db.execute("SELECT token, text FROM judgements").fetchall())
        assert told.items() <= stored.items()
        # At most one judgement of each thread was stored when nobody could be told any more.
        assert len(stored) <= len(told) + 2 * (life + 1)
