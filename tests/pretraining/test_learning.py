"""Language models learn the same in fp32, bf16 and fp16, and resume bit-identically in each."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

import finetext
from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset
from finetext.encoders.load import load_tokenizer
from finetext.pretraining.adapt import Adaptation, adapt
from finetext.pretraining.folder import read_origin
from finetext.pretraining.learning import Adapted
from finetext.pretraining.pretrain import Pretraining, pretrain
from finetext.runs.trainer import Trainer
from finetext.training import optimizer
from finetext.training.optimizer import FORMATS, LOSS_SCALE

TEXTS = [
    f"{text} {word} {number}"
    for number in "abcdef"
    for word in ("today", "once again", "at last")
    for text in ("the team won the match", "the bank raised its rates", "soup with bread and salt")
]
KINDS = ("bert", "gpt2", "awd-lstm")
PRECISIONS = ("fp32", "bf16", "fp16")
TOLERANCE = {"bf16": 0.01, "fp16": 0.01}
"""Of the loss at any point of the training, as a share of the loss in fp32."""


@pytest.fixture(scope="module")
def encoders(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of encoders with random weights, by kind."""
    gpt = tmp_path_factory.mktemp("gpt2")
    tokenizer = load_tokenizer(str(tiny_encoder))
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(gpt)
    tokenizer.save_pretrained(gpt)
    awd = tmp_path_factory.mktemp("awd") / "own"
    sizes = Pretraining(
        preset="awd-lstm-small", width=16, feed_forward=24, epochs=1, batch_size=2, precision="fp32"
    )
    pretrain(TEXTS, awd, sizes, listener=Listener())
    return {"bert": tiny_encoder, "gpt2": gpt, "awd-lstm": awd}


@pytest.fixture(scope="module")
def settings(encoders: dict[str, Path]) -> Callable[[str, Any], Adaptation]:
    """A function from a kind and a precision to what trains it for some dozen steps."""

    def made(kind: str, precision: Any) -> Adaptation:
        rate = 2e-2 if kind == "awd-lstm" else 3e-3
        return Adaptation(
            encoder=str(encoders[kind]), epochs=12 if kind == "awd-lstm" else 4, batch_size=2,
            learning_rate=rate, max_length=32, evaluate_every=6, dropout_multiplier=0.0,
            precision=precision,
        )  # fmt: skip

    return made


@pytest.fixture(scope="module")
def whole(
    settings: Callable[..., Adaptation], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Adapted]:
    """A function that trains a kind in a precision, once, without a stop."""
    done: dict[tuple[str, str], Adapted] = {}

    def train(kind: str, precision: str) -> Adapted:
        if (kind, precision) not in done:
            out = tmp_path_factory.mktemp("whole") / "out"
            done[kind, precision] = adapt(
                TEXTS, out, settings(kind, precision), device="cpu", listener=Listener()
            )
        return done[kind, precision]

    return train


def curve(adapted: Adapted, figure: str) -> np.ndarray[Any, Any]:
    """The running training loss of each step, or a figure of each evaluation."""
    lines = map(json.loads, (adapted.folder / "log.jsonl").read_text().splitlines())
    if figure == "loss":
        return np.array([line["loss"] for line in lines if "gradient_norm" in line])
    return np.array([line["evaluation"][figure] for line in lines if "evaluation" in line])


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_falls_as_in_fp32(
    kind: str, precision: str, whole: Callable[[str, str], Adapted]
) -> None:
    exact, found = whole(kind, "fp32"), whole(kind, precision)
    for figure in ("loss", "validation loss"):
        losses = curve(exact, figure)
        assert losses[-1] < 0.95 * losses[0]
        np.testing.assert_allclose(curve(found, figure), losses, rtol=TOLERANCE[precision])
    assert len(curve(exact, "loss")) >= 40
    wanted = exact.origin.after["perplexity"]
    assert found.origin.after["perplexity"] == pytest.approx(wanted, rel=2 * TOLERANCE[precision])
    assert found.origin.before == exact.origin.before
    assert any((curve(found, "loss") != curve(exact, "loss")).tolist())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_weights_are_fp32_and_finite(
    kind: str, precision: str, whole: Callable[[str, str], Adapted]
) -> None:
    weights = load_file(whole(kind, precision).folder / "model.safetensors")
    for name, weight in weights.items():
        assert weight.dtype == torch.float32, name
        assert weight.isfinite().all(), name
    rounded = [weight for weight in weights.values() if weight.equal(weight.half().float())]
    assert len(rounded) < len(weights) / 2  # the master copies, not what was computed with
    config = json.loads((whole(kind, precision).folder / "config.json").read_text())
    assert config["dtype"] == "float32"


def stopping_at(steps: int) -> Listener:
    """Ctrl-C after this many steps."""
    events: list[ProgressEvent] = []

    def stop(event: ProgressEvent) -> None:
        if event.stage.startswith(("adapt", "pretrain")):
            events.append(event)
        if len(events) == steps:
            raise KeyboardInterrupt

    return Listener(progress=stop)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_training_resumes_bit_identically(
    kind: str, precision: str, whole: Callable[[str, str], Adapted],
    settings: Callable[..., Adaptation], tmp_path: Path,
) -> None:  # fmt: skip
    how = {"settings": settings(kind, precision), "device": "cpu"}
    with pytest.raises(KeyboardInterrupt):
        adapt(TEXTS, tmp_path / "out", listener=stopping_at(7), **how)
    [latest] = (tmp_path / "out").rglob("latest.safetensors")
    tensors = load_file(latest)
    carried = {of.dtype for name, of in tensors.items() if name.startswith("carried/left/")}
    assert carried == ({FORMATS[precision]} if kind == "awd-lstm" else set())
    weights = {of.dtype for name, of in tensors.items() if name.startswith("weight/")}
    assert weights == {torch.float32}
    assert (LOSS_SCALE in tensors) == (precision == "fp16")
    adapt(TEXTS, tmp_path / "out", listener=Listener(), resume=True, **how)
    expected = whole(kind, precision).folder
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.parametrize("kind", ["bert", "awd-lstm"])
def test_resuming_in_another_precision_or_on_another_device_warns(
    kind: str, settings: Callable[..., Adaptation], whole: Callable[[str, str], Adapted],
    tmp_path: Path,
) -> None:  # fmt: skip
    out, found = tmp_path / "out", list[str]()
    hearing = Listener(finding=lambda finding: found.append(finding.message))
    with pytest.raises(KeyboardInterrupt):
        adapt(TEXTS, out, settings(kind, "fp16"), device="cpu", listener=stopping_at(7))
    # On a GPU the states of its random generators would be there.
    [latest] = out.rglob("latest.safetensors")
    with safe_open(latest, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
        facts = file.metadata()
    save_file(tensors | {"random/cuda": torch.zeros(16, dtype=torch.uint8)}, latest, facts)
    shutil.copytree(out, tmp_path / "other")
    how = {"device": "cpu", "listener": hearing, "resume": True}
    adapt(TEXTS, out, settings(kind, "fp16"), **how)
    moved = "training began in fp16 on cuda and continues in fp16"
    assert found == [
        f"adapt: {moved}, which is slow on cpu; to train in fp32, start anew in another folder, or "
        "resume on cuda"
    ]
    assert moved in (out / "log.jsonl").read_text()
    adapt(TEXTS, tmp_path / "other", settings(kind, "fp32"), **how)
    assert f"{moved}, although precision is fp32 now, which is slow on cpu" in found[1]
    for folder in (out, tmp_path / "other"):
        one, two = (of / "model.safetensors" for of in (folder, whole(kind, "fp16").folder))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_an_overflow_skips_the_step_and_is_no_divergence_nor_lost_when_resumed(
    kind: str, settings: Callable[..., Adaptation], whole: Callable[[str, str], Adapted],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(optimizer, "FIRST_SCALE", 2.0**40)
    found: list[str] = []
    hearing = Listener(finding=lambda finding: found.append(finding.message))
    how = {"settings": settings(kind, "fp16"), "device": "cpu"}
    done = adapt(TEXTS, tmp_path / "out", listener=hearing, **how)
    log = (tmp_path / "out" / "log.jsonl").read_text()
    assert log.count("overflowed in fp16") > 10
    assert not [message for message in found if "restarted" in message]
    exact = whole(kind, "fp32").origin
    assert done.origin.after["loss"] < exact.before["loss"]
    with pytest.raises(KeyboardInterrupt):
        adapt(TEXTS, tmp_path / "parts", listener=stopping_at(5), **how)
    adapt(TEXTS, tmp_path / "parts", listener=Listener(), resume=True, **how)
    one, two = (tmp_path / name / "model.safetensors" for name in ("out", "parts"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("preset", ["tiny", "awd-lstm-small"])
def test_pretraining_learns_as_in_fp32(preset: str, precision: Any, tmp_path: Path) -> None:
    sizes = Pretraining(
        preset=preset, width=16, feed_forward=24, layers=2, epochs=6, batch_size=2,
        heads=2 if preset == "tiny" else None, learning_rate=1e-2, precision="fp32",
        dropout_multiplier=0.0,
    )  # fmt: skip
    how = {"device": "cpu", "listener": Listener()}
    exact = pretrain(TEXTS, tmp_path / "fp32", sizes, **how)
    found = pretrain(TEXTS, tmp_path / "out", replace(sizes, precision=precision), **how)
    assert exact.origin.after["loss"] < 0.95 * exact.origin.before["loss"]
    wanted = exact.origin.after["loss"]
    assert found.origin.after["loss"] == pytest.approx(wanted, rel=TOLERANCE[precision])
    with pytest.raises(KeyboardInterrupt):
        pretrain(
            TEXTS, tmp_path / "parts", replace(sizes, precision=precision), device="cpu",
            listener=stopping_at(5),
        )  # fmt: skip
    pretrain(TEXTS, tmp_path / "parts", replace(sizes, precision=precision), resume=True, **how)
    one, two = (tmp_path / name / "model.safetensors" for name in ("out", "parts"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="this machine has a GPU"
)
def test_fp16_without_a_gpu_needs_the_name_of_the_device(
    settings: Callable[..., Adaptation], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"this machine has no GPU.*Use auto, bf16 or fp32"):
        adapt(TEXTS, tmp_path / "out", settings("bert", "fp16"), listener=Listener())
    with pytest.raises(RecipeError, match="this machine has no GPU"):
        pretrain(TEXTS, tmp_path / "out", Pretraining(precision="fp16"), listener=Listener())
    assert not (tmp_path / "out").exists()


LONGER = [f"{text} {number}" for number in range(20) for text in TEXTS]
"""Enough words for several streams."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_batch_that_fits_trains_as_that_number(
    kind: str, settings: Callable[..., Adaptation], limited: Callable[[int], list[int]],
    tmp_path: Path,
) -> None:  # fmt: skip
    tried = limited(4)
    how = replace(settings(kind, "fp32"), epochs=2, batch_size="auto")
    said: list[str] = []
    found = adapt(LONGER, tmp_path / "auto", how, device="cpu", listener=Listener(say=said.append))
    assert tried == [2, 4, 8]
    expected = adapt(
        LONGER, tmp_path / "four", replace(how, batch_size=4), device="cpu", listener=Listener()
    )
    one, two = (of.folder / "model.safetensors" for of in (found, expected))
    assert one.read_bytes() == two.read_bytes()
    assert found.origin.settings["batch_size"] == "auto"
    assert found.origin.chosen == expected.origin.chosen | {"batch_size": 4}
    assert "adapt: batch size 8 does not fit; using 4" in said
    assert '"batch size 8 does not fit; using 4"' in (found.folder / "log.jsonl").read_text()
    assert read_origin(found.folder) == found.origin


@pytest.mark.parametrize("kind", KINDS)
def test_the_search_makes_real_steps_and_changes_no_weight(
    kind: str, settings: Callable[..., Adaptation], tmp_path: Path
) -> None:
    """Without a made-up memory; a short text has fewer streams than the CPU has room for."""
    how = replace(settings(kind, "fp32"), epochs=1, batch_size="auto")
    found = adapt(LONGER, tmp_path / "auto", how, device="cpu", listener=Listener())
    size = found.origin.chosen["batch_size"]
    assert size == (8 if kind == "awd-lstm" else 32)
    how = replace(how, batch_size=size)
    expected = adapt(LONGER, tmp_path / "number", how, device="cpu", listener=Listener())
    one, two = (of.folder / "model.safetensors" for of in (found, expected))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("kind", ["bert", "awd-lstm"])
def test_a_resumed_training_has_the_batch_size_that_it_began_with(
    kind: str, settings: Callable[..., Adaptation], limited: Callable[[int], list[int]],
    tmp_path: Path,
) -> None:  # fmt: skip
    limited(2)
    how = replace(settings(kind, "fp32"), epochs=2, batch_size="auto")
    whole = adapt(TEXTS, tmp_path / "whole", how, device="cpu", listener=Listener())
    with pytest.raises(KeyboardInterrupt):
        adapt(TEXTS, tmp_path / "parts", how, device="cpu", listener=stopping_at(2))
    tried = limited(8)
    parts = adapt(TEXTS, tmp_path / "parts", how, device="cpu", resume=True, listener=Listener())
    assert tried == []
    assert parts.origin.chosen == whole.origin.chosen
    one, two = (of.folder / "model.safetensors" for of in (whole, parts))
    assert one.read_bytes() == two.read_bytes()
    again = adapt(TEXTS, tmp_path / "parts", how, device="cpu", resume=True, listener=Listener())
    assert again.origin == parts.origin


def test_pretraining_and_the_trainer_find_a_batch_size(
    limited: Callable[[int], list[int]], tmp_path: Path
) -> None:
    limited(4)
    how = Pretraining(layers=1, heads=2, width=16, feed_forward=24, epochs=1, batch_size="auto")
    whole = pretrain(TEXTS, tmp_path / "whole", how, device="cpu", listener=Listener())
    trainer = Trainer(how, TEXTS, device="cpu", listener=Listener())
    trainer.fit_stage(1)
    staged = trainer.save_encoder(tmp_path / "staged")
    assert whole.origin.chosen["batch_size"] == staged.origin.chosen["batch_size"] == 4
    assert whole.origin.settings == staged.origin.settings
    one, two = (of.folder / "model.safetensors" for of in (whole, staged))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("size", ["big", "", 0, -1, 2.5, None])
def test_a_wrong_batch_size_is_told_of_auto(size: Any, tmp_path: Path, topics: Dataset) -> None:
    wanted = re.escape(f'batch_size = {size!r}: use a whole number of 1 or more, or "auto"')
    for name, learn, kind in (("adapt", adapt, Adaptation), ("pretrain", pretrain, Pretraining)):
        with pytest.raises(RecipeError, match=f"^{name}: {wanted}$"):
            learn(TEXTS, tmp_path / "out", kind(batch_size=size), listener=Listener())
        with pytest.raises(RecipeError, match=f"^{name}: {wanted}$"):
            Trainer(kind(batch_size=size), TEXTS, listener=Listener())
    if size is not None:  # by which the number of rows says how many make a step
        with pytest.raises(RecipeError, match=wanted):
            finetext.fit(topics.texts, topics.labels, finetext.Finetune(batch_size=size))
    assert not (tmp_path / "out").exists()


def test_the_commands_take_auto(
    command: Callable[..., Any], tiny_encoder: Path, reviews: Path, workplace: Path
) -> None:
    sizes = ("--set", "pretrain.layers=1", "--set", "pretrain.width=16")
    for words in (("adapt", reviews, "--encoder", tiny_encoder), ("pretrain", reviews, *sizes)):
        words = (*words, "--epochs", "1", "--max-length", "16", "--out", words[0])
        seen = command(*words, "--batch-size", "auto")
        assert seen.status == 0, seen.err
        assert "using batch size 32, the most for" in seen.err
        told = json.loads((workplace / words[0] / "origin.json").read_text())
        assert told["chosen"]["batch_size"] == 32
        seen = command(*words, "--resume", "--batch-size", "0")
        assert seen.status == 2
        assert 'batch_size = 0: use a whole number of 1 or more, or "auto"' in seen.err
