"""Which step belongs to which stage, and at which rates each layer group learns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys import Curve, Settings, at, events_of, interrupt, same

from finetext.core.contracts import Checkpoints, FitContext
from finetext.core.errors import RecipeError
from finetext.training.loop import train_model
from finetext.training.optimizer import Optimizer
from finetext.training.plan import (
    Pace,
    Plan,
    ScheduleName,
    Stage,
    exponential,
    learning_rate_for,
    schedule,
)


def plan(stages: Sequence[Stage], **settings: float) -> Plan:
    """A plan of three steps an epoch at a pace that counts the steps."""
    epochs = sum(stage.epochs for stage in stages)
    batches = [[np.arange(2)] * 3 for _ in range(epochs)]
    made = replace(Settings(), **settings)  # type: ignore[arg-type]
    return Plan("toy", batches, stages, lambda done, steps: Pace(done / steps), made)


STAGES = [Stage(1, 0.4, 1), Stage(2, 0.2, 2), Stage(1, 0.1)]


def test_each_stage_has_its_own_cycle() -> None:
    found = plan(STAGES)
    assert [found.stage_of(step) for step in range(12)] == [0] * 3 + [1] * 6 + [2] * 3
    assert [found.pace(step).share for step in (0, 2, 3, 8, 9, 11)] == pytest.approx(
        [0, 2 / 3, 0, 5 / 6, 0, 2 / 3]
    )
    assert [step for step in range(12) if found.is_first_of_stage(step)] == [0, 3, 9]
    assert found.stage_of(12) == 2


def test_two_rates_of_a_stage_are_those_of_the_bottom_and_the_top() -> None:
    rates = Stage(1, (1e-2 / 2.6**4, 1e-2), groups=2).peaks(5)
    assert rates == pytest.approx([1e-2 / 2.6**n for n in (4, 3, 2, 1, 0)])
    assert Stage(1, (0.1, 0.2)).peaks(1) == pytest.approx([0.2])


def test_more_rates_are_those_of_the_groups_that_learn() -> None:
    stage = Stage(1, (0.1, 0.3, 0.2), groups=3)
    assert stage.peaks(5) == [0.0, 0.0, 0.1, 0.3, 0.2]
    stage.check(5)
    for rates, groups, total in (((0.1, 0.2, 0.3), None, 5), ((0.1,), 2, 4), ((0.1,) * 4, 9, 3)):
        with pytest.raises(RecipeError, match="learning rate"):
            Stage(1, rates, groups).check(total)
    assert not plan([stage]).is_flat


def test_each_stage_can_have_its_own_schedule() -> None:
    stages = [
        Stage(1, 0.1), Stage(1, 0.1, schedule="one-cycle"),
        Stage(1, 0.1, schedule="one-cycle", warmup_share=0.5), Stage(1, 0.1, warmup_share=1.0),
    ]  # fmt: skip
    shape = schedule("linear", 0.0)
    made = replace(plan(stages, warmup_share=0.0), schedule=shape)
    own = [shape, schedule("one-cycle"), schedule("one-cycle", 0.5), schedule("linear", 1.0)]
    expected = [of(done, 3) for of in own for done in range(3)]
    assert [made.pace(step) for step in range(12)] == expected
    assert "one-cycle" in str(made.identity())
    assert "schedule of each stage" not in plan(STAGES).identity()


def test_each_layer_group_learns_more_slowly_than_the_one_above() -> None:
    found = replace(plan([Stage(1, 0.9)], discriminative=3.0), schedule=lambda done, steps: Pace(1))
    assert found.rates(0, 3) == pytest.approx([0.1, 0.3, 0.9])


def test_a_factor_means_the_same_as_its_inverse() -> None:
    one, other = plan(STAGES, discriminative=2.6), plan(STAGES, discriminative=1 / 2.6)
    for step in range(12):
        assert one.rates(step, 4) == pytest.approx(other.rates(step, 4))


def test_the_head_learns_faster_by_a_factor_of_its_own() -> None:
    found = plan([Stage(1, 0.1)], discriminative=0.5, head_rate=4.0)
    shape = replace(found, schedule=lambda done, steps: Pace(1.0))
    assert shape.rates(0, 3) == pytest.approx([0.025, 0.05, 0.4])
    assert not plan([Stage(1, 0.1)], head_rate=4.0).is_flat
    assert plan([Stage(1, 0.1)], head_rate=1.0).is_flat


def test_a_share_of_a_plan_ends_in_the_middle_of_its_schedule() -> None:
    whole = plan(STAGES)
    part = replace(whole, share=0.6)
    assert len(part.steps) == 7
    assert part.steps_of_epochs == [3, 3, 1]
    assert part.total_rows == 14
    assert [part.pace(step) for step in range(7)] == [whole.pace(step) for step in range(7)]
    assert [part.rates(step, 3) for step in range(7)] == [whole.rates(n, 3) for n in range(7)]
    assert replace(whole, share=0.01).steps_of_epochs == [1]


def test_checkpoints_of_versions_without_a_rate_of_the_head_are_of_the_same_training() -> None:
    assert "head_rate" not in plan(STAGES, head_rate=1.0).identity()
    assert plan(STAGES, head_rate=2.0).identity()["head_rate"] == 2.0


def test_there_is_one_group_unless_rates_or_stages_differ() -> None:
    assert plan([Stage(2, 0.1)]).is_flat
    assert not plan([Stage(2, 0.1)], discriminative=2.6).is_flat
    assert not plan(STAGES).is_flat
    assert plan(STAGES).total_rows == 4 * 3 * 2


def test_the_shape_of_the_default_is_linear() -> None:
    shape = schedule("linear", 0.0)
    made = replace(plan([Stage(1, 0.3)]), schedule=shape)
    assert [made.rates(step, 1)[0] for step in range(3)] == pytest.approx([0.3, 0.2, 0.1])


NAMES: list[ScheduleName] = ["linear", "one-cycle", "slanted-triangular"]


def paces(name: ScheduleName, steps: int, share: float | None = None) -> list[Pace]:
    return [schedule(name, share)(done, steps) for done in range(steps)]


def test_linear_rises_to_the_highest_and_falls_towards_zero() -> None:
    shares = [pace.share for pace in paces("linear", 10, 0.2)]
    assert shares == pytest.approx([0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    assert {pace.momentum for pace in paces("linear", 10, 0.2)} == {0.9}


def test_no_warm_up_starts_at_the_highest_rate() -> None:
    assert [pace.share for pace in paces("linear", 4, 0.0)] == pytest.approx([1, 0.75, 0.5, 0.25])


def test_one_cycle_follows_cosines() -> None:
    found = paces("one-cycle", 100)
    assert found[0] == pytest.approx((0.04, 0.95))
    assert found[25] == pytest.approx((1.0, 0.85))
    half_up = (1 + 0.04) / 2
    assert schedule("one-cycle", 0.5)(25, 100).share == pytest.approx(half_up)
    assert found[-1].share < 1e-3
    assert found[-1].momentum == pytest.approx(0.95, abs=1e-3)


def test_slanted_triangular_is_that_of_the_paper() -> None:
    found = paces("slanted-triangular", 200)
    cut, ratio = 20, 32
    for step, pace in enumerate(found):
        # Howard and Ruder 2018, equation 3, with cut_frac 0.1 and 1 / cut_frac - 1 = 9.
        height = step / cut if step < cut else 1 - (step - cut) / (cut * 9)
        assert pace.share == pytest.approx((1 + height * (ratio - 1)) / ratio)
    assert found[cut].momentum == pytest.approx(0.85)


@given(st.sampled_from(NAMES), st.integers(1, 300), st.none() | st.floats(0, 1))
def test_the_rate_rises_once_and_falls_once_and_the_momentum_goes_against_it(
    name: ScheduleName, steps: int, share: float | None
) -> None:
    found = paces(name, steps, share)
    assert all(0 <= pace.share <= 1 and 0.85 <= pace.momentum <= 0.95 for pace in found)
    assert all(math.isfinite(pace.share) for pace in found)
    turns = [later.share - earlier.share for earlier, later in pairwise(found)]
    top = max(range(steps), key=lambda step: found[step].share)
    assert all(turn >= -1e-12 for turn in turns[:top])
    assert all(turn <= 1e-12 for turn in turns[top:])
    if name != "linear":
        against = [later.momentum - earlier.momentum for earlier, later in pairwise(found)]
        assert all(one * other <= 1e-12 for one, other in zip(turns, against, strict=True))


def test_a_range_test_multiplies_the_rate_by_the_same_each_time() -> None:
    shares = [exponential(1e-4)(done, 5).share for done in range(5)]
    assert shares == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])


def test_wider_encoders_learn_in_smaller_steps() -> None:
    assert learning_rate_for(1e-4, 384) == pytest.approx(1e-4)
    assert learning_rate_for(1e-4, 768) == pytest.approx(5e-5)
    assert learning_rate_for(1e-4, 8) == 1e-3


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
    task: Curve, stages: Sequence[Stage], settings: Settings = LAYERS, **context: Any
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
def test_only_the_top_groups_learn(groups: int | None, parts: set[str]) -> None:
    assert moved(*tower(Curve(), [Stage(1, 0.1, groups)])) == parts


def test_each_stage_is_announced() -> None:
    said: list[str] = []
    tower(Curve(), GRADUAL, say=said.append)
    assert events_of(said) == [
        "toy: stage 1 of 3: 1 of 4 layer groups learn, learning rate 0.1",
        "toy: stage 2 of 3: 2 of 4 layer groups learn, learning rate 0.05",
        "toy: stage 3 of 3: 4 of 4 layer groups learn, learning rate 0.02",
    ]


def test_rates_that_do_not_go_with_the_model_are_refused_before_the_first_step() -> None:
    task = Curve()
    with pytest.raises(RecipeError, match="3 learning rates for 4 layer groups that learn, of 4"):
        tower(task, [Stage(1, 0.1), Stage(1, (0.1, 0.2, 0.3))])
    assert not task.losses


def test_patience_ends_the_last_stage_only() -> None:
    said: list[str] = []
    task = Curve()
    worse = iter(range(100))

    def evaluate(model: Any) -> Any:
        from finetext.training.task import Evaluation

        return Evaluation(-float(next(worse)), {})

    task.evaluate = evaluate  # type: ignore[method-assign]
    tower(task, GRADUAL, Settings(evaluate_every=1, patience=2), say=said.append)
    assert events_of(said)[-1] == "toy: stopped early at step 12 of 20"
    assert "stage 3 of 3" in events_of(said)[-2]


@pytest.mark.parametrize("make", [Curve, Stream])
@pytest.mark.parametrize("call", range(2, 22, 3))
def test_a_stopped_training_in_stages_resumes_bit_identically(
    make: type[Curve], call: int, tmp_path: Path
) -> None:
    _, whole = tower(make(), GRADUAL)
    context = {"checkpoints": Checkpoints(tmp_path / "state", every_steps=1)}
    with pytest.raises(KeyboardInterrupt):
        tower(make(on_loss=at(call, interrupt)), GRADUAL, **context)
    _, resumed = tower(make(), GRADUAL, **context)
    assert same(whole, resumed)


def test_carried_tensors_are_reset_after_the_memory_estimate() -> None:
    task = Stream()
    tower(task, [Stage(1, 0.1)])
    assert task.losses > 1
    assert task.begun_with[:2] == [0.0, 0.0]
    assert all(task.begun_with[2:])


def test_carried_tensors_are_restored_when_memory_runs_out() -> None:
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
