"""Texts as token ids: tokenised once, kept flat, padded per batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.contracts import batches_of
from finetext.storage.cache import Arrays, kept

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

    @cached_property
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

        return {name: torch.from_numpy(array) for name, array in self.arrays(rows).items()}

    def arrays(self, rows: Sequence[int] | Integers) -> dict[str, Integers]:
        """The same as `batch`, as arrays of int64."""
        rows = np.asarray(rows)
        lengths, longest = self.lengths[rows], int(self.lengths[rows].max())
        fill_id, fill_kind, side = self.padding
        there = np.arange(longest) < lengths[:, None]
        if side == "left":
            there = there[:, ::-1]
        # The tokens of a row lie one after another: `places` names those of all rows in order.
        begins = np.repeat(self.starts[rows] - np.cumsum(lengths) + lengths, lengths)
        places = begins + np.arange(int(lengths.sum()))
        ids = np.full(there.shape, fill_id, dtype=np.int64)
        ids[there] = self.ids[places]
        arrays = {"input_ids": ids, "attention_mask": there.astype(np.int64)}
        if self.kinds is not None:
            kinds = np.full(there.shape, fill_kind, dtype=np.int64)
            kinds[there] = self.kinds[places]
            arrays["token_type_ids"] = kinds
        return arrays


def tokenize(
    tokenizer: Any, texts: Sequence[str], max_length: int, cache: Path | None = None
) -> TokenTable:
    """Tokenise texts, cut to `max_length` tokens with the special ones, on all processor cores.

    Args:
        tokenizer: a transformers tokenizer with a padding token.
        texts: n texts; one without any token becomes a single padding token that is attended to.
        max_length: most tokens a text, special tokens included.
        cache: folder in which the tokens are looked for and kept, or None.

    Returns:
        a table of n rows.
    """
    padding = (tokenizer.pad_token_id, tokenizer.pad_token_type_id, tokenizer.padding_side)
    key = "" if cache is None else _key(tokenizer, texts, max_length)
    arrays = kept(cache, "tokens", key, lambda: _tokens(tokenizer, texts, max_length))
    return TokenTable(arrays["ids"], arrays.get("kinds"), arrays["starts"], padding)


def _tokens(tokenizer: Any, texts: Sequence[str], max_length: int) -> Arrays:
    """The arrays of a `TokenTable` by name; `kinds` only where they are not all 0."""
    ids: list[np.ndarray[Any, Any]] = []
    kinds: list[np.ndarray[Any, Any]] = []
    lengths: list[int] = []
    for part in batches_of(len(texts), TEXTS_AT_A_TIME):
        encoded = tokenizer(
            [encodable(text) for text in texts[part]],
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
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    arrays = {"ids": np.concatenate(ids) if ids else np.zeros(0, np.int32), "starts": starts}
    types = np.concatenate(kinds) if kinds else np.zeros(0, dtype=np.int8)
    return arrays | {"kinds": types} if types.any() else arrays


def _key(tokenizer: Any, texts: Sequence[str], max_length: int) -> str:
    """Hash of everything that the tokens depend on."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    # What the tokenizer was last asked to do is no part of what it is.
    described.pop("truncation", None)
    described.pop("padding", None)
    digest = hashlib.sha256(json.dumps(described).encode())
    digest.update(f"{type(tokenizer).__name__} {max_length} {tokenizer.padding_side}".encode())
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()


def encodable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, as question marks."""
    return text.encode("utf-8", "replace").decode()


@contextmanager
def vocabulary_in_use(model: Any, tables: Sequence[TokenTable]) -> Iterator[list[TokenTable]]:
    """While the body runs, the model knows only the tokens of the tables, under new numbers.

    Args:
        model: a transformers model; if its embedding is shared with another part, or is more
            than a table, nothing is changed.
        tables: all texts that the model will see in the body.

    Yields:
        the same texts in the new numbers.
    """
    import torch

    whole = model.get_input_embeddings()
    used = _used(model, tables)
    if not _can_be_cut(model, whole) or len(used) >= whole.num_embeddings:
        yield list(tables)
        return
    numbers = np.zeros(whole.num_embeddings, dtype=np.int32)
    numbers[used] = np.arange(len(used))
    rows = torch.from_numpy(used).to(whole.weight.device)
    size = (len(used), whole.embedding_dim, whole.padding_idx)
    cut = torch.nn.Embedding(*size, device="meta")  # draws no random numbers
    cut.weight = torch.nn.Parameter(whole.weight.detach()[rows], whole.weight.requires_grad)
    model.set_input_embeddings(cut)
    try:
        yield [
            replace(
                table,
                ids=numbers[table.ids],
                padding=(int(numbers[table.padding[0]]), *table.padding[1:]),
            )
            for table in tables
        ]
    finally:
        with torch.no_grad():
            whole.weight[rows] = cut.weight.detach().to(whole.weight)
        model.set_input_embeddings(whole)


def _used(model: Any, tables: Sequence[TokenTable]) -> Integers:
    """The ids that occur, and all up to the largest that the model itself may compare with.

    Some models look for the padding or the end of a text among the ids, so those keep their
    numbers.
    """
    size = model.get_input_embeddings().num_embeddings
    there = np.zeros(size, dtype=bool)
    for table in tables:
        there[table.ids] = True
    named = [
        value
        for name, value in vars(model.config.get_text_config()).items()
        if name.endswith("_token_id") and isinstance(value, int)
    ]
    there[: max([table.padding[0] for table in tables] + named, default=0) + 1] = True
    return np.flatnonzero(there)


def _can_be_cut(model: Any, embedding: Any) -> bool:
    """Whether it is a plain table that no other part of the model shares."""
    import torch

    if type(embedding) is not torch.nn.Embedding:
        return False
    users = [
        module for module in model.modules() if getattr(module, "weight", None) is embedding.weight
    ]
    return len(users) == 1
