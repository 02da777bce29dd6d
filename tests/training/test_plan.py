"""Which step belongs to which stage, and at which rates each layer group learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from toys import Settings

from finetext.training.plan import Pace, Plan, Stage, schedule


def plan(stages: Sequence[Stage], **settings: float) -> Plan:
    """A plan of three steps an epoch at a pace that counts the steps."""
    epochs = sum(stage.epochs for stage in stages)
    batches = [[np.arange(2)] * 3 for _ in range(epochs)]
    made = replace(Settings(), **settings)  # type: ignore[arg-type]
    return Plan("toy", batches, stages, lambda done, steps: Pace(done / steps), made)


STAGES = [Stage(1, 0.4, 1), Stage(2, 0.2, 2), Stage(1, 0.1)]


def test_each_stage_has_a_cycle_of_its_own() -> None:
    found = plan(STAGES)
    assert [found.stage_of(step) for step in range(12)] == [0] * 3 + [1] * 6 + [2] * 3
    assert [found.pace(step).share for step in (0, 2, 3, 8, 9, 11)] == pytest.approx(
        [0, 2 / 3, 0, 5 / 6, 0, 2 / 3]
    )
    assert [step for step in range(12) if found.is_first_of_stage(step)] == [0, 3, 9]
    assert found.stage_of(12) == 2


def test_each_layer_group_learns_more_slowly_than_the_one_above() -> None:
    found = replace(plan([Stage(1, 0.9)], discriminative=3.0), schedule=lambda done, steps: Pace(1))
    assert found.rates(0, 3) == pytest.approx([0.1, 0.3, 0.9])


def test_a_decay_means_the_same_as_its_inverse() -> None:
    one, other = plan(STAGES, discriminative=2.6), plan(STAGES, discriminative=1 / 2.6)
    for step in range(12):
        assert one.rates(step, 4) == pytest.approx(other.rates(step, 4))


def test_all_groups_are_one_unless_something_tells_them_apart() -> None:
    assert plan([Stage(2, 0.1)]).is_flat
    assert not plan([Stage(2, 0.1)], discriminative=2.6).is_flat
    assert not plan(STAGES).is_flat


def test_rows_are_counted_over_all_epochs() -> None:
    assert plan(STAGES).total_rows == 4 * 3 * 2


def test_the_shape_of_the_default_is_linear() -> None:
    shape = schedule("linear", 0.0)
    made = replace(plan([Stage(1, 0.3)]), schedule=shape)
    assert [made.rates(step, 1)[0] for step in range(3)] == pytest.approx([0.3, 0.2, 0.1])
