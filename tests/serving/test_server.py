"""Over real sockets: the client of Hugging Face, and clients that behave badly."""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from serving_toys import (
    Toy,
    connected,
    read_answer,
    received,
    request,
    still_answers,
    toy_probability,
)  # fmt: skip

from finetext.core.types import LabelScheme

Serving = Callable[..., str]


def test_the_hugging_face_client_works(serving: Serving) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    client = huggingface_hub.InferenceClient(serving())
    found = client.text_classification("abc")
    own = toy_probability("abc")
    assert {one.label: one.score for one in found} == {"yes": own, "no": 1 - own}
    assert found[0].score >= found[1].score
    assert [one.label for one in client.text_classification("abc", top_k=1)] == [found[0].label]
    for function in ("softmax", "sigmoid", "none"):
        scores = client.text_classification("abc", function_to_apply=function)
        assert [one.label for one in scores] == [one.label for one in found]
    assert all(one.score < 0 for one in scores)
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="NUL"):
        client.text_classification("a\0b")


def test_the_hugging_face_client_works_with_a_token(serving: Serving) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    address = serving(token="s3cret")
    right = huggingface_hub.InferenceClient(address, token="s3cret")
    assert len(right.text_classification("abc")) == 2
    wrong = huggingface_hub.InferenceClient(address, token="other")
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="401"):
        wrong.text_classification("abc")


def test_many_clients_get_their_own_answers(serving: Serving, toy: Toy) -> None:
    address = serving(batch_texts=8)

    def client(number: int) -> None:
        with closing(connected(address)) as made:
            for turn in range(10):
                text = f"{number} {turn}"
                made.sendall(request({"inputs": text}, "/decide"))
                status, body = read_answer(made)
                assert status == 200
                [told] = json.loads(body)
                assert told["probabilities"]["yes"] == toy_probability(text)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(client, range(16)))
    assert len(toy.seen) == 160
    assert len(toy.threads) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET",
        b"POST /predict HTTP/1.1\r\nhost: x\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_stalled_clients_are_disconnected_and_block_nobody(serving: Serving, sent: bytes) -> None:
    address = serving(arrival_seconds=0.5)
    with closing(connected(address)) as made:
        made.sendall(sent)
        assert still_answers(address)
        started = time.monotonic()
        status, body = read_answer(made)
        assert time.monotonic() - started < 10
        if b"\r\n\r\n" in sent:
            assert status == 408
            assert list(json.loads(body)) == ["error"]
        else:
            assert status == 0


@pytest.mark.parametrize("head", [b"GET /", b"POST / HTTP/1.1\r\ncontent-length: 90\r\n\r\n"])
def test_slow_clients_are_disconnected(serving: Serving, head: bytes) -> None:
    address = serving(arrival_seconds=0.5)
    with closing(connected(address)) as made:
        made.sendall(head)
        started = time.monotonic()
        while _takes(made, b"a"):
            assert time.monotonic() - started < 10
            time.sleep(0.05)
    assert still_answers(address)


def test_an_idle_connection_is_closed(serving: Serving) -> None:
    with closing(connected(serving(idle_seconds=1))) as made:
        for _ in range(2):
            made.sendall(request({"inputs": "x"}))
            assert read_answer(made)[0] == 200
        assert made.recv(100) == b""


def test_a_large_body_gets_its_answer_before_the_connection_ends(serving: Serving) -> None:
    address = serving(request_bytes=1_000)
    with closing(connected(address)) as made:
        made.sendall(request({"inputs": "x" * 1_000_000}))
        status, body = read_answer(made)
        assert (status, "1,000 bytes" in json.loads(body)["error"]) == (413, True)
    huge = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n"
    with closing(connected(address)) as made:
        made.sendall(huge)
        assert read_answer(made)[0] == 413
    assert still_answers(address)


def test_clients_that_do_not_read_are_disconnected(serving: Serving) -> None:
    names = tuple(f"{'label' * 60} {number}" for number in range(2))
    address = serving(Toy(scheme=LabelScheme(names)), arrival_seconds=0.5, request_texts=512)
    with closing(socket.socket()) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        made.settimeout(5)
        place = urlsplit(address)
        made.connect((place.hostname, place.port))
        data = request({"inputs": ["x"] * 512})
        started = time.monotonic()
        while _takes(made, data):
            assert time.monotonic() - started < 20
        while received(made):
            pass
    assert still_answers(address)


def _takes(made: socket.socket, data: bytes) -> bool:
    """Whether the other side still takes what is sent; no more than a while of silence is borne."""
    try:
        made.sendall(data)
    except OSError:
        return False
    return True


def test_texts_of_a_disconnected_client_are_not_predicted(serving: Serving, toy: Toy) -> None:
    address = serving()
    toy.free.clear()
    first = connected(address)
    first.sendall(request({"inputs": "first"}))
    while not toy.batches:
        time.sleep(0.01)
    with closing(connected(address)) as gone:
        gone.sendall(request({"inputs": ["gone"] * 9}))
        time.sleep(0.2)
    time.sleep(0.2)
    toy.free.set()
    assert read_answer(first)[0] == 200
    first.close()
    assert still_answers(address)
    assert toy.seen == ["first", "hello"]


def test_head_has_no_body(serving: Serving) -> None:
    with closing(connected(serving())) as made:
        made.sendall(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n" + request({"inputs": "x"}))
        data = b""
        while not data.endswith(b"}]]"):
            part = received(made)
            assert part, data
            data += part
    assert data.startswith(b"HTTP/1.1 200")
    assert b"<html" not in data
    assert data.count(b"HTTP/1.1 200") == 2


def test_the_second_server_on_a_port_reports_it_as_taken(toy: Toy) -> None:
    from finetext.core.errors import RecipeError
    from finetext.serving.server import answer, bound

    with closing(bound("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with closing(bound("127.0.0.1", port)) as second:
            first.listen()
            with pytest.raises(RecipeError, match=f"port {port} of 127.0.0.1 is taken"):
                answer(second, toy, {}, None, None, print)


STUCK = """
import os, re, sys, time
sys.path.insert(0, sys.argv[1])
from serving_toys import Toy
from finetext.serving.server import serve
from finetext.core.settings import ServeSettings

class Stuck(Toy):
    def predict_proba(self, texts):
        if {"stuck", "holds", "aborts"} & {*texts}:
            print("begun", flush=True)
        if "stuck" in texts:
            time.sleep(120)
        if "holds" in texts:  # nothing else of Python runs meanwhile
            re.fullmatch("(a+)+b", "a" * 50)
        if "aborts" in texts:
            os.abort()
        return super().predict_proba(texts)

serve(Stuck(), port=0, settings=ServeSettings(stop_seconds=1, **eval(sys.argv[2])))
"""


@contextmanager
def stuck_server(**limits: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process whose model hangs when told to, and its address."""
    command = [sys.executable, "-c", STUCK, str(Path(__file__).parent), repr(limits)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


ENDS = {
    "stuck": ("the model has not answered for more than 0.5 s", True),
    "holds": ("Timeout (0:00:01", False),
    "aborts": ("Fatal Python error: Aborted", False),
}


@pytest.mark.parametrize("text", ENDS)
def test_a_process_whose_model_hangs_or_aborts_ends_and_says_so(text: str) -> None:
    message, is_answered = ENDS[text]
    with stuck_server(request_seconds=0.5, batch_seconds=0.5) as (process, address):
        with closing(connected(address)) as made:
            made.sendall(request({"inputs": text}))
            assert read_answer(made)[0] in ((503, 504) if is_answered else (0,))
        _, told = process.communicate(timeout=60)
        assert process.returncode not in (0, None)
        assert message in told


@pytest.mark.parametrize("error", [None, RuntimeError, OSError])
def test_a_clock_that_cannot_start_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None
) -> None:
    from finetext.serving import server

    started: list[float] = []

    def later(seconds: float, **given: Any) -> None:
        started.append(seconds)
        if error is not None:
            raise error("can't start new thread")

    monkeypatch.setattr(server.faulthandler, "dump_traceback_later", later)
    monkeypatch.setattr(server.sys, "platform", "linux")
    with server.ending_if_silent(300.0) as beat:
        for _ in range(3):
            beat()
    assert started == [pytest.approx(331.0)]


def test_a_model_that_fails_at_the_start_is_not_served(toy: Toy) -> None:
    from finetext.core.errors import ModelError
    from finetext.serving.server import answer, bound

    class Panic(BaseException):
        pass

    class Broken(Toy):
        def predict_proba(self, texts: Any) -> Any:
            raise Panic("called `Option::unwrap()`")

    reason = "cannot predict, so it is not served: Panic: called"
    with closing(bound("127.0.0.1", 0)) as listening, pytest.raises(ModelError, match=reason):
        answer(listening, Broken(), {}, None, None, print)


@pytest.mark.parametrize("token", ["", "two words and more letters", "é" * 20, "x" * 15])
def test_tokens_that_can_be_guessed_or_not_sent_are_refused(token: str) -> None:
    from finetext.core.errors import RecipeError
    from finetext.serving.server import check_token, serve

    with pytest.raises(RecipeError, match=r"^token: a token"):
        serve("no model is looked for", token=token)
    assert check_token("x" * 16) == "x" * 16


def test_records_of_the_log_cannot_be_forged() -> None:
    from finetext.serving.logs import log_to_stderr

    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        log_to_stderr()
        [handler] = root.handlers
    finally:
        root.handlers = before
    record = logging.LogRecord("a", logging.ERROR, "b", 1, "one\n2026 ERROR %s", ("x\ry",), None)
    first, *others = handler.format(record).splitlines()
    assert first.endswith("ERROR one")
    assert others == ["    2026 ERROR x", "    y"]


def test_a_process_with_a_stuck_model_ends_in_time() -> None:
    with stuck_server() as (process, address):
        with closing(connected(address)) as made:
            made.sendall(request({"inputs": "stuck"}))
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGINT)
            assert read_answer(made)[0] == 503
        assert process.wait(40) == 0


def test_pipelined_requests_are_answered_in_order(serving: Serving) -> None:
    with closing(connected(serving())) as made:
        texts = [f"text {number}" for number in range(5)]
        made.sendall(b"".join(request({"inputs": text}, "/decide") for text in texts))
        data = b""
        while data.count(b'"probabilities"') < 5 or not data.endswith(b"}}]"):
            data += made.recv(65_536)
        order = [data.index(repr(toy_probability(text)).encode()) for text in texts]
        assert order == sorted(order)


def test_stopping_finishes_accepted_requests(serving: Serving, toy: Toy) -> None:
    address = serving(batch_texts=2)
    toy.free.clear()
    clients = [connected(address) for _ in range(6)]
    for number, made in enumerate(clients):
        made.sendall(request({"inputs": f"text {number}"}))
    while not toy.batches:
        time.sleep(0.01)
    time.sleep(0.2)
    [(server, thread, _)] = serving.running  # type: ignore[attr-defined]
    server.should_exit = True
    time.sleep(0.5)
    with pytest.raises(OSError, match="refused"):
        connected(address).close()
    toy.free.set()
    assert [read_answer(made)[0] for made in clients] == [200] * 6
    for made in clients:
        made.close()
    thread.join(20)
    assert not thread.is_alive()


def test_stopping_ends_in_time_with_an_answer(serving: Serving, toy: Toy) -> None:
    address = serving(stop_seconds=1)
    toy.free.clear()
    with closing(connected(address)) as made:
        made.sendall(request({"inputs": "x"}))
        while not toy.batches:
            time.sleep(0.01)
        serving.running[0][0].should_exit = True  # type: ignore[attr-defined]
        started = time.monotonic()
        status, body = read_answer(made)
        assert (status, json.loads(body)) == (503, {"error": "the server is stopping"})
        assert time.monotonic() - started < 10
    threading.Timer(0.1, toy.free.set).start()
