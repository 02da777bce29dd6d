"""The sizes of encoders that can be grown from random weights, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from finetext.core.errors import RecipeError, UnknownNameError

Architecture = Literal["bert", "roberta", "distilbert", "electra", "modernbert", "awd-lstm"]
_WITHOUT_TOKEN_TYPES: Final = ("distilbert", "modernbert")


@dataclass(frozen=True)
class Preset:
    """Architecture and sizes of an encoder.

    Attributes:
        name: for `--preset NAME` and `--encoder random:NAME`.
        architecture: what it is built as.
        layers: number of layers.
        heads: attention heads a layer; 0 for AWD-LSTM.
        width: size of the embeddings, and of the states that a classifier reads.
        feed_forward: size of the inner layer of the feed-forward blocks; of the states of all
            layers but the last of AWD-LSTM.
        context: longest input in tokens, special ones included; where AWD-LSTM, which has no
            limit, cuts texts.
        pieces: most entries of the vocabulary, special ones included.
    """

    name: str
    architecture: Architecture
    layers: int
    heads: int
    width: int
    feed_forward: int
    context: int
    pieces: int


# fmt: off
PRESETS: Final = (
    Preset("tiny", "bert", 6, 8, 128, 256, 128, 25_000),
    Preset("mini", "bert", 4, 4, 256, 1_024, 512, 30_000),
    Preset("small", "bert", 4, 8, 512, 2_048, 512, 30_000),
    Preset("medium", "bert", 8, 8, 512, 2_048, 512, 30_000),
    Preset("base", "bert", 12, 12, 768, 3_072, 512, 30_000),
    Preset("awd-lstm-small", "awd-lstm", 3, 0, 200, 576, 1_440, 30_000),
    Preset("awd-lstm", "awd-lstm", 3, 0, 400, 1_152, 1_440, 60_000),
)
# fmt: on
"""The presets. Weights without a head, with the whole vocabulary: tiny 4.0 M, mini 11.0 M,
small 28.2 M, medium 40.8 M, base 108.5 M, awd-lstm-small 11.1 M, awd-lstm 44.3 M.

From mini to base they are the sizes of Turc et al. 2019, "Well-Read Students Learn Better";
awd-lstm is that of Merity et al. 2018, "Regularizing and Optimizing LSTM Language Models".
"""


def preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        UnknownNameError: there is none; the message offers the nearest.
    """
    found = {one.name: one for one in PRESETS}
    if name not in found:
        raise UnknownNameError("preset", name, found)
    return found[name]


def is_preset(name: str) -> bool:
    """Whether there is a preset of that name."""
    return any(one.name == name for one in PRESETS)


def check_sizes(sizes: Preset) -> None:
    """Refuse sizes that no model can have.

    Raises:
        RecipeError: the width does not divide into heads, or there are none.
    """
    if sizes.architecture == "awd-lstm":
        return
    if sizes.heads < 1:
        raise RecipeError(
            f"{sizes.architecture} needs attention heads, and the preset {sizes.name} has none; "
            "set heads, or take another preset"
        )
    step = 2 * sizes.heads if sizes.architecture == "modernbert" else sizes.heads
    if sizes.width % step:
        raise RecipeError(
            f"a width of {sizes.width} cannot be divided into {sizes.heads} attention heads"
            + (" of even size" if step > sizes.heads else "")
        )


def configuration(sizes: Preset, tokenizer: Any) -> Any:
    """The `PretrainedConfig` of an encoder of these sizes for a tokenizer.

    Args:
        sizes: architecture and sizes; `pieces` gives way to what the tokenizer has.
        tokenizer: a transformers tokenizer; its `model_max_length` is set to the context, and it
            no longer gives token types to an architecture without them.

    Raises:
        RecipeError: the width does not divide into heads.
    """
    from transformers import AutoConfig

    check_sizes(sizes)
    tokenizer.model_max_length = sizes.context
    if sizes.architecture == "awd-lstm":
        return _awd_lstm(sizes, tokenizer)
    if sizes.architecture in _WITHOUT_TOKEN_TYPES:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    # RoBERTa counts positions from the one after the padding id.
    unused = tokenizer.pad_token_id + 1 if sizes.architecture == "roberta" else 0
    values = {
        "vocab_size": len(tokenizer),
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        _FEED_FORWARD.get(sizes.architecture, "intermediate_size"): sizes.feed_forward,
        "max_position_embeddings": sizes.context + unused,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        **_extra(sizes, tokenizer),
    }
    return AutoConfig.for_model(sizes.architecture, **values)


_FEED_FORWARD: Final = {"distilbert": "hidden_dim"}


def _extra(sizes: Preset, tokenizer: Any) -> dict[str, Any]:
    """What one architecture alone has."""
    if sizes.architecture == "electra":
        return {"embedding_size": sizes.width}
    if sizes.architecture == "modernbert":
        ends = {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        return {**ends, "local_attention": min(128, sizes.context)}
    return {}


def _awd_lstm(sizes: Preset, tokenizer: Any) -> Any:
    from finetext.encoders.auto import register
    from finetext.encoders.awd_lstm import AwdLstmConfig

    register()
    return AwdLstmConfig(
        vocab_size=len(tokenizer),
        embedding_size=sizes.width,
        inner_size=sizes.feed_forward,
        num_hidden_layers=sizes.layers,
        unk_token_id=tokenizer.unk_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )


PREFIX: Final = "random:"


def is_random(name: str) -> bool:
    """Whether a name stands for random weights."""
    return name.startswith(PREFIX)


def preset_of(name: str) -> Preset | None:
    """The preset that a `random:` name stands for; None for any other name."""
    rest = name.removeprefix(PREFIX)
    return preset(rest) if is_random(name) and is_preset(rest) else None


def original(name: str) -> str | None:
    """The encoder whose configuration and tokenizer are taken; None for those of a preset.

    That is what follows `random:`, and any other name itself.
    """
    return name.removeprefix(PREFIX) if preset_of(name) is None else None
