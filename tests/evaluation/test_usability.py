"""When a method is usable, and for which classes."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Predictions, Score
from finetext.evaluation.estimates import DiscordantRows
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.usability import (
    ClassVerdict,
    class_verdict,
    constant,
    most_frequent,
    over_constant,
    status_of,
)

SURE, WEAK, FEW = Score(0.9, 0.8, 0.95, 50), Score(0.4, 0.2, 0.6, 18), Score(0.4, 0.05, 0.85, 5)
NONE = Score(0.0, 0.0, 0.4, 7)


@pytest.mark.parametrize(
    ("found", "correct", "status"),
    [
        (SURE, SURE, "usable"),
        (WEAK, SURE, "weak"),
        (SURE, WEAK, "weak"),
        (FEW, SURE, "unknown"),
        (NONE, SURE, "weak"),
        (Score(0.8, 0.4, 0.97, 10), SURE, "unknown"),
        (Score(float("nan"), float("nan"), float("nan"), 0), SURE, "unknown"),
    ],
)
def test_a_class_is_usable_weak_or_unknown(found: Score, correct: Score, status: str) -> None:
    assert ClassVerdict("a", found, correct).status == status


def test_two_classes_must_both_be_usable() -> None:
    good, weak = ClassVerdict("a", SURE, SURE), ClassVerdict("b", WEAK, SURE)
    ahead, behind = DiscordantRows.of(60, 5, 100), DiscordantRows.of(5, 5, 100)
    binary, three = LabelScheme(("a", "b")), LabelScheme(("a", "b", "c"))
    assert status_of(ahead, [good, weak], three) == "usable"
    assert status_of(ahead, [good, weak], binary) == "better than guessing"
    assert status_of(ahead, [good, good], binary) == "usable"
    assert status_of(behind, [good, good], binary) == "not usable yet"


def test_shares_of_a_class() -> None:
    likely = np.eye(2)[[0, 0, 1, 1]]
    of = Predictions(tuple("abcd"), np.array([0, 1, 1, 1]), likely, LabelScheme(("x", "y")))
    verdict = class_verdict([of], 1)
    assert (verdict.found.value, verdict.found.n) == (2 / 3, 3)
    assert (verdict.correct.value, verdict.correct.n) == (1.0, 2)


def test_shares_of_a_class_are_means_over_repeats() -> None:
    scheme, targets = LabelScheme(("x", "y")), np.array([0, 1, 1, 1])
    given = np.array([[0, 0, 1, 1], [0, 0, 0, 1]])
    repeats = [Predictions(tuple("abcd"), targets, np.eye(2)[of], scheme) for of in given]
    verdict = class_verdict(repeats, 1)
    assert (verdict.found.value, verdict.found.n) == (pytest.approx(1 / 2), 3)
    assert (verdict.correct.value, verdict.correct.n) == (1.0, 2)


def test_the_constant_answer() -> None:
    likely = np.tile([0.9, 0.1], (3, 1))
    skewed = Decision(thresholds=(0.95, 0.01))
    of = Predictions(tuple("abc"), np.array([1, 1, 0]), likely, LabelScheme(("x", "y")), skewed)
    assert most_frequent(of, None).tolist() == [0, 1]
    assert most_frequent(of, of).tolist() == [1, 0]  # of training rows, whatever the thresholds
    sets = np.array([[1, 1], [0, 0], [1, 1]])
    several = Predictions(tuple("abc"), sets, likely, LabelScheme(("x", "y"), multilabel=True))
    assert most_frequent(several, of).tolist() == [1, 1]


def test_the_lead_of_folds_over_a_constant() -> None:
    """Two repeats of two folds: 3 and 2 of 4 rows are right, always answering "y" on 3."""
    scheme, truth = LabelScheme(("x", "y")), np.array([0, 1, 1, 1])

    def fold(rows: list[int], given: list[int]) -> Predictions:
        ids = tuple(f"row {row}" for row in rows)
        return Predictions(ids, truth[rows], np.eye(2)[given], scheme)

    folds = FoldPredictions((
        (fold([0, 1], [0, 1]), fold([2, 3], [1, 0])),
        (fold([0, 2], [1, 1]), fold([1, 3], [1, 0])),
    ))  # fmt: skip
    lead = over_constant({"tfidf": folds}, np.array([0, 1]))["tfidf"]
    assert lead.value == pytest.approx((3 + 2) / 8 - 3 / 4)
    assert lead.units == 4
    always = constant(folds.repeats[0][0], np.array([0, 1]))
    assert always.decisions.tolist() == [1, 1]
