"""The files of an encoder that transformers gets to see, in a private folder.

Only safetensors, JSON and the texts and models of tokenizers are among them, each opened without
following a link out of the encoder's folder, and the configurations are checked before
(`config_keys`). So neither a pickle nor code beside the weights can be loaded, whatever
transformers looks for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from finetext.core.errors import ModelError
from finetext.encoders.config_keys import check_config, check_tokenizer_config
from finetext.storage.received import (
    OutsideError,
    names_received,
    private_folder,
    read_received,
    read_received_text,
)

CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
_WEIGHTS: Final = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_TEXTS: Final = (".json", ".txt", ".model", ".spm", ".codes", ".vocab", ".tiktoken", ".jinja")
_NOT_FOR_TEXT: Final = re.compile(
    r"(?!(generation_|tokenizer_)?config\.json).*config\.json|modules\.json"
    r"|(?!model\.safetensors).*\.index\.json"
)
_UNSAFE: Final = (
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".msgpack", ".npy", ".npz",
    ".gguf", ".ot",
)  # fmt: skip
"""How the names of weights end that are not read: most of these formats can hold code."""
_TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_SPECIAL: Final = "special_tokens_map.json"
_ADAPTER: Final = "adapter_config.json"
_MODULES: Final = "modules.json"
_OWN_MODULES: Final = "sentence_transformers."
LARGEST_CONFIG: Final = 16 << 20
HUB_TEXTS: Final = tuple(f"*{ending}" for ending in _TEXTS)
HUB_WEIGHTS: Final = ("model.safetensors", "model-*-of-*.safetensors", INDEX)


@contextmanager
def encoder_files(
    encoder: str, folder: Path, with_weights: bool, takes_gliclass: bool = False
) -> Iterator[Path]:
    """Yield a private folder with the files of an encoder that transformers may read.

    Raises:
        ModelError: a file is a link that leads out of the folder, a configuration names code, or
            there are no weights in safetensors, though they are asked for.
    """
    try:
        names = [name for name in _names(folder) if with_weights or not _WEIGHTS.fullmatch(name)]
        there = {name for part in names_received(folder) for name in part if "/" not in name}
        _check_others(encoder, folder, there)
        with private_folder(folder, names) as place:
            _check_configs(encoder, place, names, takes_gliclass)
            if with_weights:
                _check_weights(encoder, place, names, there)
            yield place
    except OutsideError as error:
        raise ModelError(f"{encoder}: {error}") from None


def _names(folder: Path) -> list[str]:
    """Return the names of the files to read; those of links that lead out are among them."""
    files, others = names_received(folder)
    return sorted(
        name
        for name in (*files, *others)
        if "/" not in name and (_WEIGHTS.fullmatch(name) or name.endswith(_TEXTS))
        and not _NOT_FOR_TEXT.fullmatch(name)
    )  # fmt: skip


def _check_others(encoder: str, folder: Path, there: set[str]) -> None:
    """Raise a ModelError for files that other libraries follow to weights or code elsewhere."""
    if _ADAPTER in there:
        raise ModelError(
            f"{encoder} holds an adapter ({_ADAPTER}), which names other weights to load; merge "
            "the adapter into its model, save that, and use its folder"
        )
    if _MODULES in there:
        _check_modules(encoder, folder)


def _check_modules(encoder: str, folder: Path) -> None:
    """Raise a ModelError if sentence-transformers would import code for the encoder."""
    modules = _parsed(encoder, folder, _MODULES)
    for module in modules if isinstance(modules, list) else [modules]:
        kind = module.get("type") if isinstance(module, dict) else module
        if not str(kind).startswith(_OWN_MODULES):
            raise ModelError(
                f"{encoder}: {_MODULES} names the code {str(kind)[:100]!r}, which finetext does "
                "not run; use a model whose modules are all of sentence_transformers"
            )


def _check_configs(encoder: str, place: Path, names: list[str], takes_gliclass: bool) -> None:
    """Check every configuration; the one of the tokenizer is written again without paths."""
    for name in names:
        if name in (_TOKENIZER_CONFIG, _SPECIAL):
            values, only_tokens = _parsed(encoder, place, name), name == _SPECIAL
            config = check_tokenizer_config(encoder, name, values, only_tokens)
            (place / name).write_text(json.dumps(config, ensure_ascii=False), "utf-8")
        elif name.endswith("config.json"):
            config = _parsed(encoder, place, name)
            check_config(encoder, name, config, name == CONFIG, takes_gliclass)


def _check_weights(encoder: str, place: Path, names: list[str], there: set[str]) -> None:
    """Raise a ModelError if there are no weights, or their index names any other file."""
    if not any(map(_WEIGHTS.fullmatch, names)):
        unsafe = sorted(name for name in there if name.endswith(_UNSAFE))
        found = f"{', '.join(unsafe[:3])}: other formats can hold code" if unsafe else "none here"
        raise ModelError(
            f"{encoder} has no weights in safetensors, the only format that finetext loads "
            f"({found}); use a version of the model with model.safetensors, or make one of weights "
            "that you trust with `finetext convert` (docs/how-to/language-models.md)"
        )
    if INDEX not in names:
        return
    index = _parsed(encoder, place, INDEX)
    parts = index.get("weight_map") if isinstance(index, dict) else None
    parts = set(map(str, parts.values())) if isinstance(parts, dict) else {str(parts)}
    wrong = sorted(name for name in parts if not _WEIGHTS.fullmatch(name) or name not in names)
    if wrong:
        raise ModelError(
            f"{encoder}: {INDEX} names {wrong[0][:100]!r}, which is no file with weights in this "
            "folder; copy all model-*.safetensors here again"
        )


def _parsed(encoder: str, folder: Path, name: str) -> Any:
    try:
        if name.endswith("config.json") or name in (_MODULES, INDEX):
            read_received(folder, name, LARGEST_CONFIG)
        return json.loads(read_received_text(folder, name))
    except OutsideError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        why = str(error) or type(error).__name__
        raise ModelError(f"{encoder}: {name} is damaged: {why}; copy it there again") from None
