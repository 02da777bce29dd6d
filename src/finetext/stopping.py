"""Stopping a command: SIGTERM counts as Ctrl-C, and no Ctrl-C is lost."""

from __future__ import annotations

import signal
import sys
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer


@contextmanager
def stopping() -> Iterator[None]:
    """While the body runs, SIGTERM stops it as Ctrl-C does, and no Ctrl-C is lost."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    unraisable, sys.unraisablehook = sys.unraisablehook, _stop_again
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = unraisable


@contextmanager
def told_how_to_go_on() -> Iterator[None]:
    """Print what a stopped run has to say before typer, which says nothing, ends the command."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if str(stop):
            print(f"finetext: {stop}", file=sys.stderr)
        raise


def _stop_again(lost: sys.UnraisableHookArgs) -> None:
    """Repeat a Ctrl-C that came while Python was in a finaliser, where it would be lost."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        Timer(0.1, interrupt_main).start()
    else:
        sys.__unraisablehook__(lost)
