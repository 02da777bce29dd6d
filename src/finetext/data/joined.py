"""All parts of a source as one table: rows joined, ids unique, nothing lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, final

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding, LabelScheme
from finetext.core.wording import counted
from finetext.data.columns import Chosen, named
from finetext.data.labels import Labels, as_strings, missing
from finetext.data.rows import SPLIT_WORDS, Batch, Part

if TYPE_CHECKING:
    import datasets


ROWS_SHOWN: Final = 100
_PLACES_SHOWN: Final = 5


@dataclass(frozen=True)
class Joined:
    """The chosen columns of all parts, one after the other.

    Attributes:
        where: (n,) part of each row and its place in it, for messages.
    """

    texts: list[Any]
    labels: dict[str, list[Any]]
    groups: list[Any] | None
    ids: list[str]
    splits: list[str] | None
    where: list[tuple[Batch, int]]


def join(parts: Sequence[Part], chosen: Chosen) -> Joined:
    """Put the chosen columns of all parts one after the other.

    Raises:
        DataError: a part lacks a column, or ids are missing or repeated.
    """

    def column(name: str) -> list[Any]:
        return [v for part in parts for v in part.table.columns[named(part.table, name)]]

    labelled = all(has_column(part.table, name) for part in parts for name in chosen.labels)
    needed = [] if not labelled and all(part.split for part in parts) else list(chosen.labels)
    splits = [part.split for part in parts for _ in range(len(part.table)) if part.split]
    if chosen.split and not splits:
        words = [str(value).strip().lower() for value in column(chosen.split)]
        splits = [SPLIT_WORDS[word] for word in words]
    where = [(part.table, row) for part in parts for row in range(len(part.table))]
    return Joined(
        column(chosen.text),
        {name: column(name) for name in needed},
        None if chosen.group is None else column(chosen.group),
        _ids(parts, chosen.id),
        list(splits) or None,
        where,
    )


def with_usable_ids(
    parts: Sequence[Part], chosen: Chosen, settings: ReadSettings
) -> tuple[Chosen, tuple[Finding, ...]]:
    """Give up an id column that was found, not asked for, if it does not name every row."""
    if chosen.id is None or settings.id is not None:
        return chosen, ()
    try:
        _ids(parts, chosen.id)
    except DataError as error:
        message = f"the rows are numbered, since {error}"
        return replace(chosen, id=None), (Finding("warning", "odd-ids", message),)
    return chosen, ()


def _ids(parts: Sequence[Part], name: str | None) -> list[str]:
    """The id column, or row numbers; with the split before it where ids occur in two splits."""
    named_parts: list[tuple[str, list[str]]] = []
    numbered: Counter[str] = Counter()
    for part in parts:
        prefix = f"{part.split}/" if part.split else ""
        if name is None:
            start = numbered[prefix]
            numbered[prefix] += len(part.table)
            own = [str(start + row) for row in range(1, len(part.table) + 1)]
        else:
            own = _own_ids(part.table, named(part.table, name))
        named_parts.append((prefix, own))
    plain = [one for _, own in named_parts for one in own]
    clash = name is None or len(set(plain)) < len(plain)
    ids = [prefix + one for prefix, own in named_parts for one in own] if clash else plain
    if len(set(ids)) < len(ids):
        repeated, times = Counter(ids).most_common(1)[0]
        raise DataError(
            f"the id {repeated!r} in column {name!r} occurs {times} times; ids must be unique: "
            "name another column with --id"
        )
    return ids


def _own_ids(table: Batch, column: str) -> list[str]:
    ids = as_strings(table.columns[column])
    absent = [row for row, one in enumerate(ids) if one is None]
    if absent:
        raise DataError(f"{table.name}: the id column {column!r} is empty in {table.where(absent)}")
    return [str(one) for one in ids]


def has_column(table: Batch, name: str) -> bool:
    """Whether a table has a column of that name or number."""
    try:
        return bool(named(table, name))
    except DataError:
        return False


def kept(joined: Joined, keep: Sequence[bool]) -> Joined:
    """The rows where `keep`, (n,), is true."""
    return replace(
        joined,
        texts=list(compress(joined.texts, keep)),
        groups=None if joined.groups is None else list(compress(joined.groups, keep)),
        ids=list(compress(joined.ids, keep)),
        splits=None if joined.splits is None else list(compress(joined.splits, keep)),
        where=list(compress(joined.where, keep)),
    )


def to_table(
    joined: Joined, labels: Labels | None, scheme: LabelScheme | None, findings: list[Finding]
) -> datasets.Dataset:
    """The table of a `Dataset`, with the columns id, text and what else there is.

    Args:
        joined: n rows.
        labels: (n,) names of each row, or None.
        scheme: the scheme of the labels, or None.
        findings: what is noticed is added here.
    """
    import datasets
    import pyarrow as pa

    texts = as_texts(joined.texts)
    columns: dict[str, pa.Array] = {
        "id": pa.array(joined.ids, pa.string()),
        "text": _strings(texts, findings),
    }
    if labels is not None and scheme is not None:
        if scheme.multilabel:
            columns["label"] = pa.array(labels, pa.list_(pa.string()))
        else:
            columns["label"] = pa.array([own[0] if own else None for own in labels], pa.string())
    if joined.groups is not None:
        columns["group"] = pa.array(_groups(joined, findings), pa.string())
    if joined.splits is not None:
        columns["split"] = pa.array(joined.splits, pa.string())
    return datasets.Dataset(pa.table(columns))


def _groups(joined: Joined, findings: list[Finding]) -> list[str]:
    """The group of each row; a row without one is a group of its own, which is reported."""
    groups = as_strings(joined.groups or [])
    alone = tuple(one for one, group in zip(joined.ids, groups, strict=True) if group is None)
    if alone:
        have = "has" if len(alone) == 1 else "have"
        message = f"{counted(len(alone), 'row')} {have} no group: each counts as one of its own"
        findings.append(Finding("warning", "no-group", message, alone[:ROWS_SHOWN]))
    return [
        f"(row {one})" if group is None else group
        for one, group in zip(joined.ids, groups, strict=True)
    ]


def as_texts(values: Sequence[Any]) -> list[str]:
    """Values as texts; what is absent reads as the empty text."""
    return ["" if missing_text(value) else str(value) for value in values]


def missing_text(text: Any) -> bool:
    """Whether a text is absent, which reads as the empty text."""
    return not isinstance(text, str) and missing(text)


@final
class TextWatch:
    """Looks at the texts of a file, table by table, for what is no text."""

    def __init__(self) -> None:
        """Nothing seen so far."""
        self._rows = 0
        self._absent = 0
        self._places: list[str] = []
        self._name = ""

    def look(self, table: Batch, values: Sequence[Any]) -> None:
        """Count the texts that are absent.

        Args:
            table: the next rows of the file.
            values: (n,) their texts.

        Raises:
            DataError: one is a list or an object.
        """
        odd = () if set(map(type, values)) <= {str} else enumerate(values)
        for row, value in odd:
            place = f"line {table.lines[row]}" if table.lines else f"row {self._rows + row + 1}"
            if isinstance(value, list | tuple | set | dict):
                what = "an object" if isinstance(value, dict) else "a list"
                raise DataError(f"{table.name}, {place}: the text is {what}, not a string")
            if missing_text(value):
                self._absent += 1
                self._places += [place] if self._absent <= _PLACES_SHOWN else []
        self._rows += len(values)
        self._name = table.name

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning if any text so far was absent."""
        if not self._absent:
            return ()
        more = ", ..." if self._absent > _PLACES_SHOWN else ""
        message = (
            f"{self._name}: the text is missing in {counted(self._absent, 'row')} "
            f"({', '.join(self._places)}{more}), read as the empty text"
        )
        return (Finding("warning", "missing-texts", message),)


def _strings(texts: list[str], findings: list[Finding]) -> Any:
    """Texts as an Arrow array; halves of surrogate pairs, which are no characters, are replaced."""
    import pyarrow as pa

    texts, changed = whole_characters(texts)
    if changed:
        findings.append(broken_characters(changed))
    return pa.array(texts, pa.string())


def whole_characters(texts: list[str]) -> tuple[list[str], int]:
    """Texts with halves of surrogate pairs replaced, and in how many there were any."""
    try:
        "".join(texts).encode()
        return texts, 0
    except UnicodeEncodeError:
        pass
    whole = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    return whole, sum(a != b for a, b in zip(texts, whole, strict=True))


def broken_characters(count: int) -> Finding:
    """The warning on texts that were mended."""
    message = f"broken characters (half surrogate pairs) mended in {counted(count, 'text')}"
    return Finding("warning", "broken-characters", message)
