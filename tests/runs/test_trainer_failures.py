"""What a trainer does when a stage diverges, is stopped, or cannot be saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import finetext
from finetext import Finetune, Listener, Splits, Stage, Trainer
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Dataset
from finetext.training import batch_size, loop
from finetext.training.classification import ClassificationTask
from finetext.training.state import Training
from finetext.training.task import Evaluation

ALIKE = "all rows are predicted alike"


@pytest.fixture
def splits(topics: Dataset) -> Splits:
    return finetext.split(topics)


@pytest.fixture
def found() -> list[str]:
    """The findings of all trainers."""
    return []


@pytest.fixture
def make(
    tiny_encoder: Path, splits: Splits, tmp_path: Path, found: list[str]
) -> Callable[..., Trainer]:
    """A function that makes a trainer of the toy topics."""

    def trainer(**options: Any) -> Trainer:
        method = Finetune(
            encoder=str(tiny_encoder), batch_size=6, dropout_multiplier=1.0, precision="fp32"
        )
        listener = Listener(finding=lambda finding: found.append(finding.message))
        return Trainer(
            replace(method, **options), splits, folder=tmp_path / "saved", listener=listener,
            device="cpu",
        )  # fmt: skip

    return trainer


def logits(trainer: Trainer, weights: Any = "last") -> Any:
    texts = ["the match was won", "a new chip"]
    return trainer.classifier(weights, calibrate=False).logits(texts)


def rates(trainer: Trainer) -> list[float]:
    """The highest learning rate that each logged step had."""
    return [max(line["learning_rate"]) for line in trainer.log if "learning_rate" in line]


def collapse_at(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Let evaluations of these numbers find that all rows are predicted alike, and score low."""
    evaluate, count = ClassificationTask.evaluate, iter(range(1, 99))

    def evaluated(task: ClassificationTask, model: Any) -> Evaluation:
        usual, number = evaluate(task, model), next(count)
        if number in numbers:
            return replace(usual, score=0.0, collapse=ALIKE)
        return replace(usual, score=number, collapse="")

    monkeypatch.setattr(ClassificationTask, "evaluate", evaluated)


def test_a_head_that_learned_nothing_alone_ruins_no_later_stage(
    make: Callable[..., Trainer], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MANY_STEPS", 2)
    collapse_at(monkeypatch, 1, 2)
    trainer = make()
    trainer.fit_stage(2, 1e-6, groups=1)
    assert len(found) == 1
    assert f"{ALIKE}: " in found[0]
    assert "train more layer groups in the next stage" in found[0]
    trainer.fit_stage(1, 2e-3)
    assert len(found) == 1
    assert max(rates(trainer)) == pytest.approx(2e-3, rel=0.2)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_restart_counts_for_its_stage_only(
    make: Callable[..., Trainer], found: list[str], monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    collapse_at(monkeypatch, 3)
    trainer = make(precision=precision)
    trainer.fit_stage(1, 1e-3)
    steps = trainer.log[-1]["step"]
    trainer.fit_stage(2, 4e-3)
    assert any(f"restarted from step {2 * steps} in fp32" in of for of in found)
    restarted = len(rates(trainer))
    trainer.save("restarted")
    for how in (trainer, make(precision=precision).load("restarted")):
        how.fit_stage(1, 2e-3)
        assert max(rates(how)[restarted:]) == pytest.approx(2e-3, rel=0.3)
        assert how.classifier().provenance()["trained_with"]["precision"] == precision


def test_a_restart_keeps_the_stages_before(
    make: Callable[..., Trainer], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which no evaluation is better than none, so that there is no best to restart from."""
    collapse_at(monkeypatch, 1)
    trainer = make()
    trainer.fit_stage(1, 1e-3, groups=1)
    steps, make_step = trainer.log[-1]["step"], loop.make_step

    def step(*arguments: Any) -> Any:
        monkeypatch.setattr(loop, "make_step", make_step)
        return float("nan"), 1.0

    monkeypatch.setattr(loop, "make_step", step)
    trainer.fit_stage(1, 1e-3)
    assert f"restarted from step {steps} in fp32" in found[-1]
    assert [row["step"] for row in trainer.history] == [steps, 2 * steps]
    assert np.isfinite(logits(trainer)).all()


def test_a_stage_that_is_stopped_within_a_step_is_finished_the_same(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = make(), make()
    whole.fit_stage(1, 1e-3, groups=1)
    whole.fit_stage(1, 3e-3)
    stopped.fit_stage(1, 1e-3, groups=1)
    set_pace = Training.set_pace

    def interrupt(training: Training) -> None:
        """Between the gradients and the step of the optimizer."""
        if training.record.step == steps + 2:
            monkeypatch.setattr(Training, "set_pace", set_pace)
            raise KeyboardInterrupt
        set_pace(training)

    steps = stopped.log[-1]["step"]
    monkeypatch.setattr(Training, "set_pace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit_stage(1, 3e-3)
    stopped.resume()
    assert np.array_equal(logits(stopped), logits(whole))


def test_what_would_be_ignored_is_refused(make: Callable[..., Trainer]) -> None:
    with pytest.raises(RecipeError, match="stages that fit_stage is given, so stages of Finetune"):
        make(stages=(Stage(1, 1e-3),))
    with pytest.raises(RecipeError, match="so unfreeze of Finetune would be ignored"):
        make(unfreeze="gradual")
    trainer = make()
    with pytest.raises(RecipeError, match="a Stage does not go with learning_rate, schedule"):
        trainer.fit_stage(Stage(1, 1e-3), 1e-2, schedule="one-cycle")
    assert not trainer.history


def test_the_scores_of_several_labels_are_those_of_the_classifier(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    texts = [f"the {'ball' if n % 2 else 'chip'} number {n}" for n in range(48)]
    labels = [["ball"] * (n % 2) + ["rare"] * (n % 6 == 0) for n in range(48)]
    data = finetext.read((texts, labels), settings=finetext.ReadSettings(multilabel=True))
    splits = finetext.split(data)
    method = Finetune(str(tiny_encoder), batch_size=6, precision="fp32")
    trainer = Trainer(method, splits, folder=tmp_path, listener=Listener(), device="cpu")
    trainer.fit_stage(2, 1e-3)
    classifier = trainer.classifier()
    assert classifier.decision.thresholds
    predictions = finetext.predict(classifier, splits.validation)
    assert trainer.predictions().decision == classifier.decision
    assert np.array_equal(trainer.predictions().decisions, predictions.decisions)
    expected = finetext.evaluate(predictions)["macro_f1"].value
    assert trainer.scores()["macro_f1"].value == expected  # type: ignore[union-attr]


def test_a_stage_that_diverged_never_was(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as the first stage nor after another, whose evaluations found nothing good."""
    collapse_at(monkeypatch, *range(99))
    whole, trainer = make(), make()
    untrained, make_step = logits(trainer), loop.make_step

    def ruined(training: Training, *others: Any) -> tuple[float, float]:
        with torch.no_grad():
            for weight in training.bare.parameters():
                weight.fill_(float("nan"))
        return float("nan"), make_step(training, *others)[1]

    def diverge() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "make_step", ruined)
            with pytest.raises(ModelError, match=r"again .* the trainer is as before this stage"):
                trainer.fit_stage(1, 3e-3)

    diverge()
    assert np.array_equal(logits(trainer), untrained)
    assert not trainer.history
    for of in (whole, trainer):
        of.fit_stage(1, 1e-3, groups=1)
    history = trainer.history
    diverge()
    assert trainer.history == history
    assert np.array_equal(logits(trainer), logits(whole))
    for of in (whole, trainer):
        of.fit_stage(1, 3e-3)
    assert np.array_equal(logits(trainer), logits(whole))
    assert trainer.history == whole.history


def test_weights_that_are_no_numbers_are_not_handed_out(make: Callable[..., Trainer]) -> None:
    trainer = make()
    trainer.fit_stage(1, 1e-3)
    assert trainer._training is not None
    next(iter(trainer._training.optimizer.weights.values())).fill_(float("nan"))
    with pytest.raises(ModelError, match="the last weights are not finite numbers"):
        trainer.classifier("last")
    assert trainer.scores()


@pytest.mark.parametrize("kind", ["classifier", "streams", "packed"])
@pytest.mark.slow
def test_a_training_goes_on_where_another_batch_size_is_found(
    make: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    small: dict[str, Any] = {"width": 16, "feed_forward": 24, "batch_size": "auto"}
    if kind == "packed":
        small |= {"layers": 1, "heads": 2, "context": 24, "pieces": 120}
    else:
        small |= {"preset": "awd-lstm-small"}
    lines = [f"the film number {n} was {word}" for n in range(150) for word in ("good", "bad")]

    def begun(fitting: int) -> Trainer:
        monkeypatch.setattr(batch_size, "_fits", lambda *others: len(others[-1]) <= fitting)
        if kind == "classifier":
            return make(batch_size="auto")
        method = finetext.Pretraining(**small)
        return Trainer(method, lines, folder=tmp_path, listener=Listener(), device="cpu")

    first, other = begun(2), begun(1)
    first.fit_stage(1, 1e-3)
    first.save("one")
    other.load("one")
    for trainer in (first, other):
        trainer.fit_stage(1, 2e-3)
    assert other.history == first.history
    if kind == "classifier":
        assert np.array_equal(logits(other), logits(first))
        assert other.classifier().provenance()["trained_with"]["batch_size"] == 2
        with pytest.raises(ModelError, match=r"batch size .*; make the Trainer with that, or load"):
            make(batch_size=4).load("one")
    else:
        made = other.save_encoder(tmp_path / "encoder")
        assert made.origin.chosen["batch_size"] == 2
