"""Texts as they are handed over in Python: lists, arrays, series, generators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetext.errors import DataError


def texts_of(given: Any) -> list[str]:
    """Texts as a list of strings.

    Args:
        given: a list, tuple, generator or other iterable of strings, a numpy array of one
            dimension, or a column of pandas, polars, pyarrow or datasets.

    Raises:
        DataError: it is a single string, a table or without an order, or holds something else
            than strings; the message has the first place, counted from 0.
    """
    if type(given) is list and set(map(type, given)) <= {str}:
        return given
    if isinstance(given, str | bytes):
        raise DataError(f"texts must be a list, not {_shown(given)} alone: put it in brackets")
    values = _values(given)
    for place, value in enumerate(values):
        if not isinstance(value, str):
            hint = "; for two dimensions give one column" if _is_nested(value) else ""
            raise DataError(f"text {place}, counted from 0, is {_shown(value)}, no string{hint}")
    return [str(value) for value in values]


def _values(given: Any) -> list[Any]:
    """The values of a column, or of anything that can be gone through in order."""
    if isinstance(given, Mapping | set | frozenset) or hasattr(given, "columns"):
        kind = type(given).__name__
        raise DataError(f"texts must be a list or a column, not a {kind}; give one column of it")
    if len(getattr(given, "shape", (1,))) != 1:
        raise DataError(
            f"texts must have one dimension, not the shape {tuple(given.shape)}; give one column"
        )
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(given, method):
            return list(getattr(given, method)())
    try:
        return list(given)
    except TypeError:
        raise DataError(f"texts must be a list of strings, not {_shown(given)}") from None


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | tuple) or hasattr(value, "__array__")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
