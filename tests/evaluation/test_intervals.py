"""Intervals have their nominal coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finetext.core.contracts import predict
from finetext.core.decision import Decision
from finetext.core.errors import DataError, UnknownNameError
from finetext.core.types import LabelScheme, Predictions
from finetext.data.read import read
from finetext.evaluation.intervals import (
    confusion,
    evaluate,
    interval,
    interval_of_share,
    per_class,
    resample,
    uncertain_intervals,
)
from finetext.evaluation.metrics import metric_for
from finetext.methods.majority import MajorityClassifier

SHARES = np.array([0.4, 0.3, 0.2, 0.1])
SCHEME = LabelScheme(("joy", "sadness", "anger", "fear"))
SEVERAL = LabelScheme(("a", "b", "c"), multilabel=True)


def simulated(n: int, seed: int, skill: float = 1.8) -> Predictions:
    random = np.random.default_rng(seed)
    k = len(SHARES)
    targets = random.choice(k, size=n, p=SHARES)
    logits = random.normal(size=(n, k)) + np.log(SHARES)
    logits[np.arange(n), targets] += skill
    odds = np.exp(logits)
    likely = odds / odds.sum(axis=1, keepdims=True)
    return Predictions(tuple(map(str, range(n))), targets, likely, SCHEME)


def multi_label(n: int, k: int, seed: int = 0) -> Predictions:
    random = np.random.default_rng(seed)
    targets = (random.random((n, k)) < np.geomspace(0.3, 0.002, k)).astype(np.int64)
    likely = 1 / (1 + np.exp(2 - 2.5 * targets - random.normal(size=(n, k))))
    scheme = LabelScheme(tuple(f"label {j}" for j in range(k)), multilabel=True)
    return Predictions(tuple(map(str, range(n))), targets, likely, scheme)


def three_rows() -> Predictions:
    targets = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0]])
    likely = np.array([[0.9, 0.1, 0.8], [0.2, 0.1, 0.7], [0.1, 0.6, 0.1]])
    return Predictions(("1", "2", "3"), targets, likely, SEVERAL)


def test_of_200_test_sets_about_95_percent_of_the_intervals_hold_the_truth() -> None:
    names = ("accuracy", "macro_f1")
    many = simulated(400_000, 1)
    truth = {name: metric_for(name, SCHEME)(many) for name in names}
    held = dict.fromkeys(names, 0)
    for seed in range(200):
        scores = evaluate(simulated(1200, 1000 + seed), seed=seed, resamples=300, metrics=names)
        for name, score in scores.items():
            held[name] += score.low <= truth[name] <= score.high
    for name in names:
        assert 0.92 <= held[name] / 200 <= 0.985, held


def test_groups_of_similar_rows_widen_the_interval() -> None:
    few = simulated(100, 3)
    rows = np.repeat(np.arange(100), 10)
    copied = replace(
        few,
        ids=tuple(map(str, range(1000))),
        targets=few.targets[rows],
        probabilities=few.probabilities[rows],
    )
    grouped = replace(copied, groups=tuple(map(str, rows)))
    once, many, by_group = (evaluate(p)["accuracy"] for p in (few, copied, grouped))
    assert by_group.high - by_group.low == pytest.approx(once.high - once.low, rel=0.15)
    assert by_group.high - by_group.low > 2 * (many.high - many.low)


def test_blocks_of_many_rows_do_not_change_the_interval() -> None:
    score = evaluate(simulated(40_000, 5), metrics=["accuracy"])["accuracy"]
    expected = 2 * 1.96 * np.sqrt(score.value * (1 - score.value) / 40_000)
    assert score.high - score.low == pytest.approx(expected, rel=0.12)


def test_rounding_does_not_decide_ties_of_replicates() -> None:
    random = np.random.default_rng(3)
    replicates = random.binomial(12, 0.4, size=1000) / 12
    value = 5 / 12
    exact = interval(value, replicates)
    for offset in (-1e-15, 1e-15):
        moved = interval(value, replicates + offset)
        assert moved == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(("rows", "groups"), [(25, None), (60, 12), (30, 6)])
def test_intervals_of_macro_f1_hold_on_few_rows_and_groups(rows: int, groups: int | None) -> None:
    many = simulated(100_000, 1)
    truth = metric_for("macro_f1", SCHEME)(many)
    held, held_by_bootstrap = [], []
    for seed in range(200):
        some = simulated(rows, 5000 + seed)
        names = None if groups is None else tuple(str(row % groups) for row in range(rows))
        some = replace(some, groups=names)
        score = evaluate(some, seed=seed, resamples=200, metrics=["macro_f1"])["macro_f1"]
        held.append(score.low <= truth <= score.high)
        draws = resample(some, 200, seed)
        metric = metric_for("macro_f1", SCHEME)
        values = metric.replicates(some, draws), metric.leave_one_out(some, draws)
        low, high = interval(metric(some), *values)
        held_by_bootstrap.append(low <= truth <= high)
    assert np.mean(held) >= 0.92
    assert np.mean(held_by_bootstrap) < np.mean(held)


def test_the_interval_of_a_share_is_that_of_wilson_at_least_and_student_for_few() -> None:
    from scipy.stats import binomtest

    right = np.repeat([1.0, 0.0], [320, 80])
    without = (right.sum() - right) / 399
    replicates = np.random.default_rng(0).binomial(400, 0.8, 2000) / 400
    found = interval_of_share(0.8, replicates, without, 400, 400)
    wilson = binomtest(320, 400).proportion_ci(method="wilson")
    assert found == pytest.approx((wilson.low, wilson.high), abs=0.004)
    few = interval_of_share(0.8, replicates, without[::80], 5, 400)
    assert few[0] < found[0] - 0.01
    assert interval_of_share(1.0, np.ones(50), np.ones(20), 20, 20) == (1.0, 1.0)
    no_error = interval_of_share(0.5, np.full(50, 0.5), np.full(4, 0.5), 4, 8)
    assert no_error == (0.5, 0.5)


def test_intervals_that_may_fail_are_named() -> None:
    whole = simulated(400, 2)
    assert uncertain_intervals(whole) == ""
    few = replace(whole, groups=tuple(str(row % 5) for row in range(400)))
    assert uncertain_intervals(few) == "The intervals are uncertain: they rest on 5 groups."
    targets = np.where(whole.targets == 3, 0, whole.targets)
    targets[:9] = 3
    said = uncertain_intervals(replace(whole, targets=targets))
    assert said.endswith("such as macro F1, are uncertain: 'fear' has 9 rows.")
    assert "'label 2' has 1 row" in uncertain_intervals(multi_label(100, 5))
    assert uncertain_intervals(whole, folds=True) == ""
    assert "fewer than 100 rows" in uncertain_intervals(whole.select(np.arange(99)), folds=True)
    two = Predictions(
        tuple(map(str, range(400))), np.arange(400) % 2, np.full((400, 2), 0.5),
        LabelScheme(("no", "yes")),
    )  # fmt: skip
    assert uncertain_intervals(two) == ""
    assert "about these rows" in uncertain_intervals(two, folds=True)


def test_macro_f1_reckons_with_a_class_that_is_never_given() -> None:
    targets = np.array([0] * 52 + [1] * 8)
    never = Predictions(
        tuple(map(str, range(60))), targets, np.eye(2)[np.zeros(60, dtype=np.int64)],
        LabelScheme(("ham", "spam")),
    )  # fmt: skip
    found = evaluate(never)
    # Wilson's interval of 0 of 8 with Student's t, F1 of the share, and half of that in the mean.
    assert found["binary_f1"].low == 0
    assert found["binary_f1"].high == pytest.approx(0.583, abs=0.001)
    assert found["macro_f1"].high > found["macro_f1"].value + 0.29


def test_the_same_seed_gives_the_same_intervals() -> None:
    predictions = simulated(200, 7)
    assert evaluate(predictions, seed=3) == evaluate(predictions, seed=3)
    assert evaluate(predictions, seed=3) != evaluate(predictions, seed=4)


def test_a_perfect_score_is_not_certain() -> None:
    likely = np.tile([0.9, 0.1], (30, 1))
    predictions = Predictions(
        tuple(map(str, range(30))), np.zeros(30, dtype=np.int64), likely, LabelScheme(("a", "b"))
    )
    score = evaluate(predictions)["accuracy"]
    assert (score.value, score.high) == (1.0, 1.0)
    assert score.low == pytest.approx(0.025 ** (1 / 30))


@pytest.mark.parametrize("n", [2, 3])
def test_very_few_rows_survive(n: int) -> None:
    predictions = simulated(n, 1)
    scores = evaluate(predictions)
    assert np.isnan(scores.pop("calibration_error").low)  # no interval of it holds
    assert all(s.low <= s.value <= s.high for s in scores.values())
    assert len(per_class(predictions)) == 4
    assert set(evaluate(multi_label(n, 5))) >= {"macro_f1", "mean_average_precision"}


def test_no_rows_are_refused() -> None:
    nothing = replace(simulated(1, 1), ids=(), targets=np.zeros(0, dtype=np.int64))
    with pytest.raises(DataError, match="no rows"):
        evaluate(replace(nothing, probabilities=np.zeros((0, 4))))


def test_an_unknown_metric_offers_those_that_hold_its_name() -> None:
    scores = evaluate(simulated(20, seed=1), resamples=10)
    with pytest.raises(UnknownNameError, match="did you mean 'macro_f1', 'micro_f1' or 'weigh"):
        scores["f1"]


def test_per_class_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    predictions = simulated(300, 9)
    expected = precision_recall_fscore_support(predictions.targets, predictions.decisions)
    rows = per_class(predictions)
    assert [row.name for row in rows] == list(SCHEME.names)
    for row, precision, recall, f1, support in zip(rows, *expected, strict=True):
        assert row.precision.value == pytest.approx(precision)
        assert row.recall.value == pytest.approx(recall)
        assert row.f1.value == pytest.approx(f1)
        assert row.support == support
        assert row.f1.low < row.f1.value < row.f1.high


def test_a_rare_label_that_is_always_missed_has_a_wide_interval() -> None:
    predictions = simulated(200, 11)
    targets = np.zeros(200, dtype=np.int64)
    targets[:5] = 3
    likely = np.tile([0.7, 0.1, 0.1, 0.1], (200, 1))
    missed = per_class(replace(predictions, targets=targets, probabilities=likely))[3]
    assert missed.recall.value == 0
    assert missed.recall.high == pytest.approx(1 - 0.025 ** (1 / 5))
    assert np.isnan(missed.precision.value)


def test_confusion_counts_truth_in_rows() -> None:
    from sklearn.metrics import confusion_matrix

    predictions = simulated(300, 13)
    expected = confusion_matrix(predictions.targets, predictions.decisions)
    assert (confusion(predictions) == expected).all()


def test_multi_label_confusion_counts_labels_given_instead() -> None:
    assert confusion(three_rows()).tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_one_group_gives_no_interval() -> None:
    predictions = replace(simulated(25, 3), groups=("a",) * 25)
    scores = list(evaluate(predictions, resamples=20).values())
    rows = per_class(predictions, resamples=20)
    for score in (*scores, *(each for row in rows for each in (row.precision, row.f1))):
        assert np.isnan([score.low, score.high]).all()
    assert np.isfinite([score.value for score in scores]).all()


def test_a_model_instead_of_predictions_is_an_error_that_says_what_to_do() -> None:
    data = read((["a fine film", "a dull film"] * 5, ["good", "bad"] * 5))
    model = MajorityClassifier(LabelScheme(("bad", "good")), Decision(), np.array([0.4, 0.6]))
    for use in (evaluate, per_class, confusion):
        with pytest.raises(DataError, match=rf"{use.__name__} takes predictions .*Majority"):
            use(model)  # type: ignore[operator]
    with pytest.raises(DataError, match="evaluate takes predictions with their true labels, not a"):
        evaluate(model, "reviews.csv")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"predict takes labeled data, not a str; read them first"):
        predict(model, "reviews.csv")  # type: ignore[arg-type]
    assert evaluate(predict(model, data), metrics=["accuracy"])["accuracy"].value == 0.5
