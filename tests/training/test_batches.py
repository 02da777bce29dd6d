"""Batches hold every row once, and texts of like length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys import Curve, events_of, fitted

from finetext.core import budget
from finetext.training import state
from finetext.training.batches import (
    BATCHES_SORTED_TOGETHER,
    activation_bytes,
    free_bytes,
    in_parts,
    is_out_of_memory,
    prediction_batches,
    resampled,
    training_batches,
)
from finetext.training.state import parts_that_fit

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
def test_training_batches_have_at_most_batch_size_rows(found: np.ndarray, size: int) -> None:
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


def test_each_epoch_and_seed_has_its_own_order() -> None:
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
def test_undersampling_drops_rows_until_the_classes_are_equal(
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


CANNOT = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
ERRORS = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CANNOT), MemoryError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("most", "parts"), [(3, 2), (1, 4)])
def test_smaller_parts_give_the_same_weights(error: Exception, most: int, parts: int) -> None:
    said: list[str] = []
    expected = fitted(Curve())
    weights = fitted(Curve(most_rows=most, out_of_memory=error), say=said.append)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)
    assert events_of(said)[-1] == f"toy: memory ran out: batches are processed in {parts} parts"
    assert len(events_of(said)) == parts.bit_length() - 1


def test_a_row_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        fitted(Curve(on_loss=out_of_memory_from_the_second))


def out_of_memory_from_the_second(count: int) -> None:
    if count > 1:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_another_error_is_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        fitted(Curve(most_rows=3, out_of_memory=RuntimeError("shapes do not match")))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_out_of_memory_errors_are_recognized(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))


def test_work_that_does_not_fit_is_halved_in_order() -> None:
    done: list[list[int]] = []

    def work(rows: np.ndarray[Any, Any]) -> None:
        if len(rows) > 3:
            raise MemoryError
        done.append(rows.tolist())

    in_parts(work, np.arange(9))
    assert done == [[0, 1], [2, 3], [4, 5], [6, 7, 8]]


def test_work_on_one_row_that_does_not_fit_fails() -> None:
    def work(rows: np.ndarray[Any, Any]) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        in_parts(work, np.arange(4))


def test_free_memory_respects_the_container_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(budget, "LIMITS", (tmp_path / "none", limit))
    limit.write_text("max\n")
    assert free_bytes(cpu) > 1_000
    limit.write_text("1000\n")
    assert free_bytes(cpu) == 0


def kept(rows: int, width: int = 8) -> int:
    model = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))
    inputs = torch.ones(rows, 4)
    return activation_bytes(model, lambda: model(inputs).sum())


def test_activation_bytes_grow_with_the_rows_and_exclude_weights() -> None:
    assert kept(20) == 10 * kept(2)
    assert kept(1, width=16) == 4 * (4 + 16)


def longest_batch(free: int, monkeypatch: pytest.MonkeyPatch, sizes: list[int]) -> int:
    """Parts for batches of these sizes, if so many bytes are free."""
    monkeypatch.setattr(state, "free_bytes", lambda device: free)
    model = nn.Sequential(nn.Linear(3, 100), nn.Tanh(), nn.Dropout(0.5), nn.Linear(100, 1))
    return parts_that_fit(model, Curve(), [np.arange(size) for size in sizes])


def test_batches_are_split_so_that_the_longest_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = 501 * state.BYTES_OF_A_TRAINED_WEIGHT
    assert longest_batch(10**9, monkeypatch, [4, 16]) == 1
    parts = [
        longest_batch(int((weights + room) / 0.8), monkeypatch, [4, 16])
        for room in (24_000, 12_000, 6_000, 3_000)
    ]
    assert parts == sorted(parts)
    assert parts[-1] > parts[0]
    assert longest_batch(0, monkeypatch, [4, 16]) == 16


def test_estimating_memory_preserves_the_random_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Random(Curve):
        def loss(self, model: Any, batch: Any) -> Any:
            torch.rand(3)
            return super().loss(model, batch)

    monkeypatch.setattr(state, "free_bytes", lambda device: 10**9)
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), nn.Linear(2, 1)).train()
    before = torch.get_rng_state()
    parts_that_fit(model, Random(), [np.arange(4)])
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_training_starts_with_the_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fitted(Curve())
    monkeypatch.setattr(state, "free_bytes", lambda device: 0)
    task = Curve()
    weights = fitted(task)
    assert max(rows for rows in task.seen if rows < 18) == 1
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)
