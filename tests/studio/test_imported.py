"""Texts from files into a project."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studio_toys import project_of, rows, write_texts

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.studio.imported import FILE, add_texts
from finetext.studio.judgements import history
from finetext.studio.label_set import scheme_of
from finetext.studio.project import ProjectSettings, create_project

openpyxl = pytest.importorskip("openpyxl")


def test_repeated_and_empty_texts_are_left_out_and_said(tmp_path: Path) -> None:
    with project_of(tmp_path, ["one", "two"]) as project:
        more = write_texts(tmp_path / "more.jsonl", ["two", "three", "", "three", "  "])
        found = add_texts(project, more)
        assert (found.added, found.repeated, found.empty) == (1, 2, 2)
        said = " ".join(found.notes)
        assert "2 texts left out that the project has already" in said
        assert "2 rows left out whose text is empty" in said


def test_ids_that_are_taken_get_the_name_of_the_file(tmp_path: Path) -> None:
    with project_of(tmp_path, ["one", "two"]) as project:
        add_texts(project, write_texts(tmp_path / "more.jsonl", ["three", "four"]))
        names = [name for (name,) in rows(project, "SELECT name FROM texts ORDER BY id")]
        assert names == ["1", "2", "more.jsonl/1", "more.jsonl/2"]
        assert rows(project, "SELECT DISTINCT batch FROM texts ORDER BY batch") == [(1,), (2,)]


def test_a_german_sheet_keeps_ids_umlauts_and_other_columns(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "Rückmeldung", "Datum"])
    book.active.append(["r1", "Schön, aber laut", "01.03.2026"])
    book.active.append(["r2", "=SUMME(A1) ist kein Text", "02.03.2026"])
    book.active.append(["r3", "Größe passt nicht", "03.03.2026"])
    book.active["B3"].data_type = "s"
    book.save(tmp_path / "Blatt.xlsx")
    project = create_project(tmp_path, "Blatt")
    assert add_texts(project, tmp_path / "Blatt.xlsx", ReadSettings(text="Rückmeldung")).added == 3
    found = rows(project, "SELECT name, text, columns FROM texts ORDER BY id")
    assert found[0] == ("r1", "Schön, aber laut", '{"Datum": "01.03.2026"}')
    assert found[1][1] == "=SUMME(A1) ist kein Text"
    project.close()


def test_labels_of_a_file_become_answers_that_people_can_replace(tmp_path: Path) -> None:
    with project_of(tmp_path, ["one"], labels=("good",)) as project:
        path = write_texts(
            tmp_path / "half.jsonl", ["two", "three", "four"], label=["good", "bad", None]
        )
        found = add_texts(project, path, ReadSettings(label="label"), take_labels=True)
        assert (found.added, found.labeled) == (3, 2)
        assert scheme_of(project).names == ("good", "bad")
        assert {(of["annotator"], *of["labels"]) for of in history(project)} == {
            (FILE, "good"),
            (FILE, "bad"),
        }
        again = add_texts(project, path, ReadSettings(label="label"), take_labels=True)
        assert (again.added, again.labeled) == (0, 0)


def test_several_labels_a_text_do_not_fit_a_project_with_one(tmp_path: Path) -> None:
    with project_of(tmp_path, ["one"]) as project:
        path = write_texts(tmp_path / "many.jsonl", ["two", "three"], label=[["a", "b"], ["a"]])
        with pytest.raises(DataError, match="several labels a text"):
            add_texts(project, path, ReadSettings(label="label"), take_labels=True)


def test_a_file_without_texts_is_refused(tmp_path: Path) -> None:
    project = create_project(tmp_path, "empty")
    with pytest.raises(DataError, match="has no texts"):
        add_texts(project, write_texts(tmp_path / "empty.jsonl", ["", " "]))
    assert rows(project, "SELECT count(*) FROM texts") == [(0,)]
    project.close()


@settings(max_examples=15)
@given(st.integers(1, 60), st.floats(0, 0.5), st.floats(0, 1), st.integers(0, 5))
def test_shares_are_exact_whatever_the_number_of_texts(
    texts: int, random_share: float, double_share: float, seed: int
) -> None:
    with TemporaryDirectory() as folder:
        asked = ProjectSettings(random_share=random_share, double_share=double_share)
        project = create_project(Path(folder), "one", asked, seed)
        add_texts(
            project,
            write_texts(Path(folder) / "a.jsonl", [f"film {n} is good" for n in range(texts)]),
        )
        counts = "SELECT stream, count(*), sum(coders - 1) FROM texts GROUP BY stream"
        for stream, number, double in rows(project, counts):
            random = round(random_share * texts)
            assert number == (random if stream == "random" else texts - random)
            assert double == round(double_share * number)
        project.close()
