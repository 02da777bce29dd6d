"""Batches hold every row once, and texts of like length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.training.batches import (
    BATCHES_SORTED_TOGETHER,
    prediction_batches,
    resampled,
    training_batches,
)

lengths = st.lists(st.integers(1, 500), max_size=300).map(lambda found: np.array(found, dtype=int))


def padded(found: np.ndarray, batches: Sequence[np.ndarray]) -> int:
    return sum(len(rows) * int(found[rows].max()) for rows in batches)


def as_lists(batches: Iterable[np.ndarray]) -> list[list[int]]:
    return [rows.tolist() for rows in batches]


@given(lengths, st.integers(1, 40), st.integers(0, 3), st.integers(0, 3))
def test_every_row_is_in_one_training_batch(
    found: np.ndarray, size: int, seed: int, epoch: int
) -> None:
    batches = training_batches(found, size, seed, epoch)
    assert sorted(row for rows in batches for row in rows) == list(range(len(found)))
    assert as_lists(batches) == as_lists(training_batches(found, size, seed, epoch))


@given(lengths, st.integers(1, 40))
def test_no_training_batch_is_larger_than_asked(found: np.ndarray, size: int) -> None:
    batches = training_batches(found, size, seed=0, epoch=0)
    assert all(1 <= len(rows) <= size for rows in batches)


@given(lengths, st.integers(1, 40))
def test_batches_that_were_sorted_together_do_not_overlap_in_length(
    found: np.ndarray, size: int
) -> None:
    batches = training_batches(found[: size * BATCHES_SORTED_TOGETHER], size, seed=0, epoch=0)
    ranges = sorted((found[rows].min(), found[rows].max()) for rows in batches)
    assert all(one[1] <= two[0] for one, two in pairwise(ranges))


def test_sorting_saves_most_of_the_padding() -> None:
    found = np.random.default_rng(0).geometric(0.02, size=5_000)
    order = np.random.default_rng(1).permutation(5_000).reshape(-1, 25)
    sorted_ = padded(found, training_batches(found, 25, seed=0, epoch=0))
    assert sorted_ < 1.1 * found.sum()
    assert padded(found, list(order)) > 2 * found.sum()


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    found = np.arange(1, 1001)
    orders = [training_batches(found, 8, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({str(as_lists(order)) for order in orders}) == 4
    means = [found[rows].mean() for rows in orders[0]]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)


@given(lengths, st.integers(1, 2_000))
def test_every_row_is_in_one_prediction_batch_of_bounded_size(found: np.ndarray, most: int) -> None:
    batches = [rows.tolist() for rows in prediction_batches(found, most)]
    assert sorted(row for rows in batches for row in rows) == list(range(len(found)))
    assert all(len(rows) == 1 or len(rows) * found[rows].max() <= most for rows in batches)
    assert [found[rows].max() for rows in batches] == sorted(
        (found[rows].max() for rows in batches), reverse=True
    )


classes = st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array)


@given(classes, st.integers(0, 3))
def test_oversampling_repeats_rows_until_the_classes_are_equal(
    targets: np.ndarray, seed: int
) -> None:
    rows = resampled(targets, "over", seed)
    assert set(rows) == set(range(len(targets)))
    counts = np.bincount(targets[rows], minlength=5)
    assert set(counts[np.unique(targets)]) == {np.bincount(targets).max()}
    np.testing.assert_array_equal(rows, resampled(targets, "over", seed))


@given(classes, st.integers(0, 3))
def test_undersampling_leaves_rows_out_until_the_classes_are_equal(
    targets: np.ndarray, seed: int
) -> None:
    rows = resampled(targets, "under", seed)
    assert len(set(rows)) == len(rows)
    present, sizes = np.unique(targets, return_counts=True)
    counts = np.bincount(targets[rows], minlength=5)
    assert set(counts[present]) == {sizes.min()}


def test_no_rows_make_no_batches() -> None:
    assert training_batches(np.zeros(0, dtype=int), 8, 0, 0) == []
    assert list(prediction_batches(np.zeros(0, dtype=int), 100)) == []


@pytest.mark.parametrize("how", ["over", "under"])
def test_the_seed_chooses_the_rows(how: str) -> None:
    targets = np.repeat([0, 1], [10, 60])
    chosen = {tuple(sorted(resampled(targets, how, seed))) for seed in range(4)}
    assert len(chosen) == 4
