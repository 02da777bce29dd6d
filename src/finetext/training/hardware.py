"""What torch computes on here: device, number format, instruction sets and threads."""

from __future__ import annotations

from typing import Any

from finetext.training.precision import choose_device, choose_precision


def hardware() -> dict[str, Any]:
    """Return what torch would compute on, as JSON can hold it.

    The keys are: `device`, the one that "auto" is; `gpus`, with name, bytes of memory and compute
    capability; `cuda`, the version that torch was built with, or None; `mps`; `precision`, what
    "auto" is on the device, and `why`; `instruction_sets` of the CPU; `threads`.
    """
    import torch

    device = choose_device("auto")
    precision = choose_precision("auto", device)
    sets = instruction_sets()
    return {
        "device": str(device),
        "gpus": _gpus(),
        "cuda": torch.version.cuda,
        "mps": torch.backends.mps.is_available(),
        "precision": precision,
        "why": _why(device.type, precision, sets),
        "instruction_sets": sets,
        "threads": torch.get_num_threads(),
    }


def instruction_sets() -> list[str]:
    """Return the instruction sets of the CPU that make matrix products fast, as torch sees them."""
    import torch

    tests = {
        "AVX2": "_is_avx2_supported",
        "AVX-512": "_is_avx512_supported",
        "AVX512-VNNI": "_is_vnni_supported",
        "AVX512-BF16": "_is_avx512_bf16_supported",
        "AMX": "_is_amx_tile_supported",
    }
    has = {name: getattr(torch.cpu, test, None) for name, test in tests.items()}
    found = [name for name, test in has.items() if test is not None and test()]
    best = torch.backends.cpu.get_cpu_capability()
    is_told = best in ("DEFAULT", "NO AVX") or any(best in name.replace("-", "") for name in found)
    return found if is_told else [*found, best]  # of ARM, such as SVE256


def _gpus() -> list[dict[str, Any]]:
    """Return name, memory in bytes and compute capability of each GPU of CUDA or ROCm."""
    import torch

    if not torch.cuda.is_available():
        return []
    about = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [
        {"name": of.name, "memory": of.total_memory, "capability": f"{of.major}.{of.minor}"}
        for of in about
    ]


def _why(device: str, precision: str, sets: list[str]) -> str:
    """Return why "auto" is a number format on a type of device."""
    if device == "cuda":
        return "this GPU has bf16" if precision == "bf16" else "this GPU has no bf16 in hardware"
    if device == "mps":
        return "on Apple GPUs finetext computes in fp32"
    if precision == "bf16":
        return f"this CPU has {'AMX' if 'AMX' in sets else 'AVX512-BF16'}, which is fast at bf16"
    return "this CPU has neither AMX nor AVX512-BF16, so bf16 would be slower"
