"""Thresholds, and costs of mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.arrays import Floats, Integers
from finetext.core.decision import Decision
from finetext.core.errors import DataError, RecipeError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.metrics import metric_for
from finetext.evaluation.thresholds import (
    best_threshold,
    choose_thresholds,
    read_costs,
    weights_for_macro_f1,
)

SHARES = np.geomspace(0.2, 0.004, 12)
SCHEME = LabelScheme(tuple(f"label {j}" for j in range(12)), multilabel=True)


def simulated(n: int, seed: int) -> tuple[Floats, Integers]:
    """Calibrated probabilities: a label's log odds shift by evidence for it."""
    random = np.random.default_rng(seed)
    targets = (random.random((n, len(SHARES))) < SHARES).astype(np.int64)
    evidence = random.normal(size=targets.shape) + 2.0 * targets
    logits = np.log(SHARES / (1 - SHARES)) + 2.0 * evidence - 2.0
    return 1 / (1 + np.exp(-logits)), targets


def macro_f1(likely: Floats, targets: Integers, thresholds: tuple[float, ...] | None) -> float:
    ids = tuple(map(str, range(len(targets))))
    predictions = Predictions(ids, targets, likely, SCHEME, Decision(thresholds=thresholds))
    return metric_for("macro_f1", SCHEME)(predictions)


def test_chosen_thresholds_beat_one_half_on_unseen_rows() -> None:
    gains, over_own = [], []
    for seed in range(20):
        validation, test = simulated(1500, seed), simulated(4000, 1000 + seed)
        reference = macro_f1(*test, None)
        chosen = macro_f1(*test, choose_thresholds(*validation))
        own = macro_f1(*test, choose_thresholds(*validation, prior_positives=0))
        gains.append(chosen - reference)
        over_own.append(chosen - own)
    assert min(gains) > 0
    assert np.mean(over_own) > 0


@given(st.integers(0, 10_000), st.integers(1, 30))
@settings(max_examples=40)
def test_no_other_threshold_is_better(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 11, size=n) / 10
    truth = random.integers(0, 2, size=n)
    if truth.sum() == 0:
        assert np.isnan(best_threshold(scores, truth))
        return

    def f1(threshold: float) -> float:
        given_ = scores >= threshold
        return float(2 * (given_ & (truth == 1)).sum() / (given_.sum() + truth.sum()))

    assert f1(best_threshold(scores, truth)) == pytest.approx(max(map(f1, scores)))


def test_a_label_without_positives_gets_the_shared_threshold() -> None:
    likely, targets = simulated(500, 1)
    targets[:, 3] = 0
    chosen = choose_thresholds(likely, targets)
    assert chosen[3] == pytest.approx(best_threshold(likely.ravel(), targets.ravel()))
    assert all(0 < limit < 1 for limit in chosen)


def test_without_any_positive_all_thresholds_are_one_half() -> None:
    chosen = choose_thresholds(np.full((4, 3), 0.2), np.zeros((4, 3), dtype=np.int64))
    assert chosen == (0.5, 0.5, 0.5)


def test_probabilities_of_zero_give_finite_weights() -> None:
    likely = np.tile([1.0, 0.0, 0.0], (6, 1))
    weights = weights_for_macro_f1(likely, np.array([0, 0, 0, 1, 2, 0]))
    assert np.isfinite(weights).all()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(4, 3\)"):
        choose_thresholds(np.full((4, 3), 0.2), np.zeros((4, 2), dtype=np.int64))


AB = LabelScheme(("a", "b"))


def test_costs_can_be_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text("\ufefftruth, b ,a\n b,0,2.5\n\na,1,0\n", "utf-8")
    assert read_costs(path, AB) == ((0.0, 1.0), (2.5, 0.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("t,a,b\na,0,1\n", "first column"),
        ("t,a,c\na,0,1\nb,1,0\n", "first row.*'b', 'c'"),
        ("t,a,b\na,0,1\na,1,0\n", "first column"),
        ("t,a,b\na,0,x\nb,1,0\n", "row 2, column b: 'x'"),
        ("t,a,b\na,0,inf\nb,1,0\n", "not a number"),
        ("t,a,b\na,0\nb,1,0\n", "row 2, column b: ''"),
        (f"t,a,{'b' * 200_000}\n", "cannot be read"),
    ],
)
def test_costs_that_do_not_fit_the_labels_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "costs.csv"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        read_costs(path, AB)


def test_a_missing_or_binary_file_of_costs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_costs(tmp_path / "none.csv", AB)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_costs(tmp_path / "bytes.csv", AB)


@given(st.integers(0, 10_000), st.integers(1, 60))
@settings(max_examples=40)
def test_no_label_is_given_more_than_three_times_as_often_as_it_is_true(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    likely, targets = random.random((n, 6)), (random.random((n, 6)) < 0.2).astype(int)
    given_ = (likely >= choose_thresholds(likely, targets)).sum(axis=0)
    true = targets.sum(axis=0)
    assert (given_ <= 3 * true)[true > 0].all()


def test_of_a_model_that_knows_nothing_it_is_far_less_than_the_highest_f1_takes() -> None:
    random = np.random.default_rng(0)
    likely, targets = random.random((200, 20)), (random.random((200, 20)) < 0.07).astype(int)
    given_ = (likely >= choose_thresholds(likely, targets)).sum()
    assert 0 < given_ <= 3 * targets.sum()
    highest = best_threshold(likely.ravel(), targets.ravel())
    assert (likely >= highest).sum() > 4 * targets.sum()


def test_rows_that_share_the_highest_score_get_the_label_however_many() -> None:
    likely = np.array([[0.4]] * 9 + [[0.1]])
    targets = np.array([[1]] + [[0]] * 9)
    assert (likely >= choose_thresholds(likely, targets)).sum() == 9
