"""What reading took a column for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnRole:
    """What a column of the source was taken for (empty for nothing), why, and one of its values."""

    column: str
    role: str
    reason: str
    example: str
