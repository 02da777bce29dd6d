"""The encoder of a course in JAX: its arrays by name, its tokenizer, and its states in numpy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"]
EPSILON = 1e-5


def block(number: int) -> str:
    """How the names of the arrays of a layer begin."""
    return f"transformer_encoder/~/encoder_block{f'_{number}' if number else ''}/~/"


def random_arrays(
    layers: int = 2, width: int = 16, feed_forward: int = 24, tokens: int = 80, seed: int = 0
) -> Arrays:
    """Random weights of the masked language model of the course, linear ones (in, out)."""
    draw = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, int] | int] = {}
    for name in map(block, range(layers)):
        attention, between = f"{name}multihead_attention/~/", f"{name}positionwise_feed_forward/~/"
        for suffix in ("", "_1", "_2", "_3"):
            shapes[f"{attention}linear{suffix}"] = (width, width)
        shapes[f"{between}linear"] = (width, feed_forward)
        shapes[f"{between}linear_1"] = (feed_forward, width)
        shapes[f"{name}layer_norm"] = shapes[f"{name}layer_norm_1"] = width
    shapes |= {"linear": (width, width), "layer_norm": width, "linear_1": (width, tokens)}
    arrays = {"embeddings/~/embed/embeddings": draw.normal(0, 0.3, (tokens, width))}
    for name, shape in shapes.items():
        if isinstance(shape, int):
            arrays[f"{name}/scale"] = draw.normal(1, 0.2, shape)
            arrays[f"{name}/offset"] = draw.normal(0, 0.2, shape)
        else:
            arrays[f"{name}/w"] = draw.normal(0, shape[0] ** -0.5, shape)
            arrays[f"{name}/b"] = draw.normal(0, 0.2, shape[1])
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def states(arrays: Arrays, ids: Any, mask: Any, heads: int, sinusoidal: bool) -> Any:
    """(b, t, width) states of the last layer for (b, t) ids and a mask of 1 and 0."""
    layers = sum(name.endswith("multihead_attention/~/linear/w") for name in arrays)
    table = arrays["embeddings/~/embed/embeddings"].astype(np.float64)
    length, width = ids.shape[1], table.shape[1]
    values = table[ids] * np.sqrt(width)
    if sinusoidal:
        angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
        values[..., 0::2] += np.sin(angles)
        values[..., 1::2] += np.cos(angles)
    for name in map(block, range(layers)):
        attention, between = f"{name}multihead_attention/~/", f"{name}positionwise_feed_forward/~/"
        query, key, value = (
            linear(arrays, f"{attention}linear{suffix}", values)
            .reshape(*ids.shape, heads, width // heads)
            .transpose(0, 2, 1, 3)
            for suffix in ("", "_1", "_2")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(width // heads)
        scores = np.where(mask[:, None, None, :] == 0, -np.inf, scores)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        seen = (shares @ value).transpose(0, 2, 1, 3).reshape(values.shape)
        values += linear(arrays, f"{attention}linear_3", seen)
        values = norm(arrays, f"{name}layer_norm", values)
        inner = np.maximum(linear(arrays, f"{between}linear", values), 0)
        values = values + linear(arrays, f"{between}linear_1", inner)
        values = norm(arrays, f"{name}layer_norm_1", values)
    return values


def logits(arrays: Arrays, last: Any) -> Any:
    """(b, t, tokens) logits of masked tokens for the states of the last layer."""
    values = norm(arrays, "layer_norm", np.maximum(linear(arrays, "linear", last), 0))
    return linear(arrays, "linear_1", values)


def linear(arrays: Arrays, name: str, values: Any) -> Any:
    return values @ arrays[f"{name}/w"] + arrays[f"{name}/b"]


def norm(arrays: Arrays, name: str, values: Any) -> Any:
    centered = values - values.mean(-1, keepdims=True)
    values = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + EPSILON)
    return values * arrays[f"{name}/scale"] + arrays[f"{name}/offset"]


def write_tokenizer(path: Path, texts: Iterable[str], tokens: int = 80) -> Path:
    """Write a BPE tokenizer that truncates to 8 tokens and pads to 32, as the course sets it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        special_tokens=SPECIAL,
        continuing_subword_prefix="##",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    around = [(token, SPECIAL.index(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=around
    )
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=32)
    tokenizer.save(str(path))
    return path
