"""A transformer encoder from a plain dictionary of arrays, by a mapping of names.

Only `.npz` and safetensors are read, as neither can run code. The mapping gives the array for each
parameter of `TransformerForMaskedLM`; sizes are those of the arrays. Each array is used once, or
named as left out: that is how a wrong mapping, or a missing layer, shows.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from finetext.core.budget import file_bytes, reading, take
from finetext.core.errors import FinetextError, ModelError, RecipeError
from finetext.core.settings import Count, Tokens
from finetext.data.archives import open_zip
from finetext.encoders.auto import DEFAULT_CONTEXT
from finetext.encoders.name_mapping import HEAD, NameMapping, array_of, parameters, some
from finetext.encoders.scratch import SPECIAL, fast_tokenizer
from finetext.encoders.transformer import (
    Activation,
    Positions,
    TransformerConfig,
    TransformerForMaskedLM,
    TransformerModel,
)

_PICKLES: Final = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib")
_ENCODER: Final = "encoder."
_WRITE: Final = (
    "write the arrays with numpy.savez or safetensors (docs/how-to/language-models.md says how)"
)


@dataclass(frozen=True)
class Architecture:
    """What arrays do not say about an encoder.

    Attributes:
        heads: attention heads.
        positions: "sinusoidal", "learned" or "none".
        activation: of the feed-forward networks and the head.
        context: longest input in tokens; None is the number of learned positions, or 512.
    """

    heads: Count
    positions: Positions
    activation: Activation = "relu"
    context: Tokens | None = None


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Return the arrays of an `.npz` or safetensors file by name, in fp32.

    Raises:
        ModelError: the file is of another kind or damaged, or holds anything but numbers.
    """
    if path.suffix not in (".npz", ".safetensors"):
        why = "finetext takes arrays from .npz and .safetensors files only"
        if path.suffix in _PICKLES:
            why = f"a {path.suffix} file is a pickle, which can run any code when it is loaded"
        raise ModelError(f"{path} is not read: {why}; {_WRITE}")
    try:
        if path.suffix == ".safetensors":
            return {name: as_floats(tensor, path) for name, tensor in load_file(path).items()}
        with path.open("rb") as opened, reading():
            with open_zip(opened, str(path)) as archive:
                sizes = _sizes(path, archive)
            opened.seek(0)
            with np.lib.npyio.NpzFile(opened, allow_pickle=False) as file:
                return {name: _plain(path, name, file, sizes) for name in file.files}
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file; check its name") from None
    except (
        OSError,
        ValueError,
        EOFError,
        RuntimeError,  # encrypted, or compressed in an unknown way
        zipfile.BadZipFile,
        zlib.error,
        SafetensorError,
    ) as error:
        raise ModelError(f"{path} is damaged: {error}; copy or write it again") from None


def as_floats(tensor: Tensor, path: Path) -> Tensor:
    """Return a tensor in fp32, counted before it is; raises a TooLargeError."""
    take(4 * tensor.numel(), str(path))
    return tensor.float()


def _sizes(path: Path, archive: zipfile.ZipFile) -> dict[str, int]:
    """Return the bytes that each array takes, and in fp32 as well, as its own header says."""
    sizes = {}
    for member in archive.infolist():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError(f"{path}: {member.filename} is compressed as numpy does not; {_WRITE}")
        name = member.filename.removesuffix(".npy")
        with archive.open(member) as file:
            try:
                version = np.lib.format.read_magic(file)
            except ValueError:
                raise ModelError(f"{path}: {name} holds no array, not numbers") from None
            is_first = version == (1, 0)
            form = np.lib.format
            read = form.read_array_header_1_0 if is_first else form.read_array_header_2_0
            shape, _, dtype = read(file)
        sizes[name] = math.prod(shape) * (dtype.itemsize + 4)
    return sizes


def _plain(path: Path, name: str, file: Any, sizes: Mapping[str, int]) -> Tensor:
    take(sizes.get(name, 0), f"{path}, {name},")
    try:
        array = file[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ModelError(
            f"{path}: {name} holds Python objects, not numbers, and loading them could run code; "
            f"{_WRITE}"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        kind = getattr(array, "dtype", "no array")
        raise ModelError(f"{path}: {name} holds {kind}, not numbers; write it as float32")
    with np.errstate(over="ignore"):
        return torch.from_numpy(array.astype(np.float32))


def assemble(
    path: Path, arrays: Mapping[str, Tensor], mapping: NameMapping, architecture: Architecture
) -> tuple[Any, list[str]]:
    """Return a model with the arrays of a file as weights, and the names of those left out.

    It is a `TransformerForMaskedLM` if the arrays of its head are there, and else the bare encoder.

    Raises:
        ModelError: arrays are missing, used twice, of the wrong shape, or not finite.
        RecipeError: heads or context do not fit the sizes.
    """
    if architecture.positions == "learned" and "positions.weight" not in mapping.names:
        raise RecipeError(
            "the mapping has no array for positions.weight, which learned positions need"
        )
    layers = _count_layers(arrays, mapping.names)
    places = {
        name.replace("{n}", str(number)): array_of(array, number)
        for name, array in mapping.names.items()
        for number in range(layers if "{n}" in name else 1)
        if architecture.positions == "learned" or not name.startswith("positions.")
    }
    head = {name: array for name, array in places.items() if name.startswith(HEAD)}
    if not _has_head(arrays, head, places["embedding.weight"]):
        places = {name: array for name, array in places.items() if name not in head}
    _check_names(path, arrays, places, layers)
    weights = {name: arrays[array] for name, array in places.items()}
    if mapping.transpose:
        for name in places:
            is_table = name in ("embedding.weight", "positions.weight")
            if weights[name].ndim == 2 and not is_table:
                weights[name] = weights[name].T.contiguous()
    has_head = any(name in places for name in head)
    config = _config(path, weights, layers, mapping, architecture)
    with torch.device("meta"):
        model: Any = TransformerForMaskedLM(config) if has_head else TransformerModel(config)
    prefix = _ENCODER if has_head else ""
    state = {name if name in head else prefix + name: of for name, of in weights.items()}
    for name, wanted in model.state_dict().items():
        ours = name.removeprefix(prefix)
        if (shape := tuple(weights[ours].shape)) != tuple(wanted.shape):
            raise ModelError(
                f"{path}: {places[ours]} has the shape {shape}, and {ours} needs "
                f"{tuple(wanted.shape)}; check the mapping, and whether `transpose` is right"
            )
        if not torch.isfinite(weights[ours]).all():
            raise ModelError(
                f"{path}: {places[ours]} has values that are not finite (NaN or infinity), so "
                "training failed or fp32 is too narrow; take an earlier checkpoint"
            )
    model.load_state_dict(state, assign=True)
    return model.eval(), sorted(set(arrays) - set(places.values()))


def _count_layers(arrays: Mapping[str, Tensor], names: Mapping[str, str]) -> int:
    """One more than the last number for which at least half of a layer's arrays are there.

    Not all: a layer that lacks one is an error. Not any: other arrays can have such names, too.
    """
    of_a_layer = [array for name, array in names.items() if "{n}" in name]
    layers = 0
    for number in range(len(arrays)):
        there = sum(array_of(array, number) in arrays for array in of_a_layer)
        if 2 * there >= len(of_a_layer):
            layers = number + 1
    return layers


def _has_head(arrays: Mapping[str, Tensor], head: Mapping[str, str], embedding: str) -> bool:
    """Whether all arrays of a language-model head are there, for as many tokens as embeddings."""
    names = {name.removeprefix(_ENCODER) for name in parameters() if name.startswith(HEAD)}
    if set(head) != names or not set(head.values()) <= set(arrays) or embedding not in arrays:
        return False
    return arrays[head["output.bias"]].shape == arrays[embedding].shape[:1]


def _check_names(
    path: Path, arrays: Mapping[str, Tensor], places: Mapping[str, str], layers: int
) -> None:
    has = f"it has {some(sorted(arrays))}"
    if not layers:
        raise ModelError(f"{path} has no layer as the mapping names them; {has}; check the mapping")
    absent = [f"{array} ({name})" for name, array in places.items() if array not in arrays]
    if absent:
        raise ModelError(f"{path} lacks {some(absent)}; {has}; check the mapping")
    twice = [array for array, uses in Counter(places.values()).items() if uses > 1]
    if twice:
        users = [name for name, array in places.items() if array == twice[0]]
        raise ModelError(
            f"{path}: the mapping uses {twice[0]} for {some(users)}; name another array for each"
        )


def _config(
    path: Path,
    weights: Mapping[str, Tensor],
    layers: int,
    mapping: NameMapping,
    architecture: Architecture,
) -> TransformerConfig:
    """The configuration with the sizes of the arrays."""
    embedding, up = weights["embedding.weight"], weights["layers.0.feed_forward.up.weight"]
    if embedding.ndim != 2 or up.ndim != 2:
        raise ModelError(
            f"{path}: embeddings and feed-forward weights are tables, but have the shapes "
            f"{tuple(embedding.shape)} and {tuple(up.shape)}; check the mapping"
        )
    rows, width = embedding.shape
    if width % architecture.heads:
        raise RecipeError(
            f"heads is {architecture.heads}, and the width of {path}, {width}, cannot be divided "
            "by it; give the number that the encoder was trained with"
        )
    context = architecture.context or DEFAULT_CONTEXT
    if architecture.positions == "learned":
        if architecture.context:
            raise RecipeError("context is the number of learned positions; leave it out")
        places = weights["positions.weight"]
        if places.ndim != 2:
            raise ModelError(
                f"{path}: positions.weight is a table, but has the shape {tuple(places.shape)}; "
                "check the mapping"
            )
        context = len(places)
    return TransformerConfig(
        vocab_size=rows,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=architecture.heads,
        intermediate_size=len(up),
        max_position_embeddings=context,
        positions=architecture.positions,
        activation=architecture.activation,
        scale_embedding=mapping.scale_embedding,
        layer_norm_eps=mapping.norm_epsilon,
    )


def read_tokenizer(path: Path, config: TransformerConfig) -> Any:
    """Return the tokenizer of a JSON file of `tokenizers`; its truncation and padding are dropped.

    Raises:
        ModelError: it cannot be read, lacks a special token, or has more tokens than embeddings.
    """
    from tokenizers import Tokenizer

    try:
        found = Tokenizer.from_str(file_bytes(path).decode("utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    except (FinetextError, MemoryError):
        raise
    except Exception as error:  # the library raises no more specific class
        raise ModelError(
            f"{path} is no tokenizer of the library tokenizers ({error}); give its tokenizer.json"
        ) from None
    if absent := [token for token in SPECIAL if found.token_to_id(token) is None]:
        raise ModelError(
            f"{path} lacks the special tokens {', '.join(absent)}; an encoder needs "
            f"{', '.join(SPECIAL)}: rename those of the tokenizer"
        )
    last = max(found.get_vocab().values())
    if last >= config.vocab_size:
        raise ModelError(
            f"{path} has tokens up to the id {last:,}, and the weights have {config.vocab_size:,} "
            "embeddings: they belong to different models"
        )
    found.no_truncation()
    found.no_padding()
    tokenizer = fast_tokenizer(found)
    tokenizer.model_max_length = config.max_position_embeddings
    config.pad_token_id = tokenizer.pad_token_id
    return tokenizer
