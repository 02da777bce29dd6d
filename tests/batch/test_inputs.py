"""Texts to predict, and tables of predictions."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.batch.inputs import is_text, one_text, read_input
from finetext.batch.output import Files, opened
from finetext.batch.tables import predict_table
from finetext.cli.predict import print_text
from finetext.core.decision import AS_LIKELY
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import LabelScheme
from finetext.data.formats import parse_text
from finetext.data.label_cells import comma_joined
from finetext.data.predictions import read_predicted_table
from finetext.data.rows import Rows
from finetext.data.write import check_table, rows_of, text_of
from finetext.methods.majority import MajorityClassifier

Pairs = tuple[list[str], list[str]]


def classifier(names: Sequence[str], chances: Sequence[float], several: bool = False) -> Any:
    return MajorityClassifier(LabelScheme(tuple(names), several), AS_LIKELY, np.array(chances))


def one(text: str) -> Rows:
    (chunk,) = read_input(text).batches
    return chunk


def rows(source: str, read: dict[str, Any]) -> Pairs:
    """Ids and texts of all chunks."""
    chunks = list(read_input(source, read).batches)
    return [i for c in chunks for i in c.ids], [text for c in chunks for text in c.texts]


@pytest.mark.parametrize(
    "text", ["", " ", "word", "two words", "see a.csv and b", "a\nb.csv", "3.5 %",
             "https://t.co/x what a film", "hub: a film"],
)  # fmt: skip
def test_text_is_taken_as_it_is(workplace: Path, text: str) -> None:
    assert rows(text, {}) == (["1"], [text])


@pytest.mark.parametrize("name", ["nothere.csv", "folder/nothere.txt", "nothere.parquet"])
def test_text_that_looks_like_a_file_must_exist(workplace: Path, name: str) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_input(name)


def test_file_is_read_with_or_without_labels(workplace: Path, reviews: Path) -> None:
    Path("in.csv").write_text("nr,review\nx,a fine film\ny,a dull film\n")
    films = ["a fine film", "a dull film"]
    assert rows("in.csv", {"text": "review", "id": "nr"}) == (["x", "y"], films)
    assert len(rows(str(reviews), {})[0]) == 60
    Path("lines.txt").write_text("a fine film\na dull film\n")
    assert rows("lines.txt", {}) == (["1", "2"], films)
    assert len(rows("in.csv", {"encoding": "latin-1", "header": False})[0]) == 3


@pytest.mark.parametrize("source", ["-", "one text"])
def test_settings_of_reading_are_refused_without_columns(workplace: Path, source: str) -> None:
    for read in ({"text": "review"}, {"encoding": "latin-1"}, ReadSettings()):
        with pytest.raises(DataError, match="--header, --sheet and --set are for files"):
            read_input(source, read)


def test_text_is_told_from_a_source(workplace: Path, reviews: Path) -> None:
    assert is_text("a fine film")
    assert not is_text("-")
    assert not is_text("https://example.org/films.csv")
    assert not is_text("hub:jane/films")
    for address in (
        "s3://b/new",
        "s3://b/new data.csv",
        "gs://b/new data.jsonl.gz",
        "s3://b/new data/",
    ):
        assert not is_text(address)
    assert is_text("s3://bucket/key is where it was")
    assert not is_text(str(reviews))


def test_invalid_bytes_are_replaced(workplace: Path) -> None:
    assert rows("caf\udce9 noir", {}) == (["1"], ["caf\ufffd noir"])


def test_one_label() -> None:
    table = predict_table(classifier(["b", "a"], [0.25, 0.75]), one("any text"))
    assert list(rows_of(table)) == [
        {
            "id": "1", "text": "any text", "prediction": "a", "probability": 0.75,
            "probability:b": 0.25, "probability:a": 0.75,
        }
    ]  # fmt: skip
    out = io.StringIO()
    print_text(table, out, 2)
    assert out.getvalue() == "prediction: a\n0.7500  a\n0.2500  b\n"


@pytest.mark.parametrize(
    ("chances", "given", "shown"),
    [([0.9, 0.6], ["b", "a"], "b,a"), ([0.1, 0.7], ["a"], "a"), ([0.1, 0.2], [], "no label")],
)
def test_several_labels(chances: list[float], given: list[str], shown: str) -> None:
    table = predict_table(classifier(["b", "a"], chances, several=True), one("any text"))
    assert table["prediction"] == [given]
    assert table["probability"] == [max(chances)]
    out = io.StringIO()
    print_text(table, out, 2)
    assert out.getvalue().startswith(f"prediction: {shown}\n")


@pytest.mark.parametrize("form", [".csv", ".tsv"])
def test_line_breaks_of_any_kind_stay_in_their_cells(form: str) -> None:
    texts = ["old\rMac", "Unix\nline", "Win\r\ndows", "\r", "", 'quo"te', "a,b\tc"]
    written = text_of({"text\r": texts, "n": list(range(7))}, form, headed=True)
    read = csv.reader(io.StringIO(written, newline=""), delimiter="\t" if form == ".tsv" else ",")
    assert list(read) == [["text\r", "n"], *([text, str(n)] for n, text in enumerate(texts))]
    assert not written.endswith("\r\n")


@pytest.mark.parametrize("form", [".csv", ".tsv"])
@pytest.mark.parametrize(
    "odd", ['she said "no" to it', '"all"', "old\rMac", "two\nlines", "a\tb, c"]
)
def test_table_with_odd_cells_is_read_as_it_was(form: str, odd: str) -> None:
    texts = [odd, "a plain text", "another"]
    written = text_of({"id": list("abc"), "text": texts}, form, headed=True)
    settings = ReadSettings(labelled=False)
    assert parse_text(written, f"out{form}", form, settings, True).columns["text"] == texts


def test_labels_with_a_comma_are_read_as_they_were(tmp_path: Path) -> None:
    names = ["food, drink", "food", "drink"]
    rows = [["food, drink"], ["food", "drink"], ["food, drink", "food"], []]
    found = {f"probability:{name}": [float(name in row) for row in rows] for name in names}
    table = {"id": list("abcd"), "truth": rows, "prediction": rows, **found}
    table["truth"] = [comma_joined(row) for row in rows]
    path = tmp_path / "out.csv"
    path.write_text(text_of(table, ".csv", headed=True))
    predictions = read_predicted_table(path).predictions
    assert predictions.scheme.decode(predictions.targets) == rows
    assert predictions.scheme.decode(predictions.decisions) == rows


def test_output_that_cannot_be_written_is_refused(workplace: Path) -> None:
    Path("folder.csv").mkdir()
    for path, said in (
        ("x.xls", "Excel files are written as .xlsx"),
        ("x", "must be one of"),
        ("no/x.csv", "there is no folder no"),
        ("folder.csv", "it is a folder"),
    ):
        with pytest.raises(DataError, match=said):
            check_table(Path(path))


def write(path: Path, *written: Any) -> None:
    with opened(Files(path, force=True)) as output:
        output.begin(None, {})
        for table in written:
            output.write(table)


def test_failed_write_keeps_the_older_file(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = predict_table(classifier(["b", "a"], [0.25, 0.75]), one("any text"))
    path = Path("out.csv")
    path.write_text("old")

    def fail(*arguments: object, **more: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr("finetext.batch.files.text_of", fail)
        with pytest.raises(DataError, match="disk full"):
            write(path, table)
    assert path.read_text() == "old"
    assert [file.name for file in workplace.iterdir()] == ["out.csv"]
    write(path, table, table)
    assert len(path.read_text().splitlines()) == 3
    assert path.read_text().startswith("id,text,prediction,probability,probability:b")


def test_a_pattern_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").touch()
    with pytest.raises(DataError, match=r"pattern of several files.*--out FOLDER/"):
        one_text(f"{tmp_path}/*.parquet")
    with pytest.raises(DataError, match="there is no file"):
        one_text(f"{tmp_path}/*.csv")
