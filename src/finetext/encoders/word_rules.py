"""The rules by which an AWD-LSTM divides texts: words, punctuation, and markers for what is rare.

The markers are those of ULMFiT (Howard and Ruder 2018): a vocabulary that has `movie` needs no
`Movie`, `MOVIE` or `!!!!!!`. Each marker precedes what it describes:

    xxbos           a text begins
    xxmaj movie     Movie: a capital letter, then others
    xxup movie      MOVIE: two or more capitals and nothing else
    xxrep 5 !       !!!!!: a character, other than a digit, three times or more
    xxwrep 3 very   very very very: a word three times or more
    xxunk, xxpad    a word that is not in the vocabulary; padding
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import eq
from typing import Final

SPECIAL: Final = ("xxunk", "xxpad", "xxbos")
MARKERS: Final = (*SPECIAL, "xxmaj", "xxup", "xxrep", "xxwrep")
UNKNOWN, PADDING, BEGINNING, CAPITALIZED, CAPITALS, REPEATED, REPEATED_WORD = MARKERS
_FEWEST_REPETITIONS: Final = 3
_MOST_REPETITIONS: Final = 30
_WORDS_REMEMBERED: Final = 2**17
_ENDING: Final = r"n't|'(?:s|re|ve|ll|d|m)"
_RAW: Final = re.compile(rf"(?i:{_ENDING})\b|\w+(?:'\w+|(?<=\d)[.,]\d+)*|[^\w\s]+")
_CONTRACTION: Final = re.compile(rf"(?<=\w)(?i:{_ENDING})$")
_RUN: Final = re.compile(rf"(\D)\1{{{_FEWEST_REPETITIONS - 1},}}")
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TORN_ENTITY: Final = re.compile(r"(?:(?<=\s)|^)(#39|quot|amp|nbsp|lt|gt);")
_TORN_SIGN: Final = re.compile(r" @([-,.])@ ")
_QUOTES: Final = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")


def marked(text: str) -> str:
    """Return a text as words and markers separated by single spaces.

    HTML and WikiText are cleaned; punctuation and the English endings n't, 's, 're, 've, 'll, 'd
    and 'm are split off. A marker in the text itself is an unknown word.
    """
    raw = _RAW.findall(_clean(text))
    if any(map(eq, raw, raw[1:])):
        return " ".join(_without_repetition(raw))
    return " ".join(map(_marked_word, raw))


def _clean(text: str) -> str:
    if "&" in text:
        text = html.unescape(text)
    if ";" in text:
        text = _TORN_ENTITY.sub(lambda found: html.unescape(f"&{found[0]}"), text)
    if "<" in text:
        text = _BREAK.sub(" ", text).replace("<unk>", f" {UNKNOWN} ")
    if " @" in text:
        text = _TORN_SIGN.sub(r"\1", text)
    return text if text.isascii() else text.translate(_QUOTES)


def _without_repetition(raw: Sequence[str]) -> Iterator[str]:
    for word, group in groupby(raw):
        count = sum(1 for _ in group)
        text = _marked_word(word)
        is_one = " " not in text.removeprefix(f"{CAPITALIZED} ").removeprefix(f"{CAPITALS} ")
        if count >= _FEWEST_REPETITIONS and is_one:
            yield f"{REPEATED_WORD} {count} {text}"
        else:
            yield from [text] * count


@lru_cache(_WORDS_REMEMBERED)
def _marked_word(raw: str) -> str:
    """A match of `_RAW`, lower-cased and with markers."""
    if raw in MARKERS:
        return UNKNOWN
    if not (raw[-1].isalnum() or raw[-1] == "_"):
        runs = ((sign, len(list(group))) for sign, group in groupby(raw))
        return " ".join(
            f"{REPEATED} {count} {sign}" if count >= _FEWEST_REPETITIONS else " ".join(sign * count)
            for sign, count in runs
        )
    ending = _CONTRACTION.search(raw)
    parts = [raw] if ending is None else [raw[: ending.start()], ending[0]]
    return " ".join(token for part in parts for token in _letters(part))


def _letters(word: str) -> Iterator[str]:
    """A word in lower case; repeated letters become tokens of their own."""
    done = 0
    for run in _RUN.finditer(word):
        yield from _lower(word[done : run.start()])
        if run[1].isupper():
            yield CAPITALS
        yield f"{REPEATED} {len(run[0])} {run[1].lower()}"
        done = run.end()
    yield from _lower(word[done:])


def _lower(word: str) -> Iterator[str]:
    if len(word) > 1 and word.isupper():
        yield CAPITALS
    elif word[:1].isupper():
        yield CAPITALIZED
    if word:
        yield word.lower()


def readable(tokens: Sequence[str]) -> str:
    """Return the text of tokens, from left to right: more tokens never change what came before."""
    text, joined = "", True
    open_quotes: set[str] = set()
    remaining = iter(tokens)
    while (item := _next_item(remaining)) is not None:
        if not item:
            continue
        opens = item[0] in "([{$£€#"
        closes = item[0] in ".,!?;:)]}%…" or re.fullmatch(_ENDING, item.lower()) is not None
        if item in {'"', "'"}:
            opens, closes = item not in open_quotes, item in open_quotes
            open_quotes ^= {item}
        joins = item in {"-", "/", "_"}
        text += item if joined or closes or joins else f" {item}"
        joined = opens or joins
    return text


def _next_item(tokens: Iterator[str]) -> str | None:
    """The next word, as its markers say; None at the end."""
    token = next(tokens, None)
    if token is None or token in SPECIAL or token not in MARKERS:
        return token
    count = 1
    if token in {REPEATED, REPEATED_WORD}:
        number = next(tokens, None) or ""
        is_number = number.isascii() and number.isdigit()
        count = min(int(number), _MOST_REPETITIONS) if is_number else _FEWEST_REPETITIONS
    word = _next_item(tokens)
    if word is None:
        return None
    if token == CAPITALS:
        return word.upper()
    if token == CAPITALIZED:
        return word[:1].upper() + word[1:]
    return (" " if token == REPEATED_WORD else "").join([word] * count)
