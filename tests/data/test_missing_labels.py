"""Codes for no answer are said to be classes, and left out if the user says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetext.core.errors import DataError, UnknownNameError
from finetext.core.settings import ReadSettings
from finetext.core.types import LabelScheme
from finetext.data.missing_labels import code_findings
from finetext.data.read import read

TEXTS = [f"the soup was fine on day {n}" for n in range(24)]


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        ("1 2 3 -99", "-99"), ("0 1 -9 -8", "-9 -8"), ("1 7 99", "99"), ("1 5 9", "9"),
        ("1 5 8 9", "8 9"), ("1 2 998 999", "998 999"), ("good bad k.A.", "k.A."),
        ("good bad N/A", "N/A"), ("good bad NA", "NA"), ("good bad refused", "refused"),
        ("-1 0 1", ""), ("1 2 3 4 5 6 7 8 9", ""), ("-9 -5 0 9", ""), ("11 45 99", ""),
        ("yes no unknown", ""), ("none joy", ""), ("CA KA", ""), ("good 99", ""),
    ],
)  # fmt: skip
def test_a_code_that_is_a_class_is_warned_of(names: str, codes: str) -> None:
    found = code_findings([[name] for name in names.split()] * 2, names.split())
    said = [one.message.split("classes: ")[1].split("; if")[0] for one in found]
    assert said == ([", ".join(f"{code!r} (2 rows)" for code in codes.split())] if codes else [])


@pytest.mark.parametrize("missing", [("-99",), -99, "-99", (-99,)])
@pytest.mark.parametrize("kind", [str, int, float])
def test_rows_with_a_code_are_left_out(missing: str | int, kind: type) -> None:
    labels = [kind([1, 2, -99][n % 3]) for n in range(24)]
    data = read((TEXTS, labels))
    assert [one.code for one in data.findings] == ["codes-as-classes"]
    assert "'-99' (8 rows)" in data.findings[0].message
    left = read((TEXTS, labels), settings=ReadSettings(missing=missing))
    assert (len(left), left.scheme and left.scheme.names) == (16, ("1", "2"))
    (found,) = left.findings
    assert found.message == "8 rows left out, with a label of data.missing ('-99')"


def test_a_code_that_no_row_has_is_said() -> None:
    data = read((TEXTS, ["x", "y"] * 12), settings=ReadSettings(missing=("-1",)))
    assert [one.code for one in data.findings] == ["unused-setting"]


def test_a_class_that_sounds_like_no_class_is_noted() -> None:
    labels = ["play", "Out of scope", "pay"] * 8
    (found,) = read((TEXTS, labels)).findings
    assert (found.severity, found.code) == ("note", "no-class-as-class")
    assert "'Out of scope' (8 rows) is learned as a class" in found.message
    assert found.message.endswith("--out-of-scope-label 'Out of scope'")
    with pytest.raises(DataError, match="of no class: --out-of-scope-label oos"):
        LabelScheme(("pay", "play")).encode(["pay", "oos"])


def test_texts_of_no_class_are_set_apart() -> None:
    labels = ["play", "oos", "pay"] * 8
    data = read((TEXTS, labels), settings=ReadSettings(out_of_scope="oos"))
    assert data.scheme is not None
    assert (len(data), data.scheme.names) == (16, ("pay", "play"))
    assert data.out_of_scope is not None
    assert data.out_of_scope.texts == TEXTS[1::3]
    assert data.description.endswith("16 rows, 2 labels, and 8 texts out of scope")
    assert data.out_of_scope.ids == [str(n + 1) for n in range(1, 24, 3)]
    assert set(data.ids).isdisjoint(data.out_of_scope.ids)
    (found,) = data.findings
    assert found.message == (
        "8 rows with the label 'oos' belong to no class: nothing is learned from them"
    )
    assert data.select([0, 1]).out_of_scope is data.out_of_scope
    other = read((TEXTS, ["play", "pay"] * 12))
    assert data.content_hash != replace(data, out_of_scope=None).content_hash
    assert other.out_of_scope is None


def test_two_classes_that_are_left_have_the_affirmative_one() -> None:
    data = read((TEXTS, ["yes", "oos", "no"] * 8), settings=ReadSettings(out_of_scope="oos"))
    assert data.scheme is not None
    assert (data.scheme.names, data.scheme.positive_class) == (("no", "yes"), "yes")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["oos"] * 24, "no text is of any class"),
        ([["play", "oos"], ["pay"], []] * 8, "needs one label per row"),
    ],
)
def test_what_cannot_be_set_apart_is_an_error(labels: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read((TEXTS, labels), settings=ReadSettings(out_of_scope="oos"))


def test_a_label_of_no_class_that_no_row_has_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"--out-of-scope-label.* 'oss'; did you mean 'oos'"):
        read((TEXTS, ["x", "y", "oos"] * 8), settings=ReadSettings(out_of_scope="oss"))


def test_texts_of_no_class_do_not_go_with_several_annotators() -> None:
    rows = [{"text": TEXTS[n % 8], "label": ["x", "y", "oos"][n % 8 % 3], "annotator": f"p{n // 8}"}
            for n in range(24)]  # fmt: skip
    with pytest.raises(DataError, match="several annotators"):
        read(rows, settings=ReadSettings(out_of_scope="oos"))
