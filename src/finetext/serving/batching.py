"""Dynamic batching: requests that arrive together share batches of the one model thread.

Whenever the model is free it gets as many texts as the limits allow, waiting a few milliseconds for
more if requests overlap. Slow jobs run when no text waits, or when they have waited for long.

Whatever the model raises fails its own request only. If the model does not answer in time, fails on
everything, or its thread ends, the batcher ends: it refuses all requests and says so.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Final, NamedTuple, final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.errors import UnknownNameError
from finetext.core.settings import ServeSettings
from finetext.serving.logs import LOG
from finetext.serving.model_thread import Failed, ModelThread, Outcome, contained
from finetext.serving.requests import Refusal
from finetext.serving.tracing import Tracer, Wait

PATIENCE: Final = 2.0
"""Seconds after which a slow job runs before waiting texts."""
_LONGEST_RETRY: Final = 60
_RESTART: Final = 5
"""Seconds after which clients retry if the model does not answer."""
_LONGEST_TICK: Final = 1.0
"""Seconds between looks at the model."""


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
    wait: Wait = field(default_factory=Wait)


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
        check: Callable[[], object] = lambda: None,
    ) -> None:
        """Create it.

        `work` returns (n, k) numbers; `watch` gets texts and seconds of a batch; `check` raises if
        the model fails on a text that it could predict at first.
        """
        self._work, self._count, self._settings, self._watch = work, tokens, settings, watch
        self._check = check
        self.fault: str | None = None
        """Why it ended, or None; set once."""
        self.ended: Callable[[], None] = lambda: None
        """Called when it ends by itself."""
        self.beat: Callable[[], None] = lambda: None
        """Called about once a second while the event loop runs."""
        self.changed: Callable[[int], None] = lambda texts: None
        """Called with the number of texts that wait, when it changes."""
        self.tracer = Tracer()
        self._requests: deque[_Request] = deque()
        self._jobs: deque[_Job] = deque()
        self._texts = self._tokens = 0
        self._arrived = asyncio.Event()
        self._is_shared = self._was_job = False
        self._seconds_a_text = 0.0
        self._since: float | None = None
        self._answers: set[asyncio.Future[Any]] = set()
        self._task: asyncio.Task[None] | None = None
        self._thread: ModelThread | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it runs, and the model has time left for what it does."""
        running = self._task is not None and not self._task.done() and self.fault is None
        thread_runs = self._thread is not None and self._thread.is_alive
        return running and thread_runs and self._busy <= self.longest

    @property
    def is_working(self) -> bool:
        """Whether texts are accepted and the model is not stuck."""
        return self.is_alive and self._busy <= self._settings.request_seconds

    @property
    def waiting(self) -> int:
        """Number of texts that wait for the model."""
        return self._texts

    @property
    def longest(self) -> float:
        """Most seconds that the model may take for a batch or a job."""
        return max(self._settings.batch_seconds, self._settings.request_seconds)

    @property
    def _busy(self) -> float:
        return 0.0 if (since := self._since) is None else perf_counter() - since

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the body runs."""
        self._arrived = asyncio.Event()
        self._thread = ModelThread()
        self._task = asyncio.create_task(self._run())
        tasks = (self._task, asyncio.create_task(self._guard(self._thread)))
        for task in tasks:
            task.add_done_callback(self._stopped)
        try:
            yield
        finally:
            for task in tasks:
                task.remove_done_callback(self._stopped)
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._refuse_all()
            self._thread.shutdown(wait=False)

    async def predict(self, asks: Sequence[Ask]) -> Floats:
        """Return (n, k) numbers of the texts; if cancelled, texts in no batch are not predicted."""
        if not self.is_working:
            raise silent()
        if self._texts + len(asks) > self._settings.queue_texts:
            seconds = min(_LONGEST_RETRY, max(1, math.ceil(self._texts * self._seconds_a_text)))
            raise _busy(f"{self._texts:,} texts are waiting already", seconds)
        tokens = [self._count(ask.text) for ask in asks]
        loop = asyncio.get_running_loop()
        request = _Request(asks, tokens, loop.time(), loop.create_future())
        request.wait = self.tracer.waiting(len(asks))
        self._requests.append(request)
        self._answers.add(request.answer)
        self._texts += len(asks)
        self._tokens += sum(tokens)
        self.changed(self._texts)
        self._arrived.set()
        try:
            return await request.answer
        finally:
            request.wait.end()
            self._answers.discard(request.answer)
            self._take(request, len(asks))
            if request in self._requests:  # an error of `remove` would write out all of its texts
                self._requests.remove(request)

    async def do(self, work: Callable[[], Outcome]) -> Outcome:
        """Run a slow job between batches, in the model thread."""
        if not self.is_working:
            raise silent()
        if len(self._jobs) >= self._settings.queue_explanations:
            raise _busy("too many explanations are waiting already", math.ceil(PATIENCE))
        loop = asyncio.get_running_loop()
        job: _Job = (work, loop.time(), loop.create_future())
        self._jobs.append(job)
        self._answers.add(job[-1])
        self._arrived.set()
        try:
            return await job[-1]  # type: ignore[no-any-return]
        finally:
            self._answers.discard(job[-1])
            if job in self._jobs:
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
                    parts = self._next_batch()
                    try:
                        await self._predict(parts)
                    except MemoryError as error:
                        for request, _ in parts:
                            _settle(request.answer, error)

    async def _guard(self, thread: ModelThread) -> None:
        """End if the model takes too long, or its thread has ended."""
        while True:
            self.beat()
            if not thread.is_alive:
                self._end("the thread of the model has ended")
            elif self._busy > self.longest:
                limit = f"{self.longest:g} s (serve.batch_seconds)"
                self._end(f"the model has not answered for more than {limit}")
            await asyncio.sleep(min(_LONGEST_TICK, self.longest / 4))

    def _stopped(self, task: asyncio.Task[None]) -> None:
        """End if a task of the batcher ended by itself."""
        error = None if task.cancelled() else task.exception()
        broken = isinstance(error, _Broken)
        self._end(str(error) if broken else "the queue of the model has ended", error)

    def _end(self, why: str, error: BaseException | None = None) -> None:
        """Refuse all requests, once, and say why."""
        if self.fault is not None:
            return
        self.fault = why
        LOG.error("%s; the server ends", why, exc_info=error)
        if self._task is not None:
            self._task.cancel()
        self._refuse_all()
        self.ended()

    def _refuse_all(self) -> None:
        for answer in self._answers:
            _settle(answer, silent())

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
        self.changed(self._texts)

    async def _predict(self, parts: Sequence[_Part]) -> None:
        """Predict a batch; if that fails, each request alone, so that only the faulty one fails."""
        parts = [part for part in parts if not part[0].answer.done()]
        if not parts:
            return
        self._is_shared = len(parts) > 1
        asks = [ask for _, own in parts for ask in own]
        started = perf_counter()
        with self.tracer.batch([request.wait for request, _ in parts], len(asks)) as span:
            rows = await self._outcome(partial(self._rows_of, asks))
            if isinstance(rows, Failed):
                span.failed(type(rows.error).__name__)
        if isinstance(rows, Failed):
            if len(parts) == 1:
                _settle(parts[0][0].answer, rows.error)
                await self._check_model()
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

    def _rows_of(self, asks: Sequence[Ask]) -> Floats:
        rows = self._work(asks)
        if len(rows) != len(asks):
            raise ValueError(f"the model returned {len(rows)} rows for {len(asks)} texts")
        return rows

    async def _do(self, work: Callable[[], Any], _: float, answer: asyncio.Future[Any]) -> None:
        found = await self._outcome(work)
        _settle(answer, found.error if isinstance(found, Failed) else found)
        if isinstance(found, Failed) and not isinstance(found.error, UnknownNameError):
            await self._check_model()

    async def _check_model(self) -> None:
        """Raise if the model, after a fault, fails on every text, as with a broken GPU or lock."""
        found = await self._outcome(self._check)
        if isinstance(found, Failed):
            raise _Broken("the model fails on texts that it could predict before") from found.error

    async def _outcome(self, work: Callable[[], Outcome]) -> Outcome | Failed:
        """Return the result of work in the model thread, or what it raised."""
        self._since = perf_counter()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, partial(contained, work))
        finally:
            self._since = None


def _settle(answer: asyncio.Future[Any], outcome: Any) -> None:
    """Set a result or an exception, unless nobody waits for it any more."""
    if not answer.done():
        (answer.set_exception if isinstance(outcome, Exception) else answer.set_result)(outcome)


class _Broken(Exception):
    """The model is of no use any more."""


def silent() -> Refusal:
    """Return the refusal while the model does not answer."""
    message = f"the model does not answer; retry in {_RESTART} s"
    return Refusal(503, message, {"retry-after": str(_RESTART)})


def _busy(why: str, seconds: int) -> Refusal:
    return Refusal(429, f"{why}; retry in {seconds} s", {"retry-after": str(seconds)})
