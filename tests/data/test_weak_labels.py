"""Weak labels: how rows are marked, and that they never choose or score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas
import pytest

import finetext
from finetext.core.errors import DataError
from finetext.core.settings import SplitSettings
from finetext.data.rows import LABEL_STATUS
from finetext.data.weak_labels import WeakLabels, refuse_weak
from finetext.runs.recipe import Recipe

WEAK = WeakLabels(
    teacher="news", kind="zeroshot", sha256="ab", pool="pool.csv", texts=10, keep=0.5, least=0.1,
    given={"food": 6, "odd label": 0, "sport": 4}, kept={"food": 3, "odd label": 0, "sport": 2},
    confidence={"food": 0.625, "sport": 0.75},
)  # fmt: skip
ROWS = [
    f"{text} {number},{label},{status}"
    for number in range(30)
    for text, label in (("bread and salt", "food"), ("a late goal", "sport"))
    for status in ("weak" if number < 20 else "human",)
]


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join((f"text,label,{LABEL_STATUS}", *ROWS)), encoding="utf-8")
    return path


def test_the_status_of_a_label_is_read(marked: Path) -> None:
    data = finetext.read(marked)
    assert data.labels[:2] == ["food", "sport"]
    assert data.column(LABEL_STATUS) == ["weak"] * 40 + ["human"] * 20


def test_a_table_without_status_is_labeled_by_people(marked: Path) -> None:
    other = marked.with_name("other.csv")
    other.write_text("text,label\na loaf,food\na match,sport\n", encoding="utf-8")
    data = finetext.read({"train": marked, "test": other})
    assert data.column(LABEL_STATUS)[-3:] == ["human"] * 3


def test_a_column_of_that_name_with_other_values_says_nothing(marked: Path) -> None:
    marked.write_text(marked.read_text().replace("weak", "checked"), encoding="utf-8")
    assert LABEL_STATUS not in finetext.read(marked, label="label").table.column_names


def test_weak_rows_stay_marked_beside_blank_and_odd_statuses(marked: Path) -> None:
    said = marked.read_text()
    marked.write_text(said.replace("human", ""))
    data = finetext.read(marked)
    assert data.column(LABEL_STATUS) == ["weak"] * 40 + ["human"] * 20
    assert data.findings == ()
    marked.write_text(said.replace("human", "checked").replace("28,food,checked", "28,food, weak "))
    data = finetext.read(marked)
    assert data.column(LABEL_STATUS).count("weak") == 41
    (found,) = [of for of in data.findings if of.code == "odd-label-status"]
    assert found.severity == "warning"
    assert "of 19 rows, but 'checked'" in found.message


def test_weak_rows_stay_marked_in_joined_data_frames(marked: Path) -> None:
    weak = pandas.read_csv(marked).iloc[:40]
    own = pandas.DataFrame({"text": ["a loaf", "a match"], "label": ["food", "sport"]})
    data = finetext.read(pandas.concat([weak, own]))
    assert data.column(LABEL_STATUS) == ["weak"] * 40 + ["human"] * 2
    refuse_weak(data.select([40, 41]), "test")


def test_no_weak_label_gets_into_a_test_set(marked: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="validation rows would have weak labels"):
        finetext.train(marked, "majority", out=tmp_path / "run")
    people = tmp_path / "people.csv"
    people.write_text("text,label\na loaf,food\na match,sport\n", encoding="utf-8")
    settings = SplitSettings(cross_validate=True)
    with pytest.raises(DataError, match="40 cross-validated rows would have weak labels"):
        finetext.train(marked, "majority", split=settings, out=tmp_path / "run")
    parts = {"train": marked, "validation": people, "test": marked}
    with pytest.raises(DataError, match="40 test rows would have weak labels"):
        finetext.train(parts, "majority", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rows_that_people_labeled_are_not_refused(marked: Path) -> None:
    data = finetext.read(marked)
    refuse_weak(data.select(range(40, 60)), "test")
    refuse_weak(replace(data, table=data.table.remove_columns(LABEL_STATUS)), "test")
    with pytest.raises(DataError, match=r"1 test row .*id '1'"):
        refuse_weak(data.select([0, 59]), "test")
    with pytest.raises(DataError, match="first that with the id '3' and the text 'bread and salt"):
        refuse_weak(data.select([59, 2, 0]), "test")


def test_the_mark_may_be_in_other_letters(marked: Path) -> None:
    said = marked.read_text().replace(LABEL_STATUS, "Label_Status").replace("weak", "Weak")
    marked.write_text(said, encoding="utf-8")
    assert finetext.read(marked).column(LABEL_STATUS) == ["weak"] * 40 + ["human"] * 20


@pytest.mark.parametrize("prefix", ["", "finetext:"])
def test_predictions_as_labels_are_a_warning(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "predicted.csv"
    header = f"text,label,{prefix}prediction,{prefix}probability:food"
    path.write_text(f"{header}\na loaf,food,food,0.9\na match,sport,sport,0.2\n", encoding="utf-8")
    (found,) = finetext.read(path, label=f"{prefix}prediction").findings
    assert (found.severity, found.code) == ("warning", "predicted-labels")
    assert "a model gave them" in found.message
    assert finetext.read(path, label="label").findings == ()


def test_what_is_said_of_weak_labels() -> None:
    said = WEAK.words()
    assert "5 of 10 texts of pool.csv are training rows with weak labels" in said
    assert "the model news (zeroshot) gave with a confidence of 0.62 or more" in said
    assert "labeled by people" in said
    assert "nothing says how often it is right" in replace(WEAK, is_scored=False).words()
    assert WEAK.shares() == {"food": 0.5, "sport": 0.5}
    assert "the model NEWS (ZEROSHOT)" in WEAK.renamed(str.upper).words()


def test_a_recipe_keeps_where_weak_labels_are_from(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(Recipe(source="x.csv", weak=WEAK).to_toml(), encoding="utf-8")
    again = Recipe.from_file(path)
    assert again.weak == WEAK
    assert again.weak is not None
    assert list(again.weak.given) == ["food", "odd label", "sport"]
