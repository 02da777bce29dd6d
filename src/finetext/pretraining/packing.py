"""Packing: several chunks of text share a row, and attention keeps them apart.

Source: Krell et al. 2021, "Efficient sequence packing without cross-contamination".
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.contracts import batches_of
from finetext.core.errors import ModelError
from finetext.encoders.words import UNSPACED
from finetext.training.tokens import encodable

SPECIAL, BEGINS, CONTINUES = 0, 1, 2
"""Marks of tokens: special, the first of a word, or a later one."""
MOST_TOKENS: Final = 10
"""Tokens of a word; what has more, such as a web address, cannot be predicted from its context."""
TEXTS_AT_A_TIME: Final = 1_000
TOLERANCE: Final = 1e-3
"""Largest difference between the states of a chunk in a row and of the chunk alone."""


Layout = tuple[Integers, Any]
"""The (m,) positions of tokens in the flat arrays, and (rows, longest) where they are."""


@dataclass(frozen=True, eq=False)
class PackedTexts:
    """The tokens of chunks, concatenated, and which chunks share a row.

    Attributes:
        ids: (m,) all token ids, int32.
        words: (m,) `SPECIAL`, `BEGINS` or `CONTINUES`, int8.
        rows: (n + 1,) the first chunk of each row; the last is c.
    """

    ids: np.ndarray[Any, Any]
    words: np.ndarray[Any, Any]
    chunks: Integers
    rows: Integers
    padding: int
    first_position: int = 0

    def __len__(self) -> int:
        return len(self.rows) - 1

    @cached_property
    def lengths(self) -> Integers:
        """(n,) tokens per row."""
        return np.diff(self.chunks[self.rows])

    @cached_property
    def chunk_of(self) -> Integers:
        """(m,) the chunk of each token."""
        return np.repeat(np.arange(len(self.chunks) - 1), np.diff(self.chunks))

    def layout(self, rows: Sequence[int] | Integers) -> Layout:
        """Return the positions of the tokens of some rows."""
        rows = np.asarray(rows)
        lengths = self.lengths[rows]
        begins = self.chunks[self.rows[rows]] - np.cumsum(lengths) + lengths
        places = np.repeat(begins, lengths) + np.arange(int(lengths.sum()))
        return places, np.arange(int(lengths.max())) < lengths[:, None]

    def batch(self, layout: Layout, ids: Integers) -> dict[str, Any]:
        """Return (rows, longest) tensors with (m,) `ids` in the places, padded on the right."""
        places, there = layout
        tensors = {
            "input_ids": _filled(there, ids, self.padding),
            "attention_mask": _filled(there, np.ones_like(places), 0),
        }
        if len(self.chunks) > len(self.rows):
            chunk = self.chunk_of[places]
            positions = places - self.chunks[chunk] + self.first_position
            tensors["segments"] = _filled(there, chunk + 1, 0)
            tensors["position_ids"] = _filled(there, positions, self.first_position)
        return tensors

    def alone(self) -> PackedTexts:
        """Return the same chunks, one per row."""
        return replace(self, rows=np.arange(len(self.chunks)))


def pack(tokenizer: Any, texts: Sequence[str], max_length: int) -> PackedTexts:
    """Cut texts into chunks and pack them into few rows, by best fit decreasing."""
    if not tokenizer.is_fast:
        raise ModelError(f"{type(tokenizer).__name__} has no fast form, which adapting needs")
    ids: list[Any] = []
    words: list[Any] = []
    special = np.array([*{*tokenizer.all_special_ids} - {tokenizer.unk_token_id}], dtype=np.int64)
    for part in batches_of(len(texts), TEXTS_AT_A_TIME):
        readable = list(map(encodable, texts[part]))
        encoded = tokenizer(
            readable, truncation=True, max_length=max_length, padding=False,
            return_overflowing_tokens=True,
        )  # fmt: skip
        unspaced = list(map(_unspaced, readable))
        text_of = encoded["overflow_to_sample_mapping"]
        for chunk, text in zip(encoded.encodings, text_of, strict=True):
            kinds = _word_marks(chunk, unspaced[text], special)
            if kinds.any() and len(kinds) > 1:
                ids.append(np.asarray(chunk.ids, dtype=np.int32))
                words.append(kinds)
    lengths = np.array([len(chunk) for chunk in ids], dtype=np.int64)
    order, rows = _places(lengths, max_length)
    empty = np.zeros(0, dtype=np.int32)
    return PackedTexts(
        ids=np.concatenate([ids[chunk] for chunk in order]) if ids else empty,
        words=np.concatenate([words[chunk] for chunk in order]) if ids else empty,
        chunks=np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64),
        rows=rows,
        padding=int(tokenizer.pad_token_id),
    )


def block_mask(segments: Any, causal: bool, dtype: Any) -> Any:
    """Return the (rows, 1, longest, longest) additive mask that keeps chunks apart."""
    import torch

    seen = segments[:, None, :, None] == segments[:, None, None, :]
    if causal:
        seen = seen.tril()
    mask = torch.zeros(seen.shape, dtype=dtype, device=segments.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)


def model_inputs(model: Any, batch: dict[str, Any], causal: bool) -> dict[str, Any]:
    """Return the inputs of the model; raises a ValueError if its attention takes no mask."""
    names = ("input_ids", "attention_mask", "position_ids")
    inputs = {name: batch[name] for name in names if name in batch}
    if "segments" in batch:
        kind = getattr(model.config, "_attn_implementation", None) or ""
        if kind not in ("", "eager", "sdpa"):
            raise ValueError(f"the attention {kind} cannot keep chunks apart")
        dtype = next(model.parameters()).dtype
        inputs["attention_mask"] = block_mask(batch["segments"], causal, dtype)
    return inputs | ({"use_cache": False} if causal else {})


def logits_at(model: Any, batch: dict[str, Any], causal: bool) -> Any:
    """Return (m, vocabulary) logits; the head gets the states of the places to predict only."""
    bare = getattr(model, "module", model)

    def gather(module: Any, inputs: Any, output: Any) -> Any:
        states = output.last_hidden_state.flatten(0, 1)
        output.last_hidden_state = states.index_select(0, batch["places"])[None]
        return output

    hook = bare.base_model.register_forward_hook(gather)
    try:
        return model(**model_inputs(bare, batch, causal)).logits[0].float()
    finally:
        hook.remove()


def kept_apart(model: Any, texts: PackedTexts, causal: bool) -> PackedTexts:
    """Return the texts packed if the model is found to keep chunks apart, else one per row."""
    shared = np.flatnonzero(np.diff(texts.rows) > 1)
    if not len(shared):
        return texts
    longest = np.maximum.reduceat(np.diff(texts.chunks), texts.rows[:-1])
    rows = np.array([shared[longest[shared].argmax()], longest.argmax()])
    for first in (0, texts.padding + 1):
        candidate = replace(texts, first_position=first)
        if _is_kept_apart(model, candidate, rows, causal):
            return candidate
    return texts.alone()


def reads_ahead(model: Any, texts: PackedTexts) -> bool:
    """Return whether the states of a text depend on later tokens."""
    chunk = int(np.diff(texts.chunks).argmax())
    ids = texts.ids[texts.chunks[chunk] : texts.chunks[chunk + 1]]
    whole, beginning = _states(model, ids), _states(model, ids[:-1])
    return len(ids) > 1 and not _alike(whole[:, :-1], beginning)


def _is_kept_apart(model: Any, texts: PackedTexts, rows: Integers, causal: bool) -> bool:
    import torch

    places, there = texts.layout(rows)
    batch = texts.batch((places, there), texts.ids[places])
    batch = {name: of.to(model.device) for name, of in batch.items()}
    chunks = [c for row in rows for c in range(texts.rows[row], texts.rows[row + 1])]
    alone = [_states(model, texts.ids[texts.chunks[c] : texts.chunks[c + 1]]) for c in chunks]
    try:
        with torch.inference_mode():
            together = model.base_model(**model_inputs(model, batch, causal)).last_hidden_state
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    return _alike(together[torch.from_numpy(there)][None], torch.cat(alone, dim=1))


def _states(model: Any, ids: Any) -> Any:
    """Return (1, length, width) last hidden states of a text alone."""
    import torch

    inputs = torch.from_numpy(np.asarray(ids, dtype=np.int64))[None].to(model.device)
    with torch.inference_mode():
        return model.base_model(input_ids=inputs).last_hidden_state


def _alike(one: Any, other: Any) -> bool:
    import torch

    return one.shape == other.shape and torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE)


def _filled(there: Any, values: Any, fill: int) -> Any:
    """Return a tensor of the shape of `there` with the values where it is true."""
    import torch

    whole = np.full(there.shape, fill, dtype=np.int64)
    whole[there] = values
    return torch.from_numpy(whole)


def _unspaced(text: str) -> Any:
    """Return (characters + 1,) which are of a script without spaces; None if none is."""
    places = [] if text.isascii() else [found.start() for found in UNSPACED.finditer(text)]
    return np.isin(np.arange(len(text) + 1), places) if places else None


def _word_marks(chunk: Any, unspaced: Any, special_ids: Integers) -> np.ndarray[Any, Any]:
    """Return the (length,) mark of each token; where a script has no spaces, each is a word."""
    numbers = np.array([-1 if word is None else word for word in chunk.word_ids], dtype=np.int64)
    begins = np.diff(numbers, prepend=-2) != 0
    if unspaced is not None:
        starts, ends = np.array(chunk.offsets, dtype=np.int64).T
        before = ends[:-1]
        is_other = starts[1:] >= before  # not one more byte of the same character
        begins[1:] |= is_other & (unspaced[starts[1:]] | unspaced[before - 1])
    word = np.cumsum(begins)
    begins |= np.bincount(word)[word] > MOST_TOKENS
    special = np.isin(chunk.ids, special_ids) | (numbers < 0)
    return np.where(special, SPECIAL, np.where(begins, BEGINS, CONTINUES)).astype(np.int8)


def _places(lengths: Integers, most: int) -> tuple[Integers, Integers]:
    """Return the (c,) numbers of the chunks row by row, and (n + 1,) the first of each row."""
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []
    shortest = int(lengths.min()) if len(lengths) else 0
    for chunk in np.argsort(-lengths, kind="stable"):
        length = int(lengths[chunk])
        place = bisect_left(room, (length, -1))
        if place < len(room):
            left, row = room.pop(place)
            rows[row].append(int(chunk))
        else:
            left, row = most, len(rows)
            rows.append([int(chunk)])
        if left - length >= shortest:
            insort(room, (left - length, row))
    order = np.array([chunk for row in rows for chunk in row], dtype=np.int64)
    return order, np.cumsum([0, *map(len, rows)]).astype(np.int64)
