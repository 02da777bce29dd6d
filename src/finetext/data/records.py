"""Sources that name the fields of each row: JSON, Parquet, Excel, Python objects and the Hub."""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import getproxies

from finetext.core.budget import take_cells, take_column, take_json
from finetext.core.errors import DataError
from finetext.core.types import SPLIT_NAMES, Finding
from finetext.core.wording import counted
from finetext.data.json_shapes import shape_of
from finetext.data.rows import SPLIT_WORDS, BadRow, Batch, Reject, Source, column_names

if TYPE_CHECKING:
    import datasets


def parse_json_lines(text: str, name: str, first: int = 1, reject: Reject | None = None) -> Batch:
    """Read one JSON object per line, numbered from `first`."""
    take_json(text, name)
    rows, lines = [], []
    for number, line in enumerate(text.split("\n"), start=first):
        if not line.strip():
            continue
        wrong = f"not a JSON object but {line.strip()[:40]!r}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            row, wrong = None, _why(error)
        if isinstance(row, dict):
            rows.append(row)
            lines.append(number)
        elif reject is None:
            raise DataError(f"{name}, line {number}: {wrong}")
        else:
            reject(BadRow(number, wrong, line.rstrip("\r")))
    return replace(
        _from_rows(rows, name, "JSON lines", lines),
        proceed=lambda more, line, last: parse_json_lines(more, name, line, reject),
    )


def parse_json(
    text: str, name: str, reject: Reject | None = None, asked: Collection[str] = ()
) -> Batch:
    """Read a JSON document, or JSON lines in a .json file; see `json_shapes.shape_of`."""
    take_json(text, name)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if getattr(error, "msg", "") == "Extra data" and text.lstrip().startswith("{"):
            return parse_json_lines(text, name, reject=reject)
        raise DataError(f"{name}: {_why(error)}") from None
    shape = shape_of(content, name, asked)
    if shape.columns is not None:
        return _from_columns(shape.columns, name, shape.form)
    return _from_rows(shape.rows, name, shape.form)


def _why(error: ValueError | RecursionError) -> str:
    """Say why JSON cannot be read."""
    if isinstance(error, RecursionError):
        return "its lists or objects lie inside each other too deeply to be read"
    if not isinstance(error, json.JSONDecodeError):
        return "a number in it has too many digits to be read"
    return f"not valid JSON: {error}"


def _from_rows(
    rows: Sequence[Mapping[str, Any]], name: str, form: str, lines: Sequence[int] | None = None
) -> Batch:
    """Columns from mappings; a key that a row lacks is missing there (None)."""
    columns: dict[Any, list[Any]] = {}
    for place, row in enumerate(rows):
        for key, value in row.items():
            if key not in columns:
                take_column(len(rows), len(columns) + 1, name)
                columns[key] = [None] * len(rows)
            columns[key][place] = value
    return Batch(name, {str(key): values for key, values in columns.items()}, form, lines)


def _from_columns(columns: Mapping[str, Sequence[Any]], name: str, form: str) -> Batch:
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key} {length:,}" for key, length in lengths.items())
        raise DataError(f"{name}: the columns differ in length: {shown}")
    return Batch(name, {str(key): list(values) for key, values in columns.items()}, form)


def batch_from(source: Any) -> Batch:
    """Return the columns of a frame, a `datasets.Dataset`, texts alone or with labels, or rows."""
    if hasattr(source, "features") and hasattr(source, "column_names"):
        return _from_datasets(source)
    if hasattr(source, "to_pandas") or hasattr(source, "iloc"):
        return _from_frame(source)
    if isinstance(source, Mapping):
        if source and all(_is_values(values) for values in source.values()):
            columns = {str(key): _as_list(values) for key, values in source.items()}
            return _from_columns(columns, "the mapping", "columns")
    elif isinstance(source, tuple) and len(source) == 2 and all(map(_is_values, source)):
        texts, labels = (_as_list(values) for values in source)
        return _from_columns({"text": texts, "label": labels}, "the lists", "texts and labels")
    elif _is_values(source):
        return _from_list(_as_list(source))
    raise DataError(
        f"cannot read a value of type {type(source).__name__}; give a path, an address, a frame, a "
        "list of texts, a pair (texts, labels), a list of mappings or a datasets.Dataset"
    )


def _is_values(source: Any) -> bool:
    return not isinstance(source, str | bytes | Mapping) and hasattr(source, "__len__")


def _as_list(values: Any) -> list[Any]:
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _from_list(rows: list[Any]) -> Batch:
    if not rows:
        raise DataError("the list of texts is empty")
    if all(isinstance(row, str) for row in rows):
        return Batch("the list", {"text": rows}, "texts")
    if all(isinstance(row, Mapping) for row in rows):
        return _from_rows(rows, "the list", "mappings")
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
    take_cells(len(dataset), len(plain.column_names), name)
    columns = {column: list(plain[column]) for column in plain.column_names}
    classes = {}
    for column, feature in plain.features.items():
        kind = getattr(feature, "feature", feature)
        if getattr(kind, "names", None):
            classes[column] = tuple(kind.names)
            columns[column] = [  # -1 means no label
                [one for one in value if one != -1] if isinstance(value, list | tuple)
                else None if value == -1 else value
                for value in columns[column]
            ]  # fmt: skip
    return Batch(name, columns, "datasets", classes=classes)


def source_from_splits(source: Mapping[str, Any], title: str) -> Source:
    """Return the splits of a `datasets.DatasetDict`; those without a known name are left out."""
    batches, other = [], []
    for name, dataset in source.items():
        if split := SPLIT_WORDS.get(str(name).lower()):
            batches.append(replace(_from_datasets(dataset, f"{title}, split {name}"), split=split))
        else:
            other.append(f"{name} ({counted(len(dataset), 'row')})")
    left = ", ".join(other)
    if not batches:
        raise DataError(f"{title} has no train, validation or test split; it has {left}")
    batches.sort(key=lambda batch: SPLIT_NAMES.index(batch.split or "train"))
    if len(batches) == 1:
        batches = [replace(batches[0], split=None)]
    note = Finding("note", "other-splits", f"{title}: the splits {left} are left out")
    return Source(title, tuple(batches), findings=(note,) if other else ())


def read_hub(name: str) -> Source:
    """Read a data set of the Hub: "owner/name", "owner/name/config", "name" or "name/config"."""
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    first, _, rest = name.partition("/")
    second, _, config = rest.partition("/")
    ways = [(f"{first}/{second}" if second else first, config or None)]
    if second and not config:
        ways.append((first, second))
    caches = (datasets.config.HF_DATASETS_CACHE, HF_HUB_CACHE)
    places = [place for place in map(Path, caches) if place.is_dir()]
    fetched = [folder.name.lower() for place in places for folder in place.iterdir()]
    endings = tuple(path.rpartition("/")[2].lower() for path, _ in ways)
    if not any(name.endswith(endings) for name in fetched) and not hub_answers():
        raise DataError(
            f"cannot read {name!r}: it is not on this machine and the Hugging Face Hub cannot be "
            "reached; check the network, or give a file you have"
        )
    reason = ""
    for path, chosen in ways:
        try:
            loaded = datasets.load_dataset(path, chosen)
            if not isinstance(loaded, Mapping):
                raise DataError(f"the Hub data set {path!r} is not a set of tables")
            return source_from_splits(loaded, f"hub:{name}")
        except DataError:
            raise
        except ConnectionError as error:
            raise DataError(f"cannot read {name!r} from the Hub: {error}") from None
        except Exception as error:  # datasets raises errors of many packages
            first_line = str(error).strip().partition("\n")[0]
            reason = reason or f"{type(error).__name__}: {first_line}"[:300]
    raise DataError(f"cannot read {name!r} from the Hub: {reason}")


def hub_answers() -> bool:
    """Whether the Hub's address can be resolved: quick, while a failed download takes a minute."""
    from huggingface_hub.constants import ENDPOINT, is_offline_mode

    if is_offline_mode() or getproxies():
        return not is_offline_mode()
    with suppress(OSError):
        return bool(socket.getaddrinfo(urlparse(ENDPOINT).hostname, 443))
    return False
