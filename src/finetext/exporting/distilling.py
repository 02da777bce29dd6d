"""Static embeddings out of an encoder: what it says of each piece of its vocabulary alone.

The method is that of model2vec (Tulkens and van Dongen 2024): every piece goes through the encoder
by itself, between the special tokens; the mean states are reduced by a principal component
analysis, and weighed by how frequent a piece is held to be. Its place in the vocabulary tells that,
by Zipf's law, and the weight is that of smooth inverse frequency (Arora, Liang and Ma 2017).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from finetext.artefact.static import StaticEmbeddings
from finetext.errors import ModelError
from finetext.methods.base import ProgressEvent, batches_of, silent
from finetext.types import Floats, Integers

PIECES_AT_A_TIME: Final = 256
SMOOTHING: Final = 1e-4
_ANY_TEXT: Final = "a text"


def distilled(
    model: Any,
    tokenizer: Any,
    dimensions: int,
    progress: Callable[[ProgressEvent], None] = silent,
) -> StaticEmbeddings:
    """The vectors of all pieces of the vocabulary of an encoder.

    Args:
        model: the bare encoder.
        tokenizer: its fast tokenizer.
        dimensions: of the vectors; no more than the encoder is wide.
        progress: told how many pieces were read.

    Raises:
        ModelError: the tokenizer puts special tokens into a text, and not around it.
    """
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    size = max(backend.get_vocab().values()) + 1
    special = set(tokenizer.all_special_ids)
    pieces = np.array([number for number in range(size) if number not in special])
    states = _states(model, tokenizer, pieces, progress)
    vectors = np.zeros((size, min(dimensions, *states.shape)))
    vectors[pieces] = _reduced(states, vectors.shape[1]) * _weights(size)[pieces, None]
    return StaticEmbeddings(backend, vectors.astype(np.float16), tokenizer.unk_token_id)


def _states(
    model: Any, tokenizer: Any, pieces: Integers, progress: Callable[[ProgressEvent], None]
) -> Floats:
    """(v, width) mean states of each piece between the special tokens."""
    import torch

    before, after = _around(tokenizer)
    reader = copy.deepcopy(model).cpu().float().eval()
    found = []
    with torch.inference_mode():
        for part in batches_of(len(pieces), PIECES_AT_A_TIME):
            rows = [[*before, int(piece), *after] for piece in pieces[part]]
            ids = torch.tensor(rows)
            states = reader(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            found.append(states.mean(1).numpy())
            progress(ProgressEvent("distilling", part.stop, len(pieces)))
    return np.nan_to_num(np.concatenate(found).astype(np.float64))


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text.

    Raises:
        ModelError: there are some inside of it.
    """
    bare = tokenizer(_ANY_TEXT, add_special_tokens=False)["input_ids"]
    whole = tokenizer(_ANY_TEXT)["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return list(whole[:start]), list(whole[start + len(bare) :])
    raise ModelError("its tokenizer puts special tokens into a text, so no piece can stand alone")


def _reduced(states: Floats, dimensions: int) -> Floats:
    """(v, d) scores of the first principal components, those with the most variance first."""
    centred = states - states.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ directions[:, ::-1][:, :dimensions])


def _weights(size: int) -> Floats:
    """(v,) of each piece: next to nothing for the most frequent, 1 for the rarest."""
    shares = 1 / np.arange(2, size + 2)
    return np.asarray(SMOOTHING / (SMOOTHING + shares / shares.sum()))
