"""The alarm about validation and test scores that differ by more than chance allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.estimates import of_units
from finetext.evaluation.split_gap import drop_of, independent_difference, validation_test_gap

TWO = LabelScheme(("neg", "pos"))


def rows(right: int, wrong: int, copies: int = 1) -> Predictions:
    """So many right and wrong rows; of more than one copy each, the copies are a group."""
    truth = np.arange(right + wrong) % 2
    given = np.where(np.arange(right + wrong) < right, truth, 1 - truth).repeat(copies)
    groups = tuple(map(str, np.arange(right + wrong).repeat(copies))) if copies > 1 else None
    ids = tuple(f"{right} {row}" for row in range(len(given)))
    return Predictions(ids, truth.repeat(copies), np.eye(2)[given], TWO, groups=groups)


def test_the_difference_of_independent_estimates_is_the_test_of_welch() -> None:
    random = np.random.default_rng(0)
    samples = random.normal(0.4, 1, 20), random.normal(0, 2, 35)
    estimates = [of_units(float(x.mean()), (x.sum() - x) / (len(x) - 1)) for x in samples]
    found = independent_difference(*estimates)
    known = stats.ttest_ind(*samples, equal_var=False)
    assert found.p_value() == pytest.approx(known.pvalue)
    assert found.interval() == pytest.approx(tuple(known.confidence_interval()))


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
    assert drop_of(*many, "accuracy")[1].error == pytest.approx(
        drop_of(better, worse, "accuracy")[1].error
    )


def test_cross_validated_rows_are_not_compared() -> None:
    validation, test = rows(95, 5), replace(rows(60, 40), ids=rows(95, 5).ids)
    assert validation_test_gap("probe", validation, rows(60, 40), "accuracy", 1) is not None
    assert validation_test_gap("probe", validation, test, "accuracy", 1) is None


def test_metrics_that_are_no_proportion_are_replaced_by_accuracy() -> None:
    assert drop_of(rows(9, 1), rows(5, 5), "log_loss")[0] == "accuracy"
