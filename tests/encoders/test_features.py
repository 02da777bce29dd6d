"""Features: the right states of the right layer, with labels, and as a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2Model

import finetext
from finetext.core.contracts import FitContext, Listener, ProgressEvent
from finetext.core.errors import DataError, ModelError, RecipeError
from finetext.core.types import Dataset, Finding, Splits
from finetext.encoders import states
from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmModel
from finetext.encoders.features import FeatureMatrix, feature_matrix, features
from finetext.encoders.load import load_encoder, load_tokenizer
from finetext.encoders.states import FrozenEncoder
from finetext.encoders.word_tokenizer import train_word_tokenizer
from finetext.methods.probe import Probe
from finetext.training.checkpoint import fingerprint

TEXTS = ["fresh bread", "", "the team won the match in the final game", "bread zażółć 🤗"]


@pytest.fixture(scope="module")
def tiny(tiny_encoder: Path) -> str:
    return str(tiny_encoder)


@pytest.fixture(scope="module")
def left_to_right(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> str:
    """The folder of a GPT-2 with the tokens of the tiny BERT."""
    tokenizer = load_tokenizer(tiny)
    size = len(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2Model(GPT2Config(
            vocab_size=size, n_embd=16, n_layer=2, n_head=2, n_positions=64,
        ))  # fmt: skip
    folder = tmp_path_factory.mktemp("gpt2")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory, topics: Dataset) -> str:
    """The folder of an AWD-LSTM, whose inner layers are wider than the others."""
    tokenizer = train_word_tokenizer(topics.texts, minimum_frequency=1)
    config = AwdLstmConfig(vocab_size=len(tokenizer), embedding_size=8, inner_size=12)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AwdLstmModel(config)
    folder = tmp_path_factory.mktemp("awd-lstm")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def hidden_states(encoder: str, text: str) -> list[np.ndarray[Any, Any]]:
    """The (tokens, width) states of every layer for one text alone."""
    tokenizer = load_tokenizer(encoder)
    model = load_encoder(encoder, tokenizer)
    batch = tokenizer(text, return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        found = model(**inputs, output_hidden_states=True).hidden_states
    return [layer[0].numpy() for layer in found]


@pytest.mark.parametrize("kind", ["tiny", "left_to_right", "recurrent"])
def test_every_pooling_is_that_of_the_states(kind: str, request: pytest.FixtureRequest) -> None:
    encoder = request.getfixturevalue(kind)
    token = 0 if kind == "tiny" else -1
    poolings: dict[str | int, Callable[[list[np.ndarray[Any, Any]]], np.ndarray[Any, Any]]] = {
        "mean": lambda layers: layers[-1].mean(0),
        "first": lambda layers: layers[-1][token],
        "max": lambda layers: layers[-1].max(0),
        "concat": lambda layers: np.concatenate(
            [layers[-1][token], layers[-1].max(0), layers[-1].mean(0)]
        ),
        0: lambda layers: layers[0].mean(0),
        1: lambda layers: layers[1].mean(0),
        -2: lambda layers: layers[-2].mean(0),
        -1: lambda layers: layers[-1].mean(0),
    }
    layers = [hidden_states(encoder, text) for text in TEXTS]
    for pooling, pooled in poolings.items():
        found = features(TEXTS, encoder, pooling, cache=False)  # type: ignore[arg-type]
        assert found.dtype == np.float32
        wanted = np.stack(list(map(pooled, layers)))
        np.testing.assert_allclose(found, wanted, atol=1e-5, err_msg=str(pooling))
        none = features([], encoder, pooling, cache=False)  # type: ignore[arg-type]
        assert none.shape == (0, wanted.shape[1])


def test_the_mean_is_the_state_of_the_probe(
    tiny: str, topics: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Probe(encoder=tiny).fit(topics, topics, FitContext(cache=tmp_path))
    monkeypatch.setattr(FrozenEncoder, "_compute", None)  # both come from the same file
    found = features(topics, tiny, cache=tmp_path)
    np.testing.assert_array_equal(
        found, probe.encoder.states(topics.texts, FitContext(cache=tmp_path))
    )
    np.testing.assert_array_equal(features(topics, tiny, -1, cache=tmp_path), found)


def test_the_key_of_mean_states_is_that_of_earlier_versions(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    frozen = FrozenEncoder(load_encoder(tiny, tokenizer), tokenizer, 64, torch.device("cpu"))
    read = frozen.read(TEXTS)
    table = read.table
    described = f"{fingerprint(frozen.model)} mean {table.padding} torch.float32"
    digest = hashlib.sha256(described.encode() + table.starts.tobytes() + table.ids.tobytes())
    assert frozen._key(read) == digest.hexdigest()
    others = {replace(frozen, pooling=of)._key(read) for of in ("first", "max", "concat", 0, 1)}
    assert len(others | {frozen._key(read)}) == 6
    assert replace(frozen, pooling=2)._key(read) == frozen._key(read)


def test_the_cache_is_where_it_is_asked_for(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "usual"))
    for cache, folder in ((False, None), (True, "usual"), (tmp_path / "own", "own")):
        features(TEXTS, tiny, cache=cache)
        assert (folder is None) == (not any(tmp_path.iterdir()))
        assert folder is None or list((tmp_path / folder / "states").iterdir())


def test_long_texts_are_truncated_with_a_warning(tiny: str) -> None:
    found: list[Finding] = []
    events: list[ProgressEvent] = []
    listener = Listener(finding=found.append, progress=events.append)
    exact, long = " ".join(["bread"] * 6), " ".join(["bread"] * 7)
    some = features([exact, long], tiny, max_length=8, cache=False, listener=listener)
    np.testing.assert_allclose(some[0], some[1], atol=1e-6)
    assert [finding.code for finding in found] == ["cut-texts"]
    assert "1 of 2 texts" in found[0].message
    assert events[-1].stage.startswith("features")
    features([exact], tiny, max_length=8, cache=False, listener=listener)
    assert len(found) == 1


@pytest.mark.parametrize("pooling", ["mean", "first", "max", "concat", 1])
def test_whole_texts_are_read_in_windows(
    tiny: str, pooling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "WINDOW", 12)
    words, found = ["bread", "salt", "team", "match", "bank"] * 5, list[Finding]()
    text, parts = " ".join(words), [" ".join(part) for part in (words[:8], words[8:16], words[16:])]
    short = "fresh bread"
    listener = Listener(finding=found.append)
    whole, same = features([text, short], tiny, pooling, cache=False, listener=listener)
    *alone, wanted = features([*parts, short], tiny, pooling, max_length=64, cache=False)
    np.testing.assert_allclose(same, wanted, atol=1e-6)
    expected = np.average(alone, axis=0, weights=[10, 10, 11])
    width = len(expected) // (3 if pooling == "concat" else 1)
    if pooling in ("max", "concat"):
        at = slice(width, 2 * width) if pooling == "concat" else slice(None)
        expected[at] = np.max(alone, axis=0)[at]
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    assert not found


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pooling": "cls"}, RecipeError, "use mean, first, max, concat or the number of a layer"),
        ({"pooling": True}, RecipeError, "pooling is True"),
        ({"pooling": 3}, RecipeError, "layers 0 .* to 2"),
        ({"pooling": -4}, RecipeError, "-1 to -3"),
        ({"max_length": 65}, RecipeError, "from 4 to 64"),
        ({"precision": "fp64"}, RecipeError, "not a precision"),
        ({"device": "abacus"}, RecipeError, "not a device"),
        ({"encoder": "random:tiny"}, ModelError, "random weights"),
        ({"texts": "fresh bread"}, DataError, "must be a list"),
        ({"texts": ["bread", None]}, DataError, "text 1"),
    ],
)
def test_what_is_refused(
    tiny: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        features(**{"texts": TEXTS, "encoder": tiny, "cache": False} | options)


def test_fp16_without_a_gpu_needs_the_name_of_the_cpu(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    options: Any = {"precision": "fp16", "cache": False}
    with pytest.raises(RecipeError, match="this machine has no GPU"):
        features(TEXTS[:1], tiny, **options)
    assert np.isfinite(features(TEXTS[:1], tiny, device="cpu", **options)).all()


def test_a_data_set_becomes_a_matrix(tiny: str, topics: Dataset) -> None:
    matrix = feature_matrix(topics, tiny, cache=False)
    assert matrix.y is not None
    np.testing.assert_array_equal(matrix.X, features(topics.texts, tiny, cache=False))
    assert [matrix.label_names[label] for label in matrix.y] == topics.labels
    assert matrix.ids == tuple(topics.ids)
    assert repr(matrix).startswith("<FeatureMatrix: 27 rows x 32 features, 3 labels")
    with pytest.raises(DataError, match=r"finetext\.split"):
        matrix.part("train")


def test_splits_can_be_taken_apart(tiny: str, topics: Dataset, mixed_topics: Dataset) -> None:
    train, rest = topics.select(range(20)), topics.select(range(20, 27))
    matrix = feature_matrix(Splits(train, rest, rest.select([])), tiny, cache=False)
    some, labels = matrix.part("train")
    assert labels is not None
    assert len(matrix) == 27
    np.testing.assert_array_equal(labels, train.targets)
    np.testing.assert_allclose(some, features(train, tiny, cache=False), atol=1e-5)
    with pytest.raises(DataError, match="no rows in the split 'test'; there are: train, valid"):
        matrix.part("test")
    split = ["train", "test", "train"] * 9
    table = mixed_topics.table.add_column("split", split)  # type: ignore[call-arg]
    several = feature_matrix(replace(mixed_topics, table=table), tiny, cache=False)
    assert several.split == tuple(split)
    assert several.part("test")[1].shape == (9, 3)  # type: ignore[union-attr]


def test_scikit_learn_takes_the_matrix(tiny: str, topics: Dataset) -> None:
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    splits = Splits(topics, topics, topics.select([]))
    matrix = finetext.feature_matrix(splits, tiny, cache=False)
    (X_train, y_train), (X_valid, y_valid) = map(matrix.part, ("train", "validation"))
    learned = LogisticRegression(C=100, max_iter=3000).fit(X_train, y_train)
    dummy = DummyClassifier(strategy="most_frequent").fit(X_train, y_train)
    assert learned.score(X_valid, y_valid) > dummy.score(X_valid, y_valid)


def test_unlabeled_text_has_no_labels(tiny: str, tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"id": ["a", "b"], "text": TEXTS[:2]})
    matrix = feature_matrix(Dataset(rows), tiny, cache=False)
    assert matrix.y is None
    assert matrix.label_names == ()
    matrix.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert "y" not in file
        assert file["label_names"].shape == (0,)


def small(**changes: Any) -> FeatureMatrix:
    matrix = FeatureMatrix(
        X=np.eye(2, dtype=np.float32), y=np.array([1, 0]), label_names=("né", "zażółć 🤗"),
        ids=("a", "\ud800"), split=("train", "test"), encoder="minilm", pooling=-2, max_length=9,
    )  # fmt: skip
    return replace(matrix, **changes)


def test_a_file_is_read_without_pickle(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    small().save(path)
    small().save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["x.npz"]
    with np.load(path, allow_pickle=False) as file:
        assert file["X"].dtype == np.float32
        assert file["y"].tolist() == [1, 0]
        assert file["label_names"].tolist() == ["né", "zażółć 🤗"]
        assert file["ids"].tolist() == ["a", "\ud800"]
        assert file["split"].tolist() == ["train", "test"]
        assert (str(file["encoder"]), int(file["pooling"])) == ("minilm", -2)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"written as \.npz"):
        small().save(tmp_path / "x.npy")
    with pytest.raises(DataError, match="cannot be written"):
        small().save(tmp_path / "no" / "x.npz")
    assert not list(tmp_path.iterdir())
