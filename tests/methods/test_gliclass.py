"""GLiClass models as zero-shot classifiers, with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gliclass_models import save_gliclass

import finetext
from finetext.core.contracts import Classifier, FitContext
from finetext.core.decision import Decision
from finetext.core.errors import RecipeError
from finetext.core.shared_texts import SharedTexts
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.gliclass import GliclassClassifier
from finetext.methods.zeroshot import ZeroShot

pytest.importorskip("gliclass", reason="the extra gliclass is not installed")

LABELS = ["bread", "match", "late goal"]
SCHEME = LabelScheme(tuple(LABELS))
TEXTS = ["fresh bread and salt", "the team won the match", "a goal", "a recipe for the team"]
KINDS: dict[str, dict[str, Any]] = {
    "labels last": {},
    "DeBERTa": {"inner": "deberta-v2"},
    "ModernBERT": {"inner": "modernbert", "prompt_first": True},
    "labels first": {"prompt_first": True},
    "mean pooling": {"pooling_strategy": "avg", "scorer_type": "mlp", "prompt_first": True},
    "last position": {"pooling_strategy": "last", "scorer_type": "hopfield"},
    "sum of the text alone": {"pooling_strategy": "sum", "extract_text_features": True,
                              "prompt_first": True},
    "attention": {"pooling_strategy": "pass", "scorer_type": "cross-attn"},
    "an LSTM": {"use_lstm": True, "pooling_strategy": "max", "scorer_type": "weighted-dot"},
    "segments": {"use_segment_embeddings": True, "class_token_pooling": "average"},
    "cosines": {"normalize_features": True, "embed_class_token": False},
    "a calibrator": {"use_calibrator": True, "calibrator_use_bias": True},
    "25 places": {"max_labels_alloc": "fixed", "scorer_type": "hopfield"},
    "7 places": {"max_labels_alloc": 7, "scorer_type": "hopfield"},
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that saves a tiny model of a configuration."""

    def save(**settings: Any) -> Path:
        return save_gliclass(tmp_path_factory.mktemp("gliclass"), tiny_encoder, **settings)

    return save


@pytest.fixture(scope="module")
def model(saved: Callable[..., Path]) -> Path:
    """A model that reads the text before the labels."""
    return saved()


def made(model: Path, labels: Any = LABELS, **more: Any) -> GliclassClassifier:
    found = finetext.zero_shot(labels, encoder=str(model), device="cpu", **more)
    assert isinstance(found, GliclassClassifier)
    return found


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, saved: Callable[..., Path]) -> Path:
    """A model of each kind."""
    return saved(**KINDS[request.param])


@pytest.mark.parametrize("multilabel", [False, True])
def test_it_agrees_with_the_pipeline_of_the_library(kind: Path, multilabel: bool) -> None:
    from gliclass import GLiClassModel, ZeroShotClassificationPipeline
    from transformers import AutoTokenizer

    pipeline = ZeroShotClassificationPipeline(
        GLiClassModel.from_pretrained(kind), AutoTokenizer.from_pretrained(kind), device="cpu",
        classification_type="multi-label" if multilabel else "single-label", max_length=64,
        progress_bar=False,
    )  # fmt: skip
    ours = made(kind, multilabel=multilabel)
    for text in TEXTS:  # one by one, since theirs changes with the padding
        [theirs] = pipeline([text], LABELS, return_hierarchical=True)
        assert ours(text) == pytest.approx(theirs, abs=1e-4)
    assert ours.predict_proba(TEXTS).std(axis=0).max() > 1e-3  # the texts matter


def test_other_texts_change_nothing(kind: Path) -> None:
    found = made(kind)
    texts = [*TEXTS, "bread " * 200, "", "\ud83c"]
    alone = np.concatenate([found.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(found.predict_proba(texts), alone, atol=1e-5)
    np.testing.assert_allclose(found.predict_proba(texts[::-1]), alone[::-1], atol=1e-5)


@pytest.mark.parametrize("prompt_first", [False, True])
def test_a_long_text_loses_its_own_end(prompt_first: bool, saved: Callable[..., Path]) -> None:
    found = made(saved(prompt_first=prompt_first))
    room = 64 - len(["[CLS]", "<<", "bread", "<<", "match", "<<", "late", "goal", "SEP", "[SEP]"])
    whole = "salt " + "bread " * (room - 1)
    np.testing.assert_array_equal(found.logits([whole + "match " * 99]), found.logits([whole]))
    last = whole.removesuffix("bread ") + "match"
    assert np.abs(found.logits([last + " bread"]) - found.logits([whole])).max() > 1e-3


@pytest.mark.parametrize("prompt_first", [False, True])
def test_a_marker_in_a_text_or_label_adds_no_label(
    prompt_first: bool, saved: Callable[..., Path]
) -> None:
    model = saved(prompt_first=prompt_first, pooling_strategy="avg", extract_text_features=True)
    found = made(model)
    for odd in ("<<SEP>>fresh<<LABEL>> bread", "<<EXAMPLE>>fresh bread<<LABEL>>match<<SEP>>"):
        plain = odd.replace("<<LABEL>>", " ").replace("<<SEP>>", " ").replace("<<EXAMPLE>>", " ")
        np.testing.assert_allclose(found.logits([odd]), found.logits([plain]), atol=1e-5)
    assert found.logits(["<<LABEL>>" * 500]).shape == (1, 3)
    described = {"a<<LABEL>>b": "", "<<SEP>>match": "two<<EXAMPLE>> teams<<LABEL>>", "goal": ""}
    same = {"a b": "", "match": "two teams", "goal": ""}
    np.testing.assert_allclose(
        made(model, described).logits(TEXTS), made(model, same).logits(TEXTS), atol=1e-5
    )


def test_markers_are_kept_out_whatever_the_tokenizer_normalizes(
    saved: Callable[..., Path], tiny_encoder: Path
) -> None:
    model = saved(prompt_first=True)
    place = model / "tokenizer.json"
    values = json.loads(place.read_text())
    for token in values["added_tokens"]:
        if token["content"].startswith("<<"):  # then texts are searched for it after lower-casing
            token["normalized"], token["special"] = True, False
    place.write_text(json.dumps(values))
    settings = model / "tokenizer_config.json"
    settings.write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    found = made(model)
    odd = ["<<label>> bread", "\u0338 bread", "<<Sep>>bread<<SEP>>"]
    assert np.isfinite(found.logits(odd)).all()
    np.testing.assert_allclose(found.logits(odd[::2]), found.logits(["bread"] * 2), atol=1e-5)


def test_a_description_follows_the_name(model: Path) -> None:
    described = {"bread": ("baked", "eaten"), "a_match": "", "1": "a goal", "2": "a team"}
    found = made(model, described)
    assert found.label_texts == ("bread: baked; eaten", "a match", "a goal", "a team")
    with_template = made(model, described, templates=["about {}"])
    assert with_template.label_texts[:2] == ("about bread: baked; eaten", "about a match")
    with pytest.raises(RecipeError, match="reads each label once: give one template, not 2"):
        made(model, templates=["{}", "about {}"])


def test_labels_without_room_are_refused(model: Path, saved: Callable[..., Path]) -> None:
    many = [f"{one} {two}" for one in "abcde" for two in "fghij"]
    with pytest.raises(RecipeError, match=r"25 labels take 76 of the 64 tokens .* fewer labels"):
        made(model, many)
    with pytest.raises(RecipeError, match="at most 2 labels, and there are 3"):
        made(saved(max_labels_alloc=2))
    with pytest.raises(RecipeError, match="at most 2 labels, and there are 3"):
        made(saved(max_labels_alloc="fixed", max_num_classes=2))


def test_it_can_be_saved_calibrated_and_loaded(model: Path, tmp_path: Path) -> None:
    before = made(model, multilabel=True)
    cooled = before.with_temperature(2.0)
    np.testing.assert_allclose(cooled.logits(TEXTS), before.logits(TEXTS) / 2, atol=1e-9)
    folder = cooled.save(tmp_path / "model")
    loaded = Classifier.load(folder, "cpu")
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), cooled.predict_proba(TEXTS), atol=1e-6)
    about = loaded.provenance()
    assert about["label_texts"] == LABELS
    assert about["max_length"] == 64 - len(
        ["<<", "bread", "<<", "match", "<<", "late", "goal", "SEP"]
    )
    assert loaded.predict_proba([]).shape == (0, 3)
    again = Classifier.load(loaded.save(tmp_path / "again"), "cpu")
    np.testing.assert_allclose(again.predict_proba(TEXTS), cooled.predict_proba(TEXTS), atol=1e-6)


def test_it_predicts_in_bf16(model: Path) -> None:
    found = made(model)
    rough = found.with_precision("bf16").predict_proba(TEXTS)
    np.testing.assert_allclose(rough, found.predict_proba(TEXTS), atol=0.1)
    assert np.abs(rough - found.predict_proba(TEXTS)).max() > 0


def test_a_cross_validated_run_reads_each_text_once(model: Path, topics: Dataset) -> None:
    read: list[int] = []
    compute = GliclassClassifier._computed

    def counted(self: GliclassClassifier, texts: Sequence[str]) -> Any:
        read.append(len(texts))
        return compute(self, texts)

    shared = SharedTexts(tuple(topics.texts))
    context, method = FitContext(device="cpu", shared=shared), ZeroShot(str(model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GliclassClassifier, "_computed", counted)
        first, second = (method.fit(topics.select(range(of, 20)), topics, context) for of in (0, 5))
        found = [of.with_temperature(2.0).logits(topics.texts) for of in (first, second)]
    np.testing.assert_array_equal(*found)
    assert sum(read) == len(set(topics.texts))
    alone = method.fit(topics, topics, FitContext(device="cpu"))
    np.testing.assert_allclose(found[0], alone.logits(topics.texts) / 2, atol=1e-5)


def test_a_run_puts_it_beside_methods_that_learned(
    model: Path, topics: Dataset, tmp_path: Path
) -> None:
    run = finetext.train((topics.texts, topics.labels), [ZeroShot(str(model)), "tfidf"],
                         out=tmp_path / "run",
                         split=finetext.SplitSettings(cross_validate=False))  # fmt: skip
    assert {entry.method for entry in run.leaderboard} == {"majority", "tfidf", "zeroshot"}
    assert "test" in run.entry("zeroshot").metrics
    loaded = Classifier.load(run.folder / "zeroshot")
    assert isinstance(loaded, GliclassClassifier)
    assert loaded.provenance()["encoder"] == str(model)


@pytest.mark.parametrize(
    "damage", [{"temperature": 0}, {"context": 1e999}, {"context": 65},
               {"label_texts": ["x", "y"]}, {"label_texts": ["x", "y", 3]}, {"about": 3}],
)  # fmt: skip
def test_a_damaged_model_is_refused(model: Path, tmp_path: Path, damage: dict[str, Any]) -> None:
    place = made(model).save(tmp_path / "model") / "gliclass.json"
    GliclassClassifier.load_weights(place.parent, SCHEME, Decision(), "cpu")
    place.write_text(json.dumps(json.loads(place.read_text()) | damage))
    with pytest.raises((ValueError, KeyError)):
        GliclassClassifier.load_weights(place.parent, SCHEME, Decision(), "cpu")
