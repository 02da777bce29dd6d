"""The header and the text column of a table that the page for people sends."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.columns import choose_columns
from finetext.data.headers import find_header, title_rows
from finetext.data.rows import Batch


def head_of(
    rows: Sequence[list[str]], header: bool | None, preferred: str | None = None
) -> dict[str, Any]:
    """Return how the first rows of a table are read, see `finetext.serving.schemas.TableHead`.

    It is what `finetext predict` finds with a model whose column of texts is `preferred`; short
    rows are filled up. If the header is unclear, there is none.
    """
    width = max(map(len, rows))
    every = [[*row, *[""] * (width - len(row))] for row in rows]
    settings = ReadSettings(header=header, labelled=False, preferred_text=preferred)
    titles = title_rows(every, range(1, len(every) + 1), settings)
    table, unclear = every[titles:], False
    try:
        found = find_header(table, settings, "the table")
    except DataError:
        settings, unclear = replace(settings, header=False), True
        found = find_header(table, settings, "the table")
    body = table[len(found.records) :]
    columns = {name: [row[at] for row in body] for at, name in enumerate(found.names)}
    text, lacks = 0, False
    with suppress(DataError):  # the page lets its reader choose
        if body:
            chosen = choose_columns(Batch("the table", columns, "table"), settings)
            text = found.names.index(chosen.text)
            lacks = bool(chosen.findings)
    return {
        "titles": titles, "header": len(found.records), "names": found.names, "text": text,
        "unclear": unclear, "lacks": lacks,
    }  # fmt: skip
