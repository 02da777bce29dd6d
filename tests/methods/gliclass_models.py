"""Tiny GLiClass models with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetext.encoders.load import quiet

MARKERS = ("<<LABEL>>", "<<SEP>>", "<<EXAMPLE>>")


def save_gliclass(folder: Path, encoder: Path, inner: str = "bert", **settings: Any) -> Path:
    """Save a model around a tiny encoder of an architecture, with the tokens of another encoder."""
    import torch
    from gliclass import GLiClassModel, GLiClassModelConfig
    from transformers import CONFIG_MAPPING, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(encoder)
    encoder_config = CONFIG_MAPPING[inner](
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, initializer_range=0.3, pad_token_id=0,
    )  # fmt: skip
    tokenizer.add_tokens(list(MARKERS), special_tokens=True)
    label, separator, example = tokenizer.convert_tokens_to_ids(list(MARKERS))
    config = GLiClassModelConfig(
        encoder_config=encoder_config, class_token_index=label, text_token_index=separator,
        example_token_index=example, vocab_size=len(tokenizer), initializer_range=0.15,
        scorer_num_heads=2, scorer_mlp_hidden_size=16, calibrator_hidden_size=8, **settings,
    )  # fmt: skip
    config.encoder_model_name = str(folder / "elsewhere")
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(1)
        GLiClassModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
