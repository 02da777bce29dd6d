"""HTTP over real sockets: what is refused, so that every program reads a request alike."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing

import h11
import pytest
from serving_toys import ask, connected, read_answer, received, request, still_answers

pytest.importorskip("uvicorn")

from finetext.serving.protocol import LARGEST_EXTRA, StrictConnection, client_of

Serving = Callable[..., str]
BODY = b'{"inputs": "hello"}'
CHUNKED = (
    b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n"
)


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
        assert received(made) == b""
    assert still_answers(address)


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


def head(*lines: bytes, start: bytes = b"POST /predict HTTP/1.1", body: bytes = BODY) -> bytes:
    """A request that would be valid but for its lines or its start."""
    usual = (b"host: localhost", b"content-type: application/json")
    return b"\r\n".join((start, *usual, *lines)) + b"\r\n\r\n" + body


LENGTH = b"content-length: 19"
AMBIGUOUS = {
    "both lengths": (
        head(LENGTH, b"transfer-encoding: chunked", body=b"13\r\n" + BODY + b"\r\n0\r\n\r\n"),
        "both Content-Length and Transfer-Encoding",
    ),
    "both lengths, the other order": (
        head(b"Transfer-Encoding: Chunked", b"Content-Length: 4", body=b"0\r\n\r\n"),
        "both Content-Length and Transfer-Encoding",
    ),
    "length twice": (head(LENGTH, LENGTH), "Content-Length is not one number"),
    "length as a list": (head(b"content-length: 19, 19"), "Content-Length is not one number"),
    "different lengths": (head(LENGTH, b"content-length: 20"), ""),
    "signed length": (head(b"content-length: +19"), ""),
    "hexadecimal length": (head(b"content-length: 0x13"), ""),
    "no length": (head(b"content-length:"), ""),
    "endless length": (head(b"content-length: " + b"9" * 30), ""),
    "space before the colon": (head(b"content-length : 19"), ""),
    "coded twice": (head(b"transfer-encoding: chunked", b"transfer-encoding: identity"), ""),
    "unknown coding": (head(b"transfer-encoding: gzip, chunked"), ""),
    "coded in 1.0": (
        head(b"transfer-encoding: chunked", start=b"POST / HTTP/1.0", body=b"0\r\n\r\n"),
        "Transfer-Encoding in HTTP/1.0",
    ),
    "folded": (head(b"x-more: a", b" content-length: 3", LENGTH), "folded over lines"),
    "folded at once": (b"GET / HTTP/1.1\r\n host: x\r\n\r\n", ""),
    "bare line feeds": (head(LENGTH).replace(b"\r\n", b"\n"), "does not end in CRLF"),
    "one bare line feed": (head(b"x: y\nz: 3", LENGTH), "does not end in CRLF"),
    "bare carriage return": (head(b"x: y\rcontent-length: 3", LENGTH), ""),
    "NUL": (head(b"x: a\0b", LENGTH), ""),
    "two hosts": (head(b"host: evil.example", LENGTH), ""),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", ""),
    "HTTP/0.9": (b"GET /health\r\n\r\n", ""),
    "HTTP/1.2": (head(LENGTH, start=b"POST /predict HTTP/1.2"), "neither 1.0 nor 1.1"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "neither 1.0 nor 1.1"),
    "absolute target": (head(LENGTH, start=b"POST http://x/predict HTTP/1.1"), "not a path"),
    "tunnel": (head(start=b"CONNECT evil.example:80 HTTP/1.1", body=b""), "not a path"),
    "asterisk": (head(start=b"GET * HTTP/1.1", body=b""), "not a path"),
    "huge header": (head(b"x: " + b"a" * 40_000, LENGTH), ""),
    "many headers": (head(*[b"x: y"] * 10_000, LENGTH), ""),
    "chunk size": (CHUNKED + b"\r\n0x13\r\n" + BODY, ""),
    "negative chunk": (CHUNKED + b"\r\n-3\r\n" + BODY, ""),
    "huge chunk size": (CHUNKED + b"\r\n" + b"f" * 30 + b"\r\n" + BODY, ""),
    "no end of a chunk": (CHUNKED + b"\r\n3\r\n" + BODY, ""),
    "line feed after a size": (CHUNKED + b"\r\n13\n" + BODY + b"\r\n0\r\n\r\n", ""),
    "huge chunk extension": (CHUNKED + b"\r\n13;" + b"a" * 50_000 + b"\r\n" + BODY, ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_ambiguous_requests_are_400_and_close_the_connection(serving: Serving, kind: str) -> None:
    sent, reason = AMBIGUOUS[kind]
    address = serving()
    with closing(connected(address)) as made:
        made.sendall(sent + request({"inputs": "smuggled"}))
        status, body = read_answer(made)
        assert status == 400 or (status == 0 and len(sent) > 30_000)  # a reset may overtake it
        if status:
            assert reason in json.loads(body)["error"]
        assert received(made) == b""
    assert still_answers(address)


def test_chunks_of_padding_are_refused_and_usual_ones_are_not(serving: Serving) -> None:
    address = serving()
    padded = b"".join(b"1;%s\r\n \r\n" % (b"a" * 1_000) for _ in range(40))
    with closing(connected(address)) as made:
        made.sendall(CHUNKED + b"\r\n" + padded)
        status, body = read_answer(made)
        assert status in (400, 0)
        if status:
            assert "mostly padding" in json.loads(body)["error"]
        assert received(made) == b""
    spaced = BODY + b" " * 60_000
    chunks = [spaced[place : place + 40] for place in range(0, len(spaced), 40)]
    small = b"".join(b"%x\r\n%s\r\n" % (len(of), of) for of in chunks) + b"0\r\n\r\n"
    with closing(connected(address)) as made:
        for _ in range(2):  # nothing remains of the first for the second
            made.sendall(CHUNKED + b"\r\n" + small)
            assert read_answer(made)[0] == 200


def test_the_padding_of_chunks_is_counted_per_request() -> None:
    connection = StrictConnection()
    connection.receive_data(CHUNKED + b"\r\n1;" + b"a" * (LARGEST_EXTRA - 200) + b"\r\n \r\n")
    while connection.next_event() is not h11.NEED_DATA:
        assert not connection.is_padded()
    connection.receive_data(b"1;" + b"a" * 300 + b"\r\n \r\n")
    while connection.next_event() is not h11.NEED_DATA:
        pass
    assert connection.is_padded()


def test_nothing_is_read_after_a_request_that_closes(serving: Serving) -> None:
    address = serving(request_bytes=100)
    large = request({"inputs": "x" * 1_000})
    with closing(connected(address)) as made:
        made.sendall(large + request({"inputs": "next"}))
        status, body = read_answer(made)
        assert status in (413, 400)
        assert b"score" not in body + received(made)
    assert still_answers(address)


def test_options_of_the_server_and_old_clients_are_answered(serving: Serving) -> None:
    address = serving()
    for start, status in ((b"OPTIONS * HTTP/1.1", 404), (b"GET /health HTTP/1.0", 200)):
        with closing(connected(address)) as made:
            made.sendall(start + b"\r\nhost: x\r\n\r\n")
            assert read_answer(made)[0] == status


def test_too_many_connections_of_a_client_are_429(serving: Serving) -> None:
    address = serving(client_connections=2)
    held = [connected(address) for _ in range(2)]
    time.sleep(0.1)
    with closing(connected(address)) as made:
        status, body = read_answer(made)
        assert (status, list(json.loads(body))) == (429, ["error"])
        assert received(made) == b""
    with closing(held.pop()) as made:
        made.sendall(request({"inputs": "x"}))
        assert read_answer(made)[0] == 200
    time.sleep(0.2)
    assert ask(address, {"inputs": "x"})[0] == 200
    held[0].close()


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_clients_are_addresses_or_networks(address: str, client: str) -> None:
    assert client_of(address) == client
