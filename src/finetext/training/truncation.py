"""What a model reads of a text that is longer than it takes: its head, its tail, both, or windows.

Head and tail together are from Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?",
section 5.3.1: the first 128 of 510 tokens and the last 382.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from finetext.core.arrays import Integers

Truncation = Literal["head", "tail", "head+tail"]
HEAD_TAIL: Final = "head+tail"
HEAD_SHARE: Final = 0.25
"""Share of the tokens of a truncated text that "head+tail" takes from its head."""
SHARE_READ: Final = 0.98
"""Share of all tokens that a length chosen from the data reads."""
STEP: Final = 16
"""Chosen lengths are a multiple of it."""
_KEY: Final = "finetext_truncation"
_PROBE: Final = "a text"


def set_saved(tokenizer: Any, name: str, value: str | bool | list[str]) -> None:
    """Set an attribute so that transformers saves it: it saves the arguments of the constructor."""
    setattr(tokenizer, name, value)
    tokenizer.init_kwargs[name] = value


def set_truncation(tokenizer: Any, truncation: Truncation) -> None:
    """Make a tokenizer of transformers truncate texts so; the files that it saves say it, too.

    `transformers.pipeline` follows "head" and "tail", but knows no "head+tail" and reads the head.
    """
    set_saved(tokenizer, "truncation_side", "left" if truncation == "tail" else "right")
    tokenizer.init_kwargs.pop(_KEY, None)
    if truncation == HEAD_TAIL:
        tokenizer.init_kwargs[_KEY] = truncation


def truncation_of(tokenizer: Any) -> Truncation:
    """Return what `set_truncation` or the author of a tokenizer chose; "head" for most."""
    if getattr(tokenizer, "init_kwargs", {}).get(_KEY) == HEAD_TAIL:
        return HEAD_TAIL
    return "tail" if getattr(tokenizer, "truncation_side", "right") == "left" else "head"


def special_ends(tokenizer: Any) -> tuple[int, int] | None:
    """Return how many special tokens go before and after each text; None if some go inside."""
    bare = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
    whole = tokenizer(_PROBE)["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return start, len(whole) - len(bare) - start
    return None


def kept_ends(tokenizer: Any, max_length: int) -> tuple[int, int] | None:
    """Return how many first and last tokens, special ones included, of a longer text are read.

    None if the tokenizer truncates texts by itself, at the head or at the tail.
    """
    if truncation_of(tokenizer) != HEAD_TAIL or (special := special_ends(tokenizer)) is None:
        return None
    own = max_length - sum(special)
    if own < 2:
        return None
    head = max(1, round(HEAD_SHARE * own))
    return special[0] + head, own - head + special[1]


def reading_of(tokenizer: Any, max_length: int, in_windows: bool) -> dict[str, Any]:
    """Return what is read of a text as JSON values, for readers without transformers.

    "window" and "special" if texts are read whole, in windows; else "max_length" and "truncation",
    with what is "kept" if the tokenizer cannot truncate so by itself.
    """
    if in_windows and (special := special_ends(tokenizer)) is not None:
        return {"window": max_length, "special": special}
    read = {"max_length": max_length, "truncation": truncation_of(tokenizer)}
    ends = None if in_windows else kept_ends(tokenizer, max_length)
    return read if ends is None else {**read, "kept": ends}


def cut(values: Sequence[Any], ends: tuple[int, int]) -> list[Any]:
    """Return what is kept of the values of all tokens: that many first ones and last ones."""
    first, last = ends
    if len(values) <= first + last:
        return list(values)
    return [*values[:first], *values[len(values) - last :]]


def window_bounds(tokens: int, most: int) -> Integers:
    """Return the (windows + 1,) bounds of the fewest windows of nearly equal size."""
    windows = max(1, -(-tokens // most))
    return np.arange(windows + 1) * tokens // windows


def chosen_length(lengths: Integers, context: int, budget: int | None = None) -> int:
    """Return the shortest length to truncate texts to that leaves nearly all tokens.

    Args:
        lengths: (n,) tokens of each text, special ones included, or at most the context.
        context: tokens that the encoder takes at most.
        budget: tokens to read of all texts together; None (the default) for any number.

    Returns:
        the smallest multiple of 16 at which 98% of the tokens are read that the context lets it
        read, or the largest one within the budget if that is smaller; from 16 to the context.
    """
    lengths = np.sort(np.minimum(lengths, context))
    steps = np.arange(STEP, context + STEP, STEP)
    steps = np.minimum(steps, context) if context >= STEP else np.array([context])
    if not len(lengths):
        return int(steps[0])
    # Texts up to a length are read whole, and that many tokens of all others.
    whole = np.searchsorted(lengths, steps, side="right")
    read = np.concatenate([[0], np.cumsum(lengths)])[whole] + steps * (len(lengths) - whole)
    enough = read >= SHARE_READ * lengths.sum()
    chosen = int(np.argmax(enough)) if enough.any() else len(steps) - 1
    if budget is not None:
        chosen = min(chosen, max(0, int(np.searchsorted(read, budget, side="right")) - 1))
    return int(steps[chosen])
