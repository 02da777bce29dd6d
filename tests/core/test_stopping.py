"""SIGTERM stops a command as Ctrl-C does, and what it has to say is said."""

from __future__ import annotations

import signal
import time

import pytest

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
