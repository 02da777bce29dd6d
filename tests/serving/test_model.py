"""What the server keeps of the answers of its model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from serving_toys import Client, Toy, toy_probability

from finetext.core.settings import ServeSettings
from finetext.runs.load import load
from finetext.serving.batching import Ask
from finetext.serving.model import KnownRows, ServedModel

Make = Callable[..., Client]


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
    asked = {"inputs": "the team won the match"}
    torch = make_client(load(tuned, "cpu"))("POST", "/decide", asked).json
    onnx = client("POST", "/decide", asked).json
    assert onnx[0]["probabilities"] == pytest.approx(torch[0]["probabilities"], abs=1e-6)
    explained = client("POST", "/explain", asked).json
    assert explained["way"] == info["way"]
