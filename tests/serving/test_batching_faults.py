"""What a model can do to a batcher: raise, hang, break for good."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np
import pytest
from batching_toys import Recorder, asks, until, within

from finetext.core.arrays import Floats
from finetext.core.settings import ServeSettings
from finetext.serving import batching
from finetext.serving.batching import Ask, Batcher
from finetext.serving.requests import Refusal

RAISED: list[BaseException] = [
    SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(),
    BaseException("a panic"), StopIteration(), MemoryError(), RecursionError(),
]  # fmt: skip


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
def test_whatever_the_model_raises_fails_only_its_own_request(raised: BaseException) -> None:
    free = threading.Event()

    def work(given: Sequence[Ask]) -> Floats:
        assert free.wait(20)
        if any(ask.text == "bad" for ask in given):
            raise raised
        return np.array([[float(ask.text), 0.0] for ask in given])

    async def body(batcher: Batcher) -> None:
        def fail() -> None:
            raise raised

        calls = [asyncio.create_task(batcher.predict(asks(each))) for each in (0, 1, "bad", 2)]
        calls.append(asyncio.create_task(batcher.do(fail)))
        await asyncio.sleep(0)
        free.set()
        first, one, bad, two, job = await asyncio.gather(*calls, return_exceptions=True)
        assert [first.tolist(), one.tolist(), two.tolist()] == [[[0, 0]], [[1, 0]], [[2, 0]]]
        for failed in (bad, job):
            assert isinstance(failed, Exception)
            assert raised in (failed, failed.__cause__)
        assert batcher.is_alive
        assert batcher.is_working
        assert (await batcher.predict(asks(4))).tolist() == [[4, 0]]

    within(body, work)


def test_too_few_rows_are_an_error() -> None:
    async def body(batcher: Batcher) -> None:
        with pytest.raises(ValueError, match="1 rows for 2 texts"):
            await batcher.predict(asks(1, 2))

    within(body, lambda given: np.zeros((1, 2)))


async def refused(call: Coroutine[Any, Any, Any]) -> None:
    with pytest.raises(Refusal, match="does not answer") as found:
        await call
    assert found.value.status_code == 503
    assert int(found.value.headers["retry-after"]) >= 1


def ending(batcher: Batcher) -> list[str | None]:
    """Grows when a batcher ends by itself."""
    told: list[str | None] = []
    batcher.ended = lambda: told.append(batcher.fault)
    return told


def test_a_model_that_hangs_ends_the_batcher_and_refuses_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> None:
        told = ending(batcher)
        work.free.clear()
        calls = [batcher.predict(asks(0)), batcher.predict(asks(1)), batcher.do(lambda: None)]
        async with asyncio.TaskGroup() as group:
            for each in calls:
                group.create_task(refused(each))
        assert told == ["the model has not answered for more than 0.1 s (serve.batch_seconds)"]
        assert not batcher.is_alive
        await refused(batcher.predict(asks(2)))
        await refused(batcher.do(lambda: None))
        work.free.set()

    within(body, work, batch_seconds=0.1, request_seconds=0.05)
    assert "the server ends" in caplog.text


def test_requests_are_refused_at_once_while_the_model_is_stuck() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> None:
        work.free.clear()
        first = asyncio.create_task(batcher.predict(asks(0)))
        await until(lambda: not batcher.is_working)
        assert batcher.is_alive
        await refused(batcher.predict(asks(1)))
        await refused(batcher.do(lambda: None))
        work.free.set()
        assert (await first).tolist() == [[0, 0]]
        assert (await batcher.predict(asks(2))).tolist() == [[2, -2]]

    within(body, work, request_seconds=0.05)


def test_a_model_that_fails_on_everything_ends_the_batcher() -> None:
    is_broken = False

    def work(given: Sequence[Ask]) -> Floats:
        nonlocal is_broken
        is_broken = True
        raise BaseException("a lock is poisoned")

    def check() -> None:
        assert not is_broken

    async def run() -> None:
        batcher = Batcher(work, lambda text: 1, ServeSettings(), check=check)
        told = ending(batcher)
        async with batcher.running(), asyncio.timeout(20):
            with pytest.raises(Exception, match="raised BaseException"):
                await batcher.predict(asks(1))
            await until(lambda: bool(told))
            assert not batcher.is_alive
            await refused(batcher.predict(asks(2)))
        assert told == ["the model fails on texts that it could predict before"]

    asyncio.run(run())


def test_an_end_of_the_thread_or_the_queue_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_LONGEST_TICK", 0.01)

    async def lose_thread(batcher: Batcher) -> None:
        told = ending(batcher)
        batcher._thread.shutdown(wait=False)
        await refused(batcher.predict(asks(1)))
        await until(lambda: bool(told))
        assert told == ["the thread of the model has ended"]

    async def lose_queue(batcher: Batcher) -> None:
        told = ending(batcher)

        async def fail() -> None:
            raise BaseException("what nobody thought of")

        monkeypatch.setattr(batcher, "_gather", fail)
        await refused(batcher.predict(asks(1)))
        assert told == ["the queue of the model has ended"]
        assert not batcher.is_alive

    for body in (lose_thread, lose_queue):
        within(body, Recorder())


def test_stopping_is_no_end_by_itself_and_refuses_what_waits() -> None:
    work = Recorder()

    async def run() -> None:
        batcher = Batcher(work, lambda text: 1, ServeSettings())
        told = ending(batcher)
        beats: list[int] = []
        batcher.beat = lambda: beats.append(1)
        async with batcher.running():
            work.free.clear()
            waiting = asyncio.create_task(refused(batcher.predict(asks(1))))
            await until(lambda: bool(work.batches))
        await waiting
        work.free.set()
        assert (told, batcher.fault, bool(beats)) == ([], None, True)

    asyncio.run(run())
