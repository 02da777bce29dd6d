"""N-gram features by numpy: the numbers of scikit-learn, whatever the texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from finetext.methods import ngrams
from finetext.methods.ngrams import NgramFeatures
from finetext.methods.tfidf import TOKENS

PARTS = ["a", "b", "ab", "b_1", "Éa", "İ", "ΑΣ", "Σ", "ß", "²", "日本", "\u0301", "😀", "!", "-"]
PARTS += [" ", "  ", "\n", "\t", "\x00", "\x1f", "\u2003", "\u200b", "\ud800", "'", "ZZ"]
TEXTS = st.lists(st.lists(st.sampled_from(PARTS), max_size=12).map("".join), min_size=1, max_size=8)


def fitted(texts: list[str], longest: int, **settings: Any) -> TfidfVectorizer:
    return TfidfVectorizer(
        ngram_range=(1, longest), sublinear_tf=True, token_pattern=TOKENS, **settings
    ).fit(texts)


def found(vectorizer: TfidfVectorizer, texts: list[str]) -> np.ndarray:
    features = NgramFeatures(vectorizer.get_feature_names_out().tolist(), vectorizer.idf_)
    blocks = [block.toarray() for block in features.blocks(texts)]
    return np.concatenate(blocks) if blocks else np.zeros((0, len(vectorizer.idf_)))


@settings(max_examples=200)
@given(TEXTS, TEXTS, st.integers(1, 4), st.integers(3, 30), st.integers(1, 64))
def test_it_equals_scikit_learn(
    seen: list[str], new: list[str], longest: int, most: int, block: int
) -> None:
    vectorizer = fitted([*seen, "a a b ab !"], longest, max_features=most)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ngrams, "_CHARACTERS", block)
        result = found(vectorizer, new + seen)
    expected = vectorizer.transform(new + seen).toarray()
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


def test_every_character_is_of_the_same_kind_as_for_scikit_learn() -> None:
    every = [chr(code) for code in (*range(0x30000), 0x10FFFF)]
    text = "".join(f"a{character}b " for character in every)
    vectorizer = fitted([text], 1)
    np.testing.assert_allclose(
        found(vectorizer, [text]), vectorizer.transform([text]).toarray(), rtol=0, atol=1e-12
    )


def test_no_texts_and_texts_without_words() -> None:
    vectorizer = fitted(["a b"], 2)
    assert found(vectorizer, []).shape == (0, 3)
    assert not found(vectorizer, ["", " ", "\n"]).any()
    assert not found(vectorizer, ["unseen"]).any()


def test_a_vocabulary_of_the_empty_term_finds_nothing() -> None:
    features = NgramFeatures([""], np.ones(1))
    (block,) = features.blocks(["", "some words"])
    assert block.nnz == 0


def test_a_text_longer_than_a_block() -> None:
    text = "the cook baked a cake " * 60_000
    vectorizer = fitted(["the cook baked bread", "a cake"], 2)
    texts = ["a cake", text, "bread"]
    np.testing.assert_allclose(
        found(vectorizer, texts), vectorizer.transform(texts).toarray(), rtol=0, atol=1e-12
    )
