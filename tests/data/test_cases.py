"""Files that were once read wrongly, each as people have it, and what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetext.core import label_names
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.read import read
from finetext.data.stream import open_stream

CASES = Path(__file__).parent / "cases"
GRADES = ("bad", "good", "mid")
ANSWERS = ("Maybe", "No", "Yes")
RELATIONS = ("contradiction", "entailment")
NUMBERS = ("1", "2", "3")
CODES = ("Other", "Service\\Complaint", "Service\\Praise")

# file, settings, rows, labels, several a row
READ: list[tuple[str, dict[str, Any], int, tuple[str, ...], bool]] = [
    ("s_forms_c.csv", {}, 90, ANSWERS, False),
    ("s_forms_d.csv", {}, 90, ANSWERS, False),
    ("s_forms_ml.csv", {}, 90, ("Food", "Rooms", "Staff"), True),
    ("06b_prodigy_binary.jsonl", {}, 60, ("bad", "good"), False),
    ("06a_prodigy_choice.jsonl", {}, 87, GRADES, False),
    ("05d_ls_multi.csv", {}, 90, ("food", "room"), True),
    ("05e_ls_min_multi.json", {}, 90, ("food", "room"), True),
    ("07_spacy_cats.jsonl", {}, 90, GRADES, False),
    ("04a_doccano.jsonl", {"multilabel": False}, 90, GRADES, False),
    ("49b_argilla2.jsonl", {"multilabel": False}, 90, GRADES, False),
    ("sep.csv", {}, 90, GRADES, False),
    ("36j_errors.xlsx", {"drop_unlabelled": True}, 84, GRADES, False),
    ("26_headers.csv", {}, 150, GRADES, False),
    ("46_maxqda.xlsx", {}, 90, CODES, False),
    ("46b_maxqda.xlsx", {}, 90, CODES, False),
    ("20_spaces.csv", {}, 90, GRADES, False),
    ("20b_skipspace.csv", {}, 90, GRADES, False),
    ("12_ints.csv", {}, 90, NUMBERS, False),
    ("13_floats.csv", {}, 90, NUMBERS, False),
    ("10_pairs.csv", {"text": ("sentence1", "sentence2")}, 90, RELATIONS, False),
    ("09_titlebody.csv", {"text": ("title", "body")}, 90, GRADES, False),
    ("05a_ls.json", {}, 90, GRADES, False),
    ("42_data.json", {}, 90, GRADES, False),
    ("42b_rows.json", {}, 90, GRADES, False),
    ("43_pandas_cols.json", {}, 90, GRADES, False),
    ("43b_pandas_index.json", {}, 90, GRADES, False),
    ("43c_pandas_split.json", {}, 90, GRADES, False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "rows", "labels", "several"), READ)
def test_a_file_is_read_as_what_it_is(
    name: str, settings: dict[str, Any], rows: int, labels: tuple[str, ...], several: bool
) -> None:
    dataset = read(CASES / name, settings=ReadSettings(**settings))
    assert dataset.scheme is not None
    assert (len(dataset), dataset.scheme.names) == (rows, labels)
    assert dataset.scheme.multilabel == several


@pytest.mark.parametrize(
    ("name", "word"),
    [("s_split2.csv", "'exclude'"), ("s_split4.csv", "'holdout'"), ("s_split5.csv", "is blank")],
)
def test_a_split_of_another_name_is_named_with_its_line(name: str, word: str) -> None:
    with pytest.raises(DataError, match=rf"'split'.*{word}.* in lines 7, 13"):
        read(CASES / name)


def test_cells_of_excel_with_errors_have_no_text_and_no_label() -> None:
    with pytest.raises(DataError, match="the label is missing in 6 of 90 rows"):
        read(CASES / "36j_errors.xlsx")
    dataset = read(CASES / "36j_errors.xlsx", settings=ReadSettings(drop_unlabelled=True))
    assert dataset.texts.count("") == 6


@pytest.mark.parametrize("name", ["46_maxqda.xlsx", "46b_maxqda.xlsx"])
def test_the_text_of_a_coded_segment_is_not_its_comment(name: str) -> None:
    dataset = read(CASES / name)
    assert dataset.texts[0].startswith("The room felt")
    assert "text 'Segment'" in dataset.description


def test_a_quoted_text_after_a_space_keeps_its_comma() -> None:
    dataset = read(CASES / "20b_skipspace.csv")
    assert dataset.texts[0].endswith("near the park, indeed")


@pytest.mark.parametrize(
    ("trained", "given", "names"),
    [
        ("14b_bool.jsonl", "e_bool.csv", {"True", "False"}),
        ("13_floats.csv", "12_ints.csv", set(NUMBERS)),
    ],
)
def test_spellings_of_one_label_are_one_label(trained: str, given: str, names: set[str]) -> None:
    scheme = read(CASES / trained).scheme
    assert scheme is not None
    assert set(scheme.names) == names
    found = {label_names.find(label, scheme.names) for label in read(CASES / given).column("label")}
    assert found == names


def test_lines_that_are_blank_count_in_the_ids() -> None:
    texts = open_stream(CASES / "blank.txt", ReadSettings(labelled=False))
    assert [one for rows in texts.batches for one in rows.ids] == ["1", "3", "6"]
    assert any("3 blank lines" in finding.message for finding in texts.findings)


@pytest.mark.parametrize("header", ["Your comments here please", "Customer feedback",
                                    "What did you like?", "Open answer"])  # fmt: skip
def test_the_header_of_a_column_alone_is_no_text(tmp_path: Path, header: str) -> None:
    lines = (CASES / "one.csv").read_text(encoding="utf-8").splitlines()[1:]
    (tmp_path / "one.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    texts = open_stream(tmp_path / "one.csv", ReadSettings(labelled=False))
    ids = [one for rows in texts.batches for one in rows.ids]
    assert ids == [str(number) for number in range(1, 91)]
