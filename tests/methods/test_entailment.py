"""Models for natural language inference as zero-shot classifiers, with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import finetext
from finetext.core.arrays import probabilities_of
from finetext.core.contracts import Classifier
from finetext.methods.entailment import EntailmentClassifier, entailment_outputs, outputs_of

LABELS = ["bread", "match"]
TEXTS = ["fresh bread and salt", "the team won the match", ""]
OUTPUTS = {0: "contradiction", 1: "entailment", 2: "neutral"}


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model for inference."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(
        tiny_encoder,
        id2label=OUTPUTS,
        label2id={name: of for of, name in OUTPUTS.items()},
        initializer_range=0.3,  # so that texts differ
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = BertForSequenceClassification(config)
    folder = tmp_path_factory.mktemp("nli")
    made.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    return folder


def made(model: Path, multilabel: bool = False) -> EntailmentClassifier:
    found = finetext.zero_shot(LABELS, encoder=str(model), multilabel=multilabel, device="cpu")
    assert isinstance(found, EntailmentClassifier)
    return found


@pytest.mark.parametrize("multilabel", [False, True])
def test_it_agrees_with_the_pipeline_of_transformers(model: Path, multilabel: bool) -> None:
    from transformers import pipeline

    judge = pipeline("zero-shot-classification", model=str(model), device="cpu")
    ours = made(model, multilabel)
    for text in TEXTS[:2]:
        theirs = judge(text, LABELS, multi_label=multilabel)
        wanted = dict(zip(theirs["labels"], theirs["scores"], strict=True))
        assert ours(text) == pytest.approx(wanted, abs=1e-5)
    assert ours.predict_proba(TEXTS).std(axis=0).min() > 1e-3  # the texts matter


def test_descriptions_are_statements_of_their_own(model: Path) -> None:
    described = {"bread": ("It is baked.", "It is eaten."), "match": "Two teams play."}
    found = finetext.zero_shot(described, encoder=str(model), device="cpu")
    assert isinstance(found, EntailmentClassifier)
    assert found.statements == (("It is baked.", "It is eaten."), ("Two teams play.",))
    first, second = (
        finetext.zero_shot(
            {"bread": one, "match": "Two teams play."}, encoder=str(model), device="cpu"
        ).logits(TEXTS)
        for one in described["bread"]
    )
    np.testing.assert_allclose(found.logits(TEXTS), (first + second) / 2, atol=1e-5)


def test_it_can_be_saved_calibrated_and_loaded(model: Path, tmp_path: Path) -> None:
    before = made(model, multilabel=True)
    cooled = before.with_temperature(2.0)
    np.testing.assert_allclose(cooled.logits(TEXTS), before.logits(TEXTS) / 2, atol=1e-9)
    loaded = Classifier.load(cooled.save(tmp_path / "model"), "cpu")
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), cooled.predict_proba(TEXTS), atol=1e-6)
    wanted = [["This example is bread."], ["This example is match."]]
    assert loaded.provenance()["statements"] == wanted
    assert loaded.predict_proba([]).shape == (0, 2)


def test_a_long_text_keeps_its_statement(model: Path) -> None:
    long = "bread " * 500
    found = made(model).logits([long])
    assert not np.allclose(found[0, 0], found[0, 1])
    assert np.isfinite(probabilities_of(found, False)).all()


def test_outputs_are_found_by_their_names(model: Path, tiny_encoder: Path) -> None:
    assert outputs_of({0: "CONTRADICTION", 1: "neutral", 2: "ENTAILMENT"}) == (2, 0)
    assert outputs_of({0: "entailment", 1: "not_entailment"}) == (0, 1)
    assert outputs_of({0: "LABEL_0", 1: "LABEL_1"}) is None
    assert entailment_outputs(str(model)) == (1, 0)
    assert entailment_outputs(str(tiny_encoder)) is None
