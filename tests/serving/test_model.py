"""What the server keeps of the answers of its model."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_toys import Answer, Client, Toy, call, error_of, toy_probability

from finetext.core.settings import ServeSettings
from finetext.methods.transformer import TransformerClassifier
from finetext.runs.load import load
from finetext.serving.batching import Ask
from finetext.serving.model import KnownRows, ServedModel

Make = Callable[..., Client]
ASKED = {"inputs": "the team won the match"}


def test_a_text_that_comes_again_is_not_predicted_again(make_client: Make, toy: Toy) -> None:
    client = make_client()
    own = {text: toy_probability(text) for text in ("one", "two", "three", "")}
    for texts in (["one", "two", "one", ""], ["three", "two", ""], ["one"]):
        answer = client("POST", "/table/decide", {"inputs": texts})
        found = [row["probabilities"]["yes"] for row in answer.json]
        assert found == [own[text] for text in texts]
    assert toy.seen == ["one", "two", "", "three"]


def test_repeated_texts_are_counted(make_client: Make) -> None:
    client = make_client()
    for _ in range(2):
        client("POST", "/", {"inputs": ["one", "one", "two"]})
    metrics = client("GET", "/metrics").body.decode()
    assert "finetext_texts_total 2.0" in metrics
    assert "finetext_texts_repeated_total 4.0" in metrics


def test_logits_are_no_probabilities(make_client: Make) -> None:
    raw = {"inputs": "one", "parameters": {"function_to_apply": "none"}}
    client, usual = make_client(), {"inputs": "one"}
    first, logits, again = (client("POST", "/", of).json for of in (usual, raw, usual))
    assert first == again
    assert logits[0][0]["score"] != first[0][0]["score"]


def test_nothing_is_kept_without_memory_for_it(make_client: Make, toy: Toy) -> None:
    client = make_client(known_bytes=0)
    one, other = (client("POST", "/", {"inputs": ["one", "one"]}).json for _ in range(2))
    assert one == other
    assert toy.seen == ["one", "one"]


def test_a_row_without_a_number_is_asked_for_again(make_client: Make, toy: Toy) -> None:
    client, broken = make_client(), {"inputs": "a text without a number"}
    assert [client("POST", "/", broken).status for _ in range(2)] == [500, 500]
    assert toy.seen.count("a text without a number") == 2


def test_what_was_not_asked_for_the_longest_is_forgotten() -> None:
    known = KnownRows(3 * 416, labels=2)
    rows = {Ask(name): np.array([number, 1.0]) for number, name in enumerate("abcd")}
    for ask in list(rows)[:3]:
        known.add(ask, rows[ask])
    assert known.get(Ask("a")) is not None
    known.add(Ask("d"), rows[Ask("d")])
    assert [known.get(ask) is not None for ask in rows] == [True, False, True, True]
    found = known.get(Ask("c"))
    assert found is not None
    assert found.tolist() == [2.0, 1.0]


def test_a_kept_row_does_not_keep_its_batch() -> None:
    known, batch = KnownRows(ServeSettings().known_bytes, labels=2), np.ones((64, 2))
    known.add(Ask("a"), batch[0])
    found = known.get(Ask("a"))
    assert found is not None
    assert found.base is None
    batch[0] = 0
    assert found.tolist() == [1.0, 1.0]


def test_a_server_states_engine_and_attribution_method_without_torch(
    make_client: Make, tuned: Path
) -> None:
    pytest.importorskip("onnxruntime")
    classifier = load(tuned, "cpu", engine="latency")
    client = make_client(classifier)
    info = client("GET", "/info").json
    assert info["engine"] == "ONNX Runtime in fp32"
    assert "original" not in vars(classifier)
    assert info["way"] == ServedModel(load(tuned, "cpu")).way
    torch = make_client(load(tuned, "cpu"))("POST", "/decide", ASKED).json
    onnx = client("POST", "/decide", ASKED).json
    assert onnx[0]["probabilities"] == pytest.approx(torch[0]["probabilities"], abs=1e-6)
    explained = client("POST", "/explain", ASKED).json
    assert explained["way"] == info["way"]


def test_predictions_do_not_wait_until_torch_is_loaded_to_explain(
    make_client: Make, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    client = make_client(load(tuned, "cpu", engine="latency"))
    begun, may_end, loads = threading.Event(), threading.Event(), list[Path]()
    usual = TransformerClassifier.load_weights

    def slow(folder: Path, *more: Any) -> Any:
        loads.append(folder)
        begun.set()
        assert may_end.wait(20)
        return usual(folder, *more)

    monkeypatch.setattr(TransformerClassifier, "load_weights", slow)
    ask = partial(call, client.app, "POST", body=json.dumps(ASKED).encode())

    async def together() -> tuple[Answer, list[Answer]]:
        async with client.app.router.lifespan_context(client.app):
            explained = [asyncio.create_task(ask("/explain")) for _ in range(2)]
            try:
                assert await asyncio.to_thread(begun.wait, 20)
                predicted = await asyncio.wait_for(ask("/predict"), 10)
            finally:
                may_end.set()
            return predicted, await asyncio.gather(*explained)

    predicted, explained = asyncio.run(together())
    assert [of.status for of in (predicted, *explained)] == [200, 200, 200]
    assert len(loads) == 1


def test_what_explains_is_loaded_again_after_an_error(
    make_client: Make, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    client = make_client(load(tuned, "cpu", engine="latency"))
    with monkeypatch.context() as patched:
        patched.setattr(TransformerClassifier, "load_weights", None)
        error_of(client("POST", "/explain", ASKED), 500)
    assert client("POST", "/decide", ASKED).status == 200
    assert client("POST", "/explain", ASKED).status == 200
