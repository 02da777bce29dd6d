"""Texts on which annotators differ as a file for a person to decide, and the decisions in the data.

A text without a decision keeps the label of the majority, and is left out if there is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from finetext.core.annotations import AnnotatedText, Annotations, majorities
from finetext.core.errors import DataError, FinetextError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.core.wording import counted, ends
from finetext.data.label_cells import Word, as_strings, understood, written
from finetext.data.read import read, source_columns
from finetext.data.workbook import cell_text
from finetext.data.write import IN_CELLS, form_of, write_table
from finetext.diagnosis.corrections import dataset_columns, read_list
from finetext.diagnosis.data_checks import Material
from finetext.evaluation.agreement import TENTATIVE, agreement_in

MOST_COLUMNS: Final = 20
"""Annotators up to which each has a column; with more, a column is an answer with its annotator."""
_OWN: Final = ("id", "text", "majority", "decision")
_MOST_SHOWN: Final = 10


@dataclass(frozen=True, eq=False)
class Decided:
    """One row for each text, with the label decided or of the majority.

    `decided` texts have a label that a person chose, `dropped` ones are removed, and `tied` ones
    are left out: they have neither a majority nor a decision.
    """

    columns: dict[str, list[Any]]
    decided: int
    dropped: int
    tied: int


def read_annotated(
    source: Any, annotators: Sequence[str] = (), settings: ReadSettings | None = None
) -> Dataset:
    """Read data with the answers of annotators, in rows or in columns.

    Args:
        source: anything that `finetext.read` takes.
        annotators: columns of labels, one for each annotator, by name; without them a column says
            who gave the label of a row.
        settings: how to read the data; with `annotators` the label column plays no part.

    Raises:
        DataError: the data cannot be read, or a column is missing.
    """
    settings = settings or ReadSettings()
    if not annotators:
        return read(source, settings=settings)
    if len(set(annotators)) < 2:
        raise DataError("name two columns of labels or more: --annotators coder1,coder2")
    plain = read(source, settings=replace(settings, label=None, labelled=False))
    answers = source_columns(
        source, annotators, plain.ids, replace(settings, label=None, labelled=False)
    )
    known = {"text": plain.texts, "group": plain.groups}
    known |= {"split": plain["split"]} if "split" in plain.table.column_names else {}
    rows: dict[str, list[Any]] = {name: [] for name in ("id", "label", "annotator", *known)}
    by_name = {name: as_strings(values) for name, values in answers.items()}
    _check_shared(by_name)
    for row, one in enumerate(plain.ids):
        given = [(name, own) for name, of in by_name.items() if (own := of[row]) is not None]
        for place, (name, own) in enumerate(given):
            rows["id"].append(f"{one} ({name})" if place else one)
            rows["label"].append(own)
            rows["annotator"].append(name)
            for column, values in known.items():
                rows[column].append(None if values is None else values[row])
    if plain.groups is None:
        del rows["group"]
    if not rows["id"]:
        raise DataError(f"the columns {', '.join(annotators)} hold no labels")
    melted = replace(
        settings, text="text", label="label", id="id", group="group" if "group" in rows else None,
        delimiter=None, header=None, encoding=None, sheet=None,
    )  # fmt: skip
    return replace(read(rows, settings=melted), description=plain.description)


def _check_shared(columns: Mapping[str, Sequence[str | None]]) -> None:
    """Refuse a column of labels that shares not even a word with the others."""
    words = {
        name: {word for cell in set(cells) for word in re.findall(r"\w+", (cell or "").casefold())}
        for name, cells in columns.items()
    }
    for name, own in words.items():
        rest = [other for other in words if other != name]
        if own and not own & set().union(*(words[other] for other in rest)):
            raise DataError(
                f"the column {name!r} shares no label with {', '.join(map(repr, rest))}, so they "
                "cannot be compared; name the columns in which people gave the same labels: "
                "--annotators coder1,coder2"
            )


def write_differing(
    found: Annotations,
    scheme: LabelScheme,
    path: Path,
    locale: str | None = None,
    keep_formulas: bool = False,
) -> tuple[Finding, ...]:
    """Write the texts on which annotators differ; return warnings, raise a DataError.

    Columns are `id`, `text`, the label of each annotator, `majority` (empty in a tie) and an empty
    `decision`. Texts without a majority are first. Cells that a spreadsheet would run have an
    apostrophe before them, unless `keep_formulas`.
    """
    differing = [of for of in found.texts if of.differ]
    differing.sort(key=lambda of: _majority(of, scheme) is not None)
    names, most = found.names, max((len(of.answers) for of in differing), default=0)
    columns: dict[str, list[Any]] = {
        "id": [of.id for of in differing],
        "text": [of.text for of in differing],
    }
    if names and len(names) <= MOST_COLUMNS:
        for name in names:
            column = f"annotator {name}" if name.strip().lower() in _OWN else name
            columns[column] = [
                written(given, scheme) if (given := dict(of.answers).get(name)) is not None else ""
                for of in differing
            ]
    else:
        for place in range(most):
            columns[f"answer {place + 1}"] = [
                f"{name}: {label}" if name else label
                for of in differing
                for name, label in [_answer(of, place, scheme)]
            ]
    majority = [_majority(of, scheme) for of in differing]
    columns["majority"] = ["" if label is None else label for label in majority]
    columns["decision"] = [""] * len(differing)
    return write_table(path, columns, locale or "en", keep_formulas)


def decide_texts(
    data: Dataset,
    reviewed: Path | None = None,
    new_labels: Sequence[str] = (),
    out: Path | None = None,
) -> Decided:
    """Return one row for each text, with the decision of the list or the label of the majority.

    The column `decision` of the list holds the right label (several, in a multi-label scheme,
    joined as in the other columns), `drop` to remove the text, or nothing. `out` is the file that
    the columns are for: in CSV and Excel several labels are one cell.

    Raises:
        DataError: the file is no such list, or does not match the data.
    """
    if data.scheme is None or data.annotations is None:
        raise DataError("no text of the data has two annotators, so there is nothing to decide")
    scheme = data.scheme
    added = [name for name in dict.fromkeys(new_labels) if name not in scheme.index]
    scheme = LabelScheme((*scheme.names, *added), scheme.multilabel)
    decisions = _decisions(reviewed, data.annotations, scheme) if reviewed else {}
    columns = dataset_columns(data, None)
    place = {one: row for row, one in enumerate(data.ids)}
    tied = [of for of in data.annotations.texts if of.id not in place]
    for of in tied:
        if isinstance(decisions.get(of.id), tuple):
            place[of.id] = len(columns["id"])
            more = {"id": of.id, "text": of.text, "label": None, "group": of.group}
            more["split"] = of.split
            for name, values in columns.items():
                values.append(more[name])
    for one, decision in decisions.items():
        if isinstance(decision, tuple):
            label = list(decision) if scheme.multilabel else decision[0]
            columns["label"][place[one]] = label
    if scheme.multilabel and out is not None and form_of(out) in IN_CELLS:
        columns["label"] = [written(labels, scheme) for labels in columns["label"]]
    dropped = {place.get(one) for one, word in decisions.items() if word is Word.DROP} - {None}
    kept = [row for row in range(len(columns["id"])) if row not in dropped]
    drops = sum(word is Word.DROP for word in decisions.values())
    return Decided(
        {name: [values[row] for row in kept] for name, values in columns.items()},
        decided=len(decisions) - drops,
        dropped=drops,
        tied=sum(of.id not in decisions for of in tied),
    )


def annotator_agreement(material: Material) -> list[Finding]:
    """Return how far annotators agree; a warning if labels are not reliable."""
    of = agreement_in(material.parts[0][1]) if material.parts else None
    if of is None:
        return []
    weak = of.alpha.high < TENTATIVE
    advice = (
        " Labels are not reliable below 0.667: define the classes more clearly, and decide the "
        "texts on which annotators differ: finetext agreement DATA --out differ.csv"
    )
    message = (
        f"{counted(of.texts, 'text')} of {of.total:,} were labeled by two or more of "
        f"{of.annotators} annotators (column {of.column!r}), who agree on {of.agreed.value:.0%} "
        f"[{of.agreed.low:.0%}, {of.agreed.high:.0%}] of them; Krippendorff's alpha "
        f"{of.alpha.value:.2f} {ends(of.alpha, '.2f')}.{advice if weak else ''}"
    )
    return [Finding("warning" if weak else "note", "annotator-agreement", message)]


def _majority(of: AnnotatedText, scheme: LabelScheme) -> str | None:
    most = majorities([given for _, given in of.answers], scheme.multilabel)
    return written(most[0], scheme) if len(most) == 1 else None


def _answer(of: AnnotatedText, place: int, scheme: LabelScheme) -> tuple[str, str]:
    if place >= len(of.answers):
        return "", ""
    name, given = of.answers[place]
    return name, written(given, scheme)


def _decisions(
    path: Path, found: Annotations, scheme: LabelScheme
) -> dict[str, tuple[str, ...] | Word]:
    """Return the decision on each text that has one, by id."""
    table = read_list(path, ("id", "text", "decision"), "list of texts to decide")
    texts = {of.id: of.text for of in found.texts}
    cells = [[cell or "" for cell in as_strings(of)] for of in table.columns.values()]
    first = 1 if path.suffix.lower() in (".jsonl", ".parquet") else 2  # a header is row 1
    decisions: dict[str, tuple[str, ...] | Word] = {}
    problems = []
    for number, (one, text, cell) in enumerate(zip(*cells, strict=True), start=first):
        if not (one or text or cell):
            continue
        there = texts.get(one)
        if there is None:
            problems.append(f"row {number}: no text with the id {one!r} has two annotators")
        elif text.split() not in (there.split(), cell_text(there).split()):
            problems.append(f"row {number}: the text of the id {one!r} is another in the data")
        elif cell.strip():
            try:
                word = understood(cell, scheme)
            except FinetextError as error:
                problems.append(f"row {number}: {error}")
                continue
            if word is not Word.OK and decisions.setdefault(one, word) != word:
                problems.append(f"row {number}: the id {one!r} has another decision above")
    if problems:
        more = len(problems) - _MOST_SHOWN
        shown = [*problems[:_MOST_SHOWN], *([f"and {counted(more, 'more row')}"] * (more > 0))]
        raise DataError(
            "\n".join([f"{path} does not match the data, so nothing is written:", *shown])
        )
    return decisions
