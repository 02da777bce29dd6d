"""Standardized inputs and temperature of classification heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig

from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForSequenceClassification
from finetext.encoders.heads import (
    ConcatPooledConfig,
    ConcatPooledForSequenceClassification,
    Standardized,
    standardize,
    with_temperature,
)


@pytest.fixture
def values() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 5 + 0.1 * torch.randn(40, 3, generator=generator)


def test_it_changes_nothing_before_it_is_measured(values: torch.Tensor) -> None:
    assert torch.equal(Standardized(3)(values), values)


@pytest.mark.parametrize("parts", [[40], [1, 30, 9]])
def test_measured_values_are_standardized(values: torch.Tensor, parts: list[int]) -> None:
    model = nn.Sequential(nn.Identity(), Standardized(3))
    standardize(model, lambda: [model(part) for part in values.split(parts)])
    found = model(values)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std(dim=0), torch.ones(3), atol=1e-4, rtol=0)
    assert torch.equal(model(values[7:8]), found[7:8])
    before = model[1].mean.clone()
    model(values + 1)  # the hook is gone
    assert torch.equal(model[1].mean, before)


@pytest.mark.parametrize("first", [0.3, 0.301])
def test_a_constant_or_nearly_constant_feature_is_not_scaled(
    values: torch.Tensor, first: float
) -> None:
    values[:, 1] = 0.3
    values[0, 1] = first
    layer = Standardized(3)
    layer.measure(values)
    assert layer.deviation[1] == 1
    assert layer(values)[:, 1].abs().max() < 1.01 * (first - 0.3) + 1e-6
    assert layer(torch.full((1, 3), 0.6))[0, 1].abs() < 1


def test_a_layer_that_was_measured_stays(values: torch.Tensor) -> None:
    model = nn.Sequential(Standardized(3))
    standardize(model, lambda: model(values))
    before = model[0].mean.clone()
    standardize(model, lambda: pytest.fail("measured again"))
    assert torch.equal(model[0].mean, before)


def test_one_text_says_nothing_of_deviations(values: torch.Tensor) -> None:
    model = nn.Sequential(Standardized(3))
    standardize(model, lambda: model(values[:1]))
    assert torch.equal(model(values), values)


def test_models_without_such_a_layer_are_not_read() -> None:
    standardize(nn.Linear(2, 2), lambda: pytest.fail("read for nothing"))


def test_the_number_format_stays(values: torch.Tensor) -> None:
    layer = Standardized(3)
    layer.measure(values.to(torch.bfloat16))
    assert layer(values.to(torch.bfloat16)).dtype == torch.bfloat16
    assert layer(values).dtype == torch.float32
    assert layer.mean.dtype == torch.float32


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


def raw_logits(model: Any, inputs: Mapping[str, Any]) -> Any:
    with torch.inference_mode():
        return model(**inputs).logits


@pytest.mark.parametrize("kind", ["concat-pooled", "awd-lstm", *HEADS])
def test_logits_are_divided_and_the_model_stays(kind: str) -> None:
    model, ids = model_of(kind), torch.tensor([TOKENS])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    before = raw_logits(model, inputs)
    cooled = with_temperature(model, 4, 2.5, inputs)
    assert cooled is not None
    torch.testing.assert_close(raw_logits(cooled, inputs), before / 2.5)
    torch.testing.assert_close(raw_logits(model, inputs), before, rtol=0, atol=0)
    padded = {name: torch.nn.functional.pad(of, (0, 3)) for name, of in inputs.items()}
    torch.testing.assert_close(raw_logits(cooled, padded), raw_logits(model, padded) / 2.5)
