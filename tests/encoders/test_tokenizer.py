from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError, RecipeError
from finetext.encoders.scratch import SPECIAL, TokenizerKind, train_subword_tokenizer

KINDS = get_args(TokenizerKind)
TEXTS = [
    "The team won the match, and the coach was happy.",
    "A late goal in the final game; the team's goal!",
    "The bank raised its rates: shares fell on the market.",
    "Soup with bread and salt, the cook baked a cake at the café.",
] * 3


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> TokenizerKind:
    name: TokenizerKind = request.param
    return name


@pytest.fixture(scope="module")
def tokenizer(kind: TokenizerKind) -> Any:
    return train_subword_tokenizer(TEXTS, kind, 320)


def test_a_text_lies_between_the_special_tokens(tokenizer: Any) -> None:
    assert tokenizer.is_fast
    assert tokenizer.convert_ids_to_tokens(range(5)) == list(SPECIAL)
    one, two = tokenizer("the team")["input_ids"], tokenizer("the team", "won")
    assert (one[0], one[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert two["input_ids"][: len(one)] == one
    assert two["input_ids"].count(tokenizer.sep_token_id) == 2
    assert two["token_type_ids"] == [0] * len(one) + [1] * (len(two["input_ids"]) - len(one))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    assert tuple(getattr(tokenizer, name) for name in names) == SPECIAL


def test_decoding_gives_the_text_back(tokenizer: Any) -> None:
    ids = tokenizer("the team won the match")["input_ids"]
    assert len(ids) < len("the team won the match")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the team won the match"


def test_pieces_of_a_word_are_told_apart_from_the_next_word(tokenizer: Any) -> None:
    encoded = tokenizer("bakedxq team")
    words = [word for word in encoded.word_ids() if word is not None]
    assert words == sorted(words)
    assert set(words) == {0, 1}


def test_what_it_saves_auto_tokenizer_loads(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    assert len(loaded) == len(tokenizer)
    for text in (*TEXTS, "Zürich, 東京 & the café\n  twice", ""):
        assert dict(loaded(text, "other")) == dict(tokenizer(text, "other"))
        ids = loaded(text)["input_ids"]
        assert loaded.decode(ids) == tokenizer.decode(ids)


def test_another_process_trains_the_same_one(kind: TokenizerKind, tokenizer: Any) -> None:
    code = (
        "import sys; from finetext.encoders.scratch import train_subword_tokenizer as train; "
        f"print(train({TEXTS!r}, {kind!r}, 320).backend_tokenizer.to_str(), end='')"
    )
    for _ in range(2):
        seen = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100
        )
        assert seen.stdout == tokenizer.backend_tokenizer.to_str()


def test_case_is_kept_if_asked_for(kind: TokenizerKind) -> None:
    cased = train_subword_tokenizer(TEXTS, kind, 320, lower_case=False)
    lower = train_subword_tokenizer(TEXTS, kind, 320)
    assert cased("The")["input_ids"] != cased("the")["input_ids"]
    assert lower("The")["input_ids"] == lower("the")["input_ids"]


def test_few_texts_give_fewer_pieces_and_that_is_said(kind: TokenizerKind) -> None:
    said: list[str] = []
    tokenizer = train_subword_tokenizer(TEXTS, kind, 5_000, say=said.append)
    assert len(tokenizer) < 5_000
    assert said == [f"the texts give {len(tokenizer):,} tokens, not the 5,000 that were requested"]


def test_as_many_pieces_as_asked_for_need_no_words(kind: TokenizerKind) -> None:
    said: list[str] = []
    size = len(train_subword_tokenizer(TEXTS, kind, 5_000)) - 3
    if kind == "unigram":
        size = 60
    assert len(train_subword_tokenizer(TEXTS, kind, size, say=said.append)) == size
    assert said == []


def test_too_small_a_size_is_refused(kind: TokenizerKind) -> None:
    with pytest.raises(RecipeError, match="10 tokens are too few for the characters"):
        train_subword_tokenizer(TEXTS, kind, 10)


@pytest.mark.parametrize("texts", [[], ["", "  \n"]])
def test_texts_without_a_word_are_refused(texts: list[str], kind: TokenizerKind) -> None:
    with pytest.raises(DataError, match="no text"):
        train_subword_tokenizer(texts, kind, 300)


def test_more_characters_than_pieces_are_refused() -> None:
    texts = [chr(code) for code in range(0x4E00, 0x4E00 + 600)]
    with pytest.raises(RecipeError, match=r"500 tokens are too few .* ask for 607 or more"):
        train_subword_tokenizer(texts, "unigram", 500)
    assert len(train_subword_tokenizer(texts, "unigram", 607)) <= 607


def test_bytes_know_every_character() -> None:
    tokenizer = train_subword_tokenizer(TEXTS, "bpe", 300)
    text = "ein Ärgernis — 東京 🙂"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text.lower()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=8), st.sampled_from(KINDS))
def test_any_texts_give_a_tokenizer_that_reads_them(texts: list[str], kind: TokenizerKind) -> None:
    try:
        tokenizer = train_subword_tokenizer(texts, kind, 600)
    except DataError:
        assert not any(text and not text.isspace() for text in texts)
        return
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert max(ids) < len(tokenizer) <= 600
