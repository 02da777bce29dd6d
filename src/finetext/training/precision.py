"""Where and in which number format the arithmetic is done."""

from __future__ import annotations

from typing import Any, Literal

from finetext.errors import RecipeError

Precision = Literal["auto", "fp32", "bf16"]


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


def _processor_has_bf16() -> bool:
    import torch

    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
