"""Exports of annotation tools to plain columns, with what was left out or decided as findings.

A tool is recognized by the columns of its export and the kinds of values in the first rows.
Rejected, skipped, discarded and draft answers are left out. Several answers for one text become
one label if most agree; without a majority the text is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from finetext.core.budget import take_column
from finetext.core.errors import DataError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import counted, short
from finetext.data import argilla
from finetext.data.annotation_answers import (
    Answers,
    agreed,
    asked,
    fields_of,
    first_values,
    further_rows,
    holds,
    holds_objects,
    label_columns,
    scalars,
    text_among,
    with_labels,
)
from finetext.data.annotation_rows import unwrapped, without_refused
from finetext.data.rows import Batch
from finetext.data.structured_cells import plain_values

_STUDIO: Final = frozenset(
    {"annotation_id", "annotator", "lead_time", "created_at", "updated_at", "id", "agreement"}
)
_OTHER_FORM: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What reading raises where a row is not as those that a recognizer looked at."""
_ROLES: Final = (
    ("spaCy", "text", "cats", ()),
    ("Vertex AI", "textContent", "classificationAnnotation", ()),
    ("Vertex AI", "textContent", "classificationAnnotations", ()),
    ("MAXQDA", "Segment", "Code", ("Document name", "Dokumentname", "Document", "Dokument")),
    ("ATLAS.ti", "Quotation Content", "Codes", ()),
    ("ATLAS.ti", "Zitatinhalt", "Kodes", ()),
)
"""Tool, column of the texts, column of the labels, and columns one of which must be there."""


def plain(batch: Batch, settings: ReadSettings) -> Batch:
    """Return a batch with plain columns if it is the export of a tool, else as it is.

    Raises:
        DataError: the export has several questions, none of them named by the label column of the
            settings, or no labels of whole texts.
    """
    tool = next((tool for tool in TOOLS if tool.looks(batch)), None)
    if tool is None:
        return without_refused(unwrapped(batch, settings), settings)
    try:
        found = tool.read(batch, settings)
    except _OTHER_FORM as error:
        raise DataError(
            f"{batch.name} looks like an export of {tool.name}, but a row of it has another form "
            f"({type(error).__name__}: {short(str(error), 80)}); export it again, or save it as a "
            "table with a column of texts and one of labels"
        ) from None
    found = found if found.left_out else without_refused(found, settings)
    return replace(unwrapped(found, settings), form=f"{batch.form}, {tool.name}")


def is_export(batch: Batch) -> bool:
    """Whether `plain` would change a batch."""
    return any(tool.looks(batch) for tool in TOOLS) or unwrapped(batch) is not batch


@dataclass(frozen=True)
class Tool:
    """How the export of a tool is recognized, and how it is read."""

    name: str
    looks: Callable[[Batch], bool]
    read: Callable[[Batch, ReadSettings], Batch]


def _is_studio(batch: Batch) -> bool:
    lists = "annotations" if "annotations" in batch.columns else "completions"
    return holds_objects(batch, lists) and holds(batch, "data", Mapping)


def _read_studio(batch: Batch, settings: ReadSettings) -> Batch:
    """Label Studio JSON: tasks with data, and annotations with a result for each question."""
    given = batch.columns.get("annotations") or batch.columns["completions"]
    questions: dict[str, list[Answers]] = {}
    kinds: dict[str, None] = {}
    skipped, answered = [0] * len(given), [0] * len(given)
    for row, of in enumerate(given):
        for annotation in of or ():
            if annotation.get("was_cancelled"):
                skipped[row] += 1
                continue
            answered[row] += 1
            for result in annotation.get("result") or ():
                own = _studio_labels(result)
                kinds[str(result.get("type"))] = None
                if own is not None:
                    asked_for = str(result.get("from_name"))
                    if asked_for not in questions:
                        take_column(len(given), len(questions) + 1, batch.name)
                        questions[asked_for] = [[] for _ in given]
                    questions[asked_for][row].append(own)
    if not questions and kinds and settings.labelled:
        raise DataError(
            f"{batch.name}: a Label Studio export without choices for whole texts; its results are "
            f"of type {', '.join(kinds)}: export a project with a Choices tag"
        )
    if not questions and settings.labelled and not any(answered):
        raise UnlabeledError(
            f"{batch.name}: the Label Studio export has no annotations, and predictions are no "
            "labels: export annotated tasks"
        )
    label = asked(list(questions), settings, batch, "the Label Studio export")
    for of in questions.values():  # an annotation without a result says that there is no label
        for row, count in enumerate(answered):
            of[row] += [[] for _ in range(count - len(of[row]))]
    fields = fields_of(batch.columns["data"])
    columns = {**scalars(batch), **fields}
    found = agreed(questions[label], skipped, batch.name, settings.labelled) if label else None
    return replace(with_labels(batch, columns, label, found), text=text_among(fields))


def _studio_labels(result: Mapping[str, Any]) -> list[Any] | None:
    """The labels of a whole text in a result; None if it is of another type."""
    value = result.get("value") or {}
    if "choices" in value and "start" not in value:
        return list(value["choices"])
    if "taxonomy" in value and "start" not in value:
        return [" / ".join(map(str, path)) for path in value["taxonomy"]]
    return [value["rating"]] if "rating" in value else None


def _is_studio_table(batch: Batch) -> bool:
    return "annotation_id" in batch.columns and bool({"annotator", "lead_time"} & {*batch.columns})


def _read_studio_table(batch: Batch, settings: ReadSettings) -> Batch:
    """Label Studio JSON-MIN and CSV: one row for each annotation, one column for each question."""
    others = [name for name in batch.columns if name not in _STUDIO]
    text = _longest(batch, others)
    among = [n for n in others if n != text and n not in (settings.text, settings.group)]
    label = asked(label_columns(batch, among), settings, batch, "the Label Studio export")
    if label is None or not settings.labelled:
        return replace(batch, text=text, label=label)
    values, _ = plain_values(batch.columns[label], batch.place)
    own = [[] if v is None else v if isinstance(v, list) else [v] for v in values]
    keys = batch.columns.get("id") or list(range(len(batch)))
    rows, answers, skipped = further_rows(keys, [[one] for one in own], [0] * len(batch))
    found = agreed(answers, skipped, batch.name)
    return replace(with_labels(batch, batch.columns, label, found.spread(rows)), text=text)


def _longest(batch: Batch, among: Sequence[str]) -> str | None:
    lengths = {n: sum(map(len, first_values(batch, n))) for n in among if holds(batch, n, str)}
    return max(lengths, key=lambda name: lengths[name], default=None)


def _is_prodigy(batch: Batch) -> bool:
    marks = {"_input_hash", "_task_hash", "_view_id", "accept", "options"}
    answers = set(map(str, first_values(batch, "answer")))
    return (
        bool(answers)
        and answers <= {"accept", "reject", "ignore"}
        and bool(marks & set(batch.columns))
    )


def _read_prodigy(batch: Batch, settings: ReadSettings) -> Batch:
    """Prodigy JSON lines: choice (accept and options), or one label a row to accept or reject."""
    said = batch.columns["answer"]
    if settings.label == "answer":
        ignored = [row for row, one in enumerate(said) if one == "ignore"]
        return replace(batch, label="answer", left_out=tuple(ignored))
    columns = dict(batch.columns)
    if holds(batch, "accept", list):
        names = _option_names(batch.column("options"))
        own = [[names.get(one, one) for one in of or ()] for of in columns.pop("accept")]
        columns.pop("options", None)
    elif "label" in columns:
        own = [[] if one is None else [one] for one in columns["label"]]
        distinct = {str(one) for of in own for one in of}
        if len(distinct) == 1 and "reject" in said and settings.labelled:
            raise DataError(
                f"{batch.name}: all rows of the Prodigy export ask about one label, "
                f"{distinct.pop()!r}: the rejected rows are the texts without it; read the answers "
                "as labels with --label answer"
            )
    else:
        if "spans" in columns and settings.labelled:
            raise DataError(
                f"{batch.name}: a Prodigy export with spans, not with labels of whole texts; "
                "export a textcat or choice data set"
            )
        return batch
    answers: list[Answers] = [
        [of] if one == "accept" else [] for of, one in zip(own, said, strict=True)
    ]
    skipped = [int(one != "accept") for one in said]
    keys: Sequence[Any] = range(len(batch))
    people = {*map(str, batch.column("_annotator_id")), *map(str, batch.column("_session_id"))}
    if "_input_hash" in columns and len(people - {"None"}) > 1 and settings.labelled:
        keys = columns["_input_hash"]
    rows, answers, skipped = further_rows(keys, answers, skipped)
    found = agreed(answers, skipped, batch.name, settings.labelled).spread(rows)
    text = "text" if "text" in columns else None
    return replace(with_labels(batch, columns, "label", found), text=text)


def _option_names(options: Sequence[Any]) -> dict[Any, str]:
    """Option id to its text; empty if a text is missing or stands for two options."""
    names: dict[Any, str] = {}
    for of in options:
        for one in filter(lambda option: isinstance(option, Mapping), of or ()):
            if names.setdefault(one.get("id"), one.get("text")) != one.get("text"):
                return {}
    usable = all(isinstance(text, str) and text for text in names.values())
    return names if usable and len({*names.values()}) == len(names) else {}


def _is_doccano(batch: Batch) -> bool:
    marks = {"Comments", "comments", "annotation_approver", "is_confirmed", "approved"}
    label = "label" if "label" in batch.columns else "labels"
    old = all(isinstance(one, Mapping) and "label" in one for of in
              first_values(batch, "annotations") if isinstance(of, list) for one in of)  # fmt: skip
    if holds(batch, "annotations", list) and old and holds(batch, "text", str):
        return True
    data = holds(batch, "data", str) and "text" not in batch.columns
    lists = holds(batch, label, list)
    if data:
        return lists or set(batch.columns) <= {"id", "data", "label", "meta", "Comments"}
    entities = holds(batch, "entities", list) and not {"cats", "label", "labels"} & {*batch.columns}
    return (lists or entities) and holds(batch, "text", str) and bool(marks & set(batch.columns))


def _read_doccano(batch: Batch, settings: ReadSettings) -> Batch:
    """Doccano JSON lines, of now and old ones (annotations with a user each), and CSV."""
    text = "text" if "text" in batch.columns else "data"
    findings = batch.findings
    if (confirmed := batch.columns.get("is_confirmed")) and not all(confirmed):
        message = (
            f"{batch.name}: {counted(sum(not one for one in confirmed), 'row')} not confirmed in "
            "Doccano kept: their labels have not been checked"
        )
        findings += (Finding("note", "not-confirmed", message),)
    batch = replace(batch, findings=findings, text=text)
    label = next((n for n in ("label", "labels") if n in batch.columns), "annotations")
    values = batch.columns.get(label, [])
    if label == "annotations" and not values:
        if settings.labelled and settings.label is None:
            raise DataError(
                f"{batch.name}: a Doccano export of entities, not of labels of whole texts; export "
                "a project for text classification"
            )
        return batch
    if settings.label not in (None, label, "label"):
        return batch
    if label == "annotations":
        answers: list[Answers] = []
        for of in values:
            by_user: dict[Any, list[Any]] = {}
            for one in of or ():
                by_user.setdefault(one.get("user"), []).append(one["label"])
            answers.append(list(by_user.values()))
        found = agreed(answers, [0] * len(batch), batch.name, settings.labelled)
        columns = {name: of for name, of in batch.columns.items() if name != label}
        return with_labels(batch, columns, "label", found)
    if holds(batch, label, str) and any("#" in str(value) for value in values):
        parts = [value.split("#") if isinstance(value, str) else value for value in values]
        return replace(batch, columns=batch.columns | {label: parts}, label=label)
    return replace(batch, label=label)


def _manifest_label(batch: Batch) -> str | None:
    """The label attribute of a SageMaker Ground Truth manifest: X, of which X-metadata tells."""
    return next((n for n in batch.columns if holds(batch, f"{n}-metadata", Mapping)), None)


def _read_manifest(batch: Batch, settings: ReadSettings) -> Batch:
    label = str(_manifest_label(batch))
    about = batch.columns[f"{label}-metadata"]
    names = [
        [*one["class-map"].values()] if one.get("class-map") else one.get("class-name")
        for one in (of or {} for of in about)
    ]
    columns = {name: of for name, of in batch.columns.items() if name != f"{label}-metadata"}
    return replace(batch, columns=columns | {label: names}, label=label, text="source")


def _read_lighttag(batch: Batch, settings: ReadSettings) -> Batch:
    answers = [
        [[one.get("classname")] for one in of or ()] for of in batch.columns["classifications"]
    ]
    found = agreed(answers, [0] * len(batch), batch.name, settings.labelled)
    text = "content" if "content" in batch.columns else None
    return replace(with_labels(batch, scalars(batch), "label", found), text=text)


def _is_chat(batch: Batch) -> bool:
    return holds_objects(batch, "messages") and all(
        sorted(str(one.get("role")) for one in of if one.get("role") != "system")
        == ["assistant", "user"]
        for of in first_values(batch, "messages")
    )


def _read_chat(batch: Batch, settings: ReadSettings) -> Batch:
    """Chat messages to fine-tune a language model: the user's text, the assistant's label."""
    said = [{one.get("role"): one.get("content") for one in of} for of in batch.columns["messages"]]
    columns = {
        "text": [of.get("user") for of in said],
        "label": [of.get("assistant") for of in said],
    }
    return replace(batch, columns={**scalars(batch), **columns}, text="text", label="label")


def _has_role(text: str, label: str, others: Sequence[str], batch: Batch) -> bool:
    there = batch.columns
    has = text in there and label in there and (not others or any(o in there for o in others))
    return has and (label != "cats" or holds(batch, label, Mapping, list, str))


def _read_role(text: str, label: str, batch: Batch, settings: ReadSettings) -> Batch:
    values = batch.columns[label]
    lines = any(isinstance(value, str) and "\n" in value.strip() for value in values)
    if lines:  # ATLAS.ti writes one code a line in a cell
        values = [v.strip().split("\n") if isinstance(v, str) else v for v in values]
    return replace(batch, columns=batch.columns | {label: values}, text=text, label=label)


TOOLS: Final = (
    Tool("Label Studio", _is_studio, _read_studio),
    Tool("Label Studio", _is_studio_table, _read_studio_table),
    Tool("Prodigy", _is_prodigy, _read_prodigy),
    Tool("Argilla", lambda batch: bool(argilla.questions_of(batch)), argilla.read_columns),
    Tool("Argilla", argilla.is_nested, argilla.read_nested),
    Tool(
        "Argilla",
        lambda batch: {"annotation", "annotation_agent"} <= set(batch.columns),
        argilla.read_records,
    ),
    Tool("Doccano", _is_doccano, _read_doccano),
    Tool(
        "SageMaker Ground Truth",
        lambda batch: "source" in batch.columns and _manifest_label(batch) is not None,
        _read_manifest,
    ),
    Tool("chat messages", _is_chat, _read_chat),
    Tool("LightTag", lambda batch: holds_objects(batch, "classifications"), _read_lighttag),
    *(
        Tool(name, partial(_has_role, text, label, others), partial(_read_role, text, label))
        for name, text, label, others in _ROLES
    ),
)
"""Recognizers in the order in which they are tried."""
