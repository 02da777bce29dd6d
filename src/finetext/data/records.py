"""Formats that name the fields of each row: JSON, JSON lines, Parquet and Excel."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from finetext.core.errors import DataError, MissingExtraError
from finetext.core.settings import ReadSettings
from finetext.core.types import SPLIT_NAMES, Finding
from finetext.core.wording import counted
from finetext.data.delimited import looks_headed
from finetext.data.rows import SPLIT_WORDS, Aside, BadRow, Batch, Part, Reading, column_names

if TYPE_CHECKING:
    import datasets


def parse_json_lines(text: str, name: str, first: int = 1, aside: Aside | None = None) -> Batch:
    """Read one JSON object a line.

    Args:
        text: lines.
        name: what messages call the file.
        first: the number of the first line.
        aside: takes the lines that are no JSON objects, which otherwise are an error.

    Raises:
        DataError: a line is not a JSON object; the message has its number.
    """
    rows, lines = [], []
    for number, line in enumerate(text.split("\n"), start=first):
        if not line.strip():
            continue
        row, wrong = _json_object(line)
        if not wrong:
            rows.append(row)
            lines.append(number)
        elif aside is None:
            raise DataError(f"{name}, line {number}: {wrong}")
        else:
            aside(BadRow(number, wrong, line.rstrip("\r")))
    return replace(
        from_rows(rows, name, "JSON lines", lines),
        proceed=lambda more, line, last: parse_json_lines(more, name, line, aside),
    )


def _json_object(line: str) -> tuple[dict[str, Any], str]:
    """What a line holds, and what is wrong with it, if anything is."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, f"not valid JSON: {error}"
    if not isinstance(row, dict):
        return {}, f"not a JSON object but {line.strip()[:40]!r}"
    return row, ""


def parse_json(text: str, name: str, aside: Aside | None = None) -> Batch:
    """Read a JSON list of objects, an object of lists, or JSON lines in a .json file.

    Args:
        text: the file.
        name: what messages call it.
        aside: takes the lines that are no JSON objects, in a file of JSON lines.

    Raises:
        DataError: it is not JSON, or of another shape.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return parse_json_lines(text, name, aside=aside)
        raise DataError(f"{name}: not valid JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not valid JSON: {error}") from None
    if isinstance(content, dict) and content:
        lists = {key: value for key, value in content.items() if isinstance(value, list)}
        if len(lists) == len(content):
            return from_columns(lists, name, "JSON object of lists")
        if len(lists) == 1:
            content = next(iter(lists.values()))
        elif not lists:
            content = [content]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DataError(f"{name}: neither a JSON list of objects nor an object of lists")
    return from_rows(content, name, "JSON")


def from_rows(
    rows: Sequence[Mapping[str, Any]], name: str, form: str, lines: Sequence[int] | None = None
) -> Batch:
    """Columns from mappings; a key that a row lacks is missing there (None)."""
    names = list(dict.fromkeys(str(key) for row in rows for key in row))
    columns: dict[str, list[Any]] = {key: [None] * len(rows) for key in names}
    for place, row in enumerate(rows):
        for key, value in row.items():
            columns[str(key)][place] = value
    return Batch(name, columns, form, lines)


def from_columns(columns: Mapping[str, Sequence[Any]], name: str, form: str) -> Batch:
    """Columns as they are.

    Raises:
        DataError: they differ in length.
    """
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} {length:,}" for key, length in lengths.items())
        raise DataError(f"{name}: the columns differ in length: {told}")
    return Batch(name, {str(key): list(values) for key, values in columns.items()}, form)


def parse_parquet(data: bytes, name: str) -> Batch:
    """Read a Parquet file.

    Raises:
        DataError: the file is broken.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{name} is not a readable Parquet file: {error}") from None
    names = column_names(table.column_names)
    columns = {key: table.column(place).to_pylist() for place, key in enumerate(names)}
    return Batch(name, columns, "Parquet", classes=_stored_classes(table.schema.metadata or {}))


def _stored_classes(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """The class names that `datasets` keeps in the metadata of the Parquet files it writes."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        found = {key: feature.get("feature", feature) for key, feature in features.items()}
        return {key: tuple(kind["names"]) for key, kind in found.items() if "names" in kind}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def parse_excel(data: bytes, name: str, settings: ReadSettings) -> Batch:
    """Read the first sheet of an Excel workbook that has any rows.

    Raises:
        DataError: the file is broken or has no rows.
        MissingExtraError: openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError("reading Excel files", "openpyxl", "excel") from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheets = {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
    except Exception as error:  # openpyxl lets errors of zipfile, XML and its own through
        raise DataError(f"{name} is not a readable Excel file: {error}") from None
    for title, rows in sheets.items():
        numbered = [(line, row) for line, row in enumerate(rows, start=1) if any(_filled(row))]
        if numbered:
            return _sheet(numbered, f"{name}, sheet {title!r}", settings)
    raise DataError(f"{name} is empty")


def _filled(row: Sequence[object]) -> list[bool]:
    return [cell is not None and str(cell).strip() != "" for cell in row]


def _sheet(
    numbered: Sequence[tuple[int, Sequence[Any]]], name: str, settings: ReadSettings
) -> Batch:
    width = max(place + 1 for _, row in numbered for place, full in enumerate(_filled(row)) if full)
    rows = [[*row, *[None] * width][:width] for _, row in numbered]
    told = [["" if cell is None else str(cell) for cell in row] for row in rows]
    headed = settings.header
    if headed is None:
        headed = looks_headed(told, settings.columns)
    names = column_names(told[0] if headed else range(1, width + 1))
    body = rows[headed:]
    columns = {key: [_plain(row[place]) for row in body] for place, key in enumerate(names)}
    form = f"Excel, {'with' if headed else 'no'} header"
    return Batch(name, columns, form, [line for line, _ in numbered][headed:])


def _plain(cell: Any) -> Any:
    return cell.isoformat() if isinstance(cell, datetime.date | datetime.time) else cell


def table_from(source: Any) -> Batch:
    """Columns of a frame, a `datasets.Dataset`, texts alone or with labels, or rows.

    Raises:
        DataError: it is none of these, or its columns differ in length.
    """
    if hasattr(source, "features") and hasattr(source, "column_names"):
        return _from_datasets(source)
    if hasattr(source, "to_pandas") or hasattr(source, "iloc"):
        return _from_frame(source)
    if isinstance(source, Mapping):
        if source and all(_is_values(values) for values in source.values()):
            columns = {str(key): _as_list(values) for key, values in source.items()}
            return from_columns(columns, "the mapping", "columns")
    elif _is_pair(source):
        texts, labels = (_as_list(values) for values in source)
        return from_columns({"text": texts, "label": labels}, "the lists", "texts and labels")
    elif _is_values(source):
        return _from_list(_as_list(source))
    raise DataError(
        f"cannot read a {type(source).__name__}; give a path, an address, a frame, a list of "
        "texts, a pair (texts, labels), a list of mappings or a datasets.Dataset"
    )


def _is_values(source: Any) -> bool:
    return not isinstance(source, str | bytes | Mapping) and hasattr(source, "__len__")


def _as_list(values: Any) -> list[Any]:
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _is_pair(source: Any) -> bool:
    """Whether it is (texts, labels): a tuple of two sequences that are not strings."""
    return isinstance(source, tuple) and len(source) == 2 and all(map(_is_values, source))


def _from_list(rows: list[Any]) -> Batch:
    if not rows:
        raise DataError("the list of texts is empty")
    if all(isinstance(row, str) for row in rows):
        return Batch("the list", {"text": rows}, "texts")
    if all(isinstance(row, Mapping) for row in rows):
        return from_rows(rows, "the list", "mappings")
    if all(isinstance(row, tuple | list) and len(row) == 2 for row in rows):
        texts, labels = (list(values) for values in zip(*rows, strict=True))
        return Batch("the list", {"text": texts, "label": labels}, "pairs of text and label")
    odd = next(row for row in rows if type(row) is not type(rows[0]) or not isinstance(row, str))
    raise DataError(f"a list of texts must hold strings only, not {odd!r}")


def _from_frame(frame: Any) -> Batch:
    names = column_names(frame.columns)
    if hasattr(frame, "iloc"):
        values = [frame.iloc[:, place].astype(object) for place in range(len(names))]
        columns = [v.where(v.notna(), None).tolist() for v in values]
        columns = [[_as_list(x) if hasattr(x, "tolist") else x for x in c] for c in columns]
        return Batch("the frame", dict(zip(names, columns, strict=True)), "pandas frame")
    columns = [series.to_list() for series in frame.get_columns()]
    return Batch("the frame", dict(zip(names, columns, strict=True)), "polars frame")


def _from_datasets(dataset: datasets.Dataset, name: str = "the data set") -> Batch:
    plain = dataset.with_format(None)
    columns = {column: list(plain[column]) for column in plain.column_names}
    classes = {}
    for column, feature in plain.features.items():
        kind = getattr(feature, "feature", feature)
        if getattr(kind, "names", None):
            classes[column] = tuple(kind.names)
            columns[column] = [_class_ids(value) for value in columns[column]]
    return Batch(name, columns, "datasets", classes=classes)


def _class_ids(value: Any) -> Any:
    """Class numbers as they are, but -1, which stands for no label, as None."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [one for one in value if one != -1]
    return None if value == -1 else value


def reading_from_dict(source: Mapping[str, Any], title: str) -> Reading:
    """The splits of a `datasets.DatasetDict`; those of no known name are left out with a note.

    Raises:
        DataError: there is no training split.
    """
    parts, other = [], []
    for name, dataset in source.items():
        split = SPLIT_WORDS.get(str(name).lower())
        if split is None:
            other.append(f"{name} ({counted(len(dataset), 'row')})")
        else:
            parts.append(Part(_from_datasets(dataset, f"{title}, split {name}"), split))
    parts.sort(key=lambda part: SPLIT_NAMES.index(part.split or "train"))
    if not parts:
        raise DataError(
            f"{title} has no train, validation or test split; it has {', '.join(other)}"
        )
    findings: tuple[Finding, ...] = ()
    if other:
        message = f"{title}: the splits {', '.join(other)} are left out"
        findings = (Finding("note", "other-splits", message),)
    if len(parts) == 1:
        parts = [Part(parts[0].table)]
    return Reading(title, tuple(parts), (), findings)
