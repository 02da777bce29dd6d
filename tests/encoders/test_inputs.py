"""What a tokenizer gives: token types to models that read them, padding out of the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetext.encoders.heads import ConcatPooledConfig, ConcatPooledModel
from finetext.encoders.load import (
    drop_unused_token_types,
    load_encoder,
    load_tokenizer,
    prepare_tokenizer,
)

WITH_TYPES = ["input_ids", "token_type_ids", "attention_mask"]
WITHOUT_TYPES = ["input_ids", "attention_mask"]


@pytest.fixture
def tokenizer(tiny_encoder: Path) -> Any:
    """That of BERT, which gives the type 0 to all tokens of a text, padded on the left."""
    found = load_tokenizer(str(tiny_encoder))
    found.model_input_names = WITH_TYPES
    found.padding_side = "left"
    return found


def small(kind: str, vocabulary: int) -> Any:
    """A random model of an architecture."""
    from transformers import AutoConfig, AutoModel

    names = {
        "gpt2": {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 40},
        "xlm": {"emb_dim": 32, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 40},
        "distilbert": {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64},
        "xlnet": {"d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 64},
    }
    usual = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 64, "max_position_embeddings": 40}  # fmt: skip
    sizes = names.get(kind, usual) | (
        {"embedding_size": 32} if kind in ("albert", "electra") else {}
    )
    config = AutoConfig.for_model(kind, vocab_size=vocabulary, pad_token_id=1, **sizes)
    return AutoModel.from_config(config).eval()


@pytest.mark.parametrize("kind", ["bert", "albert", "electra", "xlnet"])
def test_a_model_that_reads_token_types_gets_them(tokenizer: Any, kind: str) -> None:
    drop_unused_token_types(tokenizer, small(kind, len(tokenizer)))
    assert tokenizer.model_input_names == WITH_TYPES


@pytest.mark.parametrize("kind", ["gpt2", "xlm", "distilbert", "modernbert"])
def test_others_get_none(tokenizer: Any, tmp_path: Path, kind: str) -> None:
    drop_unused_token_types(tokenizer, small(kind, len(tokenizer)))
    assert tokenizer.model_input_names == WITHOUT_TYPES
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert load_tokenizer(str(tmp_path)).model_input_names == WITHOUT_TYPES


def test_what_is_under_concat_pooling_counts(tokenizer: Any) -> None:
    pooled = ConcatPooledModel(ConcatPooledConfig(small("gpt2", len(tokenizer)).config)).eval()
    prepare_tokenizer(tokenizer, pooled)
    assert tokenizer.model_input_names == WITHOUT_TYPES
    assert tokenizer.padding_side == "right"


def test_padding_is_on_the_right_but_for_heads_that_read_the_last_place(tokenizer: Any) -> None:
    prepare_tokenizer(tokenizer, small("bert", len(tokenizer)))
    assert tokenizer.padding_side == "right"
    prepare_tokenizer(tokenizer, small("xlnet", len(tokenizer)))
    assert tokenizer.padding_side == "left"


def test_loading_a_model_suits_its_tokenizer_and_saving_keeps_that(
    tiny_encoder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    load_encoder(str(tiny_encoder), tokenizer)
    assert tokenizer.padding_side == "right"
    assert tokenizer.model_input_names == WITH_TYPES
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert load_tokenizer(str(tmp_path)).padding_side == "right"
