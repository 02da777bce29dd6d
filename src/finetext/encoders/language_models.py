"""Language models: an encoder with the head that predicts masked or next tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.errors import ModelError
from finetext.encoders.auto import loading
from finetext.encoders.catalogue import resolve
from finetext.encoders.load import (
    _make_room,
    _refuse_random,
    _scale_dropout,
    forgo_token_types,
    quiet,
    restore_dropout,
)

Objective = Literal["masked", "causal"]
STREAMED: Final = "awd_lstm"
"""The model type that is trained on contiguous streams, its state carried along."""


def objective_of(encoder: str) -> Objective:
    """What a language model of this encoder predicts: masked tokens, or the next one.

    Args:
        encoder: alias, Hub name or folder.

    Raises:
        ModelError: its architecture has no language model of either kind.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    with loading(encoder) as path:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    if not config.is_encoder_decoder:
        if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
            return "masked"
        if config.model_type in (STREAMED, *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
            return "causal"
    raise ModelError(
        f"{encoder} is of the architecture {config.model_type}, which has no masked language model "
        "and none from left to right; choose another encoder"
    )


def load_for_language_model(
    encoder: str, tokenizer: Any, dropout_multiplier: float = 0.0
) -> tuple[Any, bool]:
    """An encoder with its language-model head, in fp32.

    Where the checkpoint has no such head, it gets a fresh one: its output layer is the embedding of
    the tokens, and what lies between begins as the identity. After 64 steps on film reviews,
    MiniLM came to a perplexity of 136 in this way, and of 178 with a random layer.

    Args:
        encoder: alias, Hub name or folder.
        tokenizer: what `load_tokenizer` gave for it.
        dropout_multiplier: factor on every dropout probability of the configuration.

    Returns:
        the model, and whether its head is fresh.

    Raises:
        ModelError: it cannot be loaded, or has no language model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    kind: Any = AutoModelForMaskedLM if objective_of(encoder) == "masked" else AutoModelForCausalLM
    with loading(encoder) as path, quiet():
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        _scale_dropout(config, dropout_multiplier)
        model, report = kind.from_pretrained(
            path, config=config, dtype=torch.float32, trust_remote_code=False,
            output_loading_info=True,
        )  # fmt: skip
    _refuse_random(encoder, model.base_model, report)
    fresh = _head_names(model) & set(map(str, report["missing_keys"]))
    if fresh:
        _begin_head(model, fresh)
    _make_room(model, tokenizer)
    forgo_token_types(tokenizer, model)
    return model, bool(fresh)


def _begin_head(model: Any, fresh: set[str]) -> None:
    """Tie the output layer to the embeddings, and make what lies before it the identity.

    Args:
        model: a language model.
        fresh: the names of the parameters of its head that have random weights.
    """
    from torch import nn

    output, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if output.weight is not embedding.weight:
        model.config.tie_word_embeddings = True
        model.tie_weights()
    for name, module in model.named_modules():
        is_square = isinstance(module, nn.Linear) and module.in_features == module.out_features
        if is_square and f"{name}.weight" in fresh:
            nn.init.eye_(module.weight)


def begin_with_frequencies(model: Any, counts: Integers) -> None:
    """Let a fresh head begin with how often tokens occur, if its output layer has a bias.

    The first steps can then learn more than that: after 64 of them on film reviews, MiniLM with a
    random head came to a perplexity of 178 instead of 224.

    Args:
        model: a language model.
        counts: (v,) how often each token occurs; one is added to each.
    """
    import torch

    output = model.get_output_embeddings()
    if getattr(output, "bias", None) is None:
        return
    shares = (counts + 1) / (counts + 1).sum()
    with torch.no_grad():
        output.bias[: len(shares)] = torch.from_numpy(np.log(shares)).to(output.bias)


def save_language_model(model: Any, tokenizer: Any, folder: Path, base: str = "") -> None:
    """Write an encoder folder: model with head, and tokenizer.

    Args:
        model: a language model in fp32.
        tokenizer: its tokenizer.
        folder: an existing empty folder.
        base: the encoder it was loaded from; its dropout probabilities and its pooling layer,
            which a language model has not, are written, too.
    """
    weights = model.state_dict()
    if base:
        restore_dropout(model, base)
        weights |= _pooling(model, base)
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    with quiet():
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)


def _head_names(model: Any) -> set[str]:
    """The names of the parameters that are not of the base model."""
    prefix = f"{model.base_model_prefix}."
    return {name for name, _ in model.named_parameters() if not name.startswith(prefix)}


def _pooling(model: Any, base: str) -> dict[str, Any]:
    """The weights of the pooling layer that an encoder came with, by their name in the model.

    A classifier begins with them, whether the encoder was trained on in between or not.
    """
    import torch
    from transformers import AutoModel

    with loading(base), quiet(), torch.random.fork_rng(devices=[]):
        whole, report = AutoModel.from_pretrained(
            resolve(base).path, dtype=torch.float32, trust_remote_code=False,
            output_loading_info=True,
        )  # fmt: skip
    known = set(model.base_model.state_dict())
    return {
        f"{model.base_model_prefix}.{name}": weight
        for name, weight in whole.state_dict().items()
        if name.startswith("pooler.") and name not in known and name not in report["missing_keys"]
    }
