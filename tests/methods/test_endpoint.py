"""Requests to a server that misbehaves: retries, what it lacks, answers that are kept."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from llm_server import LlmServer, Reply, by_length, serving

from finetext.core.errors import ModelError, RecipeError
from finetext.methods import endpoint as module
from finetext.methods.answers import Answer
from finetext.methods.endpoint import ATTEMPTS, BudgetEnded, Endpoint, Question
from finetext.methods.endpoint_client import check_reachable
from finetext.methods.llm_address import KEY, VARIABLE, address_for, check_address, name_endpoint
from finetext.methods.token_budget import Limits, Tokens

SCHEMA = {"properties": {"label": {"enum": ["ham", "spam"]}}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, without their time."""
    found: list[float] = []
    clock = [0.0]

    def pause(stop: Event, seconds: float) -> None:
        found.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(module, "pause", pause)
    monkeypatch.setattr(module, "clock", lambda: clock[0])
    return found


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with serving() as found:
        yield found


def endpoint(server: LlmServer, limits: Limits | None = None, seconds: float = 30.0) -> Endpoint:
    return Endpoint(server.url, "toy", limits or Limits(), seconds)


def question(text: str = "hello", number: int = 0) -> Question:
    chat = ({"role": "user", "content": json.dumps({"text": text})},)
    return Question(chat, SCHEMA, 0.0, 20, number)


def ask(of: Endpoint, text: str = "hello", number: int = 0) -> Answer:
    asked = question(text, number)
    assert of.budget.reserve(asked.most_tokens)
    return of.ask(asked, asked.most_tokens)


def failing(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    """A script that begins with these answers."""
    left = list(replies)
    return lambda request: left.pop(0) if left else by_length(request)


def test_an_answer_is_asked_for_once(server: LlmServer) -> None:
    first = ask(endpoint(server))
    again = ask(endpoint(server))
    assert json.loads(first.content)["label"] in ("ham", "spam")
    assert again == first
    assert len(server.requests) == 1
    ask(endpoint(server), number=1)
    ask(endpoint(server), "another")
    assert len(server.requests) == 3


def test_an_answer_that_is_damaged_on_the_disk_is_asked_for_again(
    server: LlmServer, cache: Path
) -> None:
    ask(endpoint(server))
    [path] = (cache / "llm").rglob("*.json")
    assert "hello" not in path.read_text()
    path.write_text('{"content": 1}')
    ask(endpoint(server))
    assert len(server.requests) == 2


def test_a_server_that_is_busy_is_asked_again_when_it_says(
    server: LlmServer, pauses: list[float]
) -> None:
    server.script = failing(
        Reply("slow down", 429, {"retry-after": "7"}), Reply("oh", 500), Reply("oh", 503)
    )
    assert ask(endpoint(server)).content
    assert len(server.requests) == 4
    assert pauses[0] == pytest.approx(7, abs=0.1)
    assert 1 < pauses[1] <= 2
    assert 2 < pauses[2] <= 4


def test_a_time_to_retry_can_be_a_date(server: LlmServer, pauses: list[float]) -> None:
    at = email.utils.formatdate(time.time() + 40, usegmt=True)
    server.script = failing(Reply("slow down", 429, {"retry-after": at}))
    ask(endpoint(server))
    assert 30 < pauses[0] <= 41


@pytest.mark.parametrize(
    ("replies", "said", "requests"),
    [
        ([Reply("oh", 500)] * ATTEMPTS, "status 500 after 6 attempts", ATTEMPTS),
        ([Reply("wait", 429, {"retry-after": "9999"})], "asks to wait 3 hours before", 1),
        ([Reply("insufficient_quota", 429)], "no credit left", 1),
        ([Reply("no key", 401)], f"refuses access .401.. {KEY} is not set", 1),
        ([Reply("The model `toy` does not exist", 404)], "has no model 'toy'", 1),
        ([Reply(b"\n<html>Log in</html>")], "does not answer as .* says: <html>Log in</html>", 1),
        ([Reply(b'{"choices": [')] * ATTEMPTS, "It says: .*choices", ATTEMPTS),
        ([Reply(b'{"choices": []}')] * ATTEMPTS, "not answer as the OpenAI API", ATTEMPTS),
    ],
)
def test_errors_that_do_not_end_say_what_to_do(
    server: LlmServer, pauses: list[float], replies: Sequence[Reply], said: str, requests: int
) -> None:
    server.script = failing(*replies)
    with pytest.raises(ModelError, match=said):
        ask(endpoint(server))
    assert len(server.requests) == requests


def test_texts_are_not_sent_on_to_another_address(server: LlmServer, pauses: list[float]) -> None:
    with serving() as other:
        server.script = lambda request: Reply("", 307, {"location": f"{other.url}/chat"})
        with pytest.raises(ModelError, match=rf"\(307\): it sends requests on to {other.url}"):
            ask(endpoint(server))
        assert not other.requests


def test_this_machine_is_asked_without_a_proxy(
    server: LlmServer, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        ask(endpoint(server))
        assert (len(server.requests), len(proxy.requests)) == (1, 0)
        ask(Endpoint("http://far.example/v1", "toy", Limits(), 30.0))
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("given", ["sk-se cret", "sk-secret\nx", "sk-sécret"])
def test_a_key_that_is_none_is_refused_and_not_shown(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv(KEY, given)
    with pytest.raises(RecipeError, match=f"{KEY} has a space, a line break") as caught:
        ask(endpoint(server))
    assert "cret" not in str(caught.value)
    assert not server.requests


def test_space_around_the_key_is_not_sent(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, " sk-secret\n")
    ask(endpoint(server))
    assert server.headers[0]["authorization"] == "Bearer sk-secret"
    server.script = failing(Reply("sk-secret is not valid", 413))
    with pytest.raises(ModelError) as caught:
        ask(endpoint(server), "another")
    assert "sk-secret" not in str(caught.value)


def test_a_server_that_is_there_is_reachable_whatever_it_says(server: LlmServer) -> None:
    check_reachable(server.url)
    with serving() as other:
        pass
    with pytest.raises(ModelError, match="nothing answers at http://127"):
        check_reachable(other.url)
    assert not server.requests


def test_a_server_that_is_not_there_is_asked_once(pauses: list[float]) -> None:
    with serving() as server:
        gone = endpoint(server)
    with pytest.raises(ModelError, match="nothing answers at http://127"):
        ask(gone)
    assert not pauses


def test_an_attempt_without_an_answer_counts_as_paid(
    server: LlmServer, pauses: list[float]
) -> None:
    server.script = failing(Reply(seconds=0.5))
    of = endpoint(server, seconds=0.2)
    assert ask(of).content
    assert len(server.requests) == 2
    assert of.budget.used == question().most_tokens


def test_no_attempt_is_made_for_which_the_budget_has_no_room(
    server: LlmServer, pauses: list[float]
) -> None:
    server.script = failing(Reply(seconds=0.5))
    of = endpoint(server, Limits(tokens=question().most_tokens.total), seconds=0.2)
    with pytest.raises(BudgetEnded):
        ask(of)
    assert len(server.requests) == 1


def test_what_a_server_lacks_is_left_out_from_then_on(server: LlmServer) -> None:
    refused = {"logprobs": "logprobs are not supported", "response_format": "no json_schema here"}

    def script(request: dict[str, Any]) -> Reply:
        for name, said in refused.items():
            if name in request:
                return Reply(said, 400)
        return Reply('{"label": "ham"}')

    server.script = script
    of = endpoint(server)
    assert ask(of).content == '{"label": "ham"}'
    assert len(server.requests) == 3
    assert of.features.lacking == {"logprobs", "schema"}
    ask(of, "another")
    assert len(server.requests) == 4


def test_names_of_newer_models_are_found_out(server: LlmServer) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if "max_tokens" in request:
            return Reply("use 'max_completion_tokens' instead of 'max_tokens'", 400)
        if "temperature" in request:
            return Reply("Unsupported value: 'temperature'", 400)
        return by_length(request)

    server.script = script
    assert ask(endpoint(server)).content
    assert server.requests[-1]["max_completion_tokens"] == 20


def test_a_server_without_seeds_answers_without_them(server: LlmServer) -> None:
    server.script = lambda request: (
        Reply("unknown parameter: seed", 400) if "seed" in request else by_length(request)
    )
    of = endpoint(server)
    assert not any(ask(of, "hello", number).refused for number in range(3))
    assert of.features.lacking == {"seed"}
    assert len(server.requests) == 4


def test_a_refused_text_that_comes_first_when_resumed_is_refused_alone(server: LlmServer) -> None:
    ask(endpoint(server))
    server.script = lambda request: (
        Reply("too long", 400) if "long" in str(request["messages"]) else by_length(request)
    )
    of = endpoint(server)
    ask(of)
    assert ask(of, "a long text").refused
    assert of.features.lacking == frozenset()
    ask(of, "another")
    assert "logprobs" in server.requests[-1]


def test_a_text_is_refused_alone_by_a_server_that_answers_others(server: LlmServer) -> None:
    def script(request: dict[str, Any]) -> Reply:
        is_long = "long" in request["messages"][-1]["content"]
        return Reply("the context is too long", 400) if is_long else by_length(request)

    server.script = script
    of = endpoint(server)
    assert not ask(of).refused
    assert ask(of, "a long text") == Answer("", refused=True)
    assert of.features.lacking == frozenset()
    with pytest.raises(ModelError, match=r"refuses the request \(400\).*too long"):
        ask(endpoint(server), "a long text, first")


def test_the_key_comes_from_the_environment_and_is_not_kept(
    server: LlmServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(endpoint(server))
    monkeypatch.setenv(KEY, "sk-secret")
    ask(endpoint(server), "another")
    assert [of["authorization"] for of in server.headers] == ["Bearer none", "Bearer sk-secret"]
    assert not [path for path in cache.rglob("*.json") if "secret" in path.read_text()]
    server.script = failing(Reply("the key sk-secret is wrong", 400), Reply("sk-secret!", 400))
    with pytest.raises(ModelError) as caught:
        ask(endpoint(server), "a third")
    assert "sk-secret" not in str(caught.value)


def test_without_a_count_of_tokens_the_most_counts(server: LlmServer) -> None:
    server.script = lambda request: Reply('{"label": "ham"}', usage=None)
    assert ask(endpoint(server)).used == question().most_tokens


def test_log_probabilities_are_kept(server: LlmServer) -> None:
    tokens = [("ham", -0.1, {"ham": -0.1, "spam": -2.4})]
    server.script = lambda request: Reply("ham", tokens=tokens)
    first, again = ask(endpoint(server)), ask(endpoint(server))
    assert first == again
    assert dict(again.tokens[0].others) == {"ham": -0.1, "spam": -2.4}


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "https://user:secret@host/v1", "https://host/v1?key=secret"]
)
def test_an_address_holds_no_secret(url: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_address(url)
    assert "secret" not in str(caught.value)


def test_a_saved_model_asks_only_an_address_that_was_named_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "https://far.example/v1"
    with pytest.raises(ModelError, match=f"not named on this machine.*{VARIABLE}={url}"):
        address_for(url)
    name_endpoint(url)
    assert address_for(url) == url
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:1/v1")
    assert address_for(url) == "http://127.0.0.1:1/v1"


def test_the_bound_of_a_request_has_room_for_every_byte() -> None:
    most = question("ü" * 100).most_tokens
    assert most.sent > 200
    assert most == Tokens(most.sent, 20)
