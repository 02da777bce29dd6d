"""Is a judgement lost or doubled when the studio is killed again and again; how long is the wait?

    FINETEXT_DATA=../shared/data python benchmarks/studio.py
    FINETEXT_DATA=../shared/data python benchmarks/studio.py --kills 0 --read-first

Four annotators at once judge texts of a project of 100,000 over HTTP, as the page does: each
judgement has a token, and is sent again with it until it is acknowledged. Meanwhile the server is
killed (SIGKILL) at random moments and started again. At the end the database must have every
acknowledged judgement exactly once, and no others; texts for one person must have one answer.
The wait is that from a judgement to the next text, as a client sees it, without those that a kill
interrupts. Memory is that of the server process. `--read-first` lets the encoder read all texts
before the annotators begin; by default both go on at once, as on the first day of a project.
"""

from __future__ import annotations

import csv
import http.client
import json
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final

import common
import numpy as np
import psutil

from finetext.studio.imported import add_texts
from finetext.studio.label_set import Label, set_labels
from finetext.studio.project import create_project

LABELS: Final = ("one", "two", "three")
NAME: Final = "load"
PEOPLE: Final = ("Anna", "Bert", "Clara", "Deniz")


def main() -> None:
    """Judge, kill, check, and print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--texts", type=int, default=100_000, help="texts of the project (100000)")
    parser.add_argument("--judgements", type=int, default=10_000, help="in all (10000)")
    parser.add_argument("--kills", type=int, default=20, help="of the server (20)")
    parser.add_argument("--read-first", action="store_true", help="wait for the encoder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        load = Load(Path(folder), options.texts, options.judgements)
        load.begin(options.read_first)
        load.judge(options.kills)
        rows = load.checked()
    what = (
        f"{len(PEOPLE)} annotators, {options.judgements:,} judgements, {options.texts:,} texts, "
        f"{options.kills} kills."
    )
    titles = ["what", "found"]
    common.finish(options, "The studio under load and kills", what, [common.table(titles, rows)])


class Load:
    """A project, its server, and what annotators sent and were told."""

    def __init__(self, folder: Path, texts: int, judgements: int) -> None:
        """Make the project."""
        self.workspace, self.total = folder / "studio", judgements
        path = folder / "texts.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text"])
            writer.writerows([text] for text in _texts(texts))
        project = create_project(self.workspace, NAME)
        set_labels(project, [Label(name) for name in LABELS])
        self.added = add_texts(project, path).added
        project.close()
        self.acknowledged: list[tuple[str, str, int]] = []
        self.waits: list[float] = []
        self.memory: list[float] = []
        self.kills, self.lock, self.is_over = 0, Lock(), Event()

    def begin(self, read_first: bool) -> None:
        """Start the server, and wait for the encoder if asked."""
        self.start()
        while read_first:
            done = self.ask("GET", f"/api/projects/{NAME}", None, PEOPLE[0])["encoding"]
            common.say(f"read {done['done']:,} of {done['total']:,} texts")
            if done["done"] == done["total"] > 0:
                break
            time.sleep(5)

    def start(self) -> None:
        """Start a server and wait until it says where it is."""
        words = [sys.executable, "-m", "finetext", "studio", "--folder", str(self.workspace)]
        self.server = subprocess.Popen(
            [*words, "--no-browser", "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        assert self.server.stdout is not None
        for line in self.server.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise SystemExit("the studio did not start")

    def judge(self, kills: int) -> None:
        """Let all annotators judge, while the server is killed at random moments."""
        share = self.total // len(PEOPLE)
        threads = [Thread(target=self.annotate, args=(name, share)) for name in PEOPLE]
        for thread in threads:
            thread.start()
        generator = random.Random(0)
        steps = sorted(generator.sample(range(self.total // 50, self.total), kills))
        for step in steps:
            while len(self.acknowledged) < step and any(of.is_alive() for of in threads):
                time.sleep(0.01)
                self.look()
            self.server.send_signal(signal.SIGKILL)
            self.server.wait()
            self.kills += 1
            common.say(f"killed after {len(self.acknowledged):,} judgements")
            self.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.5)
            self.look()
        self.server.send_signal(signal.SIGINT)
        self.server.wait()

    def look(self) -> None:
        """Note the memory of the server."""
        with suppress(psutil.Error):
            self.memory.append(psutil.Process(self.server.pid).memory_info().rss / 2**20)

    def annotate(self, name: str, count: int) -> None:
        """Judge so many texts as one annotator."""
        generator = random.Random(name)
        found, _ = self.until("GET", f"/api/projects/{NAME}/next?tab={name}", None, name)
        for _ in range(count):
            token, text = str(uuid.uuid4()), found["text"]["id"]
            body = {"token": token, "text": text, "labels": [generator.choice(LABELS)]}
            path = f"/api/projects/{NAME}/judgements?tab={name}"
            answer, wait = self.until("POST", path, body, name)
            with self.lock:
                self.acknowledged.append((token, name, text))
                if wait is not None:
                    self.waits.append(wait)
            found = answer["next"]

    def until(self, method: str, path: str, body: Any, name: str) -> tuple[Any, float | None]:
        """Return the answer, however often it takes, and the seconds if once was enough."""
        for tries in range(10_000):
            began = time.perf_counter()
            try:
                answer = self.ask(method, path, body, name)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)
                continue
            return answer, None if tries else time.perf_counter() - began
        raise SystemExit("the studio does not answer")

    def ask(self, method: str, path: str, body: Any, name: str) -> Any:
        """Return the JSON answer to one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"X-Annotator": name, "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status}: {found}")
        return found

    def checked(self) -> list[list[str]]:
        """Return what the database has, compared with what was acknowledged."""
        database = sqlite3.connect(self.workspace / NAME / "project.sqlite")
        stored = database.execute("SELECT token, annotator, text FROM judgements").fetchall()
        answers = Counter(text for _, _, text in stored)
        coders = dict(database.execute("SELECT id, coders FROM texts"))
        lost = set(self.acknowledged) - set(stored)
        more = len(stored) - len(set(stored)) + len(set(stored) - set(self.acknowledged))
        twice = sum(number > coders[text] for text, number in answers.items())
        whole = database.execute("PRAGMA integrity_check").fetchone()[0]
        waits = 1000 * np.array(self.waits)
        half = len(self.memory) // 2
        return [
            ["texts", f"{self.added:,}"],
            ["acknowledged judgements", f"{len(self.acknowledged):,}"],
            ["lost", f"{len(lost)}"],
            ["stored twice or never acknowledged", f"{more}"],
            ["texts with more answers than asked for", f"{twice}"],
            ["integrity of the database", whole],
            ["kills", f"{self.kills}"],
            ["wait for the next text, p50", f"{np.quantile(waits, 0.5):.1f} ms"],
            ["wait for the next text, p99", f"{np.quantile(waits, 0.99):.1f} ms"],
            ["longest wait", f"{waits.max():.0f} ms"],
            ["memory peak, first half", f"{max(self.memory[:half]):.0f} MiB"],
            ["memory peak, second half", f"{max(self.memory[half:]):.0f} MiB"],
        ]


def _texts(count: int) -> list[str]:
    """Return different short texts of three sets."""
    data, texts = common.data_folder(), dict[str, None]()
    for name, cut in (
        ("sst2/glue/train.tsv", lambda line: line.split("\t")[0]),
        ("goemotions/train.tsv", lambda line: line.split("\t")[0]),
        ("emotion/train.txt", lambda line: line.rsplit(";", 1)[0]),
    ):
        for line in (data / name).read_text(encoding="utf-8").splitlines():
            texts.setdefault(cut(line).strip())
    texts.pop("", None)
    found = list(texts)
    random.Random(0).shuffle(found)
    return found[:count]


if __name__ == "__main__":
    main()
