"""Models for natural language inference as zero-shot classifiers, with random weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.arrays import probabilities_of
from finetext.core.contracts import Classifier, FitContext
from finetext.core.decision import Decision
from finetext.core.shared_texts import SharedTexts
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.entailment import EntailmentClassifier, entailment_outputs, outputs_of
from finetext.methods.zeroshot import ZeroShot

LABELS = ["bread", "match"]
SCHEME = LabelScheme(("bread", "match"))
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


def test_descriptions_are_hypotheses_of_their_own(model: Path) -> None:
    described = {"bread": ("It is baked.", "It is eaten."), "match": "Two teams play."}
    found = finetext.zero_shot(described, encoder=str(model), device="cpu")
    assert isinstance(found, EntailmentClassifier)
    assert found.hypotheses == (("It is baked.", "It is eaten."), ("Two teams play.",))
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
    assert loaded.provenance()["hypotheses"] == wanted
    assert loaded.predict_proba([]).shape == (0, 2)


def test_a_long_text_keeps_its_hypothesis(model: Path) -> None:
    long = "bread " * 500
    found = made(model).logits([long])
    assert not np.allclose(found[0, 0], found[0, 1])
    assert np.isfinite(probabilities_of(found, False)).all()


def test_outputs_are_found_by_their_names(model: Path, tiny_encoder: Path) -> None:
    assert outputs_of({0: "CONTRADICTION", 1: "neutral", 2: "ENTAILMENT"}) == (2, 0)
    assert outputs_of({0: "entailment", 1: "not_entailment"}) == (0, 1)
    assert outputs_of({"0": "not-entailment", "1": "entail"}) == (1, 0)
    assert outputs_of({0: "LABEL_0", 1: "LABEL_1"}) is None
    assert outputs_of({"0": "entailment", "7": "contradiction"}) is None
    assert outputs_of({"a": "entailment", "b": "contradiction"}) is None
    assert outputs_of({0: "entailment", 1: "entailed", 2: "neutral"}) is None
    assert entailment_outputs(str(model)) == (1, 0)
    assert entailment_outputs(str(tiny_encoder)) is None


def test_a_cross_validated_run_reads_each_text_once(model: Path, topics: Dataset) -> None:
    read: list[int] = []
    compute = EntailmentClassifier._computed

    def counted(self: EntailmentClassifier, texts: Sequence[str]) -> Any:
        read.append(len(texts))
        return compute(self, texts)

    shared = SharedTexts(tuple(topics.texts))
    context, method = FitContext(device="cpu", shared=shared), ZeroShot(str(model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EntailmentClassifier, "_computed", counted)
        first, second = (method.fit(topics.select(range(of, 20)), topics, context) for of in (0, 5))
        found = [of.with_temperature(2.0).logits(topics.texts) for of in (first, second)]
    np.testing.assert_array_equal(*found)
    assert read == [len(set(topics.texts))]
    alone = method.fit(topics, topics, FitContext(device="cpu"))
    np.testing.assert_allclose(found[0], alone.logits(topics.texts) / 2, atol=1e-5)


@pytest.mark.parametrize(
    "damage", [{"temperature": 0}, {"max_length": 1e999}, {"hypotheses": ["It is x.", "It is y."]},
               {"hypotheses": [["It is x."]]}, {"about": 3}],
)  # fmt: skip
def test_a_damaged_model_is_refused(model: Path, tmp_path: Path, damage: dict[str, Any]) -> None:
    place = made(model).save(tmp_path / "model") / "entailment.json"
    EntailmentClassifier.load_weights(place.parent, SCHEME, Decision(), "cpu")
    place.write_text(json.dumps(json.loads(place.read_text()) | damage))
    with pytest.raises((ValueError, KeyError)):
        EntailmentClassifier.load_weights(place.parent, SCHEME, Decision(), "cpu")
