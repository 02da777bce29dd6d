"""A server that stops answers every request that reaches it, and says that it was the last."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from serving_toys import Toy, connected, read_answer, received, request

Serving = Callable[..., str]


def accepted(serving: Serving, number: int) -> None:
    """Wait until the server has accepted so many connections."""
    [(server, *_)] = serving.running  # type: ignore[attr-defined]
    until = time.monotonic() + 20
    while len(server.server_state.connections) < number:
        assert time.monotonic() < until
        time.sleep(0.01)


def stop(serving: Serving) -> None:
    """Tell the server to stop, and wait until nobody can connect."""
    server, _, listening = serving.running[0]  # type: ignore[attr-defined]
    server.should_exit = True
    while listening.fileno() >= 0:
        time.sleep(0.01)


def whole_answer(made: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of what comes until the connection is closed."""
    data = b""
    while part := received(made):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return head.lower(), body


@pytest.mark.parametrize("is_new", [True, False])
def test_a_connection_that_was_there_still_gets_one_answer(serving: Serving, is_new: bool) -> None:
    with closing(connected(serving())) as made:
        if not is_new:
            made.sendall(request({"inputs": "before"}))
            assert read_answer(made)[0] == 200
        accepted(serving, 1)
        stop(serving)
        made.sendall(request({"inputs": "after"}))
        head, body = whole_answer(made)
    assert head.startswith(b"http/1.1 200")
    assert b"connection: close" in head
    assert [one["label"] for one in json.loads(body)[0]]


def test_the_last_answer_on_a_connection_says_so(serving: Serving, toy: Toy) -> None:
    address = serving()
    toy.free.clear()
    with closing(connected(address)) as made:
        made.sendall(request({"inputs": "asked before"}))
        while not toy.batches:
            time.sleep(0.01)
        stop(serving)
        toy.free.set()
        head, _ = whole_answer(made)
    assert head.startswith(b"http/1.1 200")
    assert head.count(b"connection: close") == 1


def test_connections_without_a_request_end_with_the_idle_time(serving: Serving) -> None:
    address = serving(idle_seconds=1)
    with closing(connected(address)) as silent, closing(connected(address)) as partial:
        partial.sendall(b"POST /predict HTTP/1.1\r\n")
        accepted(serving, 2)
        stop(serving)
        started = time.monotonic()
        assert (received(silent), received(partial)) == (b"", b"")
        assert time.monotonic() - started < 5


def test_ready_is_503_as_soon_as_it_stops_and_health_is_not(serving: Serving) -> None:
    address = serving()
    asked = b"GET /%s HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with closing(connected(address)) as first, closing(connected(address)) as second:
        for made in (first, second):
            made.sendall(asked % b"ready")
            assert read_answer(made)[0] == 200
        stop(serving)
        first.sendall(asked % b"ready")
        second.sendall(asked % b"health")
        head, body = whole_answer(first)
        assert head.startswith(b"http/1.1 503")
        assert json.loads(body) == {"error": "the server is stopping"}
        assert whole_answer(second)[0].startswith(b"http/1.1 200")
