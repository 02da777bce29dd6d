"""Answers that drip, flood or are none, and what a request tells beside the text."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llm_server import LlmServer, Reply, by_length, serving

from finetext.core.errors import ModelError
from finetext.methods import endpoint as module
from finetext.methods.answers import Answer
from finetext.methods.endpoint import ATTEMPTS, Endpoint, Question
from finetext.methods.endpoint_client import MOST_BYTES
from finetext.methods.token_budget import Limits, Tokens

ASKED = Question(
    ({"role": "user", "content": '{"text": "hello"}'},),
    {"properties": {"label": {"enum": ["ham", "spam"]}}}, 0.0, 20,
)  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "pause", lambda stop, seconds: None)


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with serving() as found:
        yield found


def ask(server: LlmServer, seconds: float = 30.0) -> Answer:
    of = Endpoint(server.url, "toy", Limits(), seconds)
    assert of.budget.reserve(ASKED.most_tokens)
    return of.ask(ASKED, ASKED.most_tokens)


def beginning(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    left = list(replies)
    return lambda request: left.pop(0) if left else by_length(request)


def test_the_time_limit_is_one_of_the_whole_answer(server: LlmServer) -> None:
    server.script, started = beginning(Reply("ham", drip=0.05)), time.monotonic()
    assert ask(server, seconds=0.5).content
    assert time.monotonic() - started < 5
    assert len(server.requests) == 2


def test_an_answer_that_never_ends_is_given_up(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    server.script = lambda request: Reply("ham", drip=0.05)
    with pytest.raises(ModelError, match=r"no whole answer within 0.3 s after 2 attempts"):
        ask(server, seconds=0.3)


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_answer_of_many_megabytes_is_refused(server: LlmServer, is_packed: bool) -> None:
    body = b" " * (MOST_BYTES + 1)
    packed = Reply(gzip.compress(body, 1), headers={"content-encoding": "gzip"})
    server.script = lambda request: packed if is_packed else Reply(body)
    with pytest.raises(ModelError, match="more than 32 MB to one request"):
        ask(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "usage", [(-100, 5), (100, "five"), (float("nan"), 5), (float("inf"), 5), ([], {})]
)
def test_an_odd_count_of_tokens_is_no_count(server: LlmServer, usage: tuple[Any, Any]) -> None:
    server.script = lambda request: Reply("ham", usage=usage)
    found = ask(server)
    assert (found.content, found.used) == ("ham", ASKED.most_tokens)
    assert len(server.requests) == 1


def test_a_count_can_be_a_whole_float(server: LlmServer) -> None:
    server.script = lambda request: Reply("ham", usage=(100.0, 5))
    assert ask(server).used == Tokens(100, 5)


@pytest.mark.parametrize("odd", ["x", None, float("nan"), 1e9])
def test_odd_log_probabilities_are_none(server: LlmServer, odd: Any) -> None:
    server.script = lambda request: Reply("ham", tokens=[("ham", odd, {"spam": -1.0})])
    assert ask(server) == ask(server)
    assert ask(server).tokens == ()


def test_a_connection_that_a_server_closes_is_tried_again_if_it_answers(
    server: LlmServer,
) -> None:
    server.script = beginning(Reply("busy", 503), Reply(status=0), Reply(status=0))
    assert ask(server).content
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("body", "shown", "requests"),
    [
        (b"<!DOCTYPE html>\n<title>Log in</title>", "<!DOCTYPE html> <title>Log in</title>", 1),
        (b"[1, 2]", r"\[1, 2\]", ATTEMPTS),
        (b"", "nothing", ATTEMPTS),
        (b'{"error": "\x1b[31m' + b"no " * 500 + b'"}', "no no …$", ATTEMPTS),
    ],
)
def test_what_is_no_answer_is_shown(
    server: LlmServer, body: bytes, shown: str, requests: int
) -> None:
    server.script = lambda request: Reply(body)
    with pytest.raises(
        ModelError, match=f"not answer as the OpenAI API does.*says: .*{shown}"
    ) as e:
        ask(server)
    assert str(e.value).isprintable()
    assert len(server.requests) == requests


def test_nothing_is_told_of_this_machine(server: LlmServer) -> None:
    ask(server)
    [headers] = server.headers
    assert not [name for name in headers if name.lower().startswith("x-stainless")]
