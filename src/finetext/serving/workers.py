"""Several processes that answer on one socket, and the parent that starts and replaces them.

The parent binds the socket and opens no connection; each worker inherits it and accepts from the
same queue, so that a worker that stops takes no waiting connection with it. uvicorn has such a
parent, too; it lets connections go that a stopping worker has accepted but not read, kills workers
whose model takes long to load, and watches no worker while it replaces others.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final, final

from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import ServeSettings
from finetext.core.threads import environment_of, threads_each
from finetext.core.wording import counted
from finetext.serving import metrics
from finetext.serving.logs import LOG
from finetext.storage.codec import to_json

PROGRAM: Final = "finetext.serving.worker"
"""The module that a worker runs."""
MOST_FAILURES: Final = 3
"""Starts in a row that a worker may fail before the server ends."""
YOUNG: Final = 10.0
"""Seconds for which a worker must have answered, or else its start has failed."""
LAST_CALL: Final = 0.05
"""Seconds in which a server that stops accepts connections that are there already."""
SPARE: Final = 5.0
"""Seconds beyond `stop_seconds` after which a worker that stops is killed."""
Ready = Callable[[str, Sequence[str], str], None]
"""Called with the address, the text columns and the engine of the model when all workers answer."""


@final
@dataclass(frozen=True)
class Task:
    """What a worker serves, and how.

    Attributes:
        model: a model folder, a run folder or a name on the Hub; a link is followed at each start.
        settings: the limits, each worker's own.
        token: what clients must send, or None.
        device: where to predict; None is the default.
        precision: number format of the matrix products, or None for that of the model.
    """

    model: str
    settings: ServeSettings
    token: str | None = field(default=None, repr=False)
    device: str | None = None
    precision: str | None = None


def supervise(listening: socket.socket, task: Task, ready: Ready) -> None:
    """Serve with `task.settings.workers` processes until SIGTERM or Ctrl-C.

    SIGHUP replaces them one by one by new ones, which load the model again.

    Raises:
        ModelError: the model cannot be served, or a worker failed at the start again and again.
        RecipeError: this system has no such signals.
    """
    if os.name != "posix":
        raise RecipeError("serve.workers: several workers need Linux or macOS; leave it out")
    with TemporaryDirectory(prefix="finetext-metrics-") as folder:
        asyncio.run(Workers(listening, task, folder).run(ready))


@final
@dataclass(eq=False)
class Worker:
    """A process that answers."""

    process: asyncio.subprocess.Process
    told: Mapping[str, Any]
    since: float


@final
class Workers:
    """The workers of a server."""

    def __init__(self, listening: socket.socket, task: Task, folder: str) -> None:
        """Prepare; `folder` is for the metrics."""
        self._listening, self._task, self._folder = listening, task, folder
        self._workers: dict[int, Worker] = {}
        """Those that answer, by place."""
        self._processes: dict[int, asyncio.subprocess.Process | None] = {}
        """All that have not ended, by number; None for one that is about to start."""
        self._changing = [asyncio.Lock() for _ in range(task.settings.workers)]
        """By place: a model that loads for long keeps no other place empty."""
        self._stop, self._renew = asyncio.Event(), asyncio.Event()

    async def run(self, ready: Ready) -> None:
        """Serve until it is told to stop; see `supervise`."""
        loop, places = asyncio.get_running_loop(), range(self._task.settings.workers)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._renew.set)
        try:
            await self._unless_stopped(*map(self._fill, places))
            if not self._stop.is_set():
                told = self._workers[0].told
                ready(told["address"], told["columns"], told["engine"])
                await self._unless_stopped(*map(self._keep, places), self._roll())
        finally:
            self._stop.clear()
            with suppress(OSError):
                self._listening.listen(0)  # who is connected already is accepted, nobody else
            self._listening.close()
            await asyncio.sleep(LAST_CALL)
            await self._retire(*filter(None, self._processes.values()))

    async def _unless_stopped(self, *works: Coroutine[Any, Any, None]) -> None:
        """Work until all is done, one raises, or a signal says stop."""
        tasks = [asyncio.create_task(work) for work in works]
        stopped = asyncio.create_task(self._stop.wait())
        together = asyncio.gather(*tasks)
        waited: set[asyncio.Future[Any]] = {together, stopped}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if together.done():
                together.result()
        finally:
            for task in (*tasks, stopped):
                task.cancel()
            await asyncio.gather(*tasks, stopped, together, return_exceptions=True)

    async def _fill(self, place: int) -> None:
        self._workers[place] = await self._started()

    async def _started(self) -> Worker:
        """Return a new worker that is ready; raises a ModelError with what it says otherwise."""
        number, handle = metrics.free_number(self._processes), self._listening.fileno()
        self._processes[number] = None
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", PROGRAM, str(handle), str(number)),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                pass_fds=(handle,), process_group=0, env=self._environment(),
            )  # fmt: skip
        except OSError as error:  # no memory, or no more processes or files
            del self._processes[number]
            raise ModelError(f"a worker cannot start: {error.strerror}") from None
        self._processes[number] = process
        assert process.stdin is not None
        assert process.stdout is not None
        ended = asyncio.create_task(self._forget(number, process))
        try:
            process.stdin.write(json.dumps(to_json(self._task)).encode() + b"\n")
            try:
                line = await process.stdout.readline()
                told = json.loads(line) if line else {}
            except ValueError:
                raise ModelError("a worker cannot start: what it says is not JSON") from None
            if not told:
                raise ModelError(f"a worker {_end_of(await process.wait())} before it was ready")
            if "error" in told:
                raise ModelError(told["error"])
        except BaseException:
            _kill(process)
            await ended
            raise
        return Worker(process, told, monotonic())

    async def _forget(self, number: int, process: asyncio.subprocess.Process) -> None:
        """Let another worker have the number when this one has ended."""
        await process.wait()
        metrics.forget_worker(number, self._folder)
        del self._processes[number]

    def _environment(self) -> dict[str, str]:
        """Return the environment of a worker: its share of the threads, unless they are set."""
        known = {name: of for name, of in os.environ.items() if name != "FINETEXT_TOKEN"}
        threads = environment_of(threads_each(self._task.settings.workers))
        own = {metrics.FOLDER: self._folder, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return known | threads | own

    async def _keep(self, place: int) -> None:
        """Replace the worker of a place whenever it ends by itself."""
        failures = 0
        while True:
            worker = self._workers[place]
            status = await worker.process.wait()
            async with self._changing[place]:
                if self._workers[place] is not worker:
                    continue  # it was replaced
                failures = failures + 1 if monotonic() - worker.since < YOUNG else 1
                why = f"a worker {_end_of(status)}"
                while self._workers[place] is worker:
                    if failures >= MOST_FAILURES:
                        raise ModelError(f"{why}; {failures} starts in a row failed, so all end")
                    LOG.warning("%s; another one starts", why)
                    try:
                        await self._fill(place)
                    except ModelError as error:
                        failures, why = failures + 1, str(error)
                        await asyncio.sleep(failures)

    async def _roll(self) -> None:
        """Replace all workers, one after the other, whenever a signal says so."""
        while True:
            await self._renew.wait()
            self._renew.clear()
            try:
                for place, changing in enumerate(self._changing):
                    async with changing:
                        old = self._workers[place]
                        await self._fill(place)
                    await self._retire(old.process)
            except ModelError as error:
                LOG.error("no new worker, so the others go on: %s", error)
            else:
                LOG.info("replaced: %s", counted(len(self._workers), "worker"))

    async def _retire(self, *processes: asyncio.subprocess.Process) -> None:
        """Let workers answer what they have accepted, and end; kill those that take too long.

        A second signal to stop kills them, too.
        """
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        ended = asyncio.create_task(_ends(processes))
        stopped = asyncio.create_task(self._stop.wait())
        limit = self._task.settings.stop_seconds + SPARE
        try:
            await asyncio.wait({ended, stopped}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            stopped.cancel()
        for process in processes:
            if process.returncode is None:
                LOG.warning("process %d did not end in time and is killed", process.pid)
                _kill(process)
                await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a worker with what it has started, such as the reader of a table."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _ends(processes: Iterable[asyncio.subprocess.Process]) -> None:
    for process in processes:
        await process.wait()


def _end_of(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.Signals(-status).name}"
