"""Devices and number formats."""

from __future__ import annotations

import pytest
import torch

from finetext.core.errors import RecipeError
from finetext.training import precision
from finetext.training.precision import choose_device, choose_precision


def test_auto_takes_the_best_device_there_is() -> None:
    best = "cpu"
    if torch.cuda.is_available():
        best = "cuda"
    elif torch.backends.mps.is_available():
        best = "mps"
    assert choose_device("auto").type == best
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:first", "cpu cuda"])
def test_a_name_that_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="use auto, cpu"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda:97", "xpu", "meta"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="not on this machine"):
        choose_device(name)


def test_what_was_asked_for_is_taken() -> None:
    assert choose_precision("fp32", torch.device("cpu")) == "fp32"
    assert choose_precision("bf16", torch.device("cpu")) == "bf16"


@pytest.mark.parametrize(("fast", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_takes_bf16_where_it_is_fast(
    monkeypatch: pytest.MonkeyPatch, fast: bool, expected: str
) -> None:
    monkeypatch.setattr(precision, "_processor_has_bf16", lambda: fast)
    assert choose_precision("auto", torch.device("cpu")) == expected
    assert choose_precision("auto", torch.device("mps")) == "fp32"
