"""Rows of several annotators become one row with the label of the majority, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetext.core.annotations import majorities
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.annotators import repeated_texts
from finetext.data.read import read

TEXTS = [f"der {n}. Satz ist lang genug" for n in range(20)]


def coded(third: list[str] | None = None) -> dict[str, list[Any]]:
    """Twenty texts by two coders, who differ on every fourth; the third decides."""
    first = ["gut" if n % 2 else "schlecht" for n in range(20)]
    second = [("schlecht" if own == "gut" else "gut") if n % 4 == 0 else own
              for n, own in enumerate(first)]  # fmt: skip
    by = {"AK": first, "MB": second} | ({"CD": third} if third else {})
    rows = [(text, by[name][n], name) for n, text in enumerate(TEXTS) for name in by]
    return dict(zip(("Satz", "Kategorie", "Kodierer"), map(list, zip(*rows, strict=True)),
                    strict=True))  # fmt: skip


def test_the_majority_is_taken_and_ties_are_left_out() -> None:
    data = read(coded())
    assert data.texts == [text for n, text in enumerate(TEXTS) if n % 4]
    assert data.ids == [str(2 * n + 1) for n in range(20) if n % 4]
    [differ] = [one for one in data.findings if one.code == "annotators-differ"]
    assert "disagree on 5 texts of 20" in differ.message
    assert "5 texts without a majority left out" in differ.message
    assert differ.rows == ("1", "9", "17", "25", "33")
    decided = read(coded(["gut"] * 20))
    assert len(decided) == 20
    assert decided.labels == ["gut" if n % 2 or n % 4 == 0 else "schlecht" for n in range(20)]
    assert "left out" not in next(
        one.message for one in decided.findings if one.code == "annotators-differ"
    )


def test_what_each_annotator_said_is_kept() -> None:
    data = read(coded())
    found = data.annotations
    assert found is not None
    assert (found.column, found.total, found.names) == ("Kodierer", 20, ("AK", "MB"))
    assert found.texts[0].answers == (("AK", ("schlecht",)), ("MB", ("gut",)))
    assert [of.id for of in found.texts if of.differ] == ["1", "9", "17", "25", "33"]
    assert data.select([0]).annotations is found


def test_texts_that_annotators_do_not_share_stay_as_they_are() -> None:
    alone = {name: values[::2] for name, values in coded().items()}
    alone["Kodierer"] = ["AK", "MB"] * 10
    data = read(alone)
    assert (len(data), data.annotations) == (20, None)
    one_coder = {name: values[:2] * 10 for name, values in coded().items()}
    one_coder["Satz"] = TEXTS[:10] * 2
    one_coder["Kodierer"] = ["AK"] * 10 + ["AK"] * 10
    assert len(read(one_coder, "Satz", "Kategorie")) == 20


def test_unlabeled_reading_merges_nothing() -> None:
    data = read(coded(), settings=ReadSettings(labelled=False))
    assert len(data) == 40


def test_an_annotator_without_a_label_does_not_vote() -> None:
    table = coded(["gut"] * 20)
    table["Kategorie"][2] = None  # the vote of CD on the first text
    data = read(table)
    assert TEXTS[0] not in data.texts
    assert data.annotations is not None
    assert [name for name, _ in data.annotations.texts[0].answers] == ["AK", "MB"]


def test_a_text_in_two_splits_is_two_texts() -> None:
    table = coded() | {"split": ["train"] * 40}
    again = {name: [*values, *values] for name, values in table.items()}
    again["split"] = ["train"] * 40 + ["test"] * 40
    data = read(again)
    assert data["split"] == ["train"] * 15 + ["test"] * 15


def test_groups_are_those_of_the_first_row() -> None:
    data = read(coded() | {"author": [f"a{row // 4}" for row in range(40)]}, group="author")
    assert data.annotations is not None
    assert data.annotations.texts[2].group == "a1"
    assert data.groups is not None
    assert len(data.groups) == 15


def test_annotators_who_never_agree_leave_nothing_to_train_on() -> None:
    table = coded()
    table["Kategorie"] = ["gut", "schlecht"] * 20
    with pytest.raises(DataError, match=r"agree on no text.*name that with --label"):
        read(table)


@pytest.mark.parametrize(
    ("answers", "several", "expected"),
    [
        ([("a",), ("a",), ("b",)], False, [("a",)]),
        ([("a",), ("b",)], False, [("a",), ("b",)]),
        ([("a", "b"), ("a",), ("a", "c")], True, [("a",)]),
        ([("a", "b"), ("a",)], True, [("a",), ("a", "b")]),
        ([(), (), ("a",)], True, [()]),
        ([], False, []),
    ],
)
def test_majorities(answers: list[Any], several: bool, expected: list[Any]) -> None:
    assert list(majorities(answers, several)) == expected


def test_repeated_texts_stand_in_where_nobody_is_named() -> None:
    data = read({"text": ["same  text", "same text", "other"], "label": ["a", "b", "a"]})
    found = repeated_texts(data)
    assert found is not None
    assert found.names == ()
    assert [given for _, given in found.texts[0].answers] == [("a",), ("b",)]
    assert repeated_texts(data.select([0, 2])) is None
    assert repeated_texts(replace(data, scheme=None)) is None
