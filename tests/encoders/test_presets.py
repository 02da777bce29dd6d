from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetext.core.errors import RecipeError, UnknownNameError
from finetext.encoders.catalogue import PRESETS, preset
from finetext.encoders.scratch import check_sizes, configuration

MILLIONS = {
    "tiny": 4.0, "mini": 11.0, "small": 28.2, "medium": 40.8, "base": 108.5,
    "awd-lstm-small": 11.1, "awd-lstm": 44.3,
}  # fmt: skip


class Pieces:
    """What a configuration asks of a tokenizer."""

    unk_token_id, pad_token_id, cls_token_id, sep_token_id, bos_token_id = 1, 0, 2, 3, 2

    def __init__(self, size: int) -> None:
        self.size = size
        self.model_max_length = 10**30
        self.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]

    def __len__(self) -> int:
        return self.size


def bare_model(sizes: Any, tokenizer: Any) -> Any:
    """A model that has no weights, only their shapes."""
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        return AutoModel.from_config(configuration(sizes, tokenizer))


@pytest.mark.parametrize("name", MILLIONS)
def test_presets_have_the_sizes_that_are_documented(name: str) -> None:
    sizes = preset(name)
    model = bare_model(sizes, Pieces(sizes.pieces))
    own = sum(p.numel() for name, p in model.named_parameters() if "pooler" not in name)
    assert own / 1e6 == pytest.approx(MILLIONS[name], abs=0.05)
    assert {sizes.name for sizes in PRESETS} == set(MILLIONS)


def test_tiny_is_what_was_promised() -> None:
    tokenizer = Pieces(25_000)
    config = configuration(preset("tiny"), tokenizer)
    assert config.model_type == "bert"
    assert (config.num_hidden_layers, config.num_attention_heads) == (6, 8)
    assert (config.hidden_size, config.intermediate_size) == (128, 256)
    assert (config.max_position_embeddings, config.vocab_size) == (128, 25_000)
    assert tokenizer.model_max_length == 128


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "electra", "modernbert"])
def test_every_architecture_takes_the_sizes(name: Any) -> None:
    import torch
    from transformers import AutoModelForMaskedLM

    from finetext.encoders.auto import context_from

    sizes = replace(
        preset("tiny"), architecture=name, layers=2, heads=2, width=16, feed_forward=24, context=20
    )
    tokenizer: Any = Pieces(40)
    config = configuration(sizes, tokenizer)
    model = AutoModelForMaskedLM.from_config(config)
    assert model.config.model_type == name
    assert context_from(config, tokenizer.model_max_length) == 20
    assert model.get_input_embeddings().weight.shape == (40, 16)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert config.num_hidden_layers == 2
    assert any(24 in p.shape or 48 in p.shape for p in model.parameters())
    ids = torch.arange(20)[None] % 40
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if "token_type_ids" in tokenizer.model_input_names:
        given["token_type_ids"] = torch.zeros_like(ids)
    assert model(**given).logits.shape == (1, 20, 40)


def test_awd_lstm_takes_the_sizes() -> None:
    config = configuration(replace(preset("awd-lstm"), width=8, feed_forward=12), Pieces(40))
    assert (config.hidden_size, config.inner_size, config.num_hidden_layers) == (8, 12, 3)


@pytest.mark.parametrize(("architecture", "heads"), [("bert", 3), ("modernbert", 16)])
def test_a_width_that_heads_cannot_share_is_refused(architecture: Any, heads: int) -> None:
    with pytest.raises(RecipeError, match=f"width of 16 .* {heads} attention heads"):
        check_sizes(replace(preset("tiny"), architecture=architecture, width=16, heads=heads))


def test_a_preset_without_heads_is_told_what_a_transformer_lacks() -> None:
    with pytest.raises(RecipeError, match="bert needs attention heads, and the preset awd-lstm"):
        check_sizes(replace(preset("awd-lstm"), architecture="bert"))


def test_an_unknown_preset_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tiny'"):
        preset("tinny")
