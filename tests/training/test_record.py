"""What training logs and shows."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from finetext.errors import ModelError
from finetext.methods.base import FitContext, ProgressEvent
from finetext.training import record as module
from finetext.training.record import Record


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set in its only item."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_line_is_logged_every_five_seconds_and_at_each_evaluation(
    tmp_path: Path, clock: list[float]
) -> None:
    log = tmp_path / "log.jsonl"
    record = Record("toy", [4, 4], 32, FitContext(log=log))
    for _ in range(4):
        clock[0] += 2
        record.count(8, 0.5, 1e-3, 2.0)
    record.evaluated({"validation accuracy": 0.75})
    timed, evaluated = lines(log)
    assert timed == {
        "step": 3, "loss": 0.5, "learning_rate": 1e-3, "gradient_norm": 2.0,
        "rows_per_second": 4.0,
    }  # fmt: skip
    assert evaluated == {"step": 4, "loss": 0.5, "evaluation": {"validation accuracy": 0.75}}


def test_the_listener_hears_of_every_step() -> None:
    heard: list[ProgressEvent] = []
    record = Record("toy", [1, 2], 10, FitContext(progress=heard.append))
    record.count(10, 1.0, 0.1, 1.0)
    record.evaluated({"validation accuracy": 0.5})
    record.count(6, 0.0, 0.1, 1.0)
    assert [(event.stage, event.done, event.total) for event in heard] == [
        ("toy: epoch 1 of 2", 10, 20), ("toy: epoch 2 of 2", 16, 20),
    ]  # fmt: skip
    assert heard[0].values == {"loss": 1.0}
    assert heard[1].values["validation accuracy"] == 0.5
    assert 0 < heard[1].values["loss"] < 1


@pytest.mark.parametrize(
    ("every", "expected"), [(None, [3, 5]), (2, [2, 4, 5]), (1, [1, 2, 3, 4, 5]), (9, [5])]
)
def test_evaluation_is_due_after_each_epoch_or_every_so_many_steps_and_at_the_end(
    every: int | None, expected: list[int]
) -> None:
    record = Record("toy", [3, 2], 5, FitContext())
    due = []
    for _ in range(5):
        record.count(1, 1.0, 0.1, 1.0)
        if record.is_due(every):
            due.append(record.step)
    assert due == expected


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_advice(loss: float) -> None:
    record = Record("toy", [3], 5, FitContext())
    record.count(1, 1.0, 0.1, 1.0)
    with pytest.raises(ModelError, match="at step 2 of 3; try a lower learning rate"):
        record.count(1, loss, 0.1, 1.0)


def test_early_stopping_is_said() -> None:
    said: list[str] = []
    record = Record("toy", [3], 5, FitContext(say=said.append))
    record.count(1, 1.0, 0.1, 1.0)
    record.stopped_early()
    assert said == ["toy: stopped early at step 1 of 3"]
