"""Hashed texts: equal for equal texts, near for near ones, and no text in them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.data.hashed_texts import BUCKETS, WIDTH, bucket_of, hashed, texts_with, words_of


@settings(max_examples=20)
@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_text_has_columns_of_the_same_length(texts: list[str]) -> None:
    codes = hashed(texts)
    assert codes.shape == (len(texts), WIDTH)
    assert codes.dtype == np.int8
    lengths = np.linalg.norm(codes.astype(float), axis=1)
    assert (lengths < 127 * 1.5 + WIDTH**0.5).all()
    assert np.array_equal(codes, hashed(texts))


def test_similar_texts_are_near_each_other() -> None:
    one, near, far = hashed(["the bank raised its rates", "the bank raises its rate", "bread!"])
    assert one @ near.astype(int) > 2 * abs(int(one @ far.astype(int)))


def test_words_are_counted_once_for_each_text() -> None:
    counts = texts_with(["Bank bank bank", "a bank", ""])
    assert counts.shape == (BUCKETS,)
    assert counts[bucket_of(["bank"])[0]] == 2
    assert counts.sum() == 3


def test_words_of_a_text() -> None:
    assert list(words_of("The bank, THE loan")) == ["the", "bank", "loan"]
