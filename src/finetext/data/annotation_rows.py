"""Rows that any tool can write: texts and records in objects, and a status that refuses a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.annotation_answers import fields_of, first_values, holds, text_among
from finetext.data.column_words import says
from finetext.data.columns import TEXT_NAMES, by_name, plain_name
from finetext.data.rows import Batch

_ENVELOPES: Final = ("data", "fields", "inputs", "input", "document", "record", "row", "example")
_TOKENS: Final = ("tokens", "words", "token", "pieces")
_GOOD: Final = {
    *("accept", "accepted", "approved", "submitted", "completed", "complete", "validated"),
    *("default", "pending", "reviewed", "confirmed"),
}
_BAD: Final = {
    *(
        "reject",
        "rejected",
        "ignore",
        "ignored",
        "skip",
        "skipped",
        "discarded",
        "discard",
        "draft",
    ),
    *("cancelled", "canceled", "was_skipped"),
}
_STATES: Final = (
    *("status", "answer", "response_status", "annotation_status", "label_status", "review_status"),
)
_FLAGS: Final = ("was_cancelled", "cancelled", "canceled", "was_skipped", "skipped", "discarded")


def unwrapped(batch: Batch, settings: ReadSettings | None = None) -> Batch:
    """Return a batch with the texts and records that are in objects, or in lists of one string.

    Raises:
        DataError: the texts are lists of tokens.
    """
    columns: dict[str, list[Any]] = {}
    for name in batch.columns:
        if by_name((*TEXT_NAMES, *_ENVELOPES), [name]) is None and len(batch.columns) > 1:
            continue
        values = batch.columns[name]
        if holds(batch, name, Mapping):
            inner = fields_of(values)
            key = text_among(inner)
            if plain_name(name) in _ENVELOPES or len(batch.columns) == 1:
                columns |= {n: of for n, of in inner.items() if n not in batch.columns}
            elif key is not None and (plain_name(key) in TEXT_NAMES or len(inner) == 1):
                columns[name] = inner[key]
        elif holds(batch, name, list) and all(
            len(v) == 1 and isinstance(v[0], str) for v in first_values(batch, name)
        ):
            columns[name] = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
    if settings is not None and not columns and settings.text is None and batch.text is None:
        _refuse_tokens(batch)
    return replace(batch, columns=batch.columns | columns) if columns else batch


def _refuse_tokens(batch: Batch) -> None:
    tokens = by_name(_TOKENS, list(batch.columns))
    if tokens is None or not holds(batch, tokens, list) or by_name(TEXT_NAMES, [*batch.columns]):
        return
    if all(isinstance(one, str) for of in first_values(batch, tokens) for one in of):
        raise DataError(
            f"{batch.name}: the column {tokens!r} holds lists of tokens, not texts: add a column "
            "of the texts as they were written"
        )


def without_refused(batch: Batch, settings: ReadSettings) -> Batch:
    """Return a batch with the rows left out whose status says that their label does not count.

    A column of that name says so if all its values are known states, some of which refuse a label
    and some of which do not; a flag, such as was_cancelled, if all are true or false. It may be the
    label itself, so another column must be the label by its name. A column that the settings name
    is left alone.
    """
    if not settings.labelled:
        return batch
    for name in batch.columns:
        plain = plain_name(name)
        if (plain not in _STATES and plain not in _FLAGS) or name in settings.columns:
            continue
        others = [other for other in batch.columns if other != name and other != settings.text]
        if not (settings.label or batch.label or any(says(other).label for other in others)):
            continue
        said = [str(value).strip().lower() for value in batch.columns[name]]
        bad = {"true", "1"} if plain in _FLAGS else _BAD
        good = {"false", "0"} if plain in _FLAGS else _GOOD
        known = {*said} - {"none", "", "nan"}
        if not known & bad or not known & good or not known <= bad | good:
            continue
        rows = tuple(row for row, value in enumerate(said) if value in bad)
        message = (
            f"{batch.name}: {counted(len(rows), 'row')} left out, whose column {name!r} is "
            f"{', '.join(sorted(known & bad))}: their label does not count; to keep them, remove "
            "that column"
        )
        note = Finding("warning", "answers-left-out", message)
        return replace(batch, left_out=rows, findings=(*batch.findings, note))
    return batch
