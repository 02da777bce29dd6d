"""Which rows make the slices: by length, cut, group, label, language, token, or any column."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.errors import DataError, ModelError
from finetext.core.wording import counted
from finetext.data.labels import as_strings
from finetext.data.near_duplicates import tokens_of

if TYPE_CHECKING:
    from finetext.core.types import Predicted


Teller = Literal["py3langid", "script"]
NOT_SURE: Final = "not sure"
NO_LETTERS: Final = "no letters"
SURE_FROM: Final = 0.5
"""Probability below which a language is not named: above it, 99.8% of 2,900 tweets were right."""
FEWEST_BYTES: Final = 20
"""UTF-8 bytes of letters below which none is named: 20 letters of English, 7 of Chinese."""
LONGEST: Final = 1_000
"""Characters of a text that are looked at."""
_NO_LANGUAGE: Final = "zxx"


def teller() -> Teller:
    """What languages are told by on this machine."""
    return "script" if find_spec("py3langid") is None else "py3langid"


def languages_of(texts: Sequence[str]) -> list[str]:
    """The language of each text.

    Args:
        texts: n texts, of which the first 1,000 characters are looked at.

    Returns:
        n ISO 639 codes such as "en", or "not sure"; without py3langid the scripts that most letters
        are of, such as "Latin script"; "no letters" for a text without any.
    """
    told_by_script = teller() == "script"
    tell = _script if told_by_script else partial(_language, _identifier())
    told = {text: tell(text[:LONGEST]) for text in dict.fromkeys(texts)}
    return [told[text] for text in texts]


@cache
def _identifier() -> Any:
    """The model of py3langid, which reading does not change, so that threads can share it."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _language(identifier: Any, text: str) -> str:
    letters = "".join(filter(str.isalpha, text))
    if not letters:
        return NO_LETTERS
    if len(letters.encode("utf-8", "replace")) < FEWEST_BYTES:
        return NOT_SURE
    code, probability = identifier.classify(text)
    return NOT_SURE if probability < SURE_FROM or code == _NO_LANGUAGE else str(code)


def _script(text: str) -> str:
    """The Unicode script that most letters of a text are of, such as "Latin script"."""
    if text.isascii():
        return "Latin script" if any(map(str.isalpha, text)) else NO_LETTERS
    counts = Counter(filter(None, map(_script_of, text)))
    return f"{counts.most_common(1)[0][0]} script" if counts else NO_LETTERS


@cache
def _script_of(character: str) -> str:
    """The script of a letter, from the beginning of its Unicode name; "" if it is no letter."""
    if not character.isalpha():
        return ""
    words = unicodedata.name(character, "unnamed").split()
    name = next((word for word in words if word not in {"FULLWIDTH", "HALFWIDTH"}), words[0])
    return "Han" if name == "CJK" else name.capitalize()


@dataclass(frozen=True)
class Reading:
    """How a model reads texts.

    Attributes:
        tokenizer: the folder of its tokenizer.
        most: word pieces of a text that it reads, special ones included.
    """

    tokenizer: Path
    most: int

    def cut(self, texts: Sequence[str]) -> Integers:
        """The places of the texts that are longer, ascending. The tokenizer is loaded for it.

        Raises:
            ModelError: the tokenizer cannot be loaded.
        """
        from finetext.diagnosis.data_checks import count_tokens
        from finetext.encoders.load import load_tokenizer

        pieces = count_tokens(load_tokenizer(str(self.tokenizer)), texts)
        return np.flatnonzero(pieces > self.most)


def reading_of(predicted: Predicted) -> Reading | None:
    """How the model behind predictions reads; None if it is not known, or has no word pieces."""
    from finetext.models.folder import provenance

    if predicted.run is None or predicted.method is None:
        return None
    model = predicted.run / predicted.method / "model"
    folders = [place for place in (model, model / "encoder") if _has_tokenizer(place)]
    try:
        most = provenance(model).get("max_length")
    except ModelError:
        return None
    return Reading(folders[0], most) if folders and isinstance(most, int) else None


def _has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer_config.json").is_file()


FEWEST_ROWS: Final = 10
"""Rows of a slice, and of the rest beside it, below which it is not looked at."""
FEWEST_WITH_TOKEN: Final = 20
MOST: Final = 300
"""Slices of one kind at most: the largest are taken."""
QUARTERS: Final = (0.25, 0.5, 0.75)
COLUMN: Final = "column:"
ABSENT: Final = "(empty)"
_APOSTROPHE: Final = re.compile(r"(?<=\w)['\u2019](?=\w)")
_LETTER: Final = "\u02bc"
"""The apostrophe that is a letter: "don't" is one word."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A slice to look at.

    Attributes:
        kind: "length", "cut", "group", "label", "language", "token" or "column:NAME".
        name: which one of its kind.
        rows: (m,) positions of its rows, ascending.
    """

    kind: str
    name: str
    rows: Integers


def candidates(
    predicted: Predicted,
    by: Sequence[str],
    tokens: Sequence[str] = (),
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> Iterator[Candidate]:
    """The slices of at least ten rows with at least ten rows beside them.

    Args:
        predicted: rows with their texts, labels and groups.
        by: kinds of slices, out of `KINDS`.
        tokens: words, signs or phrases to look for besides the frequent ones.
        columns: name of a column to its n values.

    Raises:
        DataError: there are no texts or groups that a kind needs, or a token that was named is
            in too few rows.
    """
    n = len(predicted.predictions)
    named = [_by_named_token(predicted, token) for token in dict.fromkeys(tokens)]
    yield from named
    known = {(slice_.kind, slice_.name) for slice_ in named}
    found = (slice_ for kind in dict.fromkeys(by) for slice_ in KINDS[kind](predicted))
    for slice_ in found:
        if (slice_.kind, slice_.name) not in known and _is_large_enough(slice_, n):
            yield slice_
    for name, values in (columns or {}).items():
        of_column = _by_values(f"{COLUMN}{name}", values)
        yield from (slice_ for slice_ in of_column if _is_large_enough(slice_, n))


def _is_large_enough(slice_: Candidate, n: int) -> bool:
    return FEWEST_ROWS <= len(slice_.rows) <= n - FEWEST_ROWS


def _texts(predicted: Predicted) -> tuple[str, ...]:
    if predicted.texts is None:
        raise DataError(
            f"{predicted.name} has no column 'text': slices by length, language and token need the "
            "texts; choose others, as with --by label"
        )
    return predicted.texts


def _by_length(predicted: Predicted) -> Iterator[Candidate]:
    """Quarters by the number of words."""
    lengths = np.array([len(text.split()) for text in _texts(predicted)], dtype=np.float64)
    for name, rows in _quarters(lengths):
        yield Candidate("length", f"{name} word" + ("" if name == "1" else "s"), rows)


def _by_cut(predicted: Predicted) -> Iterator[Candidate]:
    """The texts of which the model reads only the beginning."""
    reading = reading_of(predicted)
    if reading is None:
        raise DataError(
            f"{predicted.name} is no rung with an encoder, such as probe and finetune, so it is "
            "not known where it cuts texts; choose other slices than by cut"
        )
    yield Candidate("cut", f"over {reading.most} pieces", reading.cut(_texts(predicted)))


def _by_group(predicted: Predicted) -> Iterator[Candidate]:
    groups = predicted.predictions.groups
    if groups is None:
        raise DataError(f"{predicted.name} has no groups; choose other slices than by group")
    return _categories("group", groups)


def _by_label(predicted: Predicted) -> Iterator[Candidate]:
    """By true label; in a multi-label scheme also the rows that have none."""
    targets, scheme = predicted.predictions.targets, predicted.predictions.scheme
    for column, name in enumerate(scheme.names):
        has = targets[:, column] == 1 if scheme.multilabel else targets == column
        yield Candidate("label", name, np.flatnonzero(has))
    if scheme.multilabel:
        yield Candidate("label", "(none)", np.flatnonzero(~targets.any(axis=1)))


def _by_language(predicted: Predicted) -> Iterator[Candidate]:
    """By language where py3langid is installed, else by script; see `languages_of`."""
    return _categories("language", languages_of(_texts(predicted)))


def _by_token(predicted: Predicted) -> Iterator[Candidate]:
    """By the presence of a word or sign, for those that are in many rows."""
    tokens = tokens_of([_APOSTROPHE.sub(_LETTER, text) for text in _texts(predicted)])
    n, presence = len(tokens), tokens.presence
    rows_with = np.bincount(presence.indices, minlength=len(tokens.vocabulary))
    fewest = max(FEWEST_ROWS, min(FEWEST_WITH_TOKEN, n // 100))
    frequent = np.flatnonzero((rows_with >= fewest) & (rows_with <= n - FEWEST_ROWS))
    chosen = frequent[np.argsort(-rows_with[frequent], kind="stable")][:MOST]
    by_token = presence[:, chosen].tocsc()
    for place, number in enumerate(chosen):
        rows = by_token.indices[by_token.indptr[place] : by_token.indptr[place + 1]]
        name = tokens.vocabulary[number].replace(_LETTER, "'")
        yield Candidate("token", name, np.sort(rows).astype(np.int64))


def _by_named_token(predicted: Predicted, token: str) -> Candidate:
    texts = _texts(predicted)
    wanted = _plain(token)
    if not wanted:
        raise DataError("a token to look for is blank; name a word, a sign or a phrase")
    pattern = re.compile(_edge(wanted[0], "<!") + re.escape(wanted) + _edge(wanted[-1], "!"))
    rows = [row for row, text in enumerate(texts) if pattern.search(_plain(text))]
    found = Candidate("token", wanted, np.array(rows, dtype=np.int64))
    if not _is_large_enough(found, len(texts)):
        raise DataError(
            f"the token {token!r} is in {len(rows):,} of {counted(len(texts), 'row')}; a slice "
            f"needs {FEWEST_ROWS}, and as many rows beside it"
        )
    return found


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("\u2019", "'").split())


def _edge(character: str, look: str) -> str:
    """What keeps a word from being found inside another one; signs are found anywhere."""
    return rf"(?{look}\w)" if character.isalnum() or character == "_" else ""


KINDS: Final[dict[str, Callable[[Predicted], Iterator[Candidate]]]] = {
    "length": _by_length,
    "cut": _by_cut,
    "group": _by_group,
    "label": _by_label,
    "language": _by_language,
    "token": _by_token,
}


def usual_kinds(predicted: Predicted) -> tuple[str, ...]:
    """The kinds of slices that there can be with what is known of the rows."""
    lacking = set() if predicted.texts is not None else {"length", "cut", "language", "token"}
    if reading_of(predicted) is None:
        lacking.add("cut")
    if predicted.predictions.groups is None:
        lacking.add("group")
    return tuple(kind for kind in KINDS if kind not in lacking)


def _by_values(kind: str, values: Sequence[Any]) -> Iterator[Candidate]:
    """Numbers of many values in quarters, anything else by value."""
    texts = [ABSENT if value is None else value.strip() for value in as_strings(values)]
    numbers = {text: _number(text) for text in set(texts) - {ABSENT}}
    if None in numbers.values() or len(numbers) <= len(QUARTERS) + 1:
        return _categories(kind, texts)
    known = np.array([numbers.get(text, np.nan) for text in texts], dtype=np.float64)
    quarters = [Candidate(kind, name, rows) for name, rows in _quarters(known)]
    return iter([*quarters, Candidate(kind, ABSENT, np.flatnonzero(np.isnan(known)))])


def _number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _quarters(values: Floats) -> Iterator[tuple[str, Integers]]:
    """The range and the rows of each quarter; equal values stay together."""
    known = np.isfinite(values)
    if not known.any():
        return
    edges = np.unique(np.quantile(values[known], QUARTERS, method="inverted_cdf"))
    bins = np.searchsorted(edges, values)
    for number in range(len(edges) + 1):
        rows = np.flatnonzero(known & (bins == number))
        if len(rows):
            low, high = values[rows].min(), values[rows].max()
            yield (f"{low:.10g}" if low == high else f"{low:.10g} to {high:.10g}"), rows


def _categories(kind: str, values: Sequence[str]) -> Iterator[Candidate]:
    """The rows of each value, for the values of most rows."""
    number: dict[str, int] = {}
    of_row = np.array([number.setdefault(value, len(number)) for value in values])
    counts = np.bincount(of_row)
    order = np.argsort(of_row, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    names = list(number)
    for place in np.argsort(-counts, kind="stable")[:MOST]:
        yield Candidate(kind, names[place], order[starts[place] : starts[place + 1]])
