"""Highest and lowest losses, and what is taken for what."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predicted, Predictions
from finetext.diagnosis.losses import Errors, find_errors, ranked
from finetext.evaluation.intervals import confusion
from finetext.evaluation.metrics import log_loss, row_losses
from finetext.storage.codec import from_json


def predicted(targets: object, probabilities: object, several: bool = False) -> Predicted:
    likely = np.array(probabilities, dtype=np.float64)
    rows, k = likely.shape
    scheme = LabelScheme(tuple("abcdefgh"[:k]), several)
    ids = tuple(f"r{row}" for row in range(rows))
    of = Predictions(ids, np.array(targets, dtype=np.int64), likely, scheme)
    return Predicted("mine.csv", of, tuple(f"text {row}" for row in range(rows)), "macro_f1")


@st.composite
def any_predicted(draw: st.DrawFn) -> Predicted:
    rows, k = draw(st.integers(1, 30)), draw(st.integers(2, 4))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    coarse = np.round(random.random((rows, k)), draw(st.integers(1, 3)))
    if draw(st.booleans()):
        return predicted(random.integers(2, size=(rows, k)), coarse, several=True)
    likely = coarse + 0.01
    return predicted(random.integers(k, size=rows), likely / likely.sum(axis=1, keepdims=True))


@given(any_predicted(), st.integers(1, 40))
def test_losses_are_in_order_and_of_the_right_rows(some: Predicted, count: int) -> None:
    found = find_errors(some, count=count)
    losses = row_losses(some.predictions)
    assert losses.mean() == pytest.approx(log_loss(some.predictions))
    n = min(count, len(losses))
    assert [row.loss for row in found.highest] == sorted(losses.tolist(), reverse=True)[:n]
    assert [row.loss for row in found.lowest] == sorted(losses.tolist())[:n]
    for row in (*found.highest, *found.lowest):
        assert losses[int(row.id[1:])] == row.loss
        assert row.text == f"text {row.id[1:]}"
        assert 0 <= row.probability <= 1
    table = ranked(some)
    assert table["loss"] == sorted(losses.tolist(), reverse=True)
    assert sorted(table["id"]) == sorted(some.predictions.ids)


@given(any_predicted())
def test_confusions_are_those_of_the_matrix(some: Predicted) -> None:
    found = find_errors(some, count=100).confusions
    pairs = confusion(some.predictions)
    names = some.predictions.scheme.names
    expected = {(names[i], names[j]): pairs[i, j] for i, j in np.argwhere(pairs) if i != j}
    assert {(each.truth, each.prediction): each.rows for each in found} == expected
    assert [each.rows for each in found] == sorted(expected.values(), reverse=True)
    for each in found:
        assert 0 < each.share <= 1
        assert 1 <= len(each.examples) <= 3
        for row in each.examples:
            assert each.truth in row.truth
            assert each.truth not in row.prediction
            assert each.prediction in row.prediction
            assert each.prediction not in row.truth


def test_rows_have_truth_and_prediction() -> None:
    some = predicted([0, 1, 2], [[0.9, 0.1, 0.0], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]])
    found = find_errors(replace(some, part="test"), 1)
    assert (found.method, found.part, found.rows, found.wrong) == ("mine.csv", "test", 3, 1)
    (worst,) = found.highest
    assert (worst.truth, worst.prediction) == (("b",), ("c",))
    assert (worst.probability, worst.probability_of_truth) == (0.6, 0.2)
    assert worst.loss == pytest.approx(-np.log(0.2))
    (confused,) = found.confusions
    assert (confused.truth, confused.prediction, confused.rows, confused.share) == ("b", "c", 1, 1)


def test_the_probability_of_several_labels_and_of_none() -> None:
    some = predicted([[1, 1, 0], [0, 0, 0]], [[0.9, 0.2, 0.7], [0.1, 0.3, 0.2]], several=True)
    both = {row.id: row for row in find_errors(some).highest}
    assert both["r0"].truth == ("a", "b")
    assert both["r0"].prediction == ("a", "c")
    assert (both["r0"].probability, both["r0"].probability_of_truth) == (0.7, 0.2)
    assert both["r1"].prediction == ()
    assert both["r1"].probability == pytest.approx(0.7)


def test_a_wrong_row_of_several_labels_is_counted_once() -> None:
    some = predicted([[1, 0], [1, 0]], [[0.1, 0.9], [0.9, 0.1]], several=True)
    assert find_errors(some).wrong == 1


@given(any_predicted())
def test_errors_survive_json(some: Predicted) -> None:
    found = find_errors(some, count=3)
    assert from_json(Errors, json.loads(json.dumps(found.to_json())), "it") == found


def test_no_rows_and_no_count_are_rejected() -> None:
    some = predicted([0], [[0.9, 0.1]])
    with pytest.raises(DataError, match="cannot show"):
        find_errors(some, count=0)
    with pytest.raises(DataError, match="cannot show"):
        find_errors(predicted(np.zeros(0), np.zeros((0, 2))))


def test_rows_without_texts_have_none() -> None:
    some = predicted([0, 1], [[0.9, 0.1], [0.8, 0.2]])
    bare = Predicted(some.name, some.predictions, None, "accuracy")
    assert {row.text for row in find_errors(bare).highest} == {""}
    assert ranked(bare)["text"] == ["", ""]
