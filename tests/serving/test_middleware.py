"""Limits, host names, tokens and faults: what the server refuses, and how."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from serving_toys import Answer, Client, Toy, call, error_of, toy_probability

from finetext.core.settings import ServeSettings

Make = Callable[..., Client]


def test_limits_on_number_and_length_of_texts(make_client: Make) -> None:
    client = make_client(request_texts=3, text_characters=10)
    assert client("POST", "/predict", {"inputs": ["x" * 10] * 3}).status == 200
    too_many = client("POST", "/decide", {"inputs": ["x"] * 4})
    assert "4 texts; at most 3" in error_of(too_many, 422)
    too_long = client("POST", "/decide", {"inputs": ["x", "x" * 11]})
    assert "inputs[1] has 11 characters; at most 10" in error_of(too_long, 422)


@pytest.mark.parametrize(
    ("body", "told"),
    [(b" " * 300, "300"), ([b" " * 60] * 5, None), (b"", str(10**12)), ([b" "] * 300, None)],
)
def test_a_too_large_body_is_413(
    make_client: Make, body: bytes | list[bytes], told: str | None
) -> None:
    headers = {} if told is None else {"content-length": told}
    client = make_client(request_bytes=200)
    answer = client("POST", "/predict", body=body, headers=headers)
    assert "200 bytes" in error_of(answer, 413)
    assert answer.headers["connection"] == "close"
    pieces = [b'{"inputs"', b': "x"}', b" " * 20]
    assert client("POST", "/predict", body=pieces).status == 200


def test_expect_continue_is_refused_before_the_body(make_client: Make) -> None:
    headers = {"content-length": "300", "expect": "100-continue"}

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was asked for")

    client = make_client(request_bytes=200)
    answer = client("POST", "/predict", body=b"", headers=headers, receive=receive)
    error_of(answer, 413)


def test_all_bodies_together_have_a_memory_limit(make_client: Make, toy: Toy) -> None:
    toy.free.clear()
    client = make_client(request_bytes=100, held_bytes=250)
    body = json.dumps({"inputs": "x"}).encode().ljust(90)

    async def crowd() -> list[Answer]:
        async with client.app.router.lifespan_context(client.app):
            calls = [asyncio.create_task(call(client.app, "POST", "/", body)) for _ in range(3)]
            await asyncio.wait([calls[2]])
            toy.free.set()
            answers = await asyncio.gather(*calls)
            return [*answers, await call(client.app, "POST", "/", body)]

    first, second, third, later = asyncio.run(crowd())
    assert [first.status, second.status, later.status] == [200, 200, 200]
    assert third.headers["retry-after"] == "1"
    error_of(third, 503)


def test_a_full_queue_is_429(make_client: Make, toy: Toy) -> None:
    toy.free.clear()
    client = make_client(queue_texts=2, request_texts=2)
    body = json.dumps({"inputs": ["x", "y"]}).encode()

    async def crowd() -> list[Answer]:
        async with client.app.router.lifespan_context(client.app):
            calls = []
            for _ in range(3):
                calls.append(asyncio.create_task(call(client.app, "POST", "/decide", body)))
                while not toy.batches:
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.02)
            await calls[2]
            toy.free.set()
            return await asyncio.gather(*calls)

    first, second, third = asyncio.run(crowd())
    assert (first.status, second.status) == (200, 200)
    assert "retry" in error_of(third, 429)
    assert int(third.headers["retry-after"]) >= 1


def test_a_disconnected_client_gets_no_answer(make_client: Make, toy: Toy) -> None:
    client = make_client()
    toy.free.clear()

    async def run() -> Answer:
        async with client.app.router.lifespan_context(client.app):
            first = asyncio.create_task(
                call(client.app, "POST", "/", json.dumps({"inputs": "first"}).encode())
            )
            while not toy.batches:
                await asyncio.sleep(0.001)
            messages = [
                {"type": "http.disconnect"},
                {"type": "http.request", "body": b'{"inputs": "gone"}', "more_body": False},
            ]

            async def receive() -> dict[str, Any]:
                await asyncio.sleep(0.02)
                return messages.pop()

            gone = await call(client.app, "POST", "/", receive=receive)
            toy.free.set()
            assert (await first).status == 200
            return gone

    assert asyncio.run(run()).status == 0
    assert toy.seen == ["first"]
    assert 'status="499"} 1.0' in client("GET", "/metrics").body.decode()


def test_a_slow_body_is_408(make_client: Make) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    answer = make_client(arrival_seconds=0.1)("POST", "/predict", receive=receive)
    assert "0.1 s" in error_of(answer, 408)
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("text", ["a text that breaks it", "a text without a number"])
def test_an_internal_error_shows_only_an_id(
    make_client: Make, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    with caplog.at_level(logging.ERROR, logger="finetext.serving"):
        message = error_of(make_client()("POST", "/predict", {"inputs": text}), 500)
    name = message.split()[-1]
    assert name in caplog.text
    assert "Traceback" in caplog.text
    assert text not in message
    assert "/" not in message
    assert "secret" not in message


class Panic(BaseException):
    """What a native library raises, such as a tokenizer in Rust."""


class Panics(Toy):
    """Panics where it would raise an error."""

    def predict_proba(self, texts: Any) -> Any:
        try:
            return super().predict_proba(texts)
        except RuntimeError as error:
            raise Panic(*error.args) from None


def test_a_panic_is_500_for_its_own_request_only(
    make_client: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(Panics())
    texts = ["one", "a text that breaks it", "two"]
    asked: list[Any] = [("POST", "/", {"inputs": text}, {}) for text in texts]
    asked += [("POST", "/explain", {"inputs": texts[1]}, {}), ("POST", "/", {"inputs": "3"}, {})]
    one, broken, two, unexplained, three = client.all(asked)
    assert [one.status, two.status, three.status] == [200, 200, 200]
    for answer in (broken, unexplained):
        message = error_of(answer, 500)
        assert message.split()[-1] == answer.headers["x-request-id"]
        assert "secret" not in message
        assert answer.headers["x-request-id"] in caplog.text
    assert "Panic: /secret/place" in caplog.text


def test_live_and_ready_are_503_once_the_model_hangs(make_client: Make, toy: Toy) -> None:
    client = make_client(request_seconds=0.05, batch_seconds=0.1)
    told: list[str] = []

    async def hang() -> list[Answer]:
        async with client.app.router.lifespan_context(client.app):
            batcher = client.app.state.batcher
            batcher.ended = lambda: told.append(batcher.fault)
            toy.free.clear()
            before = await call(client.app, "GET", "/health/live")
            await call(client.app, "POST", "/", b'{"inputs": "x"}')
            while not told:
                await asyncio.sleep(0.01)
            paths = ("/ready", "/health", "/health/live")
            after = [await call(client.app, "GET", path) for path in paths]
            after.append(await call(client.app, "POST", "/", b'{"inputs": "y"}'))
            toy.free.set()
            return [before, *after]

    before, *after = asyncio.run(hang())
    assert before.status == 200
    for answer in after:
        assert "does not answer" in error_of(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        ("01H-abc_9.f:3/x+=", True), ("x" * 128, True), ("x" * 129, False), ("", False),
        ("a\nb", False), ("a b", False), ("\x1b[31m", False), ("é", False),
    ],
)  # fmt: skip
def test_every_answer_has_the_id_of_its_request(
    make_client: Make, given: str, is_taken: bool
) -> None:
    asked = [("GET", path, None, {"headers": {"x-request-id": given}}) for path in ("/info", "/no")]
    one, other = (of.headers["x-request-id"] for of in make_client().all(asked))
    assert ((one, other) == (given, given)) is is_taken
    if not is_taken:
        assert one != other
        assert one.isalnum()


def test_paths_in_the_log_are_escaped(caplog: pytest.LogCaptureFixture) -> None:
    from finetext.serving.metrics import Metrics
    from finetext.serving.middleware import Monitor

    async def fail(*given: Any) -> None:
        raise BaseException("what nobody thought of")

    app = Monitor(fail, Metrics(), [], [])
    answer = asyncio.run(call(app, "GET", "/x\n2026 ERROR forged\x1b[2J\u202e"))
    error_of(answer, 500)
    assert r"/x\n2026 ERROR forged\x1b[2J\u202e" in caplog.messages[0]


def test_a_failing_text_does_not_affect_other_requests(make_client: Make) -> None:
    texts = ["one", "a text that breaks it", "two", "a text without a number", "three"]
    answers = make_client().all([("POST", "/", {"inputs": text}, {}) for text in texts])
    assert [answer.status for answer in answers] == [200, 500, 200, 500, 200]
    assert {"label": "yes", "score": toy_probability("three")} in answers[4].json[0]


def test_every_path_about_the_model_needs_the_token(make_client: Make, toy: Toy) -> None:
    client = make_client(token="s3cret")
    asked = {"inputs": "x"}
    for headers in (
        {},
        {"authorization": ""},
        {"authorization": "s3cret"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer s3cre"},
        {"authorization": "Bearer s3cret2"},
        {"authorization": "Basic s3cret"},
    ):
        answer = client("POST", "/predict", asked, headers=headers)
        assert "Bearer" in error_of(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for method, path in (
        ("GET", "/info"), ("GET", "/metrics"), ("POST", "/"), ("POST", "/decide"),
        ("POST", "/explain"), ("GET", "/elsewhere"), ("GET", "/page"), ("POST", "/health"),
    ):  # fmt: skip
        error_of(client(method, path, asked if method == "POST" else None), 401)
    assert not toy.seen
    for header in ("Bearer s3cret", "bearer s3cret"):
        answer = client("POST", "/predict", asked, headers={"authorization": header})
        assert answer.status == 200
    for path in ("/ready", "/health", "/health/live"):
        assert client("GET", path).status == 200


def test_bodies_without_a_token_are_not_read(make_client: Make) -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    answer = make_client(token="x")("POST", "/predict", receive=receive)
    error_of(answer, 401)


@pytest.mark.parametrize(
    "path",
    ["/page/\0", "/page/" + "x" * 9_000, "/page/../app.py", "/page//etc/passwd"],
)
def test_odd_paths_of_the_page_are_not_found(make_client: Make, path: str) -> None:
    error_of(make_client(token="s3cret")("GET", path), 404)


def test_every_answer_has_the_security_headers(make_client: Make) -> None:
    for answer in make_client().all(
        [("GET", "/info", None, {}), ("POST", "/", None, {}), ("GET", "/nothing", None, {})]
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    assert "docs" in error_of(make_client()("GET", "/nothing"), 404)


LOCAL = (
    "localhost", "LOCALHOST:8000", "localhost.", "model.localhost:1", "127.0.0.1:8000", "127.0.0.9",
    "[::1]:8000", "192.168.0.7", "",
)  # fmt: skip


STRANGE = (
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
    "notlocalhost", "[evil]", "127.1", "é", "localhost@evil.example", "localhost:80@evil.example",
    "localhost:80:90", "[::1]evil.example", "[]", "localhost:x",
)  # fmt: skip


def client_of(is_local: bool, token: str | None = None, hosts: tuple[str, ...] = ()) -> Client:
    from finetext.serving.app import make_app
    from finetext.serving.model import ServedModel

    settings = ServeSettings(hosts=hosts)
    return Client(make_app(ServedModel(Toy()), settings, token, is_local=is_local))


def status(client: Client, host: str) -> int:
    return client("POST", "/predict", {"inputs": "x"}, headers={"host": host}).status


def test_local_servers_accept_ip_addresses_and_localhost() -> None:
    client = client_of(is_local=True)
    assert {status(client, host) for host in LOCAL} == {200}
    assert {status(client, host) for host in STRANGE} == {403}
    assert client("GET", "/info").status == 200
    for path in ("/", "/info", "/ready", "/health", "/docs", "/page/page.js", "/metrics"):
        answer = client("GET", path, headers={"host": "evil.example:80"})
        message = error_of(answer, 403)
        assert "'evil.example'" in message
        assert "serve.hosts" in message


def test_only_configured_host_names_are_accepted() -> None:
    for is_local in (True, False):
        client = client_of(is_local, hosts=("Texts.Example.org",))
        assert status(client, "texts.example.org:443") == 200
        assert status(client, "127.0.0.1") == 200
        assert status(client, "www.texts.example.org") == 403
    client = client_of(True, "s3cret", ("texts.example.org",))
    assert status(client, "evil.example") == 403
    assert status(client, "texts.example.org") == 401


def test_with_a_token_or_on_the_network_any_host_is_accepted() -> None:
    assert status(client_of(is_local=True, token="s3cret"), "evil.example") == 401
    assert status(client_of(is_local=False), "evil.example") == 200


def test_host_names_stay_secret_and_403_is_documented() -> None:
    client = client_of(True, hosts=("texts.example.org",))
    assert b"example" not in client("GET", "/info").body
    for path, operations in client("GET", "/openapi.json").json["paths"].items():
        for operation in operations.values():
            assert "403" in operation["responses"], path


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", 403), ("0.0.0.0", 200)])
def test_host_names_are_checked_if_only_this_machine_can_connect(
    monkeypatch: pytest.MonkeyPatch, host: str, expected: int, toy: Toy
) -> None:
    from finetext.serving import server

    found: list[int] = []

    def make_server(app: Any, settings: ServeSettings) -> Any:
        found.append(status(Client(app), "evil.example"))
        return SimpleNamespace(run=lambda sockets: None)

    monkeypatch.setattr(server, "make_server", make_server)
    with closing(server.bound(host, 0)) as listening:
        server.answer(listening, toy, {}, None, None, print)
    assert found == [expected]
