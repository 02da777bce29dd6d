"""Near-duplicates: texts that are the same but for a few words.

The likeness of two texts is the Jaccard index of their word pairs. MinHash signatures and
locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998; library datasketch) find
candidates, whose likeness is then computed exactly.
"""

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

    @cached_property
    def words(self) -> tuple[npt.NDArray[np.int32], Integers]:
        """`flat` and `starts` without the signs between the words."""
        is_word = np.array([token[0].isalnum() or token[0] == "_" for token in self.vocabulary])
        kept = is_word[self.flat] if len(self.flat) else np.zeros(0, dtype=bool)
        before = np.concatenate([[0], np.cumsum(kept)])
        return self.flat[kept], before[self.starts].astype(np.int64)


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


LIKENESS: Final = 0.8
FEWEST_WORDS: Final = 5
_BANDS: Final = (12, 5)
"""Bands and rows of the hash table: 99% of pairs with likeness 0.8 are found, 4% with 0.3."""
Shingles = npt.NDArray[np.uint32]
"""The hashed word pairs of a text, as a sorted set."""


def near_duplicates(tokens: Tokens, likeness: float = LIKENESS) -> Integers:
    """Return clusters of texts that are nearly the same: (n,) position of the first text of each.

    Each text joins the first earlier text that is similar enough; texts of fewer than five words
    are left alone, since short answers are naturally alike.
    """
    from datasketch import MinHash, MinHashLSH

    clusters = np.arange(len(tokens))
    bands, rows = _BANDS
    table = MinHashLSH(num_perm=bands * rows, params=_BANDS)
    blank = MinHash(num_perm=bands * rows, scheme="affine32", hashfunc=int)
    flat, starts = tokens.words
    size = (2, len(tokens.vocabulary))
    codes = np.random.default_rng(0).integers(0, 2**32, size=size, dtype=np.uint32)

    def shingles(row: int) -> Shingles:
        words = flat[starts[row] : starts[row + 1]]
        return np.unique(codes[0, words[:-1]] + codes[1, words[1:]])

    def alike(one: Shingles, other: Shingles) -> bool:
        if min(len(one), len(other)) < likeness * max(len(one), len(other)):
            return False
        common = len(np.intersect1d(one, other, assume_unique=True))
        return common >= likeness * (len(one) + len(other) - common)

    first_with: dict[bytes, int] = {}
    for row in range(len(tokens)):
        own = shingles(row)
        if len(own) < FEWEST_WORDS - 1:
            continue
        first = first_with.setdefault(own.tobytes(), row)
        if first != row:
            clusters[row] = clusters[first]
            continue
        signature = blank.copy()
        signature.update_batch(own.tolist())
        near = sorted(table.query(signature))
        found = next((one for one in near if alike(own, shingles(one))), None)
        if found is None:
            table.insert(row, signature, check_duplication=False)
        else:
            clusters[row] = found
    return clusters
