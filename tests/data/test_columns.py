"""Ids and ready-made splits are found, and a value that names no split is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.columns import choose_columns, refuse_odd_text
from finetext.data.read import read
from finetext.data.rows import Batch
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


def test_a_long_value_is_shortened_in_the_error() -> None:
    texts = [{"a": "a long text " * 50}] * 3
    with pytest.raises(DataError, match="values of type dict") as error:
        refuse_odd_text(Batch("x", {"text": texts}, "columns"), "text", texts)
    assert len(str(error.value)) < 300
