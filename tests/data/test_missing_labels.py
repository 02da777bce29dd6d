"""Codes for no answer are said to be classes, and left out if the user says so."""

from __future__ import annotations

import pytest

from finetext.core.settings import ReadSettings
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
    assert found.message == "8 rows with a label that is a code for no answer ('-99') left out"


def test_a_code_that_no_row_has_is_said() -> None:
    data = read((TEXTS, ["x", "y"] * 12), settings=ReadSettings(missing=("-1",)))
    assert [one.code for one in data.findings] == ["unused-setting"]
