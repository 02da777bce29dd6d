"""The words of a text as spans of characters, and texts without some of them."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.text_columns import SEPARATOR
from finetext.training.tokens import encodable, encoded_as_read
from finetext.training.truncation import kept_ends, special_ends, truncation_of

Span = tuple[int, int]
"""The first character of a word, and the one after its last."""
_JOINER: Final = "\u200d"
_EMOJI_STYLE: Final = "\ufe0f"
_APOSTROPHES: Final = "'\u2019"
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)
_ASCII: Final = re.compile(r"\w+(?:'\w+)*|([^\w\s])\1*")
"""The same words, found faster in ASCII texts."""
UNSPACED: Final = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
"""Scripts without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Japanese, Chinese."""


def word_spans(text: str, cuts: Collection[int] | None = None) -> list[Span]:
    """Return the words and runs of equal signs of a text; without spaces, each character is one."""
    if text.isascii():
        return [found.span() for found in _ASCII.finditer(text)]
    spans: list[Span] = []
    for place, character in enumerate(text):
        if character.isspace():
            continue
        if place and spans and spans[-1][1] == place and _continues(text, place, cuts):
            spans[-1] = spans[-1][0], place + 1
        else:
            spans.append((place, place + 1))
    return spans


def _continues(text: str, place: int, cuts: Collection[int] | None) -> bool:
    """Whether a character belongs to the word of the one before it."""
    character, before = text[place], text[place - 1]
    if _extends(character) or before == _JOINER:
        return True
    if _is_letter(character):
        together = _is_letter(before) or (_extends(before) and before != _EMOJI_STYLE)
        if together and (UNSPACED.match(character) or UNSPACED.match(before)):
            return cuts is not None and place not in cuts
        return together or (before in _APOSTROPHES and place > 1 and _is_letter(text[place - 2]))
    if character in _APOSTROPHES and place + 1 < len(text) and _is_letter(before):
        return _is_letter(text[place + 1])
    return character == before


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"


def _extends(character: str) -> bool:
    """Whether a character is a mark that modifies the one before it."""
    if character.isascii():
        return False
    is_mark = unicodedata.category(character).startswith("M")
    return is_mark or character == _JOINER or ord(character) in _SKIN_TONES


def distribute(values: Floats, places: Sequence[Span], words: Sequence[Span]) -> Floats:
    """Return (n,) or (n, k): the values of m spans, (m,) or (m, k), summed over n words."""
    sums = np.zeros((len(words), *values.shape[1:]))
    starts, ends = [start for start, _ in words], [end for _, end in words]
    for value, (start, end) in zip(values, places, strict=True) if words else ():
        first, stop = bisect_right(ends, start), bisect_left(starts, end)
        first = min(first, len(words) - 1)
        stop = max(stop, first + 1)
        sums[first:stop] += value / (stop - first)
    return sums


def without(text: str, words: Sequence[Span], removed: Iterable[int]) -> str:
    """Return a text without the words of the given numbers and the spaces that become redundant."""
    kept, place = [], 0
    for start, end in sorted(words[number] for number in removed):
        kept.append(text[place:start])
        opens = start == 0 or text[start - 1].isspace()
        is_joint = text.startswith(SEPARATOR, end)
        place = end + 1 if opens and text[end : end + 1].isspace() and not is_joint else end
    return "".join([*kept, text[place:]])


def spans_read(tokenizer: Any, max_length: int, text: str) -> list[Span]:
    """Return the one or two parts that a model reads of a text truncated to `max_length` tokens.

    A tokenizer that gives no offsets is tried on ever fewer words. Of joined texts it is all, since
    each of them can be truncated.
    """
    whole = [(0, len(text))]
    if SEPARATOR in text:
        return whole
    ends = kept_ends(tokenizer, max_length)
    if not tokenizer.is_fast:
        return _spans_of_words(tokenizer, max_length, ends, text) or whole
    encoded = encoded_as_read(tokenizer, text, max_length, return_offsets_mapping=True)
    if len(encoded["input_ids"]) < max_length:
        return whole
    offsets, first = encoded["offset_mapping"], max_length if ends is None else ends[0]
    parts = ([of for of in part if of[0] < of[1]] for part in (offsets[:first], offsets[first:]))
    found = [(min(part)[0], max(end for _, end in part)) for part in parts if part]
    is_all = len(found) < 2 or text[found[0][1] : found[1][0]].strip()
    return (found if is_all else [(found[0][0], found[1][1])]) or whole


def _spans_of_words(
    tokenizer: Any, max_length: int, ends: tuple[int, int] | None, text: str
) -> list[Span]:
    """The same in whole words, by counting the tokens of some; nothing if all are read."""

    def count(part: str) -> int:
        found = tokenizer(encodable(part), truncation=False, verbose=False)
        return len(found["input_ids"])

    words = word_spans(text)
    if not words or count(text) <= max_length:
        return []
    before, after = special_ends(tokenizer) or (0, 0)
    is_tail = truncation_of(tokenizer) == "tail"
    head, tail = (0, max_length) if is_tail else (max_length, 0)
    if ends is not None:  # with the special tokens that each has when it stands alone
        head, tail = ends[0] + after, ends[1] + before
    found = []
    if head:
        stops = [stop for _, stop in words]
        last = bisect_right(stops, head, key=lambda stop: count(text[:stop])) - 1
        found.append((0, stops[max(0, last)]))
    if tail:
        starts = [start for start, _ in reversed(words)]
        last = bisect_right(starts, tail, key=lambda start: count(text[start:])) - 1
        found.append((starts[max(0, last)], len(text)))
    return found
