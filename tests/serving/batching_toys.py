"""A model of numbers that can be held up, and a batcher around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.settings import ServeSettings
from finetext.serving.batching import Ask, Batcher


class Recorder:
    """Gives each text its number and keeps the batches; can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.free = threading.Event()
        self.free.set()
        self.inside = 0

    def __call__(self, asks: Sequence[Ask]) -> Floats:
        self.inside += 1
        assert self.inside == 1
        self.batches.append([ask.text for ask in asks])
        assert self.free.wait(20)
        self.inside -= 1
        if any(ask.text == "bad" for ask in asks):
            raise ValueError("bad")
        return np.array([[float(ask.text), -float(ask.text)] for ask in asks])

    @property
    def seen(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


def within(
    body: Callable[[Batcher], Coroutine[Any, Any, Any]],
    work: Callable[[Sequence[Ask]], Floats],
    tokens: Callable[[str], int] = lambda text: 1,
    **limits: Any,
) -> Any:
    """Run something with a batcher at work."""

    async def run() -> Any:
        batcher = Batcher(work, tokens, ServeSettings(**limits))
        async with batcher.running(), asyncio.timeout(20):
            return await body(batcher)

    return asyncio.run(run())


def asks(*numbers: int | str) -> list[Ask]:
    return [Ask(str(number)) for number in numbers]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)
