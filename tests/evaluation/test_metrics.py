"""Metrics agree with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core import registry
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.metrics import applicable, metric_for


def names(k: int) -> tuple[str, ...]:
    return tuple(f"label {column}" for column in range(k))


@st.composite
def single_label(draw: st.DrawFn) -> Predictions:
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    n, k = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    raw = random.random((n, k)) + 0.01
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    ids = tuple(map(str, range(n)))
    return Predictions(ids, random.integers(k, size=n), probabilities, LabelScheme(names(k)))


@st.composite
def multi_label(draw: st.DrawFn) -> Predictions:
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    n, k = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    targets = (random.random((n, k)) < 0.3).astype(np.int64)
    probabilities = random.integers(1, 10, size=(n, k)) / 10
    ids = tuple(map(str, range(n)))
    return Predictions(ids, targets, probabilities, LabelScheme(names(k), multilabel=True))


LOSSES = ("log_loss", "brier_score", "calibration_error")


def value(name: str, predictions: Predictions) -> float:
    return metric_for(name, predictions.scheme)(predictions)


@given(single_label())
@settings(max_examples=25)
def test_single_label_metrics_agree_with_scikit_learn(predictions: Predictions) -> None:
    from sklearn import metrics

    truth, given_ = predictions.targets, predictions.decisions
    k = len(predictions.scheme)
    occurring = np.unique(truth)
    expected = {
        "accuracy": metrics.accuracy_score(truth, given_),
        "balanced_accuracy": metrics.recall_score(
            truth, given_, labels=occurring, average="macro", zero_division=0
        ),
        "macro_f1": metrics.f1_score(truth, given_, average="macro", zero_division=0),
        "weighted_f1": metrics.f1_score(truth, given_, average="weighted", zero_division=0),
        "micro_f1": metrics.f1_score(truth, given_, average="micro", zero_division=0),
        "log_loss": metrics.log_loss(truth, predictions.probabilities, labels=range(k)),
        "brier_score": metrics.brier_score_loss(
            truth, predictions.probabilities, labels=list(range(k))
        ),
    }
    if k == 2 and (1 in truth or 1 in given_):
        expected["binary_f1"] = metrics.f1_score(truth, given_, pos_label=1, zero_division=0)
    for name, number in expected.items():
        assert value(name, predictions) == pytest.approx(number), name


@given(multi_label())
@settings(max_examples=25)
def test_multi_label_metrics_agree_with_scikit_learn(predictions: Predictions) -> None:
    from sklearn import metrics

    truth, given_ = predictions.targets, predictions.decisions
    probabilities = predictions.probabilities
    some = truth.any(axis=0)

    def f1(average: str, undefined: float) -> float:
        return float(metrics.f1_score(truth, given_, average=average, zero_division=undefined))

    expected = {
        "macro_f1": f1("macro", np.nan),
        "weighted_f1": f1("weighted", 0.0) if truth.any() else np.nan,
        "micro_f1": f1("micro", np.nan),
        "samples_f1": f1("samples", 1.0),
        "subset_accuracy": metrics.accuracy_score(truth, given_),
        "mean_average_precision": np.mean(
            [
                metrics.average_precision_score(truth[:, j], probabilities[:, j])
                for j in some.nonzero()[0]
            ]
        )
        if some.any()
        else np.nan,
        "log_loss": np.mean(
            [
                metrics.log_loss(t, p, labels=[0, 1])
                for t, p in zip(truth.T, probabilities.T, strict=True)
            ]
        ),
    }
    squares = (truth - probabilities) ** 2
    expected["brier_score"] = squares.mean()
    assert {*expected, "calibration_error"} == set(applicable(predictions.scheme))
    for name, number in expected.items():
        assert value(name, predictions) == pytest.approx(number, nan_ok=True), name


def test_every_registered_metric_has_its_name_and_a_direction() -> None:
    for name in registry.names("metrics"):
        metric = registry.load("metrics", name)
        assert metric.name == name
        assert metric.higher_is_better == (name not in LOSSES)


def test_only_metrics_that_apply_are_listed() -> None:
    two, three = applicable(LabelScheme(("neg", "pos"))), applicable(LabelScheme(("a", "b", "c")))
    several = applicable(LabelScheme(("a", "b"), multilabel=True))
    assert set(two) - set(three) == {
        "average_precision", "binary_f1", "binary_precision", "binary_recall", "roc_auc",
    }  # fmt: skip
    assert "accuracy" in three
    assert "accuracy" not in several
    assert "samples_f1" not in three


def test_the_second_class_is_the_positive_one() -> None:
    likely = np.array([[0.1, 0.9], [0.1, 0.9], [0.9, 0.1], [0.9, 0.1]])
    truth = np.array([1, 0, 0, 0])
    predictions = Predictions(("1", "2", "3", "4"), truth, likely, LabelScheme(("neg", "pos")))
    assert value("binary_f1", predictions) == pytest.approx(2 / 3)


def test_a_certain_mistake_has_a_large_finite_loss() -> None:
    likely = np.array([[1.0, 0.0]])
    predictions = Predictions(("1",), np.array([1]), likely, LabelScheme(("a", "b")))
    assert 30 < value("log_loss", predictions) < 40


def test_a_metric_that_does_not_apply_is_refused_with_those_that_do() -> None:
    with pytest.raises(RecipeError, match="accuracy, balanced_accuracy"):
        metric_for("samples_f1", LabelScheme(("a", "b", "c")))
    with pytest.raises(UnknownNameError, match="macro_f1"):
        metric_for("macrof1", LabelScheme(("a", "b")))


@given(st.integers(0, 10_000))
def test_ranking_metrics_are_those_of_scikit_learn_for_either_class(seed: int) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    random = np.random.default_rng(seed)
    rows = int(random.integers(2, 30))
    truth = np.concatenate([[0, 1], random.integers(0, 2, rows)])
    scores = random.integers(0, 8, rows + 2) / 8  # with many ties
    for positive in ("neg", "pos"):
        column = ("neg", "pos").index(positive)
        predictions = Predictions(
            tuple(map(str, range(rows + 2))),
            truth,
            np.stack([1 - scores, scores], axis=1),
            LabelScheme(("neg", "pos"), positive=positive),
        )
        of_class = predictions.probabilities[:, column]
        for name, expected in (
            ("roc_auc", roc_auc_score),
            ("average_precision", average_precision_score),
        ):
            assert registry.load("metrics", name)(predictions) == pytest.approx(
                expected(truth == column, of_class)
            )
