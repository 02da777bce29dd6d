"""Other shares of labels are noticed and corrected; chance is not taken for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from finetext.core.arrays import Floats, Integers
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.base_rates import (
    BaseRates,
    SampledRows,
    check_base_rates,
    correct_base_rates,
)

TWO, THREE = LabelScheme(("neg", "pos")), LabelScheme(("a", "b", "c"))


def drawn(
    shares: Sequence[float], n: int, seed: int, sharp: float = 1.0
) -> tuple[Integers, Floats]:
    """Labels with such shares, and the probabilities of a model that knows equal shares."""
    random = np.random.default_rng(seed)
    truth = random.choice(len(shares), n, p=shares)
    logits = 1.5 * sharp * (random.normal(size=(n, len(shares))) + 1.5 * np.eye(len(shares))[truth])
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    return truth, likely / likely.sum(axis=1, keepdims=True)


def known(scheme: LabelScheme, sharp: float = 1.0, n: int = 400) -> BaseRates:
    truth, likely = drawn([1 / len(scheme)] * len(scheme), n, 0, sharp)
    return BaseRates.of(Predictions(tuple(map(str, range(n))), truth, likely, scheme))


def calibrated(seed: int) -> Predictions:
    """Thirty rows of a calibrated model."""
    truth, likely = drawn([0.5, 0.5], 30, seed, sharp=1.0)
    return Predictions(tuple(map(str, range(30))), truth, likely, TWO)


@pytest.mark.parametrize(("sharp", "highest"), [(1.0, 0.75), (1.6, 0.7)])
def test_a_shift_is_found_with_an_interval_and_corrected(sharp: float, highest: float) -> None:
    """Probabilities that are too certain give a share between the known and the true one."""
    truth, likely = drawn([0.3, 0.7], 500, 1, sharp)
    found = check_base_rates(known(TWO, sharp), likely, TWO)
    (share,) = found.shifted
    assert share.label == "pos"
    assert 0.5 < share.share.low < share.share.value < highest
    assert sharp > 1 or share.share.low < 0.7 < share.share.high
    assert share.difference.low > 0
    assert found.weights is not None
    better = correct_base_rates(likely, found.weights)
    assert better.sum(axis=1) == pytest.approx(1)
    right = np.arange(500), truth
    assert np.log(better[right]).mean() > np.log(likely[right]).mean()


def test_far_too_low_probabilities_are_noticed_and_not_corrected() -> None:
    """Right on 9 of 10 rows and sure of little: most rows would change to the frequent class."""
    assert known(TWO, sharp=0.05, n=30).underconfidence > 0.3
    low = known(TWO, sharp=0.05)
    assert low.underconfidence > 0.3
    assert BaseRates.from_json(low.to_json()) == low
    truth, likely = drawn([0.3, 0.7], 500, 1, sharp=0.05)
    refused = check_base_rates(low, likely, TWO)
    assert refused.shifted
    assert refused.weights is None
    asked = check_base_rates(replace(low, underconfidence=0.0), likely, TWO)
    assert asked.weights is not None
    right = (correct_base_rates(likely, asked.weights).argmax(axis=1) == truth).mean()
    assert right < (likely.argmax(axis=1) == truth).mean() - 0.1


def test_probabilities_that_are_calibrated_or_too_high_can_be_corrected() -> None:
    assert known(TWO, sharp=2.0).underconfidence == 0
    found = [BaseRates.of(one) for one in map(calibrated, range(200))]
    assert sum(not of.is_correctable for of in found) <= 20


def test_groups_that_are_right_together_show_less_of_low_probabilities() -> None:
    truth, likely = np.arange(30) % 2, np.full((30, 2), 0.5)
    likely[np.arange(30), truth] = 0.75
    rows = Predictions(tuple(map(str, range(30))), truth, likely, TWO)
    assert BaseRates.of(rows).underconfidence == pytest.approx(0.25)
    wrong = np.arange(30) < 6
    rows = replace(rows, targets=np.where(wrong, 1 - truth, truth))
    assert not BaseRates.of(rows).underconfidence
    likely = likely * 0.4 + 0.3  # 0.6 beside 0.4
    rows = replace(rows, probabilities=likely)
    assert BaseRates.of(rows).underconfidence == pytest.approx(0.2)
    two = replace(rows, groups=tuple("ab"[row >= 6] for row in range(30)))
    assert not BaseRates.of(two).underconfidence


def test_equal_shares_are_no_shift() -> None:
    alarms = sum(
        bool(check_base_rates(known(TWO), drawn([0.5, 0.5], 100, seed)[1], TWO).shifted)
        for seed in range(1, 101)
    )
    assert alarms <= 12


def test_of_several_classes_those_that_changed_are_named_the_largest_change_first() -> None:
    _, likely = drawn([0.34, 0.06, 0.6], 600, 2)
    found = check_base_rates(known(THREE), likely, THREE)
    assert [of.label for of in found.shifted] == ["b", "c"]
    assert found.shifted[1].share.value == pytest.approx(0.6, abs=0.07)


def test_the_positive_class_is_the_one_that_is_told() -> None:
    _, likely = drawn([0.2, 0.8], 300, 3)
    found = check_base_rates(known(TWO), likely, TWO.with_positive("neg"))
    assert [of.label for of in found.shifted] == ["neg"]


def test_labels_of_several_are_checked_each_alone_and_not_corrected() -> None:
    scheme, random = LabelScheme(("x", "y"), multilabel=True), np.random.default_rng(4)

    def rows(shares: Floats, n: int) -> tuple[Integers, Floats]:
        truth = (random.random((n, 2)) < shares).astype(np.int64)
        return truth, 1 / (1 + np.exp(-3 * (2 * truth - 1 + random.normal(size=(n, 2)))))

    before = Predictions(tuple(map(str, range(300))), *rows(np.array([0.5, 0.5]), 300), scheme)
    found = check_base_rates(BaseRates.of(before), rows(np.array([0.5, 0.2]), 300)[1], scheme)
    assert [of.label for of in found.shifted] == ["y"]
    assert found.shifted[0].share.low < 0.2 < found.shifted[0].share.high
    assert found.weights is None


def test_too_few_rows_for_a_rare_label_are_not_tested() -> None:
    truth = np.array([0] * 196 + [1] * 4)
    likely = np.where(truth[:, None] == [0, 1], 0.95, 0.05)
    rates = BaseRates.of(Predictions(tuple(map(str, range(200))), truth, likely, TWO))
    found = check_base_rates(rates, likely[-40:], TWO)
    assert (found.tested, found.shifted) == (0, ())


def test_groups_make_the_mean_less_certain_and_json_keeps_all() -> None:
    truth, likely = drawn([0.5, 0.5], 100, 5)
    copies = [np.repeat(of, 4, axis=0) for of in (truth, likely)]
    ids = tuple(map(str, range(400)))
    alone = BaseRates.of(Predictions(ids, *copies, TWO))
    groups = tuple(map(str, np.arange(100).repeat(4)))
    grouped = BaseRates.of(Predictions(ids, *copies, TWO, groups=groups))
    assert grouped.errors[1] == pytest.approx(2 * alone.errors[1], rel=0.02)
    assert BaseRates.from_json(grouped.to_json()) == grouped
    with pytest.raises(DataError, match="two rows or more"):
        BaseRates.of(Predictions(ids[:1], truth[:1], likely[:1], TWO))
    with pytest.raises(DataError, match="3 labels"):
        check_base_rates(known(THREE), likely, THREE)


def test_the_sample_of_a_long_file_is_bounded_and_even(monkeypatch: pytest.MonkeyPatch) -> None:
    from finetext.evaluation import base_rates

    monkeypatch.setattr(base_rates, "MOST_ROWS", 50)
    sample = SampledRows(1)
    for start in range(0, 5000, 100):
        sample.add(np.arange(start, start + 100, dtype=np.float64)[:, None])
    assert (len(sample), sample.seen) == (50, 5000)
    assert 2000 < sample.probabilities.mean() < 3000


def test_a_row_that_no_class_is_left_for_stays_as_it_is() -> None:
    likely = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert correct_base_rates(likely, (0.0, 2.0)).tolist() == [[1.0, 0.0], [0.0, 1.0]]
