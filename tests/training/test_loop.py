"""The training loop on a toy: it learns, stops, and ends with the best weights."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from torch import nn
from toys import Line, Settings, events_of, interrupt, trained

from finetext.core.contracts import Checkpoints, FitContext
from finetext.core.errors import ModelError
from finetext.core.types import Finding
from finetext.training import loop
from finetext.training.checkpoint import BestWeights
from finetext.training.loop import REMEDIES, train_model, uninterrupted
from finetext.training.plan import Stage


def test_it_learns() -> None:
    assert trained(Line(), epochs=30) == pytest.approx(3.0, abs=0.1)


def test_every_epoch_sees_every_row_once_in_its_own_order() -> None:
    task = Line()
    trained(task, epochs=2)
    rows = [row for batch in task.seen[1:] for row in batch]
    assert sorted(rows[:18]) == sorted(rows[18:]) == list(range(18))
    assert rows[:18] != rows[18:]


def test_it_ends_with_the_weights_that_scored_best() -> None:
    task = Line(scores=[0.1, 0.9, 0.9, 0.2])
    weight = trained(task)
    assert len(task.weights) == 4
    assert weight == task.weights[1]
    assert weight not in (task.weights[0], task.weights[2], task.weights[3])


class Unjudged(Line):
    """A line without validation rows."""

    def evaluate(self, model: Any) -> None:  # type: ignore[override]
        self.weights.append(model.weight.item())


def test_a_share_of_the_steps_is_made_and_without_validation_rows_the_last_weights_stay() -> None:
    whole, part = Unjudged(), Unjudged()
    assert trained(whole) == whole.weights[-1]
    found = trained(part, share=0.5)
    assert len(part.weights) == 2
    assert found == part.weights[-1] == whole.weights[1]


def test_it_stops_early() -> None:
    said: list[str] = []
    task = Line(scores=[0.5, 0.4, 0.3, 0.9])
    weight = trained(task, Settings(patience=2), say=said.append)
    assert weight == task.weights[0]
    assert len(task.weights) == 3
    assert events_of(said) == ["toy: stopped early at step 15 of 20"]


def test_it_can_be_run_again_after_stopping_early() -> None:
    trained(Line(scores=[0.5, 0.4]), Settings(patience=1, evaluate_every=2))
    assert trained(Line()) == trained(Line())


def test_it_evaluates_every_n_steps() -> None:
    task = Line()
    trained(task, Settings(evaluate_every=3), epochs=2)
    assert len(task.weights) == 4


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not() -> None:
    settings = Settings(evaluate_every=1)
    runs = []
    for seed in (1, 1, 2):
        task = Line()
        trained(task, settings, seed=seed)
        runs.append(task.weights)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_each_training_has_its_own_precision() -> None:
    weights = [
        trained(Line(), replace(Settings(), precision=precision), epochs=30)
        for precision in ("fp32", "bf16", "fp32", "fp16")
    ]
    assert weights == pytest.approx([3.0] * 4, abs=0.2)
    assert weights[0] == weights[2]
    assert len(set(weights)) == 3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_only_the_weights_of_the_model_change(precision: Any) -> None:
    model = nn.Linear(1, 1, bias=False).train()
    forward = type(model).forward
    context = FitContext(device="cpu")
    train_model(model, Line(), Settings(precision=precision), [Stage(1, 0.1)], context)
    assert model.forward.__func__ is forward
    assert model.weight.dtype == torch.float32
    assert model(torch.ones(1, 1)).dtype == torch.float32


SIGNALS = (signal.SIGINT, signal.SIGTERM)


def handlers() -> list[object]:
    return [signal.getsignal(name) for name in SIGNALS]


def test_an_interrupt_arrives_right_after_the_body() -> None:
    before, done = handlers(), []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 (what comes after must not happen)
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("inside")
            signal.raise_signal(signal.SIGINT)
            done.append("still inside")
        done.append("after")
    assert done == ["inside", "still inside"]
    assert handlers() == before


def test_sigterm_reaches_its_handler() -> None:
    heard: list[int] = []
    usual = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, usual)


def test_an_ignored_interrupt_stays_ignored() -> None:
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)


def test_without_an_interrupt_nothing_happens() -> None:
    before = handlers()
    with uninterrupted():
        pass
    with pytest.raises(ValueError, match="of the body"), uninterrupted():
        raise ValueError("an error of the body")
    assert handlers() == before


def test_it_works_in_a_thread() -> None:
    done: list[str] = []

    def work() -> None:
        with uninterrupted():
            done.append("inside")

    thread = Thread(target=work)
    thread.start()
    thread.join(10)
    assert done == ["inside"]


OVERFLOW = "the gradient overflowed in fp16: no update, loss scale halved to "
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
        assert events_of(self.said) == []
        assert [finding.message for finding in self.found] == [f"toy: {of}" for of in events]
        assert {(finding.severity, finding.code) for finding in self.found} == {
            ("warning", "training")
        }


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    return Heard(tmp_path)


def test_a_nan_loss_restarts_from_the_beginning(heard: Heard) -> None:
    task = Line(bad_at=[4])
    weight = trained(task, rate=0.5, **heard.context)
    heard.check(f"the training loss became nan at step 3; restarted from step 0 {AGAIN}")
    assert weight == trained(Line(), rate=0.05)


def test_a_nan_loss_restarts_from_the_best_weights(heard: Heard) -> None:
    task = Line(bad_at=[14])
    weight = trained(task, **heard.context)
    heard.check(f"the training loss became nan at step 13; restarted from step 10 {AGAIN}")
    assert len(task.weights) == 4
    assert task.weights[0] < task.weights[1] < task.weights[2] < task.weights[3]
    assert weight == task.weights[3]
    assert task.weights[2] - task.weights[1] < 0.2 * (task.weights[1] - task.weights[0])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_nan_gradient_restarts_training(heard: Heard, precision: Any) -> None:
    task = Line(bad_gradient_at=[8])
    weight = trained(task, Settings(precision=precision), **heard.context)
    heard.check(f"the gradient became nan at step 7; restarted from step 5 {AGAIN}")
    assert math.isfinite(weight)
    assert weight == task.weights[-1]


def test_an_overflow_in_fp16_is_skipped(heard: Heard) -> None:
    task = Line(bad_gradient_at=[8, 9])
    weight = trained(task, Settings(precision="fp16"), epochs=30, **heard.context)
    assert weight == pytest.approx(3.0, abs=0.2)
    assert heard.events == [f"{OVERFLOW}2,048", f"{OVERFLOW}1,024"]
    assert not any("overflow" in line for line in heard.said)
    assert heard.found == []


def test_an_overflow_in_fp16_that_stays_is_a_divergence(heard: Heard) -> None:
    task = Line(bad_gradient_at=range(8, 21))
    trained(task, Settings(precision="fp16"), epochs=8, **heard.context)
    *skipped, last = heard.events
    assert skipped == [f"{OVERFLOW}{2**power:,}" for power in range(11, -1, -1)]
    assert last == f"the gradient became nan at step 19; restarted from step 10 {AGAIN}"
    assert len(heard.found) == 1


def test_a_training_whose_steps_were_all_skipped_restarts_in_fp32(heard: Heard) -> None:
    task = Line(bad_gradient_at=range(2, 7))
    weight = trained(task, Settings(precision="fp16"), epochs=1, **heard.context)
    assert len(heard.events) == 6
    assert heard.events[-1].startswith("the gradient overflowed in fp16 in all 5 steps; restarted")
    assert task.weights == [weight]
    assert weight > 0


def test_a_nan_loss_in_fp16_is_a_divergence(heard: Heard) -> None:
    task = Line(bad_at=[8])
    trained(task, Settings(precision="fp16"), **heard.context)
    assert heard.events[-1] == (
        f"the training loss became nan at step 7; restarted from step 5 {AGAIN}"
    )


def test_a_second_nan_loss_stops_with_advice(heard: Heard) -> None:
    with pytest.raises(ModelError, match=r"toy: the training loss became nan at step 1, again"):
        trained(Line(bad_at=range(2, 99)), **heard.context)
    heard.check(f"the training loss became nan at step 1; restarted from step 0 {AGAIN}")


def test_a_second_nan_loss_keeps_the_best_weights(heard: Heard) -> None:
    task = Line(bad_at=range(8, 99))
    weight = trained(task, **heard.context)
    heard.check(
        f"the training loss became nan at step 7; restarted from step 5 {AGAIN}",
        "the training loss became nan at step 6, again; the best weights, those of step 5 are kept",
    )
    assert task.weights == [weight]


def test_a_collapse_after_a_good_evaluation_restarts_training(heard: Heard) -> None:
    task = Line(scores=[0.5, 0.3, 0.6, 0.7, 0.2], collapses={2: ALIKE})
    weight = trained(task, **heard.context)
    heard.check(f"{ALIKE} at step 10; restarted from step 5 {AGAIN}")
    assert len(task.weights) == 5
    assert weight == task.weights[3]


def test_predictions_of_one_class_at_the_start_are_no_collapse(heard: Heard) -> None:
    task = Line(scores=[0.4, 0.3, 0.6, 0.7], collapses={2: ALIKE}, error=0.15)
    trained(task, **heard.context)
    assert not heard.found
    assert len(task.weights) == 4


def test_patience_starts_over_after_a_restart(heard: Heard) -> None:
    task = Line(scores=[0.5, 0.0, 0.6, 0.7, 0.8], collapses={2: ALIKE})
    trained(task, Settings(patience=1), **heard.context)
    assert len(task.weights) == 5


def test_a_collapse_after_few_steps_is_only_a_warning(heard: Heard) -> None:
    task = Line(collapses=dict.fromkeys(range(1, 9), ALIKE))
    trained(task, **heard.context)
    heard.check(f"{ALIKE}: 20 steps were too few to learn anything; try {REMEDIES}")
    assert len(task.weights) == 4


def test_a_collapse_says_why_no_checkpoint_is_kept(heard: Heard, tmp_path: Path) -> None:
    task = Line(collapses=dict.fromkeys(range(1, 9), ALIKE))
    trained(task, **heard.context, checkpoints=Checkpoints(tmp_path / "state", keep=2))
    assert heard.found[0].message.endswith("; no checkpoint is kept of such a model")
    assert not list((tmp_path / "state").glob("kept-*"))


def test_a_run_stopped_during_a_collapse_restarts_when_resumed(
    heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task() -> Line:
        return Line(scores=[0.5, 0.3, 0.6, 0.7, 0.2], collapses={2: ALIKE})

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


def test_a_temporary_collapse_is_not_reported(heard: Heard) -> None:
    task = Line(collapses={1: ALIKE, 2: ALIKE})
    assert trained(task, **heard.context) == task.weights[3]
    assert events_of(heard.said) == []


@pytest.mark.parametrize("patience", [None, 2])
def test_a_collapse_after_many_steps_restarts_training(
    heard: Heard, patience: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MANY_STEPS", 20)
    task = Line(collapses=dict.fromkeys(range(1, 5), ALIKE))
    weight = trained(task, Settings(patience=patience), **heard.context)
    heard.check(f"{ALIKE} at step 20; restarted from step 0 {AGAIN}")
    assert len(task.weights) == 8
    assert weight == task.weights[7]


def test_a_restarted_training_resumes_as_such(heard: Heard, tmp_path: Path) -> None:
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
def test_nan_weights_are_never_written(how: str, tmp_path: Path) -> None:
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
