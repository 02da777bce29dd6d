"""Fine-tuning: its options, what it says, and that transformers reads what it writes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.contracts import FitContext
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.core.types import Dataset
from finetext.encoders.load import load_tokenizer
from finetext.methods.finetune import Finetune
from finetext.methods.transformer import TransformerClassifier
from finetext.runs.recipe import Recipe
from finetext.training.batches import training_batches
from finetext.training.plan import Stage
from finetext.training.tokens import tokenize

CPU = FitContext(device="cpu")


@pytest.fixture(scope="module")
def method(tiny_encoder: Path) -> Finetune:
    return Finetune(encoder=str(tiny_encoder), epochs=2, batch_size=9, learning_rate=3e-3)


@pytest.fixture(scope="module")
def fitted(method: Finetune, topics: Dataset) -> TransformerClassifier:
    return replace(method, epochs=25).fit(topics, topics, CPU)


def test_it_learns_the_training_rows(fitted: TransformerClassifier, topics: Dataset) -> None:
    decisions = fitted.predict_proba(topics.texts).argmax(axis=1)
    assert (decisions == topics.targets).mean() > 0.9


def test_it_learns_several_labels(method: Finetune, mixed_topics: Dataset) -> None:
    fitted = replace(method, epochs=12).fit(mixed_topics, mixed_topics, CPU)
    probabilities = fitted.predict_proba(mixed_topics.texts)
    assert ((probabilities > 0.5) == mixed_topics.targets).mean() > 0.85
    assert fitted.model.config.problem_type == "multi_label_classification"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0), ("epochs", 1.5), ("batch_size", 0), ("batch_size", -8),
        ("learning_rate", 0), ("learning_rate", -1e-5), ("learning_rate", float("nan")),
        ("learning_rate", float("inf")), ("max_length", 3), ("warmup_share", 1.1),
        ("warmup_share", -0.1), ("weight_decay", -0.1), ("largest_gradient", 0),
        ("dropout_multiplier", -1), ("label_smoothing", 1.0), ("label_smoothing", -0.1),
        ("class_weights", "heavy"), ("resample", "both"), ("evaluate_every", 0), ("patience", 0),
        ("precision", "fp8"), ("epochs", "many"), ("unfreeze", "slowly"), ("head", "mean"),
        ("discriminative", 0), ("head_rate", 0), ("schedule", "cosine"),
        ("stage_epochs", (1, 1, 2)), ("stage_epochs", (1, 1, 1, 0)), ("stage_rates", (1, 1, 1, 0)),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=rf"\[methods.finetune\]: {setting} = "):
        Recipe.from_values({"methods": {"finetune": {setting: value}}})
    with pytest.raises(RecipeError, match=f"{setting} = "):
        Recipe(methods={"finetune": Finetune(**{setting: value})})


def test_settings_at_the_ends_of_their_ranges_are_taken() -> None:
    settings = {
        "epochs": 1, "batch_size": 1, "max_length": 4, "warmup_share": 1, "weight_decay": 0,
        "dropout_multiplier": 0, "label_smoothing": 0, "evaluate_every": 1, "patience": 1,
    }  # fmt: skip
    recipe = Recipe.from_values({"methods": {"finetune": settings}})
    assert recipe.methods["finetune"] == Finetune(**settings)  # type: ignore[arg-type]


def test_an_unknown_encoder_and_too_long_an_input_are_refused_early(tiny_encoder: Path) -> None:
    with pytest.raises(UnknownNameError, match="minilm"):
        Finetune(encoder="minilmm").check()
    with pytest.raises(RecipeError, match="takes from 4 to 64 tokens"):
        Finetune(encoder=str(tiny_encoder), max_length=65).check()
    Finetune(encoder=str(tiny_encoder), max_length=64).check()


def test_stages_by_hand_are_the_stages_of_the_training(tiny_encoder: Path, topics: Dataset) -> None:
    said: list[str] = []
    stages = (Stage(1, 2e-2, groups=1), Stage(2, (1e-4, 1e-2), groups=2), Stage(1, 1e-3))
    method = Finetune(encoder=str(tiny_encoder), stages=stages)
    method.fit(topics, topics, replace(CPU, say=said.append))
    assert "4 epochs, learning rate 0.02, 0.0001 to 0.01, 0.001" in said[0]
    assert [line.partition(": ")[2] for line in said[1:] if ": stage " in line] == [
        "stage 1 of 3: 1 of 4 layer groups learn, learning rate 0.02",
        "stage 2 of 3: 2 of 4 layer groups learn, learning rate 0.0001 to 0.01",
        "stage 3 of 3: 4 of 4 layer groups learn, learning rate 0.001",
    ]


def test_gradual_unfreezing_is_a_preset_of_stages(tiny_encoder: Path, topics: Dataset) -> None:
    rates = ((1, 20), (2, 10), (3, 5))
    stages = [*(Stage(1, 1e-3 * times, groups) for groups, times in rates), Stage(2, 1e-3)]
    preset = Finetune(encoder=str(tiny_encoder), unfreeze="gradual", learning_rate=1e-3)
    by_hand = Finetune(encoder=str(tiny_encoder), stages=tuple(stages))
    one, other = (of.fit(topics, topics, CPU).logits(topics.texts) for of in (preset, by_hand))
    assert np.array_equal(one, other)


def test_the_head_is_trained_alone_and_then_everything() -> None:
    method = Finetune.frozen_then_full(4, 1e-2, encoder="minilm", batch_size=8)
    assert method.batch_size == 8
    assert method.stages is not None
    head, everything = method.stages
    assert (head.epochs, head.learning_rate, head.groups) == (1, 1e-2, 1)
    assert (everything.epochs, everything.groups) == (4, None)
    assert everything.learning_rate == pytest.approx((5e-5, 5e-3))
    method.check()


def test_stages_in_a_recipe_are_checked_and_kept() -> None:
    stages = [
        {"epochs": 1, "learning_rate": 2e-2, "groups": 1},
        {"epochs": 2, "learning_rate": [1e-4, 1e-2]},
    ]
    recipe = Recipe.from_values({"methods": {"finetune": {"stages": stages}}})
    expected = Finetune(stages=(Stage(1, 2e-2, 1), Stage(2, (1e-4, 1e-2))))
    assert recipe.methods["finetune"] == expected
    again = Recipe.from_values(tomllib.loads(replace(recipe, source="x.csv").to_toml()))
    assert again.methods == recipe.methods


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ({"epochs": 0, "learning_rate": 0.1}, "value 2, epochs"),
        ({"epochs": 1, "learning_rate": -0.1}, "value 2, learning_rate"),
        ({"epochs": 1, "learning_rate": 0.1, "grups": 1}, "value 2, grups: there is no such"),
        ({"epochs": 1}, "value 2, learning_rate: Field required"),
        ({"epochs": 1, "learning_rate": 0.1, "groups": 0}, "value 2, groups"),
    ],
)
def test_a_wrong_stage_is_named(stage: dict[str, Any], reason: str) -> None:
    stages = [{"epochs": 1, "learning_rate": 0.1}, stage]
    with pytest.raises(RecipeError, match=reason):
        Recipe.from_values({"methods": {"finetune": {"stages": stages}}})


@pytest.mark.parametrize(
    "other", [{"epochs": 2}, {"learning_rate": 0.1}, {"unfreeze": "gradual"}, {"stages": ()}]
)
def test_stages_stand_alone(other: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="stages"):
        Finetune(**{"stages": (Stage(1, 0.1),)} | other).check()


def test_gradual_unfreezing_has_four_stages(tiny_encoder: Path, topics: Dataset) -> None:
    said: list[str] = []
    method = Finetune(encoder=str(tiny_encoder), unfreeze="gradual", learning_rate=1e-3)
    method.fit(topics, topics, replace(CPU, say=said.append))
    assert "5 epochs, learning rate 0.02, 0.01, 0.005, 0.001" in said[0]
    assert [line.partition(": ")[2] for line in said if "layer groups" in line] == [
        "stage 1 of 4: 1 of 4 layer groups learn, learning rate 0.02",
        "stage 2 of 4: 2 of 4 layer groups learn, learning rate 0.01",
        "stage 3 of 4: 3 of 4 layer groups learn, learning rate 0.005",
        "stage 4 of 4: 4 of 4 layer groups learn, learning rate 0.001",
    ]


@pytest.mark.parametrize(("decay", "rate"), [(1.0, "0.00014"), (2.6, "0.001"), (0.9, "0.001")])
def test_with_discriminative_rates_the_head_learns_faster(
    tiny_encoder: Path, topics: Dataset, decay: float, rate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.methods.regimes.learning_rate_for", lambda rate, width: 1.4e-4)
    said: list[str] = []
    method = Finetune(encoder=str(tiny_encoder), epochs=1, discriminative=decay)
    method.fit(topics, topics, replace(CPU, say=said.append))
    assert f"learning rate {rate}, cpu" in said[0]


def test_a_stage_of_no_epochs_is_left_out(tiny_encoder: Path, topics: Dataset) -> None:
    said: list[str] = []
    method = Finetune(encoder=str(tiny_encoder), unfreeze="gradual", stage_epochs=(1, 0, 0, 1))
    method.fit(topics, topics, replace(CPU, say=said.append))
    stages = [line.partition(":")[2][:13] for line in said if "layer groups" in line]
    assert stages == [" stage 1 of 2", " stage 2 of 2"]


def test_epochs_and_stages_do_not_go_together(tiny_encoder: Path) -> None:
    method = Finetune(encoder=str(tiny_encoder), unfreeze="gradual", epochs=3)
    with pytest.raises(RecipeError, match="set that instead of epochs"):
        method.check()


def test_stages_survive_a_recipe_file(tmp_path: Path) -> None:
    method = Finetune(unfreeze="gradual", stage_epochs=(2, 0, 1, 3), stage_rates=(4, 3, 2, 1))
    path = tmp_path / "recipe.toml"
    path.write_text(Recipe(methods={"finetune": method}).to_toml())
    assert Recipe.from_file(path).methods["finetune"] == method


def test_it_says_what_it_trains(method: Finetune, topics: Dataset) -> None:
    said: list[str] = []
    fitted = method.fit(topics, topics, replace(CPU, say=said.append))
    count = sum(parameter.numel() for parameter in fitted.model.parameters())
    assert "BertForSequenceClassification" in said[0]
    assert f"{count / 1e6:.1f} M parameters" in said[0]
    assert "up to 64 tokens, 2 epochs, learning rate 0.003, cpu" in said[0]


def test_the_log_has_an_evaluation_an_epoch(
    method: Finetune, topics: Dataset, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    method.fit(topics, topics, replace(CPU, log=log, metric="accuracy"))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [line["step"] for line in lines if "validation accuracy" in line.get("evaluation", {})]
    lengths = tokenize(load_tokenizer(method.encoder), topics.texts, 64).lengths
    ends = accumulate(len(training_batches(lengths, 9, CPU.seed, epoch)) for epoch in range(2))
    assert steps == list(ends)


@pytest.mark.parametrize(
    "options",
    [
        {"class_weights": "balanced"}, {"label_smoothing": 0.3}, {"resample": "over"},
        {"resample": "under"}, {"dropout_multiplier": 1.0}, {"weight_decay": 0.5},
        {"warmup_share": 0.9}, {"largest_gradient": 1e-9}, {"max_length": 5},
        {"discriminative": 2.6}, {"head_rate": 5.0}, {"schedule": "one-cycle"},
        {"schedule": "slanted-triangular"}, {"head": "concat"},
        {"unfreeze": "gradual", "epochs": None},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_makes_a_difference(
    method: Finetune, topics: Dataset, options: dict[str, Any]
) -> None:
    uneven = topics.select([i for i, label in enumerate(topics.labels) if label != "food"] + [6])
    plain, changed = (
        made.fit(uneven, uneven, CPU).predict_proba(uneven.texts)
        for made in (method, replace(method, **options))
    )
    assert np.isfinite(changed).all()
    assert not np.allclose(plain, changed, atol=1e-5)


def test_class_weights_favour_the_rare_class(
    method: Finetune, topics: Dataset, make_dataset: Callable[..., Dataset]
) -> None:
    texts = topics.texts
    rare = make_dataset(texts, ["rare" if i % 9 == 0 else "common" for i in range(len(texts))])
    plain, weighted = (
        replace(method, class_weights=how).fit(rare, rare, CPU).predict_proba(texts)[:, 1].mean()
        for how in ("none", "balanced")
    )
    assert weighted > plain + 0.05


def test_class_weights_work_with_several_labels(method: Finetune, mixed_topics: Dataset) -> None:
    fitted = replace(method, class_weights="balanced").fit(mixed_topics, mixed_topics, CPU)
    assert np.isfinite(fitted.predict_proba(mixed_topics.texts)).all()


def test_resampling_several_labels_is_refused(method: Finetune, mixed_topics: Dataset) -> None:
    with pytest.raises(RecipeError, match="use class_weights"):
        replace(method, resample="over").fit(mixed_topics, mixed_topics, CPU)


def test_the_seed_decides_and_the_surroundings_do_not(method: Finetune, topics: Dataset) -> None:
    import torch

    found = []
    for seed, around in ((1, 10), (1, 11), (2, 12)):
        torch.manual_seed(around)
        state = torch.get_rng_state()
        fitted = method.fit(topics, topics, replace(CPU, seed=seed))
        assert torch.equal(torch.get_rng_state(), state)
        found.append(fitted.predict_proba(topics.texts))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2], atol=1e-4)


@pytest.mark.parametrize("head", ["standard", "concat"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_it_learns_and_predicts_in_16_bits_as_in_fp32(
    precision: Any, head: Any, method: Finetune, topics: Dataset, tmp_path: Path
) -> None:
    exact = replace(method, epochs=8, precision="fp32", head=head)
    wanted = exact.fit(topics, topics, CPU).predict_proba(topics.texts)
    fitted = replace(exact, precision=precision).fit(topics, topics, CPU)
    assert fitted.trained_with["precision"] == precision
    assert {str(weight.dtype) for weight in fitted.model.parameters()} == {"torch.float32"}
    found = fitted.predict_proba(topics.texts)
    np.testing.assert_allclose(found, wanted, atol=0.05)
    loaded = finetext.load(fitted.save(tmp_path / "model"), "cpu")
    assert loaded.number_format == {"bf16": "bf16", "fp16": "fp32"}[precision]
    again = loaded.with_precision(precision).predict_proba(topics.texts)
    np.testing.assert_array_equal(again, found)
    in_fp32 = loaded.with_precision("fp32").predict_proba(topics.texts)
    np.testing.assert_allclose(in_fp32, found, atol=0.01)
    assert (in_fp32 != found).any()
