"""One file to one table, by its ending where that says enough and by its content where not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from textwrap import shorten
from typing import Final

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import LABEL_NAMES, TEXT_NAMES, plain_name
from finetext.data.delimited import blank_lines, looks_headed, parse_delimited, sniff, spoken
from finetext.data.records import parse_excel, parse_json, parse_json_lines, parse_parquet
from finetext.data.rows import Aside, BadRow, Batch, File
from finetext.data.sources import decode

DELIMITED: Final = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
EXCEL: Final = {".xlsx", ".xlsm"}
JSON_LINES: Final = {".jsonl", ".ndjson"}
_SAMPLE: Final = 1 << 18
_SHOWN: Final = 60
"""Characters of labels that a message shows."""
TABLE_SUFFIXES: Final = {*DELIMITED, *EXCEL, *JSON_LINES, ".json", ".parquet", ".txt"}


def parse_table(file: File, settings: ReadSettings) -> Batch:
    """Read a file, no longer gzipped, into named columns.

    Args:
        file: a table in any of the known formats.
        settings: delimiter, header and encoding, where they are given.

    Raises:
        DataError: the file is empty, broken or in no known format.
        MissingExtraError: an Excel file, and openpyxl is not installed.
    """
    data = file.load()
    if not data.strip():
        raise DataError(f"{file.name} is empty")
    suffix = file.path.suffix.lower()
    if suffix == ".parquet" or data.startswith(b"PAR1"):
        return parse_parquet(data, file.name)
    if suffix in EXCEL:
        return parse_excel(data, file.name, settings)
    if suffix == ".xls":
        raise DataError(f"{file.name} is in the old Excel format; save it as .xlsx or .csv")
    text, findings = decode(data, file.name, settings.encoding)
    if not text.strip():
        raise DataError(f"{file.name} is empty")
    table = parse_text(text, file.name, suffix, settings)
    return replace(table, findings=findings + table.findings)


def parse_text(
    text: str,
    name: str,
    suffix: str,
    settings: ReadSettings,
    whole: bool = True,
    aside: Aside | None = None,
) -> Batch:
    """Read a text file into named columns.

    Args:
        text: the file, or lines at its beginning.
        name: what messages call the file.
        suffix: its ending in lower case, which says what to expect.
        settings: delimiter and header, where they are given.
        whole: whether the text is the whole file; if not, the table says how to proceed.
        aside: takes the rows that cannot be read, which otherwise are an error.

    Raises:
        DataError: the text is in no known form.
    """
    if suffix == ".json":
        return parse_json(text, name, aside)
    if suffix in JSON_LINES or (suffix not in DELIMITED and text.lstrip().startswith('{"')):
        return parse_json_lines(text, name, aside=aside)
    if text.lstrip().startswith(FASTTEXT):
        table = parse_fasttext(text, name, aside=aside)
        return taken_off(table) if settings.whole_lines else table
    if settings.delimiter:
        return _delimited(text, name, settings.delimiter, settings, whole, aside)
    delimiter, share = sniff(text, DELIMITED.get(suffix), whole)
    if suffix not in DELIMITED:
        delimiter = delimiter if share >= 0.9 else None
        return _parse_lines(text, name, delimiter, settings, whole, aside)
    if delimiter is None or share < 0.5:
        delimiter = DELIMITED[suffix]
    return _delimited(text, name, delimiter, settings, whole, aside)


def _parse_lines(
    text: str,
    name: str,
    delimiter: str | None,
    settings: ReadSettings,
    whole: bool,
    aside: Aside | None = None,
) -> Batch:
    """Read a file whose ending promises nothing: even fields, an edge label, or texts alone.

    The form is the one that fits all lines, if there is one; only then bad rows are set aside.
    """
    told = _is_told(text, delimiter, settings)
    if settings.whole_lines and not told:
        return _parse_whole_lines(text, name, delimiter, settings)
    if not settings.labelled and (delimiter is None or (delimiter == "," and not told)):
        return parse_texts(text, name)
    sure = settings.labelled or told or delimiter == "\t"
    uneven = None
    if delimiter is not None:
        try:
            table = _delimited(text, name, delimiter, settings, whole)
            if sure or any(map(is_closed, table.columns.values())):
                return _delimited(text, name, delimiter, settings, whole, aside) if aside else table
        except DataError as error:
            uneven = error
    edge = parse_edge_label(text, name, None if settings.labelled else delimiter, aside)
    if delimiter is not None and uneven is not None and edge is None and sure:
        if aside is None:
            raise uneven
        return _delimited(text, name, delimiter, settings, whole, aside)
    return edge or parse_texts(text, name)


def _parse_whole_lines(
    text: str, name: str, delimiter: str | None, settings: ReadSettings
) -> Batch:
    """Read lines as texts, unless a tab in each of them parts few different values from it."""
    tables: list[Batch | None] = []
    if delimiter == "\t":
        with suppress(DataError):
            tables.append(_delimited(text, name, "\t", settings, whole=True))
    tables.append(parse_edge_label(text, name, "\t"))
    for table in tables:
        if table is not None and any(map(is_closed, table.columns.values())):
            return taken_off(table)
    table = parse_texts(text, name)
    might_be = _other_reading(text, name, delimiter, settings)
    return replace(table, findings=(*table.findings, *might_be))


def _other_reading(
    text: str, name: str, delimiter: str | None, settings: ReadSettings
) -> tuple[Finding, ...]:
    """A warning if training would find labels in the first of the lines."""
    sample = text[:_SAMPLE].rpartition("\n")[0] if len(text) > _SAMPLE else text
    settings = replace(settings, labelled=True, whole_lines=False)
    try:
        table = _parse_lines(sample, name, delimiter, settings, whole=True)
    except DataError:
        return ()
    labels = [column for column, values in table.columns.items() if is_closed(values)]
    if len(table.columns) < 2 or not labels:
        return ()
    shown = _shown(table.columns[labels[0]])
    message = (
        f"{name}: its lines are taken whole, and none of them is a test row, but training would "
        f"read them as {table.form} ({shown}); if these are "
        f"labels, take them off, or tell adapt and pretrain by --set data.label={labels[0]}"
    )
    return (Finding("warning", WHOLE_LINES, message),)


def taken_off(table: Batch) -> Batch:
    """A table of lines, with a note on what is no part of the texts."""
    labels = table.columns.get("label") or next(filter(is_closed, table.columns.values()))
    flat = (part for value in labels for part in (value if isinstance(value, list) else [value]))
    message = f"{table.name}: read as {table.form}, so these are no part of the texts: "
    message += _shown(list(flat))
    note = Finding("note", LABEL_TAKEN_OFF, message)
    return replace(table, findings=(*table.findings, note))


def _shown(labels: Sequence[str]) -> str:
    """Some of the labels, for a message."""
    known = dict.fromkeys(label.strip() for label in labels)
    return shorten(", ".join(map(repr, known)), _SHOWN, placeholder=" ...")


def _is_told(text: str, delimiter: str | None, settings: ReadSettings) -> bool:
    """Whether the user, or a header of known names, says that lines are fields, not mere texts."""
    cells = text.lstrip().split("\n", 1)[0].split(delimiter or "\n")
    headed = looks_headed([[cell.strip().strip('"') for cell in cells]], settings.columns)
    return (headed and len(cells) > 1) or settings.header is not None or bool(settings.columns)


def _delimited(
    text: str,
    name: str,
    delimiter: str,
    settings: ReadSettings,
    whole: bool,
    aside: Aside | None = None,
) -> Batch:
    if len(delimiter) != 1:
        raise DataError(f"the delimiter must be one character, not {delimiter!r}")
    return parse_delimited(text, name, delimiter, settings, whole, aside)


FASTTEXT: Final = "__label__"
TEXT_A_LINE: Final = "one text a line"
LABEL_TAKEN_OFF: Final = "label-taken-off"
"""Code of the note that lines of a corpus are read without their labels."""
WHOLE_LINES: Final = "whole-lines"
"""Code of the warning that lines of a corpus are taken whole though they may have labels."""
_FORMS: Final = (("\t", "first", 3), ("\t", "last", 3), (";", "last", 3), (" ", "first", 10))
_MOST_LABELS: Final = 200


def numbered_lines(
    text: str, name: str, first: int = 1
) -> tuple[list[int], list[str], tuple[Finding, ...]]:
    """The lines that are not blank, with their numbers from `first`, and a note on those that are.

    Only a line feed ends a line, or a carriage return in a file without line feeds.
    """
    if first == 1 and "\n" not in text:
        text = text.replace("\r", "\n")
    kept = [
        (number, line.removesuffix("\r"))
        for number, line in enumerate(text.split("\n"), start=first)
        if line.strip()
    ]
    note = blank_lines(text.rstrip("\r\n").count("\n") + 1 - len(kept), name)
    return [number for number, _ in kept], [line for _, line in kept], note


def parse_fasttext(text: str, name: str, first: int = 1, aside: Aside | None = None) -> Batch:
    """Read `__label__a __label__b the text`, one a line.

    Args:
        text: lines.
        name: what messages call the file.
        first: the number of the first line.
        aside: takes the lines without a label, which otherwise are an error.

    Raises:
        DataError: a line does not begin with a label.
    """
    every, lines, note = numbered_lines(text, name, first)
    numbers, labels, texts = [], [], []
    for number, line in zip(every, lines, strict=True):
        own, rest = [], line.strip()
        while rest.startswith(FASTTEXT):
            head, *tail = rest.split(None, 1)
            own.append(head.removeprefix(FASTTEXT).removesuffix(","))
            rest = (tail[0] if tail else "").removeprefix(", ")
        if not own:
            _refuse(number, line, f"no {FASTTEXT} at the beginning", name, aside)
            continue
        numbers.append(number)
        labels.append(own)
        texts.append(rest)
    several = any(len(own) > 1 for own in labels)
    columns = {"label": labels if several else [own[0] for own in labels], "text": texts}
    return Batch(
        name, columns, "fastText lines", numbers, findings=note,
        proceed=lambda more, line, last: parse_fasttext(more, name, line, aside),
    )  # fmt: skip


def _refuse(number: int, line: str, reason: str, name: str, aside: Aside | None) -> None:
    """Set a line aside, or raise a `DataError` where nobody takes it."""
    if aside is None:
        raise DataError(f"{name}, line {number}: {reason}")
    aside(BadRow(number, reason, line))


def parse_edge_label(
    text: str, name: str, only: str | None = None, aside: Aside | None = None
) -> Batch | None:
    """Read lines that hold a text and, before or after it, one of a few labels.

    Args:
        text: the file, or lines at its beginning.
        name: what messages call the file.
        only: the separator to try; None tries tab, semicolon and space.
        aside: takes further lines that do not fit, which otherwise are an error.

    Returns:
        the columns label and text, or None if no form fits all lines.
    """
    numbers, lines, note = numbered_lines(text, name)
    for separator, side, rows_each in _FORMS:
        if only not in (None, separator):
            continue
        pairs = [_split_at(line, separator, side) for line in lines]
        names = pairs[0]
        headed = plain_name(names[0]) in LABEL_NAMES and plain_name(names[1]) in TEXT_NAMES
        body = pairs[1:] if headed else pairs
        if not is_closed([label for label, _ in body], rows_each):
            continue
        columns = {"label": [label for label, _ in body], "text": [part for _, part in body]}
        shown = "label TEXT" if side == "first" else "TEXT label"
        form = f"lines of {shown}, {spoken(separator)} between".replace("TEXT", "text")
        places = numbers[1:] if headed else numbers
        more = partial(_more_edge_labels, name, separator, side, aside)
        return Batch(name, columns, form, places, findings=note, proceed=more)
    return None


def _more_edge_labels(
    name: str, separator: str, side: str, aside: Aside | None, text: str, first: int, last: bool
) -> Batch:
    """Further lines of a text and a label.

    Raises:
        DataError: a line holds no label, and nobody takes it.
    """
    where = "before" if side == "first" else "after"
    missing = f"no label {where} the text, {spoken(separator)} between, as in the lines above"
    every, lines, note = numbered_lines(text, name, first)
    numbers, labels, texts = [], [], []
    for number, line in zip(every, lines, strict=True):
        label, part = _split_at(line, separator, side)
        if not _could_label(label):
            _refuse(number, line, missing, name, aside)
            continue
        numbers.append(number)
        labels.append(label)
        texts.append(part)
    columns = {"label": labels, "text": texts}
    return Batch(name, columns, "", numbers, findings=note)


def _split_at(line: str, separator: str, side: str) -> tuple[str, str]:
    """Label and text of a line; an empty label where there is no separator."""
    if side == "first":
        label, found, text = line.partition(separator)
    else:
        text, found, label = line.rpartition(separator)
    return (label.strip(), text) if found else ("", line)


def is_closed(labels: Sequence[str], rows_each: int = 3) -> bool:
    """Whether values are labels: short, never missing, and each in `rows_each` rows on average."""
    distinct = set(labels)
    few = min(_MOST_LABELS, max(2, len(labels) // rows_each))
    return (
        2 <= len(distinct) <= few
        and len(distinct) < len(labels)
        and all(map(_could_label, distinct))
    )


def _could_label(value: str) -> bool:
    return value != "" and len(value) <= 40 and value.count(" ") <= 3


def parse_texts(text: str, name: str, first: int = 1) -> Batch:
    """Read every line that is not blank as a text without a label."""
    numbers, lines, note = numbered_lines(text, name, first)
    return Batch(
        name, {"text": lines}, TEXT_A_LINE, numbers, findings=note,
        proceed=lambda more, line, last: parse_texts(more, name, line),
    )  # fmt: skip
