"""Static embeddings: one vector for each token of a vocabulary, taken from an encoder.

A text is the mean of the vectors of its tokens, scaled to length 1 (model2vec: Tulkens and van
Dongen 2024); tokenizers and NumPy suffice to compute it.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats, Integers
from finetext.core.budget import native
from finetext.core.contracts import ProgressEvent, batches_of, silent
from finetext.core.errors import ModelError
from finetext.storage.cache import kept
from finetext.training.tokens import TOKENIZER, encodable
from finetext.training.truncation import special_ends

SMOOTHING: Final = 1e-4
_BATCH: Final = 256
_TEXTS: Final = 2_000


class NotDistillableError(ModelError):
    """An encoder of which no table of token vectors can be made."""


@dataclass(frozen=True, eq=False)
class StaticEmbeddings:
    """A vector for each token of a vocabulary, (v, d); the token for unknown words is ignored."""

    tokenizer: Any
    vectors: npt.NDArray[np.floating[Any]]
    unknown: int | None

    def counts(self, texts: Sequence[str]) -> Any:
        """Return how often each text has each token, (n, v), as a sparse matrix."""
        from scipy.sparse import csr_array

        encode = getattr(self.tokenizer, "encode_batch_fast", self.tokenizer.encode_batch)
        tokens, lengths = [np.zeros(0, dtype=np.int32)], [np.zeros(1, dtype=np.int64)]
        for part in batches_of(len(texts), _TEXTS):
            with native(TOKENIZER):
                rows = encode([encodable(text) for text in texts[part]], add_special_tokens=False)
            ids = [row.ids for row in rows]
            lengths.append(np.fromiter(map(len, ids), np.int64, len(ids)))
            tokens.append(np.fromiter((token for row in ids for token in row), np.int32))
        columns, starts = np.concatenate(tokens), np.cumsum(np.concatenate(lengths))
        is_known = columns != (-1 if self.unknown is None else self.unknown)
        kept_before = np.concatenate([[0], np.cumsum(is_known)])
        columns = columns[is_known]
        shape = len(texts), len(self.vectors)
        counts = csr_array((np.ones(len(columns)), columns, kept_before[starts]), shape=shape)
        counts.sum_duplicates()
        return counts

    def means(self, counts: Any) -> Floats:
        """Return (n, d) mean vectors at length 1; zeros where no token is known."""
        from scipy.sparse import csr_array

        used, columns = np.unique(counts.indices, return_inverse=True)
        shape = counts.shape[0], len(used)
        reduced = csr_array((counts.data, columns, counts.indptr), shape=shape)
        totals = np.asarray(reduced @ self.vectors[used].astype(np.float64))
        lengths = np.linalg.norm(totals, axis=1, keepdims=True)
        return np.asarray(totals / np.maximum(lengths, 1e-12))

    def states(self, texts: Sequence[str]) -> Floats:
        """Return (n, d) mean vectors of texts at length 1; zeros where no token is known."""
        return self.means(self.counts(texts))


@dataclass(frozen=True, eq=False)
class _Vocabulary:
    """A tokenizer that neither truncates nor pads, and the numbers of its tokens for text."""

    tokenizer: Any
    size: int
    tokens: Integers
    unknown: int | None

    @classmethod
    def of(cls, tokenizer: Any) -> _Vocabulary:
        """Return that of a tokenizer of transformers; raises a `NotDistillableError`."""
        from tokenizers import Tokenizer

        check_distillable(tokenizer)
        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        backend.no_truncation()
        backend.no_padding()
        size = max(backend.get_vocab().values()) + 1
        special = set(tokenizer.all_special_ids)
        tokens = np.array([number for number in range(size) if number not in special])
        return cls(backend, size, tokens, tokenizer.unk_token_id)

    def table(self, states: npt.NDArray[Any], dimensions: int) -> npt.NDArray[np.float16]:
        """Return the first principal components of the states of all tokens, weighted.

        The weights are next to nothing for the most frequent token and 1 for the rarest: SIF (Arora
        et al. 2017) with frequencies by Zipf's law.
        """
        vectors = np.zeros((self.size, min(dimensions, *states.shape)), dtype=np.float16)
        centered = states - states.mean(axis=0)
        _, directions = np.linalg.eigh(centered.T @ centered)
        shares = 1 / np.arange(2, self.size + 2)
        weights = SMOOTHING / (SMOOTHING + shares / shares.sum())
        components = centered @ directions[:, ::-1][:, : vectors.shape[1]]
        components *= weights[self.tokens, None]
        # Means have length 1 at any scale, and 16 bits hold no number above 65,504.
        vectors[self.tokens] = components / max(float(np.abs(components).max()), 1e-12)
        return vectors


def from_inputs(
    model: Any, tokenizer: Any, dimensions: int, cache: Path | None = None
) -> StaticEmbeddings:
    """Return static embeddings made of the input embeddings of an encoder, in a second.

    Raises:
        NotDistillableError: no table can use the tokenizer, or the encoder has no vectors of it.
    """
    vocabulary, layer = _Vocabulary.of(tokenizer), model.get_input_embeddings()
    whole = getattr(layer, "weight", None)
    if whole is None or len(whole) < vocabulary.size:
        raise NotDistillableError("it has no vector for each token")
    states = whole.detach().float().cpu().numpy()[vocabulary.tokens]
    facts = f"{dimensions} {SMOOTHING} {vocabulary.size}"
    digest = hashlib.sha256(facts.encode() + vocabulary.tokens.tobytes() + states.tobytes())
    made = kept(
        cache, "static", digest.hexdigest(),
        lambda: {"vectors": vocabulary.table(states.astype(np.float64), dimensions)},
    )  # fmt: skip
    return StaticEmbeddings(vocabulary.tokenizer, made["vectors"], vocabulary.unknown)


def distilled(
    model: Any,
    tokenizer: Any,
    dimensions: int,
    progress: Callable[[ProgressEvent], None] = silent,
) -> StaticEmbeddings:
    """Return static embeddings made of what an encoder returns for each token alone.

    They know what fine-tuning taught the encoder, and take a forward pass of all tokens.

    Raises:
        NotDistillableError: no table can use the tokenizer, or no token of it can stand alone.
    """
    vocabulary, around = _Vocabulary.of(tokenizer), _special_tokens_around(tokenizer)
    states = _states(model, around, vocabulary.tokens, progress)
    vectors = vocabulary.table(states, dimensions)
    return StaticEmbeddings(vocabulary.tokenizer, vectors, vocabulary.unknown)


def check_distillable(tokenizer: Any) -> None:
    """Raise a `NotDistillableError` if a tokenizer runs only in Python: no table can use it."""
    if not getattr(tokenizer, "is_fast", False):
        raise NotDistillableError(
            f"its tokenizer ({type(tokenizer).__name__}) splits texts by rules written in Python"
        )


def _states(
    model: Any,
    around: tuple[list[int], list[int]],
    tokens: Integers,
    progress: Callable[[ProgressEvent], None],
) -> Floats:
    """(v, width) mean state of each token between the special tokens."""
    import torch

    before, after = around
    reader = copy.deepcopy(model).cpu().float().eval()
    found = []
    with torch.inference_mode():
        for part in batches_of(len(tokens), _BATCH):
            ids = torch.tensor([[*before, int(token), *after] for token in tokens[part]])
            states = reader(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            found.append(states.mean(1).numpy())
            progress(ProgressEvent("distilling", part.stop, len(tokens)))
    return np.nan_to_num(np.concatenate(found).astype(np.float64))


def _special_tokens_around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after a text; raises an error if some are inside."""
    if (ends := special_ends(tokenizer)) is None:
        raise NotDistillableError("its tokenizer puts special tokens inside a text")
    whole = list(tokenizer("a text")["input_ids"])
    return whole[: ends[0]], whole[len(whole) - ends[1] :]
