"""Pooled hidden states of a frozen encoder, cached on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import FitContext, ProgressEvent
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import Precision
from finetext.encoders.load import load_encoder, load_tokenizer, longest_input, quiet
from finetext.encoders.vocabulary import record_vocabulary
from finetext.storage.cache import kept
from finetext.training.batches import in_parts, positions_a_batch, prediction_batches
from finetext.training.checkpoint import fingerprint
from finetext.training.precision import choose_device, reading_copy, refuse_overflow
from finetext.training.tokens import TokenTable, Windows, tokenize, tokenize_windows
from finetext.training.truncation import Truncation

WINDOW: Final = 256
"""Tokens of a window, in which whole texts are read."""
Pooling = Literal["mean", "first", "max", "concat"]
_POOLINGS: Final = get_args(Pooling)


@dataclass(frozen=True, eq=False)
class FrozenEncoder:
    """An encoder in evaluation mode, on its device, with its tokenizer and maximum length.

    `pooling` makes one vector of the last hidden states of a text, see `features`; a number is
    that of a layer, whose states are averaged. Texts are truncated to the maximum length, or if
    `in_windows` read whole in windows of that. `known` is text to states computed before.
    """

    model: Any
    tokenizer: Any
    max_length: int
    device: Any
    precision: Precision = "auto"
    pooling: Pooling | int = "mean"
    in_windows: bool = False
    known: Mapping[str, Floats] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pooling", _checked(self.pooling, self.model))

    @classmethod
    def load(
        cls,
        encoder: str,
        device: Any,
        max_length: int | None = None,
        truncation: Truncation | None = None,
        precision: Precision = "auto",
        pooling: Pooling | int = "mean",
    ) -> FrozenEncoder:
        """Return an encoder (alias, Hub name or folder).

        It reads whole texts in windows, unless a length or a truncation is given.
        """
        length, tokenizer = longest_input(encoder, max_length), load_tokenizer(encoder, truncation)
        model = load_encoder(encoder, tokenizer).to(device)
        if in_windows := max_length is None and truncation is None:
            length = min(length, WINDOW)
        return cls(model, tokenizer, length, device, precision, pooling, in_windows)

    @classmethod
    def for_fits(
        cls,
        context: FitContext,
        encoder: str,
        max_length: int | None = None,
        truncation: Truncation | None = None,
        *,
        precision: Precision = "auto",
    ) -> FrozenEncoder:
        """Return an encoder on the device of a context.

        In a cross-validation it knows the states of all texts, whichever methods ask for it.
        """
        read, shared = (encoder, max_length, truncation), context.shared

        def load() -> FrozenEncoder:
            device = choose_device(context.device, precision)
            loaded = cls.load(encoder, device, max_length, truncation, precision)
            return loaded if shared is None else loaded.knowing(shared.texts, context)

        return load() if shared is None else shared.once((*read, precision, context.device), load)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the encoder and its tokenizer into a folder; return what `saved` needs beside."""
        record_vocabulary(self.model, self.tokenizer)
        with quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        pooling = {} if self.pooling == "mean" else {"pooling": self.pooling}
        return {"max_length": self.max_length, "in_windows": self.in_windows, **pooling}

    @classmethod
    def saved(cls, folder: Path, about: Mapping[str, Any], device: Any) -> FrozenEncoder:
        """Read what `save` wrote, with what it returned."""
        length, in_windows = about["max_length"], bool(about.get("in_windows", False))
        if not isinstance(length, int) or length < 1:
            raise ValueError("max_length is not a positive number")
        tokenizer = load_tokenizer(str(folder))
        model = load_encoder(str(folder), tokenizer).to(device)
        pooling = about.get("pooling", "mean")
        return cls(model, tokenizer, length, device, pooling=pooling, in_windows=in_windows)

    def states(self, texts: Sequence[str], context: FitContext | None = None) -> Floats:
        """Return the pooled states of each text.

        Returns:
            (n, hidden size) in the order of the texts; three times as wide for "concat".
        """
        if self.known is not None and all(text in self.known for text in texts):
            return np.stack([self.known[text] for text in texts])
        return np.asarray(self.pooled(self.read(texts, context), context), dtype=np.float64)

    def knowing(self, texts: Sequence[str], context: FitContext) -> FrozenEncoder:
        """Return the encoder with the states of these texts, so that it reads each only once."""
        different = list(dict.fromkeys(texts))
        states = self.states(different, context)
        return replace(self, known=dict(zip(different, states, strict=True)))

    def read(self, texts: Sequence[str], context: FitContext | None = None) -> Windows:
        """Return the tokens that are read of texts; those of a truncated text are one window."""
        cache = None if context is None else context.cache
        if self.in_windows:
            return tokenize_windows(self.tokenizer, texts, self.max_length, cache)
        table = tokenize(self.tokenizer, texts, self.max_length, cache)
        return Windows(table, np.arange(len(table)))

    def pooled(self, read: Windows, context: FitContext | None = None) -> np.ndarray[Any, Any]:
        """Return the pooled states of tokenized texts as float32.

        Those of several windows are averaged, each weighted by its tokens; maxima stay maxima.
        """
        cache = None if context is None else context.cache
        key = "" if cache is None else self._key(read)

        def compute() -> dict[str, np.ndarray[Any, Any]]:
            states = self._compute(read.table, context)
            pooled = read.averaged(states)
            if self.pooling in ("max", "concat") and len(states) > len(pooled):
                width = states.shape[1] // 3
                maxima = slice(width, 2 * width) if self.pooling == "concat" else slice(None)
                pooled[:, maxima] = np.maximum.reduceat(states[:, maxima], read.firsts)
            return {"states": pooled}

        return kept(cache, "states", key, compute)["states"]

    def _compute(self, table: TokenTable, context: FitContext | None) -> np.ndarray[Any, Any]:
        import torch

        states = np.zeros((len(table), self.model.config.hidden_size), dtype=np.float32)
        done = 0

        def forward(rows: Integers) -> None:
            nonlocal done, states
            batch = {name: part.to(self.device) for name, part in table.batch(rows).items()}
            vectors = self._vectors(batch).cpu().numpy()
            if vectors.shape[1] != states.shape[1]:  # of several poolings, or of an inner layer
                states = np.zeros((len(table), vectors.shape[1]), dtype=np.float32)
            states[rows] = vectors
            done += len(rows)
            if context is not None:
                context.progress(ProgressEvent("encoder states", done, len(table)))

        with torch.inference_mode():
            for rows in prediction_batches(table.lengths, positions_a_batch(self.device)):
                in_parts(forward, rows)
        refuse_overflow(states, self._reader)
        return states

    def _vectors(self, batch: dict[str, Any]) -> Any:
        """One vector for each text of a batch."""
        hidden, mask = self._hidden(batch).float(), batch["attention_mask"]
        if isinstance(self.pooling, int) or self.pooling == "mean":
            weights = mask.unsqueeze(-1)
            return (hidden * weights).sum(1) / weights.sum(1)
        from finetext.encoders.heads import concat_pooled, summary_token

        vectors = concat_pooled(hidden, mask, summary_token(self.model.config))
        width = hidden.shape[-1]
        parts = {"first": vectors[:, :width], "max": vectors[:, width : 2 * width]}
        return parts.get(self.pooling, vectors)

    def _hidden(self, batch: dict[str, Any]) -> Any:
        """The hidden states of all tokens in the layer that is pooled."""
        if not isinstance(self.pooling, int):
            return self._reader(**batch).last_hidden_state
        states = self._reader(**batch, output_hidden_states=True).get("hidden_states")
        if states is None:
            raise ModelError(
                f"the model {type(self.model).__name__} does not return the hidden states of its "
                f"layers; use pooling {', '.join(_POOLINGS)}"
            )
        return states[self.pooling]

    @cached_property
    def _reader(self) -> Any:
        return reading_copy(self.model, self.precision)

    def _key(self, read: Windows) -> str:
        table = read.table
        how = self.pooling if isinstance(self.pooling, str) else f"layer {self.pooling}"
        described = (fingerprint(self.model), how, table.padding, self._reader.dtype)
        digest = hashlib.sha256(" ".join(map(str, described)).encode())
        windows = read.firsts if len(read.firsts) < len(table) else None
        for part in (table.starts, table.ids, table.kinds, windows):
            digest.update(b"" if part is None else part.tobytes())
        return digest.hexdigest()


def _checked(pooling: Any, model: Any) -> Pooling | int:
    """A pooling with layers counted from 0, and "mean" for the last one."""
    if pooling in _POOLINGS:
        return cast(Pooling, pooling)
    if not isinstance(pooling, int) or isinstance(pooling, bool):
        raise RecipeError(
            f"pooling is {pooling!r}; use {', '.join(_POOLINGS)} or the number of a layer"
        )
    last = int(model.config.get_text_config().num_hidden_layers)
    if not -last - 1 <= pooling <= last:
        raise RecipeError(
            f"pooling is {pooling}, but the encoder has the layers 0 (its embeddings) to {last}; "
            f"negative numbers count from the end, -1 to {-last - 1}"
        )
    layer = pooling % (last + 1)
    return "mean" if layer == last else layer
