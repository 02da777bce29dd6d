"""Label values to label names: one or several a row, ids to names, and the order of the classes."""

from __future__ import annotations

import ast
import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding, LabelScheme
from finetext.data.rows import File
from finetext.data.sources import decode, file_at

_JOINERS: Final = (",", "|", ";")
_NONE: Final = {"", "0", "false", "no", "none", "0.0"}
_ONE: Final = {"1", "true", "yes", "1.0"}
COLLECTIONS: Final = (list, tuple, set, frozenset)
"""The types of a value that holds several labels."""
Labels = list[list[str] | None]


@dataclass(frozen=True)
class ReadLabels:
    """Labels of n rows, each row a list of names or None where the label is missing.

    Attributes:
        rows: (n,) names of each row, exactly one unless multilabel.
        multilabel: whether a row can have any number of labels.
        form: how several labels were joined, in words, or "".
        findings: what is doubtful about them.
    """

    rows: Labels
    multilabel: bool
    form: str = ""
    findings: tuple[Finding, ...] = ()


def split_labels(values: Sequence[Any], settings: ReadSettings) -> ReadLabels:
    """Labels of one column, whose values are names, lists or sets of names, or names joined.

    The names of a set are put in the order of the alphabet.

    Args:
        values: (n,) values of the label column.
        settings: multilabel and label_delimiter, where they are given.
    """
    empty: list[str] | None = [] if settings.multilabel else None
    if any(isinstance(value, COLLECTIONS) for value in values):
        rows = [empty if missing(value) else _as_names(value) for value in values]
        return ReadLabels(rows, True, "lists")
    names = as_strings(values)
    told = [name for name in names if name is not None]
    if settings.multilabel is not False and _written_lists(told):
        rows = [empty if name is None else _as_names(ast.literal_eval(name)) for name in names]
        return ReadLabels(rows, True, "lists")
    joiner = settings.label_delimiter or (
        find_joiner(told, sure=bool(settings.multilabel))
        if settings.multilabel is not False
        else None
    )
    if joiner is None and not settings.multilabel:
        return ReadLabels([None if name is None else [name] for name in names], False)
    rows = [empty if name is None else _parts(name, joiner) for name in names]
    form = f"joined by {joiner!r}" if joiner else ""
    sure = settings.multilabel or settings.label_delimiter
    return ReadLabels(rows, True, form, () if sure else _doubts(rows, form))


def _doubts(rows: Labels, form: str) -> tuple[Finding, ...]:
    """A warning if names that were taken apart might be whole: a part never stands alone."""
    joined = {name: row for row in rows if row and len(row) > 1 for name in row}
    alone = {row[0] for row in rows if row and len(row) == 1}
    name = next((name for name in joined if name not in alone), None)
    if name is None:
        return ()
    message = (
        f"labels {form} are taken apart, though {name!r} never stands alone: a text can have "
        f"several labels, such as {' and '.join(map(repr, joined[name]))}; if they are one, say "
        "--set data.multilabel=false"
    )
    return (Finding("warning", "labels-taken-apart", message),)


def missing(value: Any) -> bool:
    """Whether a value stands for no value: None, not-a-number, or nothing but spaces."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and value != value)


def as_strings(values: Sequence[Any]) -> list[str | None]:
    """Values as strings, None where missing; whole floats such as 1.0 lose the point."""
    if {str}.issuperset(map(type, values)):
        return [value if value.strip() else None for value in values]
    floats = [value for value in values if isinstance(value, float) and value == value]
    whole = all(value.is_integer() for value in floats)

    def told(value: Any) -> str | None:
        if missing(value):
            return None
        return str(int(value)) if whole and isinstance(value, float) else str(value)

    return [told(value) for value in values]


def _as_names(value: Any) -> list[str]:
    several = list(value) if isinstance(value, COLLECTIONS) else [value]
    names = dict.fromkeys(name for name in as_strings(several) if name is not None)
    return sorted(names) if isinstance(value, set | frozenset) else list(names)


def _written_lists(names: Sequence[str]) -> bool:
    """Whether every value is a list as Python or JSON writes it: "['joy', 'anger']"."""
    if not names or not all(name[:1] == "[" and name[-1:] == "]" for name in names):
        return False
    try:
        return all(isinstance(ast.literal_eval(name), list) for name in names)
    except (ValueError, SyntaxError):
        return False


def _parts(name: str, joiner: str | None) -> list[str]:
    parts = name.split(joiner) if joiner else [name]
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def find_joiner(names: Sequence[str], sure: bool = False) -> str | None:
    """The delimiter that joins several labels, if the parts are a small set that recombines.

    "Arts, Culture" stays one label when neither Arts nor Culture occurs in another value.

    Args:
        names: label values as read.
        sure: whether the user says that there are several labels a row.
    """
    counts = Counter(names)
    for joiner in _JOINERS:
        joined = [name for name in counts if joiner in name]
        parts = Counter(part for name in counts for part in _parts(name, joiner))
        inner = {part for name in joined for part in _parts(name, joiner)}
        again = sum(parts[part] > 1 for part in inner)
        closed = again >= len(inner) / 2 and len(parts) <= max(3, len(names) / 2)
        if joined and (sure or closed):
            return joiner
    return None


def indicator_labels(columns: Mapping[str, Sequence[Any]]) -> ReadLabels:
    """Labels of several columns of 0 and 1, each named after its label.

    Raises:
        DataError: a value is neither; the message has column and row.
    """
    rows: Labels = [[] for _ in next(iter(columns.values()))]
    for name, values in columns.items():
        for place, value in enumerate(values):
            told = "" if missing(value) else str(value).strip().lower()
            if told not in _NONE | _ONE:
                raise DataError(
                    f"the label column {name!r} has {value!r} in row {place + 1}; several label "
                    "columns must hold 0 and 1"
                )
            if missing(value):
                rows[place] = None
            elif told in _ONE and rows[place] is not None:
                rows[place].append(name)  # type: ignore[union-attr]
    return ReadLabels(rows, True, "columns of 0 and 1")


def names_from(source: Any, folder: Path | None) -> tuple[dict[str, str], str]:
    """Label id to name, in the order of the classes, and where the names are from in words.

    Args:
        source: a mapping, a sequence of names, or the path of a file of them.
        folder: where to look for that file if it is not in the working folder.

    Raises:
        DataError: there is no such file, or it has no names.
    """
    if isinstance(source, Mapping):
        return {str(key): str(value) for key, value in source.items()}, "the given mapping"
    if not isinstance(source, str | Path):
        return {str(place): str(name) for place, name in enumerate(source)}, "the given names"
    path = Path(source)
    if not path.is_file() and folder is not None and (folder / path).is_file():
        path = folder / path
    if not path.is_file():
        raise DataError(f"there is no file of label names {str(source)!r}")
    return parse_names(file_at(path)), path.name


def parse_names(file: File) -> dict[str, str]:
    """Label id to name from one name a line, a JSON list or object, or a CSV of id and name.

    Raises:
        DataError: the file holds no names.
    """
    text, _ = decode(file.load(), file.name)
    suffix = file.path.suffix.lower()
    if suffix == ".json":
        found = _json_names(text, file.name)
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        joiner = {".csv": ",", ".tsv": "\t"}.get(suffix)
        if joiner and all(joiner in line for line in lines):
            rows = [row for row in csv.reader(io.StringIO(text), delimiter=joiner) if row]
            if not rows[0][0].strip().lstrip("-").isdecimal() and len(rows) > 1:
                rows = rows[1:] if rows[1][0].strip().isdecimal() else rows
            found = {row[0].strip(): row[1].strip() for row in rows}
        else:
            found = {str(place): line for place, line in enumerate(lines)}
    if not found:
        raise DataError(f"{file.name} holds no label names")
    return found


def _json_names(text: str, name: str) -> dict[str, str]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{name}: not valid JSON: {error}") from None
    if isinstance(content, list):
        return {str(place): str(label) for place, label in enumerate(content)}
    if isinstance(content, dict):
        return {str(key): str(label) for key, label in content.items()}
    raise DataError(f"{name}: neither a JSON list nor an object of label names")


def rename(labels: ReadLabels, names: Mapping[str, str], told: str) -> tuple[ReadLabels, list[str]]:
    """Put names in the place of ids; labels that are names already stay.

    Args:
        labels: as read.
        names: id to name in the order of the classes; name to id is turned round, and a list
            counts from 1 if the labels need that.
        told: where the names are from, for messages.

    Returns:
        the labels by name, and all names in their order.

    Raises:
        DataError: a label has no name.
    """
    used = {label for row in labels.rows if row for label in row}
    table = _fitting(used, names)
    unknown = sorted(used - set(table))
    if unknown:
        raise DataError(
            f"the label {unknown[0]!r} has no name in {told}, which has names for: "
            f"{', '.join(list(names)[:10])}" + (" and more" if len(names) > 10 else "")
        )
    rows = [None if row is None else [table[label] for label in row] for row in labels.rows]
    return replace(labels, rows=rows), list(dict.fromkeys(table.values()))


def _fitting(used: set[str], names: Mapping[str, str]) -> dict[str, str]:
    """Of the ways in which names can be meant, the one that knows all the labels used."""
    by_id = _by_id(names)
    itself = {name: name for name in by_id.values()}
    from_one = {str(place): name for place, name in enumerate(by_id.values(), start=1)}
    plain = list(by_id) == [str(place) for place in range(len(by_id))]
    ways = [by_id, itself, *([from_one] if plain else [])]
    return next((way for way in ways if used <= set(way)), by_id)


def _by_id(names: Mapping[str, str]) -> dict[str, str]:
    """Id to name in the order of the ids if they are numbers; name to id is turned round."""
    if all(value.isdecimal() for value in names.values()) and not _numbers(names):
        names = {value: name for name, value in names.items()}
    ids = sorted(names, key=int) if _numbers(names) else list(names)
    return {one: names[one] for one in ids}


def _numbers(ids: Iterable[str]) -> bool:
    return all(one.removeprefix("-").isdecimal() and one.isascii() for one in ids)


def order_names(labels: ReadLabels, order: Sequence[str] | None) -> LabelScheme:
    """The scheme: names that occur, in the order given, else by number, else by alphabet."""
    used = {label for row in labels.rows if row for label in row}
    if order is not None:
        return LabelScheme(tuple(name for name in order if name in used), labels.multilabel)
    if _numbers(used):
        return LabelScheme(
            tuple(sorted(used, key=lambda name: (int(name), name))), labels.multilabel
        )
    return LabelScheme(tuple(sorted(used)), labels.multilabel)
