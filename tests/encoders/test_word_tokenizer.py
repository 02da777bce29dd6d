"""The word tokenizer: its vocabulary, its padding and its files."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from finetext.diagnosis.data_checks import count_tokens
from finetext.encoders.auto import register
from finetext.encoders.awd_lstm import AwdLstmConfig
from finetext.encoders.word_rules import MARKERS
from finetext.encoders.word_tokenizer import (
    LONGEST_TEXT,
    WordTokenizer,
    train_word_tokenizer,
)
from finetext.training.tokens import tokenize

TEXTS = ["The film is good.", "the FILM isn't good!!!!", "a film", "A good good good film"]


@pytest.fixture(scope="module")
def tokenizer() -> WordTokenizer:
    return train_word_tokenizer(TEXTS, minimum_frequency=1)


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
