"""Paired comparisons: false positive rate, power, and rows that must be the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.compare import compare, estimate_score, on_shared_rows
from finetext.evaluation.estimates import DiscordantRows
from finetext.evaluation.metrics import metric_for

SHARES = np.array([0.5, 0.3, 0.2])
SCHEME = LabelScheme(("a", "b", "c"))
METRICS = ("accuracy", "macro_f1", "balanced_accuracy", "log_loss")


def method(n: int, seed: int, noise: float, own_seed: int) -> Predictions:
    """Predictions from the signal of this seed, through noise of their own."""
    random, own = np.random.default_rng(seed), np.random.default_rng([seed, own_seed])
    targets = random.choice(3, size=n, p=SHARES)
    logits = random.normal(size=(n, 3)) + np.log(SHARES)
    logits[np.arange(n), targets] += 2.0
    odds = np.exp(logits + noise * own.normal(size=(n, 3)))
    likely = odds / odds.sum(axis=1, keepdims=True)
    return Predictions(tuple(map(str, range(n))), targets, likely, SCHEME)


@pytest.mark.parametrize(
    ("metric", "grouped"), [("accuracy", False), ("macro_f1", False), ("macro_f1", True)]
)
def test_equal_methods_are_rarely_called_different(metric: str, grouped: bool) -> None:
    alarms, trials, n = 0, 150, 120
    groups = tuple(str(row // 4) for row in range(n)) if grouped else None
    for seed in range(trials):
        a, b = (replace(method(n, seed, 0.8, own), groups=groups) for own in (1, 2))
        alarms += compare(a, b, metric).p_value < 0.05
    assert alarms / trials <= 0.09


def test_a_better_method_is_detected() -> None:
    better, worse = method(2000, 1, 0.1, 1), method(2000, 1, 2.0, 2)
    for metric in ("accuracy", "macro_f1", "log_loss"):
        found = compare(better, worse, metric)
        higher = metric != "log_loss"
        assert found.p_value < 0.01
        assert not found.worse(higher)
        assert compare(worse, better, metric).worse(higher)
        assert (found.difference.low > 0) == higher


def test_the_difference_changes_sign_with_the_order() -> None:
    a, b = method(300, 2, 0.3, 1), method(300, 2, 0.9, 2)
    forth, back = compare(a, b, "macro_f1"), compare(b, a, "macro_f1")
    assert forth.difference.value == pytest.approx(-back.difference.value)
    assert forth.difference.low == pytest.approx(-back.difference.high)


def test_a_method_does_not_differ_from_itself() -> None:
    a = method(100, 3, 0.5, 1)
    for metric in ("accuracy", "macro_f1"):
        found = compare(a, a, metric)
        assert (found.difference.value, found.p_value) == (0.0, 1.0)


def test_accuracy_without_groups_uses_the_score_interval_of_discordant_rows() -> None:
    a, b = method(400, 4, 0.2, 1), method(400, 4, 1.2, 2)
    a_right, b_right = a.decisions == a.targets, b.decisions == b.targets
    only_a, only_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    found = compare(a, b)
    assert found.estimate == DiscordantRows.of(only_a, only_b, 400)
    assert found.test == "score interval of discordant rows (Tango)"


@given(
    st.integers(3, 80), st.integers(0, 10_000), st.sampled_from(METRICS), st.integers(1, 3),
    st.booleans(), st.floats(0.05, 3),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_interval_and_p_value_never_contradict_each_other(
    n: int, seed: int, metric: str, seeds: int, grouped: bool, noise: float
) -> None:
    groups = tuple(str(row // 2) for row in range(n)) if grouped else None
    ones, others = (
        [replace(method(n, seed, wide, 10 * own + s), groups=groups) for s in range(seeds)]
        for own, wide in ((1, 0.3), (2, noise))
    )
    found = compare(ones, others, metric)
    low, high = found.difference.low, found.difference.high
    assert found.estimate is not None
    if np.isnan(low):
        assert found.p_value == 1
    elif abs(found.p_value - 0.05) > 1e-6:
        assert (found.p_value < 0.05) == (not low <= 0 <= high)
    assert found.worse(higher_is_better=metric != "log_loss") <= (found.p_value < 0.05)


def test_methods_that_agree_on_all_rows_seen_are_not_certainly_equal() -> None:
    a = method(60, 3, 0.5, 1)
    found = compare(a, a, "macro_f1").difference
    rows = 3 / 60 / 3  # up to three unseen rows of the three classes
    assert found.low == pytest.approx(-found.high)
    assert found.high > rows


def test_the_mean_of_seeds_is_compared_over_rows_and_seeds() -> None:
    ones, others = ([method(300, 9, of, own + s) for s in range(3)] for own, of in
                    ((10, 0.3), (20, 0.6)))  # fmt: skip
    found = compare(ones, others, "macro_f1")
    alone = [compare(a, b, "macro_f1") for a, b in zip(ones, others, strict=True)]
    assert found.seeds == 3
    assert found.test == "Student's t, jackknife over rows and 3 seeds"
    mean = np.mean([of.difference.value for of in alone])
    assert found.difference.value == pytest.approx(mean)
    assert compare(ones, others[:1], "macro_f1") == alone[0]
    of_method = estimate_score(metric_for("macro_f1", SCHEME), ones)
    assert of_method.units == 300
    assert of_method.interval()[0] < of_method.value < of_method.interval()[1]
    with pytest.raises(DataError, match="no predictions to compare"):
        compare([], others)


def test_metrics_that_rank_leave_out_blocks_of_rows() -> None:
    random = np.random.default_rng(0)
    scheme, targets = LabelScheme(("n", "p")), random.integers(0, 2, 500)
    ids = tuple(map(str, range(500)))
    good, poor = (
        Predictions(ids, targets, np.stack([1 - likely, likely], axis=1), scheme)
        for likely in (np.clip(0.35 + shift * targets + 0.2 * random.normal(size=500), 0, 1)
                       for shift in (0.3, 0.1))
    )  # fmt: skip
    found = compare(good, poor, "roc_auc")
    assert found.p_value < 0.001
    assert found.estimate is not None
    assert (found.estimate.units, found.estimate.freedom) == (500, 199)


def test_one_group_gives_no_interval_and_no_evidence() -> None:
    a, b = (replace(method(25, 6, 0.8, own), groups=("a",) * 25) for own in (1, 2))
    found = compare(a, b, "macro_f1")
    assert np.isnan([found.difference.low, found.difference.high]).all()
    assert found.p_value == 1
    assert not found.worse()


def test_copies_of_rows_in_groups_add_no_evidence() -> None:
    a, b = method(60, 5, 0.2, 1), method(60, 5, 1.0, 2)
    rows = np.repeat(np.arange(60), 20)

    def copied(p: Predictions) -> Predictions:
        ids, groups = tuple(map(str, range(len(rows)))), tuple(map(str, rows))
        return Predictions(ids, p.targets[rows], p.probabilities[rows], SCHEME, groups=groups)

    once, grouped = compare(a, b, "macro_f1"), compare(copied(a), copied(b), "macro_f1")
    assert grouped.p_value == pytest.approx(once.p_value, abs=0.01)
    assert "groups" in grouped.test


def test_multi_label_predictions_are_compared_with_their_own_thresholds() -> None:
    random = np.random.default_rng(6)
    scheme = LabelScheme(("x", "y"), multilabel=True)
    targets = (random.random((300, 2)) < 0.3).astype(np.int64)
    likely = np.clip(0.1 + 0.3 * targets + 0.2 * random.random((300, 2)), 0, 1)
    ids = tuple(map(str, range(300)))
    low = Predictions(ids, targets, likely, scheme, Decision(thresholds=(0.35, 0.35)))
    high = replace(low, decision=Decision())
    assert compare(low, high, "macro_f1").p_value < 0.01
    assert compare(low, high, "mean_average_precision").p_value == 1.0
    assert compare(low, high, "subset_accuracy").test.endswith("(Tango)")


def test_other_rows_are_refused() -> None:
    a = method(5, 7, 0.2, 1)
    turned = replace(a, ids=a.ids[::-1])
    with pytest.raises(DataError, match=r"row 1 .* '0' in one and '4'"):
        compare(a, turned)
    with pytest.raises(DataError, match="5 and 4 rows"):
        compare(a, method(4, 7, 0.2, 1))
    with pytest.raises(DataError, match="true labels"):
        compare(a, replace(a, targets=(a.targets + 1) % 3))


def test_a_sample_is_compared_on_its_rows() -> None:
    every, other = method(40, 1, 0.5, 0), method(40, 1, 0.5, 1)
    rows = [3, 5, 20, 39]
    sample = other.select(rows)
    one, whole = on_shared_rows([sample], [every])
    assert one[0] is sample
    assert whole[0].ids == sample.ids == ("3", "5", "20", "39")
    np.testing.assert_array_equal(whole[0].probabilities, every.probabilities[rows])
    turned = on_shared_rows([every], [sample])
    assert turned[0][0].ids == turned[1][0].ids == sample.ids
    assert compare(*turned).difference.value == -compare(one, whole).difference.value
    assert on_shared_rows([every], [other])[0][0] is every
    with pytest.raises(DataError, match="neither"):
        on_shared_rows([every.select([1, 2])], [every.select([2, 3])])
