"""Which rows go together: batches of texts of like length waste little on padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from finetext.types import Integers

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
