"""Prediction of texts, files and standard input as tables of label and probabilities."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from finetext.errors import DataError
from finetext.methods.base import Classifier
from finetext.options import read_data
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
        DataError: the source looks like a file that is not there, or cannot be read.
    """
    if source == "-":
        return _lines([line.rstrip("\r\n") for line in sys.stdin], "standard input")
    if _is_readable(source):
        return read_data(source, given, settings, labelled=False)
    if Path(source).suffix and " " not in source.strip():
        raise DataError(f"there is no file {source}; put a text of one word in front of a space")
    return _lines([source], "a text")


def predict_table(classifier: Classifier, dataset: Dataset) -> Table:
    """Predict every row.

    Returns:
        columns `id`, `text`, `prediction` (label names joined by commas when multi-label),
        `probability` (of the likeliest label) and `probability:LABEL` for each label.
    """
    scheme = classifier.scheme
    probabilities = classifier.predict_proba(dataset.texts)
    labels = scheme.decode(decide(probabilities, scheme, classifier.thresholds))
    table: Table = {
        "id": dataset.ids,
        "text": dataset.texts,
        "prediction": [",".join(of) for of in labels] if scheme.multilabel else labels,
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
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.absolute().parent}")


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
    """One text as lines of label and probability, likeliest first; several as CSV."""
    if len(table["id"]) != 1:
        _write_rows(table, ".csv", file)
        return
    found = [
        (values[0], name.removeprefix("probability:"))
        for name, values in table.items()
        if name.startswith("probability:")
    ]
    print(f"prediction: {table['prediction'][0] or 'no label'}", file=file)
    for probability, name in sorted(found, key=lambda pair: -pair[0]):
        print(f"{probability:.4f}  {name}", file=file)


def _write_rows(table: Table, suffix: str, file: TextIO) -> None:
    if suffix == ".jsonl":
        for row in rows_of(table):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        return
    writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """The rows of a table as mappings."""
    return (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))


def _is_readable(source: str) -> bool:
    try:
        exists = Path(source).exists()
    except (OSError, ValueError):
        exists = False
    return exists or source.startswith(("http://", "https://", "hub:"))


def _lines(texts: list[str], description: str) -> Dataset:
    import datasets

    columns = {"id": [str(number + 1) for number in range(len(texts))], "text": texts}
    return Dataset(datasets.Dataset.from_dict(columns), description=description)
