"""Texts from files into a project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openpyxl
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from studio_projects import check_counts, give, project_in, write_rows
from studio_toys import rows as rows_of
from studio_toys import write_texts

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.studio import imported
from finetext.studio.imported import add_texts
from finetext.studio.judgements import current_answers
from finetext.studio.label_set import Label, labels_of, set_labels
from finetext.studio.next_text import GivenText, next_text
from finetext.studio.project import Project, ProjectSettings, counts_of, create_project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_in(tmp_path, texts=0, double_share=0.0) as made:
        yield made
        with made.database.read() as db:
            check_counts(db)


def texts(project: Project) -> dict[str, tuple[str, dict[str, Any]]]:
    with project.database.read() as db:
        rows = db.execute("SELECT name, text, columns FROM texts ORDER BY id")
        return {row["name"]: (row["text"], json.loads(row["columns"])) for row in rows}


def given(project: Project) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    with project.database.read() as db:
        names = dict(db.execute("SELECT id, name FROM texts"))
        return {names[text]: of for text, of in current_answers(db).items()}


def test_ids_and_further_columns_are_kept(project: Project, tmp_path: Path) -> None:
    rows = [("a1", "the first text", "good", "3"), ("a2", "the second text", "", "")]
    path = write_rows(tmp_path / "x.csv", ("id", "text", "label", "stars"), rows)
    found = add_texts(project, path)
    assert (found.added, found.labeled) == (2, 0)
    assert list(texts(project)) == ["a1", "a2"]
    assert texts(project)["a1"] == ("the first text", {"label": "good", "stars": "3"})


def test_empty_and_repeated_texts_are_left_out_and_counted(
    project: Project, tmp_path: Path
) -> None:
    rows = [("a", "one text"), ("b", "two texts"), ("c", "one text"), ("d", "  ")]
    first = add_texts(project, write_rows(tmp_path / "x.csv", ("id", "text"), rows))
    assert (first.added, first.repeated, first.empty) == (2, 1, 1)
    assert any("1 row left out whose text is empty" in note for note in first.notes)
    again = add_texts(project, tmp_path / "x.csv")
    assert (again.added, again.repeated, again.empty) == (0, 3, 1)
    assert any("3 texts left out" in note for note in again.notes)


def test_ids_that_are_taken_begin_with_the_file(project: Project, tmp_path: Path) -> None:
    for name in ("x.csv", "y.csv", "z"):
        (tmp_path / name).mkdir() if name == "z" else None
        path = tmp_path / name / "y.csv" if name == "z" else tmp_path / name
        rows = [("1", f"the first of {name}"), ("2", f"the second of {name}")]
        found = add_texts(project, write_rows(path, ("id", "text"), rows))
    assert list(texts(project)) == ["1", "2", "y.csv/1", "y.csv/2", "y.csv/1-2", "y.csv/2-2"]
    assert any("2 ids that other texts have already" in note for note in found.notes)


def test_streams_have_their_shares_and_do_not_depend_on_the_order(tmp_path: Path) -> None:
    shares = {"random_share": 0.2, "double_share": 0.1}
    with project_in(tmp_path, 200, **shares) as project, project.database.read() as db:
        rows = db.execute("SELECT id, stream, coders FROM texts ORDER BY draw").fetchall()
    random = [row["id"] for row in rows if row["stream"] == "random"]
    assert len(random) == 40
    assert sum(row["coders"] == 2 for row in rows if row["stream"] == "random") == 4
    assert sum(row["coders"] == 2 for row in rows if row["stream"] == "chosen") == 16
    assert random != sorted(random)
    assert 70 < sum(random) / 40 < 130


@pytest.mark.parametrize("content", ["", "text\n", "id,text\n1, \n"])
def test_a_file_without_texts_is_refused(project: Project, tmp_path: Path, content: str) -> None:
    (tmp_path / "x.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"x\.csv"):
        add_texts(project, tmp_path / "x.csv")
    assert counts_of(project).texts == 0


def test_people_label_the_rest_of_a_half_labeled_file(project: Project, tmp_path: Path) -> None:
    labels = ["good", "bad", "new", ""] * 5
    rows = [(f"a{row}", f"text number {row}", label) for row, label in enumerate(labels)]
    path = write_rows(tmp_path / "x.csv", ("id", "text", "label"), rows)
    found = add_texts(project, path, take_labels=True)
    assert (found.added, found.labeled) == (20, 15)
    assert [of.name for of in labels_of(project)] == ["good", "bad", "odd", "new"]
    assert given(project) == {id_: [("file", (label,))] for id_, _, label in rows if label}
    for _ in range(5):
        following = next_text(project, "ann")
        assert isinstance(following, GivenText)
        assert following.name not in given(project)
        give(project, "ann", following.id, "good")
    assert not isinstance(next_text(project, "ann"), GivenText)


def test_labels_can_be_taken_later_and_once(project: Project, tmp_path: Path) -> None:
    rows = [(f"text number {row}", "good" if row % 2 else "bad") for row in range(10)]
    path = write_rows(tmp_path / "x.csv", ("text", "label"), rows)
    assert add_texts(project, path).labeled == 0
    assert add_texts(project, path, take_labels=True).labeled == 10
    assert add_texts(project, path, take_labels=True).labeled == 0


def test_files_with_several_labels_a_text(tmp_path: Path) -> None:
    lines = [{"text": "text one", "labels": ["good", "bad"]}, {"text": "text two", "labels": []}]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with project_in(tmp_path, texts=0, multilabel=True) as several:
        assert add_texts(several, path, take_labels=True).labeled == 2
        assert [of for (of,) in given(several).values()] == [
            ("file", ("good", "bad")),
            ("file", ()),
        ]


def test_labels_that_do_not_fit_leave_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"text number {row}", ("GOOD", "bad", "x")[row % 3]) for row in range(9)]
    path = write_rows(tmp_path / "x.csv", ("text", "label"), rows)
    with pytest.raises(DataError, match="two labels have the name 'good'"):
        add_texts(project, path, take_labels=True)
    monkeypatch.setattr(imported, "MOST_LABELS", 3)
    with pytest.raises(DataError, match="at most 3"):
        add_texts(project, path, take_labels=True)
    lines = [{"text": "text one", "labels": ["good", "bad"]}, {"text": "text two", "labels": []}]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(DataError, match="several labels a text, and the project one"):
        add_texts(project, path, take_labels=True)
    assert counts_of(project).texts == 0
    assert [of.name for of in labels_of(project)] == ["good", "bad", "odd"]


def test_a_project_has_a_limit(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imported, "MOST_TEXTS", 3)
    rows = [(f"text number {row}",) for row in range(4)]
    with pytest.raises(DataError, match="at most 3 texts"):
        add_texts(project, write_rows(tmp_path / "x.csv", ("text",), rows))
    assert counts_of(project).texts == 0


def test_what_json_lines_hold_is_kept_or_made_whole(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    lines = (
        '{"id": 7, "text": "half a \\ud83d pair", "score": NaN, "n": 3, "tags": ["a"], "x": null}\n'
        '{"id": 8, "text": "another text", "score": 0.5, "n": 4, "tags": [], "x": "y"}\n'
    )
    path.write_text(lines, encoding="utf-8")
    add_texts(project, path, ReadSettings(text="text", id="id"))
    text, columns = texts(project)["7"]
    assert text.startswith("half a ")
    text.encode()
    assert columns == {"score": None, "n": 3, "tags": '["a"]', "x": None}


def test_reader_settings_and_messages_hold(project: Project, tmp_path: Path) -> None:
    rows = [("3", "one text", "another text of more words")]
    path = write_rows(tmp_path / "x.csv", ("id", "a", "b"), rows)
    with pytest.raises(DataError, match="satz"):
        add_texts(project, path, ReadSettings(text="satz"))
    add_texts(project, path, ReadSettings(text="b"))
    assert [text for text, _ in texts(project).values()] == ["another text of more words"]


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
    found = rows_of(project, "SELECT name, text, columns FROM texts ORDER BY id")
    assert found[0] == ("r1", "Schön, aber laut", '{"Datum": "01.03.2026"}')
    assert found[1][1] == "=SUMME(A1) ist kein Text"
    project.close()


@settings(max_examples=15)
@drawn(st.integers(1, 60), st.floats(0, 0.5), st.floats(0, 1), st.integers(0, 5))
def test_shares_are_exact_whatever_the_number_of_texts(
    texts: int, random_share: float, double_share: float, seed: int
) -> None:
    with TemporaryDirectory() as folder:
        asked = ProjectSettings(random_share=random_share, double_share=double_share)
        project = create_project(Path(folder), "one", asked, seed)
        for name in ("film", "book"):
            lines = [f"{name} {n} is good" for n in range(texts)]
            add_texts(project, write_texts(Path(folder) / f"{name}.jsonl", lines))
        counts = "SELECT batch, stream, count(*), sum(coders - 1) FROM texts GROUP BY 1, 2"
        found = rows_of(project, counts)
        assert sum(number for _, _, number, _ in found) == 2 * texts
        for _, stream, number, double in found:
            random = round(random_share * texts)
            assert number == (random if stream == "random" else texts - random)
            assert double == round(double_share * number)
        project.close()


def test_a_source_that_is_not_there_is_told(project: Project, tmp_path: Path) -> None:
    for source in (tmp_path / "x.csv", tmp_path / "folder of texts"):
        with pytest.raises(DataError, match="there is no file") as told:
            add_texts(project, source)
        assert source.name in str(told.value)


def test_a_file_cannot_give_labels_that_are_retired(project: Project, tmp_path: Path) -> None:
    rows = [(f"text number {row}", ("good", "bad")[row % 2]) for row in range(6)]
    path = write_rows(tmp_path / "x.csv", ("text", "label"), rows)
    add_texts(project, path)
    give(project, "ann", 1, "good")
    set_labels(project, [Label("bad"), Label("odd")])
    with pytest.raises(DataError, match=r"x\.csv gives 'good'.*retired"):
        add_texts(project, path, take_labels=True)
    assert list(given(project).values()) == [[("ann", ("good",))]]
    set_labels(project, [Label("bad"), Label("good")])
    assert add_texts(project, path, take_labels=True).labeled == 6


def test_labels_of_repeated_texts_that_differ_are_told(project: Project, tmp_path: Path) -> None:
    rows = [(f"text number {row % 6}", ("good", "bad", "odd")[row % 4 % 3]) for row in range(12)]
    found = add_texts(
        project, write_rows(tmp_path / "x.csv", ("text", "label"), rows), take_labels=True
    )
    assert (found.added, found.repeated, found.labeled) == (6, 6, 6)
    first = dict(reversed(rows))
    other = len({text for text, label in rows if label != first[text]})
    assert [labels for (labels,) in given(project).values()] == [
        ("file", (label,)) for _, label in rows[:6]
    ]
    assert any(f"{other} texts have several answers in x.csv" in note for note in found.notes)


def test_formulas_without_a_result_are_told_and_their_texts_left_out(
    project: Project, tmp_path: Path
) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "Text", "Summe"])
    for row in range(4):
        book.active.append([f"a{row}", f"Schöner Text Nummer {row}", "=1+1"])
    book.active["B3"] = '=CONCATENATE("a", "b")'
    book.save(tmp_path / "x.xlsx")
    found = add_texts(project, tmp_path / "x.xlsx", ReadSettings(text="Text", id="id"))
    assert (found.added, found.empty) == (3, 1)
    assert any("5 formulas without a stored result" in note for note in found.notes)
    assert list(texts(project)) == ["a0", "a2", "a3"]
    assert texts(project)["a0"] == ("Schöner Text Nummer 0", {"Summe": None})


def test_labels_of_a_german_sheet_are_taken(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Nr", "Rückmeldung", "Größe", "Preis"])
    for row in range(6):
        text = f"Schöne Übung Nummer {row} ist ganz gut"
        book.active.append([row, text, ("groß", "klein")[row % 2], 1.5])
    book.save(tmp_path / "Blatt Ü.xlsx")
    with project_in(tmp_path, texts=0) as project:
        settings = ReadSettings(text="Rückmeldung", label="Größe", id="Nr")
        found = add_texts(project, tmp_path / "Blatt Ü.xlsx", settings, take_labels=True)
        assert (found.added, found.labeled) == (6, 6)
        assert [of.name for of in labels_of(project)][3:] == ["groß", "klein"]
        assert texts(project)["1"][1] == {"Größe": "klein", "Preis": 1.5}
