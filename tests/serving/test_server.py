"""Over real sockets: the client of Hugging Face, and clients that behave badly."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from serving_toys import Toy, toy_probability

from finetext.core.types import LabelScheme

Serving = Callable[..., str]


def connected(address: str) -> socket.socket:
    place = urlsplit(address)
    made = socket.create_connection((place.hostname, place.port), timeout=20)
    made.settimeout(20)
    return made


def request(value: Any, path: str = "/predict", headers: str = "") -> bytes:
    body = json.dumps(value).encode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def read_answer(made: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer; status 0 if the connection was closed instead."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = _received(made)
        if not part:
            return 0, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    length = int(dict(lines)[b"content-length"])
    while len(body) < length:
        body += made.recv(65_536)
    assert len(body) == length
    return int(head.split()[1]), body


def _received(made: socket.socket) -> bytes:
    try:
        return made.recv(65_536)
    except ConnectionResetError:
        return b""


def ask(address: str, value: Any, **more: Any) -> tuple[int, bytes]:
    with closing(connected(address)) as made:
        made.sendall(request(value, **more))
        return read_answer(made)


def still_answers(address: str) -> bool:
    return ask(address, {"inputs": "hello"})[0] == 200


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


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NOT HTTP AT ALL\r\n\r\n",
        b"GET / FTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -3\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_invalid_http_gets_a_json_error(serving: Serving, sent: bytes) -> None:
    address = serving()
    with closing(connected(address)) as made:
        made.sendall(sent)
        status, body = read_answer(made)
        assert status in (400, 0)
        if status:
            assert list(json.loads(body)) == ["error"]
        assert _received(made) == b""
    assert still_answers(address)


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
        while _received(made):
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


def test_too_many_connections_are_503(serving: Serving) -> None:
    address = serving(connections=3)
    held = [connected(address) for _ in range(3)]
    time.sleep(0.2)
    with closing(connected(address)) as made:
        status, body = read_answer(made)
        assert (status, list(json.loads(body))) == (503, ["error"])
    for each in held:
        each.close()
    time.sleep(0.2)
    assert still_answers(address)


def test_head_has_no_body(serving: Serving) -> None:
    with closing(connected(serving())) as made:
        made.sendall(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n" + request({"inputs": "x"}))
        data = b""
        while not data.endswith(b"}]]"):
            part = _received(made)
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
import sys, time
sys.path.insert(0, sys.argv[1])
from serving_toys import Toy
from finetext.serving.server import serve
from finetext.core.settings import ServeSettings

class Stuck(Toy):
    def predict_proba(self, texts):
        if "stuck" in texts:
            print("begun", flush=True)
            time.sleep(120)
        return super().predict_proba(texts)

serve(Stuck(), port=0, settings=ServeSettings(stop_seconds=1))
"""


def test_a_process_with_a_stuck_model_ends_in_time() -> None:
    command = [sys.executable, "-c", STUCK, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with closing(connected(address)) as made:
                made.sendall(request({"inputs": "stuck"}))
                assert process.stdout.readline() == "begun\n"
                process.send_signal(signal.SIGINT)
                assert read_answer(made)[0] == 503
            assert process.wait(40) == 0
        finally:
            process.kill()


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
