"""Paired comparisons: false positive rate, power, and rows that must be the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.compare import cheapest_not_worse, compare

SHARES = np.array([0.5, 0.3, 0.2])
SCHEME = LabelScheme(("a", "b", "c"))


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
        alarms += compare(a, b, metric, seed=seed, resamples=150).p_value < 0.05
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


def test_accuracy_without_groups_uses_mcnemar() -> None:
    from scipy.stats import binomtest

    a, b = method(400, 4, 0.2, 1), method(400, 4, 1.2, 2)
    a_right, b_right = a.decisions == a.targets, b.decisions == b.targets
    only_a, only_b = (a_right & ~b_right).sum(), (b_right & ~a_right).sum()
    found = compare(a, b)
    assert found.test == "McNemar, exact"
    assert found.p_value == pytest.approx(binomtest(int(only_a), int(only_a + only_b)).pvalue)


def test_one_group_gives_no_interval_and_no_evidence() -> None:
    a, b = (replace(method(25, 6, 0.8, own), groups=("a",) * 25) for own in (1, 2))
    found = compare(a, b, "macro_f1", resamples=50)
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
    assert grouped.p_value == pytest.approx(once.p_value, abs=0.06)
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


def test_other_rows_are_refused() -> None:
    a = method(5, 7, 0.2, 1)
    turned = replace(a, ids=a.ids[::-1])
    with pytest.raises(DataError, match=r"row 1 .* '0' in one and '4'"):
        compare(a, turned)
    with pytest.raises(DataError, match="5 and 4 rows"):
        compare(a, method(4, 7, 0.2, 1))
    with pytest.raises(DataError, match="true labels"):
        compare(a, replace(a, targets=(a.targets + 1) % 3))


def test_the_cheapest_method_that_is_not_worse() -> None:
    methods = {"poor": method(1000, 8, 3.0, 1), "good": method(1000, 8, 0.3, 2)}
    methods |= {"dear": method(1000, 8, 0.3, 3)}
    cost = {"poor": 1.0, "good": 10.0, "dear": 100.0}
    cheapest, comparisons = cheapest_not_worse(methods, cost, best="dear", metric="macro_f1")
    assert cheapest == "good"
    assert set(comparisons) == {"poor", "good"}
    assert comparisons["poor"].difference.value < 0
    alone, none = cheapest_not_worse({"dear": methods["dear"]}, cost, best="dear")
    assert (alone, none) == ("dear", {})
