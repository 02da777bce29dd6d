"""Ranges of hyperparameters: types for the fields of a `Method`, which a recipe checks."""

from __future__ import annotations

from math import inf
from typing import Annotated

from annotated_types import Ge, Gt, Interval

Count = Annotated[int, Gt(0)]
"""1, 2, 3, ..."""
NotNegativeCount = Annotated[int, Ge(0)]
"""0, 1, 2, ..."""
Positive = Annotated[float, Interval(gt=0, lt=inf)]
"""Any finite number above 0."""
NotNegative = Annotated[float, Interval(ge=0, lt=inf)]
"""Any finite number from 0."""
Share = Annotated[float, Interval(ge=0, le=1)]
"""From 0 to 1, both included."""
ShareBelowOne = Annotated[float, Interval(ge=0, lt=1)]
"""From 0 to 1, without 1."""
ProperShare = Annotated[float, Interval(gt=0, lt=1)]
"""Between 0 and 1, neither included."""
Tokens = Annotated[int, Ge(4)]
"""Length of a text: two special tokens and two of the text are the least that makes sense."""
