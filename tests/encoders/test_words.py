"""Words as spans of characters, and texts without some of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.text_columns import join, texts_in
from finetext.encoders.words import distribute, spans_read, without, word_spans
from finetext.training.truncation import set_truncation, special_ends


def words(text: str, cuts: set[int] | None = None) -> list[str]:
    return [text[start:end] for start, end in word_spans(text, cuts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop!!! It\u2019s so-so", ["Don't", "stop", "!!!", "It\u2019s", "so", "-", "so"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("👩‍👩‍👧 ❤️ok", ["👩‍👩‍👧", "❤️", "ok"]),
        ("面包 and 盐", ["面", "包", "and", "盐"]),
        (" \n", []),
        ("", []),
    ],
)
def test_words_are_what_people_take_for_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_script_without_spaces_is_split_where_tokens_begin() -> None:
    assert words("面包和盐 bread", cuts={0, 2}) == ["面包", "和盐", "bread"]
    assert words("ขนมปัง", cuts={0, 3}) == ["ขนม", "ปัง"]


@given(st.text(st.characters(max_codepoint=127)))
def test_the_fast_path_for_ascii_gives_the_same_words(text: str) -> None:
    assert word_spans(text) == word_spans(f"{text} é")[:-1]


@given(st.text())
def test_words_cover_all_but_spaces_once(text: str) -> None:
    covered = [place for start, end in word_spans(text) for place in range(start, end)]
    assert covered == [place for place, letter in enumerate(text) if not letter.isspace()]


@given(st.data())
def test_distributing_values_preserves_their_sum(data: st.DataObject) -> None:
    spans = word_spans("a fine film, a  long one")
    place = st.tuples(st.integers(0, 24), st.integers(0, 5)).map(lambda p: (p[0], p[0] + p[1]))
    places = data.draw(st.lists(place))
    values = np.arange(1.0, len(places) + 1)
    np.testing.assert_allclose(distribute(values, places, spans).sum(), values.sum())


def test_values_go_to_overlapping_words() -> None:
    spans = word_spans("a fine film")
    np.testing.assert_allclose(distribute(np.array([2.0]), [(2, 11)], spans), [0, 1, 1])
    np.testing.assert_allclose(distribute(np.array([2.0]), [(6, 7)], spans), [0, 0, 2])
    assert distribute(np.array([2.0]), [(0, 1)], []).shape == (0,)


def test_words_are_removed_with_the_space_that_would_be_left() -> None:
    text = "a fine film, and so on"
    spans = word_spans(text)
    assert without(text, spans, [1]) == "a film, and so on"
    assert without(text, spans, [1, 0]) == "film, and so on"
    assert without(text, spans, [3]) == "a fine film and so on"
    assert without(text, spans, range(len(spans))).strip() == ""


def test_the_spans_read_are_what_the_tokenizer_keeps(tiny_encoder: Path) -> None:
    from finetext.encoders.load import load_tokenizer
    from finetext.encoders.word_tokenizer import train_word_tokenizer

    pieces = load_tokenizer(str(tiny_encoder))
    text = "bread and salt bread and salt"
    assert spans_read(pieces, 64, text) == [(0, len(text))]
    assert spans_read(pieces, 5, text) == [(0, len("bread and salt"))]
    whole = train_word_tokenizer([text], minimum_frequency=1)
    assert spans_read(whole, 64, text) == [(0, len(text))]
    assert spans_read(whole, 4, text) == [(0, len("bread and salt"))]
    assert spans_read(whole, 4, "") == [(0, 0)]
    for tokenizer in (pieces, whole):
        special = sum(special_ends(tokenizer) or ())
        set_truncation(tokenizer, "tail")
        assert spans_read(tokenizer, 2 + special, text) == [(21, len(text))]
        set_truncation(tokenizer, "head+tail")
        assert spans_read(tokenizer, 64, text) == [(0, len(text))]
        assert spans_read(tokenizer, 4 + special, text) == [(0, 5), (15, len(text))]
        assert spans_read(tokenizer, 6 + special, text) == [(0, len(text))]


def test_joined_texts_stay_apart_without_the_words_beside_the_joint() -> None:
    text = join(["Some rain", "It rained"])
    spans = word_spans(text)
    assert words(text) == ["Some", "rain", "It", "rained"]
    for removed in ([0], [1], [2], [0, 1], [2, 3], [1, 2], range(4)):
        parts = texts_in(without(text, spans, removed))
        expected = [n for n in range(4) if n not in removed]
        assert [len(part.split()) for part in parts] == [
            sum(n < 2 for n in expected),
            sum(n > 1 for n in expected),
        ]
