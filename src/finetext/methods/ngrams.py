"""TF-IDF features of a known vocabulary, computed on blocks of texts with numpy.

The values equal those of scikit-learn's `TfidfVectorizer.transform`. Words are hashed to 64 bits
(Karp and Rabin 1987, modulo 2**64) and looked up in tables; an n-gram is its first n - 1 words,
already looked up, and one more word.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats, Integers

_CHARACTERS: Final = 1 << 19
"""Characters per block of texts: enough for numpy to be fast, about 50 MB at work."""
_BASE: Final = 0x9E3779B97F4A7C15
_SPACE, _WORD, _SIGN = range(3)
_Hashes = npt.NDArray[np.uint64]
_Places = npt.NDArray[np.int32]


@final
class NgramFeatures:
    """Texts to TF-IDF features: sublinear term frequency, rows of unit length."""

    def __init__(self, terms: Sequence[str], idf: Floats) -> None:
        """Build the tables of d n-grams in column order, tokens joined by spaces; `idf` is (d,)."""
        self._idf = 1.0 * idf
        self._bits = len(idf).bit_length()
        words = dict.fromkeys(word for term in terms for word in term.split(" "))
        numbers = {word: number for number, word in enumerate(words)}
        self._width = len(numbers)
        nodes: list[dict[int, int]] = [{number: number for number in range(len(numbers))}]
        columns: list[dict[int, int]] = [{}]
        for column, term in enumerate(terms):
            first, *more = (numbers[word] for word in term.split(" "))
            node = first
            for depth, number in enumerate(more, start=1):
                if depth == len(nodes):
                    nodes.append({})
                    columns.append({})
                code = node * self._width + number
                node = nodes[depth].setdefault(code, len(nodes[depth]))
            columns[len(more)][node] = column
        stops = np.cumsum([len(word) for word in numbers], dtype=np.int64)
        starts = np.append(0, stops)[: len(stops)]
        self._words = _Table(_hashes(_codes("".join(numbers)), starts, stops))
        self._longer = [_Table(np.fromiter(own, np.uint64, len(own))) for own in nodes[1:]]
        self._columns = [
            np.array([*(own.get(node, -1) for node in range(len(known))), -1], dtype=np.int32)
            for known, own in zip(nodes, columns, strict=True)
        ]

    def blocks(self, texts: Sequence[str]) -> Iterator[Any]:
        """Yield the (m, d) sparse features of blocks of `texts`, in their order."""
        ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
        first = 0
        while first < len(texts):
            before = ends[first - 1] if first else 0
            stop = max(first + 1, int(np.searchsorted(ends, before + _CHARACTERS)))
            yield self._features(texts[first:stop])
            first = stop

    def _features(self, texts: Sequence[str]) -> Any:
        """Return the (m, d) features of one block."""
        from scipy.sparse import csr_matrix

        hashes, bounds = _tokens(texts)
        keys = np.sort(self._occurrences(self._words.find(hashes), bounds))
        first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
        counts, keys = np.diff(first, append=len(keys)), keys.take(first)
        columns = (keys & ((1 << self._bits) - 1)).astype(np.int32)
        starts = np.searchsorted(keys, np.arange(len(texts) + 1) << self._bits)
        values = self._idf.take(columns)
        several = np.flatnonzero(counts > 1)
        values[several] *= 1.0 + np.log(counts[several])
        own = np.diff(starts)
        squares = np.add.reduceat(values * values, starts[:-1][own > 0])
        values /= np.repeat(np.sqrt(squares), own[own > 0])
        return csr_matrix((values, columns, starts), shape=(len(texts), len(self._idf)))

    def _occurrences(self, words: _Places, bounds: Integers) -> Integers:
        """Return row << bits | column of each n-gram of (t,) words; bounds (m + 1,) start rows."""
        counts = np.diff(bounds)
        small = len(counts) << self._bits < 1 << 31
        first = np.arange(len(counts)) << self._bits
        rows = np.repeat(first.astype(np.int32 if small else np.int64), counts)
        left = np.repeat(bounds[1:], counts) - np.arange(len(words))
        nodes, found = words, [self._found(words, 0, rows)]
        for depth, longer in enumerate(self._longer, start=1):
            next_words = words[depth:]
            shorter = nodes[: len(next_words)]
            fits = (shorter >= 0) & (next_words >= 0) & (left[: len(next_words)] > depth)
            places = np.flatnonzero(fits)
            codes = shorter.take(places).astype(np.uint64) * np.uint64(self._width)
            codes += next_words.take(places).astype(np.uint64)
            nodes = np.full(len(next_words), -1, dtype=np.int32)
            nodes[places] = longer.find(codes)
            found.append(self._found(nodes, depth, rows))
        return np.concatenate(found)

    def _found(self, nodes: _Places, depth: int, rows: Integers) -> Integers:
        columns = self._columns[depth].take(nodes)
        places = np.flatnonzero(columns >= 0)
        return rows.take(places) + columns.take(places)


@final
class _Table:
    """The position of each key in an array of distinct keys: a hash table, open addressing."""

    def __init__(self, keys: _Hashes) -> None:
        self._keys = keys
        bits = max(4, int(4 * len(keys)).bit_length())
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self._slots = np.full(1 << bits, -1, dtype=np.int32)
        todo, at = np.arange(len(keys), dtype=np.int32), self._slot(keys)
        while len(todo):
            free = self._slots[at] < 0
            self._slots[at[free]] = todo[free]
            lost = self._slots[at] != todo
            todo, at = todo[lost], (at[lost] + 1) & self._mask

    def _slot(self, keys: _Hashes) -> Integers:
        return ((keys * np.uint64(_BASE)) >> self._shift).astype(np.int64)

    def find(self, keys: _Hashes) -> _Places:
        """Return the position of each key, (t,), -1 for unknown keys."""
        at = self._slot(keys)
        found = self._slots.take(at)
        todo = np.flatnonzero((self._keys.take(found, mode="wrap") != keys) & (found >= 0))
        while len(todo):
            at[todo] = (at[todo] + 1) & self._mask
            found[todo] = self._slots[at[todo]]
            todo = todo[(self._keys[found[todo]] != keys[todo]) & (found[todo] >= 0)]
        return found


def _tokens(texts: Sequence[str]) -> tuple[_Hashes, Integers]:
    """Return the hash of every token, (t,), and where each text begins, (m + 1,)."""
    lowered = list(map(str.lower, texts))
    codes = _codes(" ".join(lowered))
    kinds = _kinds(max(7, int(codes.max(initial=0)).bit_length())).take(codes)
    signs, word = kinds == _SIGN, kinds == _WORD
    before, after = np.zeros_like(word), np.zeros_like(word)
    before[1:], after[:-1] = word[:-1], word[1:]
    starts = np.flatnonzero(signs | (word & ~before))
    stops = np.flatnonzero(signs | (word & ~after)) + 1
    begins = np.zeros(len(lowered) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, lowered), np.int64, len(lowered)) + 1, out=begins[1:])
    return _hashes(codes, starts, stops), np.searchsorted(starts, begins)


def _codes(text: str) -> npt.NDArray[np.uint32]:
    """Return the code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _hashes(codes: npt.NDArray[np.uint32], starts: Integers, stops: Integers) -> _Hashes:
    """Hash each span from `starts` to `stops`: the sum of code times base ** position."""
    powers, inverse = _powers(max(_CHARACTERS, len(codes)).bit_length())
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum(codes * powers[: len(codes)], out=sums[1:])
    return (sums.take(stops) - sums.take(starts)) * inverse.take(starts)


@lru_cache(maxsize=1)
def _powers(bits: int) -> tuple[_Hashes, _Hashes]:
    """Return `2**bits` powers of the base and of its inverse modulo 2**64."""
    bases = (_BASE, pow(_BASE, -1, 1 << 64))
    first, second = (
        np.cumprod(np.full(1 << bits, base, dtype=np.uint64), dtype=np.uint64) for base in bases
    )
    return first, second


@cache
def _kinds(bits: int) -> npt.NDArray[np.uint8]:
    """Return the class of each character below `2**bits`: space, word or other."""
    classes = (
        _WORD if each.isalnum() or each == "_" else _SPACE if each.isspace() else _SIGN
        for each in map(chr, range(min(1 << bits, sys.maxunicode + 1)))
    )
    return np.fromiter(classes, np.uint8)
