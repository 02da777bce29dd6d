"""Answers of annotators to one label a text, and the parts of the exports of annotation tools."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from finetext.core.budget import take_cells
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.columns import TEXT_NAMES, by_name
from finetext.data.label_cells import missing
from finetext.data.rows import Batch
from finetext.data.structured_cells import parsed_cell

_SAMPLE: Final = 200
Answers = list[list[Any]]
"""The labels of each annotator of a text."""


def first_values(batch: Batch, column: str) -> list[Any]:
    """Return the values of a column in the first rows, without those that are missing."""
    return [value for value in batch.column(column)[:_SAMPLE] if not missing(value)]


def holds(batch: Batch, column: str, *kinds: type) -> bool:
    """Whether the first values of a column, one at least, are all of some types."""
    values = first_values(batch, column)
    return bool(values) and all(isinstance(value, kinds) for value in values)


def holds_objects(batch: Batch, column: str) -> bool:
    """Whether the first values of a column, one at least, are all lists of objects."""
    return holds(batch, column, list) and all(
        isinstance(one, Mapping) for of in first_values(batch, column) for one in of
    )


@dataclass
class Answered:
    """The labels of n texts, put together from the answers of annotators.

    Attributes:
        labels: (n,) {"choices": label or list of labels}, or None; the bare label or list if
            labels are not required.
        left_out: rows without an answer that counts.
    """

    labels: list[Any]
    left_out: list[int]
    findings: list[Finding]

    def spread(self, rows: Sequence[Sequence[int]]) -> Answered:
        """Return the answers for all rows of a table; the n texts have some rows each.

        The first row of a text has its label; the others are left out.
        """
        labels: list[Any] = [None] * sum(map(len, rows))
        further = [row for of in rows for row in of[1:]]
        for of, label in zip(rows, self.labels, strict=True):
            for row in of:
                labels[row] = label
        out = {row for at in self.left_out for row in rows[at]} | set(further)
        message = f"{counted(len(further), 'row')} merged into the first row with the same text"
        note = [Finding("note", "answers-joined", message)] if further else []
        return Answered(labels, sorted(out), self.findings + note)


def agreed(
    answers: Sequence[Answers], skipped: Sequence[int], name: str, required: bool = True
) -> Answered:
    """Return the label of each text that most annotators gave.

    Args:
        answers: for each text the labels of each annotator who answered.
        skipped: for each text the number of answers that do not count, such as rejected ones.
        name: the source, for findings.
        required: whether labels are needed; else those without a majority are missing.

    With one label an answer, the most frequent one; with several, those of more than half of the
    annotators. Where two are equally frequent, or a label has exactly half, the text is left out.
    """
    several = any(len(own) > 1 for of in answers for own in of)
    labels: list[Any] = []
    left_out, tied, split = [], 0, 0
    for row, of in enumerate(answers):
        named = [list(dict.fromkeys(own)) for own in of]
        label, tie = _majority(named, several)
        split += len({tuple(sorted(map(str, own))) for own in named}) > 1
        tied += tie
        label = None if tie or (label in (None, []) and not several) else label
        labels.append({"choices": label} if required and label is not None else label)
        if tie or (not of and skipped[row]):
            left_out.append(row)
    findings = []
    if out := sum(skipped):
        rows = sum(not of and bool(n) for of, n in zip(answers, skipped, strict=True))
        message = (
            f"{name}: {counted(out, 'answer')} ignored (rejected, skipped, discarded or draft); "
            f"{counted(rows, 'text')} without another answer left out"
        )
        findings.append(Finding("warning", "answers-left-out", message))
    if split:
        message = (
            f"{name}: the annotators disagree on {counted(split, 'text')}; the majority label is "
            "used" + (f"; {counted(tied, 'text')} without a majority left out" if tied else "")
        )
        findings.append(Finding("warning", "annotators-differ", message))
    return Answered(labels, left_out, findings)


def _majority(answers: Answers, several: bool) -> tuple[Any, bool]:
    """The label or labels of most answers, and whether there is a tie instead."""
    if not answers:
        return None, False
    if several:
        counts = Counter(label for own in answers for label in own)
        tie = any(2 * count == len(answers) for count in counts.values())
        return [label for label, count in counts.items() if 2 * count > len(answers)], tie
    (first, times), *others = Counter(own[0] if own else None for own in answers).most_common()
    return first, bool(others) and others[0][1] == times


def with_labels(
    batch: Batch, columns: Mapping[str, list[Any]], label: str | None, answered: Answered | None
) -> Batch:
    """Return a batch of other columns, with the labels of the question that is asked."""
    findings = batch.findings
    left_out: tuple[int, ...] = ()
    columns = dict(columns)
    if answered is not None and label is not None:
        columns[label] = answered.labels
        findings += tuple(answered.findings)
        left_out = tuple(answered.left_out)
    return replace(batch, columns=columns, label=label, findings=findings, left_out=left_out)


def asked(questions: Sequence[str], settings: ReadSettings, batch: Batch, tool: str) -> str | None:
    """Return the question that labels are read from, None if labels are not required and unclear.

    Raises:
        DataError: there are several, and the settings name none.
    """
    if found := [name for name in questions if name in settings.label_columns]:
        return found[0]
    if settings.label_columns or not questions:
        return None
    if len(questions) == 1:
        return questions[0]
    if not settings.labelled:
        return None
    raise DataError(
        f"{batch.name}: {tool} has {len(questions)} questions that could be the label: "
        f"{', '.join(map(repr, questions))}; name one with --label {questions[0]}"
    )


def scalars(batch: Batch) -> dict[str, list[Any]]:
    """Return the columns that hold neither objects nor lists."""
    return {
        name: values for name, values in batch.columns.items()
        if not any(isinstance(v, Mapping | list) for v in values[:_SAMPLE])
    }  # fmt: skip


def fields_of(objects: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the columns of a column of objects: key to values, None where one lacks it."""
    keys = dict.fromkeys(key for one in objects if isinstance(one, Mapping) for key in one)
    take_cells(len(objects), len(keys), "the objects in a column")
    return {
        str(key): [one.get(key) if isinstance(one, Mapping) else None for one in objects]
        for key in keys
    }


def text_among(columns: Mapping[str, Sequence[Any]]) -> str | None:
    """Return the column of texts: one with a usual name, or the only one of strings."""
    strings = [n for n, v in columns.items() if any(isinstance(x, str) for x in v[:_SAMPLE])]
    return by_name(TEXT_NAMES, strings) or (strings[0] if len(strings) == 1 else None)


def label_columns(batch: Batch, among: Iterable[str]) -> list[str]:
    """Return the columns that could be answers: objects and lists, or few values that recur."""
    found = []
    for name in among:
        values = first_values(batch, name)
        strings = [v for v in values if isinstance(v, str)]
        structured = any(
            isinstance(value, Mapping | list | tuple)
            or (isinstance(value, str) and parsed_cell(value) is not None)
            for value in values
        )
        if structured or (values and len({*map(str, values)}) <= max(2, len(values) / 3)
                          and all(len(v) <= 60 for v in strings)):  # fmt: skip
            found.append(name)
    return found


def further_rows(
    keys: Sequence[Any], answers: Sequence[Answers], skipped: Sequence[int]
) -> tuple[list[list[int]], list[Answers], list[int]]:
    """Return the rows of each text, those with the same key, with all their answers."""
    by_key: defaultdict[Any, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        by_key[key].append(row)
    rows = list(by_key.values())
    joined = [[one for row in of for one in answers[row]] for of in rows]
    return rows, joined, [sum(skipped[row] for row in of) for of in rows]
