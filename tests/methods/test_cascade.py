"""Cascades: who decides which text, and the model folders that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.contracts import Classifier, FitContext
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Dataset, Score
from finetext.diagnosis.text_map import states_of, with_states
from finetext.evaluation.cascading import Certificate
from finetext.methods.cascade import CascadeClassifier, Stage, routing_in_words, routing_of
from finetext.models.files import sealed
from finetext.models.upload import staged
from finetext.report.models import model_lines

CONTEXT = FitContext(device="cpu")
SHARE = Score(0.4, 0.3, 0.5, 1_000)
CERTIFICATE = Certificate(
    0.5, 0.005, 0.95, 1, 0.01, SHARE, Score(0.001, -0.002, 0.004, 1_000), 1_000
)


@pytest.fixture(scope="module")
def pair(topics: Dataset, tiny_encoder: Path) -> tuple[Classifier, Classifier]:
    """TF-IDF and a probe, calibrated to be unlike."""
    tfidf = finetext.Tfidf(longest_ngram=1, inverse_regularisation=10.0)
    probe = finetext.Probe(str(tiny_encoder), inverse_regularisation=1.0)
    return tfidf.fit(topics, topics, CONTEXT), probe.fit(topics, topics, CONTEXT)


@pytest.fixture
def cascade(topics: Dataset, pair: tuple[Classifier, Classifier]) -> CascadeClassifier:
    """One whose threshold is between two confidences, about in the middle."""
    assert topics.scheme is not None
    levels = np.unique(pair[0].predict_proba(topics.texts).max(axis=1))
    middle = len(levels) // 2
    threshold = float(levels[middle - 1] + levels[middle]) / 2
    stages = Stage("tfidf", pair[0]), Stage("probe", pair[1])
    certificate = replace(CERTIFICATE, threshold=threshold)
    return CascadeClassifier(topics.scheme, AS_LIKELY, *stages, threshold, None, certificate)


@pytest.fixture
def saved(cascade: CascadeClassifier, tmp_path: Path) -> Path:
    return cascade.save(tmp_path / "model")


def test_the_cheap_one_decides_what_it_is_sure_of(
    cascade: CascadeClassifier, pair: tuple[Classifier, Classifier], topics: Dataset
) -> None:
    cheap, expensive = (of.predict_proba(topics.texts) for of in pair)
    sure = cheap.max(axis=1) >= cascade.threshold
    assert 0 < sure.sum() < len(sure)
    wanted = np.where(sure[:, None], cheap, expensive)
    np.testing.assert_allclose(cascade.predict_proba(topics.texts), wanted, atol=1e-6)
    every = replace(cascade, threshold=0.0).predict_proba(topics.texts)
    np.testing.assert_array_equal(every, cheap)
    none = replace(cascade, threshold=2.0).predict_proba(topics.texts)
    np.testing.assert_allclose(none, expensive, atol=1e-6)


def test_the_expensive_one_reads_only_what_is_sent_on(
    cascade: CascadeClassifier, topics: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    expensive, read = cascade.expensive.classifier, list[str]()

    def predict_proba(self: Any, texts: list[str]) -> Any:
        read.extend(texts)
        return np.full((len(texts), 3), 1 / 3)

    monkeypatch.setattr(type(expensive), "predict_proba", predict_proba)
    found = cascade.predict_proba(topics.texts)
    sent = [text for text, row in zip(topics.texts, found, strict=True) if row.max() < 0.34]
    assert read == sent
    assert 0 < len(read) < len(topics)


def test_it_counts_what_it_sends_on(cascade: CascadeClassifier, topics: Dataset) -> None:
    cascade.predict_proba(topics.texts)
    routed = routing_of(cascade)
    cascade.with_decision(Decision(thresholds=(0.1, 0.1, 0.1))).predict(topics.texts[:9])
    found = routed()
    assert found is not None
    assert found.texts == 9
    assert f"tfidf sent {found.sent} of 9 texts" in routing_in_words(cascade, found)
    assert routing_of(cascade.cheap.classifier)() is None


def test_a_temperature_moves_no_text(cascade: CascadeClassifier, topics: Dataset) -> None:
    before = cascade.predict_proba(topics.texts)
    routed = routing_of(cascade)
    after = cascade.with_temperature(4.0).predict_proba(topics.texts)
    found = routed()
    assert found is not None
    assert 0 < found.sent < len(topics)
    assert (after.max(axis=1) < before.max(axis=1)).all()
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))


def test_precision_is_that_of_the_members(cascade: CascadeClassifier, tmp_path: Path) -> None:
    assert cascade.number_format == "auto"
    exact = cascade.with_precision("fp32")
    assert exact.number_format == "fp32"
    loaded = Classifier.load(exact.save(tmp_path / "exact"), "cpu")
    assert loaded.number_format == "fp32"


def test_several_labels_are_sent_on_by_the_least_margin(
    mixed_topics: Dataset, tiny_encoder: Path, tmp_path: Path
) -> None:
    assert mixed_topics.scheme is not None
    cheap = finetext.Tfidf(inverse_regularisation=1.0).fit(mixed_topics, mixed_topics, CONTEXT)
    probe = finetext.Probe(str(tiny_encoder), inverse_regularisation=1.0)
    expensive = probe.fit(mixed_topics, mixed_topics, CONTEXT)
    cuts = (0.4, 0.5, 0.6)
    found = cheap.predict_proba(mixed_topics.texts)
    margins = np.unique(np.abs(found - np.array(cuts)).min(axis=1))
    middle = len(margins) // 2
    limit = float(margins[middle - 1] + margins[middle]) / 2
    cascade = CascadeClassifier(
        mixed_topics.scheme, Decision(thresholds=cuts), Stage("tfidf", cheap),
        Stage("probe", expensive), limit, cuts,
    )  # fmt: skip
    sure = np.abs(found - np.array(cuts)).min(axis=1) >= limit
    wanted = np.where(sure[:, None], found, expensive.predict_proba(mixed_topics.texts))
    loaded = Classifier.load(cascade.save(tmp_path / "model"), "cpu")
    np.testing.assert_allclose(loaded.predict_proba(mixed_topics.texts), wanted, atol=1e-6)


def test_card_and_info_say_who_decides_and_what_is_certified(saved: Path) -> None:
    card = (saved / "README.md").read_text()
    assert "tfidf, a logistic regression on TF-IDF features" in card
    assert "probe, a linear head" in card
    assert (
        "With 95% confidence that costs at most 0.5 points of accuracy against probe alone" in card
    )
    assert "it sent 40.0% on and lost 0.10 points [-0.20, 0.40]" in card
    assert "Transformers alone cannot load it" in card
    about = finetext.info(saved)
    assert about.problem is None
    assert any("probe the others" in line for line in model_lines(about))
    made = about.described["provenance"]["cascade"]
    assert made["certificate"]["most_loss"] == 0.005
    loaded = Classifier.load(saved, "cpu")
    assert isinstance(loaded, CascadeClassifier)
    assert loaded.certificate is not None
    assert loaded.certificate.sent == SHARE


def test_it_cannot_become_static_embeddings(saved: Path) -> None:
    said = r"a cascade cannot be exported to static embeddings.*export probe"
    with pytest.raises(ModelError, match=said):
        finetext.export(saved, "static")


def test_it_is_explained_by_occlusion(cascade: CascadeClassifier) -> None:
    found = finetext.explain(cascade, "fresh bread and salt")
    assert found.way == "occlusion"
    assert [word.text for word in found.words] == ["fresh", "bread", "and", "salt"]
    with pytest.raises(RecipeError, match="use --way occlusion"):
        finetext.explain(cascade, "bread", way="gradients")


def test_its_map_is_that_of_the_expensive_one(cascade: CascadeClassifier, topics: Dataset) -> None:
    assert states_of(cascade, topics.texts).source == "frozen states of its encoder"
    assert with_states(cascade) is cascade.expensive.classifier


def test_what_is_sent_to_the_hub_is_whole(saved: Path) -> None:
    with staged(saved, "owner/name") as (folder, left_out):
        assert not left_out
        assert (folder / "members" / "tfidf" / "vocabulary.json").is_file()
        Classifier.load(folder, "cpu")


def test_two_members_of_one_name_are_refused(cascade: CascadeClassifier, tmp_path: Path) -> None:
    twice = replace(cascade, expensive=replace(cascade.expensive, name="tfidf"))
    with pytest.raises(ModelError, match="both classifiers of the cascade have the name tfidf"):
        twice.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def broken(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the description of the cascade in a model folder."""
    path = folder / "cascade.json"
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))
    listed = json.loads((folder / "finetext.json").read_text())
    listed["files"]["cascade.json"]["size"] = path.stat().st_size
    (folder / "finetext.json").write_text(json.dumps(sealed(listed)))


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a member that asks an endpoint": (
        lambda of: of["members"][1].update(classifier="llm"), "sends texts to an endpoint"
    ),
    "a cascade in a cascade": (
        lambda of: of["members"][1].update(classifier="cascade"), "is a cascade itself"
    ),
    "one member": (lambda of: of["members"].pop(), "has 1 members, and a cascade has two"),
    "no members": (lambda of: of.update(members=[]), "no list of 1 to 50 members"),
    "outside": (lambda of: of["members"][0].update(name="../x"), "no name that a folder can have"),
    "twice": (lambda of: of["members"][1].update(name="tfidf"), "two members have the same name"),
    "no threshold": (lambda of: of.pop("threshold"), "damaged"),
    "a word": (lambda of: of.update(threshold="high"), "threshold is 'high', no number"),
    "endless": (lambda of: of.update(threshold=float("nan")), "it must be 0 or more"),
    "cold": (lambda of: of.update(temperature=0), "the temperature is 0"),
    "too few cuts": (lambda of: of.update(cuts=[0.5]), "no list of 3 cuts"),
    "a cut below 0": (lambda of: of.update(cuts=[0.5, 0.5, -1]), "it must be 0 or more"),
    "half a certificate": (lambda of: of["certificate"].pop("units"), "units: Field required"),
    "unknown": (lambda of: of["members"][0].update(classifier="oracle"), "oracle"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_damaged_and_hostile_folders_are_refused(saved: Path, case: str) -> None:
    change, said = BROKEN[case]
    broken(saved, change)
    with pytest.raises(ModelError, match=said):
        Classifier.load(saved, "cpu")
