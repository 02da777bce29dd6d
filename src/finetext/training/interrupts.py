"""Letting a step of training end before Ctrl-C takes effect."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and a request to terminate back until the body has ended, then let them through.

    Outside the main thread, where no signal arrives, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, Any]] = []
    usual = {
        name: signal.signal(name, lambda number, frame: held.append((number, frame)))
        for name in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(name) is not None
    }
    try:
        yield
    finally:
        for name, handler in usual.items():
            signal.signal(name, handler)
        for number, _ in held[:1]:
            signal.raise_signal(number)
