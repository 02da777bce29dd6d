"""Attributions: they sum to what they explain, find the word that decides, and are checked."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier, FitContext
from finetext.core.decision import Decision
from finetext.core.errors import MissingExtraError, RecipeError, UnknownNameError
from finetext.core.types import Dataset, LabelScheme
from finetext.diagnosis.explain import ClassWords, Explanation, class_words, explain
from finetext.encoders.words import word_spans
from finetext.methods.finetune import Finetune
from finetext.methods.majority import Majority
from finetext.methods.probe import Probe
from finetext.methods.tfidf import Tfidf, TfidfClassifier
from finetext.methods.transformer import TransformerClassifier
from finetext.report.explanations import parts
from finetext.storage.codec import from_json
from finetext.training.truncation import set_truncation

Engines = dict[str, tuple[Classifier, Classifier]]

CPU = FitContext(device="cpu")
TEXT = "the cook baked fresh bread in the final game"
TFIDF = Tfidf(longest_ngram=2, inverse_regularisation=10.0)


@dataclass(frozen=True, eq=False)
class Keyword(Classifier):
    """A classifier of another package: sure of "yes" where the text has the word `key`."""

    kind: ClassVar[str] = "keyword"
    scheme: LabelScheme = field(default_factory=lambda: LabelScheme(("no", "yes")))
    decision: Decision = field(default_factory=Decision)
    key: str = "bread"

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        sure = np.array([0.9 if self.key in text.split() else 0.1 for text in texts])
        return np.stack([1 - sure, sure], axis=1)

    def save_weights(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Keyword:
        raise NotImplementedError

    def with_temperature(self, temperature: float) -> Keyword:
        raise NotImplementedError


@pytest.fixture(scope="module")
def tfidf(topics: Dataset) -> TfidfClassifier:
    return TFIDF.fit(topics, topics, CPU)


@pytest.fixture(scope="module")
def planted(tiny_encoder: Path, make_dataset: Callable[..., Dataset]) -> TransformerClassifier:
    """A transformer that has learnt to say "yes" where there is bread, and "no" of masks alone."""
    words = ["the", "team", "bank", "goal", "soup", "market", "final", "coach", "salt", "rates"]
    generator = np.random.default_rng(0)
    texts = ["[MASK] " * count for count in range(2, 10)]
    for row in range(72):
        drawn = generator.choice(words, 4 + row // 2 % 6)
        if row % 2:
            drawn[generator.integers(len(drawn))] = "bread"
        texts.append(" ".join(drawn))
    rows = make_dataset(texts, ["yes" if "bread" in text else "no" for text in texts])
    method = Finetune(encoder=str(tiny_encoder), epochs=20, batch_size=8, learning_rate=5e-3)
    return method.fit(rows, rows, FitContext(device="cpu", metric="log_loss"))


def attributions(explanation: Explanation) -> list[float]:
    return [word.attribution for word in explanation.words]


def logit(classifier: TfidfClassifier, text: str) -> Floats:
    features = classifier.vectorizer.transform([text])
    return np.asarray(features @ classifier.head.weights.T + classifier.head.bias)[0]


def total(explanation: Explanation) -> float:
    assert explanation.base is not None
    return explanation.base + sum(attributions(explanation))


def test_a_text_without_label_is_explained_by_the_label_it_would_get() -> None:
    text = "fresh bread"
    unsure = explain(Keyword(decision=Decision(least=(0.95, 0.95))), text)
    refused = explain(Keyword(decision=Decision(in_scope_up_to=0.1)), text)
    given = explain(Keyword(decision=Decision(in_scope_up_to=0.9)), text)
    assert [of.label for of in (unsure, refused, given)] == ["yes"] * 3
    assert [of.predicted for of in (unsure, refused, given)] == [(), (), ("yes",)]
    said = [of.given for of in (unsure, refused, given)]
    assert said == ["no label", "no label (out of scope)", "yes"]
    assert [of.out_of_scope for of in (unsure, refused, given)] == [False, True, False]


def test_contributions_and_intercept_sum_to_the_centered_logit(tfidf: TfidfClassifier) -> None:
    logits = logit(tfidf, TEXT)
    for number, name in enumerate(tfidf.scheme.names):
        found = explain(tfidf, TEXT, label=name)
        assert total(found) == pytest.approx(logits[number] - np.delete(logits, number).mean())
        assert found.score == pytest.approx(total(found))


def test_with_two_labels_they_sum_to_the_log_odds(
    topics: Dataset, make_dataset: Callable[..., Dataset]
) -> None:
    two = make_dataset(topics.texts, ["food" if y == "food" else "other" for y in topics.labels])
    classifier = TFIDF.fit(two, two, CPU)
    found, opposite = explain(classifier, TEXT), explain(classifier, TEXT, label="other")
    assert found.label == "food"
    assert total(found) == pytest.approx(np.log(found.probability / (1 - found.probability)))
    np.testing.assert_allclose(attributions(opposite), -np.array(attributions(found)))


def test_with_several_labels_they_sum_to_the_logit(mixed_topics: Dataset) -> None:
    classifier = TFIDF.fit(mixed_topics, mixed_topics, CPU)
    likeliest = explain(classifier, TEXT)
    assert likeliest.label == max(classifier(TEXT), key=classifier(TEXT).__getitem__)
    assert set(likeliest.predicted) <= set(classifier.scheme.names)
    money = classifier.scheme.index["money"]
    asked = explain(classifier, TEXT, label="money")
    assert total(asked) == pytest.approx(logit(classifier, TEXT)[money])


def test_words_are_spans_of_the_original_text(tfidf: TfidfClassifier) -> None:
    text = "İ said: BREAD-market, bread!"
    found = {(word.start, word.end): word for word in explain(tfidf, text, label="food").words}
    assert all(text[start:end] == word.text for (start, end), word in found.items())
    by_text = {word.text: word.attribution for word in found.values()}
    assert by_text["BREAD"] > 0.1
    assert by_text["market"] < -0.1
    assert by_text["said"] == 0


def test_occlusion_finds_the_deciding_word() -> None:
    found = explain(Keyword(), TEXT)
    assert (found.way, found.label, found.base) == ("occlusion", "yes", None)
    assert max(found.words, key=lambda word: word.attribution).text == "bread"
    assert [word.attribution for word in found.words if word.text != "bread"] == [0.0] * 8
    assert found.removed == 2
    assert found.lost_top == pytest.approx(0.8)
    assert found.lost_top > found.lost_random


def test_gradients_are_complete_and_find_the_planted_word(planted: TransformerClassifier) -> None:
    found = explain(planted, "the coach and soup bread market goal")
    assert (found.way, found.label, found.remark) == ("integrated gradients", "yes", "")
    assert found.base is not None
    assert abs(found.score - total(found)) <= max(0.01, 0.02 * abs(found.score - found.base)) + 1e-6
    assert max(found.words, key=lambda word: word.attribution).text == "bread"
    assert found.lost_top > found.lost_random + 0.5
    np.testing.assert_allclose(
        found.score, np.log(found.probability / (1 - found.probability)), atol=0.05
    )


def test_tokens_are_merged_into_words(planted: TransformerClassifier) -> None:
    text = "Breadth, “bread”: the sourdough"
    found = explain(planted, text)
    expected = ["Breadth", ",", "“", "bread", "”", ":", "the", "sourdough"]
    assert [word.text for word in found.words] == expected
    assert all(text[word.start : word.end] == word.text for word in found.words)


def test_a_text_is_truncated_as_by_the_model(planted: TransformerClassifier) -> None:
    text = "the market and the coach " * 3 + "bread"
    tokenizer = copy.deepcopy(planted.tokenizer)
    set_truncation(tokenizer, "head")
    short = replace(planted, max_length=12, tokenizer=tokenizer)
    found = explain(short, text)
    assert (len(found.words), found.unread) == (10, 6)
    assert "bread" not in [word.text for word in found.words]
    occluded = explain(short, text, way="occlusion")
    assert (len(occluded.words), occluded.unread) == (10, 6)


def test_neighbors_of_long_texts_are_left_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetext.diagnosis.attributions.MOST_OCCLUSIONS", 4)
    few, many = explain(Keyword(), "a bread roll"), explain(Keyword(), "a bread roll and six more")
    assert [word.attribution > 0 for word in few.words] == [False, True, False]
    values = [word.attribution for word in many.words]
    assert values[0] == values[1] == pytest.approx(np.log(81) / 2)  # two groups of two, two of one
    assert values[2:] == pytest.approx([0] * 4)


@pytest.mark.parametrize("way", ["gradients", "occlusion"])
def test_words_of_head_and_tail_are_where_they_stand_in_the_text(
    planted: TransformerClassifier, way: Any
) -> None:
    text = f"the coach {'market, ' * 9}and fresh bread"
    tokenizer = copy.deepcopy(planted.tokenizer)
    set_truncation(tokenizer, "head+tail")
    short = replace(planted, max_length=10, tokenizer=tokenizer)
    found = explain(short, text, way=way)
    words = ["the", "coach", ",", "market", ",", "and", "fresh", "bread"]
    assert [word.text for word in found.words] == words
    assert all(text[word.start : word.end] == word.text for word in found.words)
    assert found.unread == len(word_spans(text)) - 8
    strongest = max(found.words, key=lambda word: abs(word.attribution))
    assert (strongest.text, strongest.end) == ("bread", len(text))
    shown = [part.text for part in parts(found) if part.attribution is None]
    assert sum(len(word_spans(part)) for part in shown) == found.unread


def test_a_probe_in_windows_is_explained_on_the_whole_text(
    tiny_encoder: Path, topics: Dataset
) -> None:
    probe = Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0)
    fitted = probe.fit(topics, topics, CPU)
    text = "the bank " * 40 + "bread"
    found = explain(replace(fitted, encoder=replace(fitted.encoder, max_length=12)), text)
    assert (len(found.words), found.unread) == (81, 0)
    short = replace(fitted.encoder, max_length=12, in_windows=False)
    assert explain(replace(fitted, encoder=short), text).unread == 71


@pytest.mark.parametrize("text", ["", " \n ", "qwxz", "面包", "\ud83c bread", "[MASK]", "the"])
def test_any_text_can_be_explained(
    tfidf: TfidfClassifier, planted: TransformerClassifier, text: str
) -> None:
    for classifier in (tfidf, planted, Keyword()):
        found = explain(classifier, text)
        assert found.text == text
        assert bool(found.removed) == bool(found.words) == bool(text.strip())
        assert np.isfinite([*attributions(found), found.lost_top, found.lost_random]).all()
    assert set(attributions(explain(tfidf, "qwxz xzqw"))) == {0.0}


def test_concat_pooled_heads_have_gradients_and_recurrent_models_say_why_not(
    tiny_encoder: Path, topics: Dataset
) -> None:
    from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForSequenceClassification
    from finetext.encoders.load import load_for_classification, load_tokenizer
    from finetext.encoders.word_tokenizer import train_word_tokenizer

    assert topics.scheme is not None
    pieces = load_tokenizer(str(tiny_encoder))
    pooled = load_for_classification(str(tiny_encoder), pieces, topics.scheme, 0.0, "concat")
    classifier = TransformerClassifier(topics.scheme, Decision(), pooled, pieces, 64, "fp32")
    found = explain(classifier, TEXT)
    assert found.way == "integrated gradients"
    assert total(found) == pytest.approx(found.score, abs=0.05)

    tokenizer = train_word_tokenizer(topics.texts)
    config = AwdLstmConfig(
        vocab_size=len(tokenizer), embedding_size=8, inner_size=12, num_hidden_layers=1,
        num_labels=3,
    )  # fmt: skip
    model = AwdLstmForSequenceClassification(config).eval()
    recurrent = TransformerClassifier(topics.scheme, Decision(), model, tokenizer, 64, "fp32")
    told = explain(recurrent, TEXT)
    assert told.way == "occlusion"
    assert "does not map its tokens to characters" in told.remark
    with pytest.raises(RecipeError, match="use --way occlusion"):
        explain(recurrent, TEXT, way="gradients")


def test_a_probe_is_occluded(tiny_encoder: Path, topics: Dataset) -> None:
    classifier = Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0).fit(
        topics, topics, CPU
    )
    found = explain(classifier, TEXT)
    assert found.way == "occlusion"
    assert len(set(attributions(found))) > 1


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("transformer", "integrated gradients"), ("probe", "occlusion"), ("blend", "occlusion"),
        ("cascade", "occlusion"),
    ],
)  # fmt: skip
def test_every_engine_explains_the_same(kind: str, way: str, engines: Engines) -> None:
    torch, onnx = (explain(of, TEXT) for of in engines[kind])
    assert (onnx.way, onnx.remark) == (way, torch.remark)
    np.testing.assert_allclose(attributions(onnx), attributions(torch), atol=1e-5)
    assert np.ptp(attributions(torch)) > 1e-4


def test_majority_attributes_nothing(topics: Dataset) -> None:
    found = explain(Majority().fit(topics, topics, CPU), TEXT)
    assert set(attributions(found)) == {0.0}
    assert (found.lost_top, found.lost_random) == (0.0, 0.0)


def test_the_same_seed_gives_the_same(tfidf: TfidfClassifier, topics: Dataset) -> None:
    first, again, other = (explain(tfidf, topics.texts, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert [found.text for found in first] == topics.texts
    assert explain(tfidf, topics.texts[5], seed=1) == first[5]


def test_an_explanation_survives_json(tfidf: TfidfClassifier) -> None:
    found = explain(tfidf, TEXT)
    assert from_json(Explanation, found.to_json(), "it") == found


def test_invalid_requests_are_rejected(
    tfidf: TfidfClassifier, planted: TransformerClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'food'"):
        explain(tfidf, TEXT, label="foot")
    with pytest.raises(RecipeError, match="not a transformer"):
        explain(tfidf, TEXT, way="gradients")
    with pytest.raises(RecipeError, match="for tfidf"):
        explain(Keyword(), TEXT, way="exact")
    wrong: Any = "magic"
    with pytest.raises(RecipeError, match="use auto, gradients"):
        explain(tfidf, TEXT, way=wrong)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingExtraError, match=r"captum.*finetext\[explain\]"):
        explain(planted, TEXT)


def test_the_words_of_each_label(tfidf: TfidfClassifier, topics: Dataset) -> None:
    found = class_words(tfidf, topics.texts, count=5)
    assert (found.method, found.way, found.texts) == ("tfidf", "exact contributions", 27)
    assert list(found.words) == list(topics.scheme.names if topics.scheme else ())
    top = {label: [word for word, _, _ in rows] for label, rows in found.words.items()}
    assert "bread" in top["food"]
    assert "bank" in top["money"]
    for rows in found.words.values():
        means = [mean for _, mean, _ in rows]
        assert means == sorted(means, reverse=True)
        assert all(mean > 0 and texts >= 3 for _, mean, texts in rows)
    assert from_json(ClassWords, found.to_json(), "it") == found


def test_the_words_of_a_classifier_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["fresh bread today", "bread and salt", "more bread"] * 4 + ["a bank", "the bank"] * 4
    found = class_words(Keyword(), texts)
    assert [row[0] for row in found.words["yes"]] == ["bread"]
    assert found.words["yes"][0][2] == 12
    monkeypatch.setattr("finetext.diagnosis.explain.MOST_TEXTS", 5)
    fewer = class_words(Keyword(), texts, seed=3)
    assert fewer.texts == 5
    assert fewer == class_words(Keyword(), texts, seed=3)
