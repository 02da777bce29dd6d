"""Which columns hold text, label, group and id: as given, by name, or by content."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from finetext.core.errors import DataError, UnlabeledError, nearest
from finetext.core.settings import ReadSettings
from finetext.data.label_cells import find_joiner, missing
from finetext.data.rows import SPLIT_WORDS, Batch, column_names

TEXT_NAMES: Final = (
    *("text", "texts", "sentence", "sentences", "review", "reviews", "content", "tweet"),
    *("message", "comment", "comment_text", "review_text", "tweet_text", "full_text"),
    *("clean_text", "text_clean", "raw_text", "body", "utterance", "question", "query"),
    *("document", "post", "article", "sms", "snippet", "phrase", "statement", "description"),
    *("abstract", "answer", "response", "verbatim", "paragraph", "passage", "excerpt"),
    *("headline", "title", "summary", "input", "news"),
)
LABEL_NAMES: Final = (
    *("label", "labels", "label_name", "label_text", "category", "categories", "class"),
    *("classes", "class_name", "sentiment", "intent", "target", "topic", "topics", "emotion"),
    *("emotions", "stance", "polarity", "tag", "tags", "code", "codes", "label_id", "class_id"),
    *("label_index", "classification", "annotation", "gold", "y", "rating", "stars", "score"),
)
_ID_NAMES: Final = (
    *("id", "ids", "row_id", "text_id", "doc_id", "document_id", "example_id", "sentence_id"),
    *("comment_id", "tweet_id", "review_id", "message_id", "item_id", "guid", "uid", "uuid"),
    *("idx", "index"),
)
_SPLIT_NAMES: Final = ("split", "partition", "subset")
KNOWN_NAMES: Final = frozenset(TEXT_NAMES + LABEL_NAMES + _ID_NAMES + _SPLIT_NAMES)
_SAMPLE: Final = 2000
_INDICATORS: Final = {"0", "1", "0.0", "1.0", "false", "true"}
_NUMBER: Final = re.compile(r"\s*[-+]?\d+([.,]\d+)*([eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class Chosen:
    """The chosen columns; several label columns hold 0 and 1."""

    text: str
    labels: tuple[str, ...]
    group: str | None
    id: str | None
    split: str | None


def plain_name(name: str) -> str:
    """Return a column name in snake case: "Comment Text" -> comment_text."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-.]+", "_", spaced).lower()


def choose_columns(batch: Batch, settings: ReadSettings) -> Chosen:
    """Choose columns as given, else those of an annotation tool, and find the others."""
    text, label = settings.text or batch.text, settings.label or batch.label
    settings = replace(settings, text=text, label=label)
    asked = (settings.label,) if isinstance(settings.label, str) else settings.label or ()
    labels = tuple(named(batch, name) for name in asked)
    group = named(batch, settings.group) if settings.group else None
    id_column = named(batch, settings.id) if settings.id else None

    def free(*taken: str | None) -> list[str]:
        return [name for name in batch.columns if name not in taken]

    first = free(*labels, group, id_column)
    text = named(batch, text) if text else _find_text(batch, first)
    if id_column is None and (found := by_name(_ID_NAMES, free(*labels, group, text))):
        # A column called id is taken, one with a similar name if its values are complete and differ
        values = batch.columns[found] if plain_name(found) != "id" else []
        unique = None not in values and len(set(map(str, values))) == len(values)
        id_column = found if unique else None
    split = by_name(_SPLIT_NAMES, free(*labels, group, id_column, text))
    words = {str(value).strip().lower() for value in batch.columns[split]} if split else set()
    if not {"train"} < {SPLIT_WORDS.get(word) for word in words}:
        split = None
    labels = labels or _find_labels(batch, free(text, group, id_column, split), settings)
    if text in labels:
        raise DataError(f"{batch.name}: the column {text!r} is requested as both text and label")
    return Chosen(text, labels, group, id_column, split)


def named(batch: Batch, name: str) -> str:
    """Return the column with that name, ignoring case if need be, or with that number from 1."""
    known = list(batch.columns)
    if name in known:
        return name
    alike = [column for column in known if plain_name(column) == plain_name(name)]
    if len(alike) == 1:
        return alike[0]
    if name.isdecimal() and 1 <= int(name) <= len(known):
        return known[int(name) - 1]
    offer = nearest(name, known)
    there = "" if "there are" in offer else f"; the columns are: {', '.join(known[:30])}"
    raise DataError(f"{batch.name} has no column {name!r}{offer}{there}")


def has_column(batch: Batch, name: str) -> bool:
    """Whether a batch has a column of that name or number."""
    with suppress(DataError):
        return bool(named(batch, name))
    return False


def by_name(names: Sequence[str], free: Sequence[str]) -> str | None:
    """Return the first free column, in the order of the names, whose plain name is one of these."""
    by_plain = {plain_name(column): column for column in reversed(free)}
    return next((by_plain[name] for name in names if name in by_plain), None)


def _find_text(batch: Batch, free: Sequence[str]) -> str:
    """The column called text or the like; else the one with the longest strings with spaces."""
    if found := by_name(TEXT_NAMES, free):
        return found
    lengths = {name: mean for name in free if (mean := _mean_length(batch.columns[name]))}
    if not lengths:
        known = ", ".join(batch.columns)
        raise DataError(
            f"{batch.name} has no column of texts; the columns are: {known}; name one with --text"
        )
    return max(lengths, key=lambda name: lengths[name])


def _mean_length(values: Sequence[Any]) -> float:
    """Mean characters of the strings in a column, 0 unless one has a space or there are few."""
    strings = [value for value in values[:_SAMPLE] if isinstance(value, str)]
    if all(is_number(value) for value in strings if value):
        return 0.0
    spaced = any(" " in value or not value.isascii() for value in strings)
    return sum(map(len, strings)) / len(strings) if spaced or len(strings) < 20 else 0.0


def _find_labels(batch: Batch, free: Sequence[str], settings: ReadSettings) -> tuple[str, ...]:
    known = settings.classes if settings.multilabel else None
    if known and all(name in free and _is_indicator(batch.columns[name]) for name in known):
        return tuple(known)
    found = by_name(LABEL_NAMES, free)
    if settings.labelled and not (found := found or _few_values(batch, free)):
        raise UnlabeledError(
            f"{batch.name} has no column that looks like labels; the columns are: "
            f"{', '.join(batch.columns)}; name one with --label"
        )
    return (found,) if found else ()


def _few_values(batch: Batch, free: Sequence[str]) -> str | None:
    """The column with the fewest distinct values, if these are few compared to the rows."""
    counts = {}
    for column in free:
        names = [str(value) for value in batch.columns[column] if not missing(value)]
        joiner = find_joiner(names)
        counts[column] = len({p for n in set(names) for p in (n.split(joiner) if joiner else [n])})
    limit = max(3, min(500, len(batch) // 4))
    few = {name: count for name, count in counts.items() if 2 <= count <= limit}
    if not few and list(counts.values()) == [1]:
        return free[0]
    found = min(few, key=lambda name: few[name], default=None)
    indicators = [name for name in few if _is_indicator(batch.columns[name])]
    if found in indicators and len(indicators) > 1:
        raise DataError(
            f"{batch.name} has {len(indicators)} columns of 0 and 1 that could be labels; name one "
            f"with --label {shlex.quote(indicators[0])}, or all if a text can have several: "
            f"--label {shlex.quote(','.join(indicators))}"
        )
    return found


def _is_indicator(values: Sequence[Any]) -> bool:
    return {str(value).strip().lower() for value in values} <= _INDICATORS


def refuse_odd_text(batch: Batch, column: str, texts: Sequence[Any]) -> None:
    """Check that a column holds texts, not numbers or identifiers."""
    values = [text for text in texts[: 10 * _SAMPLE] if text not in ("", None)]
    shown = f"{batch.name}: the text column {column!r} holds"
    others = f"; the columns are: {', '.join(batch.columns)}; name another one with --text"
    if not values:
        raise DataError(f"{shown} nothing{others}")
    strings = [str(value) for value in values]
    others_than_str = [value for value in values if not isinstance(value, str)]
    kind, example = "", strings[0]
    if len(others_than_str) > len(values) / 2:
        odd = example = others_than_str[0]
        kind = "numbers" if isinstance(odd, int | float) else f"values of type {type(odd).__name__}"
    elif sum(map(is_number, strings)) > 0.9 * len(strings):
        kind = "numbers"
    elif len(strings) >= 20 and _identifiers(strings):
        kind = "identifiers"
    if kind:
        raise DataError(f"{shown} {kind}, not texts (for example {example!r}){others}")


def _identifiers(values: Sequence[str]) -> bool:
    """Whether no value has a space, and they look made: with digits, or the same few repeated."""
    if any(" " in value.strip() or not value.isascii() for value in values):
        return False
    made = sum(not value.strip(".,!?'\"").replace("-", "").isalpha() for value in values)
    return len(set(values)) <= len(values) / 10 or made >= len(values) / 2


def is_number(cell: str) -> bool:
    """Whether a field is a number, or several joined by commas."""
    return _NUMBER.fullmatch(cell) is not None


def headed_names(
    records: Sequence[Sequence[str]], settings: ReadSettings
) -> tuple[bool, list[str]]:
    """Return whether the first record is a header, as stated or as it looks, and column names."""
    headed = settings.header
    if headed is None:
        headed = looks_headed(records, settings.columns)
    return headed, column_names(records[0] if headed else range(1, len(records[0]) + 1))


def looks_headed(records: Sequence[Sequence[str]], asked: Collection[str] = ()) -> bool:
    """Whether the first record holds column names, `asked` ones or such as tables have."""
    first, body = records[0], records[1:]
    if any(cell.strip() in asked for cell in first):
        return True
    could_name = all(len(c) <= 40 and not is_number(c) and c.count(" ") <= 2 for c in first)
    if not could_name or not any(first):
        return False
    if any(plain_name(cell) in KNOWN_NAMES for cell in first):
        return True
    columns = [[record[place] for record in body] for place in range(len(first))]
    again = any(cell and cell in of for cell, of in zip(first, columns, strict=True))
    if not body or again:
        return False
    return any(len(set(of)) <= len(of) / 4 or all(map(is_number, of)) for of in columns)
