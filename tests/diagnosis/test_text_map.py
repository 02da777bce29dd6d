"""The map of texts: layout in one test for real, as it compiles, in the rest by a stand-in."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier, FitContext
from finetext.core.errors import DataError, MissingExtraError, RecipeError
from finetext.core.types import Dataset
from finetext.diagnosis import text_map as maps
from finetext.diagnosis.text_map import States, TextMap, layout, states_of, text_map, with_states
from finetext.methods.finetune import Finetune
from finetext.methods.majority import Majority
from finetext.methods.probe import Probe
from finetext.methods.static import Static
from finetext.methods.tfidf import Tfidf, TfidfClassifier
from finetext.methods.transformer import TransformerClassifier
from finetext.report.text_map import density, write_density, write_map_page
from finetext.storage.codec import from_json

Engines = dict[str, tuple[Classifier, Classifier]]

CPU = FitContext(device="cpu")


def on_a_circle(states: States, seed: int) -> Floats:
    """Places that depend on the row alone."""
    turn = np.linspace(0, 6, states.vectors.shape[0]) + seed
    return 0.5 + 0.5 * np.stack([np.cos(turn), 0.5 * np.sin(turn)], axis=1)


@pytest.fixture(scope="module")
def tfidf(topics: Dataset) -> TfidfClassifier:
    return Tfidf(inverse_regularisation=10.0, longest_ngram=1).fit(topics, topics, CPU)


@pytest.fixture(scope="module")
def transformer(tiny_encoder: Path, topics: Dataset) -> TransformerClassifier:
    return Finetune(encoder=str(tiny_encoder), epochs=1, precision="fp32").fit(topics, topics, CPU)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "layout", on_a_circle)


@pytest.fixture
def drawn(stand_in: None, tfidf: TfidfClassifier, topics: Dataset) -> TextMap:
    found = text_map(tfidf, topics)
    wrong = ("sport", *found.predictions[1:])
    return replace(found, truths=("food", *found.truths[1:]), predictions=wrong)


def test_similar_states_lie_together_and_the_seed_decides_the_layout() -> None:
    generator = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 8) * 20, 12, axis=0)
    states = States(centres + generator.normal(size=(36, 8)), "states")
    places = layout(states, seed=0)
    assert places.shape == (36, 2)
    assert places.min() == 0
    assert places[:, 0].max() == 1
    within = [np.ptp(places[start : start + 12], axis=0).max() for start in (0, 12, 24)]
    assert max(within) < 0.6
    np.testing.assert_array_equal(places, layout(states, seed=0))
    assert (places != layout(states, seed=1)).any()
    alike = layout(States(np.zeros((5, 8)), "states", cosine=True), seed=0)
    assert np.isfinite(alike).all()


@pytest.mark.usefixtures("stand_in")
def test_a_map_has_every_row(tfidf: TfidfClassifier, topics: Dataset) -> None:
    found = text_map(tfidf, topics)
    assert list(found.ids) == topics.ids
    assert list(found.truths) == topics.labels
    assert list(found.predictions) == [max(row, key=row.get) for row in map(tfidf, topics.texts)]
    assert (found.rows, found.source, found.method) == (27, "TF-IDF vectors", "tfidf")
    assert from_json(TextMap, json.loads(json.dumps(found.to_json())), "it") == found


@pytest.mark.usefixtures("stand_in")
def test_many_texts_are_sampled_and_long_ones_truncated(
    tfidf: TfidfClassifier, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = make_dataset([f"bread {n} " * 90 for n in range(40)], ["food"] * 40)
    monkeypatch.setattr(maps, "MOST_TEXTS", 12)
    found, again = text_map(tfidf, many, seed=4), text_map(tfidf, many, seed=4)
    assert found == again
    assert (len(found.ids), found.rows) == (12, 40)
    assert found.drawn == "12 of 40 texts, drawn at random (seed 4)"
    assert found.ids != text_map(tfidf, many, seed=5).ids
    assert {len(text) for text in found.texts} == {200}


@pytest.mark.usefixtures("stand_in")
def test_several_labels_are_joined_and_no_truth_is_empty(mixed_topics: Dataset) -> None:
    tfidf = Tfidf(inverse_regularisation=1.0, longest_ngram=1)
    classifier = tfidf.fit(mixed_topics, mixed_topics, CPU)
    found = text_map(classifier, mixed_topics)
    assert "no label" in found.truths
    assert "food + sport" in found.truths
    assert text_map(classifier, replace(mixed_topics, scheme=None)).truths == ()


@pytest.mark.usefixtures("stand_in")
def test_an_encoder_needs_no_classifier(tiny_encoder: Path, topics: Dataset) -> None:
    found = text_map(str(tiny_encoder), topics, split="train")
    assert (found.method, found.predictions) == (None, ())
    assert list(found.truths) == topics.labels
    assert found.source == f"frozen states of {tiny_encoder}"
    assert found.counted() == "27 training texts"
    assert from_json(TextMap, json.loads(json.dumps(found.to_json())), "it") == found
    unlabeled = text_map(str(tiny_encoder), replace(topics, scheme=None))
    assert (unlabeled.truths, unlabeled.counted(1)) == ((), "1 text")


@pytest.mark.usefixtures("stand_in")
def test_a_second_encoder_and_an_unknown_split_are_rejected(
    tfidf: TfidfClassifier, topics: Dataset
) -> None:
    with pytest.raises(RecipeError, match="minilm and bert are two encoders"):
        text_map("minilm", topics, "bert")
    with pytest.raises(RecipeError, match="must be train, validation, test or None"):
        text_map(tfidf, topics, split="valid")  # type: ignore[arg-type]


@pytest.mark.usefixtures("stand_in")
def test_labels_of_a_text_in_another_order_are_not_wrong(mixed_topics: Dataset) -> None:
    classifier = Tfidf(inverse_regularisation=1.0, longest_ngram=1).fit(
        mixed_topics, mixed_topics, CPU
    )
    turned = mixed_topics.table.map(lambda row: {"label": row["label"][::-1]})
    found = text_map(classifier, replace(mixed_topics, table=turned))
    assert found.truths == text_map(classifier, mixed_topics).truths


def test_maps_of_earlier_versions_are_of_validation_rows(drawn: TextMap) -> None:
    values = json.loads(json.dumps(drawn.to_json()))
    for name in ("split", "seed", "multilabel"):
        del values[name]
    old = from_json(TextMap, values, "it")
    assert old.counted() == "27 validation texts"
    assert replace(old, rows=900).drawn == "27 of 900 validation texts, drawn at random"
    assert replace(old, multilabel=False).separate("R + B") == ["R + B"]


def test_few_texts_and_a_missing_package_are_rejected(
    tfidf: TfidfClassifier, topics: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="a map needs 5 texts; there are 4"):
        text_map(tfidf, topics.select(range(4)))
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"umap-learn.*finetext\[map\]"):
        text_map(tfidf, topics)


def test_the_last_layer_makes_the_logits_of_the_states(
    transformer: TransformerClassifier, topics: Dataset
) -> None:
    states = states_of(transformer, topics.texts)
    layer = transformer.model.classifier
    logits = states.vectors @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(logits, transformer.logits(topics.texts), atol=1e-5)
    assert states.source == "fine-tuned states"


def test_causal_models_have_the_state_of_the_last_token(topics: Dataset) -> None:
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification

    from finetext.diagnosis.text_map import _inputs_of_last_layer
    from finetext.training.tokens import TokenTable

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=20, n_positions=16, n_embd=8, n_layer=1, n_head=2, num_labels=3, pad_token_id=0
    )
    model = GPT2ForSequenceClassification(config).eval()
    table = TokenTable(np.arange(1, 13), None, np.array([0, 3, 7, 12]), (0, 0, "right"))
    states = _inputs_of_last_layer(model, table, lambda event: None)
    for row in range(3):
        with torch.inference_mode():
            logits = model(**table.batch([row])).logits[0].numpy()
        expected = states[row] @ model.score.weight.detach().numpy().T
        np.testing.assert_allclose(expected, logits, atol=1e-5)


def test_other_methods_have_frozen_states(tiny_encoder: Path, topics: Dataset) -> None:
    probe = Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0).fit(topics, topics, CPU)
    own = states_of(probe, topics.texts)
    assert own.vectors.shape == (27, 32)
    np.testing.assert_allclose(own.vectors.mean(axis=0), 0, atol=1e-3)
    static = Static(encoder=str(tiny_encoder), inverse_regularisation=1.0).fit(topics, topics, CPU)
    means = states_of(static, topics.texts)
    np.testing.assert_allclose(means.vectors.mean(axis=0), 0, atol=1e-3)
    assert means.source == "mean token vectors"
    chosen = states_of(Majority().fit(topics, topics, CPU), topics.texts, str(tiny_encoder))
    assert chosen.vectors.shape == (27, 32)
    assert chosen.source == f"frozen states of {tiny_encoder}"


@pytest.mark.parametrize("kind", ["transformer", "probe", "blend", "cascade"])
def test_every_engine_has_the_same_states(kind: str, engines: Engines, topics: Dataset) -> None:
    torch, onnx = engines[kind]
    wanted, found = (states_of(of, topics.texts) for of in (torch, onnx))
    np.testing.assert_allclose(found.vectors, wanted.vectors, atol=1e-6)
    assert found.source == wanted.source
    expected, dense = with_states(torch), with_states(onnx)
    assert dense is not None
    assert type(dense) is type(expected)


def test_the_page_has_every_text_escaped_and_needs_no_network(
    drawn: TextMap, tmp_path: Path
) -> None:
    texts = ("<script>alert(1)</script> & more", *drawn.texts[1:])
    page = write_map_page(replace(drawn, texts=texts), tmp_path / "map.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert len(re.findall(r"<circle[^>]*data-row=", page)) == 26
    assert re.findall(r'<path class="wrong[^>]*data-row="(\d+)"', page) == ["0"]
    assert page.count("<tr><td>") == 27
    assert re.findall(r'data-label="(\w+)"', page) == ["food", "money", "sport"]
    assert not re.search(r"""(?:src|href)=["'][^#]""", page)
    unlabeled = write_map_page(replace(drawn, truths=()), tmp_path / "map.html").read_text()
    assert "only wrong predictions" not in unlabeled
    assert len(re.findall(r"<circle[^>]*data-row=", unlabeled)) == 27


@pytest.mark.usefixtures("laid_out")
def test_the_picture_has_a_panel_for_each_label(drawn: TextMap, tmp_path: Path) -> None:
    page = density(drawn)
    for label in ("food (10)", "money (9)", "sport (8)"):
        assert label in page
    drawing = write_density(drawn, tmp_path / "map.svg")
    root = ElementTree.parse(drawing).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert write_density(drawn, tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
