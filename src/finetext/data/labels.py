"""Label values to label names: one or several per row, ids to names, and the order of classes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

from finetext.core import label_names
from finetext.core.budget import take_json
from finetext.core.errors import DataError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding, LabelScheme
from finetext.core.wording import short
from finetext.data.flags import affirmative, flagged_labels
from finetext.data.label_cells import as_strings, find_joiner, missing, names_in, split_cell
from finetext.data.rows import File, Source
from finetext.data.sources import decode, file_at
from finetext.data.structured_cells import multi_hot, plain_values

MOST_DIFFERENT: Final = 0.5
"""Labels per row above which a column holds no classes."""
MOST_DIFFERENT_OF_FEW: Final = 0.8
"""The same of a sample of up to `FEW` rows, which hold one row of many a class."""
FEW: Final = 500
Labels = list[list[str] | None]
"""Names of each row, exactly one unless multi-label; None where the label is missing."""


def name_labels(
    columns: Mapping[str, Sequence[Any]], source: Source, settings: ReadSettings
) -> tuple[Labels, LabelScheme, str, list[Finding]]:
    """Return the labels of n rows by name, their scheme, how they were read, and findings.

    The rows are those of all batches of the source, one batch after another.

    Raises:
        DataError: a value is no label, or the settings contradict the values.
    """
    column = next(iter(columns))
    findings: list[Finding] = []
    order: Sequence[str] | None = None
    _refuse_contradiction(settings)
    width = 0
    if len(columns) > 1:
        rows, form, findings = flagged_labels(columns)
        order, multilabel = tuple(columns), True
        if settings.multilabel is False:
            rows, multilabel = _one_each(rows, source), False
        findings += _unused_delimiter(settings, "there are several label columns")
    else:
        values, form = plain_values(columns[column], partial(_place, source))
        lists = any(issubclass(kind, list) for kind in {*map(type, values)})
        width = multi_hot(values) if lists else 0
        if width:
            rows = [None if v is None else [str(n) for n, on in enumerate(v) if on] for v in values]
            form, multilabel = "lists of 0 and 1", settings.multilabel is not False
            rows = rows if multilabel else _one_each(rows, source)
        elif lists:
            rows, multilabel = _listed(values, form, source, settings, findings)
        else:
            decimals = _decimals(column, values, source, settings)
            pointed = _pointed(values, decimals, findings)
            rows, joined, multilabel = _split(pointed, settings, findings)
            form = ", ".join(filter(None, (form, joined)))
        rows = _spelled(rows, _known(settings, source), findings)
    details = [form] if form else []
    classes = next((b.classes[column] for b in source.batches if column in b.classes), None)
    if settings.label_names is not None:
        names, origin = _names_from(settings.label_names, source.folder)
        details.append(f"names from {origin}")
    elif classes is not None:
        names, origin = dict(_numbered(classes)), "the class names of the data"
    else:
        names, origin = _names_beside(rows, source.beside)
        details += [f"names from {origin}"] if names else []
    if width and len(names) != width:
        raise DataError(_unnamed(width, names, origin, f"{_place(source, 0)}: {column!r}"))
    if names or settings.label_names is not None:
        rows, order = _renamed(rows, names, origin)
    used = _used(rows)
    numbers = _are_numbers(used)
    ordered = sorted(used, key=lambda name: (int(name) if numbers else 0, name))
    kept = ordered if order is None else [name for name in order if name in used]
    scheme = LabelScheme(tuple(kept), multilabel, affirmative=affirmative(kept))
    if absent := [name for name in order or () if name not in used]:
        shown = ", ".join(absent[:10]) + (" and more" if len(absent) > 10 else "")
        findings.append(Finding("note", "absent-labels", f"no row has the label {shown}"))
    return rows, scheme, ", ".join(details), findings


def _unnamed(width: int, names: Mapping[str, str], origin: str, where: str) -> str:
    known = f"{origin} has {len(names)}" if names else "no names are known"
    return (
        f"{where} holds lists of {width} values of 0 and 1, one for each label, and {known}; give "
        f"the {width} names in their order with --label-names FILE"
    )


def _place(source: Source, row: int) -> str:
    """The place of a row of a source in words: "x.csv, line 3"."""
    for batch in source.batches:
        if row < len(batch):
            return batch.place(row)
        row -= len(batch)
    return source.title


def _refuse_contradiction(settings: ReadSettings) -> None:
    if settings.multilabel is False and settings.label_delimiter:
        raise DataError(
            f"data.multilabel = false and data.label_delimiter = {settings.label_delimiter!r} "
            "contradict each other: one label a row needs no delimiter; leave one of them out"
        )


def _unused_delimiter(settings: ReadSettings, reason: str) -> list[Finding]:
    """A warning that the delimiter of labels has no effect, if one is set."""
    message = f"data.label_delimiter = {settings.label_delimiter!r} has no effect: {reason}"
    found = [Finding("warning", "unused-label-delimiter", message)]
    return found if settings.label_delimiter else []


def _one_each(rows: Labels, source: Source) -> Labels:
    """The rows, whose lists must hold one label each; an empty list is a missing label."""
    for row, own in enumerate(rows):
        if own is not None and len(own) > 1:
            raise DataError(
                f"{_place(source, row)}: the row has {len(own)} labels "
                f"({', '.join(map(repr, own[:5]))}), but data.multilabel = false says that each "
                "has one; leave that setting out, or correct the row"
            )
    return [own or None for own in rows]


def _listed(
    values: Sequence[Any],
    form: str,
    source: Source,
    settings: ReadSettings,
    findings: list[Finding],
) -> tuple[Labels, bool]:
    """Labels in lists or objects, and whether a row can have several.

    Lists can hold several even if each holds one, as a note says. Objects, such as {"good": 1,
    "bad": 0}, hold one label a row unless one holds several.
    """
    empty: list[str] | None = [] if settings.multilabel else None
    rows = [empty if missing(value) else names_in(value) for value in values]
    findings += _unused_delimiter(settings, f"the labels are {form}")
    if settings.multilabel is False:
        return _one_each(rows, source), False
    most = max((len(own) for own in rows if own is not None), default=0)
    if "lists" not in form and most < 2 and not settings.multilabel:
        return [own or None for own in rows], False
    if settings.multilabel is None and all(own is None or len(own) == 1 for own in rows):
        message = (
            "every row has a list of exactly one label, read as several labels a row; if a text "
            "has one label only, use --set data.multilabel=false"
        )
        findings.append(Finding("note", "lists-of-one", message))
    return rows, True


def _known(settings: ReadSettings, source: Source) -> set[str]:
    """The labels of a model and the given names of labels, which are spelled as they are."""
    known = {*(settings.classes or ())}
    if settings.label_names is not None:
        names, _ = _names_from(settings.label_names, source.folder)
        known |= {*names, *names.values()}
    return known


def _spelled(rows: Labels, known: set[str], findings: list[Finding]) -> Labels:
    """The rows with one spelling of each label, that of the known labels if there are any."""
    used = _used(rows)
    spelling = label_names.same_spellings(sorted(used))
    for name in used if known else ():
        if label_names.pointed(name) == name:  # see `_decimals` for others
            spelling[name] = label_names.find(name, known) or spelling[name]
    changed = {name: own for name, own in spelling.items() if own != name}
    if not changed:
        return rows
    shown = ", ".join(f"{_seen(name)} as {own!r}" for name, own in [*changed.items()][:5])
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    message = f"spellings of labels that mean the same are read as one: {shown}{more}"
    findings.append(Finding("note", "labels-spelled", message))
    spelled = [own and list(dict.fromkeys(spelling[n] for n in own if spelling[n])) for own in rows]
    return [None if own and not new else new for own, new in zip(rows, spelled, strict=True)]


def _seen(name: str) -> str:
    """A name in quotes, escaped if it has characters that are not seen."""
    return repr(name) if name.isascii() or label_names.clean(name) == name else ascii(name)


def refuse_odd_labels(
    labels: Labels, scheme: LabelScheme, column: str, settings: ReadSettings
) -> None:
    """Check that there are labels to tell apart."""
    shown = f"the label column {column!r}"
    if not labels or not scheme.names:
        raise UnlabeledError(f"{shown} has no labels")
    if settings.classes is not None:
        return
    if len(scheme) == 1 and all(labels):
        raise UnlabeledError(
            f"{shown} has one class only, {scheme.names[0]!r}; a classifier needs two or more"
        )
    most = MOST_DIFFERENT_OF_FEW if len(labels) <= FEW else MOST_DIFFERENT
    if len(labels) >= 20 and len(scheme) > most * len(labels):
        raise DataError(
            f"{shown} has {len(scheme):,} different values in {len(labels):,} rows, too few rows "
            "of each to learn from; if they are classes, collect more of each or merge some; "
            "if they are not, name another column with --label"
        )


def _decimals(
    column: str, values: Sequence[Any], source: Source, settings: ReadSettings
) -> dict[str, str]:
    """Values with a decimal comma, such as 2,5, as numbers with a point; none if they are others.

    All must fit, with one or two digits after the comma. The labels of a model decide, else the
    delimiter of the file: semicolons stand where commas are decimal, and tabs unless all parts of
    the values stand alone too.

    Raises:
        DataError: they may be several labels a row as well.
    """
    names = {value for value in values if isinstance(value, str) and value.strip()}
    halves = {name: label_names.clean(name).split(",") for name in names if "," in name}
    pointed = {name: label_names.pointed(name) for name in names}
    if settings.multilabel or settings.label_delimiter or not halves:
        return {}
    fits = all(pointed[name] != name or label_names.is_whole(name) for name in names)
    known = _known(settings, source)
    if not fits or not known.isdisjoint(halves):
        return {}
    spelling = label_names.same_spellings(sorted({*pointed.values()}))
    numbers = {name: spelling[own] for name, own in pointed.items()}
    parts = {part for own in halves.values() for part in own}
    if settings.multilabel is False or (
        known and all(label_names.find(own, known) for own in numbers.values())
    ):
        return numbers
    forms = {batch.form.partition("-separated")[0] for batch in source.batches}
    if parts <= known or not forms <= {"semicolon", "tab", "comma"}:
        return {}
    if forms == {"semicolon"} or (forms <= {"semicolon", "tab"} and not parts <= names):
        return numbers
    if find_joiner(list(filter(None, as_strings(values)))) != ",":
        return {}
    name = min(halves)
    raise DataError(
        f"{source.title}: labels such as {name!r} in the column {column!r} may be numbers with a "
        f"decimal comma, {numbers[name]}, or several labels, {' and '.join(halves[name])}; say "
        "which: --set data.multilabel=false reads numbers, --set data.label_delimiter=',' several "
        "labels"
    )


def _pointed(
    values: Sequence[Any], numbers: Mapping[str, str], findings: list[Finding]
) -> Sequence[Any]:
    """The values with numbers instead of those with a decimal comma, if any, which a note says."""
    if not numbers:
        return values
    shown = ", ".join(f"{name!r} as {numbers[name]!r}" for name in sorted(numbers) if "," in name)
    message = (
        f"labels with a decimal comma are read as numbers: {short(shown, 80)}; if they are several "
        "labels, use --set data.label_delimiter=','"
    )
    findings.append(Finding("note", "decimal-commas", message))
    return [numbers.get(value, value) for value in values]


def _split(
    values: Sequence[Any], settings: ReadSettings, findings: list[Finding]
) -> tuple[Labels, str, bool]:
    """Labels of one column, how several were joined in words, and whether it is multi-label."""
    empty: list[str] | None = [] if settings.multilabel else None
    names = as_strings(values)
    there = [name for name in names if name is not None]
    joiner = settings.label_delimiter
    if joiner and not any(joiner in name for name in there):
        findings += _unused_delimiter(settings, "no value has it")
    if settings.multilabel is not False:
        joiner = joiner or find_joiner(there, sure=bool(settings.multilabel))
    if joiner is None and not settings.multilabel:
        alone = {name: [name] for name in set(there)}  # shared, which takes much less time
        return [None if name is None else alone[name] for name in names], "", False
    rows = [empty if name is None else split_cell(name, joiner) for name in names]
    form = f"joined by {joiner!r}" if joiner else ""
    joined = {name: row for row in rows if row and len(row) > 1 for name in row}
    single = {row[0] for row in rows if row and len(row) == 1}
    name = next((name for name in joined if name not in single), None)
    if name is not None and not (settings.multilabel or settings.label_delimiter):
        message = (
            f"labels {form} are taken apart, though {name!r} never stands alone: a text can have "
            f"several labels, such as {' and '.join(map(repr, joined[name]))}; if these are one "
            "label, use --set data.multilabel=false"
        )
        findings.append(Finding("warning", "labels-taken-apart", message))
    return rows, form, True


def _used(rows: Labels) -> set[str]:
    return set(chain.from_iterable(filter(None, rows)))


def _numbered(names: Iterable[object], start: int = 0) -> list[tuple[str, str]]:
    return [(str(place), str(name)) for place, name in enumerate(names, start=start)]


def _names_from(source: Any, folder: Path | None) -> tuple[dict[str, str], str]:
    """Label id to name in the order of the classes, and where the names are from in words."""
    if isinstance(source, Mapping):
        return {str(key): str(value) for key, value in source.items()}, "the given mapping"
    if not isinstance(source, str | Path):
        return dict(_numbered(source)), "the given names"
    for path in (Path(source), *([folder / source] if folder else [])):
        if path.is_file():
            return _parse_names(file_at(path)), path.name
    raise DataError(f"there is no file of label names {str(source)!r}")


def _names_beside(rows: Labels, files: Sequence[File]) -> tuple[dict[str, str], str]:
    """The names in a file beside the data, if the labels are ids that it has names for."""
    used = _used(rows) if files else set()
    for file in files if used and all(label.isdecimal() for label in used) else ():
        with suppress(DataError):
            names = _parse_names(file)
            if used <= set(names) and not used <= set(names.values()):
                return names, file.path.name
    return {}, ""


def _parse_names(file: File) -> dict[str, str]:
    """Label id to name from one name per line, a JSON list or object, or a CSV of id and name."""
    text, _ = decode(file.load(), file.name)
    suffix = file.path.suffix.lower()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    joiner = {".csv": ",", ".tsv": "\t"}.get(suffix)
    found = dict(_numbered(lines))
    if suffix == ".json":
        take_json(text, file.name)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file.name}: not valid JSON: {error}") from None
        if not isinstance(content, list | dict):
            raise DataError(f"{file.name}: neither a JSON list nor an object of label names")
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        found = {str(key): str(label) for key, label in pairs}
    elif joiner and all(joiner in line for line in lines):
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=joiner) if row]
        if not rows[0][0].strip().lstrip("-").isdecimal() and len(rows) > 1:
            rows = rows[1:] if rows[1][0].strip().isdecimal() else rows
        found = {row[0].strip(): row[1].strip() for row in rows if len(row) > 1}
        found = found or dict(_numbered(row[0].strip() for row in rows))  # quoted names alone
    if not found:
        raise DataError(f"{file.name} holds no label names")
    return found


def _renamed(rows: Labels, names: Mapping[str, str], origin: str) -> tuple[Labels, list[str]]:
    """The labels with names in place of ids, and all names in their order."""
    used, known = _used(rows), list(names)
    if all(value.isdecimal() for value in names.values()) and not _are_numbers(names):
        names = {value: name for name, value in names.items()}
    by_id = {one: names[one] for one in (sorted(names, key=int) if _are_numbers(names) else names)}
    ways = [by_id, {name: name for name in by_id.values()}]
    if list(by_id) == [str(place) for place in range(len(by_id))]:
        ways.append(dict(_numbered(by_id.values(), start=1)))
    table = next((way for way in ways if used <= set(way)), by_id)
    if unknown := sorted(used - set(table)):
        raise DataError(
            f"the label {unknown[0]!r} has no name in {origin}, which has names for: "
            f"{', '.join(known[:10])}{' and more' if len(known) > 10 else ''}"
        )
    renamed = [None if row is None else [table[label] for label in row] for row in rows]
    return renamed, list(dict.fromkeys(table.values()))


def _are_numbers(ids: Iterable[str]) -> bool:
    return all(re.fullmatch(r"-?[0-9]{1,18}", one) for one in ids)
