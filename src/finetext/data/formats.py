"""One file to named columns, by its ending where that settles the form, and else by its content.

Line formats have one text per line, with its label before or after it, or without one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from textwrap import shorten
from typing import Any, Final

from finetext.core.budget import take_lines
from finetext.core.errors import DataError, NoRowsError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.data.columns import LABEL_NAMES, TEXT_NAMES, plain_name
from finetext.data.delimited import parse_delimited, sniff, spoken, stated_delimiter
from finetext.data.delimited_records import count_lines
from finetext.data.excel import parse_excel
from finetext.data.headers import looks_headed
from finetext.data.parquet import parse_parquet
from finetext.data.records import parse_json, parse_json_lines
from finetext.data.rows import BadRow, Batch, File, Reject
from finetext.data.skipped_rows import skipped_findings
from finetext.data.sources import decode
from finetext.data.webanno import is_webanno, parse_webanno

DELIMITED: Final = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
EXCEL: Final = {".xlsx", ".xlsm"}
JSON_LINES: Final = {".jsonl", ".ndjson"}
TABLE_SUFFIXES: Final = {*DELIMITED, *EXCEL, *JSON_LINES, ".json", ".parquet", ".txt"}
TEXT_A_LINE: Final = "one text a line"
LABEL_TAKEN_OFF: Final = "label-taken-off"
WHOLE_LINES: Final = "whole-lines"
_FASTTEXT: Final = "__label__"
_LABELED: Final = re.compile(rf"{_FASTTEXT}(\S*)\s*(?:, )?")
_SAMPLE: Final = 1 << 18
_MOST_LABELS: Final = 200
_EDGES: Final = (("\t", "first", 3), ("\t", "last", 3), (";", "last", 3), (" ", "first", 10))
"""Separator, the side of the label, and the fewest rows per label on average."""


def parse_table(file: File, settings: ReadSettings) -> Batch:
    """Read a file, no longer gzipped, in any of the known formats."""
    data = file.load()
    if not data.strip():
        raise NoRowsError(f"{file.name} is empty")
    suffix = file.path.suffix.lower()
    if suffix not in EXCEL:
        refuse_sheet(file.name, settings)
    if suffix == ".parquet" or data.startswith(b"PAR1"):
        return parse_parquet(data, file.name)
    if suffix in EXCEL:
        return parse_excel(data, file.name, settings)
    if suffix == ".xls":
        raise DataError(f"{file.name} is in the old Excel format; save it as .xlsx or .csv")
    text, findings = decode(data, file.name, settings.encoding)
    if not text.strip():
        raise NoRowsError(f"{file.name} is empty")
    batch = parse_text(text, file.name, suffix, settings)
    skipped = skipped_findings(file.name, batch.blank, batch.repeats, batch.footers)
    return replace(batch, findings=findings + batch.findings + skipped)


def refuse_sheet(name: str, settings: ReadSettings) -> None:
    """Raise a DataError if a sheet is requested of a file that has none."""
    if settings.sheet is not None:
        raise DataError(
            f"{name} has no sheet {settings.sheet!r}, as it is no Excel file (.xlsx); leave "
            "--sheet out"
        )


def parse_text(
    text: str,
    name: str,
    suffix: str,
    settings: ReadSettings,
    whole: bool = True,
    reject: Reject | None = None,
) -> Batch:
    """Read a text file into named columns."""
    take_lines(text, name)
    if suffix == ".json":
        return parse_json(text, name, reject, settings.columns)
    if suffix in JSON_LINES or (suffix not in DELIMITED and text.lstrip().startswith('{"')):
        return parse_json_lines(text, name, reject=reject)
    if is_webanno(text):
        return parse_webanno(text, name, settings)
    if text.lstrip().startswith(_FASTTEXT):
        batch = _parse_fasttext(text, name, reject=reject)
        return _without_labels(batch) if settings.whole_lines else batch
    share, delimiter = 1.0, settings.delimiter or stated_delimiter(text) or None
    if delimiter is None:
        delimiter, share = sniff(text, DELIMITED.get(suffix), whole)
        if suffix not in DELIMITED:
            lines = _Lines(text, name, delimiter if share >= 0.9 else None, settings, whole)
            return lines.parse(reject)
        if delimiter is None or share < 0.5:
            delimiter = DELIMITED[suffix]
    return parse_delimited(text, name, delimiter, settings, whole, reject)


@dataclass(frozen=True)
class _Lines:
    """A file whose ending promises nothing: even fields, a label at the edge, or texts alone."""

    text: str
    name: str
    delimiter: str | None
    settings: ReadSettings
    whole: bool = True

    def parse(self, reject: Reject | None = None) -> Batch:
        """The form that fits all lines, if there is one; only then bad rows are rejected."""
        delimiter, settings = self.delimiter, self.settings
        cells = self.text.lstrip().split("\n", 1)[0].split(delimiter or "\n")
        headed = looks_headed([[cell.strip().strip('"') for cell in cells]], settings.columns)
        stated = settings.header is not None or bool(settings.columns)
        has_fields = (headed and len(cells) > 1) or stated
        if settings.whole_lines and not has_fields:
            return self._parse_whole_lines()
        if not settings.labelled and (delimiter is None or (delimiter == "," and not has_fields)):
            return _parse_texts(self.name, self.text)
        sure = settings.labelled or has_fields or delimiter == "\t"
        uneven = None
        if delimiter is not None:
            try:
                batch = self._fields(delimiter)
                if sure or any(map(_are_labels, batch.columns.values())):
                    return self._fields(delimiter, reject) if reject else batch
            except DataError as error:
                uneven = error
        only = None if settings.labelled else delimiter
        edge = _parse_edge_label(self.text, self.name, only, reject)
        if delimiter is not None and uneven is not None and edge is None and sure:
            if reject is None:
                raise uneven
            return self._fields(delimiter, reject)
        return edge or _parse_texts(self.name, self.text)

    def _fields(self, delimiter: str, reject: Reject | None = None) -> Batch:
        return parse_delimited(self.text, self.name, delimiter, self.settings, self.whole, reject)

    def _parse_whole_lines(self) -> Batch:
        """Read lines as texts, unless a tab in each of them parts few different values from it."""
        batches = [_parse_edge_label(self.text, self.name, "\t")]
        with suppress(DataError):
            if self.delimiter == "\t":
                batches.insert(0, replace(self, whole=True)._fields("\t"))
        for batch in batches:
            if batch is not None and any(map(_are_labels, batch.columns.values())):
                return _without_labels(batch)
        batch = _parse_texts(self.name, self.text)
        return replace(batch, findings=(*batch.findings, *self._possible_labels()))

    def _possible_labels(self) -> tuple[Finding, ...]:
        """A warning if training would find labels in the first of the lines."""
        text = self.text
        sample = text[:_SAMPLE].rpartition("\n")[0] if len(text) > _SAMPLE else text
        settings = replace(self.settings, labelled=True, whole_lines=False)
        batch = Batch(self.name, {}, "")
        with suppress(DataError):
            batch = replace(self, text=sample, settings=settings, whole=True).parse()
        labels = [column for column, values in batch.columns.items() if _are_labels(values)]
        if len(batch.columns) < 2 or not labels:
            return ()
        message = (
            f"{self.name}: its lines are taken whole, and none of them is a test row, but training "
            f"would read them as {batch.form} ({_shown(batch.columns[labels[0]])}); if these are "
            f"labels, remove them, or name them to adapt and pretrain with --set "
            f"data.label={labels[0]}"
        )
        return (Finding("warning", WHOLE_LINES, message),)


def _without_labels(batch: Batch) -> Batch:
    """Lines with a note on what is no part of the texts."""
    labels = batch.columns.get("label") or next(filter(_are_labels, batch.columns.values()))
    flat = (part for value in labels for part in (value if isinstance(value, list) else [value]))
    shown = _shown(list(flat))
    message = f"{batch.name}: read as {batch.form}, so these are no part of the texts: {shown}"
    return replace(batch, findings=(*batch.findings, Finding("note", LABEL_TAKEN_OFF, message)))


def _shown(labels: Sequence[str]) -> str:
    known = dict.fromkeys(label.strip() for label in labels)
    return shorten(", ".join(map(repr, known)), 60, placeholder=" ...")


def _are_labels(values: Sequence[str], rows_each: int = 3) -> bool:
    """Whether values are labels: short, never missing, each in `rows_each` rows on average."""
    distinct = set(values)
    most = min(_MOST_LABELS, max(2, len(values) // rows_each), len(values) - 1)
    return 2 <= len(distinct) <= most and all(map(_could_label, distinct))


def _could_label(value: str) -> bool:
    return value != "" and len(value) <= 40 and value.count(" ") <= 3


def _numbered_lines(text: str, first: int = 1) -> tuple[dict[int, str], int]:
    """The lines that are not blank by their numbers from `first`, and how many are."""
    if first == 1 and "\n" not in text:
        text = text.replace("\r", "\n")
    lines = enumerate(text.split("\n"), start=first)
    kept = {number: line.removesuffix("\r") for number, line in lines if line.strip()}
    return kept, count_lines(text) - len(kept)


def _parse_texts(name: str, text: str, first: int = 1, *_: bool) -> Batch:
    """Read every line that is not blank as a text without a label."""
    lines, blank = _numbered_lines(text, first)
    texts, more = list(lines.values()), partial(_parse_texts, name)
    return Batch(name, {"text": texts}, TEXT_A_LINE, list(lines), proceed=more, blank=blank)


def _labeled_lines(
    split: Callable[[str], tuple[Any, str]],
    form: tuple[str, str, str],
    reject: Reject | None,
    text: str,
    first: int,
    *_: bool,
) -> Batch:
    """Lines as labels and texts; `form` is the file, its format, and what a bad line lacks."""
    name, shown, lacks = form
    every, blank = _numbered_lines(text, first)
    numbers: list[int] = []
    columns: dict[str, list[Any]] = {"label": [], "text": []}
    for number, line in every.items():
        label, rest = split(line)
        if label:
            numbers.append(number)
            columns["label"].append(label)
            columns["text"].append(rest)
        elif reject is None:
            raise DataError(f"{name}, line {number}: {lacks}")
        else:
            reject(BadRow(number, lacks, line))
    return Batch(name, columns, shown, numbers, blank=blank)


def _parse_fasttext(text: str, name: str, first: int = 1, reject: Reject | None = None) -> Batch:
    """Read `__label__a __label__b the text`, one per line, numbered from `first`."""

    def split(line: str) -> tuple[list[str], str]:
        own, rest = [], line.strip()
        end = 0
        while found := _LABELED.match(rest, end):
            own.append(found[1].removesuffix(","))
            end = found.end()
        return own, rest[end:]

    form = (name, "fastText lines", f"no {_FASTTEXT} at the beginning")
    batch = _labeled_lines(split, form, reject, text, first)
    labels = batch.columns["label"]
    if not any(len(own) > 1 for own in labels):
        batch.columns["label"] = [own[0] for own in labels]
    return replace(
        batch, proceed=lambda more, line, last: _parse_fasttext(more, name, line, reject)
    )


def _parse_edge_label(
    text: str, name: str, only: str | None = None, reject: Reject | None = None
) -> Batch | None:
    """Read lines that hold a text and, before or after it, one of a few labels."""
    lines, blank = _numbered_lines(text)
    for separator, side, rows_each in _EDGES:
        if only not in (None, separator):
            continue
        pairs = [_split_at(separator, side, False, line) for line in lines.values()]
        names = tuple(map(plain_name, pairs[0]))
        headed = names[0] in LABEL_NAMES and names[1] in TEXT_NAMES
        labels = [label for label, _ in pairs[headed:]]
        if not _are_labels(labels, rows_each):
            continue
        where = "before" if side == "first" else "after"
        between = f"{spoken(separator)} between"
        split = partial(_split_at, separator, side, True)
        form = (name, "", f"no label {where} the text, {between}, as in the lines above")
        return Batch(
            name, {"label": labels, "text": [part for _, part in pairs[headed:]]},
            f"lines of {'label text' if side == 'first' else 'text label'}, {between}",
            list(lines)[headed:], blank=blank,
            proceed=partial(_labeled_lines, split, form, reject),
        )  # fmt: skip
    return None


def _split_at(separator: str, side: str, strict: bool, line: str) -> tuple[str, str]:
    """Label and text of a line; an empty label without separator, or if strict and no label."""
    if side == "first":
        label, found, text = line.partition(separator)
    else:
        text, found, label = line.rpartition(separator)
    if not found:
        return "", line
    return "" if strict and not _could_label(label.strip()) else label.strip(), text
