"""Tables of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studio_toys import project_of, rows, say, write_texts

import finetext
from finetext.core.errors import DataError, UnknownNameError
from finetext.evaluation.agreement import agreement
from finetext.studio.exporting import export, judgements_table, texts_table
from finetext.studio.imported import add_texts
from finetext.studio.judgements import undo
from finetext.studio.label_set import Label, set_labels
from finetext.studio.project import create_project

openpyxl = pytest.importorskip("openpyxl")


@pytest.mark.parametrize("form", ["csv", "xlsx", "jsonl", "parquet"])
@pytest.mark.parametrize("multilabel", [False, True])
def test_labeled_texts_can_be_read_with_text_label_and_split(
    tmp_path: Path, form: str, multilabel: bool
) -> None:
    with project_of(tmp_path, 30, multilabel=multilabel, double_share=0) as project:
        for text in range(1, 31):
            labels = ("good", "bad", "odd")[text % 3 :][:1] if not multilabel else ("good", "bad")
            say(project, "Anna", text, *(labels if text % 2 else labels[:1]))
        export(project, "labeled", tmp_path / f"labeled.{form}")
    data = finetext.read(tmp_path / f"labeled.{form}")
    assert len(data) == 30
    assert sorted(set(data["split"])) == ["test", "train"]
    assert data["split"].count("test") == 6
    assert data.texts[0] == "film number 0"
    assert data.scheme is not None
    assert data.scheme.multilabel is multilabel


def test_answers_are_read_as_those_of_annotators(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        for text in range(1, 11):
            say(project, "Anna", text, "good" if text < 6 else "bad")
            say(project, "Bert", text, "good" if text < 7 else "bad")
        say(project, "Clara", 1, "odd", kind="decision")
        export(project, "answers", tmp_path / "answers.csv")
    found = agreement(finetext.read(tmp_path / "answers.csv"))
    assert found.texts == 10
    assert found.agreed.value == 0.9


def test_every_judgement_is_in_its_table(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        say(project, "Anna", 1, "good")
        say(project, "Anna", 1, "bad")
        say(project, "Anna", 2, "bad", note="?", flagged=True)
        undo(project, "Anna")
        say(project, "Anna", 3, kind="skip")
        table = judgements_table(project)
        assert table["state"] == ["replaced", "current", "undone", "current"]
        assert table["label"] == ["good", "bad", "bad", None]
        assert table["flagged"] == [False, False, True, False]


def test_texts_keep_their_columns_and_say_who_decided(tmp_path: Path) -> None:
    project = create_project(tmp_path, "one")
    texts = ["one", "two", "three", "four"]
    path = write_texts(tmp_path / "a.jsonl", texts, label=["x"] * 4, Split=["a"] * 4, page=[1] * 4)
    set_labels(project, [Label("good"), Label("bad")])
    add_texts(project, path)
    for who, label in (("Anna", "good"), ("Bert", "bad")):
        say(project, who, 1, label)
        say(project, who, 2, "bad")
    say(project, "Anna", 3, "good")
    say(project, "Clara", 1, "bad", kind="decision")
    table = texts_table(project)
    assert table["label"] == ["bad", "bad", "good", None]
    assert table["decided_by"] == ["decision", "majority", "Anna", None]
    assert table["source_label"] == ["x"] * 4
    assert table["source_Split"] == ["a"] * 4
    assert table["page"] == [1] * 4
    assert [of is None for of in table["split"]] == [False, False, False, True]
    project.close()


def test_formulas_are_neutralized(tmp_path: Path) -> None:
    evil = '=HYPERLINK("http://example.org","x")'
    with project_of(tmp_path, [evil, "two"]) as project:
        say(project, "=Anna", 1, "good")
        export(project, "texts", tmp_path / "texts.csv")
        export(project, "texts", tmp_path / "texts.xlsx")
    text = (tmp_path / "texts.csv").read_text("utf-8-sig")
    assert "'=HYPERLINK" in text
    assert "'=Anna" in text
    cells: list[Any] = [
        of for row in openpyxl.load_workbook(tmp_path / "texts.xlsx").active for of in row
    ]
    assert all(of.data_type != "f" for of in cells)
    assert evil in [of.value for of in cells]


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        with pytest.raises(DataError, match="no text has a label yet"):
            export(project, "labeled", tmp_path / "a.csv")
        with pytest.raises(DataError, match="suffix"):
            export(project, "texts", tmp_path / "a.doc")
        with pytest.raises(UnknownNameError, match="answers"):
            export(project, "answer", tmp_path / "a.csv")
        assert rows(project, "SELECT count(*) FROM judgements") == [(0,)]
