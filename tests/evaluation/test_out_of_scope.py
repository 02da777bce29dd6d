"""What a rule makes of texts in scope and out of it."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.core.decision import AS_LIKELY, CrossFitted, Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.out_of_scope import ScopeScores, scope_scores, with_scope

SURE, HALF = [0.9, 0.1], [0.5, 0.5]
RULE = Decision(in_scope_up_to=0.8, false_alarms=0.05)


def predictions(decision: Decision) -> Predictions:
    """Four rows: right, wrong, right but refused, right."""
    likely = np.array([SURE, SURE, HALF, SURE])
    scheme = LabelScheme(("a", "b"))
    return Predictions(("1", "2", "3", "4"), np.array([0, 1, 0, 0]), likely, scheme, decision)


def test_refused_rows_in_scope_are_wrong_and_others_are_recognized() -> None:
    found = scope_scores(predictions(RULE), np.array([HALF, HALF, SURE]))
    assert found is not None
    assert (found.accuracy.value, found.false_alarms.value) == (0.5, 0.25)
    assert found.recall is not None
    assert (found.recall.value, found.recall.n, found.allowed) == (2 / 3, 3, 0.05)
    assert found.recall.low < 2 / 3 < found.recall.high
    assert found.words.startswith("0.250 [")
    assert "of the 4 texts in scope are refused (allowed: 0.05) and 0.500 [" in found.words
    assert "of the 3 texts out of scope 0.667 [" in found.words
    assert ScopeScores.from_json(found.to_json()) == found


def test_without_texts_out_of_scope_recall_is_unknown() -> None:
    found = scope_scores(predictions(RULE))
    assert found is not None
    assert found.recall is None
    assert found.words.endswith("is unknown without marked texts")


def test_without_a_rule_none_is_recognized() -> None:
    assert scope_scores(predictions(AS_LIKELY)) is None
    found = scope_scores(predictions(AS_LIKELY), np.array([HALF]))
    assert found is not None
    assert found.words == "none of the 1 text out of scope is recognized: the model has no rule"


def test_a_rule_that_refuses_nothing_allows_no_share() -> None:
    few = with_scope(AS_LIKELY, predictions(AS_LIKELY), 0.05)
    assert scope_scores(predictions(few)) is None
    found = scope_scores(predictions(few), np.array([HALF]))
    assert found is not None
    assert "allowed" not in found.words
    enough = with_scope(AS_LIKELY, predictions(AS_LIKELY), 0.2)
    assert enough.in_scope_up_to == 1.0
    nobody = predictions(AS_LIKELY).select(np.zeros(4, dtype=np.bool_))
    with pytest.raises(DataError, match="validation rows"):
        with_scope(AS_LIKELY, nobody, 0.05)


def test_rows_are_judged_by_the_rule_of_their_fold_and_others_by_that_of_the_model() -> None:
    crossed = CrossFitted.of(RULE, [RULE, AS_LIKELY], [0, 0, 1, 1])
    found = scope_scores(predictions(crossed), np.array([HALF]))
    assert found is not None
    assert found.recall is not None
    assert (found.false_alarms.value, found.recall.value) == (0.0, 1.0)
