"""Running all checks on data: `check`, and the material that every check reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Final, NamedTuple

import numpy as np

from finetext.core import registry
from finetext.core.arrays import Integers
from finetext.core.contracts import ProgressEvent, batches_of, silent
from finetext.core.types import SPLIT_NAMES, Dataset, Finding, LabelScheme, Splits
from finetext.core.wording import counted
from finetext.data.near_duplicates import copies, near_duplicates
from finetext.data.token_numbers import Tokens, tokens_of
from finetext.encoders.catalogue import original
from finetext.models.card import without_path
from finetext.training.tokens import given_texts
from finetext.training.truncation import Truncation

MOST_ROWS_NAMED: Final = 100
_BATCH: Final = 1_000
_TRUNCATED: Final[dict[str, str]] = {
    "head": "which are truncated",
    "tail": "of which the end is read",
    "head+tail": "of which head and tail are read",
}
_SEVERITIES: Final = ("error", "warning", "note")


class Reader(NamedTuple):
    """An encoder, the length to which it truncates texts, None for its context, and how it does.

    `truncation` is None if it reads texts whole, in windows.
    """

    encoder: str
    max_length: int | None = None
    truncation: Truncation | None = "head"


@dataclass(frozen=True, eq=False)
class ModelInput:
    """The name of an encoder, how much of a text it reads, and a function that counts tokens.

    `limit` is None if it reads texts whole.
    """

    encoder: str
    limit: int | None
    counting: Callable[[], Integers]
    truncation: Truncation | None = "head"

    @cached_property
    def tokens(self) -> Integers:
        """(n,) tokens of each text, special ones included."""
        return self.counting()

    @cached_property
    def longer(self) -> Integers:
        """The positions of the texts of which it reads a part."""
        if self.limit is None:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(self.tokens > self.limit)

    @property
    def words(self) -> str:
        """How many texts are longer than it takes, how much is read, and what to do."""
        assert self.limit is not None
        read = np.minimum(self.tokens, self.limit)
        lost = 1 - read.sum() / self.tokens.sum()
        other = ', set truncation to "head+tail"' if self.truncation == "head" else ""
        share = float((read / np.maximum(self.tokens, 1)).mean())
        return (
            f"Longer than the {self.limit:,} tokens that {self.encoder} reads: "
            f"{counted(len(self.longer), 'text')} ({len(self.longer) / len(self.tokens):.1%}), "
            f"{_TRUNCATED[self.truncation or 'head']}; {lost:.1%} of all tokens are not seen, and "
            f"{share:.1%} of a text is read on average. If the rest matters, raise max_length, use "
            f"an encoder with a longer context{other}, or use probe without max_length, which "
            "reads whole texts."
        )


@dataclass(frozen=True, eq=False)
class Material:
    """The n rows of all parts, one part after the other, and what several checks compute of them.

    Parts are called "train", "validation", "test", or "all" alone. `known` numbers the
    near-duplicates of the rows, if they were searched for the splits. `encoders` are the names that
    were asked for, with those of random weights.
    """

    parts: tuple[tuple[str, Dataset], ...]
    inputs: tuple[ModelInput, ...] = ()
    known: Integers | None = None
    encoders: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Dataset | Splits) -> Material:
        """Return the material of splits, or of a data set by its ready-made parts if it has any."""
        if isinstance(data, Splits):
            parts = tuple((name, part) for name, part in data.items() if len(part))
            return cls(parts, known=data.clusters)
        if "split" not in data.table.column_names:
            return cls((("all", data),))
        given = np.asarray(data.column("split"), dtype=object)
        rows = {name: np.flatnonzero(given == name) for name in SPLIT_NAMES}
        return cls(tuple((name, data.select(rows[name])) for name in rows if len(rows[name])))

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def scheme(self) -> LabelScheme | None:
        """The classes, or None for unlabeled text."""
        return self.parts[0][1].scheme if self.parts else None

    @cached_property
    def texts(self) -> list[str]:
        """The text of each row."""
        return [text for _, part in self.parts for text in part.texts]

    @cached_property
    def ids(self) -> list[str]:
        """The id of each row."""
        return [row for _, part in self.parts for row in part.ids]

    @cached_property
    def part(self) -> Integers:
        """(n,) the number of the part of each row."""
        return np.repeat(np.arange(len(self.parts)), [len(part) for _, part in self.parts])

    @cached_property
    def groups(self) -> list[str] | None:
        """The group of each row, or None."""
        groups = [part.groups for _, part in self.parts]
        return [g for part in groups for g in part or ()] if all(groups) else None

    @cached_property
    def indicators(self) -> Integers:
        """(n, k) of 0 and 1: the classes of each row; k = 0 for unlabeled text."""
        scheme = self.scheme
        if scheme is None:
            return np.zeros((len(self), 0), dtype=np.int64)
        targets = np.concatenate([part.targets for _, part in self.parts])
        if scheme.multilabel:
            return targets
        return np.asarray(targets[:, None] == np.arange(len(scheme)), dtype=np.int64)

    @cached_property
    def counts(self) -> Integers:
        """(parts, k) rows of each class in each part."""
        return np.array([self.indicators[self.part == p].sum(0) for p in range(len(self.parts))])

    @cached_property
    def copies(self) -> Integers:
        """(n,) position of the first row with the same text, spaces aside; blank ones differ."""
        return copies(self.texts)

    @cached_property
    def tokens(self) -> Tokens:
        """The texts as numbered words and signs."""
        return tokens_of(self.texts)

    @cached_property
    def clusters(self) -> Integers:
        """(n,) position of the first row with equal or nearly the same text."""
        if self.known is None:
            return near_duplicates(self.texts)
        _, first, number = np.unique(self.known, return_index=True, return_inverse=True)
        return np.asarray(first[number], dtype=np.int64)

    def name(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Return the ids of the first hundred of some rows."""
        return tuple(self.ids[row] for row, _ in zip(rows, range(MOST_ROWS_NAMED), strict=False))


def check(
    data: Dataset | Splits, encoder: str | None = None, max_length: int | None = None
) -> list[Finding]:
    """Return everything that is wrong with the data, findings of reading included, worst first.

    Only splits can be checked for leakage. Tokens are counted for an `encoder` (alias, Hub name or
    folder) that reads `max_length` of each text, its whole context by default.

    Raises:
        ModelError: the encoder's tokenizer cannot be loaded.
        RecipeError: `max_length` exceeds the encoder's context.
    """
    inputs = [] if encoder is None else [Reader(encoder, max_length)]
    with counting_tokens(Material.of(data), inputs) as material:
        return check_material(material)


def check_material(material: Material) -> list[Finding]:
    """Return the findings of all checks and of reading, worst first."""
    checks = [registry.load("checks", name) for name in registry.names("checks")]
    found = [finding for each in checks for finding in each(material)]
    codes = {finding.code for finding in found}
    read = {f: None for _, part in material.parts for f in part.findings if f.code not in codes}
    return sorted([*read, *found], key=lambda finding: _SEVERITIES.index(finding.severity))


@contextmanager
def counting_tokens(
    material: Material,
    inputs: Iterable[Reader],
    progress: Callable[[ProgressEvent], None] = silent,
) -> Iterator[Material]:
    """Yield the material with tokens, which are counted in a thread while other checks run."""
    asked = list(inputs)
    material = replace(material, encoders=tuple(of.encoder for of in asked))
    readers = [
        of._replace(encoder=name) for of in asked if (name := original(of.encoder)) is not None
    ]
    if not readers:
        yield material
        return
    from finetext.encoders.catalogue import resolve
    from finetext.encoders.load import load_tokenizer, longest_input

    limits = {}
    for name, most, how in readers:
        length = None if how is None else longest_input(name, most)
        limits[resolve(name).path, length, how] = name
    tokenizers = {
        path: load_tokenizer(name, takes_gliclass=True) for (path, *_), name in limits.items()
    }
    with ThreadPoolExecutor(max_workers=1) as pool:
        counting = {
            path: pool.submit(count_tokens, tokenizer, material.texts, progress).result
            for path, tokenizer in tokenizers.items()
        }
        found = tuple(
            ModelInput(without_path(name), most, counting[path], how)
            for (path, most, how), name in limits.items()
        )
        yield replace(material, inputs=found)


def count_tokens(
    tokenizer: Any, texts: Sequence[str], progress: Callable[[ProgressEvent], None] = silent
) -> Integers:
    """Return the (n,) numbers of tokens of n texts, special ones included, without truncation."""
    lengths = np.zeros(len(texts), dtype=np.int64)
    slow = partial(tokenizer, truncation=False, verbose=False)
    if tokenizer.is_fast:  # a copy, so that the settings of the tokenizer stay as they are
        from tokenizers import Tokenizer

        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        backend.no_truncation()
        backend.no_padding()
    for part in batches_of(len(texts), _BATCH):
        some = given_texts(tokenizer, texts[part])
        found = backend.encode_batch_fast(some) if tokenizer.is_fast else slow(some)["input_ids"]
        lengths[part] = [len(each) for each in found]
        progress(ProgressEvent("counting tokens", part.stop, len(texts)))
    return lengths
