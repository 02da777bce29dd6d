"""Differences of cross-validated methods are no surer than those of the same rows scored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.compare import estimate_difference
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.metrics import metric_for

TWO = LabelScheme(("x", "y"))


def given(rows: int, wrong: Sequence[int], groups: int | None = None) -> Predictions:
    """Return predictions of which some are wrong."""
    targets = np.arange(rows) % 2
    labels = targets.copy()
    labels[list(wrong)] = 1 - labels[list(wrong)]
    names = None if groups is None else tuple(f"group {row // 2 % groups}" for row in range(rows))
    return Predictions(
        tuple(map(str, range(rows))), targets, np.eye(2)[labels], TWO, groups=names
    )  # fmt: skip


def folded(of: Predictions, repeats: int = 10) -> FoldPredictions:
    """Return the rows in five folds, whole groups together, with the same labels every time."""
    units = np.array(of.groups or of.ids)
    names, unit = np.unique(units, return_inverse=True)
    folds = [np.random.default_rng(seed).permutation(len(names)) % 5 for seed in range(repeats)]
    return FoldPredictions(tuple(
        tuple(of.select(each[unit] == number) for number in range(5)) for each in folds
    ))  # fmt: skip


@pytest.mark.parametrize(("wrong", "is_within"), [((), True), ((4,), False)])
def test_one_row_of_149_that_only_one_has_wrong_is_not_shown_to_be_within_two_points(
    wrong: tuple[int, ...], is_within: bool
) -> None:
    found = folded(given(149, wrong)).minus(folded(given(149, ())), "accuracy")
    assert (found.lower() > -0.02) == is_within


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "binary_recall"])
@pytest.mark.parametrize("groups", [None, 60])
@pytest.mark.parametrize("wrong", [(), (3,), (3, 8, 17, 50)])
def test_folds_are_no_surer_than_the_same_rows_scored_once(
    metric: str, groups: int | None, wrong: tuple[int, ...]
) -> None:
    one, other = given(240, wrong, groups), given(240, (), groups)
    found = folded(one).minus(folded(other), metric)
    once = estimate_difference(metric_for(metric, TWO), [one], [other])
    assert found.value == pytest.approx(once.value)
    assert found.error >= once.error - 1e-9
    assert found.lower() <= once.lower() + 1e-9
    assert found.units == once.units == (groups or 240)


def test_scores_of_labels_are_those_of_the_metrics() -> None:
    folds = folded(given(60, (3, 8, 17, 50, 51)))
    labels = folds.of_labels()
    assert [of.support for of in labels] == [30, 30]
    assert np.mean([of.f1.value for of in labels]) == pytest.approx(folds.score("macro_f1").value)
    for part in ("precision", "recall", "f1"):
        found, expected = getattr(labels[1], part), folds.score(f"binary_{part}")
        assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    assert folds.with_positive("x").score("binary_f1").value == pytest.approx(labels[0].f1.value)


def test_a_repeat_where_a_score_is_undefined_does_not_count() -> None:
    targets = np.array([0, 0, 0, 1, 1, 1])
    given = np.array([[0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0]])
    repeats = [Predictions(tuple("abcdef"), targets, np.eye(2)[of], TWO) for of in given]
    folds = FoldPredictions(tuple(
        tuple(of.select([row, row + 3]) for row in range(3)) for of in repeats
    ))  # fmt: skip
    assert folds.of_labels()[1].precision.value == pytest.approx(2 / 3)
    assert folds.score("binary_precision").value == pytest.approx(2 / 3)


def test_labels_are_given_by_the_rule_of_each_fold() -> None:
    likely = np.array([[0.6, 0.4], [0.6, 0.4]])
    of = Predictions(("a", "b"), np.array([0, 1]), likely, TWO)
    never, second = Decision(least=(0.9, 0.9)), Decision(thresholds=(0.9, 0.1))
    folds = FoldPredictions((
        (replace(of.select([0]), decision=never), replace(of.select([1]), decision=second)),
    ))  # fmt: skip
    assert folds.given()[0].decisions.tolist() == [0, 1]
    assert folds.decided()[0].ids == ("b",)


def test_macro_f1_of_folds_reckons_with_a_class_that_is_never_given() -> None:
    targets = np.array([0] * 52 + [1] * 8)
    given = np.eye(2)[np.zeros(60, dtype=np.int64)]
    never = folded(Predictions(tuple(map(str, range(60))), targets, given, TWO))
    scores = never.scores()
    assert scores["macro_f1"].high > scores["macro_f1"].value + 0.29
    assert scores["binary_recall"].high > 0.4
    assert [of.recall.high > 0.4 for of in never.of_labels()] == [True, True]
    assert never.of_labels()[1].f1.high == pytest.approx(scores["binary_f1"].high)
