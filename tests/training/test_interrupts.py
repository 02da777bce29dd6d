"""Ctrl-C waits for the end of a step."""

from __future__ import annotations

import signal
from threading import Thread

import pytest

from finetext.training.loop import uninterrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def handlers() -> list[object]:
    return [signal.getsignal(name) for name in SIGNALS]


def test_an_interrupt_arrives_right_after_the_body() -> None:
    before, done = handlers(), []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 (what comes after must not happen)
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("inside")
            signal.raise_signal(signal.SIGINT)
            done.append("still inside")
        done.append("after")
    assert done == ["inside", "still inside"]
    assert handlers() == before


def test_a_request_to_terminate_is_let_through_to_its_handler() -> None:
    heard: list[int] = []
    usual = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, usual)


def test_an_ignored_interrupt_stays_ignored() -> None:
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)


def test_without_an_interrupt_nothing_happens() -> None:
    before = handlers()
    with uninterrupted():
        pass
    with pytest.raises(ValueError, match="of the body"), uninterrupted():
        raise ValueError("an error of the body")
    assert handlers() == before


def test_it_works_in_a_thread() -> None:
    done: list[str] = []

    def work() -> None:
        with uninterrupted():
            done.append("inside")

    thread = Thread(target=work)
    thread.start()
    thread.join(10)
    assert done == ["inside"]
