"""The rules of the word tokenizer: what becomes a marker, and the way back to a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.encoders.word_rules import MARKERS, marked, readable


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The Film", "xxmaj the xxmaj film"),
        ("I saw it", "xxmaj i saw it"),
        ("GREAT film", "xxup great film"),
        ("McDonald", "xxmaj mcdonald"),
        ("iPhone 3D", "iphone xxup 3d"),
        ("soooo good", "s xxrep 4 o good"),
        ("NOOO", "xxmaj n xxup xxrep 3 o"),
        ("good!!!! ok!!", "good xxrep 4 ! ok ! !"),
        ("1000 3.50 1,000,000", "1000 3.50 1,000,000"),
        ("very very very good", "xxwrep 3 very good"),
        ("No No No No", "xxwrep 4 xxmaj no"),
        ("very very good", "very very good"),
        ("don't don't don't", "do n't do n't do n't"),
        ("It's CAN'T we'll", "xxmaj it 's xxup ca xxup n't we 'll"),
        ("it 's is n't", "it 's is n't"),
        ("well-made (really).", "well - made ( really ) ."),
        ("one<br /><br>two", "one two"),
        ("Tom &amp; Jerry &quot;x&quot;", 'xxmaj tom & xxmaj jerry " x "'),
        ("it #39;s #quot;", "it 's # quot ;"),
        ("\u201cquoted\u201d don\u2019t", '" quoted " do n\'t'),
        ("a <unk> of 1 @,@ 000", "a xxunk of 1,000"),
        ("xxpad xxbos XXREP", "xxunk xxunk xxup xxrep"),
        ("", ""),
        (" \n\t ", ""),
    ],
)  # fmt: skip
def test_texts_are_marked(text: str, wanted: str) -> None:
    assert marked(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "The film isn't GOOD!!!!", 'He said "wow, (really?)" and left.',
        "It's a well-made film; yes",
        "very very very good", "I can't say 3.50 is $5 or 10%.", "A and/or B: C",
    ],
)  # fmt: skip
def test_a_tidy_text_comes_back_as_it_was(text: str) -> None:
    assert readable(marked(text).split(" ")) == text


def test_markers_at_the_end_are_ignored() -> None:
    assert readable(["a", "xxmaj"]) == readable(["a", "xxrep", "5"]) == readable(["a"]) == "a"
    assert readable(["xxrep", "many", "!"]) == "!!!"
    assert readable(["xxwrep", "2", "xxmaj", "no"]) == "No No"
    assert len(readable(["xxrep", "9" * 9, "!"])) < 100


@given(st.lists(st.sampled_from([*MARKERS, "3", "film", '"', "'s", ".", "("]), max_size=12))
def test_more_words_never_change_the_text_before(tokens: list[str]) -> None:
    whole = readable(tokens)
    cut = next((n for n in range(len(tokens)) if tokens[n] in MARKERS), len(tokens))
    assert whole.startswith(readable(tokens[:cut]))


@given(st.text())
def test_any_text_becomes_lower_case_words_and_markers(text: str) -> None:
    tokens = marked(text).split()
    assert " ".join(tokens) == marked(text)
    assert all(token == token.lower() or not token.isascii() for token in tokens)
    readable(tokens)
