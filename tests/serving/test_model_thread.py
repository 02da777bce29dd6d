"""The thread of the model: one thing after the other, and memory given back now and then."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from finetext.serving import batching as model_thread
from finetext.serving.batching import ModelThread, give_back_freed


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one each time that memory is given back."""
    found: list[int] = []
    monkeypatch.setattr(model_thread, "give_back_freed", lambda: found.append(1))
    return found


def test_work_is_done_in_its_order_and_faults_are_handed_on() -> None:
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
def test_freed_memory_is_given_back_now_and_then(
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


def test_all_that_is_free_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    library = SimpleNamespace(malloc_trim=asked.append)
    monkeypatch.setattr(model_thread.ctypes, "CDLL", lambda name: library)
    give_back_freed()
    assert asked == [0]


@pytest.mark.parametrize("fault", [AttributeError, OSError, TypeError])
def test_other_systems_keep_their_memory(
    monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    def missing(name: None) -> None:
        raise fault

    monkeypatch.setattr(model_thread.ctypes, "CDLL", missing)
    give_back_freed()
