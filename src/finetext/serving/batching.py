"""Dynamic batching: requests that arrive together share batches of the one model thread.

Whenever the model is free it gets as many texts as the limits allow, waiting a few milliseconds for
more if requests overlap. Slow jobs run when no text waits, or when they have waited for long.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from time import monotonic, perf_counter
from typing import Any, Final, NamedTuple, TypeVar, final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.settings import ServeSettings
from finetext.serving.requests import Refusal

Outcome = TypeVar("Outcome")
TRIM_SECONDS: Final = 5.0
"""Seconds of work after which freed memory is returned to the system."""


def give_back_freed() -> None:
    """Return memory that glibc keeps to the system: batches of all sizes fragment its heap."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@final
class ModelThread(Executor):
    """One worker thread that Python does not wait for at exit: stopping takes bounded time."""

    def __init__(self) -> None:
        """Start the thread."""
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=self._run, name="finetext-model", daemon=True).start()

    def submit(self, work: Callable[[], Outcome], /) -> Future[Outcome]:  # type: ignore[override]
        """Run `work` after everything submitted before."""
        future: Future[Outcome] = Future()
        self._work.put((future, work))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after everything submitted before, without waiting."""
        self._work.put(None)

    def _run(self) -> None:
        trimmed = monotonic()
        while (given := self._work.get()) is not None:
            future, work = given
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            del given, future, work
            if monotonic() - trimmed > TRIM_SECONDS:
                give_back_freed()
                trimmed = monotonic()


PATIENCE: Final = 2.0
"""Seconds after which a slow job runs before waiting texts."""
_LONGEST_RETRY: Final = 60


class Ask(NamedTuple):
    """A text to predict, and whether its logits are wanted instead of probabilities."""

    text: str
    logits: bool = False


_Job = tuple[Callable[[], Any], float, asyncio.Future[Any]]
"""A slow job, its time of arrival and its answer."""


@dataclass(eq=False)
class _Request:
    """The texts of one request."""

    asks: Sequence[Ask]
    tokens: Sequence[int]
    arrived: float
    answer: asyncio.Future[Floats]
    taken: int = 0
    rows: list[Floats] = field(default_factory=list)


_Part = tuple[_Request, Sequence[Ask]]
"""Consecutive texts of a request in a batch."""


@final
class Batcher:
    """Collects texts into batches and returns each text its row of numbers."""

    def __init__(
        self,
        work: Callable[[Sequence[Ask]], Floats],
        tokens: Callable[[str], int],
        settings: ServeSettings,
        watch: Callable[[int, float], None] = lambda texts, seconds: None,
    ) -> None:
        """Create it; `work` returns (n, k) numbers, `watch` gets texts and seconds of a batch."""
        self._work, self._count, self._settings, self._watch = work, tokens, settings, watch
        self._requests: deque[_Request] = deque()
        self._jobs: deque[_Job] = deque()
        self._texts = self._tokens = 0
        self._arrived = asyncio.Event()
        self._is_shared = self._was_job = False
        self._seconds_a_text = 0.0
        self._since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: ModelThread | None = None

    @property
    def waiting(self) -> int:
        """Number of texts that wait for the model."""
        return self._texts

    @property
    def is_working(self) -> bool:
        """Whether texts are accepted and the model is not stuck."""
        if self._task is None or self._task.done():
            return False
        busy = 0.0 if self._since is None else perf_counter() - self._since
        return busy <= self._settings.request_seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the body runs."""
        self._arrived = asyncio.Event()
        self._thread = ModelThread()
        self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._thread.shutdown(wait=False)

    async def predict(self, asks: Sequence[Ask]) -> Floats:
        """Return (n, k) numbers of the texts; if cancelled, texts in no batch are not predicted."""
        if self._texts + len(asks) > self._settings.queue_texts:
            seconds = min(_LONGEST_RETRY, max(1, math.ceil(self._texts * self._seconds_a_text)))
            raise _busy(f"{self._texts:,} texts are waiting already", seconds)
        tokens = [self._count(ask.text) for ask in asks]
        loop = asyncio.get_running_loop()
        request = _Request(asks, tokens, loop.time(), loop.create_future())
        self._requests.append(request)
        self._texts += len(asks)
        self._tokens += sum(tokens)
        self._arrived.set()
        try:
            return await request.answer
        finally:
            self._take(request, len(asks))
            with suppress(ValueError):
                self._requests.remove(request)

    async def do(self, work: Callable[[], Outcome]) -> Outcome:
        """Run a slow job between batches, in the model thread."""
        if len(self._jobs) >= self._settings.queue_explanations:
            raise _busy("too many explanations are waiting already", math.ceil(PATIENCE))
        loop = asyncio.get_running_loop()
        job: _Job = (work, loop.time(), loop.create_future())
        self._jobs.append(job)
        self._arrived.set()
        try:
            return await job[-1]  # type: ignore[no-any-return]
        finally:
            with suppress(ValueError):
                self._jobs.remove(job)

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._texts or self._jobs:
                if self._jobs and self._texts:
                    waited = asyncio.get_running_loop().time() - self._jobs[0][1]
                    self._was_job = waited > PATIENCE and not self._was_job
                else:
                    self._was_job = bool(self._jobs)
                if self._was_job:
                    await self._do(*self._jobs.popleft())
                else:
                    await self._gather()
                    await self._predict(self._next_batch())

    async def _gather(self) -> None:
        """Wait until a batch is full or its oldest text has waited long enough."""
        self._drop_answered()
        if not self._is_shared or not self._requests:
            return
        loop, limits = asyncio.get_running_loop(), self._settings
        with suppress(TimeoutError):
            latest = self._requests[0].arrived + limits.batch_milliseconds / 1000
            async with asyncio.timeout_at(max(latest, loop.time())):
                while self._texts < limits.batch_texts and self._tokens < limits.batch_tokens:
                    self._arrived.clear()
                    await self._arrived.wait()

    def _drop_answered(self) -> None:
        while self._requests and self._requests[0].taken == len(self._requests[0].asks):
            self._requests.popleft()

    def _next_batch(self) -> list[_Part]:
        """Return the oldest texts, as many as the limits allow, at least one if any waits."""
        parts: list[_Part] = []
        texts, tokens = self._settings.batch_texts, self._settings.batch_tokens
        self._drop_answered()
        while self._requests and texts:
            request = self._requests[0]
            start = end = request.taken
            while end < len(request.asks) and texts:
                if request.tokens[end] > tokens and (parts or end > start):
                    break
                texts, tokens, end = texts - 1, tokens - request.tokens[end], end + 1
            if end == start:
                break
            self._take(request, end)
            parts.append((request, request.asks[start:end]))
            if end < len(request.asks):
                break
            self._drop_answered()
        return parts

    def _take(self, request: _Request, end: int) -> None:
        """Mark the texts up to `end` as no longer waiting."""
        self._texts -= end - request.taken
        self._tokens -= sum(request.tokens[request.taken : end])
        request.taken = end

    async def _predict(self, parts: Sequence[_Part]) -> None:
        """Predict a batch; if that fails, each request alone, so that only the faulty one fails."""
        parts = [part for part in parts if not part[0].answer.done()]
        if not parts:
            return
        self._is_shared = len(parts) > 1
        asks = [ask for _, own in parts for ask in own]
        started = perf_counter()
        rows = await self._outcome(lambda: self._work(asks))
        if isinstance(rows, Exception):
            if not self._is_shared:
                _settle(parts[0][0].answer, rows)
                return
            for part in parts:
                await self._predict([part])
            return
        seconds = perf_counter() - started
        self._seconds_a_text = 0.8 * self._seconds_a_text + 0.2 * seconds / len(asks)
        self._watch(len(asks), seconds)
        start = 0
        for request, own in parts:
            request.rows.append(rows[start : start + len(own)])
            start += len(own)
            if sum(map(len, request.rows)) == len(request.asks):
                _settle(request.answer, np.concatenate(request.rows))

    async def _do(self, work: Callable[[], Any], _: float, answer: asyncio.Future[Any]) -> None:
        _settle(answer, await self._outcome(work))

    async def _outcome(self, work: Callable[[], Outcome]) -> Outcome | Exception:
        """Return the result of work in the model thread, or its exception."""
        self._since = perf_counter()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Exception as error:
            return error
        finally:
            self._since = None


def _settle(answer: asyncio.Future[Any], outcome: Any) -> None:
    """Set a result or an exception, unless nobody waits for it any more."""
    if not answer.done():
        (answer.set_exception if isinstance(outcome, Exception) else answer.set_result)(outcome)


def _busy(why: str, seconds: int) -> Refusal:
    return Refusal(429, f"{why}; retry in {seconds} s", {"retry-after": str(seconds)})
