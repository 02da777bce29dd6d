"""Duplicates: texts that are the same, or the same but for a few words.

The likeness of two texts is the Jaccard index of their word pairs. MinHash signatures and
locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998) find candidates, whose likeness
is then computed exactly. One changed word of ten is a likeness of 0.64, so short texts are alike
also if one word sets them apart, or if one begins or ends with the other. Texts that are linked by
others that are alike are one cluster. In numpy, as the library datasketch takes five times as long
on short texts (0.2 to 0.3 s and 1.4 to 1.6 s for 16,000 tweets: `benchmarks/LOG.md`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Booleans, Integers

LIKENESS: Final = 0.8
FEWEST_WORDS: Final = 5
MOST_CHARACTERS: Final = 200_000_000
"""Texts of more characters in all are not searched for near-duplicates: a minute of work."""
FEWEST_BUT_ONE: Final = 10
"""Words of texts that are alike if they are the same but for one word."""
FEWEST_WHOLE: Final = 8
MOST_ADDED: Final = 12
"""Words of a text that is alike to one that begins or ends with it, and that many words that the
other may add, or as many as it has."""
_SHORT, _LONG_WORD = 64, 16
_SURELY_ALIKE: Final = 20
"""Words from which on two texts that differ in one word have a likeness above 0.8."""
_BANDS: Final = (12, 5)
"""Bands and rows of the hash table: 99% of pairs with likeness 0.8 are found, 4% with 0.3."""
_NEIGHBORS: Final = 10
"""Rows of a bucket that each of its rows is compared with, so that a template is not quadratic."""
_SLACK: Final = 0.2
"""Four standard deviations of a likeness of 0.8 as the signatures estimate it."""
_CHARACTERS_AT_ONCE: Final = 2_000_000
_PAIRS_AT_ONCE: Final = 1_000_000
_Hashes = npt.NDArray[np.uint64]
_Codes = npt.NDArray[np.uint32]


def copies(texts: Sequence[str]) -> Integers:
    """Return (n,) position of the first row with the same text, spaces aside; blank ones differ."""
    first: dict[str, int] = {}
    keys = (" ".join(text.split()) for text in texts)
    rows = [first.setdefault(key, row) if key else row for row, key in enumerate(keys)]
    return np.array(rows, dtype=np.int64)


def is_searchable(texts: Sequence[str]) -> bool:
    """Return whether the texts are short enough in all to be searched for near-duplicates."""
    return sum(map(len, texts)) <= MOST_CHARACTERS


def near_duplicates(texts: Sequence[str], likeness: float = LIKENESS) -> Integers:
    """Return clusters of texts that are equal or alike: (n,) position of the first text of each.

    Texts that differ in spaces are always in one cluster. Texts of fewer than five words are in one
    only then, since short answers are naturally alike; so are all if there is too much text (see
    `is_searchable`). Texts of ten words or more are alike also if they are the same without one
    word of each, and those of eight or more if another adds a sentence before or after them. The
    order of the texts does not matter, except among hundreds of texts with much in common.
    """
    clusters = copies(texts)
    if not is_searchable(texts):
        return clusters
    distinct = np.flatnonzero(clusters == np.arange(len(texts)))
    codes, starts, signatures = _shingles([texts[row] for row in distinct.tolist()])
    parent = list(range(len(distinct)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    def alike(one: int, other: int) -> bool:
        a, b = (codes[starts[row] : starts[row + 1]] for row in (one, other))
        if min(len(a), len(b)) < likeness * max(len(a), len(b)):
            return False
        common = len(np.intersect1d(a, b, assume_unique=True))
        return common >= likeness * (len(a) + len(b) - common)

    for one, other in _but_for_a_sentence([texts[row] for row in distinct.tolist()]).tolist():
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    has_words = np.diff(starts) >= FEWEST_WORDS - 1
    for pairs in _candidates(signatures, has_words, likeness - _SLACK):
        for one, other in pairs.tolist():
            low, high = sorted((root(one), root(other)))
            if low != high and alike(one, other):
                parent[high] = low
    roots = np.array([root(row) for row in range(len(distinct))], dtype=np.int64)
    place = np.zeros(len(texts), dtype=np.int64)
    place[distinct] = distinct[roots]
    return place[clusters]


def _candidates(
    signatures: _Codes, has_words: Booleans, least: float
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield (m, 2) pairs of rows that share a band, the nearest in their buckets first."""
    rows = np.flatnonzero(has_words)
    if not len(rows):
        return
    bands, width = _BANDS
    mixers = _numbers(width, 1)
    orders, keys = [], []
    for band in range(bands):
        part = signatures[rows, band * width : (band + 1) * width].astype(np.uint64)
        key = (part * mixers).sum(axis=1, dtype=np.uint64)
        order = np.argsort(key, kind="stable")
        orders.append(rows[order])
        keys.append(key[order])
    seen = np.zeros(0, dtype=np.int64)
    for step in range(1, min(_NEIGHBORS, len(rows) - 1) + 1):
        same = [np.flatnonzero(key[step:] == key[:-step]) for key in keys]
        one = np.concatenate([order[at] for order, at in zip(orders, same, strict=True)])
        other = np.concatenate([order[at + step] for order, at in zip(orders, same, strict=True)])
        found = np.setdiff1d(one * len(signatures) + other, seen)
        seen = np.union1d(seen, found)
        pairs = np.stack(np.divmod(found, len(signatures)), axis=1)
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            some = pairs[start : start + _PAIRS_AT_ONCE]
            agree = (signatures[some[:, 0]] == signatures[some[:, 1]]).mean(axis=1)
            yield some[agree >= least]


def _shingles(texts: Sequence[str]) -> tuple[_Codes, Integers, _Codes]:
    """Return the hashed word pairs of n texts and their MinHash signatures.

    The pairs are sorted sets, end to end; (n + 1,) starts say where each begins. The signatures
    are (n, 60).
    """
    size = _BANDS[0] * _BANDS[1]
    factors = (_numbers(size, 2) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    shifts = (_numbers(size, 3) >> np.uint64(32)).astype(np.uint32)
    signatures = np.zeros((len(texts), size), dtype=np.uint32)
    counts = np.zeros(len(texts), dtype=np.int64)
    parts = [np.zeros(0, dtype=np.uint32)]
    for first, last in _stretches(texts):
        words, row = _words(texts[first:last])
        pairs = (words[:-1] * np.uint64(3) + words[1:]) * _numbers(1, 4)
        pairs = (pairs >> np.uint64(32))[row[:-1] == row[1:]]
        of = row[:-1][row[:-1] == row[1:]].astype(np.uint64)
        pairs = np.sort(of << np.uint64(32) | pairs)  # np.unique is several times as slow
        pairs = pairs[np.diff(pairs, prepend=~pairs[:1]) != 0]
        own = (pairs & np.uint64(2**32 - 1)).astype(np.uint32)
        of = pairs >> np.uint64(32)
        begin = np.flatnonzero(np.diff(of, prepend=~of[:1]))
        filled = of[begin].astype(np.int64) + first
        counts[filled] = np.diff(begin, append=len(of))
        parts.append(own)
        if len(filled):
            for at, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
                signatures[filled, at] = np.minimum.reduceat(own * factor + shift, begin)
    return np.concatenate(parts), np.concatenate([[0], np.cumsum(counts)]), signatures


def _but_for_a_sentence(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return (m, 2) short texts that are the same but for one word, or for words before or after.

    Sequences of words are compared by polynomial hashes, of which those of parts follow.
    """
    by_length, base = _by_length(texts), pow(int(_numbers(1, 7)[0]), -1, 2**64)
    sums = {n: (words * _powers(n)).cumsum(axis=1) for n, (_, words) in by_length.items()}
    rows = np.concatenate([of for of, _ in by_length.values()] or [np.zeros(0, dtype=np.int64)])
    keys = np.concatenate([*(of[:, -1] for of in sums.values()), np.zeros(0, dtype=np.uint64)])
    order = np.argsort(keys, kind="stable")
    pairs, less, owners = [_same(keys, rows)], [keys], [rows]
    for n, (of, words) in by_length.items():
        own, powers = sums[n], _powers(n)
        for taken in range(n if FEWEST_BUT_ONE <= n < _SURELY_ALIKE else 0):
            before = own[:, taken] - words[:, taken] * powers[taken]
            less.append(before + (own[:, -1] - own[:, taken]) * np.uint64(base))
            owners.append(of)
        for length in range(max(FEWEST_WHOLE, min((n + 1) // 2, n - MOST_ADDED)), n):
            shift = np.uint64(pow(base, n - length, 2**64))
            for part in (own[:, length - 1], (own[:, -1] - own[:, n - length - 1]) * shift):
                place = order[np.searchsorted(keys, part, sorter=order).clip(max=len(keys) - 1)]
                found = keys[place] == part
                pairs.append(np.stack([rows[place[found]], of[found]], axis=1))
    return np.concatenate([*pairs, _same(np.concatenate(less), np.concatenate(owners))])


def _same(keys: _Hashes, owners: Integers) -> npt.NDArray[np.int64]:
    """Return (m, 2) owners that link all those of a key."""
    order = np.argsort(keys, kind="stable")
    at = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    return np.stack([owners[order[at]], owners[order[at + 1]]], axis=1)


def _by_length(texts: Sequence[str]) -> dict[int, tuple[Integers, _Hashes]]:
    """Return by number of words the short texts that have so many, (m,), and the words, (m, n)."""
    short = [row for row, text in enumerate(texts) if len(text) < _SHORT * _LONG_WORD]
    some, found = [texts[row] for row in short], dict[int, list[tuple[Integers, _Hashes]]]()
    for first, last in _stretches(some):
        words, row = _words(some[first:last])
        lengths = np.bincount(row, minlength=last - first)
        starts = np.cumsum(lengths) - lengths
        for n in np.unique(lengths[(lengths >= FEWEST_WHOLE) & (lengths <= _SHORT)]).tolist():
            of = np.flatnonzero(lengths == n)
            found.setdefault(n, []).append((of + first, words[starts[of][:, None] + np.arange(n)]))
    place = np.array(short, dtype=np.int64)
    return {
        n: (place[np.concatenate([of for of, _ in parts])], np.concatenate([w for _, w in parts]))
        for n, parts in found.items()
    }


def _powers(count: int) -> _Hashes:
    """Return the powers from 0 on of the base of hashes of sequences."""
    base = int(_numbers(1, 7)[0])
    return np.array([pow(base, n, 2**64) for n in range(count)], dtype=np.uint64)


def _stretches(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield first and last positions of texts to take at once, so that memory stays bounded."""
    first = length = 0
    for row, text in enumerate(texts):
        length += len(text)
        if length >= _CHARACTERS_AT_ONCE:
            yield first, row + 1
            first, length = row + 1, 0
    if first < len(texts):
        yield first, len(texts)


def _words(texts: Sequence[str]) -> tuple[_Hashes, Integers]:
    """Return the hash of each word of some texts, case and signs aside, and the row of each."""
    lowered = [text.lower() for text in texts]
    characters = np.frombuffer(
        "\n".join(lowered).encode("utf-32-le", "surrogatepass"), dtype=np.uint32
    )
    is_word = np.concatenate([[False], _is_word()[characters], [False]])
    begins, ends = (np.flatnonzero(edge) for edge in (
        ~is_word[:-1] & is_word[1:], is_word[:-1] & ~is_word[1:]
    ))  # fmt: skip
    if not len(begins):
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    lengths = ends - begins
    at = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum()) - np.repeat(at, lengths)
    powers = np.cumprod(np.full(lengths.max(), _numbers(1, 5)[0] | np.uint64(1)), dtype=np.uint64)
    letters = characters[is_word[1:-1]].astype(np.uint64) + np.uint64(1)
    hashes = np.add.reduceat(letters * powers[place], at, dtype=np.uint64)
    hashes = (hashes ^ hashes >> np.uint64(29)) * _numbers(1, 6)
    starts = np.cumsum([0, *(len(text) + 1 for text in lowered[:-1])])
    return hashes, np.searchsorted(starts, begins, side="right") - 1


@lru_cache(maxsize=1)
def _is_word() -> Booleans:
    """Return whether each character of Unicode belongs to a word."""
    return np.array([chr(code).isalnum() or chr(code) == "_" for code in range(0x110000)])


def _numbers(count: int, seed: int) -> _Hashes:
    """Return odd random numbers, the same on every machine."""
    numbers = np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)
    return numbers | np.uint64(1)
