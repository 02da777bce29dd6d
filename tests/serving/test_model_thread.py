"""The thread of the model, and what it keeps from the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest

from finetext.serving import model_thread
from finetext.serving.model_thread import Failed, ModelThread, contained, give_back_freed
from finetext.serving.requests import ClientGone, Refusal


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one each time that memory is given back."""
    found: list[int] = []
    monkeypatch.setattr(model_thread, "give_back_freed", lambda: found.append(1))
    return found


def test_the_model_thread_keeps_order_and_passes_errors_on() -> None:
    thread, done = ModelThread(), []
    first = [thread.submit(lambda number=number: done.append(number)) for number in range(5)]
    fault = thread.submit(lambda: 1 / 0)
    last = thread.submit(lambda: len(done))
    assert last.result(10) == 5
    assert done == list(range(5))
    assert all(future.done() for future in first)
    assert isinstance(fault.exception(10), ZeroDivisionError)
    thread.shutdown()


@pytest.mark.parametrize(("seconds", "times"), [(-1.0, 4), (3600.0, 0)])
def test_freed_memory_is_returned_periodically(
    monkeypatch: pytest.MonkeyPatch, trims: list[int], seconds: float, times: int
) -> None:
    monkeypatch.setattr(model_thread, "TRIM_SECONDS", seconds)
    thread = ModelThread()
    for _ in range(4):
        thread.submit(lambda: None)
    thread.submit(lambda: None).result(10)  # what came before has been cleared away by now
    assert len(trims) >= times
    assert bool(trims) is bool(times)
    thread.shutdown()


def test_freed_memory_is_returned_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    library = SimpleNamespace(malloc_trim=asked.append)
    monkeypatch.setattr(model_thread.ctypes, "CDLL", lambda name: library)
    give_back_freed()
    assert asked == [0]


@pytest.mark.parametrize("fault", [AttributeError, OSError, TypeError])
def test_systems_without_malloc_trim_are_ignored(
    monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    def missing(name: None) -> None:
        raise fault

    monkeypatch.setattr(model_thread.ctypes, "CDLL", missing)
    give_back_freed()


class Panic(BaseException):
    """What a native library raises, such as a tokenizer in Rust."""


RAISED = [
    Panic("a"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(),
    CancelledError(), StopIteration(1), StopAsyncIteration(), MemoryError(), RecursionError(),
    TimeoutError(), Refusal(200, "fine"), ClientGone(), BaseExceptionGroup("b", [Panic()]),
]  # fmt: skip


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
def test_whatever_is_raised_becomes_a_value(raised: BaseException) -> None:
    def fail() -> None:
        raise raised

    found = contained(fail)
    assert isinstance(found, Failed)
    assert isinstance(found.error, Exception)
    assert raised in (found.error, found.error.__cause__)
    usual = isinstance(raised, MemoryError | RecursionError | TimeoutError)
    assert (found.error is raised) is usual
    assert contained(lambda: 3) == 3
