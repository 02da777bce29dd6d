"""What a person decides goes into the data; everything else keeps the label of the majority."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import DataError
from finetext.data.read import read
from finetext.diagnosis.adjudication import (
    annotator_agreement,
    decide_texts,
    read_annotated,
    write_differing,
)
from finetext.diagnosis.data_checks import Material

TEXTS = [f"the sentence number {n} is long" for n in range(12)]
ANSWERS = {
    "Ann": [*"ababababab", "a", "b"],
    "Bob": [*"ababababba", "a", "b"],
    "id": [*"ababababaa", "b", None],
}
"""They differ on the last texts but one: two with a majority, one without."""


def long() -> dict[str, list[Any]]:
    rows = [(text, of[n], name) for n, text in enumerate(TEXTS) for name, of in ANSWERS.items()]
    rows = [row for row in rows if row[1] is not None]
    return dict(zip(("text", "label", "coder"), map(list, zip(*rows, strict=True)), strict=True))


def wide() -> dict[str, list[Any]]:
    return {"text": TEXTS, **ANSWERS}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".jsonl", ".parquet"])
def test_decisions_are_read_back(tmp_path: Path, suffix: str) -> None:
    data, path = read(long()), tmp_path / f"differ{suffix}"
    assert data.annotations is not None
    assert data.scheme is not None
    write_differing(data.annotations, data.scheme, path)
    done = decide_texts(data, path)
    assert (done.decided, done.dropped, done.tied) == (0, 0, 0)
    assert done.columns["label"] == data.labels


def listed(tmp_path: Path, decisions: dict[str, str], data: Any = None) -> Path:
    """The list of texts on which annotators differ, with decisions by text."""
    data, path = data or read(long()), tmp_path / "differ.csv"
    write_differing(data.annotations, data.scheme, path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "text", "Ann", "Bob", "annotator id", "majority", "decision"]
    for row in rows:
        row["decision"] = decisions.get(row["text"], "")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def tied() -> dict[str, list[Any]]:
    """The same texts, the ninth without a majority."""
    table = long()
    table["label"] = list(table["label"])
    table["label"][3 * 8 + 2] = "c"
    return table


def test_labels_are_decided_dropped_or_left_out(tmp_path: Path) -> None:
    data = read(tied())
    assert TEXTS[8] not in data.texts
    path = listed(tmp_path, {TEXTS[8]: "c", TEXTS[9]: "b", TEXTS[10]: "(drop)"}, data)
    done = decide_texts(data, path)
    assert (done.decided, done.dropped, done.tied) == (2, 1, 0)
    label = dict(zip(done.columns["text"], done.columns["label"], strict=True))
    assert label[TEXTS[8]] == "c"
    assert label[TEXTS[9]] == "b"
    assert TEXTS[10] not in label
    assert label[TEXTS[11]] == "b"
    undecided = decide_texts(data)
    assert (undecided.tied, TEXTS[8] in undecided.columns["text"]) == (1, False)


def test_new_labels_are_asked_for(tmp_path: Path) -> None:
    data = read(tied())
    path = listed(tmp_path, {TEXTS[8]: "new"}, data)
    with pytest.raises(DataError, match="row 2: there is no label named 'new'"):
        decide_texts(data, path)
    done = decide_texts(data, path, ["new"])
    assert done.columns["label"][-1] == "new"


def test_a_list_of_other_data_is_refused(tmp_path: Path) -> None:
    path = listed(tmp_path, {})
    other = long()
    other["text"] = [text.replace("long", "short") for text in other["text"]]
    with pytest.raises(DataError, match=r"nothing is written:\nrow 2: the text of the id"):
        decide_texts(read(other), path)
    path.write_text("id,text\n1,x\n")
    with pytest.raises(DataError, match="has no column 'decision'"):
        decide_texts(read(long()), path)
    with pytest.raises(DataError, match="no text of the data has two annotators"):
        decide_texts(read({"text": TEXTS, "label": [*"ab"] * 6}))


def test_a_column_for_each_annotator_is_the_same_as_rows() -> None:
    columns = read_annotated(wide(), ["Ann", "Bob", "id"], None)
    rows = read(long())
    assert columns.texts == rows.texts
    assert columns.labels == rows.labels
    assert columns.annotations is not None
    assert rows.annotations is not None
    assert [of.answers for of in columns.annotations.texts] == [
        of.answers for of in rows.annotations.texts
    ]
    assert columns.ids == [str(n + 1) for n in range(12)]
    with pytest.raises(DataError, match="two columns"):
        read_annotated(wide(), ["Ann"])
    with pytest.raises(DataError, match="Eve"):
        read_annotated(wide(), ["Ann", "Eve"])


def test_columns_that_share_no_label_are_not_compared() -> None:
    table = wide() | {"mood": [*"xy"] * 6}
    with pytest.raises(DataError, match=r"'mood' shares no label with 'Ann', 'Bob'"):
        read_annotated(table, ["Ann", "Bob", "mood"])


def test_many_annotators_share_columns(tmp_path: Path) -> None:
    rows = [(text, "ab"[(n + k) % 3 == 0], f"worker {(n + k) % 30}")
            for n, text in enumerate(TEXTS * 3) for k in range(3)]  # fmt: skip
    table = dict(zip(("text", "label", "worker"), map(list, zip(*rows, strict=True)), strict=True))
    data, path = read(table, "text", "label"), tmp_path / "differ.csv"
    assert data.annotations is not None
    assert data.scheme is not None
    write_differing(data.annotations, data.scheme, path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.DictReader(file))
    assert first["answer 1"].startswith("worker ")


def test_the_check_warns_of_labels_that_are_not_reliable() -> None:
    [note] = annotator_agreement(Material.of(read(long())))
    assert (note.severity, note.code) == ("note", "annotator-agreement")
    assert "2 or more" not in note.message
    assert "12 texts of 12 were labeled by two or more of 3 annotators" in note.message
    random = long()
    random["label"] = ["ab"[(7 * n * n + n // 3) % 5 < 2] for n in range(len(random["label"]))]
    [warning] = annotator_agreement(Material.of(read(random)))
    assert warning.severity == "warning"
    assert "finetext agreement DATA --out differ.csv" in warning.message
    assert annotator_agreement(Material.of(read({"text": TEXTS, "label": [*"ab"] * 6}))) == []


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx"])
def test_formulas_are_neutralized_and_read_back(tmp_path: Path, suffix: str) -> None:
    table = long()
    table["text"] = [f"={text}" for text in table["text"]]
    table["label"] = [f"+{label}" for label in table["label"]]
    table["coder"] = [f"@{name}" for name in table["coder"]]
    data, path = read(table), tmp_path / f"differ{suffix}"
    assert data.annotations is not None
    assert data.scheme is not None
    write_differing(data.annotations, data.scheme, path)
    if suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
        assert "'@Ann" in cells
    assert decide_texts(data, path).columns["label"] == data.labels
