"""The parent of the workers: it starts, replaces and ends processes that only pretend to serve."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from finetext.core import threads
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import ServeSettings
from finetext.serving import workers
from finetext.serving.workers import Task, Workers, supervise

pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers need signals")
Step = Callable[["Parent"], Awaitable[None]]


@dataclass
class Parent:
    """A parent whose workers serve the model in a file."""

    folder: Path
    listening: socket.socket
    ready: tuple[str, list[str]] | None = None

    def becomes(self, behavior: str) -> None:
        """What workers that start from now on do."""
        (self.folder / "model").write_text(behavior)

    @property
    def events(self) -> list[str]:
        return (self.folder / "events").read_text().splitlines()

    def run(self, step: Step, **settings: int) -> None:
        """Run it until a step is done, and stop it."""
        task = Task(str(self.folder / "model"), ServeSettings(**{"workers": 2} | settings))
        metrics = self.folder / "metrics"
        metrics.mkdir()

        def ready(address: str, columns: object, engine: str) -> None:
            self.ready = address, list(columns)  # type: ignore[call-overload]

        async def both() -> None:
            async with asyncio.timeout(30):
                running = asyncio.create_task(
                    Workers(self.listening, task, str(metrics)).run(ready)
                )
                stepping = asyncio.create_task(self._stepped(step, running))
                await running
                await stepping

        asyncio.run(both())

    async def _stepped(self, step: Step, running: asyncio.Task[None]) -> None:
        while self.ready is None and not running.done():
            await asyncio.sleep(0.01)
        try:
            await step(self)
        finally:
            if not running.done():
                os.kill(os.getpid(), signal.SIGTERM)

    async def until(self, event: str, times: int = 1) -> None:
        """Wait until there were so many events of a name."""
        while sum(event in line for line in self.events) < times:
            await asyncio.sleep(0.01)


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parent]:
    monkeypatch.setattr(workers, "PROGRAM", "toy_worker")
    for name in threads.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        made = Parent(tmp_path, listening)
        made.becomes("good")
        yield made


async def nothing(parent: Parent) -> None:
    """Stop at once."""


def test_it_is_ready_when_all_are_and_ends_them_all(parent: Parent) -> None:
    parent.run(nothing, workers=3)
    assert parent.ready == ("http://toy", ["title"])
    starts = {f"good starts with 2 threads as {number}" for number in (1, 2, 3)}
    assert set(parent.events[:3]) == starts
    assert sorted(parent.events[3:]) == [f"good stops as {number}" for number in (1, 2, 3)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        parent.listening.getsockname()


def test_workers_have_a_moment_to_accept_who_is_connected(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = asyncio.sleep, list[str]()

    async def sleep(seconds: float) -> None:
        await real(seconds)
        if seconds == workers.LAST_CALL:
            seen.extend(parent.events)

    monkeypatch.setattr(workers, "LAST_CALL", 0.3)
    monkeypatch.setattr(workers.asyncio, "sleep", sleep)
    parent.run(nothing)
    assert [event.split()[1] for event in seen] == ["starts", "starts"]


def test_a_task_does_not_show_its_token() -> None:
    assert "s3cret" not in repr(Task("model", ServeSettings(), token="s3cret"))


def test_threads_that_are_set_stay(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    parent.run(nothing)
    assert parent.events[0].startswith("good starts with 7 threads")


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_torch_computes_in_the_threads_that_are_set_not_in_its_share(
    parent: Parent, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    task = Task("model", ServeSettings(workers=4))
    known = Workers(parent.listening, task, str(parent.folder))._environment()
    words = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    assert subprocess.check_output(words, env=known, text=True, timeout=60).strip() == "1"


def test_a_restart_starts_each_new_worker_before_an_old_one_stops(parent: Parent) -> None:
    async def restart(parent: Parent) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await parent.until("starts", 4)
        await parent.until("stops", 2)

    parent.run(restart)
    kinds = ["start" if "starts" in event else "stop" for event in parent.events]
    assert kinds == ["start", "start", "start", "stop", "start", "stop", "stop", "stop"]
    numbers = [int(event.split()[-1]) for event in parent.events]
    assert max(numbers) == 3  # one more than workers, however many restarts


def test_a_restart_that_fails_leaves_the_old_workers(
    parent: Parent, caplog: pytest.LogCaptureFixture
) -> None:
    async def restart(parent: Parent) -> None:
        for number, behavior in enumerate(("wrong", "dies", "babbles")):
            parent.becomes(behavior)
            os.kill(os.getpid(), signal.SIGHUP)
            await parent.until(f"{behavior} starts")
            while caplog.text.count("no new worker") <= number:
                await asyncio.sleep(0.01)
        assert "stops" not in " ".join(parent.events)
        parent.becomes("good")
        os.kill(os.getpid(), signal.SIGHUP)
        while "replaced" not in caplog.text:
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.INFO, logger="finetext.serving"):
        parent.run(restart)
    assert "no new worker, so the others go on: the model is damaged" in caplog.text
    assert "a worker was ended by SIGKILL before it was ready" in caplog.text
    assert "a worker cannot start: what it says is not JSON" in caplog.text
    assert "replaced: 2 workers" in caplog.text


def test_a_restart_without_memory_for_a_process_leaves_the_old_workers(
    parent: Parent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*words: str, **more: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    async def restart(parent: Parent) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(workers.asyncio, "create_subprocess_exec", full)
            os.kill(os.getpid(), signal.SIGHUP)
            while "cannot start: Cannot allocate memory" not in caplog.text:
                await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGHUP)
        await parent.until("starts", 4)

    parent.run(restart)
    assert max(int(event.split()[-1]) for event in parent.events) == 3  # its number is free again


def test_a_worker_that_dies_is_replaced(parent: Parent, caplog: pytest.LogCaptureFixture) -> None:
    async def kill(parent: Parent) -> None:
        pids = children()
        assert len(pids) == 2
        os.kill(pids[0], signal.SIGKILL)
        await parent.until("starts", 3)
        while len(children()) < 2:
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.WARNING, logger="finetext.serving"):
        parent.run(kill)
    assert "a worker was ended by SIGKILL; another one starts" in caplog.text
    assert sum("stops" in event for event in parent.events) == 2


def test_a_worker_that_dies_is_replaced_while_another_one_loads(parent: Parent) -> None:
    async def kill(parent: Parent) -> None:
        parent.becomes("slow")
        os.kill(os.getpid(), signal.SIGHUP)
        await parent.until("slow starts")
        parent.becomes("good")
        [second] = [pid for pid in children() if psutil.Process(pid).cmdline()[-1] == "2"]
        os.kill(second, signal.SIGKILL)
        await parent.until("good starts", 3)
        assert "stops" not in " ".join(parent.events)
        (parent.folder / "free").touch()
        await parent.until("good stops")

    parent.run(kill)


@pytest.mark.parametrize(
    ("behavior", "message"),
    [("wrong", "the model is damaged"), ("dies", "ended by SIGKILL before it was ready")],
)
def test_what_fails_at_the_first_start_ends_it_at_once(
    parent: Parent, behavior: str, message: str
) -> None:
    parent.becomes(behavior)
    with pytest.raises(ModelError, match=message):
        parent.run(nothing)
    assert parent.ready is None
    assert len(parent.events) <= 2


def test_repeated_death_ends_it_with_one_message(
    parent: Parent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = asyncio.sleep
    monkeypatch.setattr(workers.asyncio, "sleep", lambda seconds: real(min(seconds, 0.01)))

    async def crash(parent: Parent) -> None:
        parent.becomes("crashes")
        os.kill(children()[0], signal.SIGKILL)
        await real(20)

    with pytest.raises(ModelError, match=r"SIGKILL; 3 starts in a row failed, so all end"):
        parent.run(crash)
    assert sum("crashes starts" in event for event in parent.events) == 2
    assert not children()


def test_a_worker_that_does_not_stop_is_killed(
    parent: Parent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "SPARE", -0.8)
    parent.becomes("stuck")
    parent.run(nothing, stop_seconds=1)
    assert caplog.text.count("did not end in time and is killed") == 2
    assert not children()
    started = [int(event.split()[2]) for event in parent.events if "child" in event]
    assert len(started) == 2
    assert not any(map(lives, started))


def test_a_second_signal_kills_what_still_stops(parent: Parent) -> None:
    async def twice(parent: Parent) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.2)

    parent.becomes("stuck")
    parent.run(twice, stop_seconds=60)
    assert not children()


KILLED = """
import asyncio, os, signal, socket, sys
from finetext.core.settings import ServeSettings
from finetext.serving import workers

workers.PROGRAM = "toy_worker"
sys.path.insert(0, sys.argv[2])
task = workers.Task(sys.argv[1] + "/model", ServeSettings(workers=2))
made = workers.Workers(socket.socket(), task, sys.argv[1] + "/metrics")
asyncio.run(made.run(lambda *told: os.kill(os.getpid(), signal.SIGKILL)))
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """Their standard input ends with it: the toy notes that it stops."""
    (tmp_path / "model").write_text("good")
    (tmp_path / "metrics").mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    assert subprocess.run(command, timeout=30).returncode == -signal.SIGKILL
    started = time.monotonic()
    while (tmp_path / "events").read_text().count("good stops") < 2:
        assert time.monotonic() - started < 10
        time.sleep(0.01)


def test_workers_need_a_folder_and_posix(monkeypatch: pytest.MonkeyPatch) -> None:
    from serving_toys import Toy

    from finetext.serving.server import serve

    with pytest.raises(RecipeError, match="save the classifier first"):
        serve(Toy(), port=0, settings=ServeSettings(workers=2))
    monkeypatch.setattr(workers.os, "name", "nt")
    with socket.socket() as listening, pytest.raises(RecipeError, match="Linux or macOS"):
        supervise(listening, Task("model", ServeSettings(workers=2)), print)


def children() -> list[int]:
    """The workers of this process that have not ended; other tests leave helpers of libraries."""
    return [child.pid for child in psutil.Process().children() if is_worker(child)]


def is_worker(process: psutil.Process) -> bool:
    try:
        return workers.PROGRAM in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def lives(pid: int) -> bool:
    """Whether a process, of whomever, has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
