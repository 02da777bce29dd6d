"""Standardising what a head reads: by training texts, once, and for good."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from finetext.encoders.heads import Standardized, standardize


@pytest.fixture
def values() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 5 + 0.1 * torch.randn(40, 3, generator=generator)


def test_it_changes_nothing_before_it_is_measured(values: torch.Tensor) -> None:
    assert torch.equal(Standardized(3)(values), values)


@pytest.mark.parametrize("parts", [[40], [1, 30, 9]])
def test_what_was_measured_is_standardised(values: torch.Tensor, parts: list[int]) -> None:
    model = nn.Sequential(nn.Identity(), Standardized(3))
    standardize(model, lambda: [model(part) for part in values.split(parts)])
    found = model(values)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std(dim=0), torch.ones(3), atol=1e-4, rtol=0)
    assert torch.equal(model(values[7:8]), found[7:8])
    before = model[1].mean.clone()
    model(values + 1)  # the hook is gone
    assert torch.equal(model[1].mean, before)


def test_a_value_that_is_the_same_in_all_texts_is_not_blown_up(values: torch.Tensor) -> None:
    values[:, 1] = 0.3
    layer = Standardized(3)
    layer.measure(values)
    assert layer.deviation[1] == 1
    assert layer(values)[:, 1].abs().max() < 1e-6


def test_what_hardly_differs_is_not_blown_up(values: torch.Tensor) -> None:
    values[:, 1] = 0.3
    values[0, 1] = 0.301
    layer = Standardized(3)
    layer.measure(values)
    assert layer(torch.full((1, 3), 0.6))[0, 1].abs() < 1


def test_a_layer_that_was_measured_stays(values: torch.Tensor) -> None:
    model = nn.Sequential(Standardized(3))
    standardize(model, lambda: model(values))
    before = model[0].mean.clone()
    standardize(model, lambda: pytest.fail("measured again"))
    assert torch.equal(model[0].mean, before)


def test_one_text_says_nothing_of_deviations(values: torch.Tensor) -> None:
    model = nn.Sequential(Standardized(3))
    standardize(model, lambda: model(values[:1]))
    assert torch.equal(model(values), values)


def test_models_without_such_a_layer_are_not_read() -> None:
    standardize(nn.Linear(2, 2), lambda: pytest.fail("read for nothing"))


def test_the_number_format_stays(values: torch.Tensor) -> None:
    layer = Standardized(3)
    layer.measure(values.to(torch.bfloat16))
    assert layer(values.to(torch.bfloat16)).dtype == torch.bfloat16
    assert layer(values).dtype == torch.float32
    assert layer.mean.dtype == torch.float32
