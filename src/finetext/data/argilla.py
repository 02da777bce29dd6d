"""Exports of Argilla 1 and 2: responses of annotators, without drafts and discarded ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from finetext.core.budget import take_column
from finetext.core.settings import ReadSettings
from finetext.data.annotation_answers import (
    Answers,
    agreed,
    asked,
    fields_of,
    holds,
    holds_objects,
    scalars,
    text_among,
    with_labels,
)
from finetext.data.rows import Batch

_REFUSED: Final = {"discarded", "draft"}


def questions_of(batch: Batch) -> list[str]:
    """Return the questions in columns of their own: label.responses (2), label-suggestion (1)."""
    return [
        name.removesuffix(end) for end in (".responses", "-suggestion") for name in batch.columns
        if name.endswith(end) and (end[0] == "." or name.removesuffix(end) in batch.columns)
    ]  # fmt: skip


def read_columns(batch: Batch, settings: ReadSettings) -> Batch:
    """Return the labels of records whose questions have columns of their own."""
    questions = questions_of(batch)
    label = asked(questions, settings, batch, "the Argilla export")
    drop = tuple(f"{name}{sign}" for name in questions for sign in (".", "-"))
    columns = {n: of for n, of in batch.columns.items()
               if not n.startswith(drop) and n not in questions}  # fmt: skip
    if label is None:
        return replace(batch, columns=columns)
    given = batch.columns.get(f"{label}.responses", batch.columns.get(label, []))
    states = batch.columns.get(f"{label}.responses.status", [None] * len(batch))
    records = batch.columns.get("status", [None] * len(batch))
    return _answered(batch, columns, label, settings, [
        _responses(of, state, record) for of, state, record
        in zip(given, states, records, strict=True)
    ])  # fmt: skip


def _responses(given: Any, states: Any, record: Any) -> list[tuple[Any, Any]]:
    """The value and the status of each response to a question."""
    if isinstance(given, Mapping):  # a Hub data set stores a list of objects as one of lists
        keys = [key for key in ("value", "status") if isinstance(given.get(key), list)]
        rows = zip(*(given[key] for key in keys), strict=True)
        given = [dict(zip(keys, row, strict=True)) for row in rows]
    if not isinstance(given, list):
        return [] if given is None else [(given, record)]
    if all(isinstance(one, Mapping) for one in given):
        return [(one.get("value"), one.get("status", record)) for one in given]
    own = (
        states if isinstance(states, list) and len(states) == len(given) else [record] * len(given)
    )
    return list(zip(given, own, strict=True))


def _answered(
    batch: Batch,
    columns: Mapping[str, list[Any]],
    label: str,
    settings: ReadSettings,
    given: Sequence[Sequence[tuple[Any, Any]]],
) -> Batch:
    """The batch with the answers of (value, status) that are not refused or drafts."""
    answers: list[Answers] = []
    skipped = []
    for of in given:
        kept = [value for value, state in of if str(state).lower() not in _REFUSED]
        answers.append([v if isinstance(v, list) else [] if v is None else [v] for v in kept])
        skipped.append(len(of) - len(kept))
    found = agreed(answers, skipped, batch.name, settings.labelled)
    return with_labels(batch, columns, label, found)


def is_nested(batch: Batch) -> bool:
    """Whether a batch has records with fields and responses."""
    return holds(batch, "fields", Mapping) and (
        holds(batch, "responses", Mapping) or holds_objects(batch, "responses")
    )


def read_nested(batch: Batch, settings: ReadSettings) -> Batch:
    """Return the labels of records with fields and responses.

    Responses are by question (Argilla 2), or by annotator with a value for each question (1).
    """
    by_question: dict[str, list[list[tuple[Any, Any]]]] = {}
    for row, of in enumerate(batch.columns["responses"]):
        pairs = [(q, _responses(one, None, None)) for q, one in of.items()] if isinstance(
            of, Mapping) else [
            (q, [(value.get("value"), one.get("status"))])
            for one in of or () for q, value in (one.get("values") or {}).items()
        ]  # fmt: skip
        for question, values in pairs:
            if question not in by_question:
                take_column(len(batch), len(by_question) + 1, batch.name)
                by_question[question] = [[] for _ in range(len(batch))]
            by_question[question][row] += values
    fields = fields_of(batch.columns["fields"])
    columns = {**scalars(batch), **fields}
    label = asked(list(by_question), settings, batch, "the Argilla export")
    batch = replace(batch, text=text_among(fields))
    if label is None:
        return replace(batch, columns=columns)
    return _answered(batch, columns, label, settings, by_question[label])


def read_records(batch: Batch, settings: ReadSettings) -> Batch:
    """Return the labels of Argilla 1 text classification: an annotation and a status a record."""
    columns = {n: of for n, of in batch.columns.items() if not n.startswith("prediction")}
    if settings.label not in (None, "annotation"):
        return batch
    given = zip(columns["annotation"], batch.column("status"), strict=True)
    return _answered(batch, columns, "annotation", settings, [[pair] if pair[0] is not None or str(
        pair[1]).lower() in _REFUSED else [] for pair in given])  # fmt: skip
