from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.contracts import decided
from finetext.core.decision import AS_LIKELY, CrossFitted, Decision, decision_in, uncertainty
from finetext.core.types import LabelScheme

LIKELY = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.34, 0.33, 0.33]])
share = st.floats(0.001, 1.0)
three = st.tuples(share, share, share)


def test_the_likeliest_label_is_given_by_default() -> None:
    assert AS_LIKELY.labels(LIKELY, multilabel=False).tolist() == [0, 2, 0]
    assert AS_LIKELY.labels(LIKELY, multilabel=True).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert not AS_LIKELY.abstains(LIKELY).any()
    assert AS_LIKELY.sets(LIKELY) is None


def test_a_label_with_a_low_threshold_is_given_sooner() -> None:
    decision = Decision(thresholds=(1.0, 0.5, 1.0))
    assert decision.labels(LIKELY, multilabel=False).tolist() == [1, 2, 1]
    assert decision.labels(LIKELY, multilabel=True)[0].tolist() == [0, 0, 0]


def test_the_cheapest_label_is_given() -> None:
    missing_the_last_is_dear = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (9.0, 9.0, 0.0))
    decision = Decision(costs=missing_the_last_is_dear)
    assert decision.labels(LIKELY, multilabel=False).tolist() == [2, 2, 2]
    equal = Decision(costs=((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0)))
    assert equal.labels(LIKELY, multilabel=False).tolist() == [0, 2, 0]


def test_it_abstains_where_the_label_given_is_not_probable_enough() -> None:
    assert Decision(least=(0.4, 0.9, 0.8)).abstains(LIKELY).tolist() == [False, True, True]
    other = Decision(thresholds=(1.0, 0.5, 1.0), least=(0.0, 0.31, 0.0))
    assert other.labels(LIKELY, multilabel=False).tolist() == [1, 2, 1]
    assert other.abstains(LIKELY).tolist() == [True, False, False]


def test_a_text_whose_probabilities_are_spread_too_widely_belongs_to_no_class() -> None:
    rule = Decision(in_scope_up_to=1.2)
    assert uncertainty(LIKELY).round(2).tolist() == [1.36, 1.16, 1.41]
    assert rule.out_of_scope(LIKELY).tolist() == [True, False, True]
    assert rule.abstains(LIKELY).tolist() == [True, False, True]
    assert rule.can_abstain
    assert not AS_LIKELY.out_of_scope(LIKELY).any()
    both = replace(rule, least=(0.4, 0.9, 0.8))
    assert both.abstains(LIKELY).tolist() == [True, True, True]
    assert both.out_of_scope(LIKELY).tolist() == [True, False, True]
    crossed = CrossFitted.of(rule, [rule, AS_LIKELY], [0, 0, 1])
    assert crossed.out_of_scope(LIKELY).tolist() == [True, False, False]
    assert decided(LabelScheme(("a", "b", "c")), rule, LIKELY) == [None, "c", None]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda of: sum(of) > 0))
def test_uncertainty_is_between_that_of_one_and_of_equal_labels(weights: list[float]) -> None:
    likely = np.array([weights]) / sum(weights)
    [value] = uncertainty(likely)
    assert 0 <= value <= np.sqrt(len(weights) - 1) + 1e-9
    assert uncertainty(np.eye(len(weights))).tolist() == [0.0] * len(weights)


def test_sets_hold_every_label_that_is_probable_enough() -> None:
    sets = Decision(set_from=0.3, coverage=0.9).sets(LIKELY)
    assert sets is not None
    assert sets.sum(axis=1).tolist() == [2, 1, 3]


@given(st.floats(0.1, 10), st.none() | three, st.none() | three, st.none() | share)
def test_it_comes_back_from_json(
    temperature: float,
    thresholds: tuple[float, ...] | None,
    least: tuple[float, ...] | None,
    set_from: float | None,
) -> None:
    costs = None if thresholds is None else (thresholds, thresholds, thresholds)
    decision = Decision(temperature, thresholds, costs, least, set_from, set_from, "f1")
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision
    decision.check(3)
    assert AS_LIKELY.to_json() == {}


@pytest.mark.parametrize(
    "decision",
    [
        Decision(thresholds=(0.5,)), Decision(least=(0.1, 0.2)), Decision(costs=((0.0, 1.0),)),
        Decision(costs=((0.0, 1.0), (0.0, 1.0), (0.0, 1.0))),
    ],
)  # fmt: skip
def test_other_sizes_than_those_of_the_labels_are_refused(decision: Decision) -> None:
    with pytest.raises(ValueError, match="for 3 labels"):
        decision.check(3)


@pytest.mark.parametrize("limits", [None, [0.3, 0.7]])
def test_files_of_the_first_format_are_read(limits: list[float] | None) -> None:
    read = decision_in({"format_version": 1, "thresholds": limits})
    assert read == Decision(thresholds=None if limits is None else (0.3, 0.7))
    assert decision_in({"decision": {"least": [0.5, 0.5]}}) == Decision(least=(0.5, 0.5))
    with pytest.raises(KeyError):
        decision_in({})


def test_set_limits_of_labels_and_assurance_are_kept() -> None:
    rule = Decision(set_from=(0.1, 0.4), coverage=0.9, assured=(True, False), rows_needed=120)
    assert Decision.from_json(json.loads(json.dumps(rule.to_json()))) == rule
    sets = rule.sets(np.array([[0.2, 0.3], [0.05, 0.95]]))
    assert sets is not None
    assert sets.tolist() == [[True, False], [False, True]]
    with pytest.raises(ValueError, match="2 values for 3 labels"):
        rule.check(3)


@pytest.mark.parametrize(
    ("assured", "needed", "words"),
    [
        (None, None, ""),
        ((True,), None, "assured: new rows like these reach the target with 90% confidence"),
        ((True, True), None, "assured: new rows like these reach the target with 90% confidence, "
         "for each label"),
        ((False,), 1200, "aimed at, not assured: it takes about 1,200 held-out rows to show it"),
        ((True, False, False), None, "assured for 1 of 3 labels, else aimed at, not assured: more "
         "rows like these would hardly show it"),
    ],
)  # fmt: skip
def test_assurance_in_words(
    assured: tuple[bool, ...] | None, needed: int | None, words: str
) -> None:
    assert Decision(assured=assured, rows_needed=needed).assurance == words


def test_cross_fitted_rules_decide_the_rows_of_their_fold() -> None:
    low, high = Decision(least=(0.5, 0.5)), Decision(least=(0.9, 0.9), set_from=0.2)
    rule = CrossFitted.of(replace(high, aim="both"), [low, replace(high, set_from=0.6)], [0, 1, 1])
    likely = np.array([[0.8, 0.2], [0.8, 0.2], [0.05, 0.95]])
    assert rule.abstains(likely).tolist() == [False, True, False]
    assert rule.labels(likely, False).tolist() == [0, 0, 1]
    assert rule.select([2, 0]).abstains(likely[[2, 0]]).tolist() == [False, False]
    assert rule.select(np.array([False, True, True])).fold == (1, 1)
    assert (rule.shipped, rule.aim) == (replace(high, aim="both"), "both")
    assert rule.to_json() == rule.shipped.to_json()
    with pytest.raises(ValueError, match="rules for 3 rows cannot decide 2"):
        rule.labels(likely[:2], False)


def test_rules_follow_columns_in_another_order() -> None:
    rule = Decision(thresholds=(0.1, 0.9), least=(0.2, 0.3), set_from=(0.4, 0.5))
    turned = rule.in_order([1, 0])
    assert turned == Decision(thresholds=(0.9, 0.1), least=(0.3, 0.2), set_from=(0.5, 0.4))
    crossed = CrossFitted.of(rule, [rule], [0, 0]).in_order([1, 0])
    assert (crossed.shipped, crossed.rules) == (turned, (turned,))
