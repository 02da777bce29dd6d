"""`read`: whatever holds labelled text, to a `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from finetext.core import registry
from finetext.core.errors import DataError, nearest
from finetext.core.settings import ReadSettings
from finetext.core.types import SPLIT_NAMES, Dataset
from finetext.core.wording import counted
from finetext.data.assemble import assemble, rows_of
from finetext.data.columns import named
from finetext.data.folders import label_name_files, read_file, read_tree
from finetext.data.joined import has_column
from finetext.data.records import reading_from_dict, table_from
from finetext.data.rows import SPLIT_WORDS, File, Part, Reading
from finetext.data.sources import download, file_at, files_below, read_bytes, read_hub

__all__ = ["ReadSettings", "read"]
_HUB: Final = "hub:"


def read(
    source: Any,
    text: str | None = None,
    label: str | Sequence[str] | None = None,
    group: str | None = None,
    id: str | None = None,
    *,
    settings: ReadSettings | None = None,
) -> Dataset:
    """Read labelled text from wherever it is.

    Args:
        source: the path of a file (CSV, TSV, plain lines, JSON, JSON lines, Parquet, Excel; .gz
            of these), of a folder or archive with one folder for each class or with files named
            train, validation and test; an http(s) address of a file; "hub:NAME"; the name of a
            sample; a mapping from split to any of these; a pandas or polars frame; a list of
            texts, a pair (texts, labels), a list of mappings; a `datasets` object.
        text: column of the texts; found by name or content if None.
        label: column of the labels, or several columns of 0 and 1; found if None.
        group: column of the groups, such as author or film.
        id: column of unique row names; row numbers if None and no column is called so.
        settings: everything else that can be said; the four above override it.

    Returns:
        every row in the order of the source, with a line on what was chosen.

    Raises:
        DataError: the source cannot be read, or not as labelled text; the message says where
            and what to do.
        MissingExtraError: the format needs a package that is not installed.
    """
    if isinstance(source, Dataset):
        return source
    told = {"text": text, "group": group, "id": id}
    if label is not None:
        told["label"] = label if isinstance(label, str) else tuple(label)  # type: ignore[assignment]
    settings = replace(
        settings or ReadSettings(),
        **{name: value for name, value in told.items() if value is not None},  # type: ignore[arg-type]
    )
    reading, folder = reading_of(source, settings)
    return assemble(reading, settings, folder)


def reading_of(source: Any, settings: ReadSettings) -> tuple[Reading, Path | None]:
    """The tables of a source, and the folder it lies in, if it does; see `read`."""
    if isinstance(source, str | Path):
        return _read_named(str(source), settings)
    if hasattr(source, "features") and hasattr(source, "column_names"):
        return Reading("datasets.Dataset", (Part(table_from(source)),)), None
    if isinstance(source, Mapping) and source:
        if all(hasattr(part, "features") for part in source.values()):
            return reading_from_dict(source, "datasets.DatasetDict"), None
        if all(str(key).lower() in SPLIT_WORDS for key in source):
            return _read_splits(source, settings)
    table = table_from(source)
    return Reading(table.name, (Part(table),)), None


def _read_splits(source: Mapping[Any, Any], settings: ReadSettings) -> tuple[Reading, Path | None]:
    """Ready-made splits, each from a source of its own."""
    parts: list[Part] = []
    readings = {SPLIT_WORDS[str(name).lower()]: part for name, part in source.items()}
    if len(readings) < len(source):
        raise DataError(f"two of the names {', '.join(map(str, source))} mean the same split")
    found = []
    for split in SPLIT_NAMES:
        if split in readings:
            reading, folder = reading_of(readings[split], settings)
            parts += [Part(part.table, split) for part in reading.parts]
            found.append((reading, folder))
    title = " + ".join(reading.title for reading, _ in found)
    findings = tuple(finding for reading, _ in found for finding in reading.findings)
    return Reading(title, tuple(parts), found[0][0].beside, findings), found[0][1]


def _read_named(source: str, settings: ReadSettings) -> tuple[Reading, Path | None]:
    if source.startswith(_HUB):
        return read_hub(source.removeprefix(_HUB)), None
    if source.lower().startswith(("http://", "https://")):
        return read_file(download(source), settings), None
    path = Path(source).expanduser()
    if _exists(path):
        return _read_path(path, settings)
    if source in registry.names("samples"):
        return _read_path(Path(registry.load("samples", source)()), settings)
    raise DataError(f"there is no file, folder or sample {source!r}{_alike(path)}")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _alike(path: Path) -> str:
    """The end of a sentence that offers the nearest files beside and the samples."""
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        names = []
    suggestion = nearest(path.name, [*names, *registry.names("samples")])
    return suggestion if suggestion.startswith("; did you mean") else ""


def _read_path(path: Path, settings: ReadSettings) -> tuple[Reading, Path | None]:
    if path.is_dir():
        return read_tree(files_below(path), path.resolve().name, settings), path
    beside = label_name_files(
        [
            File(str(other), PurePosixPath(other.name), lambda other=other: read_bytes(other))  # type: ignore[misc]
            for other in path.resolve().parent.iterdir()
        ]
    )
    return read_file(file_at(path), settings, beside), path.parent


def source_columns(
    source: Any, names: Sequence[str], ids: Sequence[str], settings: ReadSettings | None = None
) -> dict[str, list[Any]]:
    """Read columns that `read` leaves aside, for some rows.

    Args:
        source: anything that `read` takes.
        names: the columns, by name or by number from "1".
        ids: the n rows.
        settings: how the source is read; ids are the same if they are the same.

    Returns:
        name of each column as it is in the source to n values as they stand there; None where a
        part of the source lacks the column.

    Raises:
        DataError: the source cannot be read, or has no such column, or lacks a row.
    """
    settings = settings or ReadSettings(labelled=False)
    reading, _ = reading_of(source, settings)
    rows = rows_of(reading, settings)
    absent = [one for one in ids if one not in rows]
    if absent:
        more = f", nor {len(absent) - 1:,} more" if len(absent) > 1 else ""
        raise DataError(
            f"{reading.title} has no row {absent[0]!r}{more}, of "
            f"{counted(len(ids), 'row')}: name the column of their ids with --id"
        )
    places = [rows[one] for one in ids]
    tables = [part.table for part in reading.parts]
    found = {}
    for name in names:
        having = next((table for table in tables if has_column(table, name)), tables[0])
        column = named(having, name)
        of_table = {id(table): table.columns.get(column) for table in tables}
        values = ((of_table[id(table)], row) for table, row in places)
        found[column] = [None if of is None else of[row] for of, row in values]
    return found
