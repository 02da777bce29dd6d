"""The new rows that `monitor` looks at: texts, order, and which columns are true labels.

Tables of production have columns of few values that are no labels. So a column is taken by name
only, and only if it has classes of the model; what was taken, or why nothing was, is told.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any, Final, NoReturn, final

import numpy as np

from finetext.core import label_names
from finetext.core.addresses import public_address
from finetext.core.arrays import Floats
from finetext.core.budget import reading
from finetext.core.errors import DataError, RecipeError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.core.terminal import one_line
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.core.wording import counted, listed, short
from finetext.data.column_words import LITERAL, says
from finetext.data.columns import has_column, named, values_of
from finetext.data.flags import is_flag
from finetext.data.label_cells import missing
from finetext.data.read import assemble, open_source
from finetext.data.rows import LABEL_STATUS, ROWS_SHOWN, Place, Source
from finetext.data.weak_labels import WEAK
from finetext.diagnosis.watched_rows import WITHOUT_LABELS

_DROPPED: Final = "unlabelled-dropped"
_UNREAD: Final = "labels-unread"
_SHOWN: Final = 5
_Columns = tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class MonitoredRows:
    """Rows in the order of time.

    Attributes:
        labels: position to label, of the rows that have one.
        label_columns: the columns that these are from; empty without any.
        no_labels: why there are none, in words.
        findings: what was noticed in reading.
    """

    dataset: Dataset
    labels: Mapping[int, Any]
    label_columns: _Columns = ()
    no_labels: str = ""
    findings: tuple[Finding, ...] = ()
    source: str = "a Dataset"

    @property
    def description(self) -> str:
        """One line on where the rows are from, and which columns were taken."""
        texts = _quoted(self.dataset.columns_of("text") or ("text",))
        labels = f"no labels, since {self.no_labels}"
        if self.labels:
            labels = f"{counted(len(self.labels), 'label')} in {_quoted(self.label_columns)}"
        return f"{self.source}; text in {texts}; {labels}; {counted(len(self.dataset), 'row')}"


def settings_for(asked: ReadSettings, scheme: LabelScheme) -> ReadSettings:
    """Return settings of reading with the classes and the text columns of a model."""
    classes = scheme.names if asked.classes is None else asked.classes
    multilabel = scheme.multilabel if asked.multilabel is None else asked.multilabel
    return replace(asked, classes=classes, multilabel=multilabel).with_texts_of(scheme)


def read_rows(
    source: Any, asked: ReadSettings, scheme: LabelScheme, learned: _Columns, time: str | None
) -> MonitoredRows:
    """Read new rows, those without a label, too.

    Labels are those of the columns that `asked` names. Without any they are those of the columns
    that the model learned from, of the column that an annotation tool calls so, of one column of
    flags for each class, or of a column called label; if it has classes of the model.

    Args:
        source: what `finetext.read` takes.
        asked: the settings of the user; `labelled` false reads no labels.
        scheme: the classes of the model.
        learned: names of the columns that the model learned its labels from.
        time: column by which the rows are ordered.

    Raises:
        DataError: the rows cannot be read, a label is unknown to the model, or columns that
            differ could be the labels.
        RecipeError: a column of labels is named though there are none.
    """
    if asked.label is not None and not asked.labelled:
        raise RecipeError(
            f"--label {','.join(asked.label_columns)} and {WITHOUT_LABELS} contradict each other; "
            "leave one of them out"
        )
    if isinstance(source, Dataset):
        return _of_dataset(source, scheme, time, asked.labelled)
    how = settings_for(asked, scheme)
    with reading(how.most_bytes):
        opened = _opened(source, how)
        table = _Table(name_of(source), opened, how, scheme, asked.multilabel is True)
        found = table.labels(learned) if asked.labelled else _Labels(why=WITHOUT_LABELS)
        return table.rows(found, time)


def _opened(source: Any, how: ReadSettings) -> Source:
    """Open a source; only where a column of labels is named, lines may begin or end with one."""
    if how.label is not None:
        return open_source(source, how)
    texts = replace(how, labelled=False)
    try:
        return open_source(source, texts, how)
    except UnlabeledError:  # an export of an annotation tool before anybody has annotated
        return open_source(source, texts)


def name_of(source: Any) -> str:
    """Return what to call data: the name of their file, if they are one."""
    if isinstance(source, str | Path):
        name = public_address(str(source))
        return one_line(name if name.startswith("hub:") else Path(name).name or name)
    return "the data"


@final
@dataclass(frozen=True)
class _Labels:
    """The labels of some rows by their ids, and the columns they are from; or why there are none.

    `given` is how to name the columns in settings of reading.
    """

    of: Mapping[str, Any] = field(default_factory=dict)
    columns: _Columns = ()
    given: str | _Columns | None = None
    why: str = ""
    findings: tuple[Finding, ...] = ()


@final
@dataclass(frozen=True)
class _Table:
    """A source that was opened to read texts, and perhaps labels.

    Attributes:
        blank_is_none: whether a blank cell says that a text has none of several labels; it is
            otherwise one that nobody has filled in.
    """

    name: str
    opened: Source
    how: ReadSettings
    scheme: LabelScheme
    blank_is_none: bool

    def labels(self, learned: _Columns) -> _Labels:
        """Return the labels; see `read_rows`."""
        if self.how.label is not None:
            found = self._known(self._labels_in(self.how.label))
            none = f"{_quoted(found.columns)} has none that a person gave"
            return found if found.of else replace(found, columns=(), why=none)
        tried = [self._tried(columns) for columns in self._candidates(learned)]
        usable = [of for of in tried if of.of]
        for other in usable[1:]:
            if other.of != usable[0].of:
                self._ask([*usable[0].columns, *other.columns])
        if usable:
            return self._known(usable[0])
        if tried:
            return _Labels(why="; ".join(of.why for of in tried))
        if not learned or says(learned[0]).label == LITERAL:
            return _Labels(why="no column is called label")
        own = f"{_quoted(learned)}, from which the model learned"
        return _Labels(why=f"there is neither {own}, nor one called label")

    def _candidates(self, learned: _Columns) -> list[str | _Columns]:
        """Return the columns that by their names can be labels, several of flags together."""
        batch, scheme = self.opened.batches[0], self.scheme
        of_tool = () if batch.label is None else (batch.label,)
        flags = scheme.names if scheme.multilabel else ()
        filled = ([of for of in batch.column(name) if not missing(of)] for name in flags)
        if not all(map(is_flag, filled)):
            flags = ()
        called = [(name,) for name in batch.columns if says(name).label == LITERAL]
        found = dict.fromkeys(
            tuple(named(batch, name) for name in names)
            for names in (learned, of_tool, flags, *called)
            if names and all(has_column(batch, name) for name in names)
        )
        return [names[0] if len(names) == 1 else names for names in found]

    def _tried(self, columns: str | _Columns) -> _Labels:
        """Return the labels of columns that nobody named; none unless they have a known class."""
        of = _quoted((columns,) if isinstance(columns, str) else columns)
        try:
            found = self._labels_in(columns)
        except UnlabeledError:
            return _Labels(why=f"{of} has no label")
        except DataError as error:
            return _Labels(why=f"{of} cannot be read as labels ({error})")
        seen = list(_each(found.of.values()))
        if not seen:
            return replace(found, of={}, why=found.why or f"{of} has no label")
        if any(label_names.find(name, self.scheme.names) for name in dict.fromkeys(seen)):
            return found
        shown = listed([repr(name) for name in dict.fromkeys(seen)], _SHOWN)
        return _Labels(why=f"{of} has no class of the model, but {shown}")

    def _labels_in(self, columns: str | _Columns) -> _Labels:
        """Return the labels of columns, without blank and weak ones."""
        settings = replace(self.how, label=columns, labelled=True, drop_unlabelled=True)
        dataset, places = assemble(self.opened, settings)
        names = dataset.columns_of("label")
        skipped = self._blank(names, places)
        findings = [of for of in dataset.findings if of.code != _DROPPED]
        if LABEL_STATUS in dataset.table.column_names:
            weak = [row for row, of in enumerate(dataset.column(LABEL_STATUS)) if of == WEAK]
            skipped |= set(weak)
            findings.append(_weak(tuple(dataset.ids[row] for row in weak)))
        rows = zip(dataset.ids, dataset.labels, strict=True)
        kept = {row_id: label for row, (row_id, label) in enumerate(rows) if row not in skipped}
        return _Labels(kept, names, columns, findings=tuple(findings))

    def _blank(self, names: _Columns, places: Sequence[Place]) -> set[int]:
        """Return the rows of multi-label data in which all cells of the labels are blank."""
        if not self.scheme.multilabel or self.blank_is_none:
            return set()
        cells = [
            list(zip(*(batch.column(named(batch, name)) for name in names), strict=True))
            for batch in self.opened.batches
        ]
        return {row for row, (at, own) in enumerate(places) if all(map(missing, cells[at][own]))}

    def _known(self, found: _Labels) -> _Labels:
        """Return the labels; raise a DataError if one is no class of the model."""
        _refuse_unknown(f"{self.name}, {_quoted(found.columns)}", found.of, self.scheme)
        return found

    def _ask(self, columns: Sequence[str]) -> NoReturn:
        raise DataError(
            f"{self.name}: the labels in {_quoted(columns)} differ; name the true ones with "
            f"--label {quote(columns[0])}, or read none with --set data.labelled=false"
        )

    def rows(self, found: _Labels, time: str | None) -> MonitoredRows:
        """Return all rows in their order, with these labels."""
        plain = replace(
            self.how, labelled=False, drop_unlabelled=False, out_of_scope=None, label=found.given
        )
        if found.given is None:
            plain = replace(
                plain, classes=None, multilabel=None, label_names=None, label_delimiter=None,
                missing=(),
            )  # fmt: skip
        dataset, places = assemble(self.opened, plain)
        order = np.arange(len(dataset))
        if time is not None:
            order = np.argsort(self._moments(time, places), kind="stable")
            dataset = dataset.select(order)
        ids = enumerate(dataset.ids)
        labels = {row: found.of[row_id] for row, row_id in ids if row_id in found.of}
        noticed = [of for of in dataset.findings if of.code != _UNREAD]
        findings = tuple(dict.fromkeys((*noticed, *found.findings)))
        source = f"{self.opened.title}: {self.opened.batches[0].form}"
        return MonitoredRows(dataset, labels, found.columns, found.why, findings, source)

    def _moments(self, time: str, places: Sequence[Place]) -> Floats:
        """Return the numbers or dates of a column as numbers."""
        name, columns = values_of(self.opened.batches, time)
        return _moments([columns[at][row] for at, row in places], f"{self.name}, column {name!r}")


def _of_dataset(
    source: Dataset, scheme: LabelScheme, time: str | None, has_labels: bool
) -> MonitoredRows:
    """Return the rows of a data set that was read before, with its labels."""
    if time is not None:
        raise DataError(
            f"a Dataset has no column {time!r} to order by; give the file that it was read from"
        )
    if not has_labels or source.scheme is None:
        why = "the Dataset has none" if has_labels else WITHOUT_LABELS
        return MonitoredRows(source, {}, (), why, source.findings)
    labels = {row: label for row, label in enumerate(source.labels) if label is not None}
    by_id = {source.ids[row]: label for row, label in labels.items()}
    _refuse_unknown("the Dataset", by_id, scheme)
    columns = source.columns_of("label") or ("label",)
    return MonitoredRows(source, labels, columns, "", source.findings)


def _refuse_unknown(where: str, labels: Mapping[str, Any], scheme: LabelScheme) -> None:
    """Raise a DataError if a label is no class of the model."""
    rows = Counter(_each(labels.values()))
    odd = [name for name in rows if label_names.find(name, scheme.names) is None]
    if not odd:
        return
    first = next(row for row, label in labels.items() if odd[0] in _each([label]))
    has = f"{counted(sum(rows[name] for name in odd), 'label')} of {rows.total():,}"
    codes = json.dumps(odd[:_SHOWN], ensure_ascii=False)
    raise DataError(
        f"{where}: {has} are no class of the model, first that of the row {first}: "
        f"{label_names.unknown(odd[0], scheme.names)}. Correct them, or read such rows without "
        f"their label: --set {quote(f'data.missing={codes}')}; all rows without: --set "
        "data.labelled=false"
    )


def _each(labels: Iterable[Any]) -> Iterator[str]:
    """Yield the names in labels, of which each can be several."""
    for label in labels:
        yield from (label,) if isinstance(label, str) else label


def _quoted(columns: Sequence[str]) -> str:
    """Return columns in words."""
    names = listed([repr(short(name)) for name in columns], _SHOWN)
    return f"the column{'s' * (len(columns) > 1)} {names}"


def _weak(rows: Sequence[str]) -> Finding:
    message = (
        f"{counted(len(rows), 'label')} {'is' if len(rows) == 1 else 'are'} weak ({LABEL_STATUS}): "
        "a model gave them, so they are not taken for true ones"
    )
    return Finding("note", "weak-labels-left-out", message, tuple(rows[:ROWS_SHOWN]))


def _moments(values: Sequence[Any], name: str) -> Floats:
    """Return numbers or dates, of one kind, as numbers; raise a DataError that names another."""
    found, kinds = list[float](), list[str]()
    for row, value in enumerate(values):
        text = "" if value is None else str(value).strip()
        where = f"{name}: row {row + 1} has {text!r}, "
        if (moment := _moment(text)) is None:
            raise DataError(
                f"{where}which is no number and no date such as 2026-11-30 or 2026-11-30T14:05:00; "
                "correct it, or order the rows by another column"
            )
        found.append(moment[0])
        kinds.append(moment[1])
        if kinds[-1] != kinds[0]:
            raise DataError(
                f"{where}which is {kinds[-1]}, and row 1 has {kinds[0]}: they have no common "
                "order; correct it, or order the rows by another column"
            )
    return np.array(found)


def _moment(text: str) -> tuple[float, str] | None:
    """Return a finite number or a date as a number, and its kind in words; None of others.

    Dates without time zone are taken as in UTC, so that no hour is there twice.
    """
    try:
        return (value, "a number") if math.isfinite(value := float(text)) else None
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        return date.replace(tzinfo=UTC).timestamp(), "a date without a time zone"
    return date.timestamp(), "a date with a time zone"
