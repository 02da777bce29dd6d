"""Answers of several annotators to one label a text."""

from __future__ import annotations

from typing import Any

import pytest

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.annotation_answers import (
    agreed,
    asked,
    fields_of,
    further_rows,
    label_columns,
    scalars,
    text_among,
)
from finetext.data.rows import Batch


@pytest.mark.parametrize(
    ("answers", "label", "is_tie"),
    [
        ([["a"]], "a", False),
        ([["a"], ["a"]], "a", False),
        ([["a"], ["b"]], None, True),
        ([["a"], ["b"], ["a"]], "a", False),
        ([["a"], ["b"], ["c"]], None, True),
        ([["a"], ["a"], ["b"], ["b"], ["c"]], None, True),
        ([["a"], ["b"], ["a"], ["c"]], "a", False),
        ([[]], None, False),
        ([], None, False),
    ],
)
def test_one_label_of_most(answers: Any, label: str | None, is_tie: bool) -> None:
    found = agreed([answers], [0], "x")
    assert found.labels == [{"choices": label} if label else None]
    assert found.left_out == ([0] if is_tie else [])
    assert agreed([answers], [0], "x", required=False).labels == [label]


@pytest.mark.parametrize(
    ("answers", "labels", "is_tie"),
    [
        ([["a", "b"], ["a"]], None, True),
        ([["a", "b"], ["a"], ["a", "c"]], ["a"], False),
        ([["a", "b"], ["b", "a"]], ["a", "b"], False),
        ([["a", "b"], ["c"], ["d"]], [], False),
        ([["a", "b"], []], None, True),
    ],
)
def test_labels_of_more_than_half(answers: Any, labels: Any, is_tie: bool) -> None:
    found = agreed([answers, [["a", "b"]]], [0, 0], "x")
    assert found.labels[0] == (None if is_tie else {"choices": labels})
    assert found.left_out == ([0] if is_tie else [])


def test_findings_count_what_was_decided() -> None:
    answers = [[["a"], ["b"]], [["a"], ["b"], ["a"]], [["a"]], []]
    found = agreed(answers, [0, 1, 0, 2], "x.json")
    refused, differ = found.findings
    assert "3 answers ignored (rejected, skipped, discarded or draft)" in refused.message
    assert "1 text without another answer left out" in refused.message
    assert "disagree on 2 texts" in differ.message
    assert "1 text without a majority left out" in differ.message
    assert found.left_out == [0, 3]


def test_rows_of_the_same_text_are_joined() -> None:
    rows, answers, skipped = further_rows([7, 8, 7], [[["a"]], [["b"]], [["a"]]], [0, 1, 2])
    assert (rows, skipped) == ([[0, 2], [1]], [2, 1])
    assert answers == [[["a"], ["a"]], [["b"]]]
    spread = agreed(answers, [0, 0], "x").spread(rows)
    assert spread.left_out == [2]
    assert spread.labels == [{"choices": "a"}, {"choices": "b"}, {"choices": "a"}]


def test_a_question_is_asked_for() -> None:
    batch, several = Batch("x.json", {}, ""), ["mood", "topic"]
    assert asked(["mood"], ReadSettings(), batch, "the export") == "mood"
    assert asked(several, ReadSettings(label="topic"), batch, "the export") == "topic"
    assert asked(several, ReadSettings(label="other"), batch, "the export") is None
    assert asked(several, ReadSettings(labelled=False), batch, "the export") is None
    with pytest.raises(DataError, match=r"x.json: the export has 2 questions.*--label mood"):
        asked(several, ReadSettings(), batch, "the export")


def test_columns_of_an_export() -> None:
    objects = [{"text": "a b", "n": 1}, {"text": "c d"}, None]
    fields = fields_of(objects)
    assert fields == {"text": ["a b", "c d", None], "n": [1, None, None]}
    assert text_among(fields) == "text"
    batch = Batch("x", {"one": objects, "few": ["x", "y"] * 3, "many": list("abcdef")}, "")
    assert list(scalars(batch)) == ["few", "many"]
    assert label_columns(batch, batch.columns) == ["one", "few"]
