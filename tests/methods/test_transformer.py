"""Classifiers in the layout of transformers: what they write, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.contracts import Classifier, FitContext
from finetext.core.errors import ModelError
from finetext.core.types import Dataset
from finetext.methods.finetune import Finetune
from finetext.methods.transformer import TransformerClassifier

CPU = FitContext(device="cpu")


@pytest.fixture(scope="module")
def method(tiny_encoder: Path) -> Finetune:
    return Finetune(encoder=str(tiny_encoder), epochs=2, batch_size=9, learning_rate=3e-3)


@pytest.fixture(scope="module")
def fitted(method: Finetune, topics: Dataset) -> TransformerClassifier:
    return replace(method, epochs=25).fit(topics, topics, CPU)


def test_prediction_that_overflows_in_fp16_is_refused(
    fitted: TransformerClassifier, topics: Dataset
) -> None:
    import copy

    import torch

    large = copy.deepcopy(fitted.model)
    with torch.no_grad():
        large.classifier.weight.mul_(1e6)
    large = replace(fitted, model=large)
    assert np.isfinite(large.predict_proba(topics.texts)).all()
    with pytest.raises(ModelError, match=r"in fp16 .* use precision bf16 or fp32"):
        large.with_precision("fp16").predict_proba(topics.texts)


@pytest.mark.parametrize("several", [False, True])
def test_the_pipeline_of_transformers_gives_the_same(
    method: Finetune, topics: Dataset, mixed_topics: Dataset, several: bool, tmp_path: Path
) -> None:
    from transformers import pipeline

    rows = mixed_topics if several else topics
    side: Any = "tail" if several else "head"
    fitted = replace(method, max_length=8, truncation=side).fit(rows, rows, CPU)
    folder = fitted.save(tmp_path / "model")
    ask = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    for text, said in zip(rows.texts, ask(rows.texts, truncation=True, batch_size=8), strict=True):
        assert {of["label"]: of["score"] for of in said} == pytest.approx(fitted(text), abs=1e-5)


def test_it_trains_on_from_its_own_folder(
    fitted: TransformerClassifier,
    method: Finetune,
    topics: Dataset,
    make_dataset: Callable[..., Dataset],
    tmp_path: Path,
) -> None:
    encoder = fitted.save(tmp_path / "model")
    other = make_dataset(topics.texts, ["long" if len(t) > 24 else "short" for t in topics.texts])
    again = replace(method, encoder=str(encoder), epochs=1).fit(other, other, CPU)
    assert again.predict_proba(["bread"]).shape == (1, 2)
    assert again.model.config.id2label == {0: "long", 1: "short"}


def test_a_folder_with_other_weights_than_labels_is_damaged(
    fitted: TransformerClassifier, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = fitted.save(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    head = {name for name in weights if name.startswith("classifier")}
    assert head
    without = {name: of for name, of in weights.items() if name not in head}
    save_file(without, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="bytes, not the"):
        Classifier.load(folder)
    described = json.loads((folder / "finetext.json").read_text())
    (folder / "finetext.json").write_text(json.dumps({**described, "files": None}))
    with pytest.raises(ModelError, match="lacks the weights classifier"):
        Classifier.load(folder)
    smaller = {name: of[:2].clone() if name in head else of for name, of in weights.items()}
    save_file(smaller, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="damaged"):
        Classifier.load(folder)
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="damaged"):
        Classifier.load(folder)


def test_labels_and_outputs_must_agree(fitted: TransformerClassifier, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "model")
    described = json.loads((folder / "finetext.json").read_text())
    described["labels"] = described["labels"][:2]
    (folder / "finetext.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match="3 outputs for 2 labels"):
        Classifier.load(folder)


def test_a_model_folder_wins_over_an_alias_of_the_same_name(
    fitted: TransformerClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = Classifier.load(fitted.save("minilm"), device="cpu")
    np.testing.assert_allclose(loaded.predict_proba(["a"]), fitted.predict_proba(["a"]), atol=1e-6)
