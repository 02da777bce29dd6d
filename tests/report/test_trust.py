"""What the report says of probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Predictions
from finetext.report.data import ReportData
from finetext.report.trust import TrustView


def view(data: ReportData, rule: Decision) -> TrustView:
    return TrustView(data.best, replace(data.predictions[data.best], decision=rule))


def test_without_scaling_there_is_one_panel(single: ReportData) -> None:
    trust = view(single, Decision())
    assert [title for title, _ in trust.panels] == ["as it is"]
    assert "as it was trained" not in trust.sentence
    assert trust.sets == ""


def test_with_scaling_both_are_shown(single: ReportData) -> None:
    trust = view(single, Decision(temperature=1.4))
    assert [title for title, _ in trust.panels] == ["as trained", "scaled"]
    assert all(len(bins) == 2 for bins in trust.bins)
    assert "as it was trained it would have been only" in trust.sentence


def test_the_number_of_points_said_is_that_of_the_calibration_error() -> None:
    likely = np.tile([0.9, 0.1], (100, 1))
    targets = (np.arange(100) < 20).astype(np.int64)
    of = Predictions(tuple(map(str, range(100))), targets, likely, LabelScheme(("a", "b")))
    assert TrustView("m", of).sentence == (
        "The probabilities of m are to be taken with care: on average 10.0 points off on the test "
        "rows."
    )


def test_leaving_out_doubtful_rows(single: ReportData, several: ReportData) -> None:
    assert "This model decides every row" in view(single, Decision()).abstaining
    trust = view(single, Decision(least=(0.8,) * 3))
    assert "This model decides every row" not in trust.abstaining
    assert f"decides {trust.selective.coverage:.1%} of the rows" in trust.abstaining
    assert 2 <= len(trust.selective_rows) <= 20
    assert view(several, Decision()).selective is None
    assert view(several, Decision()).abstaining == ""


@pytest.mark.parametrize("kind", ["single", "several"])
def test_prediction_sets_say_what_they_keep(kind: str, request: pytest.FixtureRequest) -> None:
    trust = view(request.getfixturevalue(kind), Decision(set_from=0.0, coverage=0.9))
    assert "shall have the truth in 90% of the rows; on the test rows it has it in 100.0%" in (
        trust.sets
    )
