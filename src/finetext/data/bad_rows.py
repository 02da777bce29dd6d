"""Rows that cannot be predicted, which can be set aside instead of ending the job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be predicted.

    Attributes:
        line: the line of the file at which it begins; its number where there are no lines.
        reason: what is wrong with it, for people.
        content: the row as it stands, as far as that can be written.
    """

    line: int
    reason: str
    content: str


Aside = Callable[[BadRow], None]
"""Who takes the bad rows."""


def lines_from(text: str, lines: Sequence[int], row: int, first: int) -> str:
    """What stands in a text from the line of one row to that of the next.

    Args:
        text: lines.
        lines: the line at which each row begins.
        row: which row.
        first: the number of the first line of the text.
    """
    every = text.split("\n") if "\n" in text else text.split("\r")
    end = lines[row + 1] if row + 1 < len(lines) else len(every) + first
    return "\n".join(every[lines[row] - first : end - first]).rstrip("\r\n")
