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
from finetext.studio.next_text import next_text
from finetext.studio.project import open_project

_PERSON = """
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
        print(token, text, flush=True)
        if number % 7 == 6:
            undo(project, name)

for name in ("ann", "bob"):
    Thread(target=work, args=(name,)).start()
"""


def test_killed_at_any_moment_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with project_in(tmp_path, texts=1_500, double_share=0.3) as project:
        folder = project.folder
    chance, told = random.Random(0), dict[str, int]()
    for life in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", _PERSON, str(folder), str(life)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chance.randrange(5, 80))]
        with pytest.raises(DataError, match="another process has the project"):
            open_project(folder)
        process.kill()
        lines += process.stdout.read().split("\n")
        process.stdout.close()
        process.wait()
        # The last line may have been cut off: a whole one has a token and a number.
        whole = [of.split() for of in lines if of.count(" ") == 1]
        told |= {token: int(text) for token, text in whole}
        with closing(open_project(folder)) as project:
            with project.database.read() as db:
                stored = {
                    row["token"]: row["text"]
                    for row in db.execute("SELECT token, text FROM judgements")
                }
                assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
                check_counts(db)
            assert told.items() <= stored.items()
            # At most the judgement of each thread that was stored and not yet told.
            assert len(stored) <= len(told) + 2 * (life + 1)
            assert next_text(project, "ann")
    assert len(told) > 20
