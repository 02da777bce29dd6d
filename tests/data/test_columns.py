"""Ids and ready-made splits are found, and a value that names no split is reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.text_columns import join
from finetext.data.columns import choose_columns, named, refuse_odd_text
from finetext.data.read import read
from finetext.data.rows import Batch, Wanted
from finetext.data.stream import open_stream

N = 12


def table(name: str, words: list[str]) -> str:
    lines = [f"a text of {n},{'xyz'[n % 3]},{words[n % len(words)]}" for n in range(N)]
    return "\n".join([f"text,label,{name}", *lines]) + "\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("split", ["train", "dev", "test"]),
        ("Split", ["Train", "Dev", "Test"]),
        ("subset", ["TRAINING", "Validation", "testing"]),
        ("Aufteilung", ["Trainingsdaten", "Entwicklung", "Testdaten"]),
        ("Jeu", ["Entraînement", "Validation", "Test"]),
        ("partición", ["entrenamiento", "validación", "prueba"]),
        ("conjunto", ["treino", "validação", "teste"]),
        ("insieme", ["addestramento", "sviluppo", "test"]),
        ("zbiór", ["treningowy", "walidacja", "testowy"]),
        ("数据集", ["训练集", "验证集", "测试集"]),
        ("data split", ["train_set", "dev-set", "test set"]),
        ("used for", ["train", "valid", "test"]),
    ],
)
def test_splits_in_many_spellings(tmp_path: Path, name: str, words: list[str]) -> None:
    path = tmp_path / "x.csv"
    path.write_text(table(name, words), "utf-8")
    assert read(path).column("split") == ["train", "validation", "test"] * (N // 3)


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("split", ["train", "validation", "holdout"], r"'split' says 'holdout' in lines 4, 7, 10"),
        ("split", ["Train", "Dev", ""], r"'split' is blank in lines 4, 7, 10, 13"),
        ("subset", ["train", "exclude"], r"'subset' says 'exclude' in lines 3, 5"),
        ("Datensatz", ["Training", "Test", "Reserve"], r"'Datensatz' says 'Reserve' in lines 4"),
        ("fold", ["train", "test", "3"], r"'fold' says '3' in lines 4"),
    ],
)
def test_a_value_that_names_no_split(
    tmp_path: Path, name: str, words: list[str], message: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(table(name, words), "utf-8")
    with pytest.raises(DataError, match=message + ".* names no split; write train, .* rename"):
        read(path)
    # Texts to predict or to score need no splits.
    for how in (ReadSettings(labelled=False), ReadSettings(classes=("x", "y", "z"))):
        data = read(path, settings=how)
        assert "split" not in data.table.column_names
        assert [one.code for one in data.findings] == ["odd-split"]
    assert len(next(open_stream(path, ReadSettings(labelled=False)).batches)) == N


@pytest.mark.parametrize(
    ("name", "words"),
    [("label2", ["train", "test"]), ("vehicle", ["train", "bus"]), ("fold", ["1", "2", "3"]),
     ("set", ["a", "b"]), ("split", ["test"])],
)  # fmt: skip
def test_other_columns_hold_no_splits(tmp_path: Path, name: str, words: list[str]) -> None:
    path = tmp_path / "x.csv"
    path.write_text(table(name, words), "utf-8")
    assert "split" not in read(path, label="label").table.column_names


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("ID", list(range(N)), True),
        ("Satz-ID", [f"s{n}" for n in range(N)], True),
        ("Identifiant", list(range(N)), True),
        ("编号", list(range(N)), True),
        ("Satz-ID", ["s1"] * N, False),
        ("annotator_id", list(range(N)), False),
        ("Nr", list(range(N)), False),
    ],
)
def test_ids(name: str, values: list[Any], found: bool) -> None:
    columns = {"Satz": [f"ein Satz {n}" for n in range(N)], name: values, "Code": ["x", "y"] * 6}
    chosen = choose_columns(Batch("x.csv", columns, "columns"), ReadSettings())
    assert chosen.id == (name if found else None)
    assert (chosen.text, chosen.labels) == ("Satz", ("Code",))


def test_a_column_that_a_file_without_header_lacks_can_be_named_by_number() -> None:
    batch = Batch("x.txt", {"1": ["a text"], "2": ["joy"]}, "columns")
    assert named(batch, "2") == "2"
    with pytest.raises(DataError, match=r"'label'; there are: 1, 2\. Columns without a header"):
        named(batch, "label")


def test_a_long_value_is_shortened_in_the_error() -> None:
    texts = [{"a": "a long text " * 50}] * 3
    with pytest.raises(DataError, match="values of type dict") as error:
        refuse_odd_text(Batch("x", {"text": texts}, "columns"), "text", texts)
    assert len(str(error.value)) < 300


ROWS = [("Rain", "It rained all day", "weather"), ("Goal", "They scored twice", "sport")] * 3


def texts_table(folder: Path, suffix: str) -> Path:
    frame = pandas.DataFrame(ROWS, columns=["title", "body", "label"])
    path = folder / f"news{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif suffix == ".json":
        frame.to_json(path, orient="records")
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_excel(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet", ".xlsx"])
def test_texts_of_two_columns_are_joined_in_the_order_given(tmp_path: Path, suffix: str) -> None:
    path = texts_table(tmp_path, suffix)
    dataset = read(path, settings=ReadSettings(text=("title", "body")))
    assert dataset.texts == [join(row[:2]) for row in ROWS]
    assert dataset.scheme is not None
    assert dataset.scheme.text_columns == ("title", "body")
    assert "text 'title' + 'body'" in dataset.description
    other = read(path, settings=ReadSettings(text="body, title"))
    assert other.texts == [join(row[1::-1]) for row in ROWS]
    assert {role.column for role in other.roles if role.role == "text"} == {"title", "body"}
    for wanted in (Wanted(), Wanted(True, True), Wanted(False, True)):
        stream = open_stream(path, ReadSettings(text="title,body", labelled=False), wanted)
        assert [text for rows in stream.batches for text in rows.texts] == dataset.texts


def test_columns_are_joined_in_a_frame_and_by_number() -> None:
    frame = pandas.DataFrame(ROWS, columns=["title", "body", "label"])
    for text in (("title", "body"), ("1", "2"), "Title,BODY"):
        assert read(frame, settings=ReadSettings(text=text)).texts[0] == join(ROWS[0][:2])
    assert read(frame, text=["title", "body"]).texts[0] == join(ROWS[0][:2])
    assert read(frame, settings=ReadSettings(text=("body",))).scheme.text_columns == ()  # type: ignore[union-attr]


TWO = pandas.DataFrame({
    "reply": [f"We thank you for the kind words on day {n}" for n in range(N)],
    "body": [f"The film number {n} was shown again" for n in range(N)],
    "label": ["xyz"[n % 3] for n in range(N)],
})  # fmt: skip
OF_MODEL = ReadSettings(preferred_text="body", labelled=False)


@pytest.mark.parametrize(
    ("frame", "text", "stored"),
    [
        (TWO, "body", "body"),
        (TWO, "BODY", "body"),
        (TWO, "2", "body"),  # the name counts, not the number
        (TWO.drop(columns="reply"), None, None),
        (TWO.set_axis(["1", "2", "label"], axis=1), "2", None),
    ],
)
def test_only_a_column_that_was_named_is_stored(
    frame: pandas.DataFrame, text: str | None, stored: str | None
) -> None:
    dataset = read(frame, settings=ReadSettings(text=text))
    assert dataset.scheme is not None
    assert (dataset.scheme.text_column, dataset.scheme.text_columns) == (stored, ())


@pytest.mark.parametrize("name", ["body", "Body"])
def test_the_column_of_a_model_is_read_where_it_is_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / "two.csv"
    TWO.rename(columns={"body": name}).to_csv(path, index=False)
    texts = list(TWO["body"])
    dataset = read(path, settings=replace(OF_MODEL, labelled=True))
    assert dataset.texts == texts
    assert f"text '{name}' (the column of training), label 'label'" in dataset.description
    assert dataset.roles[0].reason.startswith("the column of training, ")
    assert dataset.findings == ()
    assert read(path, text="reply", settings=OF_MODEL).texts == list(TWO["reply"])
    for wanted in (Wanted(), Wanted(True, True), Wanted(False, True)):
        stream = open_stream(path, OF_MODEL, wanted)
        assert [text for rows in stream.batches for text in rows.texts] == texts
        assert f"text '{name}' (the column of training)" in stream.description


def test_a_table_without_the_column_of_a_model_says_which_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    TWO.drop(columns="body").to_csv(path, index=False)
    for settings in (OF_MODEL, replace(OF_MODEL, labelled=True)):
        dataset = read(path, settings=settings)
        assert dataset.texts == list(TWO["reply"])
        [finding] = dataset.findings
        assert "no column 'body', on which the model was trained, so 'reply'" in finding.message
        assert finding.severity == "warning"
    stream = open_stream(path, OF_MODEL, Wanted(False, True))
    assert [text for rows in stream.batches for text in rows.texts] == dataset.texts
    assert [finding.code for finding in stream.findings] == ["other-text-column"]
    assert read(path, text="reply", settings=OF_MODEL).findings == ()
    assert read(list(TWO["body"]), settings=OF_MODEL).findings == ()
    frame = TWO.rename(columns={"body": "answer"})
    with pytest.raises(DataError, match=r"(?s)2 columns could hold.*no column 'body'.*--text"):
        read(frame, settings=OF_MODEL)


def test_a_column_of_a_model_that_is_the_label_is_no_text() -> None:
    frame = TWO.rename(columns={"body": "other", "label": "body"})
    dataset = read(frame.drop(columns="other"), label="body", settings=OF_MODEL)
    assert dataset.texts == list(TWO["reply"])
    assert dataset.labels == list(TWO["label"])


def test_a_column_whose_name_has_a_comma_is_one_column() -> None:
    name = "What do you think, and why?"
    frame = pandas.DataFrame({name: [row[1] for row in ROWS], "label": [row[2] for row in ROWS]})
    dataset = read(frame, settings=ReadSettings(text=name))
    assert dataset.texts == [row[1] for row in ROWS]
    assert dataset.scheme is not None
    assert dataset.scheme.text_columns == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title,text", "has no column 'text'.*joins the columns title, text"),
        ("title,title", "names a text column twice"),
        ("title,label", "'label' is requested as both text and label"),
    ],
)
def test_wrong_text_columns_are_refused(text: str, words: str) -> None:
    frame = pandas.DataFrame(ROWS, columns=["title", "body", "label"])
    with pytest.raises(DataError, match=words):
        read(frame, settings=ReadSettings(text=text, label="label"))


def test_missing_texts_leave_the_other_one(tmp_path: Path) -> None:
    rows = [
        {"title": None, "body": "It rained"}, {"title": "Rain", "body": None},
        {"title": None, "body": None}, {"title": "a\n\x1fb", "body": "c"},
    ]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    settings = ReadSettings(text=("title", "body"), labelled=False)
    expected = ["\n\x1fIt rained", "Rain\n\x1f", "", "a\n b\n\x1fc"]
    dataset = read(path, settings=settings)
    assert dataset.texts == expected
    assert "the text is missing in 1 row (line 3)" in " ".join(f.message for f in dataset.findings)
    [batch] = list(open_stream(path, settings, Wanted(True, True)).batches)
    assert list(batch.texts) == expected[:2] + expected[3:]
    assert [(bad.line, bad.reason) for bad in batch.bad] == [(3, "the text is missing")]


def test_a_question_about_the_text_column_names_how_to_join_two() -> None:
    rows = [
        (f"A man {n} is walking his dog", f"Person {n} walks there", "xy"[n % 2]) for n in range(30)
    ]
    frame = pandas.DataFrame(rows, columns=["sentence1", "sentence2", "label"])
    with pytest.raises(DataError, match="--text sentence1,sentence2"):
        read(frame)


def test_an_error_names_some_of_many_columns() -> None:
    columns: dict[str, list[Any]] = {f"column {n}": [n, n + 1] for n in range(2_000)}
    with pytest.raises(DataError) as caught:
        read(columns, text="column 7")
    assert "and 1,970 more; name another one with --text" in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_a_split_without_labels_is_left_out_unless_it_was_named(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("text,label\na loaf,food\na match,sport\na roll,food\n", encoding="utf-8")
    test.write_text("text,prediction\na cake,food\n", encoding="utf-8")
    found = read(tmp_path)
    assert len(found) == 3
    assert [of.code for of in found.findings] == ["split-without-labels"]
    for part in ("test", "validation"):
        with pytest.raises(DataError, match=f"test.csv has no label column 'label'.*{part} rows"):
            read({"train": train, part: test})
