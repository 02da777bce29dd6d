"""What the command line shows: messages and progress on standard error, results on standard out."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import sys
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread, Timer
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TextIO

from finetext.core.addresses import recorded, without_secrets
from finetext.core.errors import DataError
from finetext.core.terminal import escape_output, json_escaped

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from finetext.core.contracts import Listener, ProgressEvent
    from finetext.core.notebook import NotebookOutput
    from finetext.core.types import Finding

_STYLES: Final = {"error": "bold red", "warning": "yellow"}
_ONE_PRESS: Final = 0.5
"""Seconds in which signals are one and the same, and in which Python sees one if it ever does."""
_SECONDS_A_LINE: Final = 60.0
"""Time between two lines of progress where there are no bars, as in a file."""


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return what stops a command here: Ctrl-C, a scheduler, a closed terminal, Ctrl-Break."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


STOP_SIGNALS: Final = stop_signals()


class Screen:
    """Where a command writes, with color and progress bars on a terminal only."""

    def __init__(self, quiet: bool = False, source: str = "DATA") -> None:
        """Make the consoles; a quiet one shows no messages, findings or progress.

        `source` is what commands in findings call the data.
        """
        from finetext.core.styled import Console

        self.quiet = quiet
        self.source = source if source == recorded(source) else "DATA"
        self.out: Console = Console(soft_wrap=not sys.stdout.isatty())
        self.messages: Console = Console(stderr=True, quiet=quiet)
        self._notebook: NotebookOutput | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._line_at = math.inf

    @property
    def listener(self) -> Listener:
        """What passes messages, progress and findings of the library to this screen."""
        from finetext.core.contracts import Listener

        return Listener(self.say, self.progress, self.finding)

    def say(self, line: str) -> None:
        """Show a message."""
        if self._notebook is not None:
            self._notebook.say(without_secrets(line))
            return
        self.messages.print(without_secrets(line), soft_wrap=True)

    def finding(self, finding: Finding) -> None:
        """Show an error or a warning; notes are in the report only."""
        if style := _STYLES.get(finding.severity):
            from finetext.core.wording import with_source

            line = f"{finding.severity}: {with_source(finding.message, self.source)}"
            if self._notebook is not None:
                self._notebook.warn(without_secrets(line))
                return
            self.messages.print(without_secrets(line), style=style, soft_wrap=True)

    def findings(self, findings: Iterable[Finding]) -> None:
        """Show several findings."""
        for finding in findings:
            self.finding(finding)

    def json(self, value: Any) -> None:
        """Print a result as JSON, alone on standard output; nan and infinity are null."""
        print(json_text(value))

    @property
    def is_watched(self) -> bool:
        """Whether messages are wanted and go to a terminal or a notebook."""
        return not self.quiet and (self.messages.is_terminal or self.messages.is_jupyter)

    @contextmanager
    def watching(self) -> Iterator[Screen]:
        """Show progress while the body runs: bars on a terminal or in a notebook, else lines."""
        if self.messages.is_jupyter and not self.quiet:
            from finetext.core.notebook import notebook_output

            try:
                with notebook_output() as self._notebook:
                    yield self
            finally:
                self._notebook = None
            return
        if not self.is_watched:
            self._line_at = math.inf if self.quiet else time.monotonic() + _SECONDS_A_LINE
            try:
                yield self
            finally:
                self._line_at = math.inf
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),
        )
        try:
            with Progress(*columns, console=self.messages, transient=True) as self._progress:
                escape_output()  # until the bars end: they take codes in what is printed for styles
                yield self
        finally:
            self._progress = None

    @contextmanager
    def printing(self) -> Iterator[None]:
        """Let the body print results to standard output, where bars would take them away."""
        bars = self._progress
        if bars is not None:
            bars.stop()
        try:
            yield
        finally:
            if bars is not None:
                bars.start()
                escape_output()

    def progress(self, event: ProgressEvent) -> None:
        """Move the bar of a stage; the bar of a new stage replaces the last one.

        Without bars it is a line a minute.
        """
        if self._notebook is not None:
            self._notebook.progress(_in_words(event), event.done, event.total)
            return
        if self._progress is None:
            if (now := time.monotonic()) >= self._line_at:
                self._line_at = now + _SECONDS_A_LINE
                self.say(_in_words(event))
            return
        stage, total = event.stage.split(":")[0], event.total or None
        if self._task is None or stage != self._stage:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(event.stage, total=total, figures="")
            self._stage = stage
        speed = self._progress.tasks[-1].speed
        figures = [f"{speed:,.0f} rows/s" if speed else ""]
        figures += [f"{name} {value:.3f}" for name, value in event.values.items()]
        self._progress.update(
            self._task, completed=event.done, total=total, description=event.stage,
            figures=" ".join(figures),
        )  # fmt: skip


def _in_words(event: ProgressEvent) -> str:
    """Return progress as a line, such as "finetune: epoch 1 of 2: 640 of 5,000, loss 0.300"."""
    of = f" of {event.total:,}" if event.total else ""
    figures = "".join(f", {name} {value:.3f}" for name, value in event.values.items())
    return f"{event.stage}: {event.done:,}{of}{figures}"


def json_text(value: Any, plain: Callable[[Any], Any] | None = None) -> str:
    """Return a value as JSON text that any terminal can show; nan and infinity are null."""
    from finetext.core.arrays import finite

    found = finite(value)
    return json_escaped(
        json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False, default=plain)
    )


@contextmanager
def blaming(what: str, stream: TextIO | None = None) -> Iterator[None]:
    """Turn an error of writing into a `DataError` that names what is written."""
    try:
        yield
    except OSError as error:
        if stream is not None:  # it goes nowhere now, or Python would fail again at exit
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise DataError(f"{what} cannot be written: {error}") from None


@contextmanager
def whole_output() -> Iterator[None]:
    """Flush standard output when typer exits, which would otherwise hide that this fails."""
    try:
        yield
    except UnicodeEncodeError as error:
        if error.encoding.startswith("utf"):
            raise
        missing = error.object[error.start]
        raise DataError(
            f"the encoding of standard output, {sys.stdout.encoding}, has no {missing!a}; set "
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
def stopping(status: int) -> Iterator[None]:
    """While the body runs, treat what stops a command like Ctrl-C, and lose no Ctrl-C.

    A closed terminal stops it, too, unless `nohup` lets it ignore that.

    Native code that does not return, such as that of a hostile tokenizer, keeps Python from seeing
    a signal; a second one then ends the process with a status.
    """
    seen = -math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen = time.monotonic()
        if number == getattr(signal, "SIGHUP", None):
            _leave_terminal()
        signal.default_int_handler(number, frame)

    def end_unseen() -> None:
        first = None
        with arriving:
            while numbers := arriving.recv(64):
                came = time.monotonic()
                time.sleep(_ONE_PRESS)
                if seen > came - _ONE_PRESS or signal.getsignal(numbers[-1]) is not stop:
                    first = None
                elif first is None:
                    first = came
                elif came - first > 2 * _ONE_PRESS:  # not the same one, told by several processes
                    os.write(2, b"finetext: stopped\n")
                    os._exit(status)

    usual = (signal.SIG_DFL, signal.default_int_handler)
    ours = [of for of in STOP_SIGNALS if signal.getsignal(of) in usual or of == signal.SIGTERM]
    before = {number: signal.signal(number, stop) for number in ours}
    arriving, telling = socket.socketpair()
    telling.setblocking(False)
    wakened = signal.set_wakeup_fd(telling.fileno(), warn_on_full_buffer=False)
    Thread(target=end_unseen, name="finetext-signals", daemon=True).start()
    unraisable = sys.unraisablehook

    def stop_again(lost: sys.UnraisableHookArgs) -> None:
        """Repeat a Ctrl-C that came while Python ran a finalizer, where it would be lost."""
        if issubclass(lost.exc_type, KeyboardInterrupt):
            Timer(0.1, interrupt_main).start()
        else:
            sys.__unraisablehook__(lost)

    sys.unraisablehook = stop_again
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakened)
        telling.close()
        sys.unraisablehook = unraisable


def _leave_terminal() -> None:
    """Let what is still said go nowhere: writing to a closed terminal would be an error."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            if stream.isatty():
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def printing_interrupts() -> Iterator[None]:
    """Print the message of a KeyboardInterrupt, such as how to resume, which typer would drop."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if str(stop):
            print(f"finetext: {stop}", file=sys.stderr)
        raise


@contextmanager
def heard(listener: Listener | None) -> Iterator[Listener]:
    """Yield the listener, or by default one that shows everything on a terminal or notebook."""
    from finetext.core.contracts import Listener

    if listener is not None:
        yield listener
        return
    screen = Screen()
    with screen.watching():
        yield screen.listener if screen.is_watched else Listener()
