"""Texts as counts of hashed words and characters: what can be kept of them without keeping them.

MurmurHash3 puts each word, and each run of three characters within a word, into one of a few
buckets (Weinberger et al., Feature hashing for large scale multitask learning, ICML 2009). Many
share a bucket, so a word cannot be told from the others there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Integers

WIDTH: Final = 256
"""Columns of a text: half of them for words, half for characters."""
BUCKETS: Final = 1 << 14
"""Buckets in which words are counted by themselves."""
_TOKENS: Final = r"(?u)\b\w+\b|[^\w\s]"
_STEPS: Final = 127

Codes = npt.NDArray[np.int8]


def hashed(texts: Sequence[str]) -> Codes:
    """Return (n, 256) signed counts of words and of character trigrams, each of length 127."""
    from sklearn.feature_extraction.text import HashingVectorizer

    half = WIDTH // 2
    kinds: tuple[dict[str, Any], ...] = (
        {"token_pattern": _TOKENS},
        {"analyzer": "char_wb", "ngram_range": (3, 3)},
    )
    parts = [HashingVectorizer(n_features=half, **kind).transform(texts) for kind in kinds]
    dense = np.concatenate([part.toarray() for part in parts], axis=1)
    return np.round(dense * _STEPS).astype(np.int8)


def texts_with(texts: Sequence[str]) -> Integers:
    """Return (16384,) how many of the texts have a word of each bucket."""
    return np.asarray(_words(texts).sum(axis=0)).ravel().astype(np.int64)


def bucket_of(words: Sequence[str]) -> Integers:
    """Return (w,) the bucket of each word, as `words_of` gives them."""
    return np.asarray(_words(words).argmax(axis=1)).ravel().astype(np.int64)


def words_of(text: str) -> Iterable[str]:
    """Return the different words of a text, in lower case."""
    import re

    return dict.fromkeys(re.findall(r"(?u)\b\w+\b", text.lower()))


def _words(texts: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        n_features=BUCKETS, token_pattern=r"(?u)\b\w+\b", binary=True, alternate_sign=False,
        norm=None,
    ).transform(texts)  # fmt: skip
