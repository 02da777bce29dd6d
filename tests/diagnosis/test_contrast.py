"""A slice beside the other rows."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.core.errors import RecipeError, UnknownNameError
from finetext.core.types import LabelScheme, Predictions
from finetext.diagnosis.slices import Contrast, metric_of_slices
from finetext.evaluation.intervals import evaluate
from finetext.evaluation.metrics import metric_for


def predictions(n: int = 400, several: bool = False, groups: int = 0, seed: int = 0) -> Predictions:
    random = np.random.default_rng(seed)
    scheme = LabelScheme(("a", "b", "c"), several)
    names = tuple(f"g{row % groups}" for row in range(n)) if groups else None
    ids = tuple(map(str, range(n)))
    if several:
        targets = (random.random((n, 3)) < 0.4).astype(np.int64)
        likely = np.clip(0.3 + 0.4 * targets + random.normal(0, 0.25, (n, 3)), 0.01, 0.99)
    else:
        targets = random.integers(3, size=n)
        likely = random.dirichlet((1, 1, 1), size=n)
        likely[np.arange(n), targets] += 0.5
        likely /= likely.sum(axis=1, keepdims=True)
    return Predictions(ids, targets, likely, scheme, groups=names)


def part(whole: Predictions, rows: np.ndarray) -> Predictions:
    groups = None if whole.groups is None else tuple(whole.groups[row] for row in rows)
    ids = tuple(whole.ids[row] for row in rows)
    return Predictions(
        ids, whole.targets[rows], whole.probabilities[rows], whole.scheme, groups=groups
    )


@pytest.mark.parametrize(
    ("metric", "several"),
    [
        *(("accuracy", False), ("macro_f1", False), ("log_loss", False), ("log_loss", True)),
        *(("samples_f1", True), ("subset_accuracy", True), ("micro_f1", True)),
    ],
)
@pytest.mark.parametrize("groups", [0, 25])
def test_scores_are_those_of_the_slice_alone(metric: str, several: bool, groups: int) -> None:
    whole = predictions(several=several, groups=groups)
    found = metric_for(metric, whole.scheme)
    rows = np.flatnonzero(np.random.default_rng(1).random(len(whole)) < 0.3)
    rest = np.setdiff1d(np.arange(len(whole)), rows)
    (seen,) = Contrast(whole, metric_of_slices(whole.scheme, metric, "")).of([rows])
    alone = evaluate(part(whole, rows), metrics=[metric])[metric]
    assert seen.score.value == pytest.approx(alone.value)
    assert seen.score.n == len(rows)
    assert (seen.score.low, seen.score.high) == pytest.approx((alone.low, alone.high), abs=0.03)
    gap = alone.value - found(part(whole, rest))
    assert seen.difference.value == pytest.approx(gap)
    assert seen.difference.low < gap < seen.difference.high
    assert 0.001 < seen.p_value <= 1


def test_a_slice_of_one_group_has_no_interval() -> None:
    whole = predictions(groups=10)
    (seen,) = Contrast(whole, metric_of_slices(whole.scheme, None, "")).of([np.arange(0, 400, 10)])
    assert np.isnan([seen.score.low, seen.score.high, seen.difference.low]).all()
    assert not np.isnan(seen.difference.value)


def test_a_slice_that_is_all_right_has_an_interval() -> None:
    whole = predictions()
    right = np.flatnonzero(whole.decisions == whole.targets)[:20]
    (seen,) = Contrast(whole, metric_of_slices(whole.scheme, "accuracy", "")).of([right])
    assert seen.score.high == 1
    assert 0.75 < seen.score.low < 0.9


def test_the_usual_metric_is_a_mean_over_rows() -> None:
    one, several = LabelScheme(("a", "b")), LabelScheme(("a", "b"), multilabel=True)
    assert metric_of_slices(one, None, "macro_f1").name == "accuracy"
    assert metric_of_slices(several, None, "macro_f1").name == "samples_f1"
    assert metric_of_slices(one, None, "log_loss").name == "log_loss"
    assert metric_of_slices(one, "macro_f1", "log_loss").name == "macro_f1"
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        metric_of_slices(one, "acuracy", "macro_f1")
    with pytest.raises(RecipeError, match="use 'samples_f1'"):
        metric_of_slices(several, "mean_average_precision", "macro_f1")
