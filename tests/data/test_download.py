"""Downloads: which addresses are connected to, and what ends them, against servers on loopback."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from finetext.core.errors import DataError, TooLargeError
from finetext.core.settings import ReadSettings
from finetext.data import download as downloading
from finetext.data.read import read

TABLE = b"text,label\none text,x\ntwo texts,y\n"
PRIVATE = ReadSettings(private_addresses=True)
Answer = Callable[[BaseHTTPRequestHandler], None]


def whole(data: bytes) -> Answer:
    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Content-Length", str(len(data)))
        to.end_headers()
        to.wfile.write(data)

    return answer


def redirect(to_address: str) -> Answer:
    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response(302)
        to.send_header("Location", to_address)
        to.end_headers()

    return answer


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[BaseHTTPRequestHandler]]]:
    """A server on loopback, by its address, and what it was asked."""
    asked: list[BaseHTTPRequestHandler] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self)
            try:
                answer(self)
            except OSError:
                self.close_connection = True

        do_CONNECT = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_file_of_the_network_is_read() -> None:
    with serving(whole(TABLE)) as (url, asked):
        assert len(read(f"{url}/toy%20data.csv?x=1", settings=PRIVATE)) == 2
        assert [request.path for request in asked] == ["/toy%20data.csv?x=1"]
    with serving(whole(gzip.compress(TABLE))) as (url, _):
        assert len(read(f"{url}/a%20file.csv.gz", settings=PRIVATE)) == 2


def test_user_and_password_of_an_address_are_sent_to_its_host_alone() -> None:
    with serving(whole(TABLE)) as (other, later), serving(redirect(other)) as (url, asked):
        read(url.replace("//", "//jane:a%20b@") + "/t.csv", settings=PRIVATE)
    assert asked[0].headers["Authorization"] == "Basic amFuZTphIGI="
    assert "Authorization" not in later[0].headers


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "localhost", "10.1.2.3"),
        *("192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "240.0.0.1"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[fe80::1]", "[fd00::1]", "[fec0::1]"),
        *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[ff02::1]"),
    ],
)
def test_private_addresses_are_not_connected_to(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(DataError, match=r"private or reserved.*data\.private_addresses=true"):
        read(f"http://{host}:80/x.csv")


def test_public_addresses_may_be_connected_to() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"):
        downloading._check_address("example.org", address)


def test_every_address_of_a_name_is_checked_and_no_name_is_asked_for_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server that answers with a public address first, and then with loopback."""
    connected: list[Any] = []
    answers = [["93.184.216.34"], ["127.0.0.1"]]

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, port)) for address in answers.pop(0)]

    def connect(_: socket.socket, address: Any) -> None:
        connected.append(address)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(DataError, match="nobody there"):
        read("http://rebinds.example/x.csv")
    assert connected == [("93.184.216.34", 80)]
    answers[:] = [["93.184.216.34", "127.0.0.1"]]
    with pytest.raises(DataError, match="is at 127"):
        read("http://both.example/x.csv")


def test_each_redirect_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    real = downloading._check_address
    with serving(whole(TABLE)) as (inner, asked), serving(redirect(inner)) as (url, _):
        checked: list[str] = []

        def first_is_public(host: str, address: str) -> None:
            checked.append(host)
            if len(checked) > 1:
                real(host, address)

        monkeypatch.setattr(downloading, "_check_address", first_is_public)
        with pytest.raises(DataError, match="private or reserved"):
            read(f"{url}/x.csv")
        assert not asked


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://example.org/x", "data:,x"])
def test_only_http_and_https_are_followed(place: str) -> None:
    with serving(redirect(place)) as (url, _), pytest.raises(DataError, match="no http or https"):
        read(f"{url}/x.csv", settings=PRIVATE)


@pytest.mark.parametrize("secret", ["secret\u2100@", "u:secret/x@", "u:secret@[::1"])
def test_the_error_of_an_invalid_address_holds_no_secret(secret: str) -> None:
    address = f"http://{secret}127.0.0.1:9/x.csv"
    with serving(redirect(address.encode().decode("latin-1"))) as (url, _):
        for place in (address, f"{url}/x.csv"):
            with pytest.raises(DataError, match="cannot fetch") as caught:
                read(place, settings=PRIVATE)
            assert "secret" not in str(caught.value)


def test_redirects_in_a_circle_end() -> None:
    with serving(redirect("/again")) as (url, asked):
        with pytest.raises(DataError, match="more than 5 redirects"):
            read(f"{url}/x.csv", settings=PRIVATE)
        assert len(asked) == 6


def test_a_large_body_of_a_redirect_is_not_read() -> None:
    def answer(to: BaseHTTPRequestHandler) -> None:
        if to.path == "/next.csv":
            return whole(TABLE)(to)
        to.send_response(302)
        to.send_header("Location", "/next.csv")
        to.send_header("Content-Length", str(10**15))
        to.end_headers()
        return None

    with serving(answer) as (url, _):
        assert len(read(f"{url}/x.csv", settings=PRIVATE)) == 2


@pytest.mark.parametrize("states_length", [True, False])
def test_a_response_larger_than_the_budget_is_stopped_while_it_comes(states_length: bool) -> None:
    sent = [0]

    def endless(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        if states_length:
            to.send_header("Content-Length", "12")  # a lie
        to.end_headers()
        while True:
            sent[0] += to.wfile.write(b"a text,x\n" * 10_000)

    settings = ReadSettings(private_addresses=True, most_bytes="5MB")
    with serving(endless) as (url, _):
        if states_length:  # no more than that is taken
            with pytest.raises(DataError):
                read(f"{url}/x.csv", settings=settings)
        else:
            with pytest.raises(TooLargeError, match=r"x\.csv.*5\.0 MB.*most_bytes"):
                read(f"{url}/x.csv", settings=settings)
    assert sent[0] < 100_000_000


def test_slow_bytes_end_with_the_time_of_the_whole_download() -> None:
    """A server that sends a byte every 50 ms never lets a single read time out."""

    def drip(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.end_headers()
        for _ in range(2_000):
            to.wfile.write(b"a")
            to.wfile.flush()
            time.sleep(0.05)

    settings = ReadSettings(private_addresses=True, download_seconds=0.5)
    began = time.monotonic()
    with serving(drip) as (url, _), pytest.raises(DataError, match=r"0\.5 s.*download_seconds"):
        read(f"{url}/x.csv", settings=settings)
    assert time.monotonic() - began < 30


def test_headers_without_end_are_ended_by_time() -> None:
    def continues(to: BaseHTTPRequestHandler) -> None:
        for _ in range(2_000):
            to.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.05)

    settings = ReadSettings(private_addresses=True, download_seconds=0.5)
    with serving(continues) as (url, _), pytest.raises(DataError, match="download_seconds"):
        read(f"{url}/x.csv", settings=settings)


def test_what_is_cut_off_is_not_read_as_if_it_were_whole() -> None:
    def short(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Content-Length", "1000")
        to.end_headers()
        to.wfile.write(TABLE)

    with serving(short) as (url, _), pytest.raises(DataError, match="cannot fetch"):
        read(f"{url}/x.csv", settings=PRIVATE)


def test_statuses_and_unreachable_hosts_are_errors_in_words() -> None:
    missing = pytest.raises(DataError, match=r"cannot fetch .*404: Not Found")
    with serving(lambda to: to.send_error(404)) as (url, _), missing:
        read(f"{url}/x.csv", settings=PRIVATE)
    with pytest.raises(DataError, match=r"cannot fetch http://127.0.0.1:9/x.csv"):
        read("http://127.0.0.1:9/x.csv", settings=PRIVATE)


def test_the_proxy_of_the_environment_is_used_but_not_toward_private_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(whole(TABLE)) as (proxy, asked):
        monkeypatch.setenv("http_proxy", proxy.replace("//", "//jane:pw@"))
        monkeypatch.setenv("https_proxy", proxy)
        assert len(read("http://data.invalid/x.csv")) == 2
        assert asked[0].path == "http://data.invalid/x.csv"
        assert asked[0].headers["Proxy-Authorization"] == "Basic amFuZTpwdw=="
        with pytest.raises(DataError, match="private or reserved"):
            read("http://169.254.169.254/latest/x.csv")
        with pytest.raises(DataError, match="cannot fetch https"):
            read("https://data.invalid/x.csv")
        assert [(one.command, one.path) for one in asked[1:]] == [("CONNECT", "data.invalid:443")]
