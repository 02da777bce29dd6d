"""The rows in a JSON document: lists, columns, the layouts of pandas, envelopes of web services."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from finetext.core.budget import take_cells
from finetext.core.errors import DataError
from finetext.data.columns import KNOWN_NAMES, plain_name
from finetext.data.rows import SPLIT_WORDS, column_names

_NAMES: Final = ("columns", "header", "headers", "fields")
_BODY: Final = ("data", "rows", "values")
_WRAPPED: Final = ("row", "_source", "fields", "record", "item")
"""Keys of an object around each row: the Hub's data set server, Elasticsearch, Airtable."""


@dataclass(frozen=True)
class Shape:
    """Rows or columns, and the layout they had in words."""

    form: str
    rows: Sequence[Mapping[str, Any]] = ()
    columns: Mapping[str, Sequence[Any]] | None = None


def shape_of(content: Any, name: str, asked: Collection[str] = ()) -> Shape:
    """Return the rows or columns in a JSON document.

    Args:
        content: the document as Python objects.
        name: the source, for messages.
        asked: names of columns that were asked for.

    Raises:
        DataError: it has no rows, or more than one list of them.
    """
    if isinstance(content, list):
        return _of_list(content, name, "JSON")
    if not isinstance(content, dict) or not content:
        raise DataError(f"{name}: neither a JSON list of objects nor an object of lists")
    head, body = (next((key for key in of if key in content), "") for of in (_NAMES, _BODY))
    if head and body and _is_table(content[head], content[body]):
        names = column_names(content[head])
        columns = {key: [row[at] for row in content[body]] for at, key in enumerate(names)}
        index = content.get("index")
        return Shape("JSON of pandas, orient 'split'", columns=_with_index(columns, index))
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    tables = {key: value for key, value in lists.items() if _are_objects(value)}
    if "schema" in content and list(tables) == ["data"]:
        return _of_list(tables["data"], name, "JSON of pandas, orient 'table'")
    if tables and set(map(str.lower, content)) <= set(SPLIT_WORDS):
        rows = [{**row, "split": key} for key, value in tables.items() for row in value]
        return Shape(f"JSON, splits {', '.join(tables)}", rows)
    if len(tables) == 1 or "rows" in tables:
        key = "rows" if "rows" in tables else next(iter(tables))
        return _of_list(tables[key], name, "JSON")
    if len(tables) > 1:
        raise DataError(
            f"{name}: several lists of objects ({', '.join(map(repr, tables))}): save the list "
            "with the texts as a separate file"
        )
    if len(lists) == len(content):
        return Shape("JSON object of lists", columns=lists)
    objects = {str(key): value for key, value in content.items() if isinstance(value, dict)}
    if len(objects) == len(content) > 1 or (len(objects) == len(content) == 1 and _inner(objects)):
        return _of_objects(objects, name, asked)
    if len(objects) == 1 and not lists:
        inner = next(iter(objects.values()))
        if len(content) == 1 or any(map(_are_objects, inner.values())):
            return shape_of(inner, name, asked)
    if len(lists) == 1:
        return _of_list(next(iter(lists.values())), name, "JSON")
    if not lists and (len(content) < 6 or _known(content, asked)):
        return Shape("JSON", [content])
    if not lists:
        raise DataError(
            f"{name}: an object of {len(content)} values ({_few(content)}), neither rows nor "
            "columns: write a list of objects with a text and a label each"
        )
    raise DataError(f"{name}: neither a JSON list of objects nor an object of lists")


def _are_objects(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(v, dict) for v in values)


def _is_table(names: Any, rows: Any) -> bool:
    """Whether rows are lists as long as the names of the columns are many."""
    if not isinstance(names, list) or not isinstance(rows, list) or not rows:
        return False
    return all(isinstance(row, list) and len(row) == len(names) for row in rows)


def _of_list(content: list[Any], name: str, form: str) -> Shape:
    if content and all(isinstance(row, list) for row in content):
        widths = {len(row) for row in content}
        if len(widths) > 1 or not min(widths):
            raise DataError(f"{name}: a JSON list of lists that differ in length: {sorted(widths)}")
        first = content[0]
        named = all(isinstance(cell, str) for cell in first) and len({*first}) == len(first)
        if named and len(content) > 1 and _known(first, ()):
            return Shape(
                "JSON list of lists, with header",
                columns={key: [row[at] for row in content[1:]] for at, key in enumerate(first)},
            )
        columns = {str(at + 1): [row[at] for row in content] for at in range(widths.pop())}
        return Shape("JSON list of lists", columns=columns)
    if not all(isinstance(row, dict) for row in content):
        odd = next(row for row in content if not isinstance(row, dict))
        texts = "; texts without names: save them one per line as .txt" if _strings(content) else ""
        raise DataError(
            f"{name}: neither a JSON list of objects nor an object of lists: a list that holds "
            f"{repr(odd)[:40]}{texts}"
        )
    for key in _WRAPPED if content else ():
        is_row = key != "fields" or set(content[0]) <= {"id", "createdTime", "fields"}
        if is_row and all(isinstance(row.get(key), dict) for row in content):
            ids = [{"id": row["id"]} if "id" in row else {} for row in content]
            rows = [{**one, **row[key]} for one, row in zip(ids, content, strict=True)]
            return Shape(f"{form}, objects in {key!r}", rows)
    return Shape(form, content)


def _strings(content: Sequence[Any]) -> bool:
    return all(isinstance(row, str) for row in content)


def _inner(objects: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the objects hold scalars, as those of a table do."""
    return all(not isinstance(v, dict | list) for one in objects.values() for v in one.values())


def _of_objects(objects: Mapping[str, dict[str, Any]], name: str, asked: Collection[str]) -> Shape:
    """Rows by id (pandas, orient "index") or columns by name (orient "columns")."""
    inner = dict.fromkeys(str(key) for one in objects.values() for key in one)
    known = {"rows": _known(inner, asked), "columns": _known(objects, asked)}
    numbers = {"rows": _numbered(objects), "columns": _numbered(inner)}
    both = (("rows", "columns"), ("columns", "rows"))
    ways = [way for way, other in both if numbers[way] and not numbers[other]]
    ways += [way for way, other in both if known[way] and not known[other]]
    way = ways[0] if ways else None
    if way is None:
        raise DataError(
            f"{name}: an object of objects, either rows by id ({_few(objects)}) or columns by name "
            f"({_few(inner)} would be ids); save it as a list of objects, one a row, as "
            "DataFrame.to_json(orient='records') does"
        )
    if way == "rows":
        rows = [{"index": key, **one} for key, one in objects.items()]
        if [row["index"] for row in rows] == [str(at) for at in range(len(rows))]:
            rows = list(objects.values())
        return Shape("JSON object of rows", rows)
    take_cells(len(inner), len(objects), name)
    columns = {key: [one.get(at) for at in inner] for key, one in objects.items()}
    return Shape("JSON object of columns", columns=_with_index(columns, list(inner)))


def _known(names: Collection[str], asked: Collection[str]) -> bool:
    return any(name in asked or plain_name(name) in KNOWN_NAMES for name in names)


def _numbered(names: Collection[str]) -> bool:
    return all(name.isdecimal() for name in names)


def _few(names: Collection[str]) -> str:
    return ", ".join(list(names)[:4]) + (", ..." if len(names) > 4 else "")


def _with_index(columns: dict[str, list[Any]], index: Any) -> dict[str, Sequence[Any]]:
    """The columns with the index of pandas as the first, unless it only numbers the rows."""
    size = len(next(iter(columns.values()), []))
    is_index = isinstance(index, list) and len(index) == size and "index" not in columns
    if not is_index or list(map(str, index)) == list(map(str, range(size))):
        return dict(columns)
    return {"index": index, **columns}
