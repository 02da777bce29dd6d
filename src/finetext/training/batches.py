"""How much memory a step needs, and how much there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers

BATCHES_SORTED_TOGETHER = 50


def training_batches(lengths: Integers, batch_size: int, seed: int, epoch: int) -> list[Integers]:
    """All rows once, in random batches of texts of like length.

    The rows are shuffled, sorted by length inside mega-batches of fifty batches, cut into
    batches, and the batches are shuffled. Batches of about as many tokens, with more rows where
    they are short, were no faster and learnt worse: see `benchmarks/LOG.md`.

    Args:
        lengths: (n,) tokens of each row.
        batch_size: rows a batch; the last one of a mega-batch may be smaller.
        seed: seed of the order.
        epoch: number of the epoch; every epoch has another order.
    """
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
    """Padded tokens of a batch of prediction: what fits the caches, or keeps a GPU busy."""
    return 65_536 if device.type == "cuda" else 1_024


def prediction_batches(lengths: Integers, most_positions: int) -> Iterator[Integers]:
    """All rows once, longest first, in batches of at most `most_positions` padded tokens.

    Args:
        lengths: (n,) tokens of each row.
        most_positions: rows times longest row of a batch; a row that is longer goes alone.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, most_positions // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def resampled(targets: Integers, how: str, seed: int) -> Integers:
    """Row numbers after over- or undersampling to equally large classes.

    Args:
        targets: (n,) class of each row.
        how: "over" repeats rows of the smaller classes up to the size of the largest, "under"
            leaves rows of the larger ones out down to the size of the smallest.
        seed: seed of the choice.

    Returns:
        row numbers; with "over" every row is there at least once.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(targets == c) for c in np.unique(targets)]
    sizes = [len(rows) for rows in members]
    if how == "under":
        return np.concatenate([generator.permutation(rows)[: min(sizes)] for rows in members])
    extra = [generator.choice(rows, max(sizes) - len(rows)) for rows in members]
    return np.concatenate(members + extra)


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
