"""How much memory a step needs, and how much there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from finetext.types import Integers

SHARE_TO_USE: Final = 0.8
_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux says how much memory a container may use, in its two generations."""


def free_bytes(device: Any) -> int:
    """Bytes that can still be used on a `torch.device`, within the limits of a container."""
    import psutil
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    used = int(psutil.Process().memory_info().rss)
    return min([free, *(max(0, limit - used) for limit in map(_number, _LIMITS) if limit)])


def activation_bytes(model: Any, loss: Callable[[], Any]) -> int:
    """Bytes that are kept between the forward and the backward pass, weights not counted.

    Args:
        model: the model that the loss is of.
        loss: computes the loss, a scalar tensor.
    """
    import torch

    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss()
    del value
    return sum(kept.values())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the device, or of the machine, is used up."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def in_parts(work: Callable[[Integers], None], rows: Integers) -> None:
    """Do some work on rows; where memory runs out, on each half of them.

    Raises:
        RuntimeError: there is not even memory for one row.
    """
    try:
        work(rows)
        return
    except (RuntimeError, MemoryError) as error:
        if len(rows) < 2 or not is_out_of_memory(error):
            raise
    give_back()
    half = len(rows) // 2
    in_parts(work, rows[:half])
    in_parts(work, rows[half:])


def give_back() -> None:
    """Hand memory that is only kept for later use back to the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _number(path: Path) -> int | None:
    """The number in a file of the kernel; None if there is no such file or no limit."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
