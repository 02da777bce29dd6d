"""Training that goes wrong is tried once more, and told."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
from toys import Line, Settings, interrupt, trained

from finetext.core.contracts import Checkpoints
from finetext.core.errors import ModelError
from finetext.core.types import Finding
from finetext.training import loop
from finetext.training.checkpoint import BestWeights

AGAIN = "in fp32 with a tenth of the learning rate"
ALIKE = "all 9 validation rows are predicted as 'a'"


class Heard:
    """What a training said, found and logged."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.found: list[Finding] = []
        self.log = folder / "log.jsonl"

    @property
    def context(self) -> dict[str, Any]:
        return {"say": self.said.append, "find": self.found.append, "log": self.log}

    @property
    def events(self) -> list[str]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line["event"] for line in lines if "event" in line]

    def check(self, *events: str) -> None:
        """All of these were said, logged and found, and nothing else."""
        assert self.events == list(events)
        assert self.said == []
        assert [finding.message for finding in self.found] == [f"toy: {of}" for of in events]
        assert {(finding.severity, finding.code) for finding in self.found} == {
            ("warning", "training")
        }


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    return Heard(tmp_path)


def test_a_loss_that_is_no_number_is_tried_again_from_the_start(heard: Heard) -> None:
    task = Line(bad_at=[4])
    weight = trained(task, rate=0.5, **heard.context)
    heard.check(f"the training loss became nan at step 3; restarted from step 0 {AGAIN}")
    assert weight == trained(Line(), rate=0.05)


def test_it_is_tried_again_from_the_best_weights(heard: Heard) -> None:
    task = Line(bad_at=[14])
    weight = trained(task, **heard.context)
    heard.check(f"the training loss became nan at step 13; restarted from step 10 {AGAIN}")
    assert len(task.weights) == 4
    assert task.weights[0] < task.weights[1] < task.weights[2] < task.weights[3]
    assert weight == task.weights[3]
    assert task.weights[2] - task.weights[1] < 0.2 * (task.weights[1] - task.weights[0])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gradient_that_is_no_number_is_noticed(heard: Heard, precision: Any) -> None:
    task = Line(bad_gradient_at=[8])
    weight = trained(task, Settings(precision=precision), **heard.context)
    heard.check(f"the gradient became nan at step 7; restarted from step 5 {AGAIN}")
    assert math.isfinite(weight)
    assert weight == task.weights[-1]


def test_a_loss_that_stays_no_number_stops_with_advice(heard: Heard) -> None:
    with pytest.raises(ModelError, match=r"toy: the training loss became nan at step 1, again"):
        trained(Line(bad_at=range(2, 99)), **heard.context)
    heard.check(f"the training loss became nan at step 1; restarted from step 0 {AGAIN}")


def test_a_loss_that_stays_no_number_leaves_the_best_weights(heard: Heard) -> None:
    task = Line(bad_at=range(8, 99))
    weight = trained(task, **heard.context)
    heard.check(
        f"the training loss became nan at step 7; restarted from step 5 {AGAIN}",
        "the training loss became nan at step 6, again; the best weights, those of step 5 are kept",
    )
    assert task.weights == [weight]


def test_a_collapse_after_a_good_evaluation_is_tried_again(heard: Heard) -> None:
    task = Line(scores=[0.5, 0.9, 0.6, 0.7, 0.2], collapses={2: ALIKE})
    weight = trained(task, **heard.context)
    heard.check(f"{ALIKE} at step 10; restarted from step 5 {AGAIN}")
    assert len(task.weights) == 5
    assert weight == task.weights[3]


def test_patience_starts_anew_with_the_second_try(heard: Heard) -> None:
    task = Line(scores=[0.5, 0.0, 0.6, 0.7, 0.8], collapses={2: ALIKE})
    trained(task, Settings(patience=1), **heard.context)
    assert len(task.weights) == 5


def test_a_collapse_at_the_end_of_few_steps_is_only_told(heard: Heard) -> None:
    task = Line(collapses=dict.fromkeys(range(1, 9), ALIKE))
    trained(task, **heard.context)
    heard.check(f"{ALIKE}: 20 steps were too few to learn anything")
    assert len(task.weights) == 4


def test_patience_does_not_hide_a_collapse(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MANY_STEPS", 20)
    task = Line(collapses=dict.fromkeys(range(1, 5), ALIKE))
    trained(task, Settings(patience=2), **heard.context)
    heard.check(f"{ALIKE} at step 20; restarted from step 0 {AGAIN}")


def test_stopped_in_the_evaluation_that_finds_a_collapse_it_is_tried_again_later(
    heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task() -> Line:
        return Line(scores=[0.5, 0.9, 0.6, 0.7, 0.2], collapses={2: ALIKE})

    whole = trained(task())
    offer = BestWeights.offer

    def stopped_offer(best: BestWeights, score: float, *rest: Any) -> None:
        offer(best, score, *rest)
        if score == -math.inf:
            signal.raise_signal(signal.SIGINT)

    checkpoints = Checkpoints(tmp_path / "checkpoint")
    with monkeypatch.context() as patched:
        patched.setattr(BestWeights, "offer", stopped_offer)
        with pytest.raises(KeyboardInterrupt):
            trained(task(), checkpoints=checkpoints)
    rest = Line(scores=[0.6, 0.7, 0.2])
    assert trained(rest, checkpoints=checkpoints, **heard.context) == whole
    assert heard.events == [
        "resumed at step 10 of 20",
        f"{ALIKE} at step 10; restarted from step 5 {AGAIN}",
    ]


def test_a_collapse_that_passes_is_nothing_to_tell(heard: Heard) -> None:
    task = Line(collapses={1: ALIKE, 2: ALIKE})
    assert trained(task, **heard.context) == task.weights[3]
    assert heard.said == []


def test_a_collapse_at_the_end_of_many_steps_is_tried_again(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MANY_STEPS", 20)
    task = Line(collapses=dict.fromkeys(range(1, 5), ALIKE))
    weight = trained(task, **heard.context)
    heard.check(f"{ALIKE} at step 20; restarted from step 0 {AGAIN}")
    assert len(task.weights) == 8
    assert weight == task.weights[7]


def test_a_second_try_that_is_stopped_goes_on_as_such(heard: Heard, tmp_path: Path) -> None:
    class Stopped(Line):
        def loss(self, model: Any, batch: Any) -> Any:
            if self.losses == 18:
                raise KeyboardInterrupt
            return super().loss(model, batch)

    expected = trained(Line(bad_at=[14]))
    context = heard.context | {"checkpoints": Checkpoints(tmp_path / "checkpoint")}
    with pytest.raises(KeyboardInterrupt):
        trained(Stopped(bad_at=[14]), **context)
    assert trained(Line(), **context) == expected
    assert heard.events[1].startswith("resumed at step 14 of 20")


@pytest.mark.parametrize("how", ["bad_at", "bad_gradient_at"])
def test_weights_that_are_no_numbers_are_never_written(how: str, tmp_path: Path) -> None:
    heard: list[Any] = []

    def listen(event: Any) -> None:
        heard.append(event)
        if len(heard) == 3:
            interrupt()

    checkpoints = Checkpoints(tmp_path / "checkpoint")
    with pytest.raises(KeyboardInterrupt):
        trained(Line(**{how: [4]}), checkpoints=checkpoints, progress=listen)
    assert list(checkpoints.folder.glob("*.safetensors")) == []
    assert trained(Line(), checkpoints=checkpoints) == trained(Line())
