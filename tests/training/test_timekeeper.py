"""A training with a deadline, by a clock that only its steps and evaluations move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from toys import Line, Settings, trained

from finetext.core.contracts import Checkpoints
from finetext.core.deadline import Deadline
from finetext.core.types import Finding
from finetext.storage.resume import read_log
from finetext.training.task import Evaluation

STEPS = 20  # five in each of four epochs


@dataclass
class Timed(Line):
    """A line whose steps and evaluations take seconds."""

    step: Callable[[int], float] = lambda number: 1.0
    evaluation: float = 0.0
    time: float = 0.0
    steps: list[float] = field(default_factory=list)

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        found = super().loss(model, batch)
        if self.losses > 1:  # the first one measures memory
            self.steps.append(self.time)
            self.time += self.step(len(self.steps))
        return found

    def evaluate(self, model: Any) -> Evaluation:
        self.time += self.evaluation
        return super().evaluate(model)

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, lambda: self.time)


def test_without_hurry_all_steps_are_made() -> None:
    tasks = Timed(), Timed()
    assert trained(tasks[0]) == trained(tasks[1], deadline=tasks[1].deadline(1000.0))
    assert len(tasks[1].steps) == STEPS


@pytest.mark.parametrize("evaluation", [0.0, 2.0])
def test_it_ends_in_time_with_a_learning_rate_that_fell_to_the_end(
    tmp_path: Path, evaluation: float
) -> None:
    task, noticed = Timed(evaluation=evaluation), list[Finding]()
    log = tmp_path / "log.jsonl"
    trained(task, deadline=task.deadline(16.0), find=noticed.append, log=log)
    assert task.time <= 16.0 + evaluation  # the last evaluation comes after it
    assert 8 <= len(task.steps) < STEPS
    rates = [line["learning_rate"][0] for line in read_log(log) if "learning_rate" in line]
    assert rates[-1] <= 0.1 / len(task.steps)
    assert "evaluation" in read_log(log)[-2]
    (finding,) = noticed
    assert f"the time ended after {len(task.steps)} of 20 planned steps" in finding.message


def test_once_the_time_is_over_one_step_and_one_evaluation_are_made() -> None:
    task = Timed()
    trained(task, deadline=task.deadline(-1.0))
    assert (len(task.steps), len(task.weights)) == (1, 1)


def test_it_ends_with_the_best_weights_so_far() -> None:
    task = Timed(scores=[0.9, 0.1, 0.1, 0.1])
    weight = trained(task, deadline=task.deadline(8.0))
    assert len(task.weights) == 2
    assert weight == task.weights[0]


def test_a_plan_that_was_cut_too_much_becomes_longer_again() -> None:
    task = Timed(step=lambda number: 4.0 if number <= 8 else 0.5)
    trained(task, deadline=task.deadline(60.0))
    assert len(task.steps) == STEPS


def test_steps_that_become_slower_are_fewer() -> None:
    task = Timed(step=lambda number: 1.0 if number <= 10 else 5.0)
    trained(task, deadline=task.deadline(30.0))
    assert 11 <= len(task.steps) < STEPS
    assert task.time <= 36.0


def test_a_stopped_training_resumes_with_a_later_deadline(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoint", every_steps=1)

    @dataclass
    class Stopped(Timed):
        def evaluate(self, model: Any) -> Evaluation:
            if len(self.weights) == 1:
                raise KeyboardInterrupt
            return super().evaluate(model)

    first = Stopped()
    with pytest.raises(KeyboardInterrupt):
        trained(first, deadline=first.deadline(12.0), checkpoints=checkpoints)
    second = Timed()
    trained(second, deadline=second.deadline(1000.0), checkpoints=checkpoints)
    assert len(first.steps) + second.losses == STEPS  # whose memory was measured before


def test_evaluations_between_steps_go_on_by_the_cut_plan() -> None:
    task = Timed()
    trained(task, Settings(evaluate_every=3), deadline=task.deadline(10.5))
    assert len(task.weights) == len(task.steps) // 3 + (len(task.steps) % 3 > 0)
