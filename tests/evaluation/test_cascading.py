"""Certificates of cascades: they hold as often as they say, and look at no label too early."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from finetext.core.arrays import Floats, Integers
from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.cascading import (
    HeldOut,
    betting_p_value,
    cascaded,
    confidence_of,
    exact_p_value,
    loss_of,
    sent_by,
    units_needed,
)

LEVEL = 0.05
TWO = LabelScheme(("a", "b"))


def predictions(
    right: Sequence[bool] | Floats, confidence: Floats, groups: Sequence[str] | None = None
) -> Predictions:
    """Predictions of rows of the class "a", with so much confidence in a label that is right."""
    likely = np.stack([confidence, 1 - confidence], axis=1)
    likely[~np.asarray(right, dtype=bool)] = likely[~np.asarray(right, dtype=bool)][:, ::-1]
    ids, targets = tuple(map(str, range(len(likely)))), np.zeros(len(likely), dtype=np.int64)
    return Predictions(ids, targets, likely, TWO, groups=groups and tuple(groups))


def spread(rows: int) -> Floats:
    """Confidences from 0.51 to 0.99, in the order of the rows."""
    return np.linspace(0.51, 0.99, rows)


def held(cheap_right: Integers | Floats, groups: Sequence[str] | None = None) -> HeldOut:
    """Rows of rising confidence, on which the expensive classifier is right."""
    rows = len(cheap_right)
    cheap = predictions(cheap_right, spread(rows), groups)
    return HeldOut.of(cheap, predictions(np.ones(rows), np.full(rows, 0.9), groups))


def mass(harmed: int, gained: Integers, rows: int, chances: tuple[float, float]) -> Floats:
    """Return the probability of at most so many harmed rows and exactly so many gained ones."""
    from scipy.stats import binom

    inside = binom.cdf(harmed, rows - gained, chances[0] / (1 - chances[1]))
    return np.asarray(binom.pmf(gained, rows, chances[1]) * inside)


@pytest.mark.parametrize("gain", [0.0, 0.004, 0.03])
@pytest.mark.parametrize(("rows", "most"), [(150, 0.03), (700, 0.005), (700, 0.02)])
def test_the_exact_test_is_wrong_at_most_as_often_as_it_says(
    rows: int, most: float, gain: float
) -> None:
    """At the border, where a cascade loses exactly what is allowed, nothing is left to chance."""
    wrong, last = 0.0, int(gain * rows + 6 * np.sqrt(gain * rows + 1))
    for gained in range(last + 1):
        low, high = -1, min(rows - gained, int(rows * most) + gained)
        while low < high:  # the most harmed rows with which the loss is certified
            middle = (low + high + 1) // 2
            is_shown = exact_p_value(middle, gained, rows, most) <= LEVEL
            low, high = (middle, high) if is_shown else (low, middle - 1)
        if low >= 0:
            wrong += float(mass(low, np.array(gained), rows, (most + gain, gain)))
    assert wrong <= LEVEL


@pytest.mark.parametrize("most", [0.05, 0.005, 0.001])
def test_without_a_harmed_row_it_takes_hardly_more_rows_than_by_the_binomial_law(
    most: float,
) -> None:
    least = np.ceil(np.log(LEVEL) / np.log(1 - most))
    assert least <= units_needed(most, grouped=False) <= 1.03 * least


def test_gained_rows_count() -> None:
    assert exact_p_value(6, 0, 1_000, 0.01) > LEVEL
    assert exact_p_value(6, 4, 1_000, 0.01) < exact_p_value(6, 0, 1_000, 0.01)


@pytest.mark.parametrize("gain", [0.0, 0.05, 0.3])
def test_bets_on_groups_win_at_most_as_often_as_they_say(gain: float) -> None:
    from scipy.stats import multinomial

    groups, most, wrong = 120, 0.05, 0.0
    law = multinomial(groups, [most + gain, gain, 1 - most - 2 * gain])
    for harmed in range(60):
        for gained in range(80):
            rest = groups - harmed - gained
            if rest < 0 or (chance := law.pmf([harmed, gained, rest])) < 1e-9:
                continue
            losses = np.repeat([1.0, -1.0, 0.0], [harmed, gained, rest])
            wrong += chance * (betting_p_value(losses, most) <= LEVEL)
    assert wrong <= LEVEL


def test_thresholds_go_down_between_confidences_and_know_no_label() -> None:
    right = np.random.default_rng(0).random(400) < 0.8
    one, other = held(right).thresholds(), held(~right).thresholds()
    assert one == other
    assert one == sorted(one, reverse=True)
    assert one[-1] == 0
    assert len(one) == 20
    assert not np.isin(one, spread(400)).any()
    shares = [float((spread(400) < of).mean()) for of in one]
    np.testing.assert_allclose(shares, np.arange(19, -1, -1) / 20, atol=0.01)


def test_equal_confidences_are_not_told_apart() -> None:
    rows = 100
    cheap = predictions(np.ones(rows), np.repeat([0.6, 0.9], 50))
    assert HeldOut.of(cheap, cheap).thresholds() == [0.75, 0.0]
    same = predictions(np.ones(rows), np.full(rows, 0.7))
    assert HeldOut.of(same, same).thresholds() == [0.0]


def test_a_cheap_classifier_that_is_always_right_gets_all_texts() -> None:
    found = held(np.ones(2_000)).certify(0.005)
    assert found is not None
    assert (found.threshold, found.sent.value, found.loss.value) == (0.0, 0.0, 0.0)
    assert found.p_value <= LEVEL
    assert found.loss.high > 0


def test_rows_on_which_it_is_wrong_are_sent_on() -> None:
    right = np.arange(2_000) >= 800  # of the 800 least sure ones none is right
    found = held(right).certify(0.005)
    assert found is not None
    assert found.sent.value == pytest.approx(0.4)
    assert found.loss.value == 0
    assert right[spread(2_000) >= found.threshold].all()


def test_the_first_threshold_that_is_not_shown_ends_the_search() -> None:
    right = np.ones(2_000, dtype=bool)
    right[-40:] = False  # the surest 2% are wrong, which no lower threshold makes good
    assert held(right).certify(0.005) is None
    losses = -np.ones(2_000, dtype=np.int64)
    losses[-100:] = 0
    losses[-40:] = 1
    late = HeldOut(held(right).cheap, held(right).expensive, spread(2_000), losses)
    assert late.p_value(0.0, 0.005, LEVEL) < LEVEL  # which is never asked
    assert late.certify(0.005) is None


def test_more_candidates_have_less_of_the_level_each() -> None:
    rows = units_needed(0.01, grouped=False)
    assert held(np.ones(rows)).certify(0.01) is not None
    assert held(np.ones(rows)).certify(0.01, candidates=2) is None
    assert held(np.ones(units_needed(0.01, False, 2))).certify(0.01, 2) is not None


@pytest.mark.parametrize("grouped", [False, True])
def test_the_stated_number_of_rows_is_what_it_takes(grouped: bool) -> None:
    needed = units_needed(0.02, grouped)
    names = [str(row) for row in range(needed)] if grouped else None
    assert held(np.ones(needed), names).certify(0.02) is not None
    assert held(np.ones(needed - 1), names and names[1:]).certify(0.02) is None


def test_the_stated_loss_can_be_certified_and_less_cannot() -> None:
    rows = held(np.ones(300))
    least = rows.least_loss()
    assert rows.certify(least) is not None
    assert rows.certify(least - 0.001) is None


def test_copies_in_a_group_show_nothing_more() -> None:
    groups = [str(row // 4) for row in range(1_000)]
    alone, together = held(np.ones(1_000)), held(np.ones(1_000), groups)
    assert alone.certify(0.005) is not None
    assert together.certify(0.005) is None
    found = together.certify(0.03)
    assert found is not None
    assert found.grouped
    assert found.units == 250


def test_the_loss_is_what_only_the_expensive_one_has_right() -> None:
    cheap = predictions([True, False, True, False, True], np.array([0.9, 0.9, 0.9, 0.6, 0.6]))
    expensive = predictions([True, True, False, True, True], np.full(5, 0.8))
    both = cascaded(cheap, expensive, 0.7)
    np.testing.assert_array_equal(both.decisions, [0, 1, 0, 0, 0])
    np.testing.assert_array_equal(both.probabilities[:3], cheap.probabilities[:3])
    np.testing.assert_array_equal(both.probabilities[3:], expensive.probabilities[3:])
    assert loss_of(cheap, expensive, 0.7).value == 0  # one lost, one gained
    assert sent_by(cheap, expensive, 0.7).value == pytest.approx(0.4)
    assert list(HeldOut.of(cheap, expensive).losses) == [0, 1, -1, 1, 0]


def test_both_are_judged_by_the_rule_of_the_expensive_one() -> None:
    cheap = predictions([False], np.array([0.7]))  # 0.3 for the right label
    expensive = predictions([True], np.array([0.9]))
    rule = Decision(thresholds=(0.2, 0.8))
    ruled = Predictions(*(getattr(expensive, of) for of in ("ids", "targets", "probabilities")),
                        TWO, rule)  # fmt: skip
    assert list(HeldOut.of(cheap, expensive).losses) == [1]
    assert list(HeldOut.of(cheap, ruled).losses) == [0]
    assert cascaded(cheap, ruled, 0.5).decision == rule


def test_several_labels_count_when_all_are_right() -> None:
    scheme = LabelScheme(("a", "b"), multilabel=True)
    targets = np.array([[1, 0], [1, 1]])
    likely = np.array([[0.9, 0.1], [0.9, 0.45]])
    cheap = Predictions(("1", "2"), targets, likely, scheme)
    expensive = Predictions(("1", "2"), targets, np.array([[0.9, 0.1], [0.9, 0.9]]), scheme)
    assert list(HeldOut.of(cheap, expensive).losses) == [0, 1]
    np.testing.assert_allclose(confidence_of(likely, True), [0.4, 0.05])
    np.testing.assert_allclose(confidence_of(likely, True, (0.5, 0.3)), [0.2, 0.15])
    assert loss_of(cheap, expensive, 0.0).value == 0.5
