"""Rows that cannot be predicted are reported or rejected; none is lost."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.batch.inputs import read_input
from finetext.core.errors import DataError
from finetext.data import stream
from finetext.data.rows import Wanted

Command = Callable[..., Any]
BOTH = Wanted(columns=True, bad=True)


def taken(path: Path, **read: Any) -> tuple[list[str], list[str], dict[int, str]]:
    """Ids and texts that can be predicted, and line and reason of what cannot."""
    chunks = list(read_input(str(path), read, BOTH).batches)
    for chunk in chunks:
        assert all(len(values) == len(chunk.ids) for values in chunk.columns.values())
    bad = {row.line: row.reason for chunk in chunks for row in chunk.bad}
    assert len(bad) == sum(len(chunk.bad) for chunk in chunks)
    return [i for c in chunks for i in c.ids], [t for c in chunks for t in c.texts], bad


def table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path(name).read_text(encoding="utf-8"))))


def sizes(monkeypatch: pytest.MonkeyPatch, pieces: int, rows: int) -> None:
    monkeypatch.setattr(stream, "BYTES", pieces)
    monkeypatch.setattr(stream, "ROWS", rows)


KINDS = ["good", "good", "long", "short", "quote", "blank text"]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=60),
    st.sampled_from([50, 300, 1 << 20]),
    st.sampled_from([2, 7, 1000]),
)
def test_rows_of_a_table_in_are_rows_out_and_rows_set_aside(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], pieces: int, rows: int
) -> None:
    path = tmp_path_factory.mktemp("aside") / "in.csv"
    content = {
        "good": '{n},"text, {n}"',
        "long": "{n},text {n},more",
        "short": "{n}",
        "quote": '{n},"a "word" {n}"',
        "blank text": "{n},",
    }
    start = ["nr,text", '0,"a fine, fine film"', *(f"x{n},a film of {n} parts" for n in range(9))]
    lines = [content[kind].format(n=number) for number, kind in enumerate(kinds)]
    path.write_text("\n".join([*start, *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patched:
        sizes(patched, pieces, rows)
        ids, texts, bad = taken(path)
    first = len(start) + 1
    fine = [number for number, kind in enumerate(kinds) if kind in ("good", "blank text")]
    expected = [f"text, {n}" if kinds[n] == "good" else "" for n in fine]
    assert texts[10:] == expected
    assert ids[10:] == [str(number + 11) for number in fine]
    assert sorted(bad) == [first + number for number in range(len(kinds)) if number not in fine]
    assert len(ids) + len(bad) == 10 + len(kinds)


JSON_LINES = {
    "good": '{"text": "a film", "n": 1}',
    "broken": '{"text": "a film"',
    "list": '["a film"]',
    "null": '{"text": null}',
    "lacks": '{"n": 2}',
    "nested": '{"text": ["a"], "more": {"x": 1}}',
    "empty": '{"text": ""}',
}


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(sorted(JSON_LINES)), max_size=40),
    st.sampled_from([50, 300, 1 << 20]),
    st.booleans(),
)
def test_rows_of_json_lines(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], pieces: int, gzipped: bool
) -> None:
    path = tmp_path_factory.mktemp("aside") / ("in.jsonl.gz" if gzipped else "in.jsonl")
    kinds = [*["good"] * 41, *kinds]  # a column that holds mostly lists is refused as a whole
    content = "\n".join(JSON_LINES[kind] for kind in kinds).encode()
    path.write_bytes(gzip.compress(content) if gzipped else content)
    with pytest.MonkeyPatch.context() as patched:
        sizes(patched, pieces, 4)
        ids, texts, bad = taken(path)
    fine = [number for number, kind in enumerate(kinds, 1) if kind in ("good", "empty")]
    assert ids == [str(number) for number in fine]
    assert texts == ["a film" if kinds[n - 1] == "good" else "" for n in fine]
    assert sorted(bad) == [n for n in range(1, len(kinds) + 1) if n not in fine]


LINES = {
    "fastText": ("in.ft", "__label__good a film of {n} parts", "a film", "no __label__ at the"),
    "edge label": ("in.txt", "a film of {n} parts;{n2}", "a film", "no label after the text"),
    "fields": (
        "in.txt",
        "{n}\ta film of {n} parts",
        "1\ta film\tmore",
        "2 tab-separated fields",
    ),
}


@pytest.mark.parametrize("kind", LINES)
def test_lines_that_differ_from_the_others_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    sizes(monkeypatch, 300, 5)
    name, good, wrong, reason = LINES[kind]
    lines = [good.format(n=number, n2=number % 2) for number in range(40)]
    lines[3] = lines[3].replace(" of", "; of")  # not a field of two: the label is at the end
    lines[25] = lines[37] = wrong
    (tmp_path / name).write_text("\n".join(lines))
    ids, texts, bad = taken(tmp_path / name)
    assert sorted(bad) == [26, 38]
    assert all(reason in each for each in bad.values())
    fine = [number for number in range(40) if number not in (25, 37)]
    assert ids == [str(number + 1) for number in fine]
    assert texts[3] == "a film; of 3 parts"
    assert texts[4:] == [f"a film of {number} parts" for number in fine[4:]]
    with pytest.raises(DataError, match=r"line 26.*" + reason):
        list(read_input(str(tmp_path / name), {}, Wanted(True)).batches)


@pytest.mark.parametrize("kind", ["fastText", "fields"])
def test_rejected_lines_of_a_small_file(tmp_path: Path, kind: str) -> None:
    name, good, wrong, _ = LINES[kind]
    lines = [good.format(n=number, n2=number % 2) for number in range(40)]
    lines[5] = wrong
    (tmp_path / name).write_text("\n".join(lines))
    ids, _, bad = taken(tmp_path / name)
    assert (len(ids), list(bad)) == (39, [6])


@pytest.mark.parametrize("pieces", [120, 1 << 20])
def test_lines_that_are_not_in_the_encoding_that_was_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    sizes(monkeypatch, pieces, 5)
    path = tmp_path / "in.csv"
    rows = [f"a film of {number} parts".encode() for number in range(20)]
    rows[4], rows[17] = b"caf\xe9", b"na\xefve"
    path.write_bytes(b"text\n" + b"\n".join(rows))
    ids, _, bad = taken(path, encoding="utf-8")
    assert bad == dict.fromkeys((6, 19), "not text in the stated encoding")
    assert len(ids) == 18
    assert taken(path)[1][4] == "café"
    with pytest.raises(DataError, match="not utf-8 text"):
        list(read_input(str(path), {"encoding": "utf-8"}, Wanted(True)).batches)


def test_missing_texts_of_parquet_and_excel(tmp_path: Path) -> None:
    import openpyxl
    import pyarrow
    import pyarrow.parquet

    texts = ["a fine film", None, "a dull film", None]
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "in.parquet")
    assert taken(tmp_path / "in.parquet") == (
        ["1", "3"], ["a fine film", "a dull film"], dict.fromkeys((2, 4), "the text is missing")
    )  # fmt: skip
    book = openpyxl.Workbook()
    for text, number in zip(["text", *texts], "n1234", strict=True):
        book.active.append([text, number])
    book.save(tmp_path / "in.xlsx")
    assert taken(tmp_path / "in.xlsx") == (
        ["1", "3"], ["a fine film", "a dull film"], dict.fromkeys((3, 5), "the text is missing")
    )  # fmt: skip


def test_record_with_broken_quotes_over_several_lines_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(
        'nr,text\n1,"a film, fine"\n2,"he said "no" to\nme, too"\n3,"one\nline, more"\n'
        '4,"never ended\n5,fine\n'
    )
    ids, texts, bad = taken(path)
    assert texts == ["a film, fine", "one\nline, more", "fine"]
    assert sorted(bad) == [3, 7]
    assert ids == ["1", "3", "5"]


def test_reject_file_and_counts(command: Command, finished: Path, workplace: Path) -> None:
    lines = [
        '{"text": "a fine film"}',
        "no json",
        '{"other": 1}',
        '{"text": "dull", "n": [1, "é"]}',
    ]
    Path("in.jsonl").write_text("\n".join(lines))
    seen = command("predict", finished, "in.jsonl", "--out", "out.csv")
    assert (seen.status, seen.out) == (2, "")
    assert "line 2: not valid JSON" in seen.err
    for name in ("bad.csv", "bad.jsonl", "bad.tsv.gz"):
        words = ("--out", "out.csv", "--set-aside", name, "--force")
        seen = command("predict", finished, "in.jsonl", *words, status=0)
        assert "2 predictions: out.csv\n" in seen.err
        assert f"2 rows of 4 rejected: {name}\n" in seen.err
    rows = table("out.csv")
    assert [(row["id"], row["text"], row["n"]) for row in rows] == [
        ("1", "a fine film", ""), ("4", "dull", '[1, "é"]'),
    ]  # fmt: skip
    bad = table("bad.csv")
    assert [(row["line"], row["content"]) for row in bad] == [
        ("2", "no json"),
        ("3", '{"text": null, "other": 1, "n": null}'),
    ]
    assert bad[1]["reason"] == "the text is missing"
    told = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    assert [row["line"] for row in told] == [2, 3]
    assert gzip.decompress(Path("bad.tsv.gz").read_bytes()).count(b"\n") == 3
    assert sorted(path.name for path in workplace.iterdir()) == [
        "bad.csv", "bad.jsonl", "bad.tsv.gz", "in.jsonl", "out.csv",
    ]  # fmt: skip


def test_standard_input_has_no_rejected_rows(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a film\n\nanother\n")))
    seen = command("predict", finished, "-", "--set-aside", "bad.csv")
    assert "note: standard input: 1 blank line skipped" in seen.err
    assert "0 rows of 2 rejected: bad.csv" in seen.err
    assert Path("bad.csv").read_text() == "line,reason,content\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a film", "--set-aside", "bad.csv"], "this is one text"),
        (
            ["in.csv", "--set-aside", "bad.parquet"],
            "bad.parquet: the suffix must be one of .csv, .tsv, .jsonl",
        ),
        (["in.csv", "--set-aside", "in.csv"], "in.csv is an input of this command"),
        (["in.csv", "--set-aside", "out.csv", "--out", "out.csv"], "is the output itself"),
    ],
)
def test_reject_files_that_cannot_be_used_are_refused(
    command: Command, finished: Path, workplace: Path, words: list[str], said: str
) -> None:
    Path("in.csv").write_text("text\na fine film\n")
    seen = command("predict", finished, *words)
    assert (seen.status, seen.out) == (2, "")
    assert said in seen.err
    assert [path.name for path in workplace.iterdir()] == ["in.csv"]
