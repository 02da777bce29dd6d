"""The nouns as a notebook shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from finetext import LabelScheme, Predictions, read, split
from finetext.core.errors import DataError, UnknownNameError

HOSTILE = '<script>alert("x")</script> & co'


def test_a_data_set_shows_its_first_rows() -> None:
    rows = [{"text": f"{HOSTILE} {n}", "label": f"<b>{n % 2}"} for n in range(9)]
    dataset = read(rows)
    shown = dataset._repr_html_()
    assert shown.count("<tr>") == 1 + 5
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;b&gt;1" in shown
    assert "9 rows" in shown


def test_an_empty_data_set_shows_itself() -> None:
    empty = read((["a text", "more"], ["x", "y"])).select([])
    assert "<th>text</th>" in empty._repr_html_()


def test_splits_rows_and_columns_are_taken_by_name_and_place() -> None:
    data = read(([f"text {n}" for n in range(12)], ["x", "y"] * 6))
    splits = split(data)
    assert splits["test"] is splits.test
    first = splits["test"][0]
    assert (first["text"], first["label"]) == (splits.test.texts[0], splits.test.labels[0])
    assert data[:2]["text"] == data["text"][:2] == ["text 0", "text 1"]
    with pytest.raises(DataError, match="no column 'labels'; there are: id, text, label"):
        data["labels"]
    with pytest.raises(UnknownNameError, match="no split named 'valid'; did you mean 'validation'"):
        splits["valid"]


def test_predictions_show_truth_beside_answer() -> None:
    predictions = Predictions(
        ids=tuple(f"<i>{n}" for n in range(12)),
        targets=np.arange(12) % 2,
        probabilities=np.tile([0.25, 0.75], (12, 1)),
        scheme=LabelScheme((HOSTILE, "b")),
    )
    shown = predictions._repr_html_()
    assert "<script" not in shown
    assert "<i>" not in shown
    assert shown.count("<tr>") == 1 + 10
    assert "12 predictions" in shown
    assert "0.750" in shown
    several = Predictions(
        ids=("1",),
        targets=np.array([[1, 1]]),
        probabilities=np.array([[0.9, 0.1]]),
        scheme=LabelScheme((HOSTILE, "b"), multilabel=True),
    )
    assert "&lt;script&gt;" in several._repr_html_()


POSITIVES: list[tuple[Any, tuple[str, str], str]] = [
    (1, ("0", "1"), "1"), ("1", ("0", "1"), "1"), (0.0, ("0", "1"), "0"),
    (np.int64(0), ("0", "1"), "0"), (np.float64(1), ("0.0", "1.0"), "1.0"),
    (True, ("False", "True"), "True"), (False, ("false", "true"), "false"),
    (np.bool_(True), ("False", "True"), "True"), ("no", ("no", "yes"), "no"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "names", "label"), POSITIVES)
def test_a_number_or_boolean_names_the_label_written_like_it(
    given: Any, names: tuple[str, ...], label: str
) -> None:
    scheme = LabelScheme(names).with_positive(given)
    assert (scheme.positive, scheme.positive_class) == (label, label)
    assert LabelScheme.from_json(json.loads(json.dumps(scheme.to_json()))).positive == label


def test_without_a_name_the_second_label_is_the_positive_one() -> None:
    scheme = LabelScheme(("no", "yes"))
    assert (scheme.positive, scheme.positive_class) == (None, "yes")
    assert scheme.with_positive(None) is scheme
    assert "positive" not in scheme.to_json()
    assert scheme == scheme.with_positive("no")  # the columns are the same
    assert LabelScheme(("a", "b", "c")).positive_class is None
    assert LabelScheme(("a", "b"), multilabel=True).positive_class is None


@pytest.mark.parametrize(
    ("names", "several", "given", "said"),
    [
        (("0", "1"), False, True, "'True' is none of the labels, which are '0', '1'; name one of"),
        (("0", "1"), False, 2, "'2' is none of the labels, which are '0', '1'; name one of them"),
        (("ham", "spam"), False, "spma", "which are 'ham', 'spam'; did you mean 'spam'?"),
        (("a", "b", "c"), False, "a", r"'a' needs .* two labels, and these have 3 \('a', 'b', 'c'"),
        (("a", "b", "c"), False, "x", "and these have 3 .*; leave it out, and read the scores of"),
        (("a", "b"), True, "a", r"several labels \('a', 'b'\); leave it out"),
        (tuple("abcdefghijklm"), False, "a", r"these have 13 \('a', .*'j', \.\.\.\); leave it out"),
        (("only",), False, "only", r"these have 1 \('only'\); leave it out"),
    ],
)
def test_a_positive_class_that_cannot_be_meant_is_refused_with_the_labels(
    names: tuple[str, ...], several: bool, given: Any, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        LabelScheme(names, several).with_positive(given)


def test_some_predictions_are_selected_by_position_or_condition() -> None:
    of = Predictions(
        tuple("abc"), np.array([0, 1, 1]), np.eye(2)[[0, 0, 1]], LabelScheme(("x", "y")),
        groups=("1", "2", "2"),
    )  # fmt: skip
    some = of.select([2, 0])
    assert (some.ids, some.targets.tolist(), some.groups) == (("c", "a"), [1, 0], ("2", "1"))
    assert some.probabilities.tolist() == [[0, 1], [1, 0]]
    assert of.select(np.array([True, False, True])).ids == ("a", "c")
    assert len(of.select([])) == 0
    assert replace(of, groups=None).select([1]).groups is None
