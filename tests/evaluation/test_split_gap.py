"""The alarm about validation and test scores that differ by more than chance allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.metrics import accuracy, macro_f1
from finetext.evaluation.split_gap import ALLOWED, Drop, Share, drop_of, validation_test_gap

TWO = LabelScheme(("neg", "pos"))


def rows(right: int, wrong: int, copies: int = 1) -> Predictions:
    """So many right and wrong rows; of more than one copy each, the copies are a group."""
    truth = np.arange(right + wrong) % 2
    given = np.where(np.arange(right + wrong) < right, truth, 1 - truth).repeat(copies)
    groups = tuple(map(str, np.arange(right + wrong).repeat(copies))) if copies > 1 else None
    ids = tuple(f"{right} {row}" for row in range(len(given)))
    return Predictions(ids, truth.repeat(copies), np.eye(2)[given], TWO, groups=groups)


def test_the_interval_is_that_of_newcombe_and_wider_for_few_rows() -> None:
    found = Drop("accuracy", Share(56 / 70, 70, np.inf), Share(48 / 80, 80, np.inf))
    assert found.interval() == pytest.approx((0.0524, 0.3339), abs=1e-4)
    few = Drop("accuracy", Share(56 / 70, 70, 5), Share(48 / 80, 80, np.inf))
    assert few.interval()[0] < found.interval()[0]


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "binary_recall"])
@pytest.mark.parametrize("copies", [1, 4])
def test_few_validation_rows_that_are_all_right_are_no_alarm(metric: str, copies: int) -> None:
    perfect, test = rows(20, 0, copies), rows(930, 70, copies)
    assert drop_of(perfect, test, metric).value > ALLOWED
    assert validation_test_gap("probe", perfect, test, metric, 1) is None
    many = rows(2000, 0, copies)
    assert validation_test_gap("probe", many, test, metric, 4) is not None


def test_a_rare_class_makes_a_perfect_score_uncertain() -> None:
    truth = np.arange(500) >= 497
    some = rows(500, 0)
    rare = replace(some, targets=truth.astype(int), probabilities=np.eye(2)[truth.astype(int)])
    assert Share.of(macro_f1, rare).rows < 20
    assert Share.of(accuracy, rare).rows == pytest.approx(500)


@pytest.mark.parametrize("validation", [20, 50])
def test_false_alarms_are_rare_where_few_validation_rows_chose_the_model(validation: int) -> None:
    random, alarms = np.random.default_rng(validation), 0
    for _ in range(200):
        best = random.binomial(validation, 0.9, 4).max()
        right = random.binomial(1000, 0.9)
        sides = rows(int(best), validation - int(best)), rows(int(right), 1000 - int(right))
        alarms += validation_test_gap("probe", *sides, "accuracy", 4) is not None
    assert alarms <= 10


def test_the_drop_of_sst2_is_an_alarm_that_says_what_to_do() -> None:
    gap = validation_test_gap("tfidf", rows(928, 72), rows(708, 164), "accuracy", 4)
    assert gap is not None
    assert (gap.severity, gap.code) == ("warning", "validation-test-gap")
    assert (
        "tfidf has accuracy 0.928 on validation rows and 0.812 on test rows: 0.116" in gap.message
    )
    assert "duplicates" in gap.message


@pytest.mark.parametrize(
    ("validation", "test"),
    [
        (rows(90, 10), rows(84, 16)),  # chance
        (rows(81, 19), rows(93, 7)),  # better on test rows
        (rows(90_000, 10_000), rows(88_500, 11_500)),  # certain, but as large as a choice costs
        (rows(4, 0), rows(2, 2)),
        (rows(1, 0), rows(0, 1)),
    ],
)
def test_small_or_uncertain_drops_are_none(validation: Predictions, test: Predictions) -> None:
    assert validation_test_gap("probe", validation, test, "accuracy", 4) is None


def test_the_number_of_methods_and_copies_in_groups_are_allowed_for() -> None:
    better, worse = rows(95, 5), rows(82, 18)
    assert validation_test_gap("probe", better, worse, "macro_f1", 1) is not None
    assert validation_test_gap("probe", better, worse, "macro_f1", 100) is None
    many = rows(95, 5, copies=9), rows(82, 18, copies=9)
    assert drop_of(*many, "accuracy").interval() == pytest.approx(
        drop_of(better, worse, "accuracy").interval()
    )


def test_cross_validated_rows_are_not_compared() -> None:
    validation, test = rows(95, 5), replace(rows(60, 40), ids=rows(95, 5).ids)
    assert validation_test_gap("probe", validation, rows(60, 40), "accuracy", 1) is not None
    assert validation_test_gap("probe", validation, test, "accuracy", 1) is None


def test_metrics_that_are_no_proportion_are_replaced_by_accuracy() -> None:
    assert drop_of(rows(9, 1), rows(5, 5), "log_loss").metric == "accuracy"
