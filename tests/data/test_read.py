"""`read` on real data sets, and what it refuses, with the place and what to do."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from finetext.core import registry
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.data.read import read, source_columns
from finetext.data.sources import decode

UNLABELED = ReadSettings(labelled=False)


def names(data: Dataset) -> tuple[str, ...]:
    assert data.scheme is not None
    return data.scheme.names


def codes(data: Dataset) -> list[str]:
    return [finding.code for finding in data.findings]


def splits(data: Dataset) -> dict[str, int]:
    return dict(Counter(data.column("split")))


def test_sms_reads_quotes_as_they_are(shared_data: Path) -> None:
    data = read(shared_data / "sms_spam" / "SMSSpamCollection")
    assert Counter(data.labels) == {"ham": 4827, "spam": 747}
    assert "tab-separated" in data.description
    assert "5,574 rows" in data.description


def test_rotten_tomatoes_keeps_line_breaks(shared_data: Path) -> None:
    folder = shared_data / "rotten_tomatoes_movies"
    data = read(folder / "rotten_tomatoes_movies.csv", group="movie")
    assert Counter(data.labels) == {"fresh": 7403, "rotten": 5405}
    assert sum("\n" in text or "\r" in text for text in data.texts) == 141
    assert len(set(data.groups or [])) == 508


def test_goemotions_is_multilabel_with_names(shared_data: Path) -> None:
    data = read(shared_data / "goemotions")
    assert splits(data) == {"train": 43410, "validation": 5426, "test": 5427}
    assert data.scheme is not None
    assert data.scheme.multilabel
    lines = (shared_data / "goemotions" / "labels.txt").read_text().split()
    assert list(names(data)) == lines
    assert "labels.txt" in data.description
    assert Counter(map(len, data.labels)) == {1: 45446, 2: 8124, 3: 655, 4: 37, 5: 1}
    assert sum(text.startswith('"') for text in data.texts) == 1383
    train = (shared_data / "goemotions" / "train.tsv").read_bytes().decode().split("\n")
    assert data.texts[:43410] == [line.split("\t")[0] for line in train if line]


def test_emotion_folder_is_not_confused_by_its_variants(shared_data: Path) -> None:
    data = read(shared_data / "emotion")
    assert splits(data) == {"train": 16000, "validation": 2000, "test": 2000}
    assert names(data) == ("anger", "fear", "joy", "love", "sadness", "surprise")
    assert "files-left-out" in codes(data)


@pytest.mark.parametrize("name", ["val_blank_first_line.txt", "val_with_header.txt"])
def test_emotion_variants_hold_the_same_rows(shared_data: Path, name: str) -> None:
    plain = read(shared_data / "emotion" / "val.txt")
    variant = read(shared_data / "emotion" / "variants" / name)
    assert len(variant) == 2000
    assert variant.texts == plain.texts
    assert variant.labels == plain.labels
    assert ("blank-lines" in codes(variant)) == ("blank" in name)


def test_bbc_archive_reports_its_latin_1_file(shared_data: Path) -> None:
    data = read(shared_data / "bbc_news" / "bbc_news.tar.gz")
    counts = {"sports": 511, "business": 510, "politics": 417, "tech": 401, "entertainment": 386}
    assert Counter(data.labels) == counts
    assert codes(data) == ["not-utf8"]
    assert "sports/199.txt" in data.findings[0].message
    assert "£" in data.texts[data.ids.index("sports/199.txt")]


def test_banking77(shared_data: Path) -> None:
    data = read(shared_data / "banking77")
    assert splits(data) == {"train": 10003, "test": 3080}
    assert len(names(data)) == 77
    assert list(names(data)) == sorted(names(data))


def test_imdb(shared_data: Path) -> None:
    train = read(shared_data / "imdb" / "train.csv.gz", group="movie")
    assert Counter(train.labels) == {"pos": 12500, "neg": 12500}
    assert train.table.column_names == ["id", "text", "label", "group"]
    with pytest.raises(DataError, match="movie"):
        read(shared_data / "imdb" / "train.csv.gz", text="movie")


def test_sst2(shared_data: Path) -> None:
    glue = read(shared_data / "sst2" / "glue")
    assert splits(glue) == {"train": 67349, "validation": 872}
    assert "split-without-labels" in codes(glue)
    sentences = read(shared_data / "sst2" / "sentences")
    assert splits(sentences) == {"train": 6920, "validation": 872, "test": 1821}
    assert names(sentences) == ("0", "1")
    hidden = read(shared_data / "sst2" / "glue" / "test.tsv", settings=UNLABELED)
    assert len(hidden) == 1821
    assert hidden.scheme is None
    assert hidden.ids[:2] == ["0", "1"]


def test_running_text_without_labels(shared_data: Path) -> None:
    path = shared_data / "wikitext2" / "valid.txt.gz"
    data = read(path, settings=UNLABELED)
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    assert len(lines) == 3760 + 1
    assert data.texts == [line for line in lines if line.strip()]


def test_a_dataset_passes_through() -> None:
    data = read((["a b", "c d"], ["x", "y"]))
    assert read(data) is data


def test_splits_from_a_mapping(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("text,label\none text,x\ntwo texts,y\n")
    data = read({"dev": tmp_path / "b.csv", "train": str(tmp_path / "a.csv")})
    assert data.column("split") == ["train", "train", "validation", "validation"]
    with pytest.raises(DataError, match="same split"):
        read({"dev": tmp_path / "b.csv", "validation": tmp_path / "a.csv"})


def test_registered_sample(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    path.write_text("text,label\none text,x\ntwo texts,y\n")
    monkeypatch.setattr(registry, "names", lambda table: ("toy-sample",))
    monkeypatch.setattr(registry, "load", lambda table, name: lambda: path)
    assert len(read("toy-sample")) == 2
    with pytest.raises(DataError, match="toy-sample"):
        read("toy-sampel")


def test_import_is_light() -> None:
    heavy = ["torch", "transformers", "sklearn", "datasets", "pandas", "pyarrow", "openpyxl"]
    code = f"import sys, finetext.data.read; print([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


MANY = range(30)


def table(header: str, line: str) -> str:
    return header + "\n" + "".join(line.format(n=n, half=n % 2) + "\n" for n in MANY)


SMALL = "text,label\na b,x\nc d,y\n"
CASES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "empty": ("x.csv", "", {}, r"x\.csv is empty"),
    "blank": ("x.csv", " \n\n", {}, r"x\.csv is empty"),
    "header only": ("x.csv", "text,label\n", {}, r"no rows but a header \(text, label\)"),
    "ragged": ("x.csv", "text,label\na b,x\nc, d,y\ne,x\n", {}, r"line 3: 2 comma.*, 3 found"),
    "ragged after a quoted break": ("x.csv", 'text,label\n"a\nb",x\nc,y\nd\n', {},
                                    r"line 5: 2 comma-sep.*, 1 found.* set data.delimiter"),
    "ragged tsv": ("x.tsv", table("text\tlabel", "a {n}\t{half}") + "a\n", {}, "line 32"),
    "open quote": ("x.csv", 'text,label\na b,x\n"c, d,y\n', {}, "line 3: the quotes are not"),
    "stray quote": ("x.csv", 'text,label\n"a" b, c,x\nd,y\n', {}, "line 2: the quotes are not"),
    "no such text": ("x.csv", SMALL, {"text": "txet"}, "did you mean 'text'"),
    "no such label": ("x.csv", SMALL, {"label": "zzz"}, "no column 'zzz'; there are: text, label"),
    "no such group": ("x.csv", SMALL, {"group": "film"}, "no column 'film'"),
    "text as label": ("x.csv", SMALL, {"text": "text", "label": "text"}, "as both text and label"),
    "no label column": ("x.csv", table("text,note", "a {n},n {n}"), {}, "--label"),
    "one class": ("x.csv", "text,label\na b,x\nc d,x\n", {}, "one class only, 'x'"),
    "missing labels": ("x.csv", "text,label\na b,x\nc d,\ne f,y\n", {},
                       r"missing in 1 of 3 rows \(line 3\).*--drop-unlabelled"),
    "numbers as text": ("x.csv", table("text,label", "{n}.5,{half}"), {}, "holds numbers"),
    "ids as text": ("x.csv", table("text,label", "u00{n},{half}"), {}, "holds identifiers"),
    "label as text": ("x.csv", table("text,label,kind", "a b {n},{half},k{half}"),
                      {"text": "kind"}, "holds identifiers"),
    "label as wide as rows": ("x.csv", table("text,label", "a b {n},v{n}"), {},
                              "30 different values in 30 rows"),
    "json line": ("x.jsonl", '{"text": "a", "label": 1}\n{"text": \n', {},
                  "line 2: not valid JSON"),
    "json line of a list": ("x.jsonl", '{"text": "a"}\n[1]\n', {}, "line 2: not a JSON object"),
    "json": ("x.json", '{"text": [', {}, "not valid JSON"),
    "json of a number": ("x.json", "3", {}, "neither a JSON list"),
    "json of uneven lists": ("x.json", '{"text": ["a"], "label": []}', {}, "differ in length"),
    "parquet": ("x.parquet", "no parquet", {}, "not a readable Parquet"),
    "excel": ("x.xlsx", "no excel", {}, "not a readable Excel"),
    "old excel": ("x.xls", "no excel", {}, "save it as"),
    "gzip": ("x.csv.gz", "\x1f\x0b", {}, "is broken"),
    "texts alone": ("x.txt", "one text\nother text\n", {}, "--label"),
    "fasttext": ("x.txt", "__label__a one\ntwo\n", {}, "line 2: no __label__"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_files(tmp_path: Path, case: str) -> None:
    name, content, options, message = CASES[case]
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read(path, **options)


@pytest.mark.parametrize("suffix", [".csv", ".txt", "", ".jsonl", ".parquet", ".json", ".pdf"])
def test_binary_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 50)
    with pytest.raises(DataError, match=r"not a text file|not a readable Parquet"):
        read(path)


def test_missing_files_offer_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"did you mean 'reviews.csv'"):
        read(tmp_path / "review.csv")
    with pytest.raises(DataError, match="there is no file, folder or sample"):
        read("x" * 5000)


def test_encodings_are_strict_when_given(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"text,label\n\xff,x\n")
    with pytest.raises(DataError, match="is not ascii text"):
        read(path, settings=ReadSettings(encoding="ascii"))
    with pytest.raises(DataError, match="no encoding named 'utf-88'"):
        read(path, settings=ReadSettings(encoding="utf-88"))


def test_lines_are_counted_without_the_end_of_the_last() -> None:
    for end in (b"", b"\n"):
        text, findings = decode(b"caf\xe9\nnoir" + end, "x.txt")
        assert text.startswith("café\nnoir")
        assert "1 of 2 lines is not UTF-8 (line 1)" in findings[0].message


def test_source_columns_are_joined_by_id(reviews: Path) -> None:
    dataset = read(reviews, group="movie")
    ids = list(reversed(dataset.ids))
    found = source_columns(reviews, ["Movie", "1"], ids, ReadSettings())
    assert found == {"movie": list(reversed(dataset.groups or [])),
                     "text": list(reversed(dataset.texts))}  # fmt: skip


def test_columns_of_ready_made_splits_are_joined_by_id(tmp_path: Path) -> None:
    for name, column in (("train", "year"), ("test", "month")):
        rows = "".join(f"a text of {n},{'ab'[n % 2]},{n}\n" for n in range(8))
        (tmp_path / f"{name}.csv").write_text(f"text,label,{column}\n{rows}")
    dataset = read(tmp_path)
    found = source_columns(tmp_path, ["year"], dataset.ids)
    assert found == {"year": [*map(str, range(8)), *[None] * 8]}


def test_absent_columns_and_rows_are_reported(reviews: Path) -> None:
    with pytest.raises(DataError, match="no column 'year'"):
        source_columns(reviews, ["year"], ["1"])
    with pytest.raises(DataError, match=r"has no row 'x', nor 1 more, of 3 rows: .* --id"):
        source_columns(reviews, ["movie"], ["x", "1", "y"])


SETTINGS = {"delimiter": ";", "header": True, "encoding": "latin-1"}
TABLE = {"text": [f"text number {n}" for n in range(8)], "label": ["a", "b"] * 4}


def forms(folder: Path) -> dict[str, tuple[Any, set[str]]]:
    """Sources of each kind, and the settings that they have no use for."""
    import pandas as pd

    frame = pd.DataFrame(TABLE)
    frame.to_parquet(folder / "x.parquet")
    frame.to_excel(folder / "x.xlsx", index=False)
    frame.to_json(folder / "x.json", orient="records")
    frame.to_json(folder / "x.jsonl", orient="records", lines=True)
    frame.to_csv(folder / "x.csv", index=False, sep=";")
    lines = "".join(f"__label__{b} {a}\n" for a, b in zip(*TABLE.values(), strict=True))
    (folder / "x.txt").write_text(lines)
    every, table = set(SETTINGS), {"delimiter", "header"}
    return {
        "parquet": (folder / "x.parquet", every),
        "excel": (folder / "x.xlsx", {"delimiter", "encoding"}),
        "json": (folder / "x.json", table), "lines": (folder / "x.jsonl", table),
        "fasttext": (folder / "x.txt", table), "csv": (folder / "x.csv", set()),
        "frame": (frame, every), "mapping": (TABLE, every),
        "pair": (tuple(TABLE.values()), every),
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["parquet", "excel", "json", "lines", "fasttext", "csv", "frame", "mapping", "pair"],
)
def test_settings_without_a_use_are_named(tmp_path: Path, kind: str) -> None:
    source, unused = forms(tmp_path)[kind]
    data = read(source, settings=ReadSettings(**SETTINGS))  # type: ignore[arg-type]
    found = [finding.message for finding in data.findings if finding.code == "unused-setting"]
    assert {name for name in SETTINGS for message in found if f"data.{name} =" in message} == unused
    assert len(data) == 8
