"""Convert weights that other programs trained into an encoder folder.

With a mapping of names they are those of a transformer (see `foreign_weights`), and else of a
published AWD-LSTM in fastai's names: the file of the English model of ULMFiT (trained on
WikiText-103) holds the parameters of its language model by name, and comes with a list of its words
by id. Files of three generations are read: they differ in the prefix of the names, the names of the
special words, and the bias of the output layer.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor

from finetext.core.budget import file_bytes, reading, take, take_json, within_memory
from finetext.core.errors import ModelError, RecipeError, TooLargeError
from finetext.core.settings import made
from finetext.data.archives import open_zip
from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM
from finetext.encoders.foreign_weights import (
    Architecture,
    as_floats,
    assemble,
    read_arrays,
    read_tokenizer,
)
from finetext.encoders.load import drop_unused_token_types, quiet
from finetext.encoders.name_mapping import NameMapping, read_mapping
from finetext.encoders.transformer import Activation, Positions, TransformerForMaskedLM
from finetext.encoders.vocabulary import record_vocabulary, unused_rows
from finetext.encoders.word_rules import SPECIAL
from finetext.encoders.word_tokenizer import WordTokenizer
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
    """An encoder folder that was made from other weights, and the sizes that were found.

    `words` counts those of an AWD-LSTM, or the tokens of a transformer, whose `embedding_size` is
    its width and whose `inner_size` is that of its feed-forward networks. For a transformer,
    `heads`, `positions`, `activation` and `context` are as they were given, `objective` is "masked"
    if the head of its language model was found, `left_out` names the arrays without a use, and
    `note` says if the tokenizer has far fewer tokens than there are embeddings.
    """

    folder: Path
    words: int
    embedding_size: int
    inner_size: int
    layers: int
    heads: int | None = None
    positions: Positions | None = None
    activation: Activation | None = None
    context: int | None = None
    objective: Literal["masked", "causal"] | None = "causal"
    left_out: tuple[str, ...] = ()
    note: str | None = None


@within_memory
def convert(
    weights: str | Path,
    vocabulary: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any] | None = None,
    *,
    heads: int | None = None,
    positions: Positions | None = None,
    activation: Activation | None = None,
    context: int | None = None,
) -> Converted:
    """Make an encoder folder from weights of another program; no code in the files is run.

    The folder is an encoder for `adapt`, `Finetune`, `Probe` and `features` by its path.

    Args:
        weights: with a mapping, the arrays by name as `.npz` or safetensors; without one, the file
            of an AWD-LSTM that fastai reads (`.pth`). The sizes are taken from the arrays.
        vocabulary: with a mapping, the `tokenizer.json` of the library tokenizers; without one, the
            words by id: a list of strings as `.pkl` or `.json`, or one per line.
        out: the folder to write, new or empty.
        mapping: the name of the array for each parameter: "haiku", a dictionary, or a JSON or TOML
            file of one (see docs/how-to/language-models.md).
        heads: attention heads; arrays do not say it, so a mapping needs it.
        positions: "sinusoidal", "learned" or "none"; a mapping needs it, too.
        activation: "relu" (the default), "gelu", "gelu-tanh" (gelu of JAX) or "silu".
        context: longest input in tokens; by default 512, or the number of learned positions.

    Returns:
        the folder, the sizes, and the arrays that were left out.

    Raises:
        ModelError: a file cannot be read, holds more than numbers or words, or has another layout;
            or the folder is not empty or cannot be written.
        RecipeError: the mapping is wrong, or an option is missing or does not fit.
    """
    weights, vocabulary, out = Path(weights), Path(vocabulary), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out} exists and is not empty; choose another folder")
    options = {
        "heads": heads, "positions": positions, "activation": activation, "context": context,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    if mapping is not None:
        made_of = _transformer(weights, vocabulary, read_mapping(mapping), given)
    elif weights.suffix in (".npz", ".safetensors") or given:
        raise RecipeError(
            f"{weights}: weights of a transformer need a mapping of names; give mapping, such as "
            "haiku (without one they are those of an AWD-LSTM, in a .pth file)"
        )
    else:
        made_of = _awd_lstm(weights, vocabulary)
    model, tokenizer, found = made_of
    _write(out, model, tokenizer)
    return Converted(out, **found)


def _write(out: Path, model: Any, tokenizer: Any) -> None:
    try:
        with quiet(), replaced_folder(out) as unfinished:
            record_vocabulary(model, tokenizer)
            model.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{out} cannot be written: {error}") from None


def _transformer(
    weights: Path, vocabulary: Path, names: NameMapping, given: dict[str, Any]
) -> tuple[Any, Any, dict[str, Any]]:
    """A transformer with the arrays as weights, its tokenizer, and what was found."""
    if not {"heads", "positions"} <= given.keys():
        raise RecipeError(
            f"{weights} does not say how many attention heads the encoder has, and which "
            "positions; give heads (a number) and positions (sinusoidal, learned or none)"
        )
    architecture = made("convert", Architecture, given)
    model, left_out = assemble(weights, read_arrays(weights), names, architecture)
    tokenizer = read_tokenizer(vocabulary, model.config)
    drop_unused_token_types(tokenizer, model)
    found = {
        "words": len(tokenizer),
        "embedding_size": model.config.hidden_size,
        "inner_size": model.config.intermediate_size,
        "layers": model.config.num_hidden_layers,
        "activation": architecture.activation,
        **given,
        "context": model.config.max_position_embeddings,
        "objective": "masked" if isinstance(model, TransformerForMaskedLM) else None,
        "left_out": tuple(left_out),
        "note": unused_rows(str(weights), model, tokenizer),
    }
    return model, tokenizer, found


def _awd_lstm(weights: Path, vocabulary: Path) -> tuple[Any, Any, dict[str, Any]]:
    """The language model of a published AWD-LSTM, its tokenizer, and the sizes."""
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
    found = {
        "words": model.config.vocab_size,
        "embedding_size": model.config.embedding_size,
        "inner_size": model.config.inner_size,
        "layers": model.config.num_hidden_layers,
    }
    return model, tokenizer, found


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, in fp32 on the CPU; no code in it is run."""
    try:
        with warnings.catch_warnings(), reading():
            _take_packed(path)
            warnings.simplefilter("ignore")  # of torch, on pickles that it did not write
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (TooLargeError, MemoryError):
        raise
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
    with reading():
        tensors = {str(name): as_floats(of, path) for name, of in items if isinstance(of, Tensor)}
    if not tensors:
        raise ModelError(f"{path} holds no weights by name; needed is {_LAYOUT}")
    return tensors


def _take_packed(path: Path) -> None:
    """Count what is in a file that is a zip archive, as torch takes memory for it."""
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            with open_zip(file, str(path)) as packed:
                take(sum(of.file_size for of in packed.infolist()), str(path))


def read_words(path: Path) -> list[str]:
    """Return the words of a vocabulary by id, all different, special ones in today's names."""
    try:
        if path.suffix == ".pkl":
            with path.open("rb") as file:
                found = _PlainUnpickler(file).load()
        else:
            text = file_bytes(path).decode("utf-8")
            is_json = path.suffix == ".json"
            take_json(text, str(path))
            found = json.loads(text) if is_json else text.removesuffix("\n").split("\n")
    except (TooLargeError, MemoryError):
        raise
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


class _PlainUnpickler(pickle._Unpickler):
    """Reads lists, strings and numbers; refuses anything else in the file instead of running it.

    The one in C takes memory for places that the file merely names.
    """

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
