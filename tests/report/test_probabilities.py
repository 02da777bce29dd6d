"""Calibration and decision rules in the report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.consistency import consistency
from finetext.evaluation.deciding import selective
from finetext.report.probabilities import (
    decided_json,
    decided_lines,
    probability_advice,
    trust,
)
from finetext.report.report import ReportData


def view(data: ReportData, rule: Decision) -> dict[str, Any]:
    return trust(data.best, replace(data.predictions[data.best], decision=rule))


def test_without_scaling_there_is_one_panel(single: ReportData) -> None:
    shown = view(single, Decision())
    assert [title for title, _ in shown["panels"]] == ["not scaled"]
    assert shown["sentence"].endswith("The logits are not scaled.")
    assert shown["sets"] == ""


def test_with_scaling_both_are_shown(single: ReportData) -> None:
    shown = view(single, Decision(temperature=1.4))
    assert [title for title, _ in shown["panels"]] == ["as trained", "scaled"]
    assert all(len(bins) == 2 for bins in shown["bins"])
    same = shown["checks"][0].words == shown["checks"][1].words
    scaling = "Temperature scaling did not change that." if same else "Before temperature scaling"
    assert scaling in shown["sentence"]
    assert len(shown["checks"]) == 2


def stated_as(rows: int, right: int) -> Predictions:
    likely = np.tile([0.9, 0.1], (rows, 1))
    targets = (np.arange(rows) >= right).astype(np.int64)
    return Predictions(tuple(map(str, range(rows))), targets, likely, LabelScheme(("a", "b")))


def test_the_headline_is_a_verdict_and_the_sentence_an_example() -> None:
    shown = trust("m", stated_as(100, 75))
    assert shown["headline"] == "The probabilities of m are overconfident by about 15 points"
    assert shown["sentence"].startswith(
        "Of the 100 texts given a probability of about 90%, 75% are right [65, 83]."
    )
    assert trust("m", stated_as(100, 88))["headline"] == (
        "The probabilities of m are calibrated as far as these 100 rows can tell"
    )


def test_advice_on_probabilities_needs_evidence() -> None:
    [far] = probability_advice(consistency(stated_as(100, 75)))
    assert far == (
        "Do not rely on single probabilities: they are overconfident by about 15 points."
    )
    [few] = probability_advice(consistency(stated_as(20, 15)))
    assert "it takes 75 rows or more" in few
    assert probability_advice(consistency(stated_as(100, 88))) == []
    assert probability_advice(consistency(stated_as(10_000, 8_800))) == []


def test_leaving_out_doubtful_rows(single: ReportData, several: ReportData) -> None:
    assert "This model decides every row" in view(single, Decision())["abstaining"]
    rule = Decision(least=(0.8,) * 3)
    shown = view(single, rule)
    coverage = selective(replace(single.predictions[single.best], decision=rule)).coverage
    assert f"This model decides {coverage:.1%} [" in shown["abstaining"]
    assert 2 <= len(shown["selective_rows"]) <= 20
    assert not view(several, Decision())["abstaining"]


@pytest.mark.parametrize("kind", ["single", "several"])
def test_prediction_sets_have_their_coverage(kind: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind)
    shown = view(data, Decision(set_from=0.0, coverage=0.9))
    assert shown["sets"].startswith("Prediction sets contain the truth in 100.0% [9")
    assert "100.0] of the test rows (target: 90%). A set has" in shown["sets"]
    scheme = data.predictions[data.best].scheme
    assert list(shown["sets_by_label"]) == list(scheme.names)
    by_label = view(data, Decision(set_from=(0.0,) * len(scheme), coverage=0.9))
    assert "(target: 90% of each label)" in by_label["sets"]


def test_whether_a_target_is_assured_is_said(single: ReportData) -> None:
    rule = Decision(least=(0.8,) * 3, aim="abstain accuracy=0.9", assured=(False,), rows_needed=410)
    assert view(single, rule)["assurance"] == (
        "The target is aimed at, not assured: it takes about 410 held-out rows to show it."
    )
    of = replace(single.predictions[single.best], decision=rule)
    assert decided_lines(of)[-1] == (
        "the target is aimed at, not assured: it takes about 410 held-out rows to show it"
    )
    low, high = decided_json(of)["decided_interval"]
    assert low < decided_json(of)["decided"] < high
    assert not view(single, Decision())["assurance"]
