"""`read`: any source of labeled text to a `Dataset`, with nothing lost and nothing guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import compress, repeat
from pathlib import Path
from typing import Any, Final

from finetext.core import registry
from finetext.core.budget import explained, reading, take_rows, within_memory
from finetext.core.errors import DataError, NoRowsError, near
from finetext.core.paths import expanded
from finetext.core.settings import ReadSettings
from finetext.core.types import SPLIT_NAMES, Dataset, Finding, LabelScheme, SplitName
from finetext.core.wording import counted
from finetext.data.annotations import plain
from finetext.data.annotators import annotations_in, merged
from finetext.data.column_roles import describe, roles_of
from finetext.data.columns import (
    Chosen,
    choose_columns,
    has_column,
    named,
    refuse_odd_text,
    splits_in,
    values_of,
    with_labels,
)
from finetext.data.download import download
from finetext.data.folders import label_name_files, read_file, read_place, read_tree
from finetext.data.formats import TEXT_A_LINE
from finetext.data.label_cells import as_strings
from finetext.data.labels import Labels, name_labels, refuse_odd_labels
from finetext.data.missing_labels import (
    code_findings,
    coded_rows,
    labeled_rows,
    out_of_scope_rows,
    scope_findings,
)
from finetext.data.records import batch_from, read_hub, source_from_splits
from finetext.data.rows import (
    SPLIT_WORDS,
    Batch,
    Place,
    Source,
    TextWatch,
    table_of,
    unused_settings,
)
from finetext.data.sources import file_at, files_below
from finetext.data.weak_labels import predicted_labels, statuses_in
from finetext.storage.filesystems import is_address, place_of

__all__ = ["ReadSettings", "read"]

_ELSEWHERE: Final = ("hub:", "http://", "https://")


@within_memory
def read(
    source: Any,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    group: str | None = None,
    id: str | None = None,
    *,
    settings: ReadSettings | None = None,
) -> Dataset:
    """Read labeled text from any source.

    Args:
        source: the path of a file (CSV, TSV, plain lines, JSON, JSON lines, Parquet, Excel; .gz
            of these), or of a folder or archive with one folder per class or with files named
            train, validation and test; an http(s) address of a file, or any in object storage
            (s3://, gs://, ...); "hub:NAME"; the name of a sample; a mapping from split to these;
            a pandas or polars frame; a list of texts, a pair (texts, labels), a list of mappings;
            a `datasets` object.
        text: column of the texts, or several to join; if None, found by name or content, if one
            column qualifies.
        label: column of the labels, or several columns of flags; found in the same way if None.
        group: column of the groups, such as author or film.
        id: column of unique row ids; if None, a column with such a name, or row numbers.
        settings: all other settings; the four arguments above override it.

    Returns:
        every row in the order of the source, with a line on what was chosen, and with `roles`:
        each column, what it was taken for, and why.

    Raises:
        DataError: the source cannot be read, or not as labeled text, or several columns qualify;
            the message says where, and what to do.
        MissingExtraError: the format needs a package that is not installed.
    """
    if isinstance(source, Dataset):
        return source if settings is None else _with_positive(source, settings)
    given: dict[str, Any] = {"text": text, "label": label, "group": group, "id": id}
    given = {name: value if isinstance(value, str) else tuple(value)
             for name, value in given.items() if value is not None}  # fmt: skip
    settings = replace(settings or ReadSettings(), **given)
    with reading(settings.most_bytes):
        return assemble(open_source(source, settings), settings)[0]


def _with_positive(dataset: Dataset, settings: ReadSettings) -> Dataset:
    """The data with the positive class of the settings, the only one that applies to them."""
    if dataset.scheme is None or settings.positive is None:
        return dataset
    return replace(dataset, scheme=dataset.scheme.with_positive(settings.positive))


def source_columns(
    source: Any, names: Sequence[str], ids: Sequence[str], settings: ReadSettings | None = None
) -> dict[str, list[Any]]:
    """Return columns that `read` ignores, by name or number, for some rows; None where absent."""
    settings = settings or ReadSettings(labelled=False)
    opened = open_source(source, settings)
    dataset, places = assemble(opened, settings)
    rows = dict(zip(dataset.ids, places, strict=True))
    if absent := [one for one in ids if one not in rows]:
        more = f", nor {len(absent) - 1:,} more" if len(absent) > 1 else ""
        raise DataError(
            f"{opened.title} has no row {absent[0]!r}{more}, of {counted(len(ids), 'row')}: name "
            "the column of their ids with --id"
        )
    found: dict[str, list[Any]] = {}
    for name in names:
        column, values = values_of(opened.batches, name)
        found[column] = [values[at][row] for at, row in map(rows.__getitem__, ids)]
    return found


def open_source(source: Any, settings: ReadSettings, tools: ReadSettings | None = None) -> Source:
    """Return batches of plain columns; `tools` are other settings for annotation exports."""
    with reading(settings.most_bytes), explained(source):
        opened, how = _open(source, settings), tools or settings
        return replace(opened, batches=tuple(plain(of, how) for of in opened.batches))


def _open(source: Any, settings: ReadSettings) -> Source:
    if isinstance(source, str | Path):
        return _open_named(str(source), settings)
    if isinstance(source, Mapping) and source:
        if all(hasattr(part, "features") for part in source.values()):
            return source_from_splits(source, "datasets.DatasetDict")
        if all(str(key).lower() in SPLIT_WORDS for key in source):
            return _open_splits(source, settings)
    batch = batch_from(source)
    return Source("datasets.Dataset" if batch.form == "datasets" else batch.name, (batch,))


def _open_splits(source: Mapping[Any, Any], settings: ReadSettings) -> Source:
    of_split = {SPLIT_WORDS[str(name).lower()]: part for name, part in source.items()}
    if len(of_split) < len(source):
        raise DataError(f"two of the names {', '.join(map(str, source))} mean the same split")
    opened = {n: _open(of_split[n], settings) for n in SPLIT_NAMES if n in of_split}
    return replace(
        next(iter(opened.values())),
        title=" + ".join(one.title for one in opened.values()),
        batches=tuple(
            replace(batch, split=name, is_named=True)
            for name, one in opened.items()
            for batch in one.batches
        ),
        findings=tuple(finding for one in opened.values() for finding in one.findings),
    )


def refuse_missing(source: Any) -> None:
    """Raise a DataError, before any work, for a name of no file, folder or sample."""
    is_path = isinstance(source, str | Path) and not is_address(source)
    if is_path and not str(source).lower().startswith(_ELSEWHERE):
        _place_of(str(source))


def _open_named(source: str, settings: ReadSettings) -> Source:
    if source.startswith("hub:"):
        return read_hub(source.removeprefix("hub:"))
    if source.lower().startswith(_ELSEWHERE[1:]):
        return read_file(download(source, settings), settings)
    if is_address(source):
        return read_place(place_of(source), settings)
    path = _place_of(source)
    if path.is_dir():
        return replace(read_tree(files_below(path), path.resolve().name, settings), folder=path)
    beside_it = label_name_files([file_at(other) for other in path.resolve().parent.iterdir()])
    return replace(read_file(file_at(path), settings, beside_it), folder=path.parent)


def _place_of(source: str) -> Path:
    """Return the file or folder of a name, or of a sample; raises a DataError without any."""
    path = expanded(source)
    exists, beside = False, []
    with suppress(OSError, ValueError):
        exists = path.exists()
        beside = [] if exists else [entry.name for entry in path.parent.iterdir()]
    samples = registry.names("samples")
    if not exists and source not in samples:
        offer = near(path.name, [*beside, *samples])
        raise DataError(f"there is no file, folder or sample {source!r}{offer}")
    return path if exists else Path(registry.load("samples", source)())


def assemble(source: Source, settings: ReadSettings) -> tuple[Dataset, list[Place]]:
    """Return the data set of a source, and the place of each of its rows; raises as `read` does."""
    _refuse_empty(source.batches[0])
    take_rows(sum(map(len, source.batches)), source.title)
    chosen = choose_columns(source.batches[0], settings)
    used, findings = with_labels(source.batches, chosen, settings)
    batches = [source.batches[at] for at in used]
    _refuse_empty(*batches)

    def column(name: str) -> list[Any]:
        return [value for batch in batches for value in batch.columns[named(batch, name)]]

    columns: dict[str, list[Any]] = {"text": [v for b in batches for v in chosen.texts_in(b)]}
    findings = [*source.findings, *chosen.findings, *findings, *unused_settings(batches, settings)]
    columns["id"], chosen = _ids(batches, chosen, settings, findings)
    findings += _check_texts(batches, chosen, settings)
    columns["place"] = [(at, row) for at in used for row in range(len(source.batches[at]))]
    columns |= {"group": column(chosen.group)} if chosen.group is not None else {}
    splits, noticed = _ready_made(batches, chosen.split, settings)
    chosen = replace(chosen, split=chosen.split if splits else None)
    columns |= ({"split": list(splits)} if splits else {}) | statuses_in(batches, findings)
    findings += noticed
    labeled = all(has_column(batch, name) for batch in batches for name in chosen.labels)
    labels, scheme, details, annotations, others = None, None, "", None, None
    if chosen.labels and (labeled or not all(batch.split for batch in batches)):
        given = {name: column(name) for name in chosen.labels}
        counts = _counting(given, columns["place"], source, settings, findings)
        shown = replace(source, batches=tuple(batches))
        labels, scheme, details = _named_labels(given, shown, settings, findings)
    if labels is not None and scheme is not None:
        if chosen.annotator is not None:
            by = [v for batch in batches for v in batch.column(chosen.annotator)]
            annotations, shared = annotations_in(columns, labels, by, chosen.annotator)
            if settings.labelled and annotations is not None:
                labels, own, noticed = merged(annotations, shared, labels, scheme.multilabel)
                findings += noticed
                counts = [a and b for a, b in zip(counts, own, strict=True)]
        if settings.labelled:
            labels, columns = _kept(labels, columns, counts)
        keep = labeled_rows(labels, columns, source, chosen, settings, findings)
        labels, columns = _kept(labels, columns, keep)
        if settings.out_of_scope is not None:
            is_annotated = annotations is not None
            is_out, scheme = out_of_scope_rows(labels, scheme, settings, is_annotated, findings)
            others = _others(labels, columns, is_out)
            labels, columns = _kept(labels, columns, [not of for of in is_out])
        if settings.labelled:
            refuse_odd_labels(labels, scheme, chosen.labels[0], settings)
            if settings.classes is None and not scheme.multilabel:
                findings += code_findings(labels, scheme.names)
                findings += scope_findings(labels, scheme.names)
            scheme = replace(scheme.with_positive(settings.positive), **chosen.stored)
        elif not scheme.names:
            labels, scheme = None, None
    table = table_of(columns, labels, scheme is not None and scheme.multilabel, findings)
    beside = "" if others is None else f", and {counted(len(others), 'text')} out of scope"
    description = describe(source, columns, chosen, details, scheme) + beside
    roles = roles_of(batches[0], chosen, settings, len(scheme or ()), labels)
    data = Dataset(table, scheme, description, tuple(findings), roles, annotations, others)
    return data, columns["place"]


def _ids(
    batches: Sequence[Batch], chosen: Chosen, settings: ReadSettings, findings: list[Finding]
) -> tuple[list[str], Chosen]:
    """The ids of the rows, and the columns without that of odd ids that nobody named."""
    try:
        return _row_ids(batches, chosen.id), chosen
    except DataError as error:
        if settings.id is not None:
            raise
        findings.append(Finding("warning", "odd-ids", f"the rows are numbered, since {error}"))
        return _row_ids(batches, None), replace(chosen, id=None)


def _others(
    labels: Labels, columns: dict[str, list[Any]], is_out: Sequence[bool]
) -> Dataset | None:
    """The rows that are out of scope, without labels; None if there are none."""
    if not any(is_out):
        return None
    return Dataset(table_of(_kept(labels, columns, is_out)[1], None, False, []))


def _kept(
    labels: Labels, columns: dict[str, list[Any]], keep: Sequence[bool]
) -> tuple[Labels, dict[str, list[Any]]]:
    """Labels and columns without the rows that are not kept."""
    if all(keep):
        return labels, columns
    kept = {name: list(compress(values, keep)) for name, values in columns.items()}
    return list(compress(labels, keep)), kept


def _counting(
    given: dict[str, list[Any]],
    places: Sequence[Place],
    source: Source,
    settings: ReadSettings,
    findings: list[Finding],
) -> list[bool]:
    """Whether each row has a label that counts; the labels of the others become missing."""
    out = [set(batch.left_out) for batch in source.batches]
    counts = [row not in out[at] for at, row in places]
    if settings.missing and len(given) == 1:
        coded = coded_rows(next(iter(given.values())), settings, findings)
        counts = [own and not code for own, code in zip(counts, coded, strict=True)]
    if not all(counts):
        for name, values in given.items():
            given[name] = [v if own else None for v, own in zip(values, counts, strict=True)]
    return counts


def _named_labels(
    given: Mapping[str, Sequence[Any]],
    source: Source,
    settings: ReadSettings,
    findings: list[Finding],
) -> tuple[Labels | None, LabelScheme | None, str]:
    """The labels, their scheme and how they were read; none if they cannot be and need not."""
    try:
        labels, scheme, details, noticed = name_labels(given, source, settings)
    except DataError as error:
        if settings.labelled or settings.label or settings.label_names is not None:
            raise
        findings.append(Finding("note", "labels-unread", f"labels are not read, since {error}"))
        return None, None, ""
    findings += noticed
    return labels, scheme, details


def _check_texts(batches: Sequence[Batch], chosen: Chosen, settings: ReadSettings) -> list[Finding]:
    """Refuse what is no text, and return what was noticed in each batch."""
    findings: list[Finding] = []
    for batch in batches:
        values = chosen.texts_in(batch)
        refuse_odd_text(batch, chosen.text, values)
        watch = TextWatch()
        watch.look(batch, values)
        # Before training, the data checks report missing texts as blank ones.
        findings += [] if settings.labelled else watch.findings
    findings += predicted_labels(batches, chosen.labels) if settings.labelled else []
    return findings + [finding for batch in batches for finding in batch.findings]


def _ready_made(
    batches: Sequence[Batch], column: str | None, settings: ReadSettings
) -> tuple[Sequence[SplitName] | None, list[Finding]]:
    """The split of each row, if batches or a column say it."""
    if splits := [batch.split for batch in batches for _ in range(len(batch)) if batch.split]:
        return splits, []
    return splits_in(batches, column, settings) if column else (None, [])


def _refuse_empty(*batches: Batch) -> None:
    for batch in (one for one in batches if not len(one)):
        header = f" but a header ({', '.join(batch.columns)})" if batch.columns else ""
        raise NoRowsError(f"{batch.name} has no rows{header}")


def _row_ids(batches: Sequence[Batch], name: str | None) -> list[str]:
    """The id column, or numbers; with the split as prefix if ids occur in two splits.

    They are the numbers of the rows, and of the lines in a file of one text a line.
    """
    plain, prefixes = list[str](), list[str]()
    numbered: Counter[str] = Counter()
    for batch in batches:
        prefix = f"{batch.split}/" if batch.split else ""
        prefixes += repeat(prefix, len(batch))
        if name is None and len(batches) == 1 and batch.form == TEXT_A_LINE:
            plain += map(str, batch.lines or ())
            continue
        if name is None:
            start = numbered[prefix]
            numbered[prefix] += len(batch)
            plain += map(str, range(start + 1, numbered[prefix] + 1))
            continue
        column = named(batch, name)
        own = as_strings(batch.columns[column])
        if absent := [row for row, one in enumerate(own) if one is None]:
            where = batch.where(absent)
            raise DataError(f"{batch.name}: the id column {column!r} is empty in {where}")
        plain += map(str, own)
    clash = any(prefixes) and (name is None or len(set(plain)) < len(plain))
    ids = [prefix + one for prefix, one in zip(prefixes, plain, strict=True)] if clash else plain
    if len(set(ids)) < len(ids):
        repeated, times = Counter(ids).most_common(1)[0]
        raise DataError(
            f"the id {repeated!r} in column {name!r} occurs {times} times; ids must be unique: "
            "name another column with --id"
        )
    return ids
