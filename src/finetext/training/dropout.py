"""Dropout with cheaper random numbers, for training on the processor.

Most of the time of dropout goes into drawing a random number for each value. A random byte is
enough to decide whether a value is dropped, and a 64-bit integer is eight of them: forward and
backward take a third of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

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
