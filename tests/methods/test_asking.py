"""Many questions at once: within the budget, and without paying twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_server import LlmServer, Reply, by_length, serving, text_of

from finetext.core.errors import ModelError
from finetext.methods.asking import Asking
from finetext.methods.endpoint import Endpoint, Question
from finetext.methods.token_budget import Limits, TokenBudget, Tokens

SCHEMA = {"properties": {"label": {"enum": ["ham", "spam"]}}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with serving() as found:
        yield found


def questions(count: int) -> list[Question]:
    return [
        Question(({"role": "user", "content": json.dumps({"text": f"text {n}"})},), SCHEMA, 0.0, 20)
        for n in range(count)
    ]


def asking(
    server: LlmServer, limits: Limits | None = None, samples: int = 1, concurrency: int = 4
) -> Asking:
    of = Endpoint(server.url, "toy", limits or Limits(), 30.0)
    return Asking(of, samples, concurrency)


def test_answers_are_those_of_their_questions(server: LlmServer) -> None:
    server.script = lambda request: Reply(text_of(request))
    found = asking(server).all(questions(30))
    assert [of[0].content for of in found] == [f"text {n}" for n in range(30)]


def test_no_more_requests_are_under_way_than_allowed(server: LlmServer) -> None:
    server.script = lambda request: Reply("ham", seconds=0.03)
    asking(server, concurrency=3).all(questions(20))
    assert server.most_at_once == 3


def test_the_budget_ends_in_the_middle_and_is_never_exceeded(server: LlmServer) -> None:
    of = asking(server, Limits(tokens=1_000))
    found = of.all(questions(30))
    answered = len(found)
    assert 0 < answered < 30
    assert answered == len(server.requests)
    assert of.endpoint.budget.used.total == 105 * answered <= 1_000
    assert 105 * answered + questions(1)[0].most_tokens.total > 1_000 - 2 * 105


def test_money_is_a_budget_too(server: LlmServer) -> None:
    of = asking(server, Limits(None, 0.001, sent_price=1.0, received_price=2.0))
    found = of.all(questions(30))
    answered = len(found)
    assert of.endpoint.budget.limits.cost_of(of.endpoint.budget.used) == pytest.approx(
        answered * 110 / 1e6
    )
    assert 0 < answered < 30


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_how_many_fit_does_not_depend_on_the_threads(server: LlmServer, concurrency: int) -> None:
    limits = Limits(tokens=2_000)
    first = asking(server, limits, concurrency=concurrency).all(questions(30))
    most = questions(12)[-1].most_tokens.total
    assert len(first) == (2_000 - most) // 105 + 1


def test_an_interrupted_run_pays_for_no_answer_twice(server: LlmServer) -> None:
    left = [12]

    def breaking(request: dict[str, Any]) -> Reply:
        left[0] -= 1
        return by_length(request) if left[0] > 0 else Reply("no key", 401)

    server.script = breaking
    of = asking(server)
    with pytest.raises(ModelError, match="refuses access"):
        of.all(questions(40))
    assert not of.endpoint.budget._reserved.total
    answered = {text_of(one) for one in server.requests[:11]}
    server.script, server.requests[:] = by_length, []
    assert len(asking(server).all(questions(40))) == 40
    assert len(server.requests) == 40 - 11
    assert not answered & set(server.texts)


def test_a_resumed_run_stops_where_the_first_one_would(server: LlmServer) -> None:
    limits = Limits(tokens=1_500)
    asking(server).all(questions(5))
    found = asking(server, limits).all(questions(30))
    asked = len(server.requests)
    assert asking(server, limits).all(questions(30)) == found
    assert len(server.requests) == asked


@pytest.mark.parametrize("known", [0, 1, 5])
def test_what_a_server_lacks_is_found_out_by_one_question_that_is_not_known(
    server: LlmServer, known: int
) -> None:
    asking(server).all(questions(known))

    def script(request: dict[str, Any]) -> Reply:
        is_refused = "logprobs" in request
        return Reply("no", 400, seconds=0.02) if is_refused else by_length(request)

    server.script, server.requests[:] = script, []
    found = asking(server, concurrency=8).all(questions(16))
    assert not any(of.refused for [of] in found)
    assert len(server.requests) == 16 - known + 1


def test_ctrl_c_waits_for_what_was_sent_and_keeps_it(server: LlmServer) -> None:
    server.script = lambda request: Reply("ham", seconds=0.05)
    seen = threading.Event()

    def stopping(done: int) -> None:
        seen.set()
        raise KeyboardInterrupt

    of = replace(asking(server), progress=stopping)
    with pytest.raises(KeyboardInterrupt):
        of.all(questions(30))
    assert seen.is_set()
    asked = len(server.requests)
    assert asked < 30
    again = asking(server)
    assert sum(again.endpoint.known(one) is not None for one in questions(30)) == asked


def test_an_error_ends_the_pauses_of_others(server: LlmServer) -> None:
    is_last_there = threading.Event()  # a pause would keep it from being sent

    def script(request: dict[str, Any]) -> Reply:
        if text_of(request) == "text 1":
            is_last_there.wait(20)
            return Reply("wait", 429, {"retry-after": "60"})
        if text_of(request) == "text 2":
            is_last_there.set()
            return Reply("no key", 401, seconds=0.3)
        return by_length(request)

    server.script, started = script, time.monotonic()
    with pytest.raises(ModelError, match="refuses access"):
        asking(server, concurrency=2).all(questions(3))
    assert time.monotonic() - started < 30
    assert len(server.requests) == 3


def test_several_samples_are_asked_for_where_there_are_no_log_probabilities(
    server: LlmServer,
) -> None:
    found = asking(server, samples=3).all(questions(2))
    assert [len(of) for of in found] == [3, 3]
    assert sorted(of.get("seed", 0) for of in server.requests) == [0, 0, 1, 1, 2, 2]
    server.script = lambda request: Reply("ham", tokens=[("ham", -0.1, {"ham": -0.1})])
    assert [len(of) for of in asking(server, samples=3).all(questions(4))[2:]] == [1, 1]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30), st.integers(0, 400)
)
def test_used_and_reserved_tokens_stay_within_the_limit(
    sizes: list[tuple[int, int]], most: int
) -> None:
    budget = TokenBudget(Limits(tokens=most))
    for reserved, used in sizes:
        wanted = Tokens(reserved, 1)
        if budget.reserve(wanted):
            budget.settle(wanted, Tokens(min(reserved, used), 1))
        assert budget.used.total <= most


def test_a_budget_is_said_in_words() -> None:
    assert Limits(1).words() == "1 token"
    assert Limits(2_000, 0.5).words() == "2,000 tokens and 0.5 in your currency"
