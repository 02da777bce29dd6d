"""The best weights are kept, and the state of a training is written when it is time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toys import Line, Settings, trained

from finetext.core.contracts import Checkpoints
from finetext.training import checkpoint
from finetext.training.checkpoint import (
    BestWeights,
    CheckpointFile,
    DamagedCheckpointError,
    Snapshot,
)
from finetext.training.task import Evaluation


def offered(scores: list[float], patience: int | None = None) -> BestWeights:
    """Offer weights whose value is the number of the offer, of ten times that step."""
    best = BestWeights(patience)
    for number, score in enumerate(scores):
        best.offer(score, 10 * number, {"weight": torch.tensor(float(number))})
    return best


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.1, 0.9, 0.5], 1),
        ([0.5, 0.5, 0.5], 0),
        ([-2.0, -1.0, -3.0], 1),
        ([float("-inf"), float("-inf")], 0),
        ([float("-inf"), 0.0], 1),
    ],
)
def test_the_earliest_of_the_best_is_kept(scores: list[float], kept: int) -> None:
    best = offered(scores)
    assert best.weights["weight"].item() == kept
    assert best.step == 10 * kept
    assert best.score == scores[kept]
    assert best.is_good == (max(scores) > float("-inf"))


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.5, 0.9, 0.85, 0.81], 3),
        ([0.5, 0.9, 0.85, 0.7], 2),
        ([0.9, 0.82, 0.95, 0.83], 2),
        ([0.5, 0.5, 0.5], 2),
        ([float("-inf"), float("-inf")], 0),
        ([0.5, float("-inf")], 0),
        ([0.5, float("nan"), 0.45], 2),
    ],
)
def test_the_latest_within_the_error_of_the_best_is_kept(scores: list[float], kept: int) -> None:
    best = BestWeights(2)
    for number, score in enumerate(scores):
        best.offer(score, number, {"weight": torch.tensor(float(number))}, 0.1)
    assert (best.step, best.weights["weight"].item()) == (kept, kept)
    assert best.score == max(scores)


def test_patience_counts_from_the_best_itself() -> None:
    best = BestWeights(2)
    for number, score in enumerate([0.9, 0.88, 0.89]):
        best.offer(score, number, {"weight": torch.zeros(1)}, 0.1)
    assert best.is_stale
    assert best.step == 2


@pytest.mark.parametrize(("patience", "kept"), [(None, 2), (9, 1)])
def test_without_patience_the_latest_within_the_error_is_kept(
    patience: int | None, kept: int
) -> None:
    task = Line(scores=[0.5, 0.9, 0.85, 0.6], error=0.1)
    assert trained(task, Settings(patience=patience)) == task.weights[kept]


def test_best_weights_are_a_copy() -> None:
    best, weight = BestWeights(None), torch.zeros(2)
    best.offer(1.0, 5, {"weight": weight})
    weight.fill_(5)
    assert best.weights["weight"].tolist() == [0, 0]


def test_there_are_no_best_weights_before_the_first_evaluation() -> None:
    best = BestWeights(1)
    assert (best.weights, best.is_good, best.is_stale) == ({}, False, False)


@pytest.mark.parametrize(
    ("scores", "patience", "stale"),
    [
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.3], 2, True),
        ([0.5] * 50, None, False),
    ],
)
def test_patience(scores: list[float], patience: int | None, stale: bool) -> None:
    assert offered(scores, patience).is_stale is stale


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set in its only item."""
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    return now


def state(value: float, best_step: int = 3) -> Snapshot:
    tensors = {"weight/a": torch.full((2, 2), value), "random/cpu": torch.get_rng_state()}
    return Snapshot(tensors, {"value": value}, {"a": torch.full((2, 2), -value)}, best_step)


def test_a_checkpoint_is_due_by_seconds(tmp_path: Path, clock: list[float]) -> None:
    file = CheckpointFile(Checkpoints(tmp_path, every_seconds=60), {})
    assert not file.is_due(10_000)
    clock[0] += 59
    assert not file.is_due(10_000)
    clock[0] += 1
    assert file.is_due(1)
    file.write(state(1.0), 1)
    assert not file.is_due(2)
    clock[0] += 60
    assert file.is_due(2)


def test_a_checkpoint_is_due_by_steps(tmp_path: Path, clock: list[float]) -> None:
    file = CheckpointFile(Checkpoints(tmp_path, every_seconds=60, every_steps=4), {})
    due = []
    for step in range(1, 13):
        if file.is_due(step):
            due.append(step)
            file.write(state(1.0), step)
    assert due == [4, 8, 12]


def test_a_slow_disk_gets_fewer_checkpoints(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = CheckpointFile(Checkpoints(tmp_path, every_seconds=60), {})
    write = checkpoint._write

    def slowly(*arguments: Any) -> None:
        clock[0] += 5
        write(*arguments)

    monkeypatch.setattr(checkpoint, "_write", slowly)
    file.write(state(1.0), 1)
    clock[0] += 499
    assert not file.is_due(2)
    clock[0] += 1
    assert file.is_due(2)


def test_a_checkpoint_is_read_as_written(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    CheckpointFile(Checkpoints(folder, "data"), {"seed": 1}).write(state(2.0), 5)
    found = CheckpointFile(Checkpoints(folder, "data"), {"seed": 1}).read()
    assert found is not None
    assert found.facts == {"value": 2.0}
    assert found.tensors["weight/a"].tolist() == [[2, 2], [2, 2]]
    assert torch.equal(found.tensors["random/cpu"], torch.get_rng_state())
    assert (found.best["a"].tolist(), found.best_step) == ([[-2, -2], [-2, -2]], 3)


def test_only_the_latest_and_the_best_are_kept(tmp_path: Path) -> None:
    file = CheckpointFile(Checkpoints(tmp_path), {})
    for step, best_step in ((1, 0), (2, 2), (5, 2), (7, 6)):
        file.write(state(float(step), best_step), step)
        assert {path.name.replace("-again", "") for path in tmp_path.iterdir()} == {
            "latest.safetensors", f"best-{best_step}.safetensors",
        }  # fmt: skip


def test_other_best_weights_of_the_same_step_replace_the_former(tmp_path: Path) -> None:
    file = CheckpointFile(Checkpoints(tmp_path), {})
    for value in (1.0, 2.0):
        file.write(state(value), 5)
    found = file.read()
    assert found is not None
    assert found.best["a"].tolist() == [[-2, -2], [-2, -2]]


@pytest.mark.parametrize("best_step", [3, 4])
@pytest.mark.parametrize("failing", ["latest", "best"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best_step: int, failing: str
) -> None:
    """Also if it is written by others, as of a trainer that saves under the same name again."""
    CheckpointFile(Checkpoints(tmp_path), {}).write(state(1.0), 5)
    before = {path.name for path in tmp_path.iterdir()}
    write = checkpoint._write

    def full(path: Path, *others: Any) -> None:
        if path.name.startswith(failing):
            raise OSError("no space left on device")
        write(path, *others)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", full)
        with pytest.raises(OSError, match="no space"):
            CheckpointFile(Checkpoints(tmp_path), {}).write(state(2.0, best_step), 6)
    assert {path.name for path in tmp_path.iterdir()} == before
    for value in (1.0, 2.0, 3.0):  # the former, and two that replace it
        if value > 1:
            CheckpointFile(Checkpoints(tmp_path), {}).write(state(value, best_step), 6)
        found = CheckpointFile(Checkpoints(tmp_path), {}).read()
        assert found is not None
        assert found.best["a"].tolist() == [[-value, -value], [-value, -value]]
        assert len([*tmp_path.iterdir()]) == 2


@pytest.mark.parametrize(
    ("score", "error", "ruined", "is_ahead"),
    [
        (0.5, None, False, True), (0.7, None, False, False), (0.5, 0.15, False, True),
        (0.5, 0.25, False, False), (0.5, 0.25, True, True), (0.7, None, True, True),
        (float("nan"), None, False, True),
    ],
)  # fmt: skip
def test_the_best_is_ahead_by_more_than_the_error_or_of_a_ruined_model(
    score: float, error: float | None, ruined: bool, is_ahead: bool
) -> None:
    best, found = BestWeights(None), Evaluation(score, {}, "", error, ruined)
    assert not best.is_ahead_of(found)
    best.offer(0.7, 5, {})
    assert best.is_ahead_of(found) == is_ahead


def test_before_the_first_evaluation_there_is_no_best(tmp_path: Path) -> None:
    file = CheckpointFile(Checkpoints(tmp_path), {})
    assert file.read() is None
    file.write(Snapshot({"weight/a": torch.ones(1)}, {}), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["latest.safetensors"]
    found = file.read()
    assert found is not None
    assert found.best == {}


def test_a_checkpoint_without_its_best_weights_is_damaged(tmp_path: Path) -> None:
    file = CheckpointFile(Checkpoints(tmp_path), {})
    file.write(state(1.0), 5)
    (tmp_path / "best-3.safetensors").unlink()
    with pytest.raises(DamagedCheckpointError, match=r"best-3.safetensors is damaged"):
        file.read()
