"""The tokens of texts as numbers: words, and signs between them, in lower case."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Integers

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_TOKEN: Final = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of n texts, end to end.

    Attributes:
        flat: (m,) number of each token.
        starts: (n + 1,) where each text begins in `flat`; the last is the end.
    """

    flat: npt.NDArray[np.int32]
    starts: Integers
    vocabulary: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def presence(self) -> csr_matrix:
        """(n, v) sparse matrix of 0 and 1: which text has which token."""
        from scipy.sparse import csr_matrix

        ones, shape = np.ones(len(self.flat), dtype=np.int32), (len(self), len(self.vocabulary))
        matrix = csr_matrix((ones, self.flat, self.starts), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix


def tokens_of(texts: Sequence[str]) -> Tokens:
    """Number the tokens of n texts in the order in which they first occur."""
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    flat = array("i")
    starts = [0]
    for text in texts:
        flat.extend([numbers[token] for token in _TOKEN.findall(text.lower())])
        starts.append(len(flat))
    return Tokens(
        np.frombuffer(flat, dtype=np.int32) if flat else np.zeros(0, dtype=np.int32),
        np.array(starts, dtype=np.int64),
        tuple(numbers),
    )
