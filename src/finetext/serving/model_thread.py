"""The one thread that runs the model, and how what it raises is kept from the event loop."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Final, TypeVar, final

from finetext.serving.requests import ClientGone, Refusal

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
        self._thread = Thread(target=self._run, name="finetext-model", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

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


class ModelFault(Exception):
    """The model raised what is no error of a program, such as the panic of a native library."""


@dataclass(frozen=True)
class Failed:
    """What was raised, as a value: raised again, some kinds would end the event loop."""

    error: Exception


_DISGUISED: Final = (StopIteration, StopAsyncIteration, CancelledError, Refusal, ClientGone)
"""Exceptions that mean something else where they would be raised again."""


def contained(work: Callable[[], Outcome]) -> Outcome | Failed:
    """Return the result of work, or else what it raised, whatever that is."""
    try:
        return work()
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, _DISGUISED):
            return Failed(error)
        fault = ModelFault(f"the model raised {type(error).__name__}")
        fault.__cause__ = error
        return Failed(fault)
