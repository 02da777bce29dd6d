"""Dropout that draws one byte for each value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from finetext.training.precision import cheap_dropout, with_cheap_dropout


@pytest.fixture(autouse=True)
def seeded() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_share_is_dropped_and_the_mean_preserved(p: float, dtype: Any) -> None:
    values = torch.ones(1_000, 1_001, dtype=dtype)
    found = cheap_dropout(p)(values)
    assert found.dtype == dtype
    share = round(p * 256) / 256
    kept = found[found != 0].float()
    assert kept.numel() / found.numel() == pytest.approx(1 - share, abs=2e-3)
    assert kept.unique().numel() == 1
    assert float(kept[0]) == pytest.approx(1 / (1 - share), rel=4e-3)
    assert float(found.float().mean()) == pytest.approx(1, abs=1e-2)


def test_every_position_is_dropped_equally_often() -> None:
    dropout = cheap_dropout(0.5)
    kept = sum(dropout(torch.ones(16)) > 0 for _ in range(2_000)) / 2_000
    assert torch.all((kept - 0.5).abs() < 0.06)


def test_the_gradient_is_masked_alike() -> None:
    values = torch.randn(7, 9, requires_grad=True)
    found = cheap_dropout(0.3)(values)
    found.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(found.detach(), values.detach() * values.grad)
    assert 0 < int((values.grad == 0).sum()) < values.numel()


def test_the_seed_decides() -> None:
    values, dropout = torch.ones(500), cheap_dropout(0.5)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(dropout(values))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[2], dropout(values))


def test_in_evaluation_nothing_is_dropped() -> None:
    values = torch.randn(9)
    assert cheap_dropout(0.5).eval()(values) is values


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 0, 3), ()])
def test_any_shape_works(shape: tuple[int, ...]) -> None:
    assert cheap_dropout(0.5)(torch.ones(shape)).shape == shape


def test_the_modules_of_a_model_are_restored() -> None:
    shared = nn.Dropout(0.2)
    model = nn.Sequential(
        nn.Linear(2, 2), nn.Dropout(0.1), nn.Sequential(shared, nn.Dropout(0.0), nn.Dropout(1.0)),
        shared, nn.AlphaDropout(0.1),
    )  # fmt: skip
    before = list(model.named_modules(remove_duplicate=False))
    with with_cheap_dropout(model):
        kinds = [type(module).__name__ for module in model]
        assert kinds == ["Linear", "CheapDropout", "Sequential", "CheapDropout", "AlphaDropout"]
        assert [type(module).__name__ for module in model[2]] == [
            "CheapDropout", "Dropout", "Dropout"
        ]  # fmt: skip
        assert model[1].p == 0.1
        model.eval()
    assert list(model.named_modules(remove_duplicate=False)) == before
    assert not any(module.training for module in model.modules())
    with pytest.raises(ValueError, match="of the body"), with_cheap_dropout(model):
        raise ValueError("an error of the body")
    assert list(model.named_modules(remove_duplicate=False)) == before
