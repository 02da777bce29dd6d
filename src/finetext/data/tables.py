"""One file to one table, by its ending where that says enough and by its content where not."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from finetext.data.bad_rows import Aside
from finetext.data.decode import decode
from finetext.data.delimited import looks_headed, parse_delimited, sniff
from finetext.data.lines import (
    FASTTEXT,
    is_closed,
    parse_edge_label,
    parse_fasttext,
    parse_texts,
)
from finetext.data.raw import File, RawTable
from finetext.data.records import parse_excel, parse_json, parse_json_lines, parse_parquet
from finetext.data.settings import ReadSettings
from finetext.errors import DataError

DELIMITED: Final = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
EXCEL: Final = {".xlsx", ".xlsm"}
JSON_LINES: Final = {".jsonl", ".ndjson"}
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
        return parse_fasttext(text, name)
    if settings.delimiter:
        return _delimited(text, name, settings.delimiter, settings, whole, aside)
    delimiter, share = sniff(text, DELIMITED.get(suffix), whole)
    if suffix not in DELIMITED:
        return _parse_lines(text, name, delimiter if share >= 0.9 else None, settings, whole)
    if delimiter is None or share < 0.5:
        delimiter = DELIMITED[suffix]
    return _delimited(text, name, delimiter, settings, whole, aside)


def _parse_lines(
    text: str, name: str, delimiter: str | None, settings: ReadSettings, whole: bool
) -> RawTable:
    """Read a file whose ending promises nothing: even fields, an edge label, or texts alone."""
    told = _is_told(text, delimiter, settings)
    if not settings.labelled and (delimiter is None or (delimiter == "," and not told)):
        return parse_texts(text, name)
    sure = settings.labelled or told or delimiter == "\t"
    uneven = None
    if delimiter is not None:
        try:
            table = _delimited(text, name, delimiter, settings, whole)
            if sure or any(map(is_closed, table.columns.values())):
                return table
        except DataError as error:
            uneven = error
    edge = parse_edge_label(text, name, None if settings.labelled else delimiter)
    if uneven is not None and edge is None and sure:
        raise uneven
    return edge or parse_texts(text, name)


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
