"""Files that come in pieces: the rows that reading it whole gives, or an error."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data import stream
from finetext.data.read import read
from finetext.data.rows import Texts

Pairs = tuple[list[str], list[str]]
UNLABELED = ReadSettings(labelled=False)
SIGNS = ["a", "b", " ", '"', ",", "\n", "\r\n", "\t", ";", "é", "😀", "\u2028", "'"]
CELLS = st.lists(st.sampled_from(SIGNS), max_size=12).map("".join)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BYTES", 400)
    monkeypatch.setattr(stream, "ROWS", 3)


def is_streamed(texts: Texts) -> bool:
    """Whether a source is not read as a whole: then the number of its rows is not known."""
    return not re.search(r"\d rows?\b", texts.description)


def streamed(path: Path, how: ReadSettings = UNLABELED) -> Pairs:
    texts = stream.open_stream(path, how)
    assert is_streamed(texts)
    chunks = list(texts.batches)
    assert all(0 < len(chunk.ids) == len(chunk.texts) <= 3 for chunk in chunks)
    assert 0.98 < chunks[-1].share <= 1.0, "blank lines at most may follow"
    return [i for c in chunks for i in c.ids], [text for c in chunks for text in c.texts]


def whole(path: Path, how: ReadSettings = UNLABELED) -> Pairs:
    dataset = read(path, settings=how)
    return dataset.ids, dataset.texts


def put(path: Path, content: str | bytes) -> Path:
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


PLAIN = [f"film{number} was good{number}" for number in range(30)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stream")


@settings(max_examples=60)
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=20, max_size=40),
    st.sampled_from([",", ";", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
    st.booleans(),
)
def test_a_quoted_table(
    place: Path,
    cells: list[tuple[str, str]],
    delimiter: str,
    ending: str,
    quoting: Any,
    blank_lines: bool,
    ended: bool,
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerow(["label", "text"])
    for row in [(word, text) for text in PLAIN for word in ["odd", "even"]] + cells:
        writer.writerow(row)
        if blank_lines:
            out.write(ending if row[0] == "odd" else " " + ending)
    content = out.getvalue() if ended else out.getvalue().removesuffix(ending)
    path = put(place / "in.csv", content)
    assert streamed(path) == whole(path)


@settings(max_examples=40)
@given(st.lists(CELLS, min_size=1, max_size=30), st.booleans())
def test_plain_lines_and_json_lines(place: Path, cells: list[str], gzipped: bool) -> None:
    end = ".gz" if gzipped else ""
    texts = PLAIN + cells
    lines = put(place / f"in.txt{end}", "\n".join(texts))
    assert streamed(lines) == whole(lines)
    rows = [{"text": text, "n": 1} if n % 7 else {"other": n} for n, text in enumerate(texts)]
    for name in ("in.jsonl", "in.json"):
        content = "\n".join(json.dumps(row) + "\n" * (n % 3) for n, row in enumerate(rows))
        path = put(place / f"{name}{end}", content)
        assert streamed(path) == whole(path)


@settings(max_examples=60)
@given(st.lists(CELLS.map(lambda c: " ".join(c.split())), min_size=1, max_size=30))
def test_a_table_without_quoting(place: Path, cells: list[str]) -> None:
    rows = "".join(f"{number}\t{text}\n" for number, text in enumerate(PLAIN + cells))
    path = put(place / "in.tsv", "nr\ttext\n" + rows)
    assert streamed(path) == whole(path)


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), CELLS), min_size=1, max_size=30))
def test_parquet(place: Path, cells: list[str | None]) -> None:
    import pyarrow
    import pyarrow.parquet

    texts = PLAIN + cells
    path = place / "in.parquet"
    columns = {"id": range(len(texts)), "text": texts, "more": [[1, 2]] * len(texts)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert streamed(path) == whole(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "mixed"])
@pytest.mark.parametrize("name", ["in.csv", "in.txt.gz"])
def test_other_encodings(tmp_path: Path, encoding: str, name: str) -> None:
    lines = ["text", *PLAIN, *(f"Käse {number} schön" for number in range(30)), "so größe"]
    content = "\n".join(lines).encode("utf-8" if encoding == "mixed" else encoding)
    if encoding == "mixed":
        content = content.replace("ö".encode(), b"\xf6")
    path = put(tmp_path / name, content)
    assert streamed(path) == whole(path)
    texts = stream.open_stream(path, UNLABELED)
    list(texts.batches)
    seen = read(path, settings=UNLABELED).findings
    assert texts.findings == [finding for finding in seen if finding.severity == "warning"]


def test_a_stated_encoding_and_delimiter_and_columns(tmp_path: Path) -> None:
    rows = [f"{n}#x{n}#a fine café {n}" for n in range(90)]
    path = put(tmp_path / "in.dat", "\n".join(["a#key#said", *rows]).encode("latin-1"))
    how = ReadSettings(
        text="said", id="key", delimiter="#", encoding="latin-1", header=True, labelled=False
    )
    assert streamed(path, how) == whole(path, how)
    assert streamed(path, how)[0][-1] == "x89"


def test_half_surrogate_pairs_are_replaced(tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", "".join(
        json.dumps({"text": f"{text} \ud800"}) + "\n" for text in PLAIN))  # fmt: skip
    assert streamed(path) == whole(path)
    texts = stream.open_stream(path, UNLABELED)
    list(texts.batches)
    assert [finding.message for finding in texts.findings] == [
        "broken characters (half surrogate pairs) replaced in 30 texts"
    ]


@pytest.mark.parametrize("form", ["lines", "parquet"])
def test_missing_texts_are_reported_as_for_the_whole_file(tmp_path: Path, form: str) -> None:
    import pyarrow
    import pyarrow.parquet

    texts = [None if n % 9 == 8 else text for n, text in enumerate(PLAIN)]
    if form == "lines":
        rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        path = put(tmp_path / "in.jsonl", rows)
    else:
        path = tmp_path / "in.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path)
    seen = stream.open_stream(path, UNLABELED)
    list(seen.batches)
    assert tuple(seen.findings) == read(path, settings=UNLABELED).findings
    kind = "line" if form == "lines" else "row"
    assert f"in 3 rows ({kind} 9, {kind} 18, {kind} 27)" in seen.findings[0].message


def test_plain_lines_that_begin_alike_are_texts(tmp_path: Path) -> None:
    lines = [f"{['i', 'im'][n % 2]} feel {n}" for n in range(60)]
    path = put(tmp_path / "in.txt", "\n".join(lines))
    assert streamed(path)[1] == lines
    seen = stream.open_stream(path, UNLABELED)
    assert seen.description == "in.txt: one text a line; text 'text'"


def table(ids: Iterable[Any]) -> str:
    return "id,text\n" + "".join(f"{one},a fine film number\n" for one in ids)


@pytest.mark.parametrize("odd", ["7", ""], ids=["repeated", "empty"])
def test_ids_that_do_not_name_the_rows(tmp_path: Path, odd: str) -> None:
    path = put(tmp_path / "in.csv", table([*range(60), odd]))
    assert streamed(path) == whole(path)
    assert streamed(path)[0][-1] == "61"
    texts = stream.open_stream(path, UNLABELED)
    assert "the rows are numbered, since" in texts.findings[0].message
    asked = ReadSettings(id="id", labelled=False)
    with pytest.raises(DataError, match="unique: name another column with --id"):
        stream.open_stream(path, asked)


def test_fasttext_and_edge_labels(tmp_path: Path) -> None:
    for number, form in enumerate(["__label__{} {}", "{}\t{}", "{1};{0}"]):
        lines = [form.format(["good", "bad"][n % 2], text) for n, text in enumerate(PLAIN)]
        path = put(tmp_path / f"in{number}.txt", "\n".join(lines))
        assert streamed(path) == whole(path)


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("in.csv", "a,b,c", "line 61: 2 comma-separated fields expected"),
        ("in.csv", '1,"a" b', "line 61: the quotes are not well-formed"),
        ("in.csv", '1,"never closed', "line 61: the quotes are not well-formed"),
        ("in.tsv", "a\tb\tc", "line 61: 2 tab-separated fields expected"),
        ("in.jsonl", '{"text": ', "line 61: not valid JSON"),
        ("in.jsonl", "[1]", "line 61: not a JSON object"),
        ("in.jsonl", '{"text": ["a", "b"]}', "line 61: the text is a list, not a string"),
        ("in.jsonl", '{"text": {"a": "b"}}', "line 61: the text is an object, not a string"),
    ],
)
def test_a_later_row_that_does_not_fit(tmp_path: Path, name: str, line: str, said: str) -> None:
    separator = "," if name == "in.csv" else "\t"
    row = '{"text": "a fine film"}' if name == "in.jsonl" else f"1{separator}a fine film"
    head = [] if name == "in.jsonl" else [f"nr{separator}text"]
    lines = [*head, *[row] * (60 - len(head)), line, *[row] * 60]
    texts = stream.open_stream(put(tmp_path / name, "\n".join(lines)), UNLABELED)
    seen = [next(texts.batches)]
    with pytest.raises(DataError, match=said):
        seen.extend(texts.batches)
    assert seen[0].texts == ["a fine film"] * 3


def test_a_broken_gzip_file(tmp_path: Path) -> None:
    lines = [f"{text} {n * n}" for n, text in enumerate(PLAIN * 50)]
    path = put(tmp_path / "in.txt.gz", "\n".join(lines))
    path.write_bytes(path.read_bytes()[:-40])
    texts = stream.open_stream(path, UNLABELED)
    with pytest.raises(DataError, match="is broken"):
        list(texts.batches)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("small.csv", "text\na fine film\n"),
        ("list.json", json.dumps([{"text": text} for text in PLAIN], indent=1)),
        ("old.txt", "\r".join(PLAIN)),
        ("quoted.tsv", "nr\ttext\n" + "".join(f'"1"\t"{text}"\n' for text in PLAIN)),
        ("returns.csv", "nr,text\n" + "\r".join(f"1,{text}" for text in PLAIN) + "\n"),
        ("in.zip", "\n".join(PLAIN)),
    ],
)
def test_files_that_must_be_read_whole(tmp_path: Path, name: str, content: str) -> None:
    path = put(tmp_path / name, content)
    try:
        expected = read(path, settings=UNLABELED)
    except DataError as error:
        with pytest.raises(DataError, match=re.escape(str(error))):
            stream.open_stream(path, UNLABELED)
        return
    texts = stream.open_stream(path, UNLABELED)
    assert texts.description == expected.description
    assert [text for batch in texts.batches for text in batch.texts] == expected.texts


def test_settings_that_need_the_whole_file(tmp_path: Path) -> None:
    path = put(tmp_path / "in.csv", table(range(60)))
    labeled = put(tmp_path / "in.txt", "\n".join(f"__label__{n % 2} a {n}" for n in range(60)))
    dropping = replace(UNLABELED, drop_unlabelled=True)
    assert not is_streamed(stream.open_stream(labeled, ReadSettings()))
    assert not is_streamed(stream.open_stream(path, dropping))


@settings(max_examples=60)
@given(st.lists(CELLS, max_size=60), st.booleans())
def test_lines_of_standard_input(cells: list[str], marked: bool) -> None:
    content = "\n".join(["first", *cells]).encode("utf-16" if marked else "utf-8")
    chunks = list(stream.lines_of(io.BytesIO(content), "standard input").batches)
    lines = "\n".join(["first", *cells]).split("\n")
    full = {str(n): line.removesuffix("\r") for n, line in enumerate(lines, 1) if line.strip()}
    assert [text for chunk in chunks for text in chunk.texts] == list(full.values())
    assert [i for chunk in chunks for i in chunk.ids] == list(full)


def test_blank_lines_are_counted_alike_in_files_and_standard_input(tmp_path: Path) -> None:
    content = b"The staff was kind\n\nThe room felt dirty\n \n\nThe bus was plain\n"
    path = put(tmp_path / "in.txt", content * 9)
    for texts in (
        stream.lines_of(io.BytesIO(content * 9), "in.txt"),
        stream.open_stream(path, UNLABELED),
    ):
        ids = [i for chunk in list(texts.batches) for i in chunk.ids]
        assert ids[:4] == ["1", "3", "6", "7"]
        assert [f.message.rpartition("in.txt: ")[2] for f in texts.findings] == [
            "27 blank lines skipped"
        ]
    assert whole(path)[0] == ids
    with pytest.raises(DataError, match="blank lines only"):
        list(stream.lines_of(io.BytesIO(b"\n \n"), "standard input").batches)


@pytest.mark.parametrize("content", [b"", "\ufeff".encode()])
def test_empty_standard_input(content: bytes) -> None:
    with pytest.raises(DataError, match="standard input is empty"):
        stream.lines_of(io.BytesIO(content), "standard input")
