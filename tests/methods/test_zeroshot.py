"""Classifiers that learn from the names of labels alone."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

import finetext
from finetext.core.contracts import Classifier, FitContext
from finetext.core.errors import DataError, RecipeError, UnknownNameError
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.zeroshot import (
    MOST_TEXTS,
    SCALE,
    ZeroShot,
    ZeroShotClassifier,
    in_words,
    is_unclear,
    templates_for,
)
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


def test_descriptions_say_what_names_do_not(real: Classifier) -> None:
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
    texts = [template.replace("{}", label) for template in templates_for("minilm")]
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
    made = [finetext.zero_shot(LABELS, [*NEWS] * times, device="cpu") for times in (0, 1, 20)]
    bare, few, many = (of for of in made if isinstance(of, ZeroShotClassifier))
    moved = [np.linalg.norm(of.vectors - bare.vectors) for of in (few, many)]
    assert 0 < moved[0] < moved[1] / 3
    assert (bare.texts, few.texts, many.texts) == (0, 6, 120)


def test_no_more_texts_are_read_than_help(tiny_encoder: Path) -> None:
    texts = [f"bread {number}" for number in range(MOST_TEXTS + 5)]
    assert tiny(tiny_encoder, texts=texts).texts == MOST_TEXTS


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
    given = sum(map(len, made.predict(topics.texts)))
    assert given == pytest.approx(len(topics.texts), abs=2)  # rounding moves texts at the border
    [threshold, *others] = tiny(tiny_encoder, multilabel=True).decision.thresholds or ()
    assert (threshold, others) == (0.5, [0.5, 0.5])


def test_a_certain_label_has_finite_odds(tiny_encoder: Path) -> None:
    made = tiny(tiny_encoder, multilabel=True)
    state = made.encoder.states(["fresh bread"])[0]
    vectors = np.array([state, -state, -state]) / np.linalg.norm(state)
    logits = replace(made, vectors=vectors).logits(["fresh bread"])
    np.testing.assert_allclose(logits[0, 0], 2 * SCALE - np.log(2), atol=1e-6)


@pytest.mark.parametrize(
    ("label", "unclear"),
    [("1", True), ("LABEL_3", True), ("yes", True), ("a", True), ("-", True), ("class 2", True),
     ("ham", False), ("Refund_not_showing_up", False), ("5 stars", False), ("体育", False)],
)  # fmt: skip
def test_names_that_say_nothing_are_known(label: str, unclear: bool) -> None:
    assert is_unclear(label) is unclear


def test_names_are_read_as_words() -> None:
    assert in_words("card_not_working") == "card not working"
    assert in_words("_") == "_"


def test_a_multilingual_encoder_gets_no_english_template() -> None:
    assert templates_for("paraphrase-multilingual-MiniLM-L12-v2") == ("{}",)
    assert len(templates_for("minilm")) == 3


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


def test_labels_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"nothing in .*0, 1.* says what the texts are about"):
        ZeroShot().check(LabelScheme(("0", "1")))
    with pytest.raises(RecipeError, match="needs two or more"):
        finetext.zero_shot(["sports"])
    with pytest.raises(RecipeError, match=r"'sport', which is no label here.*sports"):
        ZeroShot(descriptions={"sport": "matches"}).check(LabelScheme(("sports", "politics")))
    with pytest.raises(DataError, match="must be a list"):
        finetext.zero_shot("sports,politics")
    with pytest.raises(DataError, match="must be a list"):
        finetext.zero_shot(LABELS, "a text")
    with pytest.raises(UnknownNameError):
        finetext.zero_shot(LABELS, encoder="minilmm")


def test_descriptions_survive_a_recipe(tiny_encoder: Path) -> None:
    described = {"sports": ("a match", "a team"), "politics": "a vote"}
    recipe = Recipe(methods={"zeroshot": ZeroShot(descriptions=described)})
    again = Recipe.from_values(tomllib.loads(recipe.to_toml()))
    assert again.methods["zeroshot"] == recipe.methods["zeroshot"]


def test_a_damaged_model_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from finetext.core.errors import ModelError

    folder = tiny(tiny_encoder).save(tmp_path / "model")
    save_file({"vectors": np.zeros((2, 32))}, folder / "zeroshot.safetensors")
    with pytest.raises(ModelError):
        Classifier.load(folder, "cpu")
