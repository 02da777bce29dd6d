"""Texts as token ids: tokenised once, kept flat, padded per batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finetext.methods.base import batches_of
from finetext.types import Integers

TEXTS_AT_A_TIME = 2_000


@dataclass(frozen=True, eq=False)
class TokenTable:
    """The token ids of n texts, end to end.

    Attributes:
        ids: all ids one after another, int32.
        kinds: token type ids of the same shape, or None where the model needs none.
        starts: (n + 1,) where each text begins in `ids`; the last is the end.
        padding: id, token type and side ("left" or "right") of padding.
    """

    ids: np.ndarray[Any, Any]
    kinds: np.ndarray[Any, Any] | None
    starts: Integers
    padding: tuple[int, int, str]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Integers:
        """(n,) number of tokens of each text."""
        return np.diff(self.starts)

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """The rows as tensors padded to the longest of them.

        Returns:
            `input_ids`, `attention_mask` and, if the model uses them, `token_type_ids`; each of
            shape (rows, longest).
        """
        import torch

        lengths = self.lengths[rows]
        shape = (len(rows), int(lengths.max()))
        fill_id, fill_kind, side = self.padding
        ids = np.full(shape, fill_id, dtype=np.int64)
        kinds = np.full(shape, fill_kind, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for line, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            there = slice(shape[1] - length, None) if side == "left" else slice(0, length)
            here = slice(self.starts[row], self.starts[row] + length)
            ids[line, there] = self.ids[here]
            mask[line, there] = 1
            if self.kinds is not None:
                kinds[line, there] = self.kinds[here]
        tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if self.kinds is not None:
            tensors["token_type_ids"] = torch.from_numpy(kinds)
        return tensors


def tokenise(tokenizer: Any, texts: Sequence[str], max_length: int) -> TokenTable:
    """Tokenise texts, cut to `max_length` tokens with the special ones.

    Args:
        tokenizer: a transformers tokenizer with a padding token.
        texts: n texts; one without any token becomes a single padding token that is attended to.
        max_length: most tokens a text, special tokens included.

    Returns:
        a table of n rows.
    """
    ids: list[np.ndarray[Any, Any]] = []
    kinds: list[np.ndarray[Any, Any]] = []
    lengths: list[int] = []
    for part in batches_of(len(texts), TEXTS_AT_A_TIME):
        encoded = tokenizer(
            [_encodable(text) for text in texts[part]],
            truncation=True,
            max_length=max_length,
            padding=False,
            return_attention_mask=False,
        )
        rows = [row or [tokenizer.pad_token_id] for row in encoded["input_ids"]]
        types = encoded.get("token_type_ids") or [[0]] * len(rows)
        types = [kind or [0] for kind in types]
        lengths += [len(row) for row in rows]
        ids.append(np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]))
        kinds.append(np.concatenate([np.asarray(kind, dtype=np.int8) for kind in types]))
    flat = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32)
    types = np.concatenate(kinds) if kinds else np.zeros(0, dtype=np.int8)
    return TokenTable(
        ids=flat,
        kinds=types if types.any() else None,
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        padding=(tokenizer.pad_token_id, tokenizer.pad_token_type_id, tokenizer.padding_side),
    )


def _encodable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, as question marks."""
    return text.encode("utf-8", "replace").decode()
