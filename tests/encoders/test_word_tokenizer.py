"""The word tokenizer: its rules, its vocabulary, its files, and the way back to a text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from finetext.diagnosis.data_checks import count_tokens
from finetext.encoders.auto import register
from finetext.encoders.awd_lstm import AwdLstmConfig
from finetext.encoders.word_tokenizer import (
    LONGEST_TEXT,
    MARKERS,
    WordTokenizer,
    marked,
    readable,
    train_word_tokenizer,
)
from finetext.training.tokens import tokenize

TEXTS = ["The film is good.", "the FILM isn't good!!!!", "a film", "A good good good film"]


@pytest.fixture(scope="module")
def tokenizer() -> WordTokenizer:
    return train_word_tokenizer(TEXTS, minimum_frequency=1)


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


def test_a_vocabulary_has_the_markers_then_the_frequent_words() -> None:
    tokenizer = train_word_tokenizer(TEXTS, minimum_frequency=2)
    words = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert words[:7] == list(MARKERS)
    assert set(words[7:]) == {"film", "good", "a", "is", "the"}
    assert words[7:9] == ["film", "good"]
    assert len(train_word_tokenizer(TEXTS, size=9, minimum_frequency=1)) == 9


def test_a_text_begins_with_its_marker_and_is_truncated(tokenizer: WordTokenizer) -> None:
    found = tokenizer("The film is strange", truncation=True, max_length=4)
    assert tokenizer.convert_ids_to_tokens(found["input_ids"]) == ["xxbos", "xxmaj", "the", "film"]
    strange = tokenizer("strange")["input_ids"]
    assert strange == [tokenizer.bos_token_id, tokenizer.unk_token_id]
    assert tokenizer.decode(tokenizer("The FILM isn't good.")["input_ids"], True) == (
        "The FILM isn't good."
    )
    assert tokenizer.decode(strange) == "xxbos xxunk"


def test_a_batch_is_padded_on_the_right(tokenizer: WordTokenizer) -> None:
    found = tokenizer(["a film", ""], padding=True, return_tensors="pt")
    pad, bos = tokenizer.pad_token_id, tokenizer.bos_token_id
    assert found["input_ids"][1].tolist() == [bos, pad, pad]
    assert found["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_a_table_of_tokens_can_be_made_and_kept(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    table = tokenize(tokenizer, TEXTS, 5, tmp_path)
    assert table.lengths.tolist() == [5, 5, 3, 5]
    assert table.ids[0] == tokenizer.bos_token_id
    again = tokenize(tokenizer, TEXTS, 5, tmp_path)
    assert (again.ids == table.ids).all()
    assert table.kinds is None


def test_tokens_are_counted_by_its_rules(tokenizer: WordTokenizer) -> None:
    lengths = [len(tokenizer(text)["input_ids"]) for text in TEXTS]
    assert count_tokens(tokenizer, TEXTS).tolist() == lengths


def test_it_is_saved_without_pickle_and_found_again(
    tokenizer: WordTokenizer, tmp_path: Path
) -> None:
    register()
    AwdLstmConfig(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert all(path.suffix == ".json" for path in tmp_path.iterdir())
    again = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    assert type(again) is WordTokenizer
    assert again.model_max_length == LONGEST_TEXT == 1440
    assert again.padding_side == "right"
    assert again.get_vocab() == tokenizer.get_vocab()
    for text in (*TEXTS, "a xxpadded word", "xxpad"):
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.pad_token_id not in again("a xxpadded xxpad")["input_ids"]


def test_presplit_words_are_refused(tokenizer: WordTokenizer) -> None:
    with pytest.raises(ValueError, match="whole"):
        tokenizer(["a", "film"], is_split_into_words=True)
