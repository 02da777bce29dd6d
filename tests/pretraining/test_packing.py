"""Rows of full length: nothing is lost, and nothing crosses the border of a chunk."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    ModernBertConfig,
    RobertaConfig,
    XLNetConfig,
)

from finetext.core.errors import ModelError
from finetext.encoders.load import load_tokenizer
from finetext.encoders.scratch import TokenizerKind, train_subword_tokenizer
from finetext.pretraining.packing import (
    BEGINS,
    CONTINUES,
    MOST_TOKENS,
    SPECIAL,
    PackedTexts,
    _places,
    block_mask,
    kept_apart,
    pack,
    reads_ahead,
)

SMALL = {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXTS = [
    "the team won the match",
    "a late goal in the final game " * 6,
    "qqq",
    "soup with bread and salt",
    "the bank raised its rates " * 3,
]


@pytest.fixture
def packed(tiny_encoder: Path) -> PackedTexts:
    return pack(load_tokenizer(str(tiny_encoder)), TEXTS, 16)


def masked(kind: Any, **more: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForMaskedLM.from_config(kind(**SMALL, **more)).eval()


def test_every_token_of_every_text_is_in_one_chunk(tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    packed = pack(tokenizer, TEXTS, 16)
    whole = sorted(
        t for ids in tokenizer(TEXTS, add_special_tokens=False)["input_ids"] for t in ids
    )
    assert sorted(packed.ids[packed.words != SPECIAL].tolist()) == whole
    for start, end in zip(packed.chunks[:-1], packed.chunks[1:], strict=True):
        assert 3 <= end - start <= 16
        assert packed.ids[start] == tokenizer.cls_token_id
        assert packed.ids[end - 1] == tokenizer.sep_token_id
        assert packed.words[start + 1] == BEGINS
    assert packed.lengths.max() <= 16
    assert len(packed) < len(packed.chunks) - 1


def test_words_are_marked_by_their_pieces(tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    packed = pack(tokenizer, ["the qqz match"], 16)
    assert tokenizer.convert_ids_to_tokens(packed.ids.tolist())[2:5] == ["q", "##q", "##z"]
    marks = [SPECIAL, BEGINS, BEGINS, CONTINUES, CONTINUES, BEGINS, SPECIAL]
    assert packed.words.tolist() == marks


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_without_spaces_each_piece_is_a_word(kind: TokenizerKind) -> None:
    thai = "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a hello"
    chinese = "\u4eca\u5929\u5929\u6c14\u5f88\u597dhello"
    tokenizer = train_subword_tokenizer([thai, chinese], kind, 290)
    words = [int((pack(tokenizer, [text], 64).words == BEGINS).sum()) for text in (thai, chinese)]
    assert words[0] > 7
    assert words[1] == 7  # also where a character is several bytes; hello stays one word


def test_what_is_too_long_for_a_word_is_many(tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    packed = pack(tokenizer, ["the " + "q" * MOST_TOKENS, "the " + "q" * (MOST_TOKENS + 1)], 20)
    assert packed.words.tolist() == [
        *(SPECIAL, BEGINS, *[BEGINS] * (MOST_TOKENS + 1), SPECIAL),
        *(SPECIAL, BEGINS, BEGINS, *[CONTINUES] * (MOST_TOKENS - 1), SPECIAL),
    ]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_rows_are_never_too_long_and_never_two_that_would_fit_into_one(sizes: list[int]) -> None:
    order, rows = _places(np.array(sizes), 40)
    assert sorted(order.tolist()) == list(range(len(sizes)))
    filled = [sum(sizes[c] for c in order[a:b]) for a, b in pairwise(rows)]
    assert max(filled) <= 40
    smallest = sorted(filled)[:2]
    assert len(filled) == 1 or sum(smallest) > 40


def test_a_batch_has_segments_and_positions_that_begin_anew(packed: PackedTexts) -> None:
    row = int(np.diff(packed.rows).argmax())
    places, there = packed.layout([row, 0])
    batch = packed.batch((places, there), packed.ids[places])
    first, end = packed.rows[row], packed.rows[row + 1]
    sizes = np.diff(packed.chunks)[first:end].tolist()
    assert len(sizes) > 1
    length = sum(sizes)
    segments = batch["segments"][0]
    assert torch.unique_consecutive(segments[:length], return_counts=True)[1].tolist() == sizes
    assert segments[length:].eq(0).all()
    positions = [position for size in sizes for position in range(size)]
    assert batch["position_ids"][0, :length].tolist() == positions
    assert batch["attention_mask"].sum(1).tolist() == [length, packed.lengths[0]]
    ids = packed.ids[packed.chunks[first] : packed.chunks[end]]
    assert batch["input_ids"][0, :length].tolist() == ids.tolist()


def test_rows_of_one_chunk_need_no_segments(packed: PackedTexts) -> None:
    alone = packed.alone()
    layout = alone.layout([0, 1])
    assert len(alone) == len(packed.chunks) - 1
    assert set(alone.batch(layout, alone.ids[layout[0]])) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("causal", [False, True])
def test_the_mask_has_blocks(causal: bool) -> None:
    segments = torch.tensor([[1, 1, 2, 2, 2, 0]])
    seen = block_mask(segments, causal, torch.float32)[0, 0] == 0
    for one in range(6):
        for other in range(6):
            same = bool(segments[0, one] == segments[0, other])
            assert bool(seen[one, other]) == (same and (other <= one or not causal))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("kind", "more", "first"),
    [
        (BertConfig, {"pad_token_id": 0}, 0),
        (RobertaConfig, {"pad_token_id": 0, "max_position_embeddings": 80}, 1),
    ],
)
def test_models_that_keep_chunks_apart_get_packed_rows(
    packed: PackedTexts, kind: Any, more: dict[str, Any], first: int, attention: str
) -> None:
    model = masked(kind, **more)
    model.set_attn_implementation(attention)
    found = kept_apart(model, packed, False)
    assert len(found) == len(packed)
    assert found.first_position == first


def test_a_model_that_would_mix_chunks_gets_one_a_row(packed: PackedTexts) -> None:
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=120, dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    model = AutoModelForMaskedLM.from_config(config).eval()
    usual = model.base_model.forward
    # One that knows no positions but those in the row.
    model.base_model.forward = lambda *given, position_ids=None, **more: usual(*given, **more)
    assert len(kept_apart(model, packed, False)) == len(packed.chunks) - 1


def test_a_model_with_local_attention_is_tried_on_the_longest_chunk(tiny_encoder: Path) -> None:
    lines = ["the team won", "the bank", "soup with bread"] * 4 + ["a late goal in the game " * 7]
    packed = pack(load_tokenizer(str(tiny_encoder)), lines, 44)
    longest = int(np.diff(packed.chunks).argmax())
    row = int(np.searchsorted(packed.rows, longest, side="right")) - 1
    assert packed.rows[row + 1] - packed.rows[row] == 1
    ends = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    sizes = {"intermediate_size": 64, "pad_token_id": 0, "initializer_range": 0.2}
    for reach, rows in ((128, len(packed)), (16, len(packed.chunks) - 1)):
        model = masked(ModernBertConfig, **ends, **sizes, local_attention=reach)
        assert len(kept_apart(model, packed, False)) == rows


def test_a_row_of_one_chunk_among_others_has_a_block_too(packed: PackedTexts) -> None:
    rows = np.flatnonzero(np.diff(packed.rows) == 1)[:1]
    layout = packed.layout(rows)
    assert packed.batch(layout, packed.ids[layout[0]])["segments"].unique().numel() == 1


def test_special_tokens_that_a_text_spells_out_are_no_words(tiny_encoder: Path) -> None:
    packed = pack(load_tokenizer(str(tiny_encoder)), ["the [MASK] team [SEP] won é"], 16)
    assert np.flatnonzero(packed.words == SPECIAL).tolist() == [0, 2, 4, 7]


def test_a_single_token_is_left_out(tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    tokenizer.backend_tokenizer.post_processor = None
    packed = pack(tokenizer, ["soup", "the team won the match", "bread"], 4)
    assert np.diff(packed.chunks).tolist() == [4]


def test_a_decoder_keeps_chunks_apart_and_does_not_read_ahead(packed: PackedTexts) -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=120, n_embd=32, n_layer=2, n_head=2, n_positions=64)
    model = AutoModelForCausalLM.from_config(config).eval()
    assert len(kept_apart(model, packed, True)) == len(packed)
    assert not reads_ahead(model, packed)


def test_a_model_that_reads_both_ways_reads_ahead(packed: PackedTexts) -> None:
    torch.manual_seed(0)
    config = XLNetConfig(vocab_size=120, d_model=32, n_layer=2, n_head=2, d_inner=64)
    assert reads_ahead(AutoModelForCausalLM.from_config(config).eval(), packed)


def test_a_tokenizer_that_is_not_fast_is_refused(tiny_encoder: Path) -> None:
    from finetext.encoders.word_tokenizer import train_word_tokenizer

    with pytest.raises(ModelError, match="no fast form"):
        pack(train_word_tokenizer(TEXTS), TEXTS, 16)
