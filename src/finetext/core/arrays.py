"""Array types, numbers that JSON has no word for, and logits."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


class _NoneIsNan:
    """Makes pydantic read None as not a number, which is how JSON files of finetext write it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def read(value: Any) -> Any:
            return math.nan if value is None else value

        return core_schema.no_info_before_validator_function(read, handler(source))


Number = Annotated[float, _NoneIsNan]
"""A float that may be not a number; in JSON that is null."""


def probabilities_of(logits: Floats, multilabel: bool) -> Floats:
    """Softmax of (n, k) logits, or the sigmoid of each where labels do not exclude each other."""
    if multilabel:
        with np.errstate(over="ignore"):  # the probability is 0 then
            return np.asarray(1 / (1 + np.exp(-logits)))
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def logits_of(probabilities: Floats, multilabel: bool) -> Floats:
    """Logits that give (n, k) probabilities: their logarithms, or log odds when multi-label."""
    if multilabel:
        from scipy.special import logit

        return np.asarray(logit(probabilities))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probabilities))


def unit(vectors: Floats) -> Floats:
    """Return (..., d) vectors with length 1; vectors of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))


def plain(value: Any) -> Any:
    """Return a value that JSON does not know as one that it knows."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def finite(value: Any) -> Any:
    """Nested mappings and sequences with None in the place of nan and infinity."""
    if isinstance(value, Mapping):
        return {key: finite(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [finite(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
