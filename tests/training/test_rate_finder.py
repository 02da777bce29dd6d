"""The range test: it suggests a rate at which the loss falls, and changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toys import Curve, Settings

from finetext.core.contracts import FitContext
from finetext.core.errors import ModelError
from finetext.training import optimizer
from finetext.training.rate_finder import RateCurve, _steepest, _valley, find_learning_rate


def range_test(
    task: Curve, settings: Settings | None = None, **how: float
) -> tuple[RateCurve, nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        before = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        before.load_state_dict(model.state_dict())
        context = FitContext(device="cpu")
        found = find_learning_rate(model, task, settings or Settings(), context, **how)  # type: ignore[arg-type]
    return found, model, before


def test_the_rates_grow_by_the_same_factor_to_the_highest() -> None:
    curve, _, _ = range_test(Curve(), lowest=1e-5, highest=1e-3, steps=21)
    assert len(curve.rates) == len(curve.losses) == 21
    assert curve.rates[0] == pytest.approx(1e-5)
    assert curve.rates[-1] == pytest.approx(1e-3)
    factors = [later / rate for rate, later in zip(curve.rates, curve.rates[1:], strict=False)]
    assert factors == pytest.approx([100 ** (1 / 20)] * 20)


def test_the_model_is_as_before() -> None:
    _, model, before = range_test(Curve(), lowest=1e-4, highest=1.0, steps=40)
    for one, other in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.requires_grad


def test_in_fp16_skipped_steps_do_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, _, _ = range_test(Curve(), lowest=1e-5, highest=1e-3, steps=41)
    monkeypatch.setattr(optimizer, "FIRST_SCALE", 2.0**25)
    found, model, before = range_test(
        Curve(), Settings(precision="fp16"), lowest=1e-5, highest=1e-3, steps=41
    )
    assert found.rates == exact.rates
    assert found.losses == pytest.approx(exact.losses, rel=0.02)
    for one, other in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_ends_at_four_times_the_lowest_loss() -> None:
    curve, _, _ = range_test(Curve(), lowest=1e-3, highest=1e6, steps=100)
    assert len(curve.rates) < 100
    assert curve.losses[-1] > 4 * min(curve.losses)
    assert all(loss <= 4 * min(curve.losses) for loss in curve.losses[:-1])


def test_the_suggestion_lies_where_the_loss_falls() -> None:
    rates = [10.0 ** (power / 4 - 5) for power in range(21)]
    falls = [1.0] * 8 + [0.95, 0.85, 0.7, 0.5, 0.3, 0.25, 0.24] + [0.3, 0.5, 1, 2, 3, 4]
    assert rates[8] <= _valley(rates, falls) <= rates[13]
    assert _steepest(rates, falls) in rates[9:13]


def test_one_jump_of_the_loss_does_not_decide() -> None:
    rates = [10.0 ** (power / 20 - 5) for power in range(80)]
    falls = [2 - 1 / (1 + 2.718 ** (-(power - 40) / 4)) for power in range(80)]
    assert 36 <= rates.index(_steepest(rates, falls)) <= 44
    falls[10] += 0.1
    falls[70:] = [5, 4, 6, 5, 7, 6, 8, 7, 9, 8]
    assert 36 <= rates.index(_steepest(rates, falls)) <= 44


def test_the_same_seed_gives_the_same_curve() -> None:
    assert range_test(Curve(), steps=30)[0] == range_test(Curve(), steps=30)[0]


def test_a_nan_loss_at_the_start_is_an_error() -> None:
    class Bad(Curve):
        def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return super().loss(model, batch) * float("nan")

    with pytest.raises(
        ModelError, match=r"not a number at a learning rate of 1e-07, after 0 steps"
    ):
        range_test(Bad())
