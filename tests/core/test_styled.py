"""Consoles show data as they are, and no data controls a terminal through them."""

from __future__ import annotations

import io
import sys

import pytest
from rich.table import Table

from finetext.core.console import Screen
from finetext.core.contracts import ProgressEvent
from finetext.core.styled import Console, Text
from finetext.core.types import Finding

HOSTILE = "[red]a[/] [/b] :smile: \x1b[31m\x07\r\x9b5m\u202e\x1b]8;;http://x\x1b\\"
SHOWN = "[red]a[/] [/b] :smile: \\x1b[31m\\x07\\r\\x9b5m\\u202e\\x1b]8;;http://x\\x1b\\"


def test_whatever_is_printed_is_shown() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=400, color_system="truecolor", force_terminal=True)
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text("a ").append(HOSTILE))
    console.print(HOSTILE, style="bold")
    console.print(Text.assemble("a ", (HOSTILE, "red")))
    console.print(table)
    shown = stream.getvalue()
    assert shown.count(SHOWN) == 5
    assert "\x1b[1m" in shown  # its own codes
    for unsafe in ("\x1b[31m\\", "\x07", "\r", "\x9b", "\u202e", "\x1b]8"):
        assert unsafe not in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_and_what_is_printed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen()
    with screen.watching():
        screen.progress(ProgressEvent(f"fit {HOSTILE}", 1, 2))
        screen.say(HOSTILE)
        screen.finding(Finding("warning", "x", HOSTILE))
        print(HOSTILE)
        print(HOSTILE, file=sys.stderr)
        with screen.printing():
            screen.out.print(HOSTILE)
        print(HOSTILE)
    shown = out.getvalue() + err.getvalue()
    assert shown.count(SHOWN) >= 6
    assert "\x1b[2K" in shown  # of the bars
    for unsafe in ("\x07", "\x9b", "\u202e", "\x1b]8"):
        assert unsafe not in shown
    assert sys.stdout is out
