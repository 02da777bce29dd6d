"""Rows whose text cannot be predicted, parted from the others."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import compress
from typing import Any, Final

from finetext.data.bad_rows import BadRow
from finetext.data.joined import missing_text
from finetext.data.raw import RawTable

ESCAPED: Final = re.compile("[\udc80-\udcff]")
"""Bytes that are no text in the encoding that was stated, as the decoder leaves them."""


def sort_out(table: RawTable, column: str, first: int) -> tuple[RawTable, list[BadRow]]:
    """Part the rows whose text is missing or no text from the others.

    Args:
        table: n rows.
        column: that of the texts.
        first: number of the first row, for tables without lines.

    Returns:
        the other rows, with lines, and the bad ones.
    """
    count = len(table) if table.lines is None else len(table.lines)
    lines = list(table.lines or range(first, first + count))
    texts = table.columns.get(column, [None] * count)
    reasons = [_reason(text) for text in texts]
    for values in table.columns.values():
        for row, value in enumerate(values):
            if isinstance(value, str) and not value.isascii() and ESCAPED.search(value):
                reasons[row] = reasons[row] or "not text in the encoding that was stated"
    if not any(reasons):
        return replace(table, lines=lines), []
    bad = [
        BadRow(lines[row], reason, _content(table, row))
        for row, reason in enumerate(reasons)
        if reason
    ]
    good = [not reason for reason in reasons]
    columns = {name: list(compress(values, good)) for name, values in table.columns.items()}
    return replace(table, columns=columns, lines=list(compress(lines, good))), bad


def _reason(text: Any) -> str:
    if isinstance(text, str):
        return ""
    if isinstance(text, list | tuple | set | dict):
        return f"the text is {'an object' if isinstance(text, dict) else 'a list'}, not a string"
    return "the text is missing" if missing_text(text) else ""


def _content(table: RawTable, row: int) -> str:
    """The values of a row as JSON, bytes that are no text as they are written in Python."""
    values = {name: values[row] for name, values in table.columns.items()}
    text = json.dumps(values, ensure_ascii=False, default=str)
    return ESCAPED.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
