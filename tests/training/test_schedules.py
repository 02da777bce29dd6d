"""The learning rate and the momentum over the steps of a stage."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.training.plan import Pace, ScheduleName, exponential, learning_rate_for, schedule

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


@given(
    name=st.sampled_from(NAMES),
    steps=st.integers(1, 300),
    share=st.none() | st.floats(0, 1),
)
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
