"""One file to one table, by its ending where that says enough and by its content where not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from textwrap import shorten
from typing import Final

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.data.decode import decode
from finetext.data.delimited import looks_headed, parse_delimited, sniff
from finetext.data.lines import (
    FASTTEXT,
    LABEL_TAKEN_OFF,
    WHOLE_LINES,
    is_closed,
    parse_edge_label,
    parse_fasttext,
    parse_texts,
)
from finetext.data.raw import Aside, File, RawTable
from finetext.data.records import parse_excel, parse_json, parse_json_lines, parse_parquet

DELIMITED: Final = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
EXCEL: Final = {".xlsx", ".xlsm"}
JSON_LINES: Final = {".jsonl", ".ndjson"}
_SAMPLE: Final = 1 << 18
_SHOWN: Final = 60
"""Characters of labels that a message shows."""
TABLE_SUFFIXES: Final = {*DELIMITED, *EXCEL, *JSON_LINES, ".json", ".parquet", ".txt"}


def parse_table(file: File, settings: ReadSettings) -> RawTable:
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
) -> RawTable:
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
) -> RawTable:
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
) -> RawTable:
    """Read lines as texts, unless a tab in each of them parts few different values from it."""
    tables: list[RawTable | None] = []
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


def taken_off(table: RawTable) -> RawTable:
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
) -> RawTable:
    if len(delimiter) != 1:
        raise DataError(f"the delimiter must be one character, not {delimiter!r}")
    return parse_delimited(text, name, delimiter, settings, whole, aside)
