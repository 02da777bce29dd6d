"""Spellings of labels that are the same, and messages on unknown labels."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.core.errors import DataError
from finetext.core.label_names import clean, find, key, look, same_spellings, unknown
from finetext.core.types import LabelScheme


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        (" good ", "good"), ("good\u200b", "good"), ("\ufeffgood", "good"), ("go\u00adod", "good"),
        ("very\u00a0good", "very good"), ("very\u202fgood", "very good"), ("e\u0301te", "\u00e9te"),
        ("\u200fgood\u200e", "good"), ("good\u200d", "good"), ("\t good\r", "good"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
         "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"), ("Good", "Good"),
    ],
)  # fmt: skip
def test_clean(name: str, cleaned: str) -> None:
    assert clean(name) == cleaned
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("names", "spelled"),
    [
        (["1.0", "2.0"], ["1", "2"]), (["1.0", "2"], ["1", "2"]), (["1.0", "1.5"], ["1.0", "1.5"]),
        (["1.0", "good"], ["1.0", "good"]), (["-1.0", "1"], ["-1", "1"]),
        (["01", "02"], ["01", "02"]),
        (["True", "true", "FALSE"], ["true", "true", "false"]),
        (["True", "False"], ["True", "False"]),
        (["Good", "good"], ["Good", "good"]), (["a\u00a0b", "a b"], ["a b", "a b"]),
        (["yes", "Yes"], ["yes", "Yes"]), (["v1.0", "v2.0"], ["v1.0", "v2.0"]),
    ],
)  # fmt: skip
def test_same_spellings(names: list[str], spelled: list[str]) -> None:
    assert list(same_spellings(names).values()) == spelled


def test_names_are_found_however_they_are_spelled() -> None:
    assert find("true", ("False", "True")) == "True"
    assert find("1.0", ("1", "2")) == "1"
    assert find("1", ("1.0", "2.0")) == "1.0"
    assert find("good", ("good ", "bad")) == "good "
    assert find("good", ("good ", "good")) == "good"
    assert find("good\u200b", ("good ", "good\u00a0")) is None
    assert find("Good", ("good",)) is None
    assert find("1,0", ("1", "2.5")) == find("1,00", ("1", "2.5")) == "1"
    assert find("2,5", ("1", "2.5")) == "2.5"
    assert find("2,5", ("2", "5")) is find("2,5,1", ("2", "5")) is None
    assert key("TRUE") == key("true") == "true"


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("goood", r"did you mean 'good'\?"),
        ("Good", "differs from 'good' in case only"),
        ("g\u043eod", r"looks like 'good', but .*'g\\u043eod' is not 'good'"),
        ("go od", "looks like 'good'"),
        ("weather", "is not one of: bad, good$"),
    ],
)
def test_messages_on_unknown_labels(name: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        LabelScheme(("bad", "good")).encode([name])


def test_long_lists_of_known_labels_are_cut() -> None:
    assert unknown("x", [f"class {n}" for n in range(30)]).count("class") == 20
    assert look("caf\u00e9 \u2013 a") == look("Caf\u00e9-A")


def test_schemes_of_earlier_models_take_other_spellings() -> None:
    assert LabelScheme(("False", "True")).encode(["true", "False"]).tolist() == [1, 0]
    several = LabelScheme(("1.0", "2.0"), multilabel=True)
    assert np.array_equal(several.encode([["1"], ["2.0", "1"], []]), [[1, 0], [1, 1], [0, 0]])
    assert LabelScheme(("False", "True")).with_positive(True).positive == "True"
    assert LabelScheme(("false", "true")).with_positive(True).positive == "true"
