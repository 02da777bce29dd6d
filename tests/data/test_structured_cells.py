"""Values with structure as labels: what they mean, and refusals that name their form."""

from __future__ import annotations

import enum
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.read import read
from finetext.data.structured_cells import multi_hot, parsed_cell, plain_values

NUMBER = 8


def rows(*labels: Any) -> dict[str, list[Any]]:
    values = [labels[n % len(labels)] for n in range(NUMBER)]
    return {"text": [f"text number {n}" for n in range(NUMBER)], "label": values}


class Mood(enum.Enum):
    GOOD = 1
    BAD = 2


class Word(enum.StrEnum):
    FINE = "fine"
    POOR = "poor"


@pytest.mark.parametrize(
    ("labels", "meant"),
    [
        ([{"good": 1.0, "bad": 0.0}, {"good": 0, "bad": 1}], ["good", "bad"]),
        ([{"good": True, "bad": False}, {"good": False, "bad": True}], ["good", "bad"]),
        ([{"good": 1, "bad": None}, {"good": None, "bad": 1}], ["good", "bad"]),
        ([{"choices": ["good"]}, {"choices": ["bad"]}], ["good", "bad"]),
        ([{"choices": ["good"]}, "bad"], ["good", "bad"]),
        ([{"choice": "good"}, {"choice": "bad"}], ["good", "bad"]),
        ([{"label": "good"}, {"label": "bad"}], ["good", "bad"]),
        ([{"id": 4, "name": "good"}, {"id": 5, "name": "bad"}], ["good", "bad"]),
        ([[{"label": "good", "value": 1}, {"label": "bad", "value": 0}],
          [{"label": "good", "value": 0}, {"label": "bad", "value": 1}]], ["good", "bad"]),
        ([[{"rating": 4}], [{"rating": 2}]], ["4", "2"]),
        ([json.dumps({"choices": ["good"]}), "bad"], ["good", "bad"]),
        (["{'good': 1, 'bad': 0}", "{'good': 0, 'bad': 1}"], ["good", "bad"]),
        ([[("good", 1.0), ("bad", 0.0)], [("good", 0.0), ("bad", 1.0)]], ["good", "bad"]),
        ([np.str_("good"), np.str_("bad")], ["good", "bad"]),
        ([np.int64(1), np.int64(2)], ["1", "2"]),
        ([np.float32(1.0), np.float32(2.0)], ["1", "2"]),
        ([np.bool_(True), np.bool_(False)], ["True", "False"]),
        ([np.array("good"), np.array("bad")], ["good", "bad"]),
        ([Mood.GOOD, Mood.BAD], ["GOOD", "BAD"]),
        ([Word.FINE, Word.POOR], ["fine", "poor"]),
        ([b"good", b"bad"], ["good", "bad"]),
        ([Decimal(1), Decimal(2)], ["1", "2"]),
        (["[unclear]", "plain"], ["[unclear]", "plain"]),
        (["{unclear}", "plain"], ["{unclear}", "plain"]),
    ],
)  # fmt: skip
def test_one_label_a_row(labels: list[Any], meant: list[str]) -> None:
    data = read(rows(*labels))
    assert data.labels[:2] == meant
    assert data.scheme is not None
    assert not data.scheme.multilabel


@pytest.mark.parametrize(
    "labels",
    [
        [{"a": 1, "b": 1}, {"a": 0, "b": 1}],
        [{"choices": ["a", "b"]}, {"choices": ["b"]}],
        [json.dumps({"choices": ["a", "b"]}), "b"],
        [[{"label": "a"}, {"label": "b"}], [{"label": "b"}]],
        [np.array(["a", "b"]), np.array(["b"])],
        ['["a", "b"]', "b"],
        ["{'a', 'b'}", "{'b'}"],
        [("a", "b"), ("b",)],
        [{"labels": ["a", "b"]}, {"labels": ["b"]}],
    ],
)
def test_several_labels_a_row(labels: list[Any]) -> None:
    assert read(rows(*labels)).labels[:2] == [["a", "b"], ["b"]]


@pytest.mark.parametrize("absent", [None, float("nan"), pd.NA, pd.NaT, {}, "", np.nan, {"a": 0}])
def test_missing_values_are_no_class(absent: Any) -> None:
    labels = [{"a": 1}, {"b": 1}] if isinstance(absent, dict) else ["a", "b"]
    with pytest.raises(DataError, match="the label is missing in 2 of 8 rows"):
        read(rows(*labels, *labels[:1], absent))


@pytest.mark.parametrize(
    ("labels", "form"),
    [
        ([{"good": 0.7, "bad": 0.3}], "probabilities or scores"),
        ([[0.7, 0.3], [0.2, 0.8]], "list of probabilities"),
        ([[0, 4, "PER"], [5, 9, "LOC"]], "mixes names and numbers"),
        ([[[0, 4, "PER"]]], "list of spans"),
        ([[["a", "b"]]], "list of lists"),
        ([{"start": 0, "end": 4, "label": "PER"}], "span of text"),
        ([{"label": "good", "score": 0.98}], "prediction with its score"),
        ([[{"label": "good", "value": 0.98}]], "label with a score"),
        ([{"when": "now", "where": "here"}], "object with the keys when, where"),
        ([{"label": 3, "name": "good"}], "object with the keys label, name"),
        ([{"taxonomy": [["a", "b"]]}], "taxonomy"),
        (["['a' 'b']", "['b']"], "text of a Python object"),
        (["array(['a', 'b'])", "array(['b'])"], "text of a Python object"),
        (["{'good': nan, 'bad': 1}", "{'good': 1, 'bad': nan}"], "text of a Python object"),
        ([b"\xff\xfe", b"a"], "bytes that are not UTF-8"),
    ],
)  # fmt: skip
def test_forms_that_name_no_label_are_refused(labels: list[Any], form: str) -> None:
    with pytest.raises(DataError, match=form):
        read(rows(*labels), label="label")


def test_a_refusal_gives_the_row() -> None:
    with pytest.raises(DataError, match=r"row 3: the label is probabilities.*--label"):
        read(rows("a", "b", {"a": 0.2, "b": 0.8}))


def test_several_labels_in_lists_of_0_and_1_need_names() -> None:
    table = rows([0, 1, 0], [1, 1, 0])
    with pytest.raises(DataError, match=r"lists of 3 values of 0 and 1.*--label-names"):
        read(table)
    named = ReadSettings(label_names=("joy", "anger", "fear"))
    assert read(table, settings=named).labels[:2] == [["anger"], ["joy", "anger"]]
    with pytest.raises(DataError, match="has 2"):
        read(table, settings=ReadSettings(label_names=("joy", "anger")))
    text = rows("[0, 1, 0]", "[1, 1, 0]")
    assert read(text, settings=named).labels == read(table, settings=named).labels
    one = ReadSettings(label_names=("joy", "anger", "fear"), multilabel=False)
    assert read(rows([0, 1, 0], [1, 0, 0]), settings=one).labels[:2] == ["anger", "joy"]


def test_class_names_of_the_data_name_lists_of_0_and_1() -> None:
    import datasets

    kind = datasets.Sequence(datasets.ClassLabel(names=["joy", "anger"]))
    features = datasets.Features({"text": datasets.Value("string"), "label": kind})
    source = datasets.Dataset.from_dict(rows([0, 1], [1, 1], [0, 0]), features=features)
    assert read(source).labels[:3] == [["anger"], ["joy", "anger"], []]


@pytest.mark.parametrize(
    ("values", "width"),
    [
        ([[0, 1, 0], [1, 0, 0]], 3), ([[True, False], [False, False]], 2), ([[0, 1], None], 2),
        ([[0], [1]], 0), ([[0, 2], [1, 0]], 0), ([[0, 1], [1]], 0), (["a"], 0), ([[], []], 0),
        ([[1.0, 0.0], [0.0, 0.0]], 2), ([["0", "1"], ["1", "0"]], 0),
    ],
)  # fmt: skip
def test_lists_of_0_and_1(values: list[Any], width: int) -> None:
    assert multi_hot(values) == width


def test_a_written_list_is_read_but_a_name_in_brackets_is_not() -> None:
    assert parsed_cell('["a"]') == ["a"]
    assert parsed_cell(" {'a': 1} ") == {"a": 1}
    assert parsed_cell("[unclear]") is None
    assert parsed_cell("a") is None
    assert plain_values(["[1]", "good"], str) == (["[1]", "good"], "")


@pytest.mark.parametrize(
    ("texts", "read_as"),
    [
        ([{"text": "a fine film"}, {"text": "a dull one"}], ["a fine film", "a dull one"]),
        ([["a fine film"], ["a dull one"]], ["a fine film", "a dull one"]),
        (
            [{"text": "a fine film", "lang": "en"}, {"text": "b", "lang": "de"}],
            ["a fine film", "b"],
        ),
        ([{"body": "a fine film"}, {"body": "a dull one"}], ["a fine film", "a dull one"]),
    ],
)
def test_texts_in_objects_and_lists_of_one(texts: list[Any], read_as: list[str]) -> None:
    data = read({"text": texts * 4, "label": ["a", "b"] * 4})
    assert data.texts[:2] == read_as


@pytest.mark.parametrize(
    "texts",
    [
        [["The", "room"], ["A", "bus"]],
        [[{"role": "user", "content": "hello"}], [{"role": "user", "content": "bye"}]],
        [
            {"premise": "a fine film", "hypothesis": "a dull one"},
            {"premise": "x", "hypothesis": "y"},
        ],
    ],
)
def test_other_nested_texts_are_refused(texts: list[Any]) -> None:
    with pytest.raises(DataError, match=r"list|dict|object"):
        read({"text": texts * 4, "label": ["a", "b"] * 4})
