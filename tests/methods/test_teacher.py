"""The teacher: a saved model as a method; see tests/contract for what holds for every method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from finetext.core.contracts import FitContext, predict
from finetext.core.decision import Decision
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.llm import Llm
from finetext.methods.teacher import Teacher
from finetext.methods.tfidf import Tfidf, TfidfClassifier


@pytest.fixture
def saved(topics: Dataset, tmp_path: Path) -> Path:
    fitted = Tfidf(inverse_regularisation=1.0).fit(topics, topics.select([]), FitContext())
    rule = Decision(thresholds=(0.2, 0.5, 0.9))
    return fitted.with_decision(rule).save(tmp_path / "model")


def test_it_predicts_as_the_saved_model_with_its_own_rule(saved: Path, topics: Dataset) -> None:
    loaded = Teacher(str(saved)).fit(topics, topics.select([]), FitContext(device="cpu"))
    assert isinstance(loaded, TfidfClassifier)
    assert loaded.decision.thresholds == (0.2, 0.5, 0.9)
    assert predict(loaded, topics).decisions.tolist() != topics.targets.tolist()


def test_it_has_the_labels_of_the_data(
    saved: Path, topics: Dataset, make_dataset: Callable[..., Dataset]
) -> None:
    fewer = make_dataset(["a cake", "a match"], ["food", "sport"])
    with pytest.raises(RecipeError, match="3 labels, and the data have 2: 'money' is a label of"):
        Teacher(str(saved)).fit(fewer, fewer, FitContext(device="cpu"))
    turned = replace(topics, scheme=LabelScheme(("sport", "money", "food")))
    with pytest.raises(RecipeError, match="they are in another order"):
        Teacher(str(saved)).fit(turned, turned, FitContext(device="cpu"))


def test_it_says_where_a_model_sends_texts(
    topics: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    assert topics.scheme is not None
    method, said = Llm(url="http://127.0.0.1:1/v1", model="toy", examples=0), list[str]()
    folder = method.classifier(topics.scheme).save(tmp_path / "model")
    context = FitContext(device="cpu", say=said.append)
    Teacher(str(folder)).fit(topics, topics.select([]), context)
    assert said == [
        "teacher: texts are sent to http://127.0.0.1:1/v1 (model toy); budget: no limit"
    ]


def test_it_needs_a_model(topics: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="name the folder of a model"):
        Teacher().check()
    with pytest.raises(ModelError, match="there is no model or run folder"):
        Teacher(str(tmp_path / "none")).fit(topics, topics, FitContext(device="cpu"))
