"""The addresses of the app: what they answer, and what they refuse and how."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_toys import Answer, Client, Toy, call, error_of, toy_probability

from finetext.core.arrays import Floats
from finetext.core.decision import Decision
from finetext.core.types import LabelScheme
from finetext.methods.llm import Llm, LlmClassifier

Make = Callable[..., Client]


class Fixed(Toy):
    """Gives every text the same row."""

    row: tuple[float, ...] = (0.2, 0.5, 0.3)

    def predict_proba(self, texts: Any) -> Floats:
        return np.tile(np.array(self.row), (len(texts), 1))


def three(**more: Any) -> Fixed:
    return Fixed(scheme=LabelScheme(("a", "b", "c"), more.pop("multilabel", False)), **more)


@pytest.mark.parametrize("path", ["/", "/predict"])
def test_scores_are_those_of_the_model_best_first(make_client: Make, path: str) -> None:
    answer = make_client()("POST", path, {"inputs": ["abcd", "efgh"]})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    for row, text in zip(answer.json, ["abcd", "efgh"], strict=True):
        own = toy_probability(text)
        assert {one["label"]: one["score"] for one in row} == {"yes": own, "no": 1 - own}
        assert row[0]["score"] >= row[1]["score"]


def test_single_text_returns_a_list_with_one_item(make_client: Make) -> None:
    one, several = make_client().all([("POST", "/", {"inputs": of}, {}) for of in ("abc", ["abc"])])
    assert one.json == several.json
    assert len(one.json) == 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, [0.5, 0.3, 0.2]),
        ("softmax", [0.5, 0.3, 0.2]),
        ("none", np.log([0.5, 0.3, 0.2])),
        ("sigmoid", 1 / (1 + 1 / np.array([0.5, 0.3, 0.2]))),
    ],
)
def test_scores_apply_the_requested_function(
    make_client: Make, function: str | None, expected: Any
) -> None:
    parameters = {"function_to_apply": function}
    [row] = make_client(three())("POST", "/", {"inputs": "x", "parameters": parameters}).json
    assert [one["label"] for one in row] == ["b", "c", "a"]
    assert [one["score"] for one in row] == pytest.approx(expected, abs=1e-12)


def test_multilabel_models_apply_the_sigmoid(make_client: Make) -> None:
    client = make_client(three(multilabel=True))
    asked = [{"inputs": "x", "parameters": {"function_to_apply": of}} for of in (None, "sigmoid")]
    usual, same = client.all([("POST", "/", value, {}) for value in asked])
    assert usual.json == same.json
    assert [one["score"] for one in usual.json[0]] == [0.5, 0.3, 0.2]
    softmax = {"inputs": "x", "parameters": {"function_to_apply": "softmax"}}
    scores = [one["score"] for one in client("POST", "/", softmax).json[0]]
    odds = np.array([0.5 / 0.5, 0.3 / 0.7, 0.2 / 0.8])
    assert scores == pytest.approx(odds / odds.sum(), abs=1e-12)


def test_infinite_logits_are_clipped(make_client: Make) -> None:
    class Sure(Fixed):
        row = (0.0, 1.0, 0.0)

    parameters = {"function_to_apply": "none"}
    client = make_client(Sure(scheme=LabelScheme(("a", "b", "c"))))
    [row] = client("POST", "/", {"inputs": "x", "parameters": parameters}).json
    assert [one["score"] for one in row] == [0, -745, -745]


@pytest.mark.parametrize(
    ("top", "count"), [(1, 1), (2, 2), (2.0, 2), (3, 3), (10**30, 3), (None, 3)]
)
def test_top_k_limits_the_labels(make_client: Make, top: float | None, count: int) -> None:
    asked = {"inputs": "x", "parameters": {"top_k": top}}
    [row] = make_client(three())("POST", "/", asked).json
    assert [one["label"] for one in row] == ["b", "c", "a"][:count]


def test_concurrent_requests_get_their_own_answers_from_one_thread(
    make_client: Make, toy: Toy
) -> None:
    slow = replace(toy, seconds=0.002)
    client = make_client(slow, batch_texts=7)
    texts = [[f"{place} {i}" for i in range(place % 4 + 1)] for place in range(120)]
    answers = client.all([("POST", "/predict", {"inputs": of}, {}) for of in texts])
    for of, answer in zip(texts, answers, strict=True):
        for text, row in zip(of, answer.json, strict=True):
            assert {"label": "yes", "score": toy_probability(text)} in row
    assert len(slow.threads) == 1
    assert sorted(slow.seen) == sorted(text for of in texts for text in of)
    assert len(slow.batches) < len(texts)


def test_decisions_obey_thresholds_abstention_and_sets(make_client: Make) -> None:
    decision = Decision(thresholds=(0.1, 0.9, 0.9), least=(0.3, 0.3, 0.3), set_from=0.25)
    [told] = make_client(three(decision=decision))("POST", "/decide", {"inputs": "x"}).json
    assert told == {
        "prediction": None,
        "probability": 0.2,
        "set": ["b", "c"],
        "probabilities": {"b": 0.5, "c": 0.3, "a": 0.2},
    }
    [told] = make_client(three())("POST", "/decide", {"inputs": ["x"]}).json
    assert (told["prediction"], told["probability"], told["set"]) == ("b", 0.5, None)
    decision = Decision(thresholds=(0.1, 0.9, 0.3))
    several = three(decision=decision, multilabel=True)
    [told] = make_client(several)("POST", "/decide", {"inputs": "x"}).json
    assert (told["prediction"], told["probability"]) == (["a", "c"], 0.5)


def test_a_text_of_no_class_is_told_apart(make_client: Make) -> None:
    decision = Decision(in_scope_up_to=1.3, false_alarms=0.05, aim="false alarms 0.05")
    client = make_client(three(decision=decision))
    [told] = client("POST", "/decide", {"inputs": "x"}).json
    assert (told["prediction"], told["out_of_scope"], told["probability"]) == (None, True, 0.5)
    assert client("GET", "/info").json["decision"]["in_scope_up_to"] == 1.3
    wider = three(decision=Decision(in_scope_up_to=1.4))
    [told] = make_client(wider)("POST", "/decide", {"inputs": "x"}).json
    assert (told["prediction"], told["out_of_scope"]) == ("b", False)


def test_label_names_are_escaped_as_json(make_client: Make) -> None:
    names = ('say "no"\\', "line\nbreak", "\u2028ü🙂")
    client = make_client(Fixed(scheme=LabelScheme(names), decision=Decision(set_from=0.1)))
    [row] = client("POST", "/", {"inputs": "x"}).json
    assert [one["label"] for one in row] == [names[1], names[2], names[0]]
    [told] = client("POST", "/decide", {"inputs": "x"}).json
    assert told["prediction"] == names[1]
    assert set(told["set"]) == set(told["probabilities"]) == set(names)


@pytest.mark.parametrize("path", ["/predict", "/decide"])
def test_large_answers_are_written_in_another_thread(
    make_client: Make, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    from finetext.serving import app

    threads: list[int] = []

    def noted(write: Callable[..., str]) -> Callable[..., str]:
        return lambda *given: threads.append(threading.get_ident()) or write(*given)  # type: ignore[func-returns-value]

    monkeypatch.setattr(app, "scored", noted(app.scored))
    monkeypatch.setattr(app, "decisions", noted(app.decisions))
    client = make_client(request_texts=10_000, queue_texts=10_000)
    for texts in (1, 6_000):
        answer = client("POST", path, {"inputs": ["x"] * texts})
        assert (answer.status, len(answer.json)) == (200, texts)
    assert [thread == threading.get_ident() for thread in threads] == [True, False]


def test_head_works_like_get_and_405_lists_the_methods(make_client: Make) -> None:
    client = make_client(token="x")
    for path in ("/", "/health", "/docs", "/page/page.js"):
        assert client("HEAD", path).status == 200
    assert client("HEAD", "/info").status == 401
    client = make_client()
    for path, methods in (
        ("/", "GET, HEAD, POST"), ("/info", "GET, HEAD"), ("/predict", "POST"),
        ("/page/page.js", "GET, HEAD"),
    ):  # fmt: skip
        answer = client("PUT", path)
        error_of(answer, 405)
        assert answer.headers["allow"] == methods


def test_trailing_slashes_are_not_found(make_client: Make) -> None:
    headers = {"host": "elsewhere.example"}
    for method, path in (("POST", "/predict/"), ("GET", "/info/"), ("GET", "/page")):
        answer = make_client()(method, path, headers=headers)
        assert "docs" in error_of(answer, 404)
        assert "location" not in answer.headers


def test_explanations_say_which_words_mattered(make_client: Make) -> None:
    class Counting(Toy):
        def predict_proba(self, texts: Any) -> Floats:
            good = np.array([0.9 if "good" in text else 0.2 for text in texts])
            return np.stack([1 - good, good], axis=1)

    client = make_client(Counting())
    told = client("POST", "/explain", {"inputs": "a good film"}).json
    assert (told["label"], told["way"], "text" in told) == ("yes", "occlusion", False)
    strongest = max(told["words"], key=lambda word: word["attribution"])
    assert (strongest["text"], strongest["start"], strongest["end"]) == ("good", 2, 6)
    other = client("POST", "/explain", {"inputs": "a good film", "label": "no"}).json
    assert (other["label"], other["probability"]) == ("no", pytest.approx(0.1))
    message = error_of(client("POST", "/explain", {"inputs": "x", "label": "maybe"}), 422)
    assert "'maybe'" in message
    assert "yes" in message


def test_texts_of_a_model_that_is_paid_are_not_explained(
    make_client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path))
    asked = list[Any]()
    monkeypatch.setattr(LlmClassifier, "predict_proba", lambda self, texts: asked.append(texts))
    method = Llm(url="http://127.0.0.1:1/v1", model="toy", examples=0)
    client = make_client(method.classifier(["bad", "good"]))
    assert client("GET", "/info").json["way"] == ""
    refused = error_of(client("POST", "/explain", {"inputs": "a good film"}), 422)
    assert "http://127.0.0.1:1/v1 would be asked once for each word" in refused
    assert not asked


def test_too_long_texts_are_not_explained(make_client: Make) -> None:
    client = make_client(explained_characters=10)
    assert client("POST", "/explain", {"inputs": "x" * 10}).status == 200
    assert "11 characters" in error_of(client("POST", "/explain", {"inputs": "x" * 11}), 422)
    assert error_of(client("POST", "/explain", {"inputs": ["x"]}), 422) == "inputs must be a text"


def test_info_health_and_metrics(make_client: Make) -> None:
    client = make_client(request_texts=7)
    told, ready, health, live, answer = client.all(
        [
            ("GET", path, None, {})
            for path in ("/info", "/ready", "/health", "/health/live", "/predict")
        ]
    )
    assert told.json["labels"] == ["no", "yes"]
    assert told.json["positive"] == "yes"
    assert (told.json["kind"], told.json["multilabel"]) == ("toy", False)
    assert told.json["limits"]["request_texts"] == 7
    assert ready.json == {"status": "ready"}
    assert health.json == live.json == {"status": "live"}
    assert "Allow" in error_of(answer, 405)
    client("POST", "/predict", {"inputs": ["one", "two"]})
    client("POST", "/predict", {"inputs": []})
    client("GET", "/what\nnow", None)
    text = client("GET", "/metrics").body.decode()
    for line in (
        'finetext_requests_total{path="/predict",status="200"} 1.0',
        'finetext_requests_total{path="/predict",status="422"} 1.0',
        'finetext_requests_total{path="/predict",status="405"} 1.0',
        'finetext_requests_total{path="other",status="404"} 1.0',
        "finetext_texts_total 2.0",
        'finetext_batch_texts_bucket{le="2.0"} 1.0',
        "finetext_queue_texts 0.0",
        "finetext_requests_active 1.0",
    ):
        assert line in text.splitlines()


def test_ready_is_503_while_the_model_is_stuck(make_client: Make, toy: Toy) -> None:
    """It may still answer, so no restart is needed yet."""
    client = make_client(request_seconds=0.05)

    async def stuck() -> list[Answer]:
        async with client.app.router.lifespan_context(client.app):
            toy.free.clear()
            asked = json.dumps({"inputs": "x"}).encode()
            first = await call(client.app, "POST", "/predict", asked)
            await asyncio.sleep(0.1)
            told = [await call(client.app, "GET", path) for path in ("/ready", "/health")]
            toy.free.set()
            return [first, *told]

    first, ready, health = asyncio.run(stuck())
    assert "no answer in 0.05 s" in error_of(first, 504)
    assert error_of(ready, 503)
    assert health.status == 200


def test_ready_is_503_while_the_queue_is_full(make_client: Make, toy: Toy) -> None:
    client = make_client(queue_texts=2, request_texts=2)
    body = json.dumps({"inputs": ["x", "y"]}).encode()

    async def crowd() -> list[Answer]:
        async with client.app.router.lifespan_context(client.app):
            toy.free.clear()
            asked = [asyncio.create_task(call(client.app, "POST", "/decide", body))]
            while not toy.batches:
                await asyncio.sleep(0.001)
            asked.append(asyncio.create_task(call(client.app, "POST", "/decide", body)))
            await asyncio.sleep(0.05)
            paths = ("/ready", "/health", "/metrics")
            told = [await call(client.app, "GET", path) for path in paths]
            toy.free.set()
            assert [(await answer).status for answer in asked] == [200, 200]
            return [*told, await call(client.app, "GET", "/ready")]

    full, health, metrics, free = asyncio.run(crowd())
    assert "as many texts wait as may" in error_of(full, 503)
    assert (health.status, free.status) == (200, 200)
    assert "finetext_queue_texts 2.0" in metrics.body.decode().splitlines()


def test_the_page_and_the_document_load_nothing_from_elsewhere(make_client: Make) -> None:
    answer, docs, document = make_client(token="x").all(
        [("GET", path, None, {}) for path in ("/", "/docs", "/openapi.json")]
    )
    for page in (answer, docs):
        assert page.status == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert b"http://" not in page.body.replace(b"http://www.w3.org", b"")
        assert b"https://" not in page.body
    assert b"POST /decide" in docs.body
    assert document.json["openapi"].startswith("3.1")


PAIRED = LabelScheme(("no", "yes"), text_columns=("title", "body"))


@pytest.mark.parametrize(
    "given",
    [
        {"text": "Rain", "text_pair": "It rained"},
        {"title": "Rain", "body": "It rained"},
        "Rain\n\x1fIt rained",
    ],
)
def test_texts_of_two_columns_come_by_name(make_client: Make, given: Any) -> None:
    toy = Toy(scheme=PAIRED)
    client = make_client(toy)
    one = client("POST", "/predict", {"inputs": given})
    several = client("POST", "/decide", {"inputs": [given, given]})
    assert (one.status, several.status, len(several.json)) == (200, 200, 2)
    assert set(toy.seen) == {"Rain\n\x1fIt rained"}
    shape = client("GET", "/openapi.json").json["components"]["schemas"]["Decision"]
    assert shape["properties"]["inputs"]["oneOf"][1]["required"] == ["title", "body"]
    info = client("GET", "/info").json
    assert (info["text_columns"], info["text_column"]) == (["title", "body"], None)
    explained = client("POST", "/explain", {"inputs": given}).json
    assert [word["text"] for word in explained["words"]] == ["Rain", "It", "rained"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("Rain", "inputs is 'Rain', but the model reads 2 texts (title, body)"),
        ({"title": "Rain"}, "inputs has the keys 'title', but the model reads 2 texts"),
        ({"title": "Rain", "body": 3}, "inputs.body must be a text"),
        ([{"title": "Rain", "body": "b"}, "Sun"], "inputs[1] is 'Sun', but the model reads 2"),
        (["Rain", 3], "inputs[1] must be a text"),
        ([{"title": "", "body": "b"}, {"title": " ", "body": ""}], "inputs[1] is empty; leave it"),
    ],
)
def test_other_than_two_texts_are_refused(make_client: Make, given: Any, words: str) -> None:
    answer = make_client(Toy(scheme=PAIRED))("POST", "/predict", {"inputs": given})
    assert words in error_of(answer, 422)


def test_a_model_of_one_column_takes_a_text_by_name(make_client: Make) -> None:
    toy = Toy()
    assert make_client(toy)("POST", "/", {"inputs": {"text": "Rain"}}).status == 200
    assert toy.seen == ["Rain"]


def test_the_page_gets_the_column_that_the_model_was_trained_on(make_client: Make) -> None:
    client = make_client(Toy(scheme=LabelScheme(("no", "yes"), text_column="body")))
    assert client("GET", "/info").json["text_column"] == "body"
