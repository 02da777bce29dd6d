"""Rows of several annotators: what each said of a text, and one row with the majority label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetext.core.annotations import AnnotatedText, Annotations, majorities
from finetext.core.errors import DataError
from finetext.core.types import Dataset, Finding
from finetext.core.wording import counted
from finetext.data.label_cells import as_strings
from finetext.data.labels import Labels
from finetext.data.rows import ROWS_SHOWN


def annotations_in(
    columns: Mapping[str, Sequence[Any]], labels: Labels, annotators: Sequence[Any], column: str
) -> tuple[Annotations | None, list[list[int]]]:
    """Return the texts that two or more annotators labeled, None without any, and their rows.

    A text that occurs in two ready-made splits counts as two. An annotator who labeled a text twice
    counts once, with the last label; one who left the label of a text blank does not count.
    """
    splits, groups = columns.get("split"), columns.get("group")
    by_text: dict[tuple[str, Any], list[int]] = {}
    for row, text in enumerate(columns["text"]):
        if str(text or "").strip():
            by_text.setdefault((str(text), splits and splits[row]), []).append(row)
    names = as_strings(annotators)
    texts, rows = [], []
    for (text, split), own in by_text.items():
        answers = {
            name: tuple(sorted(given))
            for row in own
            if (name := names[row]) is not None and (given := labels[row]) is not None
        }
        if len(answers) < 2:
            continue
        own.sort(key=lambda row: labels[row] is None)  # the row that is kept has a label
        group = None if groups is None else as_strings([groups[own[0]]])[0]
        one = str(columns["id"][own[0]])
        texts.append(AnnotatedText(one, text, tuple(answers.items()), group, split))
        rows.append(own)
    return Annotations(column, tuple(texts), len(by_text)) if texts else None, rows


def merged(
    found: Annotations, rows: Sequence[Sequence[int]], labels: Labels, multilabel: bool
) -> tuple[Labels, list[bool], list[Finding]]:
    """Return labels with the majority in the first row of each text, and which rows to keep.

    The further rows of a text are left out, and so are texts without a majority.
    """
    labels, keep, tied = list(labels), [True] * len(labels), list[str]()
    for of, own in zip(found.texts, rows, strict=True):
        most = majorities([given for _, given in of.answers], multilabel)
        labels[own[0]] = list(most[0])
        tied += [of.id] if len(most) > 1 else []
        for row in own if len(most) > 1 else own[1:]:
            keep[row] = False
    if not any(keep):
        raise DataError(
            f"the annotators (column {found.column!r}) agree on no text, so no text has a majority "
            "label; check that they used the same labels, or write the right label of each text "
            "into one column, and name that with --label"
        )
    differ = sum(of.differ for of in found.texts)
    further = sum(len(own) - 1 for own in rows)
    joined = f"{counted(further, 'row')} merged into the first row with the same text"
    findings = [Finding("note", "answers-joined", joined)]
    if differ:
        left = f"; {counted(len(tied), 'text')} without a majority left out" if tied else ""
        message = (
            f"the annotators (column {found.column!r}) disagree on {counted(differ, 'text')} of "
            f"{len(rows):,} that two or more labeled; the majority label is used{left}. To "
            "decide them: finetext agreement DATA --out differ.csv"
        )
        findings.append(Finding("warning", "annotators-differ", message, tuple(tied[:ROWS_SHOWN])))
    return labels, keep, findings


def repeated_texts(data: Dataset) -> Annotations | None:
    """Return the texts that occur several times, with the label of each time; None without any."""
    if data.scheme is None:
        return None
    several = data.scheme.multilabel
    by_text: dict[str, list[int]] = {}
    for row, text in enumerate(data.texts):
        if key := " ".join(text.split()):
            by_text.setdefault(key, []).append(row)

    def answer(row: int) -> tuple[str, tuple[str, ...]]:
        return "", tuple(sorted(data.labels[row])) if several else (data.labels[row],)

    repeated = [own for own in by_text.values() if len(own) > 1]
    texts = [
        AnnotatedText(data.ids[own[0]], data.texts[own[0]], tuple(map(answer, own)))
        for own in repeated
    ]
    return Annotations(None, tuple(texts), len(by_text)) if texts else None
