"""SIGTERM stops a command as Ctrl-C does, and what it has to say is said."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from finetext.core import console
from finetext.core.console import printing_interrupts, stopping


def test_sigterm_is_ctrl_c_while_a_command_runs() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stopping(130):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


class Stopped:
    """Ctrl-C comes while it is taken away, where Python drops exceptions."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def wait_after_the_finaliser() -> None:
    Stopped()
    for _ in range(1000):  # an interrupt that Python sends itself does not end a sleep
        time.sleep(0.01)


def test_a_ctrl_c_that_came_in_a_finaliser_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt), stopping(130):
        wait_after_the_finaliser()


@pytest.mark.parametrize(("message", "shown"), [("resume so", "finetext: resume so\n"), ("", "")])
def test_a_stopped_command_says_how_to_resume(
    message: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), printing_interrupts():
        raise KeyboardInterrupt(message)
    assert capsys.readouterr().err == shown


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal here")
def test_a_closed_terminal_is_ctrl_c_unless_it_is_ignored() -> None:
    with pytest.raises(KeyboardInterrupt), stopping(130):
        signal.raise_signal(signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping(130):  # under nohup
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no signal to stand for Ctrl-Break")
def test_the_signals_of_windows_stop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """There SIGHUP is missing, and Ctrl-Break is a signal of its own."""
    with monkeypatch.context() as patch:
        patch.delattr(signal, "SIGHUP", raising=False)
        patch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
        found = console.stop_signals()
        assert found == (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
        patch.setattr(console, "STOP_SIGNALS", found)
        with pytest.raises(KeyboardInterrupt), stopping(130):
            signal.raise_signal(signal.SIGUSR1)
    assert signal.SIGINT in console.STOP_SIGNALS


def test_nothing_is_written_to_a_closed_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "terminal").open("w", encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        console._leave_terminal()  # a file stays
        print("said", file=terminal, flush=True)
        monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
        console._leave_terminal()
        print("lost", file=terminal, flush=True)
    assert (tmp_path / "terminal").read_text(encoding="utf-8") == "said\n"
