"""Texts of several columns, such as title and body, or the two sentences of a pair, as one string.

Every layer passes on a text as one string. The texts of several columns are joined by `SEPARATOR`,
and the one place that tokenizes (`finetext.training.tokens`) takes two of them apart again. Both
of its characters are spaces to all that splits texts into words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from finetext.core.errors import DataError

SEPARATOR: Final = "\n\x1f"
"""A line break and the unit separator of ASCII, which no keyboard types."""
PAIR: Final = ("text", "text_pair")
"""The names of two texts where columns have no names, as in the pipelines of transformers."""


def join(texts: Sequence[str]) -> str:
    """Return texts as one string; a unit separator inside a text becomes a space."""
    if len(texts) == 1:
        return texts[0]
    return SEPARATOR.join(text.replace("\x1f", " ") for text in texts)


def texts_in(text: str) -> list[str]:
    """Return the texts that were joined, in their order."""
    return text.split(SEPARATOR)


def as_one(text: str) -> str:
    """Return a text of the same length without the separator: each column begins a new line."""
    return text.replace(SEPARATOR, "\n ")


def given_text(value: Any, columns: Sequence[str] = (), where: str = "the text") -> str:
    """Return a text to predict as one string.

    Args:
        value: a string; or for a model of several text columns a list or tuple of their texts, or
            a mapping with their names, or with `PAIR`, as keys. Joined texts stay as they are.
        columns: the text columns of the model, none for a model of one.
        where: the value in words, for errors.

    Raises:
        DataError: there are too many texts, too few or others, or something is not a string.
    """
    if isinstance(value, Mapping):
        value = _by_name(value, columns, where)
    if isinstance(value, list | tuple) and len(value) > 1:
        if wrong := [of for of in value if not isinstance(of, str) and not _is_missing(of)]:
            raise DataError(f"{where} has {shown(wrong[0])} among its texts, not a string")
        if len(value) != len(columns or PAIR):
            raise DataError(f"{where} has {len(value)} texts, but {_reads(columns)}")
        texts = ["" if _is_missing(text) else str(text) for text in value]
        return join(texts) if any(texts) else ""
    if not isinstance(value, str):
        raise DataError(f"{where} is {shown(value)}, not a string")
    if columns and value and value.count(SEPARATOR) != len(columns) - 1:
        raise DataError(f"{where} is {shown(value)}, but {_reads(columns)}")
    return str(value)


def texts_of(given: Any, columns: Sequence[str] = ()) -> list[str]:
    """Return texts as a list of strings; those of several text columns joined.

    With the text `columns` of a model, a frame with these columns, rows of as many texts and
    mappings are taken as well; see `finetext.core.text_columns.given_text`.
    """
    if not columns and type(given) is list and set(map(type, given)) <= {str}:
        return given
    if isinstance(given, str | bytes):
        raise DataError(
            f"texts must be a list, not the single text {shown(given)}. Put it in brackets"
        )
    values = _values(given, columns)
    for place, value in enumerate(values):
        where = f"text {place}, counted from 0,"
        if columns or isinstance(value, Mapping):
            values[place] = given_text(value, columns, where)
        elif not isinstance(value, str):
            is_nested = isinstance(value, list | tuple) or hasattr(value, "__array__")
            hint = ". Pass one column" if is_nested else ""
            raise DataError(f"{where} is {shown(value)}, not a string{hint}")
    return [str(value) for value in values]


def _values(given: Any, columns: Sequence[str] = ()) -> list[Any]:
    """Return the values of a column, the rows of text columns, or those of any ordered iterable."""
    if columns and hasattr(given, "columns") and set(columns) <= set(given.columns):
        return list(zip(*(_values(given[name]) for name in columns), strict=True))
    if isinstance(given, Mapping | set | frozenset) or hasattr(given, "columns"):
        kind = type(given).__name__
        which = f"the columns {', '.join(columns)}" if columns else "one column"
        raise DataError(f"texts must be a list or a column, not a {kind}. Pass {which} of it")
    shape = tuple(getattr(given, "shape", (1,)))
    if len(shape) != 1 and not (columns and shape[1:] == (len(columns),)):
        raise DataError(f"texts must have one dimension, not the shape {shape}. Pass one column")
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(given, method):
            return list(getattr(given, method)())
    try:
        return list(given)
    except TypeError:
        raise DataError(f"texts must be a list of strings, not {shown(given)}") from None


def text_in_json(text: str, columns: Sequence[str] = ()) -> str:
    """Return a text; for a model of several text columns one of JSON, blank or joined already.

    Raises a DataError if it is neither; see `given_text`.
    """
    if not columns or not text.strip():
        return text
    value: Any = text
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
    return given_text(value if isinstance(value, dict | list) else text, columns)


def _by_name(value: Mapping[Any, Any], columns: Sequence[str], where: str) -> Any:
    """Return the texts of a mapping in the order of the columns; the text itself if it is one."""
    if columns and all(name in value for name in columns):
        return [value[name] for name in columns]
    if set(value) == set(PAIR) and len(columns) in (0, len(PAIR)):
        return [value[name] for name in PAIR]
    if set(value) == {PAIR[0]} and not columns:
        return value[PAIR[0]]
    expected = _reads(columns) if columns else "its keys must be text, or text and text_pair"
    raise DataError(f"{where} has the keys {', '.join(map(repr, value)) or 'none'}, but {expected}")


def _reads(columns: Sequence[str]) -> str:
    """Say what a model reads, and how to give it."""
    names = ", ".join(columns or PAIR)
    example = "{" + ", ".join(f'"{name}": "..."' for name in columns or PAIR) + "}"
    return f"the model reads {len(columns or PAIR)} texts ({names}): write {example}"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def shown(value: Any) -> str:
    """Return a value as code, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
