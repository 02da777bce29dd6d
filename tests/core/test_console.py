"""What is shown where."""

from __future__ import annotations

import io
import json
import math
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from finetext.core.console import Screen
from finetext.core.contracts import ProgressEvent
from finetext.core.types import Finding


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, quiet: bool) -> str:
    """What a terminal is sent. The stream is put in place while the test runs, not before."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    report(Screen(quiet))
    return stream.getvalue()


def report(screen: Screen) -> None:
    with screen.watching():
        screen.say("a [bold] line")
        screen.finding(Finding("warning", "x", "look [here]"))
        screen.finding(Finding("note", "x", "not worth it"))
        for done in (0, 50, 100):
            screen.progress(ProgressEvent("fit: epoch 1", done, 100))
        screen.progress(ProgressEvent("predict", 1, 2, {"loss": 0.5}))


def test_messages_go_to_standard_error_without_color(capsys: pytest.CaptureFixture[str]) -> None:
    report(Screen())
    assert capsys.readouterr() == ("", "a [bold] line\nwarning: look [here]\n")


def test_a_long_line_is_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().say("word " * 100)
    assert capsys.readouterr().err.count("\n") == 1


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report(Screen(quiet=True))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_color_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_a_terminal(monkeypatch, quiet=False)
    assert "\x1b[33m" in shown
    assert "fit: epoch 1" in shown
    assert "predict" in shown
    assert "loss 0.500" in shown


def test_a_quiet_terminal_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_a_terminal(monkeypatch, quiet=True) == ""


def test_json_knows_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(quiet=True).json({"a": [math.nan, 1.5, (math.inf, "é")], "b": {"c": None}})
    out = capsys.readouterr().out
    assert json.loads(out, parse_constant=pytest.fail) == {
        "a": [None, 1.5, [None, "é"]], "b": {"c": None},
    }  # fmt: skip
    assert "é" in out


def test_progress_in_a_file_is_a_line_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("finetext.core.console.time.monotonic", lambda: clock[0])
    for quiet in (False, True):
        screen = Screen(quiet)
        with screen.watching():
            for clock[0] in range(0, 200, 5):
                screen.progress(ProgressEvent("fit: epoch 1", int(clock[0]), 5_000, {"loss": 0.5}))
    assert capsys.readouterr().err.splitlines() == [
        f"fit: epoch 1: {done} of 5,000, loss 0.500" for done in (60, 120, 180)
    ]


def test_results_are_printed_to_standard_output_between_bars(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen()
    with screen.watching(), screen.printing():
        print("result")
    assert capsys.readouterr().out == "result\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are other ones there")
def test_native_code_that_does_not_return_is_ended_by_the_next_signal() -> None:
    program = (
        "import hashlib, threading\n"
        "from finetext.core.console import stopping\n"
        "with stopping(130):\n"
        "    threading.Timer(0.5, print, ['begun'], {'flush': True}).start()\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        for _ in range(100):
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
                break
        else:
            process.kill()
        assert process.returncode == 130
