"""The method `static`: token vectors and tokens together, and texts at the edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.contracts import FitContext
from finetext.core.errors import ModelError, RecipeError, UnknownNameError
from finetext.core.types import Dataset
from finetext.encoders.word_tokenizer import WordTokenizer
from finetext.methods.static import Static, StaticClassifier, TokenWeights
from finetext.runs.recipe import Recipe

CONTEXT = FitContext(device="cpu")


@pytest.fixture(scope="module")
def method(tiny_encoder: Path) -> Static:
    return Static(encoder=str(tiny_encoder), dimensions=16, inverse_regularisation=16.0)


@pytest.fixture(scope="module")
def fitted(method: Static, topics: Dataset) -> StaticClassifier:
    return method.fit(topics, topics.select([]), CONTEXT)


def test_it_learns_the_topics(fitted: StaticClassifier, topics: Dataset) -> None:
    assert fitted.predict(topics.texts) == topics.labels
    assert fitted.provenance()["dimensions"] == 16
    assert "made_from" not in fitted.provenance()


def test_vectors_and_tokens_add_up_to_the_logits(fitted: StaticClassifier, topics: Dataset) -> None:
    texts = [*topics.texts, "", "bread bread and an unseen zebra"]
    assert fitted.tokens is not None
    states = (fitted.embeddings.states(texts) - fitted.mean) / fitted.scale
    wanted = fitted.head.logits(states)
    for row, text in enumerate(texts):
        ids = fitted.embeddings.tokenizer.encode(text, add_special_tokens=False).ids
        features = np.zeros(len(fitted.tokens.tokens))
        for token in set(ids) & set(fitted.tokens.tokens.tolist()):
            place = fitted.tokens.tokens.tolist().index(token)
            features[place] = (1 + np.log(ids.count(token))) * fitted.tokens.frequencies[place]
        length = float(np.linalg.norm(features))
        wanted[row] += features @ fitted.tokens.weights / max(length, 1e-12)
    np.testing.assert_allclose(fitted.logits(texts), wanted, atol=1e-9)


def test_texts_without_a_known_token_get_the_same_answer(fitted: StaticClassifier) -> None:
    likely = fitted.predict_proba(["", " \n", "面包", "[UNK] [PAD]"])
    np.testing.assert_allclose(likely, likely[[0]].repeat(4, axis=0))
    assert likely.max() < 0.9


def test_a_long_text_is_read_to_its_end(fitted: StaticClassifier) -> None:
    begins_with_sport = "the team won the match " + "soup with bread and salt " * 20_000
    assert fitted.predict([begins_with_sport]) == ["food"]


def test_many_texts_are_predicted_as_one_by_one(
    fitted: StaticClassifier, topics: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted.predict_proba(topics.texts)
    monkeypatch.setattr("finetext.methods.static._TEXTS", 4)
    monkeypatch.setattr("finetext.encoders.static_embeddings._TEXTS", 3)
    np.testing.assert_allclose(fitted.predict_proba(topics.texts), whole, atol=1e-12)


def test_a_word_that_no_row_has_counts_by_its_vector(
    fitted: StaticClassifier, topics: Dataset
) -> None:
    assert fitted.tokens is not None
    vectors, vocabulary = fitted.embeddings.vectors.copy(), fitted.embeddings.tokenizer.get_vocab()
    assert vocabulary["z"] not in fitted.tokens.tokens
    vectors[vocabulary["z"]] = vectors[vocabulary["bread"]]
    taught = replace(fitted, embeddings=replace(fitted.embeddings, vectors=vectors))
    food = fitted.scheme.names.index("food")
    assert taught.predict_proba(["z"])[0, food] > fitted.predict_proba([""])[0, food]


def test_a_label_without_rows_is_impossible(
    method: Static, topics: Dataset, make_dataset: Callable[..., Dataset]
) -> None:
    rows = [row for row, label in enumerate(topics.labels) if label != "money"]
    some = topics.select(rows)
    likely = method.fit(some, some, CONTEXT).predict_proba(topics.texts)
    assert likely[:, topics.scheme.names.index("money")].max() < 1e-9  # type: ignore[union-attr]
    lone = make_dataset(["bread", "salt", "soup"], ["food"] * 3, ["food", "money"])
    likely = method.fit(lone, lone, CONTEXT).predict_proba(["bread", "bank"])
    np.testing.assert_allclose(likely, [[1, 0], [1, 0]], atol=1e-9)


def test_labels_that_all_or_no_rows_have(
    method: Static, make_dataset: Callable[..., Dataset]
) -> None:
    texts = ["fresh bread", "the bank", "the team", "a cake"] * 3
    labels = [["a", "food"], ["a"], ["a"], ["a", "food"]] * 3
    rows = make_dataset(texts, labels, ["a", "food", "never"])
    likely = method.fit(rows, rows, CONTEXT).predict_proba(texts[:2])
    np.testing.assert_allclose(likely[:, [0, 2]], [[1, 0], [1, 0]], atol=1e-9)
    assert likely[0, 1] > 0.5 > likely[1, 1]


def test_two_rows_are_enough(method: Static, make_dataset: Callable[..., Dataset]) -> None:
    rows = make_dataset(["fresh bread", "the bank"], ["food", "money"])
    fitted = replace(method, inverse_regularisation=None).fit(rows, rows, CONTEXT)
    assert fitted.predict(rows.texts) == ["food", "money"]


def test_vectors_are_made_once(
    method: Static, topics: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = replace(CONTEXT, cache=tmp_path)
    first = method.fit(topics, topics, context)
    (file,) = (tmp_path / "static").iterdir()
    monkeypatch.setattr("numpy.linalg.eigh", None)
    again = method.fit(topics, topics, context)
    np.testing.assert_array_equal(
        again.predict_proba(topics.texts), first.predict_proba(topics.texts)
    )
    file.unlink()
    with pytest.raises(TypeError):
        method.fit(topics, topics, context)


def test_what_cannot_be_used_is_refused_before_training(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="dimensions"):
        Recipe.from_values({"methods": {"static": {"dimensions": 0}}})
    with pytest.raises(RecipeError, match="random weights"):
        Static(encoder="random:tiny").check()
    with pytest.raises(UnknownNameError, match="distilbert"):
        Static(encoder="distilbrt").check()
    Static(encoder=str(tiny_encoder)).check()


def test_a_tokenizer_written_in_python_is_refused(
    method: Static, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = WordTokenizer.of_words(["xxunk", "xxpad", "xxbos", "film"])
    monkeypatch.setattr("finetext.methods.static.load_tokenizer", lambda encoder: words)
    with pytest.raises(ModelError, match=r"rules written in Python.*leave static"):
        method.check()


def test_a_model_folder_is_small_and_says_what_it_is(
    fitted: StaticClassifier, topics: Dataset, tmp_path: Path
) -> None:
    loaded: Any = finetext.load(fitted.save(tmp_path / "m"))
    np.testing.assert_array_equal(loaded.logits(topics.texts), fitted.logits(topics.texts))
    assert loaded.embeddings.vectors.dtype == np.float16
    with pytest.raises(ModelError, match="needs no export"):
        finetext.export(tmp_path / "m", "onnx", tmp_path / "onnx")


@pytest.mark.parametrize(
    "change",
    [
        lambda of: {"tokens": of.tokens[::-1]},
        lambda of: {"tokens": of.tokens + 10**6},
        lambda of: {"frequencies": of.frequencies[1:]},
        lambda of: {"weights": of.weights * np.nan},
        lambda of: {"weights": of.weights[:, :2]},
    ],
)
def test_token_weights_that_do_not_fit_are_damage(
    fitted: StaticClassifier, tmp_path: Path, change: Callable[[TokenWeights], dict[str, Any]]
) -> None:
    assert fitted.tokens is not None
    changed = replace(fitted.tokens, **change(fitted.tokens))
    changed.save(tmp_path / "tokens.safetensors")
    with pytest.raises(ValueError, match=r"tokens\.safetensors"):
        TokenWeights.load(tmp_path / "tokens.safetensors", 3, len(fitted.embeddings.vectors))
