"""The search for wrong labels, with how reliable it is: known from errors planted on purpose.

A few labels are changed at random, the same method searches again, and what it finds is compared
with what was changed. The list ends where less than half of what it flags there was changed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Booleans
from finetext.core.contracts import FitContext, Method, encoder_of
from finetext.core.types import Dataset, Predictions
from finetext.data.label_cells import written
from finetext.diagnosis.corrections import with_labels
from finetext.diagnosis.label_errors import (
    Reliability,
    Suspect,
    Suspects,
    out_of_fold,
    suspects_in,
)

PLANTED: Final = 0.05
"""Share of the labels that is changed."""
ENOUGH: Final = 20
"""Changed labels below which the search is repeated with others changed."""
MOST_SEARCHES: Final = 3
LEAST_PRECISION: Final = 0.5
"""Share of changed labels in the list below which it ends."""


def search(
    name: str,
    method: Method,
    dataset: Dataset,
    folds: int,
    context: FitContext,
    test: Collection[str] = (),
) -> Suspects:
    """Return the rows whose labels look wrong, and how reliable that is.

    Args:
        name: of the method.
        method: what predicts the rows. One with an encoder is slow: its reliability is not measured
            on planted errors, which would take as long again.
        dataset: all rows.
        folds: number of folds.
        context: seed, device and progress.
        test: ids of test rows, whose list is made for a check that does not show which rows are
            suspected: as many others are mixed in.
    """
    start = time.perf_counter()
    predictions = out_of_fold(dataset, method, folds, context)
    found = suspects_in(predictions, dataset.texts)
    reliability = _accuracy(predictions)
    shown = len(found)
    if not reliability.better_than_base_rate:
        shown = 0
    elif found and encoder_of(method) is None:
        reliability, share = _planted(reliability, dataset, method, folds, context)
        shown = min(shown, math.ceil(share * len(dataset)))
    listed = found[:shown]
    return Suspects(
        name, folds, len(dataset), listed, time.perf_counter() - start, reliability,
        len(found) - shown, *_blind(listed, found, dataset, set(test), context.seed),
    )  # fmt: skip


def _accuracy(predictions: Predictions) -> Reliability:
    """Return the accuracy out-of-fold beside that of always giving the most frequent label.

    Of several labels, each is one decision.
    """
    targets = predictions.targets
    right = predictions.decisions == targets
    if targets.ndim == 1:
        base = float(np.bincount(targets).max()) / len(targets)
    else:
        shares = targets.mean(axis=0)
        base = float(np.maximum(shares, 1 - shares).mean())
    return Reliability(float(right.mean()), base, len(targets))


def _planted(
    known: Reliability, dataset: Dataset, method: Method, folds: int, context: FitContext
) -> tuple[Reliability, float]:
    """Return what is found of planted errors, and the share of rows that the list should have."""
    each = max(2, round(PLANTED * len(dataset)))
    searches = min(MOST_SEARCHES, -(-ENOUGH // each))
    changed = found = flagged = 0
    hits = []
    for number in range(searches):
        noisy, rows = plant(dataset, each, context.seed + number)
        predictions = out_of_fold(noisy, method, folds, context)
        ids = [one.id for one in suspects_in(predictions, noisy.texts)]
        hit = np.isin(ids, [noisy.ids[row] for row in rows])
        changed, found, flagged = changed + len(rows), found + int(hit.sum()), flagged + len(hit)
        hits.append(hit)
    longest = _longest(hits) / len(dataset)
    return replace(known, changed=changed, found=found, flagged=flagged), longest


def _longest(hits: list[Booleans]) -> int:
    """Return the length up to which half of what is flagged was changed, over all searches."""
    longest = 0
    for length in range(1, max(map(len, hits), default=0) + 1):
        flagged = sum(min(length, len(hit)) for hit in hits)
        if sum(int(hit[:length].sum()) for hit in hits) >= LEAST_PRECISION * flagged:
            longest = length
    return longest


def plant(dataset: Dataset, number: int, seed: int) -> tuple[Dataset, list[int]]:
    """Return the data with so many labels changed to others at random, and the changed rows.

    Of several labels in a row, one is given or taken away.
    """
    assert dataset.scheme is not None
    random = np.random.default_rng([seed, 0x0DD])
    targets, names = dataset.targets, dataset.scheme.names
    rows = np.sort(random.permutation(len(dataset))[:number]).tolist()
    changed: dict[int, Any] = {}
    for row in rows:
        if targets.ndim == 1:
            others = np.setdiff1d(np.unique(targets), targets[row])
            changed[row] = names[int(random.choice(others))]
        else:
            flags = targets[row].copy()
            flags[random.integers(len(names))] ^= 1
            changed[row] = [name for name, has in zip(names, flags, strict=True) if has]
    return with_labels(dataset, changed, dataset.scheme), rows


def _blind(
    listed: tuple[Suspect, ...],
    found: tuple[Suspect, ...],
    dataset: Dataset,
    test: set[str],
    seed: int,
) -> tuple[tuple[str, ...], tuple[Suspect, ...]]:
    """Return the ids of the test rows, and as many others of them as are suspected."""
    assert dataset.scheme is not None
    suspected = [one for one in listed if one.id in test]
    if not suspected:
        return (), ()
    flagged = {one.id for one in found}
    free = [row for row, one in enumerate(dataset.ids) if one in test and one not in flagged]
    chosen = np.random.default_rng([seed, 0xB11D]).permutation(len(free))[: len(suspected)]
    others = []
    for row in sorted(free[place] for place in chosen):
        labels = dataset.labels[row]
        label = written([labels] if isinstance(labels, str) else labels, dataset.scheme)
        others.append(Suspect(dataset.ids[row], dataset.texts[row], label, label, 1.0, 1.0, 1.0))
    return tuple(one.id for one in suspected), tuple(others)
