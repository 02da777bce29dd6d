"""Progress and messages in a notebook: one output of the cell, updated in place."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Final, final

from finetext.core.terminal import escaped

_SECONDS_AN_UPDATE: Final = 0.5
_UNSEEN: Final = 1.0
"""Seconds of work without a message below which a cell gets no output."""

Display = Callable[[dict[str, str]], Callable[[dict[str, str]], None]]
"""Shows content by its type, and returns what replaces it."""


def ipython_display(content: dict[str, str]) -> Callable[[dict[str, str]], None]:
    """Show content below the cell that runs, and return the function that replaces it."""
    handle = import_module("IPython.display").display(content, raw=True, display_id=True)

    def update(newer: dict[str, str]) -> None:
        handle.update(newer, raw=True)

    return update


@final
class NotebookOutput:
    """What a call shows in a notebook: a bar while it works, warnings, and its messages folded."""

    def __init__(self, display: Display = ipython_display) -> None:
        """Begin; nothing is shown before there is a message or a second of work."""
        self._display = display
        self._update: Callable[[dict[str, str]], None] | None = None
        self._began = self._updated_at = time.monotonic()
        self._messages = list[str]()
        self._warnings = list[str]()
        self._bar: tuple[str, int, int] | None = None

    def say(self, line: str) -> None:
        """Add a message, which is folded."""
        self._messages.append(line)
        self._show()

    def warn(self, line: str) -> None:
        """Add a warning or an error, which is not folded."""
        self._warnings.append(line)
        self._show()

    def progress(self, words: str, done: int, total: int) -> None:
        """Move the bar; without a total it only shows that there is work."""
        self._bar = words, done, total
        now = time.monotonic()
        is_due = now - self._updated_at >= _SECONDS_AN_UPDATE
        if is_due and (self._update is not None or now - self._began >= _UNSEEN):
            self._show()

    def end(self) -> None:
        """Take the bar away; warnings, messages and the seconds stay."""
        self._bar = None
        if self._update is not None:
            self._show()

    def _show(self) -> None:
        self._updated_at = time.monotonic()
        content = {"text/html": self._html(), "text/plain": self._plain()}
        if self._update is None:
            self._update = self._display(content)
        else:
            self._update(content)

    def _html(self) -> str:
        parts = [f"<div>{_text(line)}</div>" for line in self._warnings]
        if self._bar is not None:
            words, done, total = self._bar
            place = f' value="{done}" max="{total}"' if total else ""
            parts.append(f"<div><progress{place}></progress> {_text(words)}</div>")
        if self._messages:
            lines = "\n".join(map(_text, self._messages))
            style = "white-space: pre-wrap; margin: 0.3em 1em"
            folded = f'<summary>{self._summary()}</summary><pre style="{style}">{lines}</pre>'
            parts.append(f"<details>{folded}</details>")
        elif self._bar is None:
            parts.append(f"<div>{self._summary()}</div>")
        return "\n".join(parts)

    def _plain(self) -> str:
        bar = [] if self._bar is None else [self._bar[0]]
        return "\n".join(map(escaped, [*self._warnings, *bar, self._summary()]))

    def _summary(self) -> str:
        seconds = f"{time.monotonic() - self._began:,.0f} s"
        number = len(self._messages)
        return f"{number} message{'' if number == 1 else 's'}, {seconds}" if number else seconds


def _text(line: str) -> str:
    return html.escape(escaped(line))


@contextmanager
def notebook_output(display: Display = ipython_display) -> Iterator[NotebookOutput]:
    """Yield the output of a call, and end it with the body."""
    output = NotebookOutput(display)
    try:
        yield output
    finally:
        output.end()
