"""What a tokenizer gives to a model: token types for those that read them, padding out of the way.

The tokenizer is saved beside the model, so whatever reads the folder feeds the model as it was
trained.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

TOKEN_TYPES: Final = "token_type_ids"
_TRIED: Final = "Which type?"
_LONGEST: Final = 512


def suit(tokenizer: Any, model: Any) -> None:
    """Let a tokenizer give a classifier or a bare encoder what it can read; it is changed.

    Texts are padded on the right: a head that reads the first token, and positions counted from
    the left, as in GPT-2, would see padding on the left, so that a text would get other
    probabilities in a batch than alone. Only a head that reads the last place, such as that of
    XLNet, has padding on the left.

    Args:
        tokenizer: a transformers tokenizer with a padding token.
        model: what it is for, in evaluation mode.
    """
    reads_last = getattr(model.base_model.config, "summary_type", None) == "last"
    _settle(tokenizer, "padding_side", "left" if reads_last else "right")
    forgo_token_types(tokenizer, model)


def forgo_token_types(tokenizer: Any, model: Any) -> None:
    """Let a tokenizer give token types only to a model that has a use for them; it is changed.

    A model such as GPT-2 takes them to be words: with the type 0 everywhere it adds the embedding
    of the word 0 to each word, which is not what it was pretrained with. Where the tokenizer
    gives nothing but 0, as most do, the model must give the same without them.

    Args:
        tokenizer: a transformers tokenizer with a padding token.
        model: what it is for, in evaluation mode.
    """
    if TOKEN_TYPES in tokenizer.model_input_names and not _has_use(model.base_model, tokenizer):
        names = [name for name in tokenizer.model_input_names if name != TOKEN_TYPES]
        _settle(tokenizer, "model_input_names", names)


def _settle(tokenizer: Any, name: str, value: str | list[str]) -> None:
    """Set an attribute so that it is saved: transformers saves those that it was made with."""
    setattr(tokenizer, name, value)
    tokenizer.init_kwargs[name] = value


def _has_use(bare: Any, tokenizer: Any) -> bool:
    import torch

    from finetext.training.tokens import tokenise

    if TOKEN_TYPES not in inspect.signature(bare.forward).parameters:
        return False
    length = min(int(tokenizer.model_max_length), _LONGEST)
    batch = tokenise(tokenizer, [_TRIED], length).batch([0])
    if TOKEN_TYPES in batch:
        return True
    batch = {name: part.to(bare.device) for name, part in batch.items()}
    with torch.inference_mode():
        without = bare(**batch)[0]
        with_zeros = bare(**batch, **{TOKEN_TYPES: torch.zeros_like(batch["input_ids"])})[0]
    return torch.allclose(without, with_zeros, rtol=1e-4, atol=1e-4)
