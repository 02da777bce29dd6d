"""Tables of a project, and that finetext reads them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from studio_projects import LABELS, give, project_in, write_rows
from studio_toys import project_of

import finetext
from finetext.core.errors import DataError, FinetextError
from finetext.core.types import Dataset
from finetext.evaluation.agreement import agreement
from finetext.studio.agreeing import agreement_in
from finetext.studio.exporting import export, judgements_table, texts_table
from finetext.studio.imported import add_texts
from finetext.studio.judgements import undo
from finetext.studio.label_set import Label, set_labels
from finetext.studio.project import Project, stored_settings
from finetext.studio.review import decided_labels, pool_texts

FORMS = ("csv", "tsv", "xlsx", "jsonl", "parquet")
WORDS = ("good", "bad", "odd", "fine", "poor")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_in(tmp_path, texts=0) as made:
        rows = [
            (f"r{row}", f"this is the {WORDS[row % 5]} text with number {row}", f"2024-01-{row:02}")
            for row in range(1, 31)
        ]
        add_texts(made, write_rows(tmp_path / "texts.csv", ("id", "text", "day"), rows))
        yield made


def label_all(project: Project, *names: str) -> None:
    for who, shift in (("ann", 0), ("bob", 1)):
        for text in range(1, 25):
            if who == "ann" or text % 4 == 0:
                label = LABELS[(text + shift * (text % 8 == 0)) % 3]
                give(project, who, text, label, *names)


def read(path: Path, **settings: Any) -> Dataset:
    return finetext.read(path, **settings)


@pytest.mark.parametrize("form", FORMS)
def test_finetext_reads_labeled_texts_with_their_splits(
    project: Project, tmp_path: Path, form: str
) -> None:
    label_all(project)
    path = tmp_path / f"out.{form}"
    export(project, "labeled", path)
    data, decided = read(path), decided_labels(project)
    random = {of.id for of in pool_texts(project) if of.is_random}
    assert data.scheme is not None
    assert set(data.scheme.names) == set(LABELS)
    assert len(data.texts) == len(decided.labels) == 21
    for id_, text, label in zip(data.ids, data.texts, data.labels, strict=True):
        number = int(str(id_).removeprefix("r"))
        assert text.endswith(f"number {number}")
        assert (label,) == decided.labels[number]
    assert data["split"] == [
        "test" if int(str(id_).removeprefix("r")) in random else "train" for id_ in data.ids
    ]


@pytest.mark.parametrize("form", FORMS)
def test_finetext_reads_all_texts_if_those_without_a_label_are_left_out(
    project: Project, tmp_path: Path, form: str
) -> None:
    label_all(project)
    path = tmp_path / f"out.{form}"
    export(project, "texts", path)
    data = read(path, settings=finetext.ReadSettings(drop_unlabelled=True))
    assert len(data.texts) == 21
    assert set(data["split"]) == {"train", "test"}


@pytest.mark.parametrize("form", FORMS)
def test_finetext_reads_the_answers_of_annotators(
    project: Project, tmp_path: Path, form: str
) -> None:
    label_all(project)
    give(project, "ann", 4, "odd")
    undo(project, "bob")
    give(project, "cy", 3, kind="skip")
    path = tmp_path / f"answers.{form}"
    export(project, "answers", path)
    found, own = agreement(read(path)), agreement_in(project).agreement
    assert own is not None
    assert (found.texts, found.total) == (own.texts, own.total)
    assert found.agreed == own.agreed
    assert found.alpha.value == pytest.approx(own.alpha.value)


@pytest.mark.parametrize("form", FORMS)
def test_several_labels_a_text_are_read_again(tmp_path: Path, form: str) -> None:
    with project_in(tmp_path, texts=30, multilabel=True) as project:
        for text in range(1, 31):
            give(project, "ann", text, *(name for at, name in enumerate(LABELS) if text >> at & 1))
        path = tmp_path / f"out.{form}"
        export(project, "labeled", path)
        settings = finetext.ReadSettings(multilabel=True)
        data, decided = read(path, settings=settings), decided_labels(project).labels
    assert data.scheme is not None
    assert data.scheme.multilabel
    assert [set(of) for of in data.labels] == [set(decided[text]) for text in sorted(decided)]


def test_every_text_has_a_row_with_its_columns_and_how_it_was_decided(project: Project) -> None:
    give(project, "ann", 1, "good")
    for who in ("ann", "bob"):
        give(project, who, 2, "bad")
    give(project, "ann", 3, "bad")
    give(project, "ann", 3, "odd", kind="decision")
    give(project, "ann", 4, "bad")
    give(project, "bob", 4, "odd")
    table = texts_table(project)
    assert list(table) == ["id", "text", "label", "split", "decided_by", "day"]
    assert {len(values) for values in table.values()} == {30}
    assert table["label"][:5] == ["good", "bad", "odd", None, None]
    assert table["decided_by"][:5] == ["ann", "majority", "decision", None, None]
    assert [table["split"].count(name) for name in ("test", "train")] == [6, 24]
    assert table["day"][0] == "2024-01-01"


def test_columns_of_the_source_never_take_the_place_of_others(tmp_path: Path) -> None:
    header = ("text", "Label", "source_label", "SPLIT", "source_Label")
    with project_in(tmp_path, texts=0) as project:
        rows = [(f"a text with number {row}", "a", "b", "c", "d") for row in range(9)]
        add_texts(project, write_rows(tmp_path / "x.csv", header, rows))
        table = texts_table(project)
    assert {len(values) for values in table.values()} == {9}
    assert len({name.casefold() for name in table}) == len(table)
    assert [values[0] for name, values in table.items() if name.startswith("source_")] == [
        "a", "b", "c", "d",
    ]  # fmt: skip
    assert table["label"] == [None] * 9


def test_every_judgement_has_a_row_with_its_state(project: Project) -> None:
    suggestion = {"labels": ["good"], "source": "model", "probability": 0.5}
    give(project, "ann", 1, "good", suggestion=suggestion, seconds=2.5, guideline=3)
    give(project, "ann", 1, "bad")
    give(project, "ann", 2, "odd", flagged=True, note="unclear")
    undo(project, "ann")
    give(project, "bob", 3, kind="skip")
    give(project, "bob", 3, "good", kind="decision")
    table = judgements_table(project)
    assert table["state"] == ["replaced", "current", "undone", "current", "current"]
    assert table["label"] == ["good", "bad", "odd", None, "good"]
    assert table["kind"] == ["label", "label", "label", "skip", "decision"]
    assert table["suggested"] == ["good", None, None, None, None]
    assert table["flagged"] == [False, False, True, False, False]
    assert (table["note"][2], table["seconds"][0], table["guideline"][0]) == ("unclear", 2.5, 3)
    assert table["time"] == sorted(table["time"])
    assert table["time"][0].endswith("+00:00")


@pytest.mark.parametrize("form", ["csv", "tsv", "xlsx"])
def test_no_cell_is_run_as_a_formula(project: Project, tmp_path: Path, form: str) -> None:
    give(project, "=cmd|' /C calc'!A0", 1, "good", note="=1+1")
    path = tmp_path / f"judgements.{form}"
    export(project, "judgements", path)
    if form != "xlsx":
        kind = {"csv": "excel", "tsv": "excel-tab"}[form]
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [cell for row in csv.reader(file, kind) for cell in row]
        assert {"'=1+1", "'=cmd|' /C calc'!A0"} <= set(cells)
        assert not [cell for cell in cells if cell.startswith("=")]
    else:
        import openpyxl

        sheet = openpyxl.load_workbook(path).active
        found = [cell for row in sheet for cell in row]
        assert {cell.data_type for cell in found if str(cell.value).startswith("=")} == {"s"}


def test_columns_of_mixed_values_are_written_to_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    lines = ('{"text": "one text", "n": 1}', '{"text": "text two", "n": "many"}')
    path.write_text("\n".join(lines), encoding="utf-8")
    with project_in(tmp_path, texts=0) as project:
        add_texts(project, path)
        export(project, "texts", tmp_path / "out.parquet")
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(tmp_path / "out.parquet")["n"].to_pylist() == ["1", "many"]


def test_what_cannot_be_exported_is_told(project: Project, tmp_path: Path) -> None:
    with pytest.raises(FinetextError, match=r"judgments.*judgements"):
        export(project, "judgments", tmp_path / "x.csv")
    with pytest.raises(DataError, match="suffix"):
        export(project, "texts", tmp_path / "x.docx")
    with pytest.raises(DataError, match="no text has a label yet"):
        export(project, "labeled", tmp_path / "x.csv")
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("names", "fewest"),
    [(LABELS, 0), (("rent, flat", "car", "bus"), 1), (("car;bus", "a|b", "c#"), 1)],
)
def test_sets_of_labels_are_read_without_any_setting(
    tmp_path: Path, form: str, names: tuple[str, ...], fewest: int
) -> None:
    sets = [of for size in range(fewest, 4) for of in combinations(names, size)]
    with project_in(tmp_path, texts=30, multilabel=True) as project:
        set_labels(project, [Label(name) for name in names])
        for text in range(1, 25):
            give(project, "ann", text, *sets[text % len(sets)])
            give(project, "bob", text, names[text % 3])
            give(project, "bob", text, *sets[text % len(sets)])
        for what in ("labeled", "answers"):
            export(project, what, tmp_path / f"{what}.{form}")
        decided = decided_labels(project).labels
    data = read(tmp_path / f"labeled.{form}")
    assert [set(of) for of in data.labels] == [set(decided[text]) for text in range(1, 25)]
    found = agreement(read(tmp_path / f"answers.{form}"))
    assert (found.texts, found.agreed.value) == (24, 1.0)


@pytest.mark.parametrize("form", ["csv", "tsv", "xlsx"])
def test_no_label_is_told_from_none_yet(tmp_path: Path, form: str) -> None:
    with project_in(tmp_path, texts=30, multilabel=True) as project:
        give(project, "ann", 1, "good", "bad")
        give(project, "ann", 2)
        give(project, "ann", 3, "bad")
        export(project, "texts", tmp_path / f"out.{form}")
    data = read(tmp_path / f"out.{form}", settings=finetext.ReadSettings(drop_unlabelled=True))
    assert [set(of) for of in data.labels] == [{"good", "bad"}, set(), {"bad"}]


@pytest.mark.parametrize("form", FORMS)
def test_texts_that_look_like_formulas_are_read_as_they_were(tmp_path: Path, form: str) -> None:
    texts = ["=1+1", "-5 degrees", "@anna hello", "+49 30 123", "'quoted'", "'=2", "two\nlines"]
    texts = [f"{text} of row {row}" for row in range(3) for text in texts]
    with project_of(tmp_path, texts, ("=x", "-", "+1")) as project:
        for text in range(1, 22):
            give(project, "ann", text, ("=x", "-", "+1")[text % 3])
        export(project, "labeled", tmp_path / f"out.{form}")
    data = read(tmp_path / f"out.{form}")
    assert list(data.texts) == texts
    assert list(data.labels) == [("=x", "-", "+1")[text % 3] for text in range(1, 22)]


def test_a_table_is_of_one_moment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody undoes while the table is made is in all of its columns, or in none."""
    label_all(project)
    before = texts_table(project)

    def meanwhile(db: Any) -> Any:
        for _ in range(2):  # the last text has an answer of somebody else, too
            undo(project, "ann")
        return stored_settings(db)

    monkeypatch.setattr("finetext.studio.exporting.stored_settings", meanwhile)
    during = texts_table(project)
    monkeypatch.undo()
    assert during in (before, texts_table(project))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("several", [False, True])
def test_an_exported_table_is_taken_into_another_project(
    tmp_path: Path, form: str, several: bool
) -> None:
    def decided(project: Project) -> dict[str, set[str]]:
        with project.database.read() as db:
            names = dict(db.execute("SELECT id, name FROM texts").fetchall())
        return {names[text]: set(of) for text, of in decided_labels(project).labels.items()}

    path = tmp_path / f"out.{form}"
    with project_in(tmp_path, texts=30, multilabel=several) as project:
        for text in range(1, 20):
            names = [name for at, name in enumerate(LABELS) if text >> at & 1]
            give(project, "ann", text, *(names if several else [LABELS[text % 3]]))
        export(project, "texts", path)
        before = decided(project)
    with project_in(tmp_path / "other", texts=0, multilabel=several) as other:
        found = add_texts(other, path, take_labels=True)
        assert (found.added, found.labeled) == (30, 19)
        assert decided(other) == before
