"""The states of the random generators that training uses: the processor's and the device's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def random_states(device: Any) -> dict[str, Any]:
    """The states for a `torch.device`, as tensors by name."""
    import torch

    states = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random/cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["random/mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Any], device: Any) -> None:
    """Go on from what `random_states` gave; those of another kind of device are left alone."""
    import torch

    torch.set_rng_state(states["random/cpu"])
    if device.type == "cuda" and "random/cuda" in states:
        torch.cuda.set_rng_state(states["random/cuda"], device)
    elif device.type == "mps" and "random/mps" in states:
        torch.mps.set_rng_state(states["random/mps"])


@contextmanager
def same_random_states(device: Any) -> Iterator[None]:
    """Leave the random generators as they were before the body."""
    before = random_states(device)
    try:
        yield
    finally:
        set_random_states(before, device)
