"""What the command line shows: messages and progress on standard error, results on standard out."""

from __future__ import annotations

import json
import os
import signal
import sys
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from threading import Timer
from typing import TYPE_CHECKING, Any, TextIO

from finetext.core.arrays import finite
from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.errors import DataError
from finetext.core.types import Finding

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


class Screen:
    """Where a command writes. Colour and progress only when standard error is a terminal."""

    def __init__(self, quiet: bool = False) -> None:
        """Make the consoles.

        Args:
            quiet: whether messages, findings and progress are left out.
        """
        from rich.console import Console

        self.quiet = quiet
        self.out: Console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self.messages: Console = Console(stderr=True, highlight=False, quiet=quiet)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""

    def say(self, line: str) -> None:
        """A line worth reading once."""
        self.messages.print(line, markup=False, soft_wrap=True)

    def finding(self, finding: Finding) -> None:
        """A finding; notes are left to the report."""
        if finding.severity != "note":
            style = _STYLES[finding.severity]
            line = f"{finding.severity}: {finding.message}"
            self.messages.print(line, style=style, markup=False, soft_wrap=True)

    def json(self, value: Any) -> None:
        """A result for machines, alone on standard output; what is not a number is null."""
        print(json_text(value))

    @property
    def is_watched(self) -> bool:
        """Whether messages go to a terminal or a notebook and are wanted."""
        return not self.quiet and (self.messages.is_terminal or self.messages.is_jupyter)

    @contextmanager
    def watching(self) -> Iterator[Screen]:
        """Show progress bars while the body runs, on a terminal or in a notebook."""
        notebook = self.messages.is_jupyter and find_spec("ipywidgets") is not None
        if self.quiet or not (self.messages.is_terminal or notebook):
            yield self
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.messages, transient=True) as self._progress:
            yield self
        self._progress = None

    def progress(self, event: ProgressEvent) -> None:
        """Move the bar of a stage; a new stage takes the place of the last."""
        if self._progress is None:
            return
        if self._task is None or event.stage.split(":")[0] != self._stage:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(event.stage, total=event.total or None, figures="")
            self._stage = event.stage.split(":")[0]
        task = self._progress.tasks[-1]
        speed = f"{task.speed:,.0f} rows/s" if task.speed else ""
        figures = " ".join(
            [speed, *(f"{name} {value:.3f}" for name, value in event.values.items())]
        )
        self._progress.update(
            self._task, completed=event.done, total=event.total or None, description=event.stage,
            figures=figures,
        )  # fmt: skip


def json_text(value: Any, plain: Callable[[Any], Any] | None = None) -> str:
    """A value as JSON for people and machines; what is not a number is null.

    Args:
        value: nested mappings and sequences.
        plain: makes what JSON has no word for something that it has one for.
    """
    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False, default=plain)


@contextmanager
def blaming(what: str, stream: TextIO | None = None) -> Iterator[None]:
    """Make an error of writing one for people; what is left for a closed stream goes nowhere.

    Args:
        what: what is written, for the message.
        stream: it, if it is one of the standard streams.

    Raises:
        BrokenPipeError: nobody reads the stream any more, which is no error to tell.
        DataError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if stream is not None:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise DataError(f"{what} cannot be written: {error}") from None


@contextmanager
def whole_output() -> Iterator[None]:
    """Write standard output to its end when typer exits, which else hides that this fails.

    Raises:
        BrokenPipeError: nobody reads it any more.
        DataError: it cannot be written, or its encoding lacks a character.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        if error.encoding.startswith("utf"):
            raise
        lacking = error.object[error.start]
        raise DataError(
            f"standard output takes {sys.stdout.encoding} only, which has no {lacking!a}; set "
            "PYTHONIOENCODING=utf-8, or write a file with --out"
        ) from None
    except SystemExit as end:
        with blaming("standard output", sys.stdout):
            if isinstance(end.__context__, BrokenPipeError):
                raise end.__context__ from None
            if sys.stdout is not None:
                sys.stdout.flush()
        raise


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


@contextmanager
def heard(listener: Listener | None) -> Iterator[Listener]:
    """The listener; by default the screen, where somebody looks at it."""
    if listener is not None:
        yield listener
        return
    screen = Screen()
    if not screen.is_watched:
        yield Listener()
        return
    with screen.watching():
        yield Listener(screen.say, screen.progress, screen.finding)
