"""Bodies are read strictly, and what is wrong with one is named."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from serving_toys import Client, Toy, error_of

Make = Callable[..., Client]
GOOD_TEXTS = [
    *("🙂👩\u200d👩\u200d👧", "שלום עולם", "\u202eabc"),
    *("\x7f\x1b[31m", "a\ufeffb", "\uffff", "日本語"),
]


@pytest.fixture(scope="module")
def usual() -> Client:
    """A client of an app with the usual settings."""
    from finetext.serving.app import make_app
    from finetext.serving.model import ServedModel

    return Client(make_app(ServedModel(Toy())))


BAD_BODIES = {
    b"": (422, "the body is missing"),
    b"{": (400, "not JSON"),
    b'{"inputs": "x"': (400, "line 1, column 15"),
    b'{"inputs": "a\x00b"}': (400, "not JSON"),
    b'{"inputs": "a\\u0000b"}': (422, "inputs holds a NUL"),
    b'{"inputs": "\\ud800"}': (400, "surrogate"),
    b'{"inputs": "x", "\\udfff": 1}': (400, "surrogate"),
    b"\xff\xfe\x00": (400, "not UTF-8"),
    b'{"inputs": "\xe9"}': (400, "not UTF-8"),
    b'{"inputs": "x", "inputs": "y"}': (400, "twice"),
    b'{"inputs": "x", "parameters": {"top_k": 1, "top_k": 2}}': (400, "twice"),
    b'{"inputs": NaN}': (400, "NaN"),
    b'{"inputs": -Infinity}': (400, "-Infinity"),
    b"[" * 100_000: (400, "nested"),
    b'{"a":' * 100_000: (400, "nested"),
    b"9" * 10_000: (400, "too long"),
    b"null": (422, "object"),
    b"[]": (422, "object"),
    b'"x"': (422, "object"),
    b"{}": (422, "inputs is missing"),
    b'{"inputs": null}': (422, "inputs must be a text"),
    b'{"inputs": 3}': (422, "inputs must be a text"),
    b'{"inputs": {"texts": "x"}}': (422, "inputs has the keys 'texts', but its keys must be text"),
    b'{"inputs": {"text": null}}': (422, "must be a text"),
    b'{"inputs": [{"text": "x"}, {}]}': (422, "inputs[1] has the keys none"),
    b'{"inputs": []}': (422, "inputs must have at least one text"),
    b'{"inputs": ["x", 3]}': (422, "inputs[1] must be a text"),
    b'{"inputs": [["x"]]}': (422, "inputs[0] must be a text"),
    b'{"inputs": ["x", "a\\u0000"]}': (422, "inputs[1] holds a NUL"),
    b'{"input": "x"}': (422, "is"),
    b'{"inputs": "x", "parameters": 3}': (422, "parameters must be an object"),
    b'{"inputs": "x", "parameters": {"top_k": "3"}}': (422, "top_k must be a whole number"),
    b'{"inputs": "x", "parameters": {"top_k": true}}': (422, "top_k must be a whole number"),
    b'{"inputs": "x", "parameters": {"top_k": 1.5}}': (422, "top_k must be a whole number"),
    b'{"inputs": "x", "parameters": {"top_k": 1e999}}': (422, "top_k must be a whole number"),
    b'{"inputs": "x", "parameters": {"top_k": 0}}': (422, "parameters.top_k is wrong"),
    b'{"inputs": "x", "parameters": {"topk": 1}}': (422, "parameters.topk is not known"),
    b'{"inputs": "x", %s}' % b", ".join(b'"%d": 1' % n for n in range(100)): (400, "than 100 keys"),
    b'{"inputs": "x", "parameters": {"function_to_apply": "relu"}}': (422, "function_to_apply"),
}


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body[:40].decode("latin-1"))
def test_invalid_bodies_are_refused_with_a_reason(usual: Client, body: bytes) -> None:
    status, words = BAD_BODIES[body]
    message = error_of(usual("POST", "/predict", body=body), status)
    assert words in message
    assert len(message) < 600


def test_parsing_json_runs_without_garbage_collection() -> None:
    from finetext.serving.requests import Refusal, parse

    looked: list[str] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        looked.append(phase)

    large = b"[" + b"[]," * 20_000 + b"[]]"
    gc.collect()
    gc.callbacks.append(note)
    try:
        assert len(parse(large)) == 20_001
    finally:
        gc.callbacks.remove(note)
    assert looked.count("start") < 5  # and not once for every few hundred lists
    for body in (large, b"NaN"):
        with suppress(Refusal):
            parse(body)
        assert gc.isenabled()


def test_validation_stops_at_the_first_wrong_text() -> None:
    from pydantic import ValidationError

    from finetext.serving.schemas import Classification

    with pytest.raises(ValidationError) as refused:
        Classification.model_validate({"inputs": ["x", 1, "a\0b", *range(1_000)]})
    assert refused.value.error_count() == 1


def test_unusual_texts_are_accepted(make_client: Make, toy: Toy) -> None:
    answer = make_client()("POST", "/predict", {"inputs": GOOD_TEXTS})
    assert answer.status == 200
    assert toy.seen == GOOD_TEXTS
    escaped = b'\xef\xbb\xbf{"inputs": "\\ud83d\\ude42"}'
    assert make_client()("POST", "/predict", body=escaped).status == 200
    assert toy.seen[-1] == "🙂"


EMPTY = {
    "/predict": (" \n\t", "inputs is empty; send a text"),
    "/": ([""], "inputs[0] is empty; send a text"),
    "/decide": (["a", "b", "c", "\u3000\x1f"], "inputs[3] is empty; leave it out"),
    "/explain": ("", "inputs is empty; send a text"),
}


@pytest.mark.parametrize("path", EMPTY)
def test_an_empty_text_is_refused_before_the_queue(make_client: Make, toy: Toy, path: str) -> None:
    inputs, message = EMPTY[path]
    client = make_client()
    assert error_of(client("POST", path, {"inputs": inputs}), 422) == message
    assert toy.seen == []
    assert "finetext_texts_total 0.0" in client("GET", "/metrics").body.decode()


def test_rows_of_a_table_may_be_empty(make_client: Make, toy: Toy) -> None:
    answer = make_client()("POST", "/table/decide", {"inputs": ["good", "", " "]})
    assert len(answer.json) == 3
    assert toy.seen == ["good", "", " "]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": ""},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-encoding": "gzip"},
    ],
)
def test_other_content_types_are_415(usual: Client, headers: dict[str, str]) -> None:
    error_of(usual("POST", "/predict", {"inputs": "x"}, headers=headers), 415)


def test_json_content_types_are_accepted(make_client: Make) -> None:
    for kind in ("application/json", "Application/JSON; charset=utf-8", "application/ld+json"):
        answer = make_client()("POST", "/", {"inputs": "x"}, headers={"content-type": kind})
        assert answer.status == 200
