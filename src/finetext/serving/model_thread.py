"""The thread of the model: one, and no reason for a process to live on."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Final, TypeVar, final

Outcome = TypeVar("Outcome")
TRIM_SECONDS: Final = 5.0
"""Of work between two times that freed memory is given back."""


def give_back_freed() -> None:
    """Hand freed memory that the C library keeps back to the system, where that is the GNU one.

    Batches of all sizes leave holes of all sizes, and a server grows for thousands of batches; this
    takes some milliseconds (https://man7.org/linux/man-pages/man3/malloc_trim.3.html).
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    trim(0)


@final
class ModelThread(Executor):
    """Works on one thing after the other.

    Python waits at its end for the threads of its own executors. This one it leaves, so that a
    server that was told to stop does not outlive its time by that of a slow batch.
    """

    def __init__(self) -> None:
        """Start the thread."""
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=self._run, name="finetext-model", daemon=True).start()

    def submit(  # type: ignore[override]
        self, work: Callable[[], Outcome], /
    ) -> Future[Outcome]:
        """Do something after all that was given before."""
        future: Future[Outcome] = Future()
        self._work.put((future, work))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after all that was given before, without waiting for that."""
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
