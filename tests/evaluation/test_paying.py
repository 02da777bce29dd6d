"""What it is for an encoder to have paid."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finetext.core.errors import RunError
from finetext.core.types import Score
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import Paid

NAN = float("nan")


def pair(value: float, p_value: float, metric: str = "macro_f1") -> Paid:
    difference = Score(value, value - 0.01, value + 0.01, 100)
    comparison = Comparison(metric, difference, p_value, "paired permutation of rows", 100)
    return Paid("finetune", "plain", "adapted", comparison, 50.0, 60.0, 600.0)


@pytest.mark.parametrize(
    ("value", "p_value", "metric", "outcome"),
    [
        (0.02, 0.01, "macro_f1", "paid"),
        (-0.02, 0.01, "macro_f1", "hurt"),
        (0.02, 0.05, "macro_f1", "no difference"),
        (-0.02, 0.3, "macro_f1", "no difference"),
        (-0.02, 0.01, "log_loss", "paid"),
        (0.02, 0.01, "log_loss", "hurt"),
        (NAN, NAN, "macro_f1", "no difference"),
        (0.02, NAN, "macro_f1", "no difference"),
    ],
)
def test_it_paid_if_it_is_significantly_better(
    value: float, p_value: float, metric: str, outcome: str
) -> None:
    assert pair(value, p_value, metric).outcome == outcome


def test_the_extra_seconds_are_those_before_and_those_of_training() -> None:
    assert pair(0.1, 0.01).extra_seconds == 600 + 50 - 60


@pytest.mark.parametrize("value", [0.02, -0.5])
def test_it_comes_back_from_json(value: float) -> None:
    of = pair(value, 0.01)
    told = json.loads(json.dumps(of.to_json()))
    assert Paid.from_json(told) == of
    assert (told["outcome"], told["extra_seconds"]) == (of.outcome, of.extra_seconds)


@pytest.mark.parametrize("damage", [{"kind": "stolen"}, {"seconds": None}, {"comparison": {}}])
def test_a_damaged_one_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"verdict\.json"):
        Paid.from_json(pair(0.1, 0.01).to_json() | damage)
    with pytest.raises(RunError, match=r"verdict\.json"):
        Paid.from_json({})
