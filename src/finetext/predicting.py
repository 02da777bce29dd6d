"""Prediction of texts, files and standard input as tables of label and probabilities.

Everything goes in chunks of rows, so that memory does not grow with the input: `read_input` gives
chunks of texts, `predictions` makes a table of each, and sinks write one table after the other.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TextIO, final

import numpy as np

from finetext.arguments import check_place, read_settings
from finetext.console import blaming, json_text
from finetext.data.stream import Chunk, Texts, all_of, lines_of, open_stream
from finetext.errors import DataError
from finetext.methods.base import Classifier, ProgressEvent, decided, silent

Table = dict[str, list[Any]]
Sink = Callable[[Table], None]
_LABELS: Final = ("prediction", "set")
SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".parquet")


def read_input(source: str, given: Mapping[str, Any], settings: list[str] | None) -> Texts:
    """The texts to predict: a file or anything else `read` takes, lines of standard input, a text.

    Args:
        source: "-" for standard input, something that can be read, or else the text itself.
        given: options of reading.
        settings: assignments `data.NAME=VALUE`.

    Raises:
        DataError: the source looks like a file that is not there, cannot be read, is empty or
            closed, or has no columns that an option could concern.
    """
    if _is_readable(source):
        return _read(source, given, settings)
    if given or settings:
        what = "standard input has one text a line" if source == "-" else "this is one text"
        raise DataError(f"{what}: --text, --id and --set are for files; leave them out")
    if source == "-" and sys.stdin is None:
        raise DataError("standard input is closed; give one text a line")
    if source == "-":
        return lines_of(sys.stdin.buffer, "standard input")
    if Path(source).suffix[1:].isalnum() and not set(source) & set(" \n"):
        raise DataError(f"there is no file {source}; a text that looks like one needs a space")
    text = source.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return Texts(iter([Chunk(["1"], [text], 1.0)]))


def _read(source: str, given: Mapping[str, Any], settings: list[str] | None) -> Texts:
    """The rows of a large file as they come, of anything else as a whole."""
    from finetext.data.read import read

    how = read_settings({"labelled": False, **given}, settings)
    stream = open_stream(Path(source), how) if _exists(source) else None
    return stream or all_of(read(source, settings=how))


def is_text(source: str) -> bool:
    """Whether the source is itself the text to predict."""
    return source != "-" and not _is_readable(source)


def predictions(
    classifier: Classifier, texts: Texts, progress: Callable[[ProgressEvent], None] = silent
) -> Iterator[Table]:
    """A table of predictions for each chunk of texts.

    Args:
        classifier: any rung.
        texts: the texts; what reading noticed is in their findings when all tables were taken.
        progress: told the number of rows so far, and what it will be by the share that was read.
    """
    done = 0
    for chunk in texts.chunks:
        yield predict_table(classifier, chunk)
        done += len(chunk.texts)
        total = round(done / chunk.share) if chunk.share else 0
        progress(ProgressEvent(f"predicting: {done:,} rows", done, total))


def predict_table(classifier: Classifier, chunk: Chunk) -> Table:
    """Predict every row.

    Returns:
        columns `id`, `text`, `prediction` (a list of label names when multi-label; None where the
        classifier abstains), `set` (label names, likeliest first) if it makes prediction sets,
        `probability` (of the label given; of the likeliest when multi-label) and
        `probability:LABEL` for each label.
    """
    scheme = classifier.scheme
    probabilities = classifier.predict_proba(chunk.texts)
    decision, rows = classifier.decision, np.arange(len(probabilities))
    given = decision.labels(probabilities, scheme.multilabel)
    table: Table = {
        "id": list(chunk.ids),
        "text": list(chunk.texts),
        "prediction": decided(scheme, decision, probabilities),
    }
    if (sets := decision.sets(probabilities)) is not None:
        likely = np.argsort(-probabilities, axis=1, kind="stable")
        pairs = zip(likely, sets, strict=True)
        table["set"] = [[scheme.names[i] for i in order if among[i]] for order, among in pairs]
    highest = probabilities.max(axis=1) if scheme.multilabel else probabilities[rows, given]
    table["probability"] = highest.tolist()
    for column, name in enumerate(scheme.names):
        table[f"probability:{name}"] = probabilities[:, column].tolist()
    return table


def check_output(path: Path, source: str = "-") -> None:
    """Refuse a file that could not or should not be written, before any work is done.

    Args:
        path: the file.
        source: what is predicted; see `read_input`.

    Raises:
        DataError: the suffix is unknown, the folder is missing, or the file is the source.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: the suffix must be one of {', '.join(SUFFIXES)}")
    check_place(path)
    if _exists(source) and path.exists() and path.samefile(source):
        raise DataError(f"{path} is the input itself; write the predictions to another file")


@contextmanager
def table_file(path: Path, source: str = "-") -> Iterator[Sink]:
    """A file of CSV, TSV, JSON lines or Parquet by the suffix, which tables are appended to.

    It is written beside its place, and renamed when the body has ended without an error. The
    place of a link is what it leads to.

    Args:
        path: the file.
        source: what is predicted; see `read_input`.

    Raises:
        DataError: it cannot or should not be written.
    """
    check_output(path, source)
    place = Path(os.path.realpath(path))
    with ExitStack() as stack:
        with blaming(str(path)):
            unfinished = stack.enter_context(_part_of(place))
            kind = _ParquetFile if path.suffix == ".parquet" else _TextFile
            file = kind(unfinished, path.suffix)
        stack.callback(_close_anyhow, file)

        def write(table: Table) -> None:
            with blaming(str(path)):
                file.write(table)

        yield write
        with blaming(str(path)):
            file.close()
            unfinished.replace(place)


@contextmanager
def _part_of(place: Path) -> Iterator[Path]:
    """A new file beside a place, of a name of its own, that is gone at the end unless renamed."""
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    unfinished.open("xb").close()
    try:
        yield unfinished
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def table_printer(file: TextIO) -> Sink:
    """Every row as a line of CSV, below a header."""
    headed = False

    def write(table: Table) -> None:
        nonlocal headed
        with blaming("standard output", file):
            _write_rows(table, ".csv", file, not headed)
            file.flush()
        headed = True

    return write


@contextmanager
def json_printer(file: TextIO) -> Iterator[Sink]:
    """Every row as an item of one JSON list."""
    between = "["

    def write(table: Table) -> None:
        nonlocal between
        with blaming("standard output", file):
            for row in rows_of(table):
                file.write(f"{between}\n  " + json_text(row).replace("\n", "\n  "))
                between = ","
            file.flush()

    yield write
    with blaming("standard output", file):
        file.write("[]\n" if between == "[" else "\n]\n")


def text_printer(file: TextIO) -> Sink:
    """The only row as lines of label and probability, likeliest first."""

    def write(table: Table) -> None:
        with blaming("standard output", file):
            print_text(table, file)

    return write


def print_text(table: Table, file: TextIO) -> None:
    """The only row as lines of label and probability, likeliest first."""
    found = [
        (values[0], name.removeprefix("probability:"))
        for name, values in table.items()
        if name.startswith("probability:")
    ]
    given = table["prediction"][0]
    abstains = "none, as no label is probable enough"
    print(f"prediction: {abstains if given is None else _joined(given) or 'no label'}", file=file)
    if "set" in table:
        print(f"prediction set: {_joined(table['set'][0]) or 'no label'}", file=file)
    for probability, name in sorted(found, key=lambda pair: -pair[0]):
        print(f"{probability:.4f}  {name}", file=file)


def _write_rows(table: Table, suffix: str, file: TextIO, headed: bool) -> None:
    if suffix == ".jsonl":
        for row in rows_of(table):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        return
    writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    if headed:
        writer.writerow(table)
    shown = table | {name: list(map(_joined, table[name])) for name in _LABELS if name in table}
    writer.writerows(zip(*shown.values(), strict=True))


@final
class _TextFile:
    """CSV, TSV or JSON lines."""

    def __init__(self, path: Path, suffix: str) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._suffix = suffix
        self._headed = False

    def write(self, table: Table) -> None:
        _write_rows(table, self._suffix, self._file, not self._headed)
        self._headed = True

    def close(self) -> None:
        self._file.close()


@final
class _ParquetFile:
    """Parquet, a row group for each table."""

    def __init__(self, path: Path, suffix: str) -> None:
        self._file = path.open("wb")
        self._writer: Any = None

    def write(self, table: Table) -> None:
        import pyarrow
        import pyarrow.parquet

        several = any(isinstance(labels, list) for labels in table["prediction"][:1])
        string, strings = pyarrow.string(), pyarrow.list_(pyarrow.string())
        label = strings if several else string
        kinds = {"id": string, "text": string, "prediction": label, "set": strings}
        schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in table])
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self._file, schema)
        self._writer.write_table(pyarrow.table(table, schema=schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._file.close()


def _close_anyhow(file: _TextFile | _ParquetFile) -> None:
    with suppress(OSError):
        file.close()


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """The rows of a table as mappings."""
    return (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))


def _joined(value: Any) -> Any:
    """Several labels as one string."""
    return ",".join(value) if isinstance(value, list) else value


def _is_readable(source: str) -> bool:
    return _exists(source) or source.startswith(("http://", "https://", "hub:"))


def _exists(source: str) -> bool:
    try:
        return bool(source) and Path(source).exists()
    except (OSError, ValueError):
        return False
