"""Batches, queues and the model thread."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from batching_toys import Recorder, asks, until, within

from finetext.core.arrays import Floats
from finetext.core.settings import ServeSettings
from finetext.serving import batching
from finetext.serving.batching import Ask, Batcher
from finetext.serving.requests import Refusal


def test_every_text_gets_its_own_answer() -> None:
    work, generator = Recorder(), random.Random(0)
    sizes = [generator.choice([1, 1, 2, 5, 30]) for _ in range(150)]
    requests = [[1000 * place + i for i in range(size)] for place, size in enumerate(sizes)]

    async def body(batcher: Batcher) -> None:
        async def one(numbers: list[int]) -> None:
            await asyncio.sleep(generator.random() / 20)
            rows = await batcher.predict(asks(*numbers))
            assert rows.tolist() == [[number, -number] for number in numbers]

        await asyncio.gather(*map(one, requests))
        assert batcher.waiting == 0

    within(body, work, batch_texts=16, queue_texts=10_000)
    assert sorted(map(int, work.seen)) == [number for each in requests for number in each]
    assert max(map(len, work.batches)) == 16
    assert len(work.batches) < len(requests)


class Unwritten(str):
    """A text that must not be written out: those of a request can be megabytes."""

    def __repr__(self) -> str:
        raise AssertionError("a text was written out")


def test_texts_are_not_written_out_beside_the_answer() -> None:
    async def body(batcher: Batcher) -> None:
        rows = await batcher.predict([Ask(Unwritten("3"))])
        assert rows.tolist() == [[3, -3]]

    within(body, Recorder())


def test_texts_are_predicted_in_order_of_arrival() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> None:
        work.free.clear()
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(batcher.predict(asks(number)))
                await asyncio.sleep(0)
            await until(lambda: batcher.waiting == 39)
            work.free.set()

    within(body, work, batch_texts=13)
    assert work.seen == [str(number) for number in range(40)]
    assert [len(batch) for batch in work.batches] == [1, 13, 13, 13]


def test_batches_respect_the_token_limit_unless_one_text_exceeds_it() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> None:
        work.free.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(batcher.predict(asks(0)))
            await until(lambda: bool(work.batches))
            for numbers in ((4, 4), (4,), (30,), (3, 30, 3)):
                group.create_task(batcher.predict(asks(*numbers)))
                await asyncio.sleep(0)
            work.free.set()

    within(body, work, tokens=int, batch_tokens=10)
    expected = [["0"], ["4", "4"], ["4"], ["30"], ["3"], ["30"], ["3"]]
    assert work.batches == expected


def test_texts_of_a_disconnected_client_are_not_predicted() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> None:
        work.free.clear()
        first = asyncio.create_task(batcher.predict(asks(1)))
        await until(lambda: bool(work.batches))
        gone = asyncio.create_task(batcher.predict(asks(2, 3)))
        stays = asyncio.create_task(batcher.predict(asks(4)))
        await until(lambda: batcher.waiting == 3)
        gone.cancel()
        first.cancel()
        await until(lambda: batcher.waiting == 1)
        work.free.set()
        assert (await stays).tolist() == [[4, -4]]

    within(body, work)
    assert work.seen == ["1", "4"]


def test_cancelled_requests_are_freed_while_the_model_is_busy() -> None:
    class Asks(list[Ask]):
        """A list that can be watched."""

    work = Recorder()

    async def body(batcher: Batcher) -> None:
        work.free.clear()
        first = asyncio.create_task(batcher.predict(asks(1)))
        await until(lambda: bool(work.batches))
        large = Asks(asks(2))
        watched = weakref.ref(large)
        gone = asyncio.create_task(batcher.predict(large))
        await until(lambda: batcher.waiting == 1)
        gone.cancel()
        await asyncio.wait([gone])
        del gone, large
        gc.collect()
        assert watched() is None
        work.free.set()
        await first

    within(body, work)


def test_the_rest_of_a_cancelled_request_is_dropped() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> None:
        work.free.clear()
        gone = asyncio.create_task(batcher.predict(asks(*range(9))))
        await until(lambda: bool(work.batches))
        gone.cancel()
        await until(lambda: batcher.waiting == 0)
        work.free.set()
        assert (await batcher.predict(asks(9))).tolist() == [[9, -9]]

    within(body, work, batch_texts=4)
    assert work.batches == [["0", "1", "2", "3"], ["9"]]


def test_a_full_queue_is_refused_with_retry_after() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> None:
        work.free.clear()
        waiting = [asyncio.create_task(batcher.predict(asks(0)))]
        await until(lambda: bool(work.batches))
        waiting.append(asyncio.create_task(batcher.predict(asks(1, 2, 3))))
        await until(lambda: batcher.waiting == 3)
        with pytest.raises(Refusal, match="3 texts are waiting") as refused:
            await batcher.predict(asks(4, 5))
        assert refused.value.status_code == 429
        assert int(refused.value.headers["retry-after"]) >= 1
        waiting.append(asyncio.create_task(batcher.predict(asks(4))))
        await until(lambda: batcher.waiting == 4)
        work.free.set()
        await asyncio.gather(*waiting)

    within(body, work, queue_texts=4, request_texts=4)
    assert work.seen == list("01234")


def test_an_error_fails_only_its_own_request() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> list[Any]:
        work.free.clear()
        calls = [
            asyncio.create_task(batcher.predict(asks(*each))) for each in ("0", ("bad", 1), "2")
        ]
        await until(lambda: bool(work.batches))
        work.free.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    one, fault, two = within(body, work)
    assert (one.tolist(), two.tolist()) == ([[0, 0]], [[2, -2]])
    assert isinstance(fault, ValueError)


def test_batches_wait_for_more_texts_only_after_shared_batches() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await batcher.predict(asks(1))
        await batcher.predict(asks(2))
        alone = loop.time() - started
        await asyncio.gather(*(batcher.predict(asks(n)) for n in (3, 4, 5)))
        started = loop.time()
        await batcher.predict(asks(6))
        return alone, loop.time() - started

    alone, after_others = within(body, work, batch_milliseconds=400.0)
    assert alone < 0.4 <= after_others + 0.01


def test_a_full_batch_does_not_wait() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> None:
        for _ in range(3):
            await asyncio.gather(*(batcher.predict(asks(n)) for n in range(4)))

    within(body, work, batch_milliseconds=60_000.0, batch_texts=2)


def test_jobs_run_after_texts_and_their_queue_is_limited() -> None:
    work = Recorder()

    async def body(batcher: Batcher) -> None:
        work.free.clear()
        calls = [asyncio.create_task(batcher.predict(asks(0)))]
        await until(lambda: bool(work.batches))
        jobs = [asyncio.create_task(batcher.do(lambda: list(work.seen))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await batcher.do(lambda: None)
        assert refused.value.status_code == 429
        calls.append(asyncio.create_task(batcher.predict(asks(3))))
        await until(lambda: batcher.waiting == 1)
        work.free.set()
        await asyncio.gather(*calls)
        assert await asyncio.gather(*jobs) == [["0", "3"]] * 2

    within(body, work, queue_explanations=2)


def test_jobs_run_between_batches_after_their_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 0.0)
    order: list[str] = []

    def work(given: Sequence[Ask]) -> Floats:
        order.extend(ask.text for ask in given)
        return np.zeros((len(given), 2))

    async def body(batcher: Batcher) -> None:
        texts = [asyncio.create_task(batcher.predict(asks(n))) for n in range(6)]
        jobs = [asyncio.create_task(batcher.do(lambda: order.append("job"))) for _ in range(2)]
        await asyncio.gather(*texts, *jobs)

    within(body, work, batch_texts=1)
    assert order.index("job") < 3
    first, second = [place for place, what in enumerate(order) if what == "job"]
    assert second - first == 2


def test_cancelled_jobs_do_not_run() -> None:
    work, done = Recorder(), []

    async def body(batcher: Batcher) -> None:
        work.free.clear()
        call = asyncio.create_task(batcher.predict(asks(0)))
        await until(lambda: bool(work.batches))
        job = asyncio.create_task(batcher.do(lambda: done.append(1)))
        await asyncio.sleep(0)
        job.cancel()
        await asyncio.sleep(0)
        work.free.set()
        await call
        await batcher.do(lambda: done.append(2))

    within(body, work)
    assert done == [2]


def test_an_error_in_a_job_reaches_its_caller() -> None:
    async def body(batcher: Batcher) -> None:
        def fail() -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await batcher.do(fail)
        assert (await batcher.predict(asks(1))).tolist() == [[1, -1]]

    within(body, Recorder())


def test_is_working_is_false_while_stuck_or_stopped() -> None:
    work = Recorder()

    async def run() -> None:
        batcher = Batcher(work, lambda text: 1, ServeSettings(request_seconds=0.05))
        assert not batcher.is_working
        async with batcher.running():
            assert batcher.is_working
            work.free.clear()
            call = asyncio.create_task(batcher.predict(asks(1)))
            await asyncio.sleep(0.3)
            assert not batcher.is_working
            work.free.set()
            await call
            assert batcher.is_working
        assert not batcher.is_working

    asyncio.run(run())
