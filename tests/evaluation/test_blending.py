"""Weights of blends: what they are fitted to, how the prior holds them, and when a gain counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finetext.core.arrays import Floats, logits_of, probabilities_of
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.blending import (
    FEWEST_ROWS,
    LEAST_WEIGHT,
    Weighing,
    blended,
    bounded_logits,
    cross_blended,
    fit_weights,
    gain_of,
    gain_of_folds,
    parts_of,
)
from finetext.evaluation.deciding import Deciding
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.metrics import log_loss, metric_for

THREE = LabelScheme(("a", "b", "c"))
MANY = LabelScheme(("a", "b", "c"), multilabel=True)


def members(rows: int, noise: dict[str, float], several: bool = False) -> dict[str, Predictions]:
    """Members that see the truth through independent noise of such a standard deviation."""
    random = np.random.default_rng(1)
    scheme = MANY if several else THREE
    if several:
        targets = random.integers(0, 2, (rows, 3))
        clear: Floats = 4.0 * targets - 2
    else:
        targets = random.integers(0, 3, rows)
        clear = 2.0 * np.eye(3)[targets]
    ids = tuple(map(str, range(rows)))
    return {
        name: Predictions(
            ids, targets,
            probabilities_of(clear + random.normal(0, spread, clear.shape), several), scheme,
        )
        for name, spread in noise.items()
    }  # fmt: skip


@pytest.mark.parametrize("several", [False, True])
def test_two_independent_members_share_the_weight(several: bool) -> None:
    both = members(600, {"one": 2.0, "other": 2.0}, several)
    weights = fit_weights(both)
    assert list(weights) == ["one", "other"]
    assert 0.6 < weights["one"] / weights["other"] < 1.6
    alone = min(map(log_loss, both.values()))
    assert log_loss(blended(both, weights)) < alone - 0.05


def test_a_member_that_knows_nothing_is_left_out() -> None:
    found = fit_weights(members(600, {"noise": 50.0, "good": 1.0}))
    assert list(found) == ["good"]
    assert found["good"] > LEAST_WEIGHT


def test_few_rows_leave_nearly_all_weight_to_the_best() -> None:
    """Twenty rows, all of which the worse member has right by chance, do not move it far."""
    few = {
        name: of.select(np.arange(20)) for name, of in members(600, {"x": 2.0, "y": 2.0}).items()
    }
    losses = {name: log_loss(of) for name, of in few.items()}
    best = min(losses, key=lambda name: losses[name])
    held, free = fit_weights(few, 200.0), fit_weights(few, 1e-3)
    assert held[best] == pytest.approx(1, abs=0.1)
    other = next(name for name in few if name != best)
    assert held.get(other, 0) < free.get(other, 0)


def test_without_rows_the_weights_are_those_of_the_prior() -> None:
    none = {name: of.select([]) for name, of in members(10, {"x": 1.0, "y": 1.0}).items()}
    assert fit_weights(none) == pytest.approx({"x": 1.0})


def test_certain_predictions_have_finite_logits() -> None:
    sure = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert np.isfinite(bounded_logits(sure, False)).all()
    assert np.isfinite(bounded_logits(sure, True)).all()
    usual = np.array([[0.7, 0.2, 0.1]])
    np.testing.assert_allclose(bounded_logits(usual, False), logits_of(usual, False))


def test_one_wrong_certainty_cannot_decide_alone() -> None:
    targets = np.zeros(1, dtype=np.int64)
    wrong = Predictions(("r",), targets, np.array([[0.0, 1.0, 0.0]]), THREE)
    right = replace(wrong, probabilities=np.array([[0.98, 0.01, 0.01]]))
    both = blended({"wrong": wrong, "right": right}, {"wrong": 0.1, "right": 1.0})
    assert both.decisions.tolist() == [0]


def test_weights_of_a_fold_do_not_see_it() -> None:
    both = members(300, {"one": 2.0, "other": 2.0})
    cut = np.split(np.arange(300), 3)
    folds = {name: [of.select(rows) for rows in cut] for name, of in both.items()}
    before = cross_blended(folds, Weighing())
    for of in folds.values():  # other labels in the first fold
        of[0] = replace(of[0], targets=(of[0].targets + 1) % 3)
    after = cross_blended(folds, Weighing())
    np.testing.assert_array_equal(before[0].probabilities, after[0].probabilities)
    assert not np.array_equal(before[1].probabilities, after[1].probabilities)


def test_groups_stay_in_one_part() -> None:
    rows = members(60, {"one": 1.0})["one"]
    grouped = replace(rows, groups=tuple(f"g{n // 4}" for n in range(60)))
    parts = parts_of(grouped)
    assert sorted(np.concatenate(parts).tolist()) == list(range(60))
    names = [{grouped.groups[row] for row in part} for part in parts if grouped.groups]
    assert sum(map(len, names)) == 15
    assert len(parts_of(replace(rows, groups=("g",) * 60))) == 10


@pytest.mark.parametrize("several", [False, True])
def test_a_gain_is_supported_where_members_differ(several: bool) -> None:
    both = members(600, {"one": 2.0, "other": 2.5}, several)
    scheme = both["one"].scheme
    gain, cross = gain_of(both, Deciding(), metric_for("macro_f1", scheme), Weighing())
    assert gain.best == "one"
    assert gain.is_supported
    assert cross.ids == both["one"].ids
    assert "in macro F1" in gain.words()
    assert "600 validation rows" in gain.words()


def test_a_metric_of_which_less_is_better_is_said_once() -> None:
    both = members(600, {"one": 2.0, "other": 2.5})
    gain, _ = gain_of(both, Deciding(), log_loss, Weighing())
    assert gain.words().count("in log loss") == 1
    assert gain.words().startswith("one: -0.")


def test_no_gain_is_supported_of_two_copies() -> None:
    one = members(600, {"one": 2.0})["one"]
    both = {"one": one, "copy": one}
    gain, _ = gain_of(both, Deciding(), metric_for("accuracy", THREE), Weighing())
    assert not gain.is_supported


def test_a_likelier_blend_with_a_lower_metric_is_not_supported() -> None:
    both = members(600, {"one": 2.0, "other": 2.2})
    gain, _ = gain_of(both, Deciding(), metric_for("accuracy", THREE), Weighing())
    lower = replace(gain.lead, value=-0.001)
    assert gain.likelier.tail() < 0.05
    assert not replace(gain, lead=lower).is_supported


def test_twenty_rows_support_nothing() -> None:
    few = {name: of.select(np.arange(20)) for name, of in members(60, {"x": 2.0, "y": 2.0}).items()}
    gain, _ = gain_of(few, Deciding(), metric_for("accuracy", THREE), Weighing())
    assert not gain.is_supported


def test_gain_over_folds_counts_all_repeats() -> None:
    both = members(300, {"one": 2.0, "other": 2.1})
    random = np.random.default_rng(0)
    orders = [random.permutation(300) for _ in range(3)]
    folded = {
        name: FoldPredictions(
            tuple(tuple(of.select(rows) for rows in np.split(order, 5)) for order in orders)
        )
        for name, of in both.items()
    }
    blend = FoldPredictions(
        tuple(
            cross_blended({name: of.repeats[number] for name, of in folded.items()}, Weighing())
            for number in range(2)
        )
    )
    gain = gain_of_folds(folded, blend, metric_for("accuracy", THREE))
    assert gain.is_supported
    assert "300 cross-validated rows" in gain.words()


def test_the_prior_of_few_rows_is_for_pretrained_members() -> None:
    names, few = ("one", "other"), FEWEST_ROWS - 1
    every = members(few, {"one": 1.0, "other": 9.0, "words": 1.5})
    assert Weighing.of(names, few, 10.0).equal == names
    held = Weighing.of(names, few, 1e9).weights(every)
    assert held == pytest.approx({"one": 0.5, "other": 0.5}, abs=1e-3)
    found = Weighing.of(names, few, 10.0).weights(every)
    assert found["one"] > 0.6
    assert set(found) == {"one", "words"}  # what rows show counts more than the prior
    for pretrained, rows in ((names, few + 1), (("one",), few), ((), few)):
        weighing = Weighing.of(pretrained, rows, 10.0)
        assert not weighing.equal
        assert weighing.weights(every) == fit_weights(every, 10.0)


def test_a_blend_with_a_useless_member_is_shown_to_be_worse() -> None:
    both = members(49, {"good": 0.5, "noise": 50.0})
    metric = metric_for("accuracy", THREE)
    gain, cross = gain_of(both, Deciding(), metric, Weighing(1e9, ("good", "noise")))
    assert gain.is_loss
    assert not gain.is_supported
    same = blended(both, {"good": 0.5, "noise": 0.5})
    np.testing.assert_allclose(cross.probabilities, same.probabilities, atol=1e-4)
    alike, _ = gain_of(members(49, {"one": 2.0, "other": 2.0}), Deciding(), metric,
                       Weighing(1e9, ("one", "other")))  # fmt: skip
    assert not alike.is_loss
