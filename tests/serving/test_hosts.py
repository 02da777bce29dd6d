"""A server for this machine alone answers to no name that a stranger could have."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest
from serving_toys import Client, Toy, error_of

from finetext.core.settings import ServeSettings

LOCAL = (
    "localhost", "LOCALHOST:8000", "localhost.", "model.localhost:1", "127.0.0.1:8000", "127.0.0.9",
    "[::1]:8000", "192.168.0.7", "",
)  # fmt: skip
STRANGE = (
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
    "notlocalhost", "[evil]", "127.1", "é",
)  # fmt: skip


def client_of(is_local: bool, token: str | None = None, hosts: tuple[str, ...] = ()) -> Client:
    from finetext.serving.app import make_app
    from finetext.serving.model import ServedModel

    settings = ServeSettings(hosts=hosts)
    return Client(make_app(ServedModel(Toy()), settings, token, is_local=is_local))


def status(client: Client, host: str) -> int:
    return client("POST", "/predict", {"inputs": "x"}, headers={"host": host}).status


def test_for_this_machine_alone_there_are_numbers_and_localhost() -> None:
    client = client_of(is_local=True)
    assert {status(client, host) for host in LOCAL} == {200}
    assert {status(client, host) for host in STRANGE} == {403}
    assert client("GET", "/info").status == 200
    for path in ("/", "/info", "/health", "/docs", "/page/page.js", "/metrics"):
        answer = client("GET", path, headers={"host": "evil.example:80"})
        message = error_of(answer, 403)
        assert "'evil.example'" in message
        assert "serve.hosts" in message


def test_names_that_are_given_are_known_and_others_are_not() -> None:
    for is_local in (True, False):
        client = client_of(is_local, hosts=("Texts.Example.org",))
        assert status(client, "texts.example.org:443") == 200
        assert status(client, "127.0.0.1") == 200
        assert status(client, "www.texts.example.org") == 403
    client = client_of(True, "s3cret", ("texts.example.org",))
    assert status(client, "evil.example") == 403
    assert status(client, "texts.example.org") == 401


def test_with_a_token_or_for_others_any_name_will_do() -> None:
    assert status(client_of(is_local=True, token="s3cret"), "evil.example") == 401
    assert status(client_of(is_local=False), "evil.example") == 200


def test_the_names_are_not_told_and_the_status_is_described() -> None:
    client = client_of(True, hosts=("texts.example.org",))
    assert b"example" not in client("GET", "/info").body
    for path, operations in client("GET", "/openapi.json").json["paths"].items():
        for operation in operations.values():
            assert "403" in operation["responses"], path


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the app of each server says to who comes by another name."""
    from finetext.serving import server

    seen: list[int] = []

    class Stopped:
        def run(self, sockets: list[socket.socket]) -> None:
            """End at once."""

    def make_server(app: Any, settings: ServeSettings) -> Stopped:
        seen.append(status(Client(app), "evil.example"))
        return Stopped()

    monkeypatch.setattr(server, "make_server", make_server)
    return seen


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", 403), ("0.0.0.0", 200)])
def test_the_address_says_whether_it_is_for_this_machine_alone(
    told: list[int], host: str, expected: int, toy: Toy
) -> None:
    from finetext.serving.server import answer, bound

    with closing(bound(host, 0)) as listening:
        answer(listening, toy, {}, None, None, print)
    assert told == [expected]
