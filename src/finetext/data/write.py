"""Tables as files: CSV, TSV, JSON lines, Parquet or Excel."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any, Final

from finetext.core.arrays import finite, plain
from finetext.core.console import blaming
from finetext.core.errors import DataError
from finetext.core.paths import expanded
from finetext.core.types import Finding
from finetext.data import workbook
from finetext.data.formulas import without_formulas
from finetext.data.label_cells import comma_joined
from finetext.data.predictions import own_column
from finetext.data.rows import MIXED, TEXT
from finetext.storage.files import check_new, output_file

APPENDED: Final = (".csv", ".tsv", ".jsonl")
IN_CELLS: Final = (".csv", ".tsv", ".xlsx")  # formats without lists
SUFFIXES: Final = (*APPENDED, ".parquet", ".xlsx")
_POINT: Final = ("en", "he", "hi", "ja", "ko", "th", "zh")
_COMMA: Final = (
    "bg", "cs", "da", "de", "el", "es", "et", "fi", "fr", "hr", "hu", "id", "it", "lt", "lv", "nb",
    "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "tr", "uk",
)  # fmt: skip
Table = dict[str, list[Any]]
"""Column name to values."""


def form_of(path: PurePath) -> str:
    """Return the suffix that tells the format, in lower case and without `.gz`."""
    return Path(re.sub(r"\.gz$", "", path.name, flags=re.I)).suffix.lower()


def check_table(
    path: Path,
    force: bool = False,
    inputs: Sequence[Any] = (),
    *,
    locale: str | None = None,
    keep_formulas: bool = False,
    suffixes: Sequence[str] = SUFFIXES,
) -> None:
    """Check, before any work, that a table can be written and would not become part of the data.

    Args:
        path: the file to write.
        force: whether a file that exists is replaced; never one of `inputs`.
        inputs: what the command reads: paths, mappings of them, or anything else.
        locale: the language of the spreadsheet that opens it, for CSV alone; see `text_of`.
        keep_formulas: whether cells stay as they are that a spreadsheet runs, in CSV and TSV.
        suffixes: the formats, all of which but Parquet, Excel and arrays can be compressed (.gz).

    Raises:
        DataError: it cannot be written.
        MissingExtraError: it is an Excel file, and openpyxl is not installed.
    """
    form, is_zipped = form_of(path), path.suffix.lower() == ".gz"
    zippable = [suffix for suffix in suffixes if suffix in APPENDED]
    if form not in (zippable if is_zipped else suffixes):
        one_of = "one of " if len(suffixes) > 1 else ""
        zipped = f"; or {', '.join(f'{suffix}.gz' for suffix in zippable)}" if zippable else ""
        excel = "; Excel files are written as .xlsx" if form in (".xls", ".xlsm", ".ods") else ""
        raise DataError(f"{path}: the suffix must be {one_of}{', '.join(suffixes)}{zipped}{excel}")
    if locale is not None and locale not in (*_POINT, *_COMMA):
        raise DataError(
            f"--locale {locale}: it must be the language of a spreadsheet, one of "
            f"{', '.join(sorted((*_POINT, *_COMMA)))}"
        )
    if locale is not None and form != ".csv":
        raise DataError(f"--locale {locale} is for .csv, which {path} is not; leave it out")
    if keep_formulas and form not in (".csv", ".tsv"):
        raise DataError(
            f"--keep-formulas is for .csv and .tsv, which {path} is not; leave it out: other "
            "formats keep every text"
        )
    if form == ".xlsx":
        workbook.check_installed()
    every = [of for part in inputs for of in (part.values() if _is_mapping(part) else [part])]
    check_new(path, force, every)
    place = path.resolve()
    for part in every:
        folder = expanded(part) if isinstance(part, str | Path) else None
        if folder and os.path.isdir(folder) and place.is_relative_to(folder.resolve()):
            raise DataError(
                f"{path} would be among the data in {folder.resolve()}; name another place"
            )


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def write_table(
    path: Path,
    columns: Mapping[str, Sequence[Any]],
    locale: str | None = None,
    keep_formulas: bool = False,
) -> tuple[Finding, ...]:
    """Write a file beside its place and rename it, or leave nothing; return warnings.

    In CSV, TSV and Excel, lists of labels are joined by commas. With a locale, cells that a
    spreadsheet would run are neutralized, unless `keep_formulas` says otherwise.
    """
    table = {column: list(values) for column, values in columns.items()}
    form = form_of(path)
    if form == ".xlsx":
        return write_sheets(path, {"table": table})
    with blaming(str(path)), output_file(path) as beside:
        if form == ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.table(table), beside)
            return ()
        if form == ".jsonl":
            text = _json_lines(table)
        else:
            cells: Mapping[str, Sequence[Any]] = {
                name: list(map(comma_joined, values)) for name, values in table.items()
            }
            if locale is not None and not keep_formulas:
                cells = without_formulas(cells, always=False)
            text = _delimited(cells, form, True, "\r\n", locale)
        data = encoded(text)
        is_zipped = path.suffix.lower() == ".gz"
        beside.write_bytes(gzip.compress(data, mtime=0) if is_zipped else data)
    return ()


def write_sheets(
    path: Path, tables: Mapping[str, Mapping[str, Sequence[Any]]]
) -> tuple[Finding, ...]:
    """Write tables as the sheets of an Excel file, whole or not at all; return warnings."""
    book = workbook.Workbook()
    with blaming(str(path)), output_file(path) as beside:
        for title, table in tables.items():
            book.append(title, table)
        with beside.open("wb") as file:
            book.save(file)
    return book.findings


def text_of(
    table: Table, form: str, headed: bool, locale: str | None = None, keep_formulas: bool = False
) -> str:
    """Return the rows of a table of predictions as text.

    With a locale, CSV is as spreadsheets in that language expect it: with a byte order mark before
    the header, and with semicolons and decimal commas if the language has those. Cells that a
    spreadsheet would run are then neutralized, which a last column says; see `without_formulas`.
    """
    if form == ".jsonl":
        return _json_lines(table)
    labels = {own_column(table, name) for name in ("prediction", "set")}
    cells: Mapping[str, Sequence[Any]] = {
        name: list(map(comma_joined if name in labels else cell_of, values))
        for name, values in table.items()
    }
    if locale is not None and not keep_formulas:
        cells = without_formulas(cells, always=True)
    return _delimited(cells, form, headed, "\n", locale)


def _json_lines(table: Table) -> str:
    rows = (json.dumps(finite(row), ensure_ascii=False, default=plain) for row in rows_of(table))
    return "".join(f"{row}\n" for row in rows)


def _delimited(
    table: Mapping[str, Sequence[Any]], form: str, headed: bool, end: str, locale: str | None = None
) -> str:
    rows: list[str] = []
    # Quotes around some cells only are taken for part of the text in tab-separated files.
    tabs, has_comma = form == ".tsv", locale in _COMMA
    quoting: Any = csv.QUOTE_ALL if tabs else csv.QUOTE_MINIMAL
    sink: Any = SimpleNamespace(write=rows.append)  # rows that end in CR LF, so that CR is quoted
    delimiter = "\t" if tabs else ";" if has_comma else ","
    writer = csv.writer(sink, delimiter=delimiter, quoting=quoting)
    if headed:
        writer.writerow(table)
    columns = [list(map(_with_comma, of)) for of in table.values()] if has_comma else table.values()
    writer.writerows(zip(*columns, strict=True))
    text = "".join(row.removesuffix("\r\n") + end for row in rows)
    return f"\ufeff{text}" if headed and locale is not None else text


def _with_comma(value: Any) -> Any:
    return str(value).replace(".", ",") if isinstance(value, float) else value


def encoded(text: str) -> bytes:
    """Return UTF-8; halves of surrogate pairs, which are no characters, are replaced."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """Return the rows of a table as mappings."""
    return (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))


def arrow_values(values: list[Any], kind: Any) -> list[Any]:
    """Return values as Arrow takes them for a kind: mixed ones as text of whole characters."""
    if kind == MIXED:
        values = [value if value is None else str(cell_of(value)) for value in values]
    if kind in (TEXT, MIXED):
        return [value if value is None else encoded(value).decode() for value in values]
    return values


def arrow_type(kind: Any) -> Any:
    """Return the Arrow type of a kind of values; see `Texts.columns`."""
    import pyarrow

    if isinstance(kind, str):
        return pyarrow.type_for_alias(TEXT if kind == MIXED else kind)
    return pyarrow.list_(pyarrow.string()) if isinstance(kind, list) else kind


def arrow_table(table: Table, kinds: Mapping[str, Any]) -> Any:
    """Return a table as an Arrow table; columns that `kinds` leaves out hold numbers."""
    import pyarrow

    names = {name: encoded(name).decode() for name in table}
    schema = pyarrow.schema([(names[n], arrow_type(kinds.get(n, "double"))) for n in table])
    columns = [
        pyarrow.array(arrow_values(of, kinds.get(name)), kind.type)
        for (name, of), kind in zip(table.items(), schema, strict=True)
    ]
    return pyarrow.table(columns, schema=schema)


def cell_of(value: Any) -> Any:
    """A value in a cell: nested ones and truth values as JSON."""
    if isinstance(value, bool | list | tuple | Mapping):
        return json.dumps(finite(value), ensure_ascii=False, default=plain)
    return value if value is None or isinstance(value, str | int | float) else plain(value)
