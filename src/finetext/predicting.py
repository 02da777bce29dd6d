"""Prediction of texts, files and standard input as tables of label and probabilities."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TextIO

from finetext.arguments import check_place, read_data
from finetext.data.decode import decode
from finetext.errors import DataError
from finetext.methods.base import Classifier
from finetext.types import Dataset, decide

Table = dict[str, list[Any]]
SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".parquet")


def read_input(source: str, given: Mapping[str, Any], settings: list[str] | None) -> Dataset:
    """The texts to predict: a file or anything else `read` takes, lines of standard input, a text.

    Args:
        source: "-" for standard input, something that can be read, or else the text itself.
        given: options of reading.
        settings: assignments `data.NAME=VALUE`.

    Raises:
        DataError: the source looks like a file that is not there, cannot be read, or is empty, or
            has no columns that an option could concern.
    """
    if _is_readable(source):
        return read_data(source, {"labelled": False, **given}, settings)
    if given or settings:
        what = "standard input has one text a line" if source == "-" else "this is one text"
        raise DataError(f"{what}: --text, --id and --set are for files; leave them out")
    if source == "-":
        return _standard_input()
    if Path(source).suffix[1:].isalnum() and not set(source) & set(" \n"):
        raise DataError(f"there is no file {source}; a text that looks like one needs a space")
    return _lines([source.encode("utf-8", "surrogateescape").decode("utf-8", "replace")], "a text")


def is_text(source: str) -> bool:
    """Whether the source is itself the text to predict."""
    return source != "-" and not _is_readable(source)


def predict_table(classifier: Classifier, dataset: Dataset) -> Table:
    """Predict every row.

    Returns:
        columns `id`, `text`, `prediction` (a list of label names when multi-label),
        `probability` (of the likeliest label) and `probability:LABEL` for each label.
    """
    scheme = classifier.scheme
    probabilities = classifier.predict_proba(dataset.texts)
    labels = scheme.decode(decide(probabilities, scheme, classifier.thresholds))
    table: Table = {
        "id": dataset.ids,
        "text": dataset.texts,
        "prediction": labels,
        "probability": probabilities.max(axis=1).tolist() if len(probabilities) else [],
    }
    for column, name in enumerate(scheme.names):
        table[f"probability:{name}"] = probabilities[:, column].tolist()
    return table


def check_output(path: Path) -> None:
    """Refuse a file that could not be written, before any work is done.

    Raises:
        DataError: the suffix is unknown, or the folder is missing.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: the suffix must be one of {', '.join(SUFFIXES)}")
    check_place(path)


def write_table(table: Table, path: Path) -> None:
    """Write CSV, TSV, JSON lines or Parquet by the suffix, beside its place, and rename it."""
    check_output(path)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.table(table), unfinished)
        else:
            with unfinished.open("w", encoding="utf-8", newline="") as file:
                _write_rows(table, path.suffix, file)
        unfinished.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def print_table(table: Table, file: TextIO) -> None:
    """Every row as a line of CSV, below a header."""
    _write_rows(table, ".csv", file)


def print_text(table: Table, file: TextIO) -> None:
    """The only row as lines of label and probability, likeliest first."""
    found = [
        (values[0], name.removeprefix("probability:"))
        for name, values in table.items()
        if name.startswith("probability:")
    ]
    print(f"prediction: {_joined(table['prediction'][0]) or 'no label'}", file=file)
    for probability, name in sorted(found, key=lambda pair: -pair[0]):
        print(f"{probability:.4f}  {name}", file=file)


def _write_rows(table: Table, suffix: str, file: TextIO) -> None:
    if suffix == ".jsonl":
        for row in rows_of(table):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        return
    writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    writer.writerow(table)
    writer.writerows(map(_joined, row) for row in zip(*table.values(), strict=True))


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """The rows of a table as mappings."""
    return (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))


def _joined(value: Any) -> Any:
    """Several labels as one string."""
    return ",".join(value) if isinstance(value, list) else value


def _is_readable(source: str) -> bool:
    try:
        exists = bool(source) and Path(source).exists()
    except (OSError, ValueError):
        exists = False
    return exists or source.startswith(("http://", "https://", "hub:"))


def _standard_input() -> Dataset:
    text, findings = decode(sys.stdin.buffer.read(), "standard input")
    if not text:
        raise DataError("standard input is empty; give one text a line")
    lines = text.removesuffix("\n").split("\n")
    dataset = _lines([line.removesuffix("\r") for line in lines], "standard input")
    return replace(dataset, findings=tuple(findings))


def _lines(texts: list[str], description: str) -> Dataset:
    import datasets

    columns = {"id": [str(number + 1) for number in range(len(texts))], "text": texts}
    return Dataset(datasets.Dataset.from_dict(columns), description=description)
