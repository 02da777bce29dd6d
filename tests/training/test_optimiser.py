"""Decay on matrices only, and the learning rate over time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from finetext.training.optimiser import linear_with_warmup, make_optimiser


def test_biases_and_normalisation_do_not_decay_and_frozen_weights_are_left_out() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[3].weight.requires_grad_(False)
    decaying, plain = make_optimiser(model, 1e-3, 0.1).param_groups
    assert (decaying["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert {id(p) for p in decaying["params"]} == {id(model[0].weight), id(model[1].weight)}
    expected = {id(p) for p in (model[1].bias, model[2].weight, model[2].bias, model[3].bias)}
    assert {id(p) for p in plain["params"]} == expected
    assert decaying["lr"] == plain["lr"] == 1e-3


def test_decay_is_decoupled_from_the_gradient() -> None:
    model = nn.Linear(2, 1)
    before = model.weight.detach().clone(), model.bias.detach().clone()
    optimiser = make_optimiser(model, 0.1, 0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.testing.assert_close(model.weight.detach(), before[0] * (1 - 0.1 * 0.5))
    torch.testing.assert_close(model.bias.detach(), before[1])


def rates(steps: int, share: float) -> list[float]:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = linear_with_warmup(optimiser, steps, share)
    found = []
    for _ in range(steps):
        optimiser.step()
        schedule.step()
        found.append(schedule.get_last_lr()[0])
    return found


def test_the_rate_rises_to_the_highest_and_falls_to_zero() -> None:
    assert rates(10, 0.2) == pytest.approx([1.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25, 0.0])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_every_share_of_warm_up_gives_rates_in_range(share: float) -> None:
    assert all(0 <= rate <= 2.0 for rate in rates(7, share))


def test_no_warm_up_starts_at_the_highest_rate() -> None:
    assert rates(4, 0.0) == pytest.approx([1.5, 1.0, 0.5, 0.0])
