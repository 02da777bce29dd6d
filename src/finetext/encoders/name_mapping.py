"""Which array of a file is which parameter of an encoder: a mapping of names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch

from finetext.core.budget import file_bytes, take_json, toml_values
from finetext.core.errors import RecipeError, nearest
from finetext.core.settings import Positive, made
from finetext.encoders.transformer import TransformerConfig, TransformerForMaskedLM

_BLOCK: Final = "transformer_encoder/~/encoder_block{_n}/~/"
_LINEAR: Final = {
    "layers.{n}.attention.query": f"{_BLOCK}multihead_attention/~/linear",
    "layers.{n}.attention.key": f"{_BLOCK}multihead_attention/~/linear_1",
    "layers.{n}.attention.value": f"{_BLOCK}multihead_attention/~/linear_2",
    "layers.{n}.attention.output": f"{_BLOCK}multihead_attention/~/linear_3",
    "layers.{n}.feed_forward.up": f"{_BLOCK}positionwise_feed_forward/~/linear",
    "layers.{n}.feed_forward.down": f"{_BLOCK}positionwise_feed_forward/~/linear_1",
    "head.dense": "linear",
    "output": "linear_1",
}
_NORM: Final = {
    "layers.{n}.attention_norm": f"{_BLOCK}layer_norm",
    "layers.{n}.feed_forward_norm": f"{_BLOCK}layer_norm_1",
    "head.norm": "layer_norm",
}
PRESETS: Final[dict[str, dict[str, Any]]] = {
    "haiku": {
        "transpose": True,
        "embedding.weight": "embeddings/~/embed/embeddings",
        **{f"{ours}.weight": f"{theirs}/w" for ours, theirs in _LINEAR.items()},
        **{f"{ours}.bias": f"{theirs}/b" for ours, theirs in _LINEAR.items()},
        **{f"{ours}.weight": f"{theirs}/scale" for ours, theirs in _NORM.items()},
        **{f"{ours}.bias": f"{theirs}/offset" for ours, theirs in _NORM.items()},
    }
}
"""`haiku`: the modules of a widely used course, as Haiku names them."""
HEAD: Final = ("head.", "output.")
"""How the parameters begin that only a language model has."""
_NUMBER: Final = re.compile(r"\{(_?)(\d*)n(?:\+(\d+))?\}")


@dataclass(frozen=True)
class NameMapping:
    """Which array is which parameter.

    Attributes:
        names: the array of each parameter. `{n}` in it is the number of the layer from 0, `{n+1}`
            from 1; `{_n}` is nothing for the first, then `_1`, `_2`; `{_2n+1}` is `_1`, `_3`, ...
        transpose: whether weights of linear layers are stored as (inputs, outputs).
        scale_embedding: whether embeddings are multiplied by the square root of the width.
        norm_epsilon: what layer normalization adds to the variance.
    """

    names: Mapping[str, str]
    transpose: bool = False
    scale_embedding: bool = True
    norm_epsilon: Positive = 1e-5


def read_mapping(mapping: str | Path | Mapping[str, Any]) -> NameMapping:
    """Return the mapping of a preset, of a JSON or TOML file, or of a dictionary.

    Raises:
        RecipeError: it cannot be read, or has names that are unknown or missing.
    """
    where, values = "mapping", mapping
    if not isinstance(mapping, Mapping):
        where = str(mapping)
        values = PRESETS[where] if where in PRESETS else _from_file(Path(mapping))
    assert isinstance(values, Mapping)
    known = parameters()
    options = [field.name for field in fields(NameMapping) if field.name != "names"]
    for name, value in values.items():
        if name not in known and name not in options:
            near = nearest(str(name), [*known, *options])
            raise RecipeError(f"{where}: there is no parameter {name!r}{near}")
        if name in known and not isinstance(value, str):
            raise RecipeError(f"{where}: {name} is {value!r}; give the name of an array")
    needed = (name for name in known if not name.startswith((*HEAD, "positions.")))
    if absent := [name for name in needed if name not in values]:
        raise RecipeError(f"{where}: no array is named for {some(absent)}; add it")
    names = {name: values[name] for name in known if name in values}
    rest = {name: values[name] for name in options if name in values}
    return made(where, NameMapping, {"names": names, **rest})


def _from_file(path: Path) -> Mapping[str, Any]:
    if path.suffix not in (".json", ".toml"):
        raise RecipeError(
            f"there is no mapping {str(path)!r}; use {', '.join(PRESETS)}, or a file that ends in "
            ".json or .toml"
        )
    try:
        text = file_bytes(path).decode("utf-8")
        take_json(text, str(path))
        found = toml_values(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path} is no {path.suffix[1:].upper()}: {error}; correct it") from None
    if not isinstance(found, dict):
        raise RecipeError(f"{path} is no mapping; it must be a table of parameters and arrays")
    return found


def parameters() -> list[str]:
    """Return the names of all parameters, those of a layer with `{n}`."""
    config = TransformerConfig(num_hidden_layers=1, positions="learned")
    with torch.device("meta"):
        names = TransformerForMaskedLM(config).state_dict()
    return [name.removeprefix("encoder.").replace("layers.0.", "layers.{n}.") for name in names]


def array_of(array: str, number: int) -> str:
    """Return the name of an array in a layer, counted from 0."""

    def place(found: re.Match[str]) -> str:
        value = int(found[2] or 1) * number + int(found[3] or 0)
        return "" if found[1] and not value else f"{found[1]}{value}"

    return _NUMBER.sub(place, array)


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
