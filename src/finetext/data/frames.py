"""What Python users have in memory: frames, lists, mappings and `datasets` objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finetext.data.raw import SPLIT_WORDS, Part, RawTable, Reading, column_names
from finetext.data.records import from_columns, from_rows
from finetext.data.words import counted
from finetext.errors import DataError
from finetext.types import SPLIT_NAMES, Finding

if TYPE_CHECKING:
    import datasets


def table_from(source: Any) -> RawTable:
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


def _from_list(rows: list[Any]) -> RawTable:
    if not rows:
        raise DataError("the list of texts is empty")
    if all(isinstance(row, str) for row in rows):
        return RawTable("the list", {"text": rows}, "texts")
    if all(isinstance(row, Mapping) for row in rows):
        return from_rows(rows, "the list", "mappings")
    if all(isinstance(row, tuple | list) and len(row) == 2 for row in rows):
        texts, labels = (list(values) for values in zip(*rows, strict=True))
        return RawTable("the list", {"text": texts, "label": labels}, "pairs of text and label")
    odd = next(row for row in rows if type(row) is not type(rows[0]) or not isinstance(row, str))
    raise DataError(f"a list of texts must hold strings only, not {odd!r}")


def _from_frame(frame: Any) -> RawTable:
    names = column_names(frame.columns)
    if hasattr(frame, "iloc"):
        values = [frame.iloc[:, place].astype(object) for place in range(len(names))]
        columns = [v.where(v.notna(), None).tolist() for v in values]
        columns = [[_as_list(x) if hasattr(x, "tolist") else x for x in c] for c in columns]
        return RawTable("the frame", dict(zip(names, columns, strict=True)), "pandas frame")
    columns = [series.to_list() for series in frame.get_columns()]
    return RawTable("the frame", dict(zip(names, columns, strict=True)), "polars frame")


def _from_datasets(dataset: datasets.Dataset, name: str = "the data set") -> RawTable:
    plain = dataset.with_format(None)
    columns = {column: list(plain[column]) for column in plain.column_names}
    classes = {}
    for column, feature in plain.features.items():
        kind = getattr(feature, "feature", feature)
        if getattr(kind, "names", None):
            classes[column] = tuple(kind.names)
            columns[column] = [_class_ids(value) for value in columns[column]]
    return RawTable(name, columns, "datasets", classes=classes)


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
