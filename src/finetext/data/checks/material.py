"""What every check looks at: the rows of all parts, and what is computed from them once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from finetext.data.neighbours import near_duplicates
from finetext.data.tokens import Tokens, tokens_of
from finetext.types import SPLIT_NAMES, Dataset, Integers, LabelScheme, Splits

MOST_ROWS_NAMED: Final = 100


@dataclass(frozen=True, eq=False)
class ModelInput:
    """The word pieces of the n texts for an encoder, and how many of them it is given.

    Attributes:
        encoder: alias, Hub name or folder of the encoder.
        limit: word pieces of a text that the model is given; what comes after is cut.
        counting: gives `pieces`, maybe after a wait.
    """

    encoder: str
    limit: int
    counting: Callable[[], Integers]

    @cached_property
    def pieces(self) -> Integers:
        """(n,) word pieces of each text, special ones included."""
        return self.counting()


@dataclass(frozen=True, eq=False)
class Material:
    """The n rows of all parts, one part after the other.

    Attributes:
        parts: name and rows of each part: "train", "validation", "test", or "all" alone.
        inputs: what models are given of the texts; none if word pieces are not counted.
    """

    parts: tuple[tuple[str, Dataset], ...]
    inputs: tuple[ModelInput, ...] = ()

    @classmethod
    def of(cls, data: Dataset | Splits) -> Material:
        """The material of a data set, by its ready-made parts if it has some, or of splits."""
        if isinstance(data, Splits):
            return cls(tuple(data.items()))
        if "split" not in data.table.column_names:
            return cls((("all", data),))
        given = np.asarray(data.column("split"), dtype=object)
        rows = {name: np.flatnonzero(given == name) for name in SPLIT_NAMES}
        return cls(tuple((name, data.select(rows[name])) for name in rows if len(rows[name])))

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def scheme(self) -> LabelScheme | None:
        """The classes, or None for unlabelled text."""
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
        """(n, k) of 0 and 1: the classes of each row; k = 0 for unlabelled text."""
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
        first: dict[str, int] = {}
        keys = (" ".join(text.split()) for text in self.texts)
        rows = [first.setdefault(key, row) if key else row for row, key in enumerate(keys)]
        return np.array(rows, dtype=np.int64)

    @cached_property
    def tokens(self) -> Tokens:
        """The texts as numbered words and signs."""
        return tokens_of(self.texts)

    @cached_property
    def clusters(self) -> Integers:
        """(n,) position of the first row with nearly the same text."""
        return near_duplicates(self.tokens)[self.copies]

    def name(self, rows: Iterable[int]) -> tuple[str, ...]:
        """The ids of the rows at the given positions, the first hundred at most."""
        return tuple(self.ids[row] for row, _ in zip(rows, range(MOST_ROWS_NAMED), strict=False))


def quoted(text: str, most: int = 60) -> str:
    """The beginning of a text on one line, in quotes."""
    line = " ".join(text.split())
    return repr(line if len(line) <= most else line[: most - 1] + "…")
