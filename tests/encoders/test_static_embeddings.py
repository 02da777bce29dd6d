"""Token vectors: taken from the inputs of an encoder or distilled, and averaged over texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.contracts import ProgressEvent
from finetext.encoders.load import load_encoder, load_tokenizer
from finetext.encoders.static_embeddings import (
    NotDistillableError,
    StaticEmbeddings,
    distilled,
    from_inputs,
)

TEXTS = [
    "fresh bread",
    "",
    "the the bank [UNK] zq",
    "soup with bread " * 500,
    "bread \ud83c",
    "面包",
]


@pytest.fixture(scope="module")
def loaded(tiny_encoder: Path) -> tuple[Any, Any]:
    tokenizer = load_tokenizer(str(tiny_encoder))
    return load_encoder(str(tiny_encoder), tokenizer), tokenizer


def mean_of(embeddings: StaticEmbeddings, text: str) -> Any:
    """The mean vector of a text, token by token."""
    text = text.encode("utf-8", "replace").decode()
    ids = embeddings.tokenizer.encode(text, add_special_tokens=False).ids
    total = np.zeros(embeddings.vectors.shape[1])
    for token in ids:
        if token != embeddings.unknown:
            total += embeddings.vectors[token].astype(np.float64)
    return total / max(float(np.linalg.norm(total)), 1e-12)


def test_a_state_is_the_mean_vector_of_the_known_tokens(loaded: tuple[Any, Any]) -> None:
    embeddings = from_inputs(*loaded, 8)
    states = embeddings.states(TEXTS)
    for text, state in zip(TEXTS, states, strict=True):
        np.testing.assert_allclose(state, mean_of(embeddings, text), atol=1e-12)
    assert not states[[1, 5]].any()
    assert embeddings.states([]).shape == (0, 8)


def test_counts_are_those_of_the_tokens(loaded: tuple[Any, Any]) -> None:
    embeddings = from_inputs(*loaded, 8)
    counts = embeddings.counts(TEXTS)
    vocabulary = embeddings.tokenizer.get_vocab()
    assert counts[2, vocabulary["the"]] == 2
    assert counts[3, vocabulary["bread"]] == 500
    assert counts[:, [embeddings.unknown]].sum() == 0
    assert counts.shape == (len(TEXTS), len(embeddings.vectors))


def test_input_embeddings_keep_their_geometry(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    embeddings = from_inputs(model, tokenizer, 1_000)
    inputs = model.get_input_embeddings().weight.detach().numpy().astype(np.float64)
    usual = np.array([of for of in range(len(inputs)) if of not in tokenizer.all_special_ids])
    centered = inputs[usual] - inputs[usual].mean(axis=0)
    assert embeddings.vectors.shape == inputs.shape
    found = embeddings.vectors[usual].astype(np.float64)
    weights = np.linalg.norm(found, axis=1) / np.linalg.norm(centered, axis=1)
    assert (np.diff(weights) > -1e-2).all()  # rarer tokens count more
    cosines = (found @ found.T) / np.outer(*[np.linalg.norm(found, axis=1)] * 2)
    wanted = (centered @ centered.T) / np.outer(*[np.linalg.norm(centered, axis=1)] * 2)
    np.testing.assert_allclose(cosines, wanted, atol=0.02)
    assert not embeddings.vectors[tokenizer.all_special_ids].any()


def test_fewer_dimensions_are_the_first_components(loaded: tuple[Any, Any]) -> None:
    whole, part = from_inputs(*loaded, 32), from_inputs(*loaded, 5)
    np.testing.assert_array_equal(part.vectors, whole.vectors[:, :5])
    assert np.abs(whole.vectors).max() == 1


def test_distilling_depends_on_all_weights_and_tells_its_progress(loaded: tuple[Any, Any]) -> None:
    import copy

    import torch

    model, tokenizer = loaded
    heard: list[ProgressEvent] = []
    first = distilled(model, tokenizer, 8, heard.append)
    assert heard[-1].done == heard[-1].total == len(tokenizer) - len(tokenizer.all_special_ids)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.encoder.layer[-1].output.dense.weight.mul_(-3)
    assert not np.allclose(distilled(other, tokenizer, 8).vectors, first.vectors, atol=1e-2)
    np.testing.assert_array_equal(
        from_inputs(other, tokenizer, 8).vectors, from_inputs(model, tokenizer, 8).vectors
    )


def test_an_encoder_without_a_vector_for_each_token_is_refused(loaded: tuple[Any, Any]) -> None:
    import torch

    class Bare(torch.nn.Module):
        def get_input_embeddings(self) -> Any:
            return torch.nn.Embedding(3, 2)

    with pytest.raises(NotDistillableError, match="no vector for each token"):
        from_inputs(Bare(), loaded[1], 8)


def test_the_cache_knows_weights_and_dimensions(loaded: tuple[Any, Any], tmp_path: Path) -> None:
    import copy

    import torch

    model, tokenizer = loaded
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.get_input_embeddings().weight[7].add_(1.0)
    made = [
        from_inputs(*given, tmp_path)
        for given in ((model, tokenizer, 8), (other, tokenizer, 8), (model, tokenizer, 4))
    ]
    assert len(list((tmp_path / "static").iterdir())) == 3
    again = from_inputs(model, tokenizer, 8, tmp_path)
    np.testing.assert_array_equal(again.vectors, made[0].vectors)
