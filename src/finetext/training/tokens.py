"""Texts as token ids: tokenized once, stored end to end, padded per batch."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.budget import is_panic, native
from finetext.core.contracts import batches_of
from finetext.core.text_columns import SEPARATOR, as_one, texts_in
from finetext.storage.cache import Arrays, kept
from finetext.training.truncation import cut, kept_ends, special_ends, truncation_of, window_bounds

TEXTS_AT_A_TIME: Final = 2_000
TOKENIZER: Final = "tokenizer.json"
PAIR_AS_ONE: Final = as_one(SEPARATOR)
Row = tuple[Sequence[int], ...]
"""The ids of a text, and the types of its tokens if there are any."""


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


@dataclass(frozen=True, eq=False)
class Windows:
    """Texts in windows of tokens: those of text i begin with row `firsts[i]` of the table."""

    table: TokenTable
    firsts: Integers

    def averaged(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return (n, d) means of (windows, d) values, each weighted by the tokens of its window."""
        if len(self.table) == len(self.firsts):
            return values
        weights = self.table.lengths[:, None].astype(values.dtype)
        sums = np.add.reduceat(values * weights, self.firsts)
        return np.asarray(sums / np.add.reduceat(weights, self.firsts), dtype=values.dtype)


def tokenize(
    tokenizer: Any, texts: Sequence[str], max_length: int, cache: Path | None = None
) -> TokenTable:
    """Tokenize texts, truncated to `max_length` tokens, special tokens included.

    What is kept of a longer text says the tokenizer, see `finetext.training.truncation`.
    """
    key = "" if cache is None else _key(tokenizer, texts, max_length, truncation_of(tokenizer))
    arrays = kept(cache, "tokens", key, lambda: _tokens(tokenizer, texts, max_length))
    return _table(tokenizer, arrays)


def tokenize_windows(
    tokenizer: Any, texts: Sequence[str], longest: int, cache: Path | None = None
) -> Windows:
    """Tokenize whole texts in windows of at most `longest` tokens, special tokens included.

    The windows of a text are of nearly equal size. Pairs that are longer become one text.
    """
    key = "" if cache is None else _key(tokenizer, texts, longest, "windows")
    arrays = kept(cache, "tokens", key, lambda: _windows(tokenizer, texts, longest))
    return Windows(_table(tokenizer, arrays), arrays["firsts"])


def _table(tokenizer: Any, arrays: Arrays) -> TokenTable:
    padding = (tokenizer.pad_token_id, tokenizer.pad_token_type_id, tokenizer.padding_side)
    return TokenTable(arrays["ids"], arrays.get("kinds"), arrays["starts"], padding)


def _tokens(tokenizer: Any, texts: Sequence[str], max_length: int) -> Arrays:
    """The arrays of a `TokenTable` by name; `kinds` only if not all are 0."""
    ends = kept_ends(tokenizer, max_length)

    def rows() -> Iterator[Row]:
        for part in batches_of(len(texts), TEXTS_AT_A_TIME):
            given = given_texts(tokenizer, texts[part])
            if ends is None:
                yield from _encoded(tokenizer, given, max_length)
                continue
            for text, row in zip(given, _encoded(tokenizer, given), strict=True):
                if len(row[0]) > max_length and not isinstance(text, str):
                    yield from _encoded(tokenizer, [text], max_length)
                else:
                    yield tuple(cut(values, ends) for values in row)

    return arrays_of(rows(), tokenizer.pad_token_id)


def _windows(tokenizer: Any, texts: Sequence[str], longest: int) -> Arrays:
    """The arrays of `Windows` by name."""
    special, firsts = special_ends(tokenizer), list[int]()
    room = 0 if special is None else longest - sum(special)
    if special is None or room < 1:
        return _tokens(tokenizer, texts, longest) | {"firsts": np.arange(len(texts))}

    def rows() -> Iterator[Row]:
        count = 0
        for part in batches_of(len(texts), TEXTS_AT_A_TIME):
            given = given_texts(tokenizer, texts[part])
            for text, row in zip(given, _encoded(tokenizer, given), strict=True):
                if len(row[0]) > longest and not isinstance(text, str):
                    [row] = _encoded(tokenizer, [PAIR_AS_ONE.join(text)])
                windows = windows_of(row, special, room)
                firsts.append(count)
                count += len(windows)
                yield from windows

    arrays = arrays_of(rows(), tokenizer.pad_token_id)
    return arrays | {"firsts": np.array(firsts, dtype=np.int64)}


def windows_of(row: Row, special: tuple[int, int], room: int) -> list[Row]:
    """Return ids and types of a text in windows of at most `room` tokens between special ones."""
    before, end = special[0], len(row[0]) - special[1]
    bounds = (before + window_bounds(end - before, room)).tolist()
    return [
        tuple([*of[:before], *of[start:stop], *of[end:]] for of in row)
        for start, stop in pairwise(bounds)
    ]


def _encoded(tokenizer: Any, given: Sequence[Any], max_length: int | None = None) -> Iterator[Row]:
    """Yield the ids of each text and their types if the tokenizer makes any; truncated or whole."""
    options = {"truncation": True, "max_length": max_length}
    if max_length is None:
        options = {"truncation": False, "verbose": False}
    with native("the tokenizer"):
        encoded = tokenizer(given, padding=False, return_attention_mask=False, **options)
    names = ("input_ids", "token_type_ids")
    return zip(*(of for name in names if (of := encoded.get(name)) is not None), strict=True)


def arrays_of(rows: Iterable[Row], pad_token_id: int) -> Arrays:
    """Return rows end to end; one without tokens is padding that is attended to."""
    ids, kinds = [np.zeros(0, np.int32)], [np.zeros(0, np.int8)]
    for row, *types in rows:
        ids.append(np.asarray(row or [pad_token_id], dtype=np.int32))
        kinds += [np.asarray(of or [0], dtype=np.int8) for of in types]
    starts = np.cumsum([0, *map(len, ids[1:])]).astype(np.int64)
    arrays: Arrays = {"ids": np.concatenate(ids), "starts": starts}
    all_kinds = np.concatenate(kinds)
    return arrays | {"kinds": all_kinds} if all_kinds.any() else arrays


def _key(tokenizer: Any, texts: Sequence[str], max_length: int, how: str) -> str:
    """Hash of everything that the tokens depend on."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    # Options of the last call are no part of the tokenizer.
    described.pop("truncation", None)
    described.pop("padding", None)
    digest = hashlib.sha256(json.dumps(described).encode())
    kind = type(tokenizer).__name__
    digest.update(f"{kind} {max_length} {how} {tokenizer.padding_side}".encode())
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


def encoded_as_read(
    tokenizer: Any, text: str, max_length: int, **options: Any
) -> dict[str, list[Any]]:
    """Return the same with the tokens that `tokenize` keeps; a tokenizer that is fast is needed."""
    ends = None if SEPARATOR in text else kept_ends(tokenizer, max_length)
    if ends is None:
        return dict(
            encoded_text(tokenizer, text, truncation=True, max_length=max_length, **options)
        )
    encoded = encoded_text(tokenizer, text, truncation=False, verbose=False, **options)
    return {name: cut(values, ends) for name, values in encoded.items()}


def open_tokenizer(path: Path) -> Any:
    """Return the tokenizer in a file; raises a ValueError."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except BaseException as error:  # tokenizers raises bare exceptions, and panics
        if isinstance(error, Exception) or is_panic(error):
            raise ValueError(f"{path.name}: {error}") from None
        raise


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
