"""TF-IDF: fitted on train alone, equal to scikit-learn, at ease with texts without words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.contracts import Classifier, FitContext
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Dataset
from finetext.methods.tfidf import TOKENS, Tfidf
from finetext.runs.recipe import Recipe

CONTEXT = FitContext()
METHOD = Tfidf(longest_ngram=2, inverse_regularisation=1.0)


def test_it_is_tfidf_and_logistic_regression_of_scikit_learn(topics: Dataset) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    reference = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=TOKENS),
        LogisticRegression(C=1.0, tol=1e-7),
    ).fit(topics.texts, topics.labels)
    found = METHOD.fit(topics, topics, CONTEXT).predict_proba(topics.texts)
    np.testing.assert_allclose(found, reference.predict_proba(topics.texts), atol=1e-2)


def test_it_learns_from_train_alone(topics: Dataset, make_dataset: Callable[..., Dataset]) -> None:
    other = make_dataset(["unseen words here"] * 9, ["food", "money", "sport"] * 3)
    one, two = (Tfidf().fit(topics, validation, CONTEXT) for validation in (topics, other))
    assert "unseen" not in two.vectorizer.vocabulary_
    np.testing.assert_array_equal(
        one.predict_proba(["unseen bread"]), two.predict_proba(["unseen bread"])
    )


def test_its_settings_shape_the_vocabulary(topics: Dataset) -> None:
    def terms(**settings: int) -> set[str]:
        return set(replace(METHOD, **settings).fit(topics, topics, CONTEXT).vectorizer.vocabulary_)

    assert not any(" " in term for term in terms(longest_ngram=1))
    assert any(term.count(" ") == 2 for term in terms(longest_ngram=3))
    assert len(terms(most_features=5)) == 5
    assert "once" in terms(minimum_documents=9)
    assert "bread" not in terms(minimum_documents=9)


def test_one_letter_words_and_signs_count(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(["i !"] * 4 + ["u ?"] * 4, ["good"] * 4 + ["bad"] * 4)
    fitted = METHOD.fit(data, data, CONTEXT)
    assert {"i", "u", "!", "?"} <= set(fitted.vectorizer.vocabulary_)
    assert next(iter(fitted("!"))) == "good"


@pytest.mark.parametrize(
    "texts",
    [["", " ", "\n", ""], ["a", "b", "c", "d"], ["", "", "x y", "z"]],
    ids=["no words", "every word once", "one text with words"],
)
def test_texts_with_few_words_or_none_can_be_learned_from(
    texts: list[str], make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    data = make_dataset(texts, ["one", "two"] * 2)
    fitted = METHOD.fit(data, data, CONTEXT)
    probabilities = fitted.predict_proba([*texts, "else"])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    loaded = Classifier.load(fitted.save(tmp_path / "model"))
    np.testing.assert_allclose(loaded.predict_proba([*texts, "else"]), probabilities)


def test_it_says_what_it_chose(topics: Dataset) -> None:
    fitted = Tfidf().fit(topics, topics, CONTEXT)
    assert fitted.provenance() == {
        "inverse_regularisation": fitted.head.inverse_regularisation,
        "by_ratios": fitted.by_ratios,
        "features": len(fitted.vectorizer.vocabulary_),
    }


def test_scaled_features_are_chosen_where_they_are_better(
    make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    """One word in a text of many tells the class; its weight is cheap only if it is scaled."""
    random = np.random.default_rng(0)
    told = np.arange(120) % 4
    filler = [" ".join(random.choice([f"w{i}" for i in range(60)], 25)) for _ in told]
    texts = [
        f"{of} mark{random.integers(3)}class{one}" for of, one in zip(filler, told, strict=True)
    ]
    train = make_dataset(texts, [f"c{one}" for one in told])
    fitted = Tfidf(longest_ngram=1, inverse_regularisation=1.0).fit(train, train, CONTEXT)
    assert fitted.by_ratios
    assert not Tfidf(by_ratios=False).fit(train, train, CONTEXT).by_ratios
    loaded = Classifier.load(fitted.save(tmp_path / "model"))
    assert loaded.provenance()["by_ratios"] is True


@pytest.mark.parametrize(
    "setting", ["longest_ngram", "minimum_documents", "most_features", "inverse_regularisation"]
)
def test_settings_out_of_range_are_refused(setting: str) -> None:
    with pytest.raises(RecipeError, match=rf"\[methods.tfidf\]: {setting} = 0"):
        Recipe.from_values({"methods": {"tfidf": {setting: 0}}})


@pytest.mark.parametrize(
    "change",
    [
        {"vocabulary": "abc"}, {"vocabulary": [["a"]]}, {"vocabulary": []},
        {"longest_ngram": "x"}, {"longest_ngram": 10**9}, {"longest_ngram": 0},
        {"longest_ngram": 1},
    ],
)  # fmt: skip
def test_a_vocabulary_that_does_not_fit_is_damaged(
    topics: Dataset, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = METHOD.fit(topics, topics, CONTEXT).save(tmp_path / "m")
    rewrite_vocabulary(folder, change)
    with pytest.raises(ModelError, match="damaged"):
        Classifier.load(folder)


def test_an_ngram_of_millions_of_words_is_refused(topics: Dataset, tmp_path: Path) -> None:
    folder = METHOD.fit(topics, topics, CONTEXT).save(tmp_path / "m")
    terms = json.loads((folder / "vocabulary.json").read_text())["vocabulary"]
    rewrite_vocabulary(folder, {"vocabulary": ["a " * 3_000_000 + "a", *terms[1:]]})
    with pytest.raises(ModelError, match=r"has 3,000,001 words, more than 2"):
        Classifier.load(folder)


def rewrite_vocabulary(folder: Path, change: dict[str, Any]) -> None:
    """Change `vocabulary.json`, and leave out the list of files with its size."""
    path = folder / "vocabulary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    described = json.loads((folder / "finetext.json").read_text())
    del described["files"]
    (folder / "finetext.json").write_text(json.dumps(described))
