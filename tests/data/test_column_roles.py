"""The choice of columns is shown with reasons."""

from __future__ import annotations

from typing import Any

import pytest

from finetext.core.column_role import ColumnRole
from finetext.data.column_roles import MOST_LINES, role_lines
from finetext.data.read import read

TEXTS = [f"der {n}. Satz ist lang genug" for n in range(20)]
CODED = {
    "Nr": list(range(40)),
    "Satz": [text for text in TEXTS for _ in range(2)],
    "Kategorie": [label for n in range(20) for label in ("gut", "gut" if n % 4 else "schlecht")],
    "Kodierer": ["AK", "MB"] * 20,
    "Datum": ["2024-05-01"] * 40,
}


def test_a_table_says_what_each_column_is_and_why() -> None:
    roles = {one.column: one for one in read(CODED).roles}
    assert roles["Satz"] == ColumnRole("Satz", "text", "name, 6 words on average, 100% filled",
                                       "der 0. Satz ist lang genug")  # fmt: skip
    assert roles["Kategorie"].reason == "name, 2 classes, 100% filled"
    assert roles["Kodierer"].role == "annotator"
    assert "agreement" in roles["Kodierer"].reason
    assert (roles["Datum"].role, roles["Datum"].reason) == ("metadata", "dates or times")
    lines = list(role_lines(read(CODED).roles))
    assert len(lines) == 1 + len(CODED)
    assert [line.split()[:2] for line in lines[:3]] == [
        ["column", "role"], ["Satz", "text"], ["Kategorie", "label"]
    ]  # fmt: skip


def test_given_columns_and_content_are_told_apart() -> None:
    columns = {"a": TEXTS, "b": ["x", "y"] * 10, "c": ["u", "v", "w", "z"] * 5}
    reasons = {one.column: one.reason for one in read(columns, label="B").roles}
    assert reasons["a"].startswith("content, ")
    assert reasons["b"].startswith("given, 2 classes")
    assert reasons["c"] == "4 values; labels with --label"


def test_a_second_annotator_is_shown_as_one() -> None:
    roles = {one.column: one for one in read({**CODED, "Codiert von": ["JK", "LS"] * 20}).roles}
    assert roles["Kodierer"].role == "annotator"
    assert "agreement" in roles["Kodierer"].reason
    second = roles["Codiert von"]
    assert (second.role, second.reason) == ("annotator", "2 values; not a label")


@pytest.mark.parametrize(
    ("cells", "example"),
    [
        ([{"choices": "good"}, {"choices": "bad"}], "good"),
        (['{"choices": ["food", "room"]}', "food"], "food, room"),
        ([["food", "room"], ["room"]], "food, room"),
        (["[unclear]", "clear"], "[unclear]"),
    ],
)
def test_the_example_of_a_label_with_structure_is_the_label(cells: list[Any], example: str) -> None:
    roles = read({"Satz": TEXTS, "Kategorie": cells * 10}).roles
    assert next(one.example for one in roles if one.role == "label") == example


def test_plain_tables_need_no_explanation_and_wide_ones_are_cut() -> None:
    plain = {"text": TEXTS, "label": ["x", "y"] * 10}
    assert not list(role_lines(read(plain).roles))
    wide = plain | {f"column {n}": TEXTS for n in range(30)}
    lines = list(role_lines(read(wide).roles))
    assert len(lines) == MOST_LINES
    assert lines[-1].strip() == "and 22 columns more, not used"
