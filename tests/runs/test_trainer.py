"""A training made stage by stage is the training made in one go."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import finetext
from finetext import Adaptation, Finetune, Listener, Pretraining, RangeTest, Splits, Stage, Trainer
from finetext.core.contracts import FitContext
from finetext.core.errors import FinetextError, ModelError, RecipeError, RunError, UnknownNameError
from finetext.core.types import Dataset
from finetext.encoders.language_models import load_for_language_model

STAGES = (Stage(1, 2e-2, groups=1), Stage(1, (1e-4, 1e-2), groups=2), Stage(2, 1e-3))
SMALL = Pretraining(
    layers=1, heads=2, width=16, feed_forward=24, context=24, pieces=120, batch_size=4
)
LINES = [
    f"the {word} film number {n} was very {word}" for n in range(20) for word in ("good", "bad")
]


@pytest.fixture
def splits(topics: Dataset) -> Splits:
    return finetext.split(topics, finetext.SplitSettings(keep_duplicates=True))


@pytest.fixture
def method(tiny_encoder: Path) -> Finetune:
    return Finetune(
        encoder=str(tiny_encoder), batch_size=6, dropout_multiplier=1.0, precision="fp32"
    )


@pytest.fixture
def make(method: Finetune, splits: Splits, tmp_path: Path) -> Callable[..., Trainer]:
    """A function that makes a trainer of the toy topics."""

    def trainer(given: Any = method, data: Any = splits, **options: Any) -> Trainer:
        usual = {"folder": tmp_path / "saved", "listener": Listener(), "device": "cpu"}
        return Trainer(given, data, **usual | options)

    return trainer


def logits(trainer: Trainer, texts: list[str], weights: Any = "best") -> Any:
    return trainer.classifier(weights, calibrate=False).logits(texts)


def test_stages_one_by_one_are_the_stages_in_one_go(
    make: Callable[..., Trainer], method: Finetune, splits: Splits
) -> None:
    trainer = make()
    for stage in STAGES:
        trainer.fit_stage(stage)
    whole = replace(method, stages=STAGES).fit(*_parts(splits), FitContext(device="cpu"))
    texts = splits.train.texts
    assert np.array_equal(logits(trainer, texts), whole.logits(texts))


def _parts(splits: Splits) -> tuple[Dataset, Dataset]:
    return splits.train, splits.validation


@pytest.mark.parametrize("options", [{}, {"head": "concat"}, {"discriminative": 2.6}])
def test_a_flat_stage_first_changes_nothing(
    make: Callable[..., Trainer], method: Finetune, splits: Splits, options: dict[str, Any]
) -> None:
    """The layer groups are formed when the first stage asks for them."""
    stages = (Stage(1, 3e-3), Stage(1, 2e-3, groups=1, schedule="one-cycle"))
    method = replace(method, **options)
    trainer = make(method)
    trainer.fit_stage(1, 3e-3)
    trainer.fit_stage(1, 2e-3, groups=1, schedule="one-cycle")
    whole = replace(method, stages=stages).fit(*_parts(splits), FitContext(device="cpu"))
    texts = splits.train.texts
    assert np.array_equal(logits(trainer, texts), whole.logits(texts))


def test_the_global_random_state_and_later_looks_change_nothing(
    make: Callable[..., Trainer], splits: Splits
) -> None:
    texts = splits.train.texts
    plain, watched = make(), make()
    for trainer in (plain, watched):
        for stage in STAGES[1:]:
            trainer.fit_stage(stage)
            if trainer is watched:
                torch.manual_seed(99)
                trainer.find_lr(RangeTest(steps=12))
                trainer.scores()
                trainer.classifier("last")
    assert np.array_equal(logits(plain, texts, "last"), logits(watched, texts, "last"))
    before = torch.get_rng_state()
    plain.fit_stage(1)
    assert torch.equal(before, torch.get_rng_state())


def test_what_was_saved_continues_the_same(make: Callable[..., Trainer], splits: Splits) -> None:
    texts = splits.train.texts
    first = make()
    for stage in STAGES[:2]:
        first.fit_stage(stage)
    place = first.save("two")
    halfway = logits(first, texts, "last")
    first.fit_stage(STAGES[2])
    end = logits(first, texts)

    other = make().load("two")
    assert np.array_equal(logits(other, texts, "last"), halfway)
    other.fit_stage(STAGES[2])
    assert np.array_equal(logits(other, texts), end)
    assert other.history == first.history

    first.load("two")
    assert np.array_equal(logits(first, texts, "last"), halfway)
    assert first.saved == ["two"]
    assert {path.suffix for path in place.iterdir()} == {".safetensors"}


def test_another_process_continues(
    make: Callable[..., Trainer], splits: Splits, method: Finetune, tmp_path: Path
) -> None:
    trainer = make()
    trainer.fit_stage(STAGES[0])
    trainer.save("head")
    splits.train.table.to_parquet(tmp_path / "train.parquet")
    splits.validation.table.to_parquet(tmp_path / "validation.parquet")
    script = f"""
import datasets, finetext, numpy
from finetext import Dataset, Finetune, LabelScheme, Splits, Trainer
scheme = LabelScheme({splits.scheme.names!r})
train, validation = (Dataset(datasets.Dataset.from_parquet(f"{tmp_path}/{{name}}.parquet"), scheme)
                     for name in ("train", "validation"))
method = Finetune({method.encoder!r}, batch_size=6, dropout_multiplier=1.0,
                  precision="fp32")
trainer = Trainer(method, Splits(train, validation, validation), device="cpu",
                  folder="{tmp_path}/saved").load("head")
trainer.fit_stage(2, 1e-3)
numpy.save("{tmp_path}/logits.npy", trainer.classifier(calibrate=False).logits(train.texts))
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    trainer.fit_stage(2, 1e-3)
    expected = logits(trainer, splits.train.texts)
    assert np.array_equal(np.load(tmp_path / "logits.npy"), expected)


@pytest.mark.filterwarnings("ignore")
def test_trackers_get_the_scalars_of_every_stage(
    make: Callable[..., Trainer], tmp_path: Path
) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer = make(track=("tensorboard",))
    assert not trainer.folder.exists()
    trainer.fit_stage(1, 3e-3, groups=1)
    trainer.save("one")
    trainer.find_lr(RangeTest(steps=10))
    history = trainer.fit_stage(1, 1e-3)

    def tracked() -> list[tuple[int, float]]:
        read = events.EventAccumulator(str(trainer.folder / "tracked"))
        read.Reload()
        return [(of.step, of.value) for of in read.Scalars("validation loss")]

    expected = [(row["step"], pytest.approx(row["validation loss"])) for row in history]
    assert tracked() == expected
    logged = (trainer.folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in logged] == trainer.log
    trainer.load("one").fit_stage(1, 1e-3)
    assert tracked()[-1] == expected[-1]
    assert trainer.saved == ["one"]
    with pytest.raises(UnknownNameError, match="tensorboard"):
        make(track=("tensorbord",))
    with pytest.raises(RecipeError, match=r"track = 'tensorboard': give a list .*'tensorboard'\]"):
        make(track="tensorboard")
    (tmp_path / "file").touch()
    blocked = make(track=("tensorboard",), folder=tmp_path / "file")
    with pytest.raises(RunError, match="file cannot be written"):
        blocked.fit_stage(1, 1e-3)


def test_the_best_weights_are_those_of_the_best_evaluation(
    make: Callable[..., Trainer], splits: Splits
) -> None:
    trainer = make()
    trainer.fit_stage(6, 5e-3)
    best = max(row["validation macro_f1"] for row in trainer.history)
    assert trainer.scores()["macro_f1"].value == best  # type: ignore[union-attr]
    trainer.fit_stage(1, 9.0)  # ruins the weights, also after a restart: it goes on from the best
    assert trainer.history[-1]["validation macro_f1"] < best
    assert np.array_equal(*(logits(trainer, splits.train.texts, of) for of in ("last", "best")))
    assert trainer.scores()["macro_f1"].value == best  # type: ignore[union-attr]


def test_the_classifier_is_a_whole_model(
    make: Callable[..., Trainer], splits: Splits, tmp_path: Path
) -> None:
    trainer = make()
    untrained = trainer.classifier(calibrate=False)
    trainer.fit_stage(1)
    classifier = trainer.classifier()
    texts = ["a word that no training row has: zebra", ""]
    expected = classifier.predict_proba(texts)
    loaded = finetext.load(classifier.save(tmp_path / "model"), device="cpu")
    assert np.allclose(loaded.predict_proba(texts), expected, atol=1e-6)
    assert not np.allclose(untrained.predict_proba(texts), expected, atol=1e-3)
    trainer.fit_stage(1, 0.1)
    assert np.array_equal(classifier.predict_proba(texts), expected)


def test_a_stopped_stage_can_be_finished(
    make: Callable[..., Trainer], splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetext.training import loop

    whole = make()
    whole.fit_stage(2, 3e-3)
    whole.fit_stage(1, 1e-3)

    stopped, make_step, steps = make(), loop.make_step, []

    def step(*arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return make_step(*arguments)

    monkeypatch.setattr(loop, "make_step", step)
    with pytest.raises(KeyboardInterrupt, match=r"stopped at step 4 of \d; resume\(\) finishes"):
        stopped.fit_stage(2, 3e-3)
    with pytest.raises(RunError, match="stage 1 was interrupted at step 4"):
        stopped.fit_stage(1, 1e-3)
    stopped.save("halfway")
    stopped.resume()
    stopped.fit_stage(1, 1e-3)
    texts = splits.train.texts
    assert np.array_equal(logits(stopped, texts, "last"), logits(whole, texts, "last"))
    other = make().load("halfway")
    other.resume()
    other.fit_stage(1, 1e-3)
    assert np.array_equal(logits(other, texts, "last"), logits(whole, texts, "last"))


def test_stopping_early_ends_the_stage(make: Callable[..., Trainer], method: Finetune) -> None:
    trainer = make(replace(method, patience=1, evaluate_every=1))
    trainer.fit_stage(6, 5e-3)
    steps = trainer.log[-1]["step"]
    trainer.fit_stage(30, 1e-12)
    ended = trainer.history[-1]["step"]
    assert steps < ended <= 6 * 4 + 2
    trainer.fit_stage(1, 1e-12)
    assert trainer.history[-1]["step"] > ended


def test_misuse_is_answered_with_what_to_do(
    make: Callable[..., Trainer], splits: Splits, topics: Dataset
) -> None:
    with pytest.raises(RecipeError, match=r"takes the splits of labeled data, not Dataset"):
        make(data=topics)
    with pytest.raises(
        RecipeError, match=r"takes a .* not 'tfidf': only these .* use finetext.fit"
    ):
        make(finetext.Tfidf())
    with pytest.raises(FinetextError, match="metric"):
        make(metric="cleverness")
    trainer = make()
    for call in (lambda: trainer.save("x"), lambda: trainer.save_encoder("x")):
        with pytest.raises(RunError):
            call()
    with pytest.raises(RecipeError, match="epochs = 0"):
        trainer.fit_stage(0)
    with pytest.raises(RecipeError, match="3 learning rates for 4 layer groups"):
        trainer.fit_stage(1, (0.1, 0.2, 0.3))
    with pytest.raises(RecipeError, match="learning_rate = nan"):
        trainer.fit_stage(1, float("nan"))
    assert not trainer.history
    trainer.fit_stage(1)
    with pytest.raises(RecipeError, match="begin with neither"):
        trainer.save("../elsewhere")
    trainer.save("one")
    with pytest.raises(UnknownNameError, match="one"):
        trainer.load("won")
    with pytest.raises(RecipeError, match='use "best" or "last"'):
        trainer.classifier("worst")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "what"),
    [({"seed": 1}, "seed"), ({"metric": "accuracy"}, "metric"), ({"batch_size": 5}, "batch size")],
)
def test_what_is_of_another_training_is_refused(
    make: Callable[..., Trainer], method: Finetune, options: dict[str, Any], what: str
) -> None:
    trainer = make()
    trainer.fit_stage(1)
    trainer.save("one")
    of_method = {name: of for name, of in options.items() if name == "batch_size"}
    of_trainer = {name: of for name, of in options.items() if name not in of_method}
    other = make(replace(method, **of_method), **of_trainer)
    with pytest.raises(ModelError, match=f"another ({what}|encoder)"):
        other.load("one")


def test_a_language_model_is_trained_and_saved_half_way(
    make: Callable[..., Trainer], tmp_path: Path
) -> None:
    trainer = make(SMALL, LINES)
    trainer.fit_stage(1, 1e-2)
    trainer.save("1epoch")
    trainer.fit_stage(2, 1e-3)
    assert {"loss", "accuracy", "perplexity"} == {*trainer.scores()}
    made = trainer.save_encoder(tmp_path / "encoder")
    assert made.origin.after == trainer.scores()
    assert made.origin.before["loss"] > made.origin.after["loss"]

    other = make(SMALL, LINES).load("1epoch")
    other.fit_stage(2, 1e-3)
    again = other.save_encoder(tmp_path / "again")
    one, two = (load_file(of.folder / "model.safetensors") for of in (made, again))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert Finetune(encoder=str(made.folder)).check() is None


@pytest.mark.parametrize("preset", ["tiny", "awd-lstm-small"])
def test_a_language_model_in_one_stage_is_that_of_pretrain(
    make: Callable[..., Trainer], tmp_path: Path, preset: str
) -> None:
    settings = replace(SMALL, epochs=2, learning_rate=1e-2)
    if preset != "tiny":
        settings = Pretraining(
            preset=preset, width=16, feed_forward=24, epochs=2, batch_size=4, learning_rate=1e-2
        )
    whole = finetext.pretrain(
        LINES, tmp_path / "whole", settings, listener=Listener(), device="cpu"
    )
    trainer = make(settings, LINES)
    trainer.fit_stage(2)
    one, two = (
        load_file(of.folder / "model.safetensors")
        for of in (whole, trainer.save_encoder(tmp_path / "stages"))
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert load_for_language_model(str(tmp_path / "stages"), _tokenizer(tmp_path / "stages"))


def _tokenizer(folder: Path) -> Any:
    from finetext.encoders.load import load_tokenizer

    return load_tokenizer(str(folder))


def test_an_adapted_encoder_is_that_of_adapt(
    make: Callable[..., Trainer], tiny_encoder: Path, tmp_path: Path
) -> None:
    settings = Adaptation(encoder=str(tiny_encoder), batch_size=4, max_length=24, epochs=2)
    whole = finetext.adapt(LINES, tmp_path / "whole", settings, listener=Listener(), device="cpu")
    trainer = make(settings, LINES)
    trainer.fit_stage(2)
    made = trainer.save_encoder(tmp_path / "stages")
    assert made.origin.after == whole.origin.after
    assert made.origin.before == whole.origin.before
    with pytest.raises(RunError, match="a language model is no classifier"):
        trainer.classifier()
    with pytest.raises(RunError, match=r"exists|finished|empty"):
        trainer.save_encoder(tmp_path / "stages")
