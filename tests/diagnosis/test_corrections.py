"""A reviewed list changes what it says, and nothing else."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.data.label_cells import written
from finetext.data.read import read
from finetext.data.write import write_table
from finetext.diagnosis.corrections import apply_labels, dataset_columns, write_suspects
from finetext.diagnosis.label_errors import Suspect, Suspects

MakeDataset = Callable[..., Dataset]
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".xlsx")
TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n\t\"',;"), max_size=20
)
ANYWHERE = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def listed(dataset: Dataset, rows: list[int]) -> Suspects:
    """A list of suspects that has these rows of a data set."""
    assert dataset.scheme is not None
    several = dataset.scheme.multilabel
    suspects = []
    for row in rows:
        own = dataset.labels[row] if several else [dataset.labels[row]]
        label = written(own, dataset.scheme)
        suspects.append(Suspect(dataset.ids[row], dataset.texts[row], label, "x", 0.1, 0.9, 0.1))
    return Suspects("tfidf", 5, len(dataset), tuple(suspects), 1.0)


def reviewed(path: Path, words: dict[str, str]) -> Path:
    """The list with words of a reviewer by id."""
    rows = rows_of(path)
    for row in rows:
        row["correct"] = words.get(row["id"], "")
    return rewritten(path, rows)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def rewritten(path: Path, rows: list[dict[str, str]], **how: Any) -> Path:
    encoding = how.pop("encoding", "utf-8")
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **how)
        writer.writeheader()
        writer.writerows(rows)
    return path


@given(rows=st.lists(st.tuples(TEXTS, st.sampled_from("abc")), min_size=3, max_size=8))
@ANYWHERE
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_unreviewed_list_gives_the_data_back(
    make_dataset: MakeDataset, tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: Any
) -> None:
    folder = tmp_path_factory.mktemp("round")
    dataset = make_dataset(["x", *(text for text, _ in rows)], ["a", *(of for _, of in rows)])
    write_suspects(listed(dataset, [1, 3]), folder / f"list{suffix}")
    done = apply_labels(dataset, folder / f"list{suffix}")
    assert done.dataset.content_hash == dataset.content_hash
    assert (done.changed, done.dropped, done.kept, done.unreviewed) == ((), (), 0, 2)


@given(rows=st.lists(st.tuples(TEXTS, st.sampled_from("ab")), min_size=8, max_size=9))
@ANYWHERE
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_corrected_data_set_is_read_as_it_was_written(
    make_dataset: MakeDataset, tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: Any
) -> None:
    path = tmp_path_factory.mktemp("round") / f"data{suffix}"
    texts = ["some words", "and more", *(text for text, _ in rows)]
    dataset = make_dataset(texts, ["a", "b", *(of for _, of in rows)])
    columns = dataset_columns(dataset, path)
    assert list(columns) == ["id", "text", "label"]
    write_table(path, columns)
    again = read(path, settings=ReadSettings(label="label", text="text", multilabel=False))
    assert again.texts == texts
    assert again.content_hash == dataset.content_hash


@given(data=st.data())
@ANYWHERE
def test_only_rows_with_a_decision_change(
    topics: Dataset, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, 26), min_size=1, max_size=10, unique=True))
    choices = st.sampled_from(["", "ok", "drop", "food", "money", "sport"])
    words = {topics.ids[row]: data.draw(choices) for row in rows}
    path = tmp_path_factory.mktemp("words") / "list.csv"
    write_suspects(listed(topics, rows), path)
    done = apply_labels(topics, reviewed(path, words))
    expected = [
        (one, text, label if words.get(one, "") in ("", "ok") else words[one])
        for one, text, label in zip(topics.ids, topics.texts, topics.labels, strict=True)
        if words.get(one) != "drop"
    ]
    now = done.dataset
    assert list(zip(now.ids, now.texts, now.labels, strict=True)) == expected
    before = dict(zip(topics.ids, topics.labels, strict=True))
    after = dict(zip(now.ids, now.labels, strict=True))
    assert set(done.changed) == {one for one in after if after[one] != before[one]}
    assert set(done.dropped) == set(before) - set(after)
    assert done.unreviewed == sum(word == "" for word in words.values())
    assert done.kept + done.unreviewed + len(done.changed) + len(done.dropped) == len(rows)


def test_groups_and_splits_are_kept(topics: Dataset, tmp_path: Path) -> None:
    groups = [f"(row {one})" if one == "row3" else "all" for one in topics.ids]
    splits = ["train" if row else "test" for row in range(27)]
    table = topics.table.add_column("group", groups).add_column("split", splits)
    dataset = replace(topics, table=table)
    write_suspects(listed(dataset, [0, 3]), tmp_path / "list.csv")
    done = apply_labels(dataset, reviewed(tmp_path / "list.csv", {"row0": "food"}))
    columns = dataset_columns(done.dataset, tmp_path / "corrected.csv")
    assert list(columns) == ["id", "text", "label", "group", "split"]
    write_table(tmp_path / "corrected.csv", columns)
    again = read(tmp_path / "corrected.csv", group="group")
    assert again.labels == ["food", *topics.labels[1:]]
    assert again.groups == groups
    assert again.column("split") == splits


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_labels_are_corrected(mixed_topics: Dataset, tmp_path: Path, suffix: str) -> None:
    write_suspects(listed(mixed_topics, [0, 1, 2, 9]), tmp_path / "list.csv")
    words = {"row0": "sport", "row1": "none", "row2": "sport, food"}
    done = apply_labels(mixed_topics, reviewed(tmp_path / "list.csv", words))
    assert done.dataset.labels[:3] == [["sport"], [], ["food", "sport"]]
    assert done.dataset.labels[3:] == mixed_topics.labels[3:]
    path = tmp_path / f"corrected{suffix}"
    write_table(path, dataset_columns(done.dataset, path))
    told = ReadSettings(multilabel=True)
    assert read(path, settings=told).labels == done.dataset.labels


@pytest.mark.parametrize(
    "how",
    [
        {"delimiter": ";", "encoding": "utf-8-sig", "lineterminator": "\r\n"},
        {"delimiter": "\t", "encoding": "utf-16"},
        {"quoting": csv.QUOTE_ALL, "lineterminator": "\n"},
        {"delimiter": ";", "encoding": "cp1252"},
    ],
)
def test_formats_of_spreadsheets_are_read(
    make_dataset: MakeDataset, tmp_path: Path, how: dict[str, Any]
) -> None:
    texts = ["déjà vu; or, so", "two\nlines, here", 'a "quote"', "=1+1"]
    dataset = make_dataset(texts, ["a", "b", "a", "b"])
    write_suspects(listed(dataset, [0, 1, 2, 3]), tmp_path / "list.csv")
    rows = [{"note": "", **row} for row in rows_of(tmp_path / "list.csv")]
    for row in rows:
        row["text"] = row["text"].replace("\n", "\r\n")
        row["correct"] = {"row0": "b", "row2": "drop"}.get(row["id"], "")
    rows.append(dict.fromkeys(rows[0], ""))
    done = apply_labels(dataset, rewritten(tmp_path / "list.csv", rows, **how))
    assert (done.changed, done.dropped) == (("row0",), ("row2",))


def test_an_excel_file_is_read_too(topics: Dataset, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["id", "text", "label", "correct"])
    book.active.append([topics.ids[0], topics.texts[0], topics.labels[0], "food"])
    book.active.append([topics.ids[1], topics.texts[1], topics.labels[1], None])
    book.save(tmp_path / "list.xlsx")
    assert apply_labels(topics, tmp_path / "list.xlsx").changed == (topics.ids[0],)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", "row99", "row 3: the data have no row with the id 'row99'"),
        ("text", "another", "row 3: the text of the id 'row1' is another one"),
        ("label", "food", "row 3: the label of the id 'row1' is 'sport' in the data, not 'food'"),
        ("correct", "foot", "row 3: there is no label named 'foot'; did you mean 'food'"),
    ],
)
def test_a_list_that_does_not_match_is_rejected(
    topics: Dataset, tmp_path: Path, column: str, value: str, message: str
) -> None:
    path = tmp_path / "list.csv"
    write_suspects(listed(topics, [0, 1]), path)
    rows = rows_of(path)
    rows[0]["correct"] = "food"
    rows[1][column] = value
    with pytest.raises(DataError, match="does not match the data") as caught:
        apply_labels(topics, rewritten(path, rows))
    assert message in str(caught.value)


def test_two_decisions_on_one_row_are_rejected(topics: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    write_suspects(listed(topics, [5, 6]), path)
    first, second = rows_of(path)
    twice = [first | {"correct": "food"}, second, first | {"correct": "drop"}]
    with pytest.raises(DataError, match="row 4: the id 'row5' has another decision in row 2"):
        apply_labels(topics, rewritten(path, twice))
    twice[2] = first | {"correct": " food"}
    assert apply_labels(topics, rewritten(path, twice)).changed == ("row5",)


def test_a_new_label_must_be_allowed(topics: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    write_suspects(listed(topics, [0]), path)
    reviewed(path, {"row0": "travel"})
    with pytest.raises(DataError, match="--new-label"):
        apply_labels(topics, path)
    done = apply_labels(topics, path, new_labels=["travel"])
    assert done.dataset.labels[0] == "travel"
    assert done.dataset.targets[0] == len(topics.scheme or ())


def test_other_files_are_rejected(topics: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("id,text,label\n1,a,b\n")
    with pytest.raises(DataError, match="no column 'correct'"):
        apply_labels(topics, path)
    path.write_text("")
    with pytest.raises(DataError, match="is empty"):
        apply_labels(topics, path)
    with pytest.raises(DataError, match="cannot read"):
        apply_labels(topics, tmp_path / "no.csv")


def test_not_all_rows_can_be_dropped(topics: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    write_suspects(listed(topics, list(range(27))), path)
    with pytest.raises(DataError, match="drops all rows"):
        apply_labels(topics, reviewed(path, dict.fromkeys(topics.ids, "drop")))


def test_many_problems_are_counted(topics: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    line = {"id": "gone", "text": "x", "label": "y", "correct": ""}
    path.write_text("\n".join([json.dumps(line)] * 13) + "\n")
    with pytest.raises(DataError, match="and 3 more") as caught:
        apply_labels(topics, path)
    assert len(str(caught.value).splitlines()) == 12


def test_a_list_whose_texts_excel_cannot_hold_still_fits(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    dataset = make_dataset(["word " * 9_000, "bell\x07 rings", "ok"], ["a", "b", "b"])
    findings = write_suspects(listed(dataset, [0, 1]), tmp_path / "list.xlsx")
    assert [finding.message[:8] for finding in findings] == ["1 cell i", "1 cell h"]
    assert apply_labels(dataset, tmp_path / "list.xlsx").unreviewed == 2


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx"])
@pytest.mark.parametrize("keep_formulas", [False, True])
def test_formulas_are_neutralized_and_read_back_exactly(
    tmp_path: Path, suffix: str, keep_formulas: bool
) -> None:
    rows = [("=1", "=HYPERLINK(1) x", "+1"), ("'=1", "'=HYPERLINK(1) x", "'+1"), ("-2", "-b", "@c")]
    columns = dict(zip(("id", "text", "label"), map(list, zip(*rows, strict=True)), strict=True))
    dataset, path = read(columns), tmp_path / f"list{suffix}"
    write_suspects(listed(dataset, [0, 1, 2]), path, keep_formulas=keep_formulas)
    if suffix == ".csv":
        cells = [cell for row in rows_of(path) for cell in (*row, *row.values())]
        runs = [cell for cell in cells if cell[:1] in ("=", "+", "@") or cell == "-b"]
        assert bool(runs) == keep_formulas
        list_of = rows_of(path)
        list_of[0]["correct"] = list_of[1]["label"]  # copied as it is shown
        list_of[2]["correct"] = "+1"  # typed
        rewritten(path, list_of, delimiter=";")
        done = apply_labels(dataset, path)
        assert done.dataset.labels == ["'+1", "'+1", "+1"]
        return
    assert apply_labels(dataset, path).unreviewed == 3
