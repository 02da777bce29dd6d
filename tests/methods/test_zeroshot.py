"""Classifiers that learn from the names of labels alone."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

import finetext
from finetext.core.contracts import Classifier, FitContext
from finetext.core.errors import DataError, RecipeError, UnknownNameError
from finetext.core.shared_texts import SharedTexts
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.catalogue import ENTRIES, EncoderSource
from finetext.methods.label_sentences import BARE_TEMPLATES
from finetext.methods.probe import Probe
from finetext.methods.zeroshot import MOST_TEXTS, SCALE, ZeroShot, ZeroShotClassifier
from finetext.runs.recipe import Recipe

LABELS = ["sports", "politics", "science"]
NEWS = {
    "The striker scored twice in the final": "sports",
    "Parliament passed the new tax bill": "politics",
    "Astronomers found a new planet": "science",
    "The coach was fired after the defeat": "sports",
    "The minister resigned before the election": "politics",
    "A virus was found to change its genes": "science",
}


def tiny(
    encoder: Path, labels: Sequence[str] = LABELS, texts: Sequence[str] = (), **more: bool
) -> ZeroShotClassifier:
    made = finetext.zero_shot(labels, texts, encoder=str(encoder), device="cpu", **more)
    assert isinstance(made, ZeroShotClassifier)
    return made


@pytest.fixture(scope="module")
def real() -> Classifier:
    return finetext.zero_shot(LABELS, list(NEWS), device="cpu")


def test_texts_are_told_apart_by_the_names_of_the_labels(real: Classifier) -> None:
    assert real.predict(list(NEWS)) == list(NEWS.values())


def test_it_is_no_surer_for_having_seen_the_texts(real: Classifier) -> None:
    before = finetext.zero_shot(LABELS, device="cpu").predict_proba(list(NEWS)).max(axis=1)
    after = real.predict_proba(list(NEWS)).max(axis=1)
    assert after.mean() == pytest.approx(before.mean(), abs=1e-6)


def test_descriptions_say_what_names_do_not() -> None:
    described = {"1": "a football match", "2": ("parliament and elections", "government")}
    said = finetext.zero_shot(described, device="cpu")
    assert said.predict(["The striker scored twice", "The minister resigned"]) == ["1", "2"]


def test_a_description_is_half_of_the_vector_and_all_of_one_without_a_telling_name(
    tiny_encoder: Path,
) -> None:
    bare = tiny(tiny_encoder, ["bread", "match"])
    both = tiny(tiny_encoder, {"bread": "fresh and warm", "match": ""})  # type: ignore[arg-type]
    told = tiny(tiny_encoder, {"1": "fresh and warm", "match": ""})  # type: ignore[arg-type]
    middle = (bare.vectors[0] * _length(bare, "bread") + told.vectors[0]) / 2
    np.testing.assert_allclose(both.vectors[0], middle / np.linalg.norm(middle), atol=1e-6)
    np.testing.assert_array_equal(both.vectors[1], bare.vectors[1])


def _length(classifier: ZeroShotClassifier, label: str) -> float:
    """Length of the mean of the unit vectors of a label in the templates."""
    texts = [template.replace("{}", label) for template in BARE_TEMPLATES]
    states = classifier.encoder.states(texts)
    return float(np.linalg.norm((states / np.linalg.norm(states, axis=1)[:, None]).mean(axis=0)))


def test_labels_of_rows_change_nothing(tiny_encoder: Path, topics: Dataset) -> None:
    method, context = ZeroShot(str(tiny_encoder)), FitContext(device="cpu")
    assert topics.scheme is not None
    fitted = method.fit(topics, topics.select([]), context)
    other = replace(topics, table=topics.table.remove_columns("label"))
    again = method.fit(other, topics.select([]), context)
    texts = topics.texts
    np.testing.assert_array_equal(fitted.predict_proba(texts), again.predict_proba(texts))


def test_the_fewer_the_texts_the_less_the_vectors_move() -> None:
    texts = [[f"{text}, page {page}" for text in NEWS for page in range(n)] for n in (0, 1, 20)]
    made = [finetext.zero_shot(LABELS, some, device="cpu") for some in texts]
    bare, few, many = (of for of in made if isinstance(of, ZeroShotClassifier))
    moved = [np.linalg.norm(of.vectors - bare.vectors) for of in (few, many)]
    assert 0 < moved[0] < moved[1] / 3
    assert [of.unlabeled_texts for of in (bare, few, many)] == [0, 6, 120]


def test_no_more_texts_are_read_than_help(tiny_encoder: Path) -> None:
    texts = [f"bread {number}" for number in range(MOST_TEXTS + 5)]
    assert tiny(tiny_encoder, texts=texts).unlabeled_texts == MOST_TEXTS


def test_copies_of_a_text_change_nothing(tiny_encoder: Path) -> None:
    texts = [f"bread {number}" for number in range(30)]
    once = tiny(tiny_encoder, texts=texts)
    copied = tiny(tiny_encoder, texts=[*texts, *texts[3:5] * 40])
    np.testing.assert_array_equal(copied.vectors, once.vectors)
    assert (copied.scale, copied.unlabeled_texts) == (once.scale, 30)


def test_of_several_labels_each_is_against_all_others(tiny_encoder: Path) -> None:
    one, several = tiny(tiny_encoder), tiny(tiny_encoder, multilabel=True)
    texts = ["fresh bread", "", "the match"]
    np.testing.assert_allclose(several.predict_proba(texts), one.predict_proba(texts), atol=1e-9)
    logits = several.logits(texts)
    np.testing.assert_allclose(expit(logits), one.predict_proba(texts), atol=1e-9)


def test_of_several_labels_one_a_text_is_given_on_average(
    tiny_encoder: Path, topics: Dataset
) -> None:
    made = tiny(tiny_encoder, texts=topics.texts, multilabel=True)
    assert sum(map(len, made.predict(topics.texts))) == len(topics.texts)
    for text in topics.texts[:5]:
        alone = tiny(tiny_encoder, texts=[text], multilabel=True)
        assert len(alone.predict([text])[0]) == 1
    [threshold, *others] = tiny(tiny_encoder, multilabel=True).decision.thresholds or ()
    assert (threshold, others) == (0.5, [0.5, 0.5])


def test_a_certain_label_has_finite_odds(tiny_encoder: Path) -> None:
    made = tiny(tiny_encoder, multilabel=True)
    state = made.encoder.states(["fresh bread"])[0]
    vectors = np.array([state, -state, -state]) / np.linalg.norm(state)
    logits = replace(made, vectors=vectors).logits(["fresh bread"])
    np.testing.assert_allclose(logits[0, 0], 2 * SCALE - np.log(2), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"encoder": "random:tiny"}, "random weights"),
     ({"templates": []}, "give one or more"),
     ({"templates": ["about it"]}, "needs {} once"),
     ({"descriptions": {"sports": " "}}, "description of 'sports' is empty"),
     ({"descriptions": {"sports": []}}, "description of 'sports' is empty")],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], message: str) -> None:
    recipe = Recipe.from_values({"methods": {"zeroshot": settings}})
    with pytest.raises(RecipeError, match=message):
        recipe.methods["zeroshot"].check()


@pytest.mark.parametrize(
    ("labels", "descriptions", "message"),
    [(("0", "1"), {}, r"nothing in .*0, 1.* says what the texts are about"),
     (("spam", "no"), {}, r"nothing in .*no.* says"),
     (("sports", "1", "2"), {}, r"nothing in .*1, 2.* says"),
     (("1", "2", "science"), {"1": "a match"}, None),
     (("sports", "politics", "none"), {"sports": "a match", "politics": "a vote"}, None),
     (("sports", "politics", "none"), {}, None),
     (("好", "坏"), {}, None),
     (("sports",), {}, "needs two or more"),
     (("bad_film", "Bad film"), {}, "read the same"),
     (("sports", "politics"), {"sport": "a match"}, r"'sport', which is no label here.*sports")],
)  # fmt: skip
def test_labels_are_comparable_or_refused(
    labels: tuple[str, ...], descriptions: dict[str, str], message: str | None
) -> None:
    method, scheme = ZeroShot(descriptions=descriptions or None), LabelScheme(labels)
    if message is None:
        method.check(scheme)
        return
    with pytest.raises(RecipeError, match=message):
        method.check(scheme)


@pytest.mark.parametrize("labels", ["sports,politics", [], [1, 2]])
def test_labels_must_be_texts(labels: Any) -> None:
    with pytest.raises(DataError, match="must be a list of texts"):
        finetext.zero_shot(labels)


def test_what_is_given_in_python_is_checked() -> None:
    with pytest.raises(DataError, match="must be a list"):
        finetext.zero_shot(LABELS, "a text")
    with pytest.raises(DataError, match="not unique"):
        finetext.zero_shot(["sports", "sports"])
    wrong: Any = "It is {}."
    with pytest.raises(RecipeError, match="templates = 'It is"):
        finetext.zero_shot(LABELS, templates=wrong)
    wrong = {"sports": 5, "politics": ""}
    with pytest.raises(RecipeError, match="descriptions = "):
        finetext.zero_shot(wrong)
    with pytest.raises(UnknownNameError):
        finetext.zero_shot(LABELS, encoder="minilmm")
    with pytest.raises(UnknownNameError):
        ZeroShot("minilmm").check()


def test_an_encoder_that_was_not_trained_to_compare_is_warned_of(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    entry = next(of for of in ENTRIES if of.alias == "bert")
    source = EncoderSource("bert", str(tiny_encoder), True, entry)
    monkeypatch.setattr("finetext.methods.zeroshot.resolve", lambda name: source)
    listener = finetext.Listener(finding=found.append)
    finetext.zero_shot(LABELS, encoder=str(tiny_encoder), device="cpu", listener=listener)
    assert [of.code for of in found] == ["zero-shot-encoder"]


def test_descriptions_survive_a_recipe() -> None:
    described = {"sports": ("a match", "a team"), "politics": "a vote"}
    recipe = Recipe(methods={"zeroshot": ZeroShot(descriptions=described)})
    again = Recipe.from_values(tomllib.loads(recipe.to_toml()))
    assert again.methods["zeroshot"] == recipe.methods["zeroshot"]


@pytest.mark.parametrize(
    "damage", [{"scale": float("nan")}, {"temperature": 0}, {"max_length": 1e999},
               {"unlabeled_texts": 1e999}, {"about": 3}],
)  # fmt: skip
def test_damaged_numbers_are_refused(
    tiny_encoder: Path, tmp_path: Path, damage: dict[str, Any]
) -> None:
    made = tiny(tiny_encoder)
    place = made.save(tmp_path / "model") / "zeroshot.json"
    ZeroShotClassifier.load_weights(place.parent, made.scheme, made.decision, "cpu")
    place.write_text(json.dumps(json.loads(place.read_text()) | damage))
    with pytest.raises(ValueError, match=r"number|Infinity"):
        ZeroShotClassifier.load_weights(place.parent, made.scheme, made.decision, "cpu")


def test_damaged_vectors_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    made = tiny(tiny_encoder)
    place = made.save(tmp_path / "model") / "zeroshot.safetensors"
    for vectors in (np.zeros((2, 32)), np.full((3, 32), np.nan)):
        save_file({"vectors": vectors}, place)
        with pytest.raises(ValueError, match="3 vectors of 32 numbers"):
            ZeroShotClassifier.load_weights(place.parent, made.scheme, made.decision, "cpu")


@pytest.mark.parametrize("split", ["one label", "several labels"])
def test_a_run_puts_it_beside_methods_that_learned(
    split: str, tiny_encoder: Path, topics: Dataset, mixed_topics: Dataset, tmp_path: Path
) -> None:
    data = topics if split == "one label" else mixed_topics
    methods = [ZeroShot(str(tiny_encoder)), "tfidf"]
    run = finetext.train((data.texts, data.labels), methods, out=tmp_path / "run",
                         split=finetext.SplitSettings(cross_validate=False))  # fmt: skip
    assert {entry.method for entry in run.leaderboard} == {"majority", "tfidf", "zeroshot"}
    assert run.entry("zeroshot").model
    assert "test" in run.entry("zeroshot").metrics
    classifier = Classifier.load(run.folder / "zeroshot")
    assert classifier.provenance()["encoder"] == str(tiny_encoder)


def test_folds_share_one_encoder_that_knows_all_texts(tiny_encoder: Path, topics: Dataset) -> None:
    context = FitContext(device="cpu", shared=SharedTexts(tuple(topics.texts)))
    encoders = [
        method.fit(topics.select(rows), topics, context).encoder
        for method in (ZeroShot(str(tiny_encoder)), Probe(str(tiny_encoder)))
        for rows in (range(20), range(5, 25))
    ]
    assert all(of is encoders[0] for of in encoders)
