"""Where memory runs out a batch is gone through in parts, and the result stays the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys import Curve, fitted

from finetext.training import batches as memory
from finetext.training import state
from finetext.training.batches import activation_bytes, free_bytes, in_parts, is_out_of_memory
from finetext.training.state import parts_that_fit

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
    assert said[-1] == f"toy: memory ran out: batches are processed in {parts} parts"
    assert len(said) == parts.bit_length() - 1


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
def test_what_says_that_memory_is_used_up(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))


def test_work_is_done_in_halves_in_the_same_order() -> None:
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


def test_a_container_may_allow_less_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_LIMITS", (tmp_path / "none", limit))
    limit.write_text("max\n")
    assert free_bytes(cpu) > 1_000
    limit.write_text("1000\n")
    assert free_bytes(cpu) == 0


def kept(rows: int, width: int = 8) -> int:
    model = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))
    inputs = torch.ones(rows, 4)
    return activation_bytes(model, lambda: model(inputs).sum())


def test_what_is_kept_grows_with_the_rows_and_does_not_count_weights() -> None:
    assert kept(20) == 10 * kept(2)
    assert kept(1, width=16) == 4 * (4 + 16)


def longest_batch(free: int, monkeypatch: pytest.MonkeyPatch, sizes: list[int]) -> int:
    """Parts for batches of these sizes, if so many bytes are free."""
    monkeypatch.setattr(state, "free_bytes", lambda device: free)
    model = nn.Sequential(nn.Linear(3, 100), nn.Tanh(), nn.Dropout(0.5), nn.Linear(100, 1))
    return parts_that_fit(model, Curve(), [np.arange(size) for size in sizes])


def test_batches_are_cut_so_that_the_longest_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = 501 * state.BYTES_OF_A_TRAINED_WEIGHT
    assert longest_batch(10**9, monkeypatch, [4, 16]) == 1
    parts = [
        longest_batch(int((weights + room) / 0.8), monkeypatch, [4, 16])
        for room in (24_000, 12_000, 6_000, 3_000)
    ]
    assert parts == sorted(parts)
    assert parts[-1] > parts[0]
    assert longest_batch(0, monkeypatch, [4, 16]) == 16


def test_looking_at_the_memory_leaves_the_random_numbers_alone(
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


def test_a_training_begins_in_the_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fitted(Curve())
    monkeypatch.setattr(state, "free_bytes", lambda device: 0)
    task = Curve()
    weights = fitted(task)
    assert max(rows for rows in task.seen if rows < 18) == 1
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)
