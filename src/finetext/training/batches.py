"""The rows of batches, and the memory that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.budget import container_limits

BATCHES_SORTED_TOGETHER: Final = 50
SHARE_TO_USE: Final = 0.8


def training_batches(lengths: Integers, batch_size: int, seed: int, epoch: int) -> list[Integers]:
    """Return all rows once, in random batches of texts of similar length."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    together = batch_size * BATCHES_SORTED_TOGETHER
    batches: list[Integers] = []
    for start in range(0, len(order), together):
        rows = order[start : start + together]
        rows = rows[np.argsort(-lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def positions_a_batch(device: Any) -> int:
    """Return the padded tokens of a prediction batch that fit CPU caches, or keep a GPU busy."""
    return 65_536 if device.type == "cuda" else 1_024


def prediction_batches(lengths: Integers, most_positions: int) -> Iterator[Integers]:
    """Yield all rows once, longest first, in batches of at most `most_positions` padded tokens."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, most_positions // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def resampled(targets: Integers, how: str, seed: int) -> Integers:
    """Return row numbers after over- or undersampling to equally large classes."""
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(targets == c) for c in np.unique(targets)]
    sizes = [len(rows) for rows in members]
    if how == "under":
        return np.concatenate([generator.permutation(rows)[: min(sizes)] for rows in members])
    extra = [generator.choice(rows, max(sizes) - len(rows)) for rows in members]
    return np.concatenate(members + extra)


def free_bytes(device: Any) -> int:
    """Return the free memory of a `torch.device`, within the limits of a container."""
    import psutil
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    used = int(psutil.Process().memory_info().rss)
    return min([free, *(max(0, limit - used) for limit in container_limits())])


def activation_bytes(model: Any, loss: Callable[[], Any]) -> int:
    """Return the bytes kept between the forward and the backward pass of a loss, less weights."""
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
    """Return whether an error means that the memory of the device or the machine is used up."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def in_parts(work: Callable[[Integers], None], rows: Integers) -> None:
    """Call `work` on rows; if memory runs out, on each half of them, down to one row."""
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
    """Return cached memory to the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
