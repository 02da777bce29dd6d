"""How many word pieces texts have for a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from finetext.methods.base import ProgressEvent, batches_of, silent
from finetext.types import Integers

TEXTS_AT_A_TIME = 1_000


def count_pieces(
    tokenizer: Any, texts: Sequence[str], progress: Callable[[ProgressEvent], None] = silent
) -> Integers:
    """Word pieces of each text, special ones included, without cutting.

    Args:
        tokenizer: a transformers tokenizer; its settings are left as they are.
        texts: n texts.
        progress: told how many texts are done.

    Returns:
        (n,) numbers of pieces.
    """
    lengths = np.zeros(len(texts), dtype=np.int64)
    count = _counter(tokenizer)
    for part in batches_of(len(texts), TEXTS_AT_A_TIME):
        lengths[part] = count(list(texts[part]))
        progress(ProgressEvent("counting word pieces", part.stop, len(texts)))
    return lengths


def _counter(tokenizer: Any) -> Callable[[list[str]], list[int]]:
    """A function from texts to lengths; fast tokenizers need not hand out their pieces for it."""
    if not tokenizer.is_fast:
        return lambda texts: [
            len(ids) for ids in tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        ]
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    return lambda texts: [len(encoding) for encoding in backend.encode_batch_fast(texts)]
