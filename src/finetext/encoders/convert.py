"""Weights of a published AWD-LSTM, as fastai's library names them, as an encoder folder of ours.

The file of the English model of ULMFiT (trained on WikiText-103) holds the parameters of its
language model by name, and comes with a list of its words by number. Files of three generations
are read: they differ in the prefix of the names, in those of the special words, and in whether the
output layer has a bias.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import ModelError
from finetext.storage.files import replaced_folder

if TYPE_CHECKING:
    from torch import Tensor


_PART: Final = re.compile(
    r"(?:0\.)?rnns\.(\d+)\.(?:module\.)?(weight_ih|weight_hh|bias_ih|bias_hh)_l0(_raw)?"
)
_EMBEDDING: Final = "0.encoder.weight"
_BIAS: Final = "1.decoder.bias"
_OLD_NAMES: Final = {
    "_unk_": "xxunk", "_pad_": "xxpad", "xbos": "xxbos", "t_up": "xxup", "tk_rep": "xxrep",
    "tk_wrep": "xxwrep",
}  # fmt: skip
_LAYOUT: Final = "a language model with 0.encoder.weight and 0.rnns.0.weight_hh_l0_raw"


def convert(weights: Path, vocabulary: Path, out: Path) -> Any:
    """Write an encoder folder from a file of weights and a list of words.

    Nothing in the files is run: the weights are read as tensors only, the words as strings only.
    Words that the tokenizer cannot do without and the list lacks get the mean of all embeddings.

    Args:
        weights: what `torch.save` wrote of a dictionary of parameters.
        vocabulary: the words by number: a list of strings as `.pkl` or `.json`, or one a line.
        out: the folder, which must be new or empty.

    Returns:
        the language model, an `AwdLstmForCausalLM`.

    Raises:
        ModelError: a file cannot be read or is of another layout, both do not fit each other, or
            the folder is taken or cannot be written.
    """
    from safetensors import SafetensorError

    from finetext.encoders.awd_lstm import AwdLstmForCausalLM
    from finetext.encoders.load import quiet
    from finetext.encoders.word_tokenizer import WordTokenizer

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out} is there already and not empty; choose another folder")
    words = read_words(vocabulary)
    parts = _named_as_ours(weights, read_weights(weights))
    rows = len(parts["model.embedding.weight"])
    if len(words) != rows:
        raise ModelError(
            f"{vocabulary} has {len(words):,} words and {weights} has embeddings of {rows:,}: they "
            "belong to different models"
        )
    tokenizer = WordTokenizer.of_words(_with_special(words, parts))
    parts["lm_head.weight"] = parts["model.embedding.weight"]
    model = AwdLstmForCausalLM(_config(weights, parts, tokenizer))
    model.load_state_dict(parts)
    try:
        with quiet(), replaced_folder(out) as unfinished:
            model.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{out} cannot be written: {error}") from None
    return model


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, in fp32 on the processor; no code in it is run.

    Raises:
        ModelError: it cannot be read, or holds no tensors by name.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, on pickles that it did not write
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    except Exception:  # whatever damaged bytes make of an unpickler
        raise ModelError(
            f"{path} is damaged, or holds more than tensors, which could run code; needed is "
            f"{_LAYOUT}"
        ) from None
    if isinstance(found, Mapping) and isinstance(found.get("model"), Mapping):
        found = found["model"]
    if not isinstance(found, Mapping):
        raise ModelError(f"{path} holds no weights by name; needed is {_LAYOUT}")
    tensors = {str(k): of.float() for k, of in found.items() if isinstance(of, torch.Tensor)}
    if not tensors:
        raise ModelError(f"{path} holds no weights; needed is {_LAYOUT}")
    return tensors


def read_words(path: Path) -> list[str]:
    """The words of a vocabulary by number, in the names of our tokenizer and all different.

    Raises:
        ModelError: it cannot be read, or is no list of words.
    """
    try:
        if path.suffix == ".pkl":
            with path.open("rb") as file:
                found = _OnlyPlainValues(file).load()
        elif path.suffix == ".json":
            found = json.loads(path.read_text(encoding="utf-8"))
        else:
            found = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    except Exception as error:  # whatever damaged bytes make of an unpickler
        raise ModelError(f"{path} is no list of words: {error}") from None
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise ModelError(f"{path} is no list of words: it must hold strings, one for each number")
    return _different([_OLD_NAMES.get(str(word), str(word)) for word in found])


class _OnlyPlainValues(pickle.Unpickler):
    """Reads lists, strings and numbers; anything else in the file is refused, not run."""

    def find_class(self, module: str, name: str) -> Any:
        raise ModelError(f"it wants to run {module}.{name}, which a list of words has no need of")

    def persistent_load(self, identity: Any) -> Any:
        raise ModelError("it refers to something outside of the file")


def _different(words: list[str]) -> list[str]:
    """Words that stand there again, as the filling `xxfake` does, get names that no text has."""
    numbers: dict[str, int] = {}
    for number, word in enumerate(words):
        numbers.setdefault(word, number)
    return [
        word if numbers[word] == number else f"xxunused {number}"
        for number, word in enumerate(words)
    ]


def _named_as_ours(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of the encoder and the bias of the output layer, in our names."""
    import torch

    parts: dict[str, Tensor] = {}
    for name, tensor in sorted(tensors.items()):  # raw weights come after those with dropout
        if found := _PART.fullmatch(name):
            parts[f"model.layers.{found[1]}.{found[2]}"] = tensor
    embedding = tensors.get(_EMBEDDING, tensors.get("encoder.weight"))
    if embedding is None or embedding.ndim != 2 or not parts:
        some = ", ".join(sorted(tensors)[:3])
        raise ModelError(f"{path} is not {_LAYOUT}: it has {some}")
    parts["model.embedding.weight"] = embedding
    parts["lm_head.bias"] = tensors.get(_BIAS, torch.zeros(len(embedding)))
    return parts


def _with_special(words: list[str], parts: dict[str, Tensor]) -> list[str]:
    """The words and those that the tokenizer needs; these get a mean row in `parts`."""
    import torch

    from finetext.encoders.word_tokenizer import SPECIAL

    absent = [word for word in SPECIAL if word not in words]
    for name in ("model.embedding.weight", "lm_head.bias"):
        mean = parts[name].mean(0, keepdim=True)
        parts[name] = torch.cat([parts[name], *([mean] * len(absent))])
    return [*words, *absent]


def _config(path: Path, parts: Mapping[str, Tensor], tokenizer: Any) -> Any:
    """The configuration that the shapes speak of.

    Raises:
        ModelError: parts are missing, or of shapes that no AWD-LSTM has.
    """
    import torch

    from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM

    rows, width = parts["model.embedding.weight"].shape
    first = parts.get("model.layers.0.weight_hh")
    config = AwdLstmConfig(
        vocab_size=rows,
        embedding_size=width,
        inner_size=width if first is None else first.shape[-1],
        num_hidden_layers=1 + max(int(name.split(".")[2]) for name in parts if ".layers." in name),
        unk_token_id=tokenizer.unk_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    with torch.device("meta"):
        wanted = {name: of.shape for name, of in AwdLstmForCausalLM(config).state_dict().items()}
    for name, shape in wanted.items():
        if name not in parts:
            raise ModelError(f"{path} is not {_LAYOUT}: it lacks what we call {name}")
        found = tuple(parts[name].shape)
        if found != tuple(shape):
            raise ModelError(f"{path} is not {_LAYOUT}: {name} is {found}, not {tuple(shape)}")
    return config
