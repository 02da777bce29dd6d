"""Bad input: one message for people that says what, where and what to do."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import DataError, MissingExtraError
from finetext.core.settings import ReadSettings
from finetext.data.read import read
from finetext.data.sources import decode

MANY = range(30)


def table(header: str, line: str) -> str:
    return header + "\n" + "".join(line.format(n=n, half=n % 2) + "\n" for n in MANY)


CASES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "empty": ("x.csv", "", {}, r"x\.csv is empty"),
    "blank": ("x.csv", " \n\n", {}, r"x\.csv is empty"),
    "header only": ("x.csv", "text,label\n", {}, r"no rows but a header \(text, label\)"),
    "ragged": ("x.csv", "text,label\na b,x\nc, d,y\ne,x\n", {}, r"line 3: 2 comma.*, 3 found"),
    "ragged after a quoted break": (
        "x.csv",
        'text,label\n"a\nb",x\nc,y\nd\n',
        {},
        r"line 5: 2 comma-separated fields expected.*, 1 found",
    ),
    "ragged tsv": ("x.tsv", table("text\tlabel", "a {n}\t{half}") + "a\n", {}, "line 32"),
    "open quote": ("x.csv", 'text,label\na b,x\n"c, d,y\n', {}, "line 3: the quotes are not"),
    "stray quote": ("x.csv", 'text,label\n"a" b, c,x\nd,y\n', {}, "line 2: the quotes are not"),
    "no such text": (
        "x.csv",
        "text,label\na b,x\nc d,y\n",
        {"text": "txet"},
        "did you mean 'text'",
    ),
    "no such label": (
        "x.csv",
        "text,label\na b,x\nc d,y\n",
        {"label": "zzz"},
        "no column 'zzz'; there are: text, label",
    ),
    "no such group": ("x.csv", "text,label\na b,x\nc d,y\n", {"group": "film"}, "no column 'film'"),
    "text as label": (
        "x.csv",
        "text,label\na b,x\nc d,y\n",
        {"text": "text", "label": "text"},
        "as both text and label",
    ),
    "no label column": ("x.csv", table("text,note", "a {n},n {n}"), {}, "--label"),
    "one class": ("x.csv", "text,label\na b,x\nc d,x\n", {}, "one class only, 'x'"),
    "missing labels": (
        "x.csv",
        "text,label\na b,x\nc d,\ne f,y\n",
        {},
        r"missing in 1 of 3 rows \(line 3\).*--drop-unlabelled",
    ),
    "numbers as text": ("x.csv", table("text,label", "{n}.5,{half}"), {}, "holds numbers"),
    "ids as text": ("x.csv", table("text,label", "u00{n},{half}"), {}, "holds identifiers"),
    "label as text": (
        "x.csv",
        table("text,label,kind", "a b {n},{half},k{half}"),
        {"text": "kind"},
        "holds identifiers",
    ),
    "label as wide as rows": (
        "x.csv",
        table("text,label", "a b {n},v{n}"),
        {},
        "30 different values in 30 rows",
    ),
    "json line": (
        "x.jsonl",
        '{"text": "a", "label": 1}\n{"text": \n',
        {},
        "line 2: not valid JSON",
    ),
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
}


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


def test_a_broken_gzip_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00 broken")
    with pytest.raises(DataError, match="is broken"):
        read(path)


def test_encodings_are_strict_when_given(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"text,label\n\xff,x\n")
    with pytest.raises(DataError, match="is not ascii text"):
        read(path, settings=ReadSettings(encoding="ascii"))
    with pytest.raises(DataError, match="no encoding named 'utf-88'"):
        read(path, settings=ReadSettings(encoding="utf-88"))


@pytest.mark.parametrize("source", [3, None, [], [1, 2], {}, b"bytes", ["a", 3], object()])
def test_odd_objects(source: object) -> None:
    with pytest.raises(DataError):
        read(source)


def test_excel_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"PK")
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "openpyxl":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"finetext\[excel\]"):
        read(path)


def test_lines_are_counted_without_the_end_of_the_last() -> None:
    for end in (b"", b"\n"):
        text, findings = decode(b"caf\xe9\nnoir" + end, "x.txt")
        assert text.startswith("café\nnoir")
        assert "1 of 2 lines is not UTF-8 (line 1)" in findings[0].message


def test_the_hub_is_waited_for_only_if_it_can_help(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets

    monkeypatch.setattr("finetext.data.records.hub_answers", lambda: False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(DataError, match="the Hugging Face Hub cannot be reached"):
        read("hub:nobody/nothing-at-all")
    table = datasets.Dataset.from_dict({"text": ["a b", "c d"], "label": ["x", "y"]})
    fetched = datasets.DatasetDict({"train": table})
    monkeypatch.setattr(datasets, "load_dataset", lambda path, config: fetched)
    (tmp_path / "nobody___nothing-at-all").mkdir()
    assert len(read("hub:nobody/nothing-at-all")) == 2
