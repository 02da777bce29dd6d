"""`TextClassifier` keeps the contract of scikit-learn."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_array, check_X_y

import finetext
from finetext.core.decision import Decision
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset
from finetext.runs.estimator import TextClassifier

quick = partial(TextClassifier, "tfidf", inverse_regularisation=10.0)
LABELS = {"sport": 3, "money": 11, "food": 20}


@pytest.fixture(scope="module")
def texts(topics: Dataset) -> list[str]:
    return topics.texts


def test_string_labels(texts: list[str], topics: Dataset) -> None:
    model = quick().fit(texts, topics.labels)
    assert model.classes_.tolist() == ["food", "money", "sport"]
    assert model.predict(texts).tolist() == topics.labels
    assert model.score(texts, topics.labels) == 1.0
    found = model.predict_proba(texts)
    assert found.shape == (27, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    far = model.decision_function(texts)
    assert (far.argmax(axis=1) == found.argmax(axis=1)).all()


def forms() -> dict[str, Callable[[list[Any]], Any]]:
    import pandas as pd
    import polars as pl

    return {
        "list": list,
        "tuple": tuple,
        "array": np.array,
        "pandas": pd.Series,
        "polars": pl.Series,
        "column": lambda values: np.array(values)[:, None],
    }


@pytest.mark.parametrize("form", [name for name in forms() if name != "column"])
@pytest.mark.parametrize("kind", [int, str, lambda label: label == 3])
def test_labels_keep_their_type(texts: list[str], topics: Dataset, form: str, kind: Any) -> None:
    y = [kind(LABELS[label]) for label in topics.labels]
    made = forms()[form]
    model = quick().fit(made(texts), made(y))
    assert model.classes_.tolist() == sorted(set(y))
    found = model.predict(made(texts))
    assert found.tolist() == y
    assert found.dtype.kind in {np.array(y).dtype.kind, "O" if kind is str else ""}


def test_decision_function_of_two_classes(texts: list[str], topics: Dataset) -> None:
    y = np.array([label == "food" for label in topics.labels])
    model = quick().fit(texts, y)
    far = model.decision_function(texts)
    assert far.shape == (27,)
    assert ((far > 0) == model.predict(texts)).all()
    assert cross_val_score(quick(), texts, y, scoring="roc_auc", cv=3).min() > 0.5


def test_multilabel_as_matrix_and_as_lists(mixed_topics: Dataset) -> None:
    texts, rows = mixed_topics.texts, mixed_topics.labels
    names = ["food", "money", "sport"]
    matrix = np.array([[int(name in row) for name in names] for row in rows])
    by_lists, by_matrix = quick().fit(texts, rows), quick().fit(texts, matrix)
    assert by_lists.classes_.tolist() == names
    assert by_matrix.classes_.tolist() == [0, 1, 2]
    np.testing.assert_allclose(by_lists.predict_proba(texts), by_matrix.predict_proba(texts))
    found, lists = by_matrix.predict(texts), by_lists.predict(texts)
    assert found.shape == matrix.shape
    assert [[n for n, one in zip(names, row, strict=True) if one] for row in found] == list(lists)
    assert by_lists.score(texts, rows) == by_matrix.score(texts, matrix)
    assert cross_val_predict(quick(), texts, matrix, cv=3).shape == matrix.shape
    assert len(cross_val_predict(quick(), texts, rows, cv=KFold(3))) == 27
    by_sparse = quick().fit(texts, csr_matrix(matrix))
    np.testing.assert_array_equal(by_sparse.predict(texts), found)
    assert by_sparse.score(texts, csr_matrix(matrix)) == by_matrix.score(texts, matrix)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (None, "requires y"),
        (["a"] * 26, "27 texts and 26 labels"),
        (["a"] * 27, "one class only"),
        ([None, *"a" * 26], "label of row 0 is missing"),
        ([0.5, *range(26)], "continuous|Unknown label type"),
        ([["a"], *"b" * 26], "some rows of y are lists"),
        ([[0, 1, 2]] * 27, "not all 0 and 1"),
    ],
)
def test_invalid_labels(texts: list[str], y: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        quick().fit(texts, y)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("one text", "Put it in brackets"),
        ([1, 2], "text 0, counted from 0, is 1"),
        (np.array([["a"]]), "one dimension"),
    ],
)
def test_invalid_texts(texts: list[str], topics: Dataset, given: Any, said: str) -> None:
    model = quick().fit(texts, topics.labels)
    for method in (model.predict, model.predict_proba, model.decision_function):
        with pytest.raises(ValueError, match=said):
            method(given)
    with pytest.raises(ValueError, match=said):
        quick().fit(given, [0, 1])


def test_hyperparameters_are_parameters() -> None:
    model = TextClassifier("finetune", learning_rate=1e-4)
    model.set_params(epochs=3, validation_size=0.2)
    assert model.get_params() == {
        "method": "finetune", "validation_size": 0.2, "random_state": 0, "device": "auto",
        "verbose": False, "positive": None, "text_columns": None,
        "learning_rate": 1e-4, "epochs": 3,
    }  # fmt: skip
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert "learning_rate=0.0001" in repr(again)
    with pytest.raises(ValueError, match="did you mean 'learning_rate'"):
        model.set_params(learning_rat=1e-4)
    model.set_params(method="tfidf")
    with pytest.raises(ValueError, match="'tfidf' has no hyperparameter 'learning_rate'"):
        model.fit(["a", "b"] * 5, [0, 1] * 5)
    with pytest.raises(ValueError, match=r"neither a method .*; did you mean 'tfidf'"):
        TextClassifier("tf-idf").fit(["a", "b"] * 5, [0, 1] * 5)
    known = r"neither a method .*; there are: majority, tfidf, zeroshot"
    with pytest.raises(ValueError, match=known):
        TextClassifier("foo").fit(["a", "b"] * 5, [0, 1] * 5)
    with pytest.raises(RecipeError, match="minimum_documents"):
        TextClassifier("tfidf", minimum_documents=-1).fit(["a", "b"] * 5, [0, 1] * 5)


def test_method_object_as_parameter(texts: list[str], topics: Dataset) -> None:
    whole = TextClassifier(finetext.Tfidf(inverse_regularisation=10.0), longest_ngram=1)
    named = quick(longest_ngram=1)
    found = [clone(m).fit(texts, topics.labels).predict_proba(texts) for m in (whole, named)]
    np.testing.assert_array_equal(*found)


def test_searches_and_pipelines(texts: list[str], topics: Dataset) -> None:
    lower = FunctionTransformer(lambda rows: [row.lower() for row in rows])
    pipeline = Pipeline([("lower", lower), ("classify", TextClassifier("tfidf"))])
    grid = {"classify__inverse_regularisation": [1e-6, 10.0], "classify__longest_ngram": [1]}
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(texts, topics.labels)
    tried = [of["classify__inverse_regularisation"] for of in search.cv_results_["params"]]
    assert tried == [1e-6, 10.0]
    classifier = search.best_estimator_["classify"].classifier_
    assert classifier.head.inverse_regularisation in tried
    assert search.predict(["A LATE GOAL"]).tolist() == ["sport"]
    methods = GridSearchCV(TextClassifier(), {"method": ["majority", "tfidf"]}, cv=3)
    assert methods.fit(texts, topics.labels).best_params_ == {"method": "tfidf"}


def test_finetune_in_cross_validation(
    texts: list[str], topics: Dataset, tiny_encoder: Path
) -> None:
    tuned = TextClassifier(
        "finetune", encoder=str(tiny_encoder), epochs=1, device="cpu", learning_rate=1e-3
    )
    found = cross_val_predict(tuned, texts, topics.labels, cv=2, method="predict_proba")
    again = cross_val_predict(tuned, texts, topics.labels, cv=2, method="predict_proba")
    np.testing.assert_array_equal(found, again)
    slower = clone(tuned).set_params(learning_rate=1e-5)
    other = cross_val_predict(slower, texts, topics.labels, cv=2, method="predict_proba")
    assert np.abs(found - other).max() > 1e-4


def test_random_state_chooses_held_out_rows(texts: list[str], topics: Dataset) -> None:
    def fitted(state: Any) -> Any:
        return quick(random_state=state).fit(texts, topics.labels).predict_proba(texts)

    np.testing.assert_array_equal(fitted(1), fitted(np.int64(1)))
    np.testing.assert_array_equal(
        fitted(np.random.RandomState(5)), fitted(np.random.RandomState(5))
    )
    assert np.abs(fitted(1) - fitted(2)).max() > 0
    for size in (None, 0, 6, 0.3):
        quick(validation_size=size).fit(texts, topics.labels)
    for size in (1.0, 27, -1):
        with pytest.raises(ValueError, match="cannot be held out"):
            quick(validation_size=size).fit(texts, topics.labels)


@pytest.mark.parametrize("kind", [str, int, bool, "matrix", "lists"])
def test_save_and_load(texts: list[str], topics: Dataset, tmp_path: Path, kind: Any) -> None:
    y: Any = {
        "matrix": lambda: [[int(label == name) for name in LABELS] for label in topics.labels],
        "lists": lambda: [[label] for label in topics.labels],
    }.get(kind, lambda: [kind(LABELS[label] > 3) for label in topics.labels])()
    model = quick().fit(texts, y)
    again = TextClassifier.load(model.save(tmp_path / "model"), device="cpu")
    np.testing.assert_array_equal(again.predict(texts), model.predict(texts))
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))
    assert again.classes_.tolist() == model.classes_.tolist()
    assert again.classes_.dtype.kind in (model.classes_.dtype.kind, "O")
    assert again.method == "tfidf"
    by_finetext = finetext.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(by_finetext.predict_proba(texts), model.predict_proba(texts))


def test_loaded_estimator_can_be_cloned_and_fitted(
    texts: list[str], topics: Dataset, tmp_path: Path
) -> None:
    model = quick(longest_ngram=np.int64(1)).fit(texts, topics.labels)
    again = TextClassifier.load(model.save(tmp_path / "model"), device="cpu")
    assert again.get_params() == model.get_params() | {"device": "cpu"}
    learnt = clone(again).fit(texts, topics.labels)
    np.testing.assert_array_equal(learnt.predict_proba(texts), model.predict_proba(texts))


def test_load_of_a_run_and_of_a_model_without_method(
    texts: list[str], topics: Dataset, finished: Path, tmp_path: Path
) -> None:
    of_run = TextClassifier.load(finished)
    assert (of_run.method, of_run.inverse_regularisation) == ("tfidf", 1.0)
    assert TextClassifier.load(finished / "majority").method == "majority"
    finetext.fit(texts, topics.labels, "tfidf").save(tmp_path / "model")
    assert TextClassifier.load(tmp_path / "model").method == "tfidf"


@pytest.mark.parametrize("kind", [str, int])
def test_abstentions_are_wrong_in_score(texts: list[str], topics: Dataset, kind: Any) -> None:
    labels = [kind(LABELS[label]) for label in topics.labels]
    model = quick().fit(texts, labels)
    least = [1.1 if name == "3" else 0.0 for name in model.classifier_.scheme.names]
    model.classifier_ = model.classifier_.with_decision(Decision(least=tuple(least)))
    assert model.score(texts, labels) == pytest.approx(2 / 3)
    weights = [float(label == kind(3)) for label in labels]
    assert model.score(np.array(texts), np.array(labels), weights) == 0.0


def test_pickle_round_trip(texts: list[str], topics: Dataset) -> None:
    model = quick().fit(texts, topics.labels)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))


class OfNumbers(TextClassifier):
    """The same for scikit-learn's own checks, which have matrices of numbers: as words of texts."""

    def fit(self, X: Any, y: Any) -> OfNumbers:
        if y is None:
            return super().fit([], y)
        X, y = check_X_y(X, y, multi_output=True, dtype=None, accept_sparse=False)
        self.n_features_in_ = X.shape[1]
        return super().fit(_words(X), y)

    def predict(self, X: Any) -> Any:
        return super().predict(self._checked(X))

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(self._checked(X))

    def decision_function(self, X: Any) -> Any:
        return super().decision_function(self._checked(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        return super().score(X, y, sample_weight)

    def _checked(self, X: Any) -> Any:
        if not self.__sklearn_is_fitted__():
            return []
        X = check_array(X, dtype=None)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but OfNumbers is expecting {self.n_features_in_} "
                "features as input"
            )
        return _words(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        tags.input_tags.string = False
        tags.classifier_tags.poor_score = True
        return tags


def _words(X: Any) -> list[str]:
    return [
        " ".join(f"c{n}v{float(v):.0f}".replace("-", "m") for n, v in enumerate(row)) for row in X
    ]


HELD_BY_KEYWORD = {
    "check_no_attributes_set_in_init": "hyperparameters of the method are attributes"
}


def _checks() -> list[Any]:
    whole = OfNumbers(finetext.Tfidf(inverse_regularisation=1.0, longest_ngram=1))
    named = OfNumbers("tfidf", inverse_regularisation=1.0, longest_ngram=1)
    every = [
        *estimator_checks_generator(whole, mark=None),
        *estimator_checks_generator(named, legacy=False, mark=None),
    ]
    return [
        pytest.param(one, check, id=f"{getattr(check, 'func', check).__name__}{number}")
        for number, (one, check) in enumerate(every)
    ]


@pytest.mark.parametrize(("estimator", "check"), _checks())
def test_scikit_learn_checks(
    estimator: Any, check: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    name = getattr(check, "func", check).__name__
    if isinstance(estimator.method, str) and name in HELD_BY_KEYWORD:
        request.applymarker(pytest.mark.xfail(reason=HELD_BY_KEYWORD[name], strict=True))
    check(estimator)


@pytest.mark.parametrize(
    ("y", "positive", "name"),
    [
        ([0, 1], 0, "0"), ([0, 1], "0", "0"), ([0, 1], 1.0, "1"), ([0.0, 1.0], 0.0, "0.0"),
        ([False, True], False, "False"), (["ham", "spam"], "ham", "ham"), ([0, 1], None, None),
    ],
)  # fmt: skip
def test_the_positive_class_survives_saving(
    y: list[Any], positive: Any, name: str | None, tmp_path: Path
) -> None:
    texts = ["the team won", "the bank failed"] * 10
    model = TextClassifier("majority", positive=positive).fit(texts, y * 10)
    assert model.classifier_.scheme.positive == name
    assert model.classes_.tolist() == y  # in their order, whichever is positive
    again = TextClassifier.load(model.save(tmp_path / "m"))
    assert again.classifier_.scheme.positive == again.positive == name
    assert clone(again).fit(texts, y * 10).classifier_.scheme.positive == name
    with pytest.raises(ValueError, match="none of the labels, which are"):
        clone(model).set_params(positive="other").fit(texts, y * 10)
