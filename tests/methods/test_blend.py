"""Blends: what they compute, and the model folders that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.arrays import probabilities_of
from finetext.core.contracts import Classifier, FitContext, Member, predict
from finetext.core.decision import AS_LIKELY
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Dataset
from finetext.evaluation.blending import bounded_logits
from finetext.methods.blend import Blend, BlendClassifier, Part
from finetext.methods.majority import MajorityClassifier
from finetext.models.files import sealed
from finetext.models.upload import staged
from finetext.report.models import model_lines

TFIDF = finetext.Tfidf(longest_ngram=1, inverse_regularisation=10.0)
CONTEXT = FitContext(device="cpu")


@pytest.fixture(scope="module")
def pair(topics: Dataset, tiny_encoder: Path) -> dict[str, Classifier]:
    """TF-IDF and a probe."""
    probe = finetext.Probe(str(tiny_encoder), inverse_regularisation=1.0)
    return {
        "tfidf": TFIDF.fit(topics, topics, CONTEXT),
        "probe": probe.fit(topics, topics, CONTEXT),
    }


@pytest.fixture(scope="module")
def blend(topics: Dataset, pair: dict[str, Classifier]) -> BlendClassifier:
    parts = (Part("tfidf", 0.75, pair["tfidf"]), Part("probe", 0.5, pair["probe"]))
    assert topics.scheme is not None
    return BlendClassifier(topics.scheme, AS_LIKELY, parts)


@pytest.fixture
def saved(blend: BlendClassifier, tmp_path: Path) -> Path:
    return blend.save(tmp_path / "model")


def test_logits_are_a_weighted_sum(
    blend: BlendClassifier, pair: dict[str, Classifier], topics: Dataset
) -> None:
    one, other = (bounded_logits(of.predict_proba(topics.texts), False) for of in pair.values())
    wanted = probabilities_of(0.75 * one + 0.5 * other, False)
    np.testing.assert_allclose(blend.predict_proba(topics.texts), wanted)


def test_members_that_are_certain_do_not_decide_alone(
    topics: Dataset, pair: dict[str, Classifier]
) -> None:
    assert topics.scheme is not None
    certain = MajorityClassifier(topics.scheme, AS_LIKELY, np.array([1.0, 0.0, 0.0]))
    parts = (Part("certain", 0.01, certain), Part("tfidf", 1.0, pair["tfidf"]))
    blend = BlendClassifier(topics.scheme, AS_LIKELY, parts)
    assert np.isfinite(blend.logits(topics.texts)).all()
    assert blend.predict(topics.texts) == pair["tfidf"].predict(topics.texts)


def test_weights_come_from_the_predictions_of_the_members(
    topics: Dataset, pair: dict[str, Classifier]
) -> None:
    members = {name: Member(of, predict(of, topics)) for name, of in pair.items()}
    context = FitContext(device="cpu", members=members)
    fitted = Blend(prior_rows=1.0).fit(topics, topics.select([]), context)
    assert {part.name for part in fitted.parts} <= set(pair)
    assert all(part.weight >= 0 for part in fitted.parts)


@pytest.mark.parametrize("names", [[], ["tfidf"]])
def test_too_few_members_are_refused(
    names: list[str], topics: Dataset, pair: dict[str, Classifier]
) -> None:
    members = {name: Member(pair[name], predict(pair[name], topics)) for name in names}
    with pytest.raises(RecipeError, match="two or more fitted methods besides the majority class"):
        Blend().fit(topics, topics, FitContext(device="cpu", members=members))


def test_precision_is_that_of_the_members(blend: BlendClassifier, saved: Path) -> None:
    assert blend.number_format == "auto"
    assert blend.with_precision("fp32").number_format == "fp32"
    loaded = Classifier.load(blend.with_precision("fp32").save(saved.parent / "exact"), "cpu")
    assert loaded.number_format == "fp32"


def test_the_card_and_info_name_the_members(saved: Path) -> None:
    card = (saved / "README.md").read_text()
    assert "tfidf (0.75), a logistic regression on TF-IDF features" in card
    assert "Transformers alone cannot load it" in card
    about = finetext.info(saved)
    assert about.problem is None
    assert any(line.endswith("tfidf 0.75, probe 0.50") for line in model_lines(about))
    members = about.described["provenance"]["members"]
    assert {name: of["weight"] for name, of in members.items()} == {"tfidf": 0.75, "probe": 0.5}


def test_it_cannot_become_static_embeddings_but_a_member_can(saved: Path) -> None:
    said = r"a blend cannot be exported to static embeddings.*export probe"
    with pytest.raises(ModelError, match=said):
        finetext.export(saved, "static")


def test_it_is_explained_by_occlusion(blend: BlendClassifier) -> None:
    found = finetext.explain(blend, "fresh bread and salt")
    assert found.way == "occlusion"
    assert [word.text for word in found.words] == ["fresh", "bread", "and", "salt"]
    with pytest.raises(RecipeError, match="it is not a transformer; use --way occlusion"):
        finetext.explain(blend, "bread", way="gradients")


def test_its_map_is_that_of_the_heaviest_member(blend: BlendClassifier, topics: Dataset) -> None:
    from finetext.diagnosis.text_map import states_of

    assert states_of(blend, topics.texts).source == "TF-IDF vectors"


def test_a_fine_tuned_encoder_can_be_a_member(
    topics: Dataset, tiny_encoder: Path, pair: dict[str, Classifier], tmp_path: Path
) -> None:
    tune = finetext.Finetune(str(tiny_encoder), epochs=1, max_length=16, precision="fp32")
    tuned = tune.fit(topics, topics, CONTEXT)
    parts = (Part("tfidf", 0.5, pair["tfidf"]), Part("finetune", 0.5, tuned))
    assert topics.scheme is not None
    blend = BlendClassifier(topics.scheme, AS_LIKELY, parts)
    loaded = Classifier.load(blend.save(tmp_path / "model"), "cpu")
    np.testing.assert_allclose(
        loaded.predict_proba(topics.texts), blend.predict_proba(topics.texts), atol=1e-6
    )


def test_what_is_sent_to_the_hub_is_whole(saved: Path, topics: Dataset) -> None:
    with staged(saved, "owner/name") as (folder, left_out):
        assert not left_out
        assert (folder / "members" / "tfidf" / "vocabulary.json").is_file()
        Classifier.load(folder, "cpu")


def broken(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change the list of members in a model folder."""
    path = folder / "blend.json"
    described = json.loads(path.read_text())
    members = change(described["members"])
    path.write_text(json.dumps({"members": described["members"] if members is None else members}))
    listed = json.loads((folder / "finetext.json").read_text())
    listed["files"]["blend.json"]["size"] = path.stat().st_size
    (folder / "finetext.json").write_text(json.dumps(sealed(listed)))


BROKEN: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "a blend in a blend": (lambda of: of[0].update(classifier="blend"), "is a blend itself"),
    "no members": (lambda of: [], "no list of 1 to 50 members"),
    "too many": (lambda of: of * 26, "no list of 1 to 50 members"),
    "no list": (lambda of: {"a": 1}, "no list of 1 to 50 members"),
    "twice": (lambda of: [of[0], of[0]], "two members have the same name"),
    "outside": (lambda of: of[0].update(name="../../other"), "no name that a folder can have"),
    "a list of numbers": (lambda of: [1, 2], "no name|same name"),
    "negative": (lambda of: of[0].update(weight=-1.0), "it must be 0 or more"),
    "endless": (lambda of: of[0].update(weight=float("inf")), "it must be 0 or more"),
    "no number": (lambda of: of[0].update(weight="1"), "no number"),
    "unknown": (lambda of: of[0].update(classifier="oracle"), "oracle"),
    "without weight": (lambda of: of[0].pop("weight") and None, "damaged"),
    "missing": (lambda of: of[0].update(name="gone"), "gone"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_damaged_and_hostile_folders_are_refused(saved: Path, case: str) -> None:
    change, said = BROKEN[case]
    broken(saved, change)
    with pytest.raises(ModelError, match=said):
        Classifier.load(saved, "cpu")


def test_a_missing_member_is_reported(saved: Path) -> None:
    (saved / "members" / "tfidf" / "vocabulary.json").unlink()
    with pytest.raises(ModelError, match=r"members/tfidf/vocabulary.json"):
        Classifier.load(saved, "cpu")
