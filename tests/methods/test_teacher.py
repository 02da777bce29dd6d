"""The teacher: a saved model as a method; see tests/contract for what holds for every method."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import finetext
from finetext.core.contracts import Classifier, FitContext, Listener, predict
from finetext.core.decision import Decision
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import SplitSettings
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.llm import Llm
from finetext.methods.teacher import Teacher
from finetext.methods.tfidf import Tfidf, TfidfClassifier
from finetext.runs.learning_curve import CurveSettings
from finetext.storage.locks import CURVE_LOG


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


def test_it_is_scored_as_it_is_in_whatever_run(
    saved: Path, topics: Dataset, tmp_path: Path
) -> None:
    teacher, quiet = Teacher(str(saved)), Listener()
    alone = teacher.fit(topics, topics.select([]), FitContext(device="cpu"))
    for crossed in (False, True):
        split = SplitSettings(cross_validate=crossed)
        run = finetext.train(
            topics, teacher, split=split, out=tmp_path / f"run {crossed}", listener=quiet
        )
        found, texts = run.predictions("teacher"), run.texts("teacher")
        assert (found.probabilities == alone.predict_proba(texts)).all()
        assert (found.decisions == predict(alone, run.rows("teacher", "test")).decisions).all()
        assert run.classifier("teacher").decision == alone.decision
    fitted = finetext.fit(topics.texts, topics.labels, teacher, listener=quiet)
    assert fitted.decision == alone.decision


@pytest.mark.parametrize("crossed", [False, True])
def test_a_learning_curve_has_it_as_it_is(
    crossed: bool, saved: Path, topics: Dataset, tmp_path: Path
) -> None:
    stubborn = Classifier.load(saved).with_decision(Decision(thresholds=(1e-9, 1.0, 1.0)))
    teacher = Teacher(str(stubborn.save(tmp_path / "stubborn")))
    finetext.learning_curve(
        topics, teacher, settings=CurveSettings(sizes=(6, 9, 12), trainings=1),
        split=SplitSettings(cross_validate=crossed), out=tmp_path / "curve", listener=Listener(),
    )  # fmt: skip
    lines = map(json.loads, (tmp_path / "curve" / CURVE_LOG).read_text().splitlines()[1:])
    scores = {line["score"] for line in lines if line["rung"] == "teacher"}
    assert max(scores) < 1 / 3  # more is no macro F1 of one label for all of three classes


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
