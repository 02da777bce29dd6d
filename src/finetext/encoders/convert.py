"""Convert the weights of a published AWD-LSTM, in fastai's names, into an encoder folder.

The file of the English model of ULMFiT (trained on WikiText-103) holds the parameters of its
language model by name, and comes with a list of its words by id. Files of three generations are
read: they differ in the prefix of the names, the names of the special words, and the bias of the
output layer.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import Tensor

from finetext.core.errors import ModelError
from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM
from finetext.encoders.load import quiet
from finetext.encoders.vocabulary import record_vocabulary
from finetext.encoders.word_tokenizer import SPECIAL, WordTokenizer
from finetext.storage.files import replaced_folder

_LAYER: Final = re.compile(
    r"(?:0\.)?rnns\.(\d+)\.(?:module\.)?(weight_ih|weight_hh|bias_ih|bias_hh)_l0(_raw)?"
)
_OLD_NAMES: Final = {
    "_unk_": "xxunk", "_pad_": "xxpad", "xbos": "xxbos", "t_up": "xxup", "tk_rep": "xxrep",
    "tk_wrep": "xxwrep",
}  # fmt: skip
_LAYOUT: Final = "a language model with 0.encoder.weight and 0.rnns.0.weight_hh_l0_raw"


@dataclass(frozen=True)
class Converted:
    """An encoder folder that was made from published weights, and the sizes that were found."""

    folder: Path
    words: int
    embedding_size: int
    inner_size: int
    layers: int


def convert(weights: str | Path, vocabulary: str | Path, out: str | Path) -> Converted:
    """Make an encoder folder from published AWD-LSTM weights; no code in the files is run.

    The folder is an encoder for `adapt`, `Finetune`, `Probe` and `generate` by its path.

    Args:
        weights: the file that fastai reads (`.pth`): a dictionary of tensors by name. The sizes are
            taken from the tensors.
        vocabulary: the words by id: a list of strings as `.pkl` or `.json`, or one per line.
        out: the folder to write, new or empty.

    Returns:
        the folder and the sizes.

    Raises:
        ModelError: a file cannot be read, holds more than tensors or words, or has another layout;
            or the folder is not empty or cannot be written.
    """
    weights, vocabulary, out = Path(weights), Path(vocabulary), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out} exists and is not empty; choose another folder")
    words = read_words(vocabulary)
    parameters = _renamed(weights, read_weights(weights))
    rows = len(parameters["model.embedding.weight"])
    if len(words) != rows:
        raise ModelError(
            f"{vocabulary} has {len(words):,} words and {weights} has embeddings of {rows:,}: they "
            "belong to different models"
        )
    tokenizer = WordTokenizer.of_words(_with_special(words, parameters))
    parameters["lm_head.weight"] = parameters["model.embedding.weight"]
    model = AwdLstmForCausalLM(_config(weights, parameters, tokenizer))
    model.load_state_dict(parameters)
    try:
        with quiet(), replaced_folder(out) as unfinished:
            record_vocabulary(model, tokenizer)
            model.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{out} cannot be written: {error}") from None
    sizes = model.config
    return Converted(
        out, sizes.vocab_size, sizes.embedding_size, sizes.inner_size, sizes.num_hidden_layers
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, in fp32 on the CPU; no code in it is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, on pickles that it did not write
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    except Exception:  # whatever an unpickler raises on damaged bytes
        raise ModelError(
            f"{path} is damaged, or holds more than tensors, which could run code; needed is "
            f"{_LAYOUT}"
        ) from None
    if isinstance(found, Mapping) and isinstance(found.get("model"), Mapping):
        found = found["model"]
    items = found.items() if isinstance(found, Mapping) else ()
    tensors = {str(name): of.float() for name, of in items if isinstance(of, Tensor)}
    if not tensors:
        raise ModelError(f"{path} holds no weights by name; needed is {_LAYOUT}")
    return tensors


def read_words(path: Path) -> list[str]:
    """Return the words of a vocabulary by id, all different, special ones in today's names."""
    try:
        if path.suffix == ".pkl":
            with path.open("rb") as file:
                found = _PlainUnpickler(file).load()
        else:
            text = path.read_text(encoding="utf-8")
            is_json = path.suffix == ".json"
            found = json.loads(text) if is_json else text.removesuffix("\n").split("\n")
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    except Exception as error:  # whatever an unpickler raises on damaged bytes
        raise ModelError(f"{path} is no list of words: {error}") from None
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise ModelError(f"{path} is no list of words: it must hold one string per id")
    words: dict[str, None] = {}
    for number, word in enumerate(found):
        name = _OLD_NAMES.get(word, word)
        words[f"xxunused {number}" if name in words else name] = None
    return list(words)


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, strings and numbers; refuses anything else in the file instead of running it."""

    def find_class(self, module: str, name: str) -> Any:
        raise ModelError(f"it would run {module}.{name}, which a list of words does not need")

    def persistent_load(self, identity: Any) -> Any:
        raise ModelError("it refers to something outside of the file")


def _renamed(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of the encoder and the bias of the output layer, in finetext's names."""
    parameters: dict[str, Tensor] = {}
    for name, tensor in sorted(tensors.items()):  # raw weights sort after those with dropout
        if found := _LAYER.fullmatch(name):
            parameters[f"model.layers.{found[1]}.{found[2]}"] = tensor
    embedding = tensors.get("0.encoder.weight", tensors.get("encoder.weight"))
    if embedding is None or embedding.ndim != 2 or not parameters:
        some = ", ".join(sorted(tensors)[:3])
        raise ModelError(f"{path} is not {_LAYOUT}: it has {some}")
    parameters["model.embedding.weight"] = embedding
    parameters["lm_head.bias"] = tensors.get("1.decoder.bias", torch.zeros(len(embedding)))
    return parameters


def _with_special(words: list[str], parameters: dict[str, Tensor]) -> list[str]:
    """The words and those that the tokenizer needs, which get a mean row in `parameters`."""
    absent = [word for word in SPECIAL if word not in words]
    for name in ("model.embedding.weight", "lm_head.bias"):
        mean = parameters[name].mean(0, keepdim=True)
        parameters[name] = torch.cat([parameters[name], *([mean] * len(absent))])
    return [*words, *absent]


def _config(path: Path, parameters: Mapping[str, Tensor], tokenizer: Any) -> Any:
    """The configuration that fits the shapes; a ModelError if none does."""
    rows, width = parameters["model.embedding.weight"].shape
    first = parameters.get("model.layers.0.weight_hh")
    layers = [int(name.split(".")[2]) for name in parameters if ".layers." in name]
    config = AwdLstmConfig(
        vocab_size=rows,
        embedding_size=width,
        inner_size=width if first is None else first.shape[-1],
        num_hidden_layers=1 + max(layers),
        unk_token_id=tokenizer.unk_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    with torch.device("meta"):
        wanted = AwdLstmForCausalLM(config).state_dict()
    for name, shape in ((name, tuple(tensor.shape)) for name, tensor in wanted.items()):
        if name not in parameters:
            raise ModelError(f"{path} is not {_LAYOUT}: it lacks what finetext calls {name}")
        if (found := tuple(parameters[name].shape)) != shape:
            raise ModelError(f"{path} is not {_LAYOUT}: {name} is {found}, not {shape}")
    return config
