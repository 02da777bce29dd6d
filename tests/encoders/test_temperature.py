"""The temperature is found a place in every head, whatever the model asks of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig

from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForSequenceClassification
from finetext.encoders.heads import (
    ConcatPooledConfig,
    ConcatPooledForSequenceClassification,
    with_temperature,
)

TOKENS = [5, 8, 6, 7, 9]
"""The last one ends a text of BART; CANINE takes four at least."""
HEADS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "pad_token_id": 0},
    "bart": {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
        "eos_token_id": 9,
    },
    "canine": {
        "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 24, "num_hash_buckets": 64,
    },
}  # fmt: skip


def model_of(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "concat-pooled":
        encoder = BertConfig(
            vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16,
        )  # fmt: skip
        pooled = ConcatPooledConfig(encoder, head_width=4, num_labels=4)
        return ConcatPooledForSequenceClassification(pooled).eval()
    if kind == "awd-lstm":
        small = AwdLstmConfig(
            vocab_size=20, embedding_size=8, hidden_size=8, num_hidden_layers=2, num_labels=4
        )
        return AwdLstmForSequenceClassification(small).eval()
    sizes = {"num_labels": 4} | ({} if kind == "canine" else {"vocab_size": 20}) | HEADS[kind]
    config = AutoConfig.for_model(kind, **sizes)
    return AutoModelForSequenceClassification.from_config(config).eval()


def logits(model: Any, inputs: Mapping[str, Any]) -> Any:
    with torch.inference_mode():
        return model(**inputs).logits


@pytest.mark.parametrize("kind", ["concat-pooled", "awd-lstm", *HEADS])
def test_logits_are_divided_and_the_model_stays(kind: str) -> None:
    model, ids = model_of(kind), torch.tensor([TOKENS])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    before = logits(model, inputs)
    cooled = with_temperature(model, 4, 2.5, inputs)
    assert cooled is not None
    torch.testing.assert_close(logits(cooled, inputs), before / 2.5)
    torch.testing.assert_close(logits(model, inputs), before, rtol=0, atol=0)
    padded = {name: torch.nn.functional.pad(of, (0, 3)) for name, of in inputs.items()}
    torch.testing.assert_close(logits(cooled, padded), logits(model, padded) / 2.5)
