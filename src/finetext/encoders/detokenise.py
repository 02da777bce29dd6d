"""From the words and markers of the word tokenizer back to a text that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

_MOST_REPETITIONS: Final = 30
_MARKERS: Final = frozenset({"xxmaj", "xxup", "xxrep", "xxwrep"})
_CLOSING: Final = frozenset(".,!?;:)]}%…")
_OPENING: Final = frozenset("([{$£€#")
_JOINING: Final = frozenset("-/_")
_ENDINGS: Final = frozenset({"n't", "'s", "'re", "'ve", "'ll", "'d", "'m"})


def readable(tokens: Sequence[str]) -> str:
    """The text of tokens, from left to right: more tokens never change what came before.

    Capitals and repetitions are restored, punctuation is put to the word it belongs to. A marker
    with nothing after it says nothing.

    Args:
        tokens: words and markers; see `finetext.encoders.word_tokenizer`.
    """
    text, glued = "", True
    inside: set[str] = set()
    for item in _items(iter(tokens)):
        opens, closes = item[0] in _OPENING, item[0] in _CLOSING or item.lower() in _ENDINGS
        if item in {'"', "'"}:
            opens, closes = item not in inside, item in inside
            inside ^= {item}
        joins = item in _JOINING
        text += item if glued or closes or joins else f" {item}"
        glued = opens or joins
    return text


def _items(tokens: Iterator[str]) -> Iterator[str]:
    """The words as they are written, each with what the markers before it say."""
    while (item := _item(tokens)) is not None:
        if item:
            yield item


def _item(tokens: Iterator[str]) -> str | None:
    """The next word; None at the end."""
    token = next(tokens, None)
    if token not in _MARKERS:
        return token
    count = _number(next(tokens, None)) if token in {"xxrep", "xxwrep"} else 1
    word = _item(tokens)
    if word is None:
        return None
    if token == "xxup":
        return word.upper()
    if token == "xxmaj":
        return word[:1].upper() + word[1:]
    return (" " if token == "xxwrep" else "").join([word] * count)


def _number(token: str | None) -> int:
    """How often something is repeated; three times if that is not known."""
    is_number = token is not None and token.isascii() and token.isdigit()
    return min(int(token or 3), _MOST_REPETITIONS) if is_number else 3
