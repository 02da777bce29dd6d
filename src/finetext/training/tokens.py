"""Texts as token ids: tokenized once, stored end to end, padded per batch."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.budget import native
from finetext.core.contracts import batches_of
from finetext.core.text_columns import SEPARATOR, as_one, texts_in
from finetext.storage.cache import Arrays, kept

TEXTS_AT_A_TIME: Final = 2_000


@dataclass(frozen=True, eq=False)
class TokenTable:
    """The token ids of n texts, end to end: text i is `ids[starts[i] : starts[i + 1]]`."""

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
        """Return `input_ids`, `attention_mask` and any `token_type_ids`, (rows, longest) each."""
        import torch

        return {name: torch.from_numpy(array) for name, array in self.arrays(rows).items()}

    def arrays(self, rows: Sequence[int] | Integers) -> dict[str, Integers]:
        """Return the same as `batch`, as arrays of int64."""
        rows = np.asarray(rows)
        lengths = self.lengths[rows]
        is_token = np.arange(int(lengths.max())) < lengths[:, None]
        fill_id, fill_kind, side = self.padding
        if side == "left":
            is_token = is_token[:, ::-1]
        # Where the tokens of all rows, in order, lie in the table.
        begins = np.repeat(self.starts[rows] - np.cumsum(lengths) + lengths, lengths)
        places = begins + np.arange(int(lengths.sum()))

        def padded(values: np.ndarray[Any, Any], fill: int) -> Integers:
            array = np.full(is_token.shape, fill, dtype=np.int64)
            array[is_token] = values[places]
            return array

        arrays = {
            "input_ids": padded(self.ids, fill_id),
            "attention_mask": is_token.astype(np.int64),
        }
        if self.kinds is not None:
            arrays["token_type_ids"] = padded(self.kinds, fill_kind)
        return arrays


def tokenize(
    tokenizer: Any, texts: Sequence[str], max_length: int, cache: Path | None = None
) -> TokenTable:
    """Tokenize texts, truncated to `max_length` tokens, special tokens included."""
    padding = (tokenizer.pad_token_id, tokenizer.pad_token_type_id, tokenizer.padding_side)
    key = "" if cache is None else _key(tokenizer, texts, max_length)
    arrays = kept(cache, "tokens", key, lambda: _tokens(tokenizer, texts, max_length))
    return TokenTable(arrays["ids"], arrays.get("kinds"), arrays["starts"], padding)


def _tokens(tokenizer: Any, texts: Sequence[str], max_length: int) -> Arrays:
    """The arrays of a `TokenTable` by name; `kinds` only if not all are 0."""
    ids: list[np.ndarray[Any, Any]] = [np.zeros(0, np.int32)]
    kinds: list[np.ndarray[Any, Any]] = [np.zeros(0, np.int8)]
    lengths: list[int] = []
    for part in batches_of(len(texts), TEXTS_AT_A_TIME):
        with native("the tokenizer"):
            encoded = tokenizer(
                given_texts(tokenizer, texts[part]),
                truncation=True,
                max_length=max_length,
                padding=False,
                return_attention_mask=False,
            )
            rows = [row or [tokenizer.pad_token_id] for row in encoded["input_ids"]]
            types = encoded.get("token_type_ids") or [[0]] * len(rows)
            lengths += map(len, rows)
            ids.append(np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]))
            kinds.append(np.concatenate([np.asarray(row or [0], dtype=np.int8) for row in types]))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    arrays: Arrays = {"ids": np.concatenate(ids), "starts": starts}
    all_kinds = np.concatenate(kinds)
    return arrays | {"kinds": all_kinds} if all_kinds.any() else arrays


def _key(tokenizer: Any, texts: Sequence[str], max_length: int) -> str:
    """Hash of everything that the tokens depend on."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    # Options of the last call are no part of the tokenizer.
    described.pop("truncation", None)
    described.pop("padding", None)
    digest = hashlib.sha256(json.dumps(described).encode())
    digest.update(f"{type(tokenizer).__name__} {max_length} {tokenizer.padding_side}".encode())
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()


def given_texts(tokenizer: Any, texts: Sequence[str]) -> list[str | tuple[str, str]]:
    """Return texts as a tokenizer takes them, of transformers or of tokenizers.

    Texts of two columns are pairs if the tokenizer has a form for these, which marks where the
    second begins. Texts of more columns are one, as are pairs otherwise.
    """
    if not any(SEPARATOR in text for text in texts):
        return [encodable(text) for text in texts]
    added = tokenizer.num_special_tokens_to_add
    takes_pairs = getattr(tokenizer, "is_fast", True) and added(True) > added(False)
    return [
        (encodable(parts[0]), encodable(parts[1]))
        if takes_pairs and len(parts := texts_in(text)) == 2
        else encodable(text)
        for text in texts
    ]


def encoded_text(tokenizer: Any, text: str, **options: Any) -> Any:
    """Return what a tokenizer of transformers makes of one text; any offsets are those in it."""
    [given] = given_texts(tokenizer, [text])
    if isinstance(given, str):
        return tokenizer(given, **options)
    encoded = tokenizer(*given, **options)
    if "offset_mapping" in encoded:
        second = text.index(SEPARATOR) + len(SEPARATOR)
        shifts = (second if of == 1 else 0 for of in encoded.sequence_ids(0))
        places = zip(encoded["offset_mapping"], shifts, strict=True)
        encoded["offset_mapping"] = [(start + by, end + by) for (start, end), by in places]
    return encoded


def encodable(text: str) -> str:
    """Return the text as one, with lone surrogates, which no tokenizer takes, as question marks."""
    return as_one(text).encode("utf-8", "replace").decode()


class ReducedVocabulary:
    """The embedding of a model reduced to the tokens of some tables, which get new ids.

    A model whose embedding is shared with another layer, or holds no others, stays as it is.
    """

    def __init__(self, model: Any, tables: Sequence[TokenTable]) -> None:
        """Reduce the embedding of the model; `tables` are the same with new ids."""
        import torch

        self.tables = list(tables)
        self._model, self._whole, self._rows = model, None, None
        whole = model.get_input_embeddings()
        used = _used_ids(model, tables)
        modules = [of for of in model.modules() if getattr(of, "weight", None) is whole.weight]
        is_plain_table = type(whole) is torch.nn.Embedding and len(modules) == 1
        if not is_plain_table or len(used) >= whole.num_embeddings:
            return
        new_ids = np.zeros(whole.num_embeddings, dtype=np.int32)
        new_ids[used] = np.arange(len(used))
        self._whole, self._rows = whole, torch.from_numpy(used).to(whole.weight.device)
        size = (len(used), whole.embedding_dim, whole.padding_idx)
        reduced = torch.nn.Embedding(*size, device="meta")  # draws no random numbers
        weight = whole.weight.detach()[self._rows]
        reduced.weight = torch.nn.Parameter(weight, whole.weight.requires_grad)
        model.set_input_embeddings(reduced)
        paddings = [(int(new_ids[table.padding[0]]), *table.padding[1:]) for table in tables]
        self.tables = [
            replace(table, ids=new_ids[table.ids], padding=padding)
            for table, padding in zip(tables, paddings, strict=True)
        ]

    def restore(self, model: Any) -> None:
        """Give the model, or a copy of it, its whole embedding back, with what was learned."""
        import torch

        if self._whole is None:
            return
        whole = self._whole if model is self._model else copy.deepcopy(self._whole)
        reduced = model.get_input_embeddings()
        with torch.no_grad():
            whole.weight[self._rows] = reduced.weight.detach().to(whole.weight)
        model.set_input_embeddings(whole)


@contextmanager
def vocabulary_in_use(model: Any, tables: Sequence[TokenTable]) -> Iterator[list[TokenTable]]:
    """Reduce the embedding of a model to the tokens of the tables; yield these with new ids."""
    vocabulary = ReducedVocabulary(model, tables)
    try:
        yield vocabulary.tables
    finally:
        vocabulary.restore(model)


def _used_ids(model: Any, tables: Sequence[TokenTable]) -> Integers:
    """The ids that occur, and all up to the largest special id of the model's configuration."""
    is_used = np.zeros(model.get_input_embeddings().num_embeddings, dtype=bool)
    for table in tables:
        is_used[table.ids] = True
    special = [
        value
        for name, value in vars(model.config.get_text_config()).items()
        if name.endswith("_token_id") and isinstance(value, int)
    ]
    # Some models look for padding or the end of a text among the ids, so these keep their numbers.
    is_used[: max([table.padding[0] for table in tables] + special, default=0) + 1] = True
    return np.flatnonzero(is_used)
