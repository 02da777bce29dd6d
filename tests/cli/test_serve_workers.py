"""`finetext serve --workers`: real workers under load, restarted, killed and stopped."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers need signals")

TEXT = "a fine and moving film"


@dataclass
class Service:
    """A server with workers, in a process of its own."""

    process: subprocess.Popen[str]
    log: Path
    host: str = ""
    port: int = 0

    def wait_for(self, words: str, times: int = 1, seconds: float = 120) -> None:
        """Wait until the log has said something that number of times."""
        started = time.monotonic()
        while self.log.read_text().count(words) < times:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() - started < seconds, self.log.read_text()
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """The ids of its processes."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def get(self, path: str) -> str:
        """The body of an answer over a new connection."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read().decode()
        finally:
            connection.close()


@dataclass
class Load:
    """Clients that ask without a pause, each over connections that it keeps, or new ones."""

    service: Service
    scores: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def client(self, keeps: bool) -> None:
        connection = None
        while not self.is_over.is_set():
            if connection is None:
                where = self.service.host, self.service.port
                connection = http.client.HTTPConnection(*where, timeout=60)
                connection.auto_open = 0  # no second try in silence
            try:
                if connection.sock is None:
                    connection.connect()
                headers = {"content-type": "application/json"}
                connection.request("POST", "/predict", json.dumps({"inputs": TEXT}), headers)
                answer = connection.getresponse()
                body = answer.read()
                assert answer.status == 200, body
                told = {one["label"]: one["score"] for one in json.loads(body)[0]}
                self.scores.append(told["good"])
            except Exception as error:
                self.failures.append(repr(error))
                connection.close()
                connection = None
                continue
            if not keeps or answer.getheader("connection") == "close":
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def run(self, clients: int, work: Callable[[], None]) -> None:
        """Ask while something is done."""
        threads = [
            threading.Thread(target=self.client, args=(number % 2 == 0,))
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        try:
            work()
        finally:
            self.is_over.set()
            for thread in threads:
                thread.join(60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """A function that starts the command and waits until it answers."""
    running: list[Service] = []

    def started(model: Path, *words: object) -> Service:
        log = tmp_path / f"log {len(running)}"
        command = [sys.executable, "-m", "finetext", "serve", str(model), "--json", "--port", "0"]
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*command, *map(str, words)], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        running.append(service := Service(process, log))
        assert process.stdout is not None
        lines = ""
        while not lines.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, log.read_text()
            lines += line
        place = urlsplit(json.loads(lines)["address"])
        service.host, service.port = str(place.hostname), int(place.port or 0)
        return service

    yield started
    for service in running:
        if service.process.poll() is None:
            service.process.kill()
        service.process.communicate()


@pytest.mark.slow
def test_no_request_is_lost_while_workers_are_replaced(
    start: Callable[..., Service], finished: Path, tmp_path: Path
) -> None:
    """The model changes, a worker is killed, and the metrics count every request once."""
    import finetext

    old = finetext.load(finished)
    new = old.with_temperature(4.0)
    new.save(tmp_path / "new")
    link = tmp_path / "model"
    link.symlink_to(finished)
    service = start(link, "--workers", 2)
    load = Load(service)

    def replace() -> None:
        time.sleep(1)
        first = set(service.workers())
        (tmp_path / "next").symlink_to(tmp_path / "new")
        (tmp_path / "next").replace(link)
        os.kill(service.process.pid, signal.SIGHUP)
        service.wait_for("replaced: 2 workers")
        while first & set(service.workers()):
            time.sleep(0.05)
        count = len(load.scores)
        while len(load.scores) < count + 40:
            time.sleep(0.05)

    load.run(8, replace)
    assert load.failures == []
    known = [round(of(TEXT)["good"], 6) for of in (old, new)]
    assert known[0] != known[1]
    assert {round(score, 6) for score in load.scores} == set(known)
    assert {round(score, 6) for score in load.scores[-20:]} == {known[1]}
    # after all have been answered, any worker tells the count of all, those that ended included
    for _ in range(6):
        told = service.get("/metrics")
        counted = re.search(r'requests_total{path="/predict",status="200"} (\S+)', told)
        assert counted
        assert float(counted[1]) == len(load.scores)
        assert "finetext_workers 2.0" in told
    os.kill(service.workers()[0], signal.SIGKILL)
    service.wait_for("was ended by SIGKILL; another one starts")
    while len(service.workers()) < 2:
        time.sleep(0.05)
    assert json.loads(service.get("/ready")) == {"status": "ready"}
    service.process.terminate()
    assert service.process.wait(60) == 0


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_one_message(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "finetext", "serve", str(tmp_path), "--workers", "2"]
    done = subprocess.run([*words, "--port", "0"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert str(tmp_path) in done.stderr
    assert not [*tmp_path.iterdir()]
