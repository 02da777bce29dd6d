"""Tables as read to a `Dataset`: columns chosen, labels named, ids unique, nothing lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from pathlib import Path

from finetext.core.errors import DataError, UnlabelledError
from finetext.core.settings import ReadSettings
from finetext.core.types import SPLIT_NAMES, Dataset, Finding, LabelScheme
from finetext.core.wording import counted
from finetext.data.columns import Chosen, choose_columns, named, refuse_odd_text
from finetext.data.joined import (
    ROWS_SHOWN,
    Joined,
    TextWatch,
    has_column,
    join,
    kept,
    to_table,
    with_usable_ids,
)
from finetext.data.labels import (
    Labels,
    ReadLabels,
    indicator_labels,
    names_from,
    order_names,
    parse_names,
    rename,
    split_labels,
)
from finetext.data.rows import Batch, Part, Reading


def assemble(reading: Reading, settings: ReadSettings, folder: Path | None = None) -> Dataset:
    """Make a data set of the tables of one source.

    Args:
        reading: at least one table, with its ready-made split if it is one.
        settings: what the user said.
        folder: where a file of label names may lie beside the data.

    Raises:
        DataError: the data cannot be used as asked; see `finetext.data.read.read`.
    """
    chosen = _choose(reading.parts, settings)
    parts, left_out = _with_labels(reading.parts, chosen, settings)
    for part in parts:
        _refuse_empty(part.table)
    chosen, no_ids = with_usable_ids(parts, chosen, settings)
    joined = join(parts, chosen)
    findings = [*reading.findings, *left_out, *no_ids, *_odd_texts(parts, chosen, settings)]
    findings += [finding for part in parts for finding in part.table.findings]
    labels, scheme, told = None, None, ""
    if joined.labels:
        labels, scheme, told, noticed = _labels(joined, reading, settings, folder)
        findings += noticed
        joined, labels = _drop(joined, labels, settings, findings)
        if not scheme.names and not settings.labelled:
            labels, scheme = None, None
        if settings.labelled and labels is not None and scheme is not None:
            _refuse_odd_labels(labels, scheme, chosen, settings)
    table = to_table(joined, labels, scheme, findings)
    description = describe(reading, joined, chosen, told, scheme)
    return Dataset(table, scheme, description, tuple(findings))


def rows_of(reading: Reading, settings: ReadSettings) -> dict[str, tuple[Batch, int]]:
    """Where each row stands, by the id that `assemble` gives it; raises the same."""
    chosen = _choose(reading.parts, settings)
    parts, _ = _with_labels(reading.parts, chosen, settings)
    chosen, _ = with_usable_ids(parts, chosen, settings)
    joined = join(parts, chosen)
    return dict(zip(joined.ids, joined.where, strict=True))


def _choose(parts: Sequence[Part], settings: ReadSettings) -> Chosen:
    _refuse_empty(parts[0].table)
    return choose_columns(parts[0].table, settings)


def _refuse_empty(table: Batch) -> None:
    if not len(table):
        header = f" but a header ({', '.join(table.columns)})" if table.columns else ""
        raise DataError(f"{table.name} has no rows{header}")


def _odd_texts(parts: Sequence[Part], chosen: Chosen, settings: ReadSettings) -> list[Finding]:
    """Warnings on texts that are absent; before training, the checks count those as blank.

    Raises:
        DataError: a column does not hold texts, or a list among them.
    """
    findings: list[Finding] = []
    for part in parts:
        values = part.table.columns[named(part.table, chosen.text)]
        refuse_odd_text(part.table, chosen.text, values)
        watch = TextWatch()
        watch.look(part.table, values)
        findings += () if settings.labelled else watch.findings
    return findings


def _with_labels(
    parts: Sequence[Part], chosen: Chosen, settings: ReadSettings
) -> tuple[list[Part], list[Finding]]:
    """Leave out ready-made splits without labels, such as the hidden test set of a benchmark."""
    usable, findings = [], []
    for part in parts:
        lacks = [name for name in chosen.labels if not has_column(part.table, name)]
        if lacks and settings.labelled and part.split not in (None, "train"):
            message = (
                f"{part.table.name} has no label column {lacks[0]!r}: left out with its "
                f"{counted(len(part.table), 'row')}, so there is no ready-made {part.split} split"
            )
            findings.append(Finding("warning", "split-without-labels", message))
        else:
            usable.append(part)
    return usable, findings


def _labels(
    joined: Joined, reading: Reading, settings: ReadSettings, folder: Path | None
) -> tuple[Labels, LabelScheme, str, list[Finding]]:
    """Labels by name, their scheme, what to say about it, and what was noticed."""
    several = len(joined.labels) > 1
    column = next(iter(joined.labels))
    read = (
        indicator_labels(joined.labels)
        if several
        else split_labels(joined.labels[column], settings)
    )
    order: Sequence[str] | None = tuple(joined.labels) if several else None
    told = [read.form] if read.form else []
    classes = next(
        (c for t, _ in joined.where[:1] for k, c in t.classes.items() if k == column), None
    )
    if settings.label_names is not None:
        names, source = names_from(settings.label_names, folder)
        read, order = rename(read, names, source)
        told.append(f"names from {source}")
    elif classes is not None:
        read, order = rename(read, dict(enumerate_names(classes)), "the class names of the data")
    else:
        names, source = _names_beside(read, reading)
        if names:
            read, order = rename(read, names, source)
            told.append(f"names from {source}")
    scheme = order_names(read, order)
    absent = [name for name in order or () if name not in scheme.index]
    noticed = list(read.findings)
    if absent:
        shown = ", ".join(absent[:10]) + (" and more" if len(absent) > 10 else "")
        noticed.append(Finding("note", "absent-labels", f"no row has the label {shown}"))
    return read.rows, scheme, ", ".join(told), noticed


def enumerate_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """Names with their ids from "0"."""
    return [(str(place), name) for place, name in enumerate(names)]


def _names_beside(read: ReadLabels, reading: Reading) -> tuple[dict[str, str], str]:
    """The names in a file beside the data, if the labels are ids that it has names for."""
    used = {label for row in read.rows if row for label in row}
    if not used or not all(label.isdecimal() for label in used):
        return {}, ""
    for file in reading.beside:
        try:
            names = parse_names(file)
        except DataError:
            continue
        if used <= set(names) and not used <= set(names.values()):
            return names, file.path.name
    return {}, ""


def _drop(
    joined: Joined, labels: Labels, settings: ReadSettings, findings: list[Finding]
) -> tuple[Joined, Labels]:
    """Rows without a label: an error, or left out if the user says so.

    Raises:
        DataError: labels are missing and were not to be dropped; the message has the rows.
    """
    absent = [row for row, own in enumerate(labels) if own is None]
    if not absent or (not settings.labelled and not settings.drop_unlabelled):
        return joined, labels
    if not settings.drop_unlabelled:
        table = joined.where[absent[0]][0]
        own = [joined.where[row][1] for row in absent if joined.where[row][0] is table]
        kind = UnlabelledError if len(absent) == len(labels) else DataError
        blank = ", or say that a blank one means no label with --set data.multilabel=true"
        raise kind(
            f"{table.name}: the label is missing in {len(own):,} of {counted(len(table), 'row')} "
            f"({table.where(own)}); fill it in, or leave these rows out with --drop-unlabelled"
            + (blank if _several_in_a_value(joined, labels) else "")
        )
    ids = tuple(joined.ids[row] for row in absent[:ROWS_SHOWN])
    verb = "is" if len(absent) == 1 else "are"
    message = f"{counted(len(absent), 'row')} without a label {verb} left out"
    findings.append(Finding("warning", "unlabelled-dropped", message, ids))
    keep = [own is not None for own in labels]
    return kept(joined, keep), list(compress(labels, keep))


def _several_in_a_value(joined: Joined, labels: Labels) -> bool:
    """Whether values of the one label column hold several labels."""
    return len(joined.labels) == 1 and any(len(own) > 1 for own in labels if own)


def _refuse_odd_labels(
    labels: Labels, scheme: LabelScheme, chosen: Chosen, settings: ReadSettings
) -> None:
    """Make sure that there are labels to tell apart.

    Raises:
        DataError: no label or only one, or nearly as many as rows.
    """
    shown = f"the label column {chosen.labels[0]!r}"
    if not labels or not scheme.names:
        raise UnlabelledError(f"{shown} has no labels")
    if settings.classes is not None:
        return
    same = len(scheme) == 1 and all(labels)
    if same:
        raise UnlabelledError(
            f"{shown} has one class only, {scheme.names[0]!r}; a classifier needs two or more"
        )
    if len(labels) >= 20 and len(scheme) > len(labels) / 2:
        raise DataError(
            f"{shown} has {len(scheme):,} different values in {len(labels):,} rows: these are no "
            "classes; name another column with --label"
        )


def describe(
    reading: Reading, joined: Joined, chosen: Chosen, told: str, scheme: LabelScheme | None
) -> str:
    """One line on what was read and chosen."""
    head = f"{reading.title}: {reading.parts[0].table.form}"
    columns = [f"text {chosen.text!r}"]
    if scheme is not None:
        shown = ", ".join(repr(name) for name in chosen.labels)
        columns.append(f"label {shown}" + (f" ({told})" if told else ""))
    columns += [f"{k} {v!r}" for k, v in (("group", chosen.group), ("id", chosen.id)) if v]
    if chosen.split and not any(part.split for part in reading.parts):
        columns.append(f"ready-made splits of column {chosen.split!r}")
    counts = Counter(joined.splits)
    splits = ", ".join(f"{split} {counts[split]:,}" for split in SPLIT_NAMES if counts[split])
    size = counted(len(joined.ids), "row") + (f" ({splits})" if splits else "")
    if scheme is not None:
        size += f", {counted(len(scheme), 'label')}"
        size += ", several a row" if scheme.multilabel else ""
    return f"{head}; {', '.join(columns)}; {size}"
