"""The best evaluated weights of a training are kept, and survive a stop."""

from __future__ import annotations

import math
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import Curve, Line, Settings, at, fitted, interrupt, same, trained

from finetext.core.contracts import Checkpoints, Evaluated
from finetext.core.types import Finding
from finetext.training import checkpoint
from finetext.training.checkpoint import KeptWeights, kept_in


def keep(kept: KeptWeights, scores: dict[int, float]) -> None:
    """Offer weights whose value is their step."""
    for step, score in scores.items():
        kept.offer(Evaluated(step, {"f1": score}), score, {"a": torch.tensor([float(step)])})


def steps_in(folder: Path, most: int = 10) -> list[int]:
    return [of.evaluated.step for of in kept_in(folder, most)]


@pytest.mark.parametrize(
    ("scores", "most", "steps"),
    [
        ({1: 0.1, 2: 0.3, 3: 0.2}, 2, [2, 3]),
        ({1: 0.5, 2: 0.5, 3: 0.5}, 2, [1, 2]),
        ({1: 0.5}, 3, [1]),
        ({1: 0.5, 2: 0.9}, 0, []),
        ({1: -math.inf, 2: math.nan, 3: 0.0}, 2, [3]),
    ],
)
def test_the_best_evaluated_weights_are_kept(
    tmp_path: Path, scores: dict[int, float], most: int, steps: list[int]
) -> None:
    keep(KeptWeights(Checkpoints(tmp_path / "new", keep=most), 0), scores)
    assert steps_in(tmp_path / "new") == steps
    for kept in kept_in(tmp_path / "new", most):
        assert kept.weights()["a"].item() == kept.evaluated.step
        assert kept.evaluated.figures == {"f1": scores[kept.evaluated.step]}


def test_what_the_last_checkpoint_counts_on_stays(tmp_path: Path) -> None:
    pace = Checkpoints(tmp_path, keep=2)
    kept = KeptWeights(pace, 0)
    keep(kept, {1: 0.1, 2: 0.2})
    kept.settle()
    keep(kept, {3: 0.3, 4: 0.4, 5: 0.5})
    assert steps_in(tmp_path) == [1, 2, 4, 5]
    assert steps_in(tmp_path, 2) == [4, 5]
    resumed = KeptWeights(pace, 3)
    assert steps_in(tmp_path) == [1, 2]
    keep(resumed, {4: 0.4})
    assert steps_in(tmp_path) == [1, 2, 4]
    resumed.settle()
    assert steps_in(tmp_path) == [2, 4]


def test_a_training_from_the_beginning_keeps_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    pace = Checkpoints(tmp_path, keep=2)
    keep(KeptWeights(pace, 0), {1: 0.1, 2: 0.2})
    KeptWeights(pace, 0)
    assert steps_in(tmp_path) == []


def test_a_file_of_kept_weights_that_is_damaged_is_left_out(tmp_path: Path) -> None:
    keep(KeptWeights(Checkpoints(tmp_path, keep=2), 0), {1: 0.1, 2: 0.2})
    (tmp_path / "kept-2.safetensors").write_bytes(b"damaged")
    assert steps_in(tmp_path) == [1]


def test_without_checkpoints_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep(KeptWeights(None, 0), {1: 0.1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("every_steps", [None, 3])
def test_a_stopped_training_keeps_the_same_models(every_steps: int | None, tmp_path: Path) -> None:
    settings = Settings(evaluate_every=1)

    def kept(pace: Checkpoints) -> dict[int, bytes]:
        found = kept_in(pace.folder, 2)
        return {of.evaluated.step: of.path.read_bytes() for of in found}

    whole = Checkpoints(tmp_path / "whole", "data", every_steps=every_steps, keep=2)
    fitted(Curve(), settings, checkpoints=whole)
    assert len(kept(whole)) == 2
    for number in range(1, 11):
        pace = replace(whole, folder=tmp_path / str(number))
        with pytest.raises(KeyboardInterrupt):
            fitted(Curve(on_evaluation=at(number, interrupt)), settings, checkpoints=pace)
        fitted(Curve(), settings, checkpoints=pace)
        assert kept(pace) == kept(whole)


def test_a_restart_forgets_the_models_after_it(tmp_path: Path) -> None:
    pace = Checkpoints(tmp_path, keep=5)
    task = Line(scores=[0.5, 0.4, 0.3, *[0.1] * 9], bad_at=[9])
    trained(task, Settings(evaluate_every=2), checkpoints=pace)
    kept = {of.evaluated.step: of.score for of in kept_in(tmp_path, 5)}
    assert kept[2] == 0.5
    assert {score for step, score in kept.items() if step > 2} == {0.1}


def test_weights_that_cannot_be_kept_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(ENOSPC, "no space left")

    found: list[Finding] = []
    monkeypatch.setattr(checkpoint, "_write", full)
    weights = fitted(Curve(), checkpoints=Checkpoints(tmp_path, keep=1), find=found.append)
    assert same(weights, fitted(Curve()))
    assert "the weights of step 5 could not be kept" in found[0].message


def test_a_restart_without_checkpoints_removes_no_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept-7.safetensors").touch()
    trained(Line(bad_at=[4]), rate=0.5)
    assert (tmp_path / "kept-7.safetensors").exists()
