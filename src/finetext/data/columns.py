"""Which column is the text, the label, the group and the id: as told, by name, or by content."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final

from finetext.core.errors import DataError, UnlabelledError, nearest
from finetext.core.settings import ReadSettings
from finetext.core.wording import ID_NAMES, LABEL_NAMES, SPLIT_NAMES, TEXT_NAMES, plain_name
from finetext.data.delimited import is_number
from finetext.data.labels import find_joiner, missing
from finetext.data.rows import SPLIT_WORDS, Batch

_SAMPLE: Final = 2000
_ENOUGH_TO_JUDGE: Final = 20
_INDICATORS: Final = {"0", "1", "0.0", "1.0", "false", "true"}


@dataclass(frozen=True)
class Chosen:
    """The columns taken: several label columns hold 0 and 1."""

    text: str
    labels: tuple[str, ...]
    group: str | None
    id: str | None
    split: str | None


def choose_columns(table: Batch, settings: ReadSettings) -> Chosen:
    """Choose columns as told and find the others.

    Raises:
        DataError: a column that was named does not exist, or one that is needed is not found.
    """
    asked = (settings.label,) if isinstance(settings.label, str) else settings.label or ()
    labels = tuple(named(table, name) for name in asked)
    group = named(table, settings.group) if settings.group else None
    id_column = named(table, settings.id) if settings.id else None
    taken = {*labels, *(name for name in (group, id_column) if name)}
    text = named(table, settings.text) if settings.text else _find_text(table, taken)
    id_column = id_column or _find_id(table, taken | {text})
    split = _find_split(table, taken | {text})
    if not labels:
        free = [name for name in table.columns if name not in {text, group, id_column, split}]
        labels = _find_label(table, free, settings)
    if text in labels:
        raise DataError(f"{table.name}: the column {text!r} is asked for as both text and label")
    return Chosen(text, labels, group, id_column, split)


def named(table: Batch, name: str) -> str:
    """The column with that name, in other case if need be, or with that number from 1.

    Raises:
        DataError: there is none; the message has the columns there are.
    """
    if name in table.columns:
        return name
    alike = [column for column in table.columns if plain_name(column) == plain_name(name)]
    if len(alike) == 1:
        return alike[0]
    if name.isdecimal() and 1 <= int(name) <= len(table.columns):
        return list(table.columns)[int(name) - 1]
    known = list(table.columns)
    suggestion = nearest(name, known)
    there = "" if "there are" in suggestion else f"; the columns are: {', '.join(known[:30])}"
    raise DataError(f"{table.name} has no column {name!r}{suggestion}{there}")


def _by_name(table: Batch, names: Sequence[str], free: Sequence[str]) -> str | None:
    by_plain = {plain_name(column): column for column in reversed(free)}
    return next((by_plain[name] for name in names if name in by_plain), None)


def _find_text(table: Batch, taken: set[str]) -> str:
    """The column called text or the like; else the one of the longest strings with spaces."""
    free = [name for name in table.columns if name not in taken]
    found = _by_name(table, TEXT_NAMES, free)
    if found:
        return found
    lengths = {name: _mean_length(table.columns[name]) for name in free}
    longest = max(lengths, key=lambda name: lengths[name], default=None)
    if longest is None or lengths[longest] == 0.0:
        raise DataError(
            f"{table.name} has no column of texts; the columns are: "
            f"{', '.join(table.columns)}; name the one to take with --text"
        )
    return longest


def _mean_length(values: Sequence[Any]) -> float:
    """Mean characters of the strings in a column, 0 unless one has a space or there are few."""
    strings = [value for value in values[:_SAMPLE] if isinstance(value, str)]
    if not strings or all(is_number(value) for value in strings if value):
        return 0.0
    spaced = any(" " in value or not value.isascii() for value in strings)
    return sum(map(len, strings)) / len(strings) if spaced or len(strings) < 20 else 0.0


def _find_id(table: Batch, taken: set[str]) -> str | None:
    """The column called id, or one with a like name whose values are all there and differ."""
    free = [name for name in table.columns if name not in taken]
    exact = _by_name(table, ID_NAMES[:1], free)
    if exact:
        return exact
    found = _by_name(table, ID_NAMES, free)
    values = table.columns[found] if found else []
    unique = None not in values and len(set(map(str, values))) == len(values)
    return found if unique else None


def _find_split(table: Batch, taken: set[str]) -> str | None:
    found = _by_name(table, SPLIT_NAMES, [name for name in table.columns if name not in taken])
    words = {str(value).strip().lower() for value in table.columns[found]} if found else set()
    return found if {"train"} < {SPLIT_WORDS.get(word) for word in words} else None


def _find_label(table: Batch, free: Sequence[str], settings: ReadSettings) -> tuple[str, ...]:
    known = settings.classes if settings.multilabel else None
    if known and all(name in free and _is_indicator(table.columns[name]) for name in known):
        return tuple(known)
    found = _by_name(table, LABEL_NAMES, free)
    if found is None and settings.labelled:
        found = _few_values(table, free)
    if found is None and settings.labelled:
        raise UnlabelledError(
            f"{table.name} has no column that looks like labels; the columns are: "
            f"{', '.join(table.columns)}; name the one to take with --label"
        )
    return (found,) if found else ()


def _few_values(table: Batch, free: Sequence[str]) -> str | None:
    """The column with the fewest distinct values, if they are few beside the rows.

    Raises:
        DataError: it is one of several columns of 0 and 1.
    """
    counts = {name: _count_labels(table.columns[name]) for name in free}
    limit = max(3, min(500, len(table) // 4))
    few = {name: count for name, count in counts.items() if 2 <= count <= limit}
    if not few and len(counts) == 1 and set(counts.values()) == {1}:
        return free[0]
    found = min(few, key=lambda name: few[name], default=None)
    indicators = [name for name in few if _is_indicator(table.columns[name])]
    if found in indicators and len(indicators) > 1:
        raise DataError(
            f"{table.name} has {len(indicators)} columns of 0 and 1 that could be labels; name one "
            f"with --label {shlex.quote(indicators[0])}, or all if a text can have several: "
            f"--label {shlex.quote(','.join(indicators))}"
        )
    return found


def _is_indicator(values: Sequence[Any]) -> bool:
    """Whether a column holds nothing but 0 and 1."""
    return {str(value).strip().lower() for value in values} <= _INDICATORS


def _count_labels(values: Sequence[Any]) -> int:
    """The number of distinct labels if a column holds labels, joined ones taken apart."""
    names = [str(value) for value in values if not missing(value)]
    joiner = find_joiner(names)
    parts = {part for name in set(names) for part in (name.split(joiner) if joiner else [name])}
    return len(parts)


def refuse_odd_text(table: Batch, column: str, texts: Sequence[Any]) -> None:
    """Make sure that a column holds texts, not numbers or identifiers.

    Raises:
        DataError: it does not; the message has an example.
    """
    values = [text for text in texts[: 10 * _SAMPLE] if text not in ("", None)]
    shown = f"{table.name}: the text column {column!r} holds"
    others = f"; the columns are: {', '.join(table.columns)}; name another one with --text"
    if not values:
        raise DataError(f"{shown} nothing{others}")
    odd = next((value for value in values if not isinstance(value, str)), None)
    if sum(isinstance(value, str) for value in values) < len(values) / 2:
        kind = "numbers" if isinstance(odd, int | float) else f"values of type {type(odd).__name__}"
        raise DataError(f"{shown} {kind}, not texts (for example {odd!r}){others}")
    values = [str(value) for value in values]
    if sum(map(is_number, values)) > 0.9 * len(values):
        raise DataError(f"{shown} numbers, not texts (for example {values[0]!r}){others}")
    if len(values) >= _ENOUGH_TO_JUDGE and _identifiers(values):
        raise DataError(f"{shown} identifiers, not texts (for example {values[0]!r}){others}")


def _identifiers(values: Sequence[str]) -> bool:
    """Whether no value has a space and they look made: digits in them, or the same few again."""
    if any(" " in value.strip() or not value.isascii() for value in values):
        return False
    made = [not value.strip(".,!?'\"").replace("-", "").isalpha() for value in values]
    few = len(set(values)) <= len(values) / 10
    return few or len(list(compress(values, made))) >= len(values) / 2
