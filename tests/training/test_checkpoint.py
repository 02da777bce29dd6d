"""The best weights are kept."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from finetext.training.checkpoint import BestWeights


def offered(scores: list[float], patience: int | None = None) -> tuple[BestWeights, nn.Linear]:
    """Offer a model whose weight is the number of the offer."""
    best, model = BestWeights(patience), nn.Linear(1, 1)
    for number, score in enumerate(scores):
        nn.init.constant_(model.weight, number)
        best.offer(score, model)
    return best, model


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.1, 0.9, 0.5], 1),
        ([0.5, 0.5, 0.5], 0),
        ([-2.0, -1.0, -3.0], 1),
        ([float("-inf"), float("-inf")], 0),
        ([float("-inf"), 0.0], 1),
    ],
)
def test_the_earliest_of_the_best_is_kept(scores: list[float], kept: int) -> None:
    best, model = offered(scores)
    best.restore(model)
    assert model.weight.item() == kept


def test_what_is_kept_does_not_change_with_the_model() -> None:
    best, model = offered([1.0])
    with torch.no_grad():
        model.weight.fill_(5)
    best.restore(model)
    assert model.weight.item() == 0


def test_without_an_offer_nothing_is_restored() -> None:
    model = nn.Linear(1, 1)
    before = model.weight.item()
    BestWeights(None).restore(model)
    assert model.weight.item() == before


@pytest.mark.parametrize(
    ("scores", "patience", "stale"),
    [
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.3], 2, True),
        ([0.5] * 50, None, False),
    ],
)
def test_patience(scores: list[float], patience: int | None, stale: bool) -> None:
    assert offered(scores, patience)[0].is_stale is stale
