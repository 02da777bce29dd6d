"""Formats of single files: what is written is what is read, row for row."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.data.read import read

TEXTS = st.text(
    st.one_of(
        st.sampled_from(list(",;|\t\"'\n\r #\\")), st.characters(blacklist_categories=("Cs", "Cc"))
    ),
    max_size=30,
).map(lambda text: "a text " + text)
TABLES = st.lists(
    st.tuples(TEXTS, st.sampled_from(["yes", "no", "not sure"])), min_size=3, max_size=12
).filter(lambda rows: len({label for _, label in rows}) > 1)


def read_bytes(data: bytes, suffix: str, **options: Any) -> Dataset:
    with tempfile.TemporaryDirectory() as folder:  # with no other file beside
        path = Path(folder, f"table{suffix}")
        path.write_bytes(data)
        return read(path, settings=ReadSettings(**options))


def read_text(content: str, suffix: str = ".csv", **options: Any) -> Dataset:
    return read_bytes(content.encode(), suffix, **options)


def pairs(data: Dataset) -> list[tuple[str, str]]:
    return list(zip(data.texts, data.labels, strict=True))


def written(rows: list[tuple[str, str]], header: bool, **style: Any) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, **style)
    if header:
        writer.writerow(["text", "label"])
    writer.writerows(rows)
    return stream.getvalue()


@settings(max_examples=40)
@given(TABLES, st.sampled_from([",", ";", "|"]), st.sampled_from(["\n", "\r\n"]))
def test_csv_round_trip(rows: list[tuple[str, str]], delimiter: str, end: str) -> None:
    style = {"delimiter": delimiter, "lineterminator": end}
    assert pairs(read_text(written(rows, header=True, **style))) == rows
    headless = written(rows, header=False, **style)
    assert pairs(read_text(headless, header=False, delimiter=delimiter, text="1")) == rows


@settings(max_examples=20)
@given(TABLES)
@example([("a text ", "yes"), ("a text ", "no"), ("a text \t\n", "not sure")])
def test_tsv_with_all_fields_quoted_round_trip(rows: list[tuple[str, str]]) -> None:
    text = written(rows, header=True, delimiter="\t", quoting=csv.QUOTE_ALL)
    assert pairs(read_text(text, ".tsv")) == rows


@settings(max_examples=20)
@given(TABLES)
def test_tsv_without_quoting_never_merges_lines(rows: list[tuple[str, str]]) -> None:
    rows = [(" ".join(text.replace("\t", " ").split()), label) for text, label in rows]
    text = "text\tlabel\n" + "".join(f'"{text}\t{label}\n' for text, label in rows)
    assert pairs(read_text(text, ".tsv")) == [(f'"{text}', label) for text, label in rows]


@settings(max_examples=40)
@given(TABLES, st.booleans())
def test_json_lines_round_trip(rows: list[tuple[str, str]], ascii_only: bool) -> None:
    lines = [
        json.dumps({"text": text, "label": label}, ensure_ascii=ascii_only) for text, label in rows
    ]
    assert pairs(read_text("\n".join(lines), ".jsonl")) == rows


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("text", "label"), ("sentence", "label"), ("text", "category"), ("Tweet", "Sentiment"),
        ("Comment Text", "Class"), ("utterance", "klass"), ("v2", "v1"),
    ],
)  # fmt: skip
def test_columns_are_found(text: str, label: str) -> None:
    rows = "".join(f"the {n} text is this,{'odd' if n % 2 else 'even'}\n" for n in range(30))
    data = read_text(f"{text},{label}\n{rows}")
    assert data.description.split(": ", 1)[1].startswith(
        f"comma-separated, with header; text {text!r}, label {label!r}; 30 rows"
    )
    assert data.texts[0] == "the 0 text is this"


def test_columns_in_any_order_beside_others() -> None:
    rows = "".join(f"{n % 2},{n * 7},the {n} text is this,film{n % 9}\n" for n in range(40))
    data = read_text(f"label,rating,review,movie\n{rows}", group="MOVIE")
    assert data.texts[3] == "the 3 text is this"
    assert data.labels[:3] == ["0", "1", "0"]
    assert (data.groups or [])[10] == "film1"


def test_kaggle_style_table_with_unnamed_columns_and_latin_1() -> None:
    rows = "".join(f"{'spam' if n % 3 else 'ham'},win £{n} now,,\n" for n in range(30))
    data = read_bytes(f"v1,v2,,\n{rows}".encode("latin-1"), ".csv")
    assert data.texts[5] == "win £5 now"
    assert data.findings[0].code == "not-utf8"
    assert "30 of 31 lines" in data.findings[0].message


def test_utf_16_and_byte_order_marks() -> None:
    text = "text,label\none é,x\ntwo ß,y\n"
    for encoding in ("utf-8-sig", "utf-16"):
        data = read_bytes(text.encode(encoding), ".csv")
        assert pairs(data) == [("one é", "x"), ("two ß", "y")]
        assert data.findings == ()
    assert read_bytes(text.encode("cp850"), ".csv", encoding="cp850").texts == ["one é", "two ß"]


def test_parquet_with_class_names(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["z", "a"])}
    )
    source = datasets.Dataset.from_dict(
        {"text": ["a b", "c d"], "label": [1, 0]}, features=features
    )
    source.to_parquet(tmp_path / "toy.parquet")
    data = read(tmp_path / "toy.parquet")
    assert data.labels == ["a", "z"]
    assert data.scheme is not None
    assert data.scheme.names == ("z", "a")


def test_long_fields() -> None:
    text = "word " * 100_000
    assert read_text(f'text,label\n"{text}",x\nshort,y\n').texts == [text, "short"]


def test_requested_names_are_found_in_a_header() -> None:
    data = read_text("utter,klass\na b,x\nc d,y\n", text="utter", label="klass")
    assert pairs(data) == [("a b", "x"), ("c d", "y")]


@pytest.mark.parametrize(
    "text",
    [
        "One line, with a comma",
        "I like it; a lot\nI do not; at all",
        "0 is a number\n1 too",
        "\n".join(["i feel fine", "im glad of it", "i am not"] * 10),
        "\n".join(["yes, a lot", "no, not me", "yes, often"] * 10),
        "\n".join(["yes, a lot"] * 19 + ["no, no, no"]),
        "\n".join([f"i feel fine; more of it {n}" for n in range(30)] + ["i do; a; b"]),
    ],
)
def test_lines_to_predict_are_never_split(text: str) -> None:
    data = read_text(text, ".txt", labelled=False)
    assert data.texts == text.split("\n")
    assert "one text a line" in data.description


@pytest.mark.parametrize("form", ["__label__{1} {0}", "{0}\t{1}", "{0};{1}", "{1}\t{0}\tand more"])
def test_lines_to_predict_may_have_labels(form: str) -> None:
    lines = [form.format("i feel fine", ["good", "bad"][n % 2]) for n in range(30)]
    data = read_text("\n".join(lines), ".txt", labelled=False)
    assert set(data.texts) == {"i feel fine"}


def test_a_text_with_the_separator_keeps_the_label_apart() -> None:
    lines = ["i feel fine;good", "i do not;bad"] * 15 + ["so; so;bad"]
    assert read_text("\n".join(lines), ".txt", labelled=False).texts[-1] == "so; so"


def test_commas_delimit_fields_if_requested() -> None:
    lines = "a b,c d\ne f,g h"
    data = read_text(lines, ".txt", labelled=False, header=False, text="2")
    assert data.texts == ["c d", "g h"]
    with pytest.raises(DataError, match="--header or --no-header"):
        read_text(lines, ".txt", labelled=False, text="2")
    assert read_text("id,text\n1,g h", ".txt", labelled=False).texts == ["g h"]


def test_missing_texts_are_reported_and_lists_refused() -> None:
    lines = ['{"text": "a b"}', '{"text": null}', '{"n": 1}', '{"text": ""}'] * 4
    (seen,) = read_text("\n".join(lines), ".jsonl", labelled=False).findings
    assert (seen.severity, seen.code) == ("warning", "missing-texts")
    assert "missing in 8 rows (line 2, line 3, line 6, line 7, line 10, ...)" in seen.message
    for value, what in (('["a"]', "a list"), ('{"a": 1}', "an object")):
        odd = "\n".join([*lines, f'{{"text": {value}}}'])
        with pytest.raises(DataError, match=f"line 17: the text is {what}, not a string"):
            read_text(odd, ".jsonl", labelled=False)


def test_any_number_of_fasttext_labels_is_read_at_once() -> None:
    many = "__label__a, __label__b " * 100_000
    data = read_text(f"{many}, the text\n__label__c more text\n" * 3, ".txt")
    assert data.labels[:2] == [["a", "b"], ["c"]]
    assert data.texts[:2] == ["the text", "more text"]
