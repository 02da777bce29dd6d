"""Training in stages: what is frozen stays as it was, and a stopped one goes on to the last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toys import Curve, Settings, at, interrupt, same

from finetext.core.contracts import Checkpoints, FitContext
from finetext.training.loop import train_model
from finetext.training.optimizer import Optimizer
from finetext.training.plan import Stage, schedule

GRADUAL = [Stage(1, 0.1, 1), Stage(1, 0.05, 2), Stage(2, 0.02)]
LAYERS = Settings(discriminative=2.6, schedule="one-cycle", evaluate_every=3)


class Tower(nn.Module):
    """Three numbers in, two layers, one number out: four layer groups."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Linear(3, 4)
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(4, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        states = torch.tanh(self.below(inputs))
        for layer in self.layers:
            states = self.dropout(torch.tanh(layer(states)))
        return self.head(states)


@dataclass
class Stream(Curve):
    """A loss that depends on the batch before, by what the task carries along."""

    carried: torch.Tensor = field(default_factory=lambda: torch.zeros(3))
    begun_with: list[float] = field(default_factory=list)

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        self.begun_with.append(float(self.carried.sum()))
        before, self.carried = self.carried, batch["input_ids"].mean(dim=0)
        return super().loss(model, {"input_ids": batch["input_ids"] + before})

    def state(self) -> dict[str, Any]:
        return {"mean": self.carried}

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        self.carried = tensors.get("mean", torch.zeros(3))


def tower(
    task: Curve,
    stages: Sequence[Stage],
    settings: Settings = LAYERS,
    **context: Any,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights before and after a training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Tower()
        before = {name: of.detach().clone() for name, of in model.named_parameters()}
        train_model(model, task, settings, stages, FitContext(device="cpu", **context))
    return before, {name: of.detach().clone() for name, of in model.named_parameters()}


def moved(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> set[str]:
    """The parts of the model that have changed."""
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    return {name.rpartition(".")[0] for name in changed}


@pytest.mark.parametrize(
    ("groups", "parts"),
    [
        (1, {"head"}),
        (2, {"head", "layers.1"}),
        (3, {"head", "layers.1", "layers.0"}),
        (None, {"head", "layers.1", "layers.0", "below"}),
        (9, {"head", "layers.1", "layers.0", "below"}),
    ],
)
def test_only_the_topmost_groups_learn(groups: int | None, parts: set[str]) -> None:
    assert moved(*tower(Curve(), [Stage(1, 0.1, groups)])) == parts


def test_each_stage_is_told() -> None:
    said: list[str] = []
    tower(Curve(), GRADUAL, say=said.append)
    assert said == [
        "toy: stage 1 of 3: 1 of 4 layer groups learn, learning rate 0.1",
        "toy: stage 2 of 3: 2 of 4 layer groups learn, learning rate 0.05",
        "toy: stage 3 of 3: 4 of 4 layer groups learn, learning rate 0.02",
    ]


def test_patience_ends_the_last_stage_only() -> None:
    said: list[str] = []
    task = Curve()
    worse = iter(range(100))

    def evaluate(model: Any) -> Any:
        from finetext.training.plan import Evaluation

        return Evaluation(-float(next(worse)), {})

    task.evaluate = evaluate  # type: ignore[method-assign]
    tower(task, GRADUAL, Settings(evaluate_every=1, patience=2), say=said.append)
    assert said[-1] == "toy: stopped early at step 12 of 20"
    assert "stage 3 of 3" in said[-2]


@pytest.mark.parametrize("make", [Curve, Stream])
@pytest.mark.parametrize("call", range(2, 22, 3))
def test_a_stopped_training_goes_on_to_the_last_bit(
    make: type[Curve], call: int, tmp_path: Path
) -> None:
    _, whole = tower(make(), GRADUAL)
    context = {"checkpoints": Checkpoints(tmp_path / "state", every_steps=1)}
    with pytest.raises(KeyboardInterrupt):
        tower(make(on_loss=at(call, interrupt)), GRADUAL, **context)
    _, gone_on = tower(make(), GRADUAL, **context)
    assert same(whole, gone_on)


def test_what_is_carried_begins_anew_after_the_look_at_memory() -> None:
    task = Stream()
    tower(task, [Stage(1, 0.1)])
    assert task.losses > 1
    assert task.begun_with[:2] == [0.0, 0.0]
    assert all(task.begun_with[2:])


def test_what_is_carried_is_taken_back_where_memory_runs_out() -> None:
    task = Stream(most_rows=2)
    tower(task, [Stage(1, 0.1)])
    # The look at memory, the whole batch that fails, its two halves, and on.
    assert task.begun_with[:3] == [0.0, 0.0, 0.0]
    assert task.begun_with[3] != 0.0


def test_a_stage_of_all_groups_is_plain_training() -> None:
    plain = Settings(evaluate_every=3)
    _, one = tower(Curve(), [Stage(2, 0.1)], plain)
    _, other = tower(Curve(), [Stage(2, 0.1, 9)], plain)
    for name in one:
        torch.testing.assert_close(one[name], other[name])


def test_every_group_has_its_rate_and_its_gradients_at_every_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One-cycle anew in each stage, and 2.6 from group to group."""
    steps: list[tuple[list[float], float, set[str]]] = []
    make_step = Optimizer.step

    def step(self: Optimizer, largest_gradient: float) -> Any:
        parts = self.adamw.param_groups
        rates = [part["lr"] for part in parts[::2]]
        assert rates == [part["lr"] for part in parts[1::2]]
        with_gradients = {
            name.rpartition(".")[0] for name, of in self._weights.items() if of.grad is not None
        }
        steps.append((rates, parts[0]["betas"][0], with_gradients))
        return make_step(self, largest_gradient)

    monkeypatch.setattr(Optimizer, "step", step)
    tower(Curve(), GRADUAL, replace(LAYERS, warmup_share=None))
    cycle = schedule("one-cycle")
    learning = [{"head"}, {"head", "layers.1"}, {"head", "layers.1", "layers.0", "below"}]
    expected = [
        (number, stage.learning_rate, cycle(done, 5 * stage.epochs))
        for number, stage in enumerate(GRADUAL)
        for done in range(5 * stage.epochs)
    ]
    assert len(steps) == len(expected) == 20
    for (rates, momentum, parts), (number, highest, pace) in zip(steps, expected, strict=True):
        top = highest * pace.share
        assert rates == pytest.approx([top / 2.6**3, top / 2.6**2, top / 2.6, top])
        assert momentum == pytest.approx(pace.momentum)
        assert parts == learning[number]
