"""Language models: an encoder with the head that predicts masked or next tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.errors import ModelError
from finetext.encoders.auto import loading
from finetext.encoders.load import (
    drop_unused_token_types,
    load_weights,
    quiet,
    refuse_random_weights,
    restore_dropout,
    scale_dropout,
)
from finetext.encoders.vocabulary import extend_embedding, record_vocabulary

Objective = Literal["masked", "causal"]
STREAMED: Final = "awd_lstm"
"""The model type that is trained on contiguous streams of text with its state carried over."""
MASKED: Final = "finetext-transformer"
"""The model type of finetext's own that predicts masked tokens."""


def objective_of(encoder: str) -> Objective:
    """Return what a language model of this encoder predicts: masked tokens or the next one."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    with loading(encoder) as path:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    if not config.is_encoder_decoder:
        if config.model_type in (MASKED, *MODEL_FOR_MASKED_LM_MAPPING_NAMES):
            return "masked"
        if config.model_type in (STREAMED, *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
            return "causal"
    raise ModelError(
        f"{encoder} is of the architecture {config.model_type}, which has neither a masked nor a "
        "left-to-right language model; choose another encoder"
    )


def load_for_language_model(
    encoder: str, tokenizer: Any, dropout_multiplier: float = 0.0
) -> tuple[Any, bool]:
    """Return an encoder with its language-model head, in fp32, and whether that head is new."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    masked = objective_of(encoder) == "masked"
    with loading(encoder) as path, quiet():
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    scale_dropout(config, dropout_multiplier)
    auto_class = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    model, report = load_weights(auto_class, encoder, config=config)
    refuse_random_weights(encoder, model.base_model, report)
    prefix = f"{model.base_model_prefix}."
    head = {name for name, _ in model.named_parameters() if not name.startswith(prefix)}
    new = head & set(map(str, report["missing_keys"]))
    if new:
        _initialize_head(model, new)
    extend_embedding(encoder, model, tokenizer)
    drop_unused_token_types(tokenizer, model)
    return model, bool(new)


def _initialize_head(model: Any, new: set[str]) -> None:
    """Tie the output layer to the embeddings, and make the new layers before it the identity."""
    from torch import nn

    output, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if output.weight is not embedding.weight:
        model.config.tie_word_embeddings = True
        model.tie_weights()
    for name, module in model.named_modules():
        is_square = isinstance(module, nn.Linear) and module.in_features == module.out_features
        if is_square and f"{name}.weight" in new:
            nn.init.eye_(module.weight)


def initialize_output_bias(model: Any, counts: Integers) -> None:
    """Set the bias of a new output layer, if it has one, to the log frequencies of (v,) counts."""
    import torch

    output = model.get_output_embeddings()
    if getattr(output, "bias", None) is None:
        return
    shares = (counts + 1) / (counts + 1).sum()
    with torch.no_grad():
        output.bias[: len(shares)] = torch.from_numpy(np.log(shares)).to(output.bias)


def save_language_model(model: Any, tokenizer: Any, folder: Path, base: str = "") -> None:
    """Write model and tokenizer into an existing empty folder."""
    import torch
    from transformers import AutoModel

    weights = model.state_dict()
    if base:
        restore_dropout(model, base)
        with torch.random.fork_rng(devices=[]):
            whole, report = load_weights(AutoModel, base)
        known = {*model.base_model.state_dict(), *report["missing_keys"]}
        weights |= {
            f"{model.base_model_prefix}.{name}": weight
            for name, weight in whole.state_dict().items()
            if name.startswith("pooler.") and name not in known
        }
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    record_vocabulary(model, tokenizer)
    with quiet():
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)
