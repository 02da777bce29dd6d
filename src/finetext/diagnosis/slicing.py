"""The candidate slices: by length, truncation, group, label, language, token, or any column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.errors import DataError, ModelError
from finetext.core.types import Predicted
from finetext.core.wording import counted
from finetext.data.label_cells import as_strings
from finetext.data.token_numbers import tokens_of
from finetext.diagnosis.languages import languages_of

FEWEST_ROWS: Final = 10
"""Least rows of a slice, and of the rest."""
FEWEST_WITH_TOKEN: Final = 20
MOST: Final = 300
"""Most slices of one kind: the largest are taken."""
QUARTILES: Final = (0.25, 0.5, 0.75)
COLUMN: Final = "column:"
ABSENT: Final = "(empty)"
_APOSTROPHE: Final = re.compile(r"(?<=\w)['\u2019](?=\w)")
_LETTER: Final = "\u02bc"
"""The apostrophe that is a letter, so that "don't" is one word."""


def input_limit(predicted: Predicted) -> tuple[Path, int] | None:
    """Return the folder of the tokenizer behind predictions and the tokens that the model reads."""
    from finetext.models.folder import provenance

    if predicted.run is None or predicted.method is None:
        return None
    model = predicted.run / predicted.method / "model"
    places = (model, model / "encoder")
    folders = [place for place in places if (place / "tokenizer_config.json").is_file()]
    try:
        most = provenance(model).get("max_length")
    except ModelError:
        return None
    return (folders[0], most) if folders and isinstance(most, int) else None


@dataclass(frozen=True, eq=False)
class Candidate:
    """A slice to test: its kind, its name, and the (m,) positions of its rows, ascending."""

    kind: str
    name: str
    rows: Integers

    def is_large_enough(self, n: int) -> bool:
        """Whether it has ten rows of n or more, and ten others."""
        return FEWEST_ROWS <= len(self.rows) <= n - FEWEST_ROWS


def candidates(
    predicted: Predicted,
    by: Sequence[str],
    tokens: Sequence[str] = (),
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> Iterator[Candidate]:
    """Yield the slices that are large enough; `by` are names out of `KINDS`. See `find_slices`."""
    n = len(predicted.predictions)
    named = [_by_named_token(predicted, token) for token in dict.fromkeys(tokens)]
    yield from named
    known = {(each.kind, each.name) for each in named}
    by_kind = (KINDS[kind](predicted) for kind in dict.fromkeys(by))
    by_column = (_by_values(f"{COLUMN}{name}", of) for name, of in (columns or {}).items())
    for each in chain.from_iterable(chain(by_kind, by_column)):
        if (each.kind, each.name) not in known and each.is_large_enough(n):
            yield each


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


def _by_truncation(predicted: Predicted) -> Iterator[Candidate]:
    """The texts of which the model reads only a part."""
    if (limit := input_limit(predicted)) is None:
        raise DataError(
            f"{predicted.name} truncates no texts: it reads them whole, or is not a method with an "
            "encoder, such as finetune; choose other slices than by cut"
        )
    from finetext.diagnosis.data_checks import count_tokens
    from finetext.encoders.load import load_tokenizer

    folder, most = limit
    tokens = count_tokens(load_tokenizer(str(folder), takes_gliclass=True), _texts(predicted))
    yield Candidate("cut", f"over {most} tokens", np.flatnonzero(tokens > most))


def _by_group(predicted: Predicted) -> Iterator[Candidate]:
    if (groups := predicted.predictions.groups) is None:
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


def _by_token(predicted: Predicted) -> Iterator[Candidate]:
    """By the presence of each word or sign that is in many rows."""
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
    texts, wanted = _texts(predicted), _normalized(token)
    if not wanted:
        raise DataError("a token to look for is blank; name a word, a sign or a phrase")
    before, after = (  # a word is not found inside another one; signs are found anywhere
        rf"(?{look}\w)" if character.isalnum() or character == "_" else ""
        for look, character in (("<!", wanted[0]), ("!", wanted[-1]))
    )
    pattern = re.compile(before + re.escape(wanted) + after)
    rows = [row for row, text in enumerate(texts) if pattern.search(_normalized(text))]
    found = Candidate("token", wanted, np.array(rows, dtype=np.int64))
    if not found.is_large_enough(len(texts)):
        raise DataError(
            f"the token {token!r} is in {len(rows):,} of {counted(len(texts), 'row')}; a slice "
            f"needs {FEWEST_ROWS}, and as many other rows"
        )
    return found


def _normalized(text: str) -> str:
    return " ".join(text.lower().replace("\u2019", "'").split())


KINDS: Final[dict[str, Callable[[Predicted], Iterator[Candidate]]]] = {
    "length": _by_length,
    "cut": _by_truncation,
    "group": _by_group,
    "label": _by_label,
    "language": lambda predicted: _categories("language", languages_of(_texts(predicted))),
    "token": _by_token,
}


def applicable_kinds(predicted: Predicted) -> tuple[str, ...]:
    """Return the names in `KINDS` that are possible with what is known of the rows."""
    lacking = set() if predicted.texts is not None else {"length", "cut", "language", "token"}
    lacking |= {"cut"} if input_limit(predicted) is None else set()
    lacking |= {"group"} if predicted.predictions.groups is None else set()
    return tuple(kind for kind in KINDS if kind not in lacking)


def _by_values(kind: str, values: Sequence[Any]) -> Iterator[Candidate]:
    """Numbers of many values in quarters, anything else by value."""
    texts = [ABSENT if value is None else value.strip() for value in as_strings(values)]
    numbers = {}
    with suppress(ValueError):
        numbers = {text: float(text) for text in set(texts) - {ABSENT}}
    if not np.isfinite(list(numbers.values())).all() or len(numbers) <= len(QUARTILES) + 1:
        yield from _categories(kind, texts)
        return
    known = np.array([numbers.get(text, np.nan) for text in texts], dtype=np.float64)
    for name, rows in _quarters(known):
        yield Candidate(kind, name, rows)
    yield Candidate(kind, ABSENT, np.flatnonzero(np.isnan(known)))


def _quarters(values: Floats) -> Iterator[tuple[str, Integers]]:
    """Yield the range and the rows of each quarter; equal values stay together."""
    known = np.isfinite(values)
    if not known.any():
        return
    edges = np.unique(np.quantile(values[known], QUARTILES, method="inverted_cdf"))
    bins = np.searchsorted(edges, values)
    for number in range(len(edges) + 1):
        rows = np.flatnonzero(known & (bins == number))
        if len(rows):
            low, high = values[rows].min(), values[rows].max()
            yield (f"{low:.10g}" if low == high else f"{low:.10g} to {high:.10g}"), rows


def _categories(kind: str, values: Sequence[str]) -> Iterator[Candidate]:
    """Yield the rows of each value, for the values of most rows."""
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        rows.setdefault(value, []).append(row)
    for name in sorted(rows, key=lambda value: -len(rows[value]))[:MOST]:
        yield Candidate(kind, name, np.array(rows[name], dtype=np.int64))
