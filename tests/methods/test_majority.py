"""The majority baseline predicts frequencies."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from finetext.core.contracts import FitContext
from finetext.core.types import Dataset
from finetext.methods.majority import Majority


def test_it_predicts_how_often_each_class_occurs(make_dataset: Callable[..., Dataset]) -> None:
    train = make_dataset(["x"] * 8, ["a"] * 2 + ["b"] * 6, names=["a", "b", "c"])
    assert Majority().fit(train, train, FitContext())("anything") == {"b": 0.75, "a": 0.25, "c": 0}


def test_it_predicts_how_often_each_of_several_labels_occurs(
    make_dataset: Callable[..., Dataset],
) -> None:
    train = make_dataset(["x"] * 3, [["a"], ["a", "b"], []])
    said = Majority().fit(train, train, FitContext())("anything")
    assert said == pytest.approx({"a": 2 / 3, "b": 1 / 3})
