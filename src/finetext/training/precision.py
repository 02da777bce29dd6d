"""Where and in which number format the arithmetic is done."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, Literal, cast, get_args

from finetext.core.errors import RecipeError
from finetext.core.settings import Precision

LEVELS: Final = 256


@contextmanager
def with_cheap_dropout(model: Any) -> Iterator[None]:
    """While the body runs, every `torch.nn.Dropout` of a model on the processor is a cheap one.

    Dropout that a model computes by `torch.nn.functional.dropout`, as inside attention, stays.

    Args:
        model: a `torch.nn.Module`; afterwards it has its own modules again.
    """
    import torch

    replaced = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if name and type(module) is torch.nn.Dropout and 0 < dropped_levels(module.p) < LEVELS
    }
    if next(model.parameters()).device.type != "cpu":
        replaced = {}
    for name, module in replaced.items():
        model.set_submodule(name, cheap_dropout(module.p).train(module.training))
    try:
        yield
    finally:
        for name, module in replaced.items():
            module.train(model.get_submodule(name).training)
            model.set_submodule(name, module)


def dropped_levels(p: float) -> int:
    """How many of the 256 values of a byte drop, for a share of `p`."""
    return round(p * LEVELS)


def cheap_dropout(p: float) -> Any:
    """A module like `torch.nn.Dropout(p)`, for the processor.

    The share dropped is `p` rounded to a 256th, and what is kept is scaled by just that share, so
    the mean is preserved to the precision of the number format. Which values are dropped follows
    from `torch.manual_seed`.

    Args:
        p: share dropped, from 1/512 to 511/512.
    """
    return _module_class()(p)


@cache
def _module_class() -> Any:
    """The class of the modules; made when torch is there to derive it from."""
    import torch

    class CheapDropout(torch.nn.Module):
        def __init__(self, p: float) -> None:
            super().__init__()
            self.p = p

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values * _kept(values, dropped_levels(self.p)) if self.training else values

    return CheapDropout


def _kept(values: Any, dropped: int) -> Any:
    """What to multiply values with, of their shape: 0 or the inverse of the share kept."""
    import torch

    count = values.numel()
    words = torch.empty(count // 8 + 1, dtype=torch.int64).random_(-(2**63), None)
    level = words.view(torch.uint8)[:count].view(values.shape)
    return (level >= dropped).to(values.dtype).mul_(LEVELS / (LEVELS - dropped))


def choose_device(name: str) -> Any:
    """The `torch.device` for a name; "auto" takes CUDA, then MPS, then the processor.

    Raises:
        RecipeError: the name is not a device, or the device is not there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RecipeError(
            f"{name!r} is not a device; use auto, cpu, cuda, cuda:NUMBER or mps"
        ) from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise RecipeError(f"the device {name!r} is not on this machine; use auto or cpu")
    return device


def check_precision(name: str) -> Precision:
    """The precision of a name.

    Raises:
        RecipeError: there is none of that name.
    """
    if name not in get_args(Precision):
        raise RecipeError(f"{name!r} is not a precision; use {', '.join(get_args(Precision))}")
    return cast(Precision, name)


def choose_precision(precision: Precision, device: Any) -> Literal["fp32", "bf16"]:
    """The number format of matrix products in training.

    Args:
        precision: what was asked for; "auto" takes bf16 where the hardware multiplies it fast
            (CUDA from Ampere on, processors with AMX or AVX512-BF16), fp32 elsewhere.
        device: a `torch.device`.
    """
    import torch

    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu" and _processor_has_bf16():
        return "bf16"
    return "fp32"


def cast_weights(model: Any, precision: Literal["fp32", "bf16"]) -> None:
    """Put the weights of a model into a number format.

    Buffers stay as they are: tables of positions lose too much in bf16.
    """
    import torch

    wanted = torch.bfloat16 if precision == "bf16" else torch.float32
    for weight in model.parameters():
        if weight.dtype != wanted and weight.is_floating_point():
            weight.data = weight.data.to(wanted)


def reading_copy(model: Any, precision: Precision) -> Any:
    """The model as it predicts: itself in fp32, a copy in bf16 where that is faster.

    Args:
        model: a transformers model in fp32, on its device.
        precision: what was asked for; see `choose_precision`.
    """
    if choose_precision(precision, model.device) == "fp32":
        return model
    copied = copy.deepcopy(model)
    cast_weights(copied, "bf16")
    return copied


def _processor_has_bf16() -> bool:
    import torch

    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
