"""The training loop on a toy: it learns, stops, and ends with the best weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from toys import Line, Settings, trained

from finetext.core.contracts import FitContext
from finetext.training.loop import train_model
from finetext.training.plan import Stage


def test_it_learns() -> None:
    assert trained(Line(), epochs=30) == pytest.approx(3.0, abs=0.1)


def test_every_epoch_sees_every_row_once_in_an_order_of_its_own() -> None:
    task = Line()
    trained(task, epochs=2)
    rows = [row for batch in task.seen[1:] for row in batch]
    assert sorted(rows[:18]) == sorted(rows[18:]) == list(range(18))
    assert rows[:18] != rows[18:]


def test_it_ends_with_the_weights_that_scored_best() -> None:
    task = Line(scores=[0.1, 0.9, 0.9, 0.2])
    weight = trained(task)
    assert len(task.weights) == 4
    assert weight == task.weights[1]
    assert weight not in (task.weights[0], task.weights[2], task.weights[3])


def test_it_stops_early() -> None:
    said: list[str] = []
    task = Line(scores=[0.5, 0.4, 0.3, 0.9])
    weight = trained(task, Settings(patience=2), say=said.append)
    assert weight == task.weights[0]
    assert len(task.weights) == 3
    assert said == ["toy: stopped early at step 15 of 20"]


def test_it_can_be_run_again_after_stopping_early() -> None:
    trained(Line(scores=[0.5, 0.4]), Settings(patience=1, evaluate_every=2))
    assert trained(Line()) == trained(Line())


def test_it_evaluates_every_so_many_steps() -> None:
    task = Line()
    trained(task, Settings(evaluate_every=3), epochs=2)
    assert len(task.weights) == 4


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not() -> None:
    settings = Settings(evaluate_every=1)
    runs = []
    for seed in (1, 1, 2):
        task = Line()
        trained(task, settings, seed=seed)
        runs.append(task.weights)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_each_training_has_a_precision_of_its_own() -> None:
    weights = [
        trained(Line(), replace(Settings(), precision=precision), epochs=30)
        for precision in ("fp32", "bf16", "fp32")
    ]
    assert weights == pytest.approx([3.0] * 3, abs=0.2)
    assert weights[0] == weights[2]
    assert weights[0] != weights[1]


def test_the_model_is_left_as_it_was_but_for_its_weights() -> None:
    model = nn.Linear(1, 1, bias=False).train()
    forward = type(model).forward
    context = FitContext(device="cpu")
    train_model(model, Line(), Settings(precision="bf16"), [Stage(1, 0.1)], context)
    assert model.forward.__func__ is forward
    assert model.weight.dtype == torch.float32
    assert model(torch.ones(1, 1)).dtype == torch.float32
