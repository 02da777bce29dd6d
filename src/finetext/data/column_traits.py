"""What a column holds, seen in a sample of its rows, and whether the texts predict its values."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress, filterfalse
from typing import Any, Final, Literal

from finetext.core.wording import short
from finetext.data.column_words import FIRST_NAMES, unaccented
from finetext.data.label_cells import find_joiner, missing, split_cell

SAMPLE: Final = 500
"""Rows that are looked at."""
_CELLS: Final = 40_000
"""Cells that are looked at: a table with many columns is sampled more thinly."""
_FEWEST: Final = 50
_PREDICTED_ROWS: Final = 1000
_FEWEST_ROWS: Final = 30
_FEWEST_TEXTS: Final = 20
_PROSE_WORDS: Final = 3
_NUMBER: Final = re.compile(r"\s*[-+]?\d+([.,]\d+)*([eE][-+]?\d+)?\s*")
_TIME: Final = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{4}年\d{1,2}月\d{1,2}日)"
    r"([ T]+\d{1,2}:\d{2}.*)?|(PT?)?\d{1,3}:\d{2}(:\d{2})?([.,]\d+)?( ?[AaPp][Mm])?"
)
_ADDRESS: Final = re.compile(
    r"(https?://|www\.)\S+|[^@\s]+@[^@\s]+\.\w+|\d{1,3}(\.\d{1,3}){3}|"
    r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"
)
_UNSPACED: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_PERSON: Final = re.compile(
    r"[A-Z]{2,3}|[A-Z]\.? ?[A-Z]\.?|[A-Za-z]{1,10}[-_ ]?\d{1,4}|A[0-9A-Z]{9,14}|"
    r"[A-Z]\w+,? [A-Z]\w+"
)
Kind = Literal["empty", "lists", "numbers", "fractions", "times", "addresses", "prose", "words"]
"""Prose has three words and more; "words" are all other strings, and truth values."""


@dataclass(frozen=True)
class Traits:
    """What the sample of a column holds.

    Attributes:
        rows: rows in the sample.
        filled: share of the rows with a value.
        distinct: different values.
        words: mean number of words of a value; three Chinese characters count as two.
        characters: mean length of a value.
        strings: whether most values are strings.
        examples: up to three values, the most different that come first.
    """

    kind: Kind
    rows: int
    filled: float
    distinct: int
    words: float
    characters: float
    strings: bool
    examples: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The examples as a person reads them."""
        return ", ".join(repr(short(one, 40)) for one in self.examples)


def sampled(values: Sequence[Any], columns: int = 1) -> Sequence[Any]:
    """Return some values of a column of a table with so many columns, the same rows of each."""
    size = max(_FEWEST, min(SAMPLE, _CELLS // max(columns, 1)))
    return [values[row] for row in _rows(len(values), size)] if len(values) > size else values


@lru_cache(8)
def _rows(count: int, size: int) -> list[int]:
    """Rows at random, always the same: evenly spaced ones could all have the same label."""
    return sorted(random.Random(0).sample(range(count), size))


def traits_of(values: Sequence[Any], columns: int = 1) -> Traits:
    """Return what a column holds, from a sample of its (n,) values."""
    values = sampled(values, columns)
    there = [value for value in values if not missing(value)]
    texts = [str(value).strip() for value in there]
    distinct = list(dict.fromkeys(texts))
    words = sum(map(_words, texts)) / max(len(texts), 1)
    return Traits(
        _kind(there, texts, len(distinct), words),
        rows=len(values),
        filled=len(there) / max(len(values), 1),
        distinct=len(distinct),
        words=words,
        characters=sum(map(len, texts)) / max(len(texts), 1),
        strings=sum(isinstance(value, str) for value in there) > len(there) / 2,
        examples=tuple(distinct[:3]),
    )


def _words(text: str) -> float:
    unspaced = 0 if text.isascii() else len(_UNSPACED.findall(text))
    return unspaced / 1.5 if unspaced else text.count(" ") + 1


def _kind(there: Sequence[Any], texts: Sequence[str], distinct: int, words: float) -> Kind:
    """The kind of values that at least 80% of the rows have."""
    if not there:
        return "empty"
    if any(isinstance(value, list | tuple | dict | set) for value in there):
        return "lists"
    most = 0.8 * len(texts)
    for kind, pattern in (("numbers", _NUMBER), ("times", _TIME), ("addresses", _ADDRESS)):
        if not any(map(pattern.fullmatch, texts[:_FEWEST])):
            continue
        if sum(pattern.fullmatch(text) is not None for text in texts) < most:
            continue
        if kind != "numbers":
            return "times" if kind == "times" else "addresses"
        whole = all(re.fullmatch(r"[-+]?\d+(\.0+)?(,\d+)*", text) for text in texts)
        decimal_commas = sum(text.count(",") == 1 for text in texts) > 0.9 * len(texts)
        return "numbers" if whole and not decimal_commas else "fractions"
    differ = distinct >= 0.5 * len(texts) or (distinct >= 0.15 * len(texts) and distinct >= 8)
    return "prose" if words >= _PROSE_WORDS and differ else "words"


def is_number(cell: str) -> bool:
    """Whether a field is a number, or several joined by commas."""
    return _NUMBER.fullmatch(cell) is not None


def at_least(fewest: float, test: Callable[[Any], bool], values: Sequence[Any]) -> bool:
    """Whether a test holds for so many values or more; stop once that is out of reach."""
    count = len(values)
    for _ in filterfalse(test, values):
        count -= 1
        if count < fewest:
            return False
    return count >= fewest


def distinct(values: Sequence[Any]) -> set[str]:
    """Return the different values of a column as strings, without missing ones."""
    try:
        different: Iterable[Any] = set(values)
    except TypeError:  # lists and objects have no hash
        different = values
    return {str(value) for value in different if not missing(value)}


def few_values(values: Sequence[Any]) -> int:
    """Return the number of labels that a whole column could hold; 0 if they are not few.

    Few are at most a quarter of the rows and 500, and three in any case. Values that join several
    labels count as these labels.
    """
    plain = {str}.issuperset(map(type, values))
    there = filter(str.strip, values) if plain else (str(v) for v in values if not missing(v))
    joiner = find_joiner(list(there))
    parts = {part for name in distinct(values) for part in (split_cell(name, joiner) or [name])}
    return len(parts) if len(parts) <= max(3, min(500, len(values) // 4)) else 0


def same_parts(values: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether two columns divide the rows in the same way, such as labels and their ids."""
    pairs = set(zip(map(str, values), map(str, others), strict=True))
    return len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


def look_like_people(values: Sequence[Any]) -> bool:
    """Whether all values are initials, first names, full names or ids of workers."""
    names = {name.strip() for name in distinct(values)}
    return len(names) > 1 and all(
        _PERSON.fullmatch(name) or unaccented(name) in FIRST_NAMES for name in names
    )


def predictability(texts: Sequence[Any], values: Sequence[Any]) -> float | None:
    """Return how far texts predict the values of a column, in standard errors above chance.

    Multinomial naive Bayes (McCallum and Nigam, AAAI-98 workshop on text categorization) on the
    presence of words hashed to 4,096 features (Weinberger et al., ICML 2009), in five-fold
    cross-validation on at most 1,000 rows. The score is the mean recall of the values. If the texts
    say nothing of them, its mean is 1/k, and its variance follows from how often each value is
    predicted. Rows with the same text are in one fold. Values of one row are left out. None if
    there are then fewer than two values, 30 rows or 20 texts, too few to say.
    """
    import numpy as np

    present = [
        not (missing(text) or missing(value)) for text, value in zip(texts, values, strict=True)
    ]
    rows = list(zip(compress(texts, present), compress(values, present), strict=True))
    rows = [rows[at] for at in _rows(len(rows), min(len(rows), _PREDICTED_ROWS))]
    counts: dict[str, int] = {}
    for _, value in rows:
        counts[str(value)] = counts.get(str(value), 0) + 1
    classes = {name: at for at, name in enumerate(n for n, times in counts.items() if times > 1)}
    rows = [row for row in rows if str(row[1]) in classes]
    if (
        len(classes) < 2
        or len(rows) < _FEWEST_ROWS
        or len({str(text) for text, _ in rows}) < _FEWEST_TEXTS
    ):
        return None
    features = np.zeros((len(rows), 1 << 12), np.float32)
    for at, (text, _) in enumerate(rows):
        for word in _features(str(text)):
            features[at, zlib.crc32(word.encode("utf-8", "replace")) & 0xFFF] = 1
    truth = np.array([classes[str(value)] for _, value in rows])
    fold = np.array([zlib.crc32(f"0 {text}".encode("utf-8", "replace")) % 5 for text, _ in rows])
    member = np.eye(len(classes), dtype=np.float32)[truth]
    found = np.zeros(len(rows), int)
    for number in range(5):
        inside, outside = fold == number, fold != number
        if not inside.any() or not outside.any():
            continue
        totals = member[outside].T @ features[outside] + 0.5
        scores = features[inside] @ np.log(totals / totals.sum(1, keepdims=True)).T
        found[inside] = scores.argmax(1)
    sizes = member.sum(0)
    recall = float(np.mean([(found[truth == c] == c).mean() for c in range(len(classes))]))
    guessed = np.bincount(found, minlength=len(classes)) / len(rows)
    error = float(np.sqrt((guessed * (1 - guessed) / sizes).sum())) / len(classes)
    return (recall - 1 / len(classes)) / error if error else None


def _features(text: str) -> set[str]:
    """Words, and pairs of characters where words are not divided by spaces."""
    text = text.casefold()
    pairs = {text[at : at + 2] for at in range(len(text) - 1)} if _UNSPACED.search(text) else set()
    return pairs | set(re.findall(r"\w+", text))
