"""The linear head agrees with scikit-learn and copes with classes that do not occur."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from finetext.core.arrays import Floats, unit
from finetext.core.contracts import FitContext
from finetext.core.types import LabelScheme
from finetext.methods import linear
from finetext.methods.linear import (
    CANDIDATES,
    LinearHead,
    Prototypes,
    Regression,
    choose_head,
    fit_head,
)

CONTEXT = FitContext(metric="accuracy")
FEATURES = np.random.default_rng(0).normal(size=(120, 6))
NOISE = np.random.default_rng(1).normal(size=(120, 4))


def scheme(classes: int, multilabel: bool = False) -> LabelScheme:
    return LabelScheme(tuple("abcdefgh"[:classes]), multilabel)


def classes_of(number: int) -> Any:
    """The class of each row of FEATURES, with some noise."""
    return (FEATURES[:, :number] + NOISE[:, :number]).argmax(axis=1)


def reference(targets: Any, c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=2_000, tol=1e-7).fit(FEATURES, targets)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("number", [2, 3, 4])
def test_probabilities_are_those_of_scikit_learn(number: int, dense: bool) -> None:
    targets = classes_of(number)
    features = FEATURES if dense else sparse.csr_matrix(FEATURES)
    head = fit_head(features, targets, scheme(number), 1.0, CONTEXT)
    assert head.weights.shape == (number, 6)
    expected = reference(targets, 1.0).predict_proba(FEATURES)
    np.testing.assert_allclose(head.probabilities(features, scheme(number)), expected, atol=1e-2)


def test_each_of_several_labels_has_a_regression_of_its_own() -> None:
    targets = (FEATURES[:, :3] + NOISE[:, :3] > 0.3).astype(int)
    head = fit_head(FEATURES, targets, scheme(3, True), 1.0, CONTEXT)
    found = head.probabilities(FEATURES, scheme(3, True))
    for column in range(3):
        expected = reference(targets[:, column], 1.0).predict_proba(FEATURES)[:, 1]
        np.testing.assert_allclose(found[:, column], expected, atol=1e-2)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_class_without_rows_is_as_good_as_impossible(number: int) -> None:
    targets = np.zeros(120, dtype=int) if number == 1 else classes_of(number)
    head = fit_head(FEATURES, targets + 1, scheme(number + 2), 1.0, CONTEXT)
    found = head.probabilities(FEATURES, scheme(number + 2))
    assert found[:, [0, -1]].max() < 1e-6
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    if number > 1:
        expected = reference(targets, 1.0).predict_proba(FEATURES)
        np.testing.assert_allclose(found[:, 1:-1], expected, atol=1e-2)


def test_labels_that_never_or_always_occur_are_constant() -> None:
    targets = np.stack([np.zeros(120), np.ones(120), classes_of(2)], axis=1).astype(int)
    head = fit_head(FEATURES, targets, scheme(3, True), None, CONTEXT)
    found = head.probabilities(FEATURES, scheme(3, True))
    assert found[:, 0].max() < 1e-6
    assert found[:, 1].min() > 1 - 1e-6
    assert np.ptp(found[:, 2]) > 0.1


def test_c_is_the_best_in_cross_validation_and_the_smallest_of_equals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = {0.1: 1, 1.0: 5, 10.0: 5, 100.0: 3}
    targets = classes_of(2)
    folds: list[tuple[float, int]] = []
    fit = linear._fit

    def fitted(features: Any, targets: Any, of: LabelScheme, how: Regression, seed: int) -> Any:
        folds.append((how.inverse_regularisation, len(targets)))
        weights, bias = fit(features, targets, of, Regression(1.0), seed)
        is_best = wanted[how.inverse_regularisation] == 5
        return (weights, bias) if is_best else (-weights, -bias)

    monkeypatch.setattr(linear, "_fit", fitted)
    head = fit_head(FEATURES, targets, scheme(2), None, CONTEXT)
    assert head.inverse_regularisation == 1.0
    assert folds == [(c, 80) for c in CANDIDATES for _ in range(3)] + [(1.0, 120)]


def test_noise_is_regularised_more_than_signal() -> None:
    random = np.random.default_rng(0)
    wide = random.normal(size=(90, 60))
    noise = fit_head(
        wide, random.integers(2, size=90), scheme(2), None, FitContext(metric="log_loss")
    )
    clean = fit_head(
        FEATURES * 0.05, (FEATURES[:, 0] > 0).astype(int), scheme(2), None,
        FitContext(metric="log_loss"),
    )  # fmt: skip
    assert noise.inverse_regularisation < clean.inverse_regularisation


@pytest.mark.parametrize("targets", [[0, 1], [0, 0, 1], [0, 1, 2, 3]], ids=str)
def test_c_can_be_chosen_on_very_few_rows(targets: list[int]) -> None:
    head = fit_head(FEATURES[: len(targets)], np.array(targets), scheme(4), None, CONTEXT)
    assert np.isfinite(head.probabilities(FEATURES, scheme(4))).all()


def test_it_is_equal_after_saving(tmp_path: Path) -> None:
    head = fit_head(FEATURES, classes_of(3), scheme(3), 0.3, CONTEXT)
    mean = np.arange(float(FEATURES.shape[1]))
    head.save(tmp_path / "head.safetensors", mean=mean)
    loaded, extra = LinearHead.load(tmp_path / "head.safetensors", scheme(3))
    np.testing.assert_array_equal(loaded.weights, head.weights)
    np.testing.assert_array_equal(loaded.bias, head.bias)
    assert loaded.inverse_regularisation == 0.3
    np.testing.assert_array_equal(extra["mean"], mean)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("weights", np.zeros((3, 2, 2))),
        ("weights", np.zeros(3)),
        ("weights", np.full((3, FEATURES.shape[1]), np.nan)),
        ("bias", np.zeros(4)),
        ("bias", np.zeros((3, 3))),
        ("bias", np.full(3, np.inf)),
        ("mean", np.zeros(FEATURES.shape[1] + 1)),
        ("inverse_regularisation", np.zeros(0)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, name: str, array: Floats) -> None:
    head = fit_head(FEATURES, classes_of(3), scheme(3), 0.3, CONTEXT)
    path = tmp_path / "head.safetensors"
    head.save(path, **{"mean": np.zeros(FEATURES.shape[1]), name: array})
    with pytest.raises(ValueError, match=r"head|size|array"):
        LinearHead.load(path, scheme(3))


@pytest.mark.parametrize("multilabel", [False, True])
def test_folds_keep_groups_together(multilabel: bool) -> None:
    groups = np.repeat([f"g{i}" for i in range(12)], 10)
    several = (FEATURES[:, :3] > 0).astype(int)
    folds = linear.folds_of(several if multilabel else classes_of(3), scheme(3, multilabel), groups)
    assert len(folds) == linear.FOLDS
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(120))
    for seen, held in folds:
        assert not set(groups[seen]) & set(groups[held])


def test_regularisation_is_chosen_for_new_groups() -> None:
    """Rows of a group are all but copies, and groups have random classes: nothing is learnt."""
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 3)
    features = random.normal(size=(40, 60))[group] + 0.01 * random.normal(size=(120, 60))
    targets = random.integers(2, size=40)[group]
    candidates = [Regression(value) for value in CANDIDATES]
    given = (features, targets, scheme(2), candidates, CONTEXT)
    assert choose_head(*given)[1] > 0.9
    assert choose_head(*given, [str(g) for g in group])[1] < 0.7


def counts(classes: int, rows: int = 60) -> tuple[Any, Any]:
    """One word that tells each class, and many that tell nothing; rows of a class are alike."""
    random = np.random.default_rng(0)
    targets = np.arange(rows) % classes
    words = np.eye(classes)[targets] * (random.random(rows) < 0.7)[:, None]
    return sparse.csr_matrix(
        np.hstack([words, random.random((rows, 40)) < 0.3]).astype(float)
    ), targets


def ratios_of(features: Any, targets: Any) -> Any:
    return linear.log_count_ratios(features, targets[:, None] == np.unique(targets)).std(axis=1)


@pytest.mark.parametrize("classes", [2, 3])
def test_log_count_ratios_are_of_the_classes(classes: int) -> None:
    features, targets = counts(classes)
    scale = ratios_of(features, targets)
    assert scale.shape == (features.shape[1],)
    assert scale[:classes].min() > 1.5 * scale[classes:].max()
    doubled = ratios_of(features * 2.0, targets)
    np.testing.assert_array_equal(scale, doubled)  # how often, not how much


@pytest.mark.parametrize("classes", [2, 3])
def test_scaled_features_favor_words_that_tell_classes_apart(classes: int) -> None:
    features, targets = counts(classes)

    def share(how: Regression) -> float:
        """Of the weights, the share on the words of the classes."""
        squares = fit_head(features, targets, scheme(classes), how, CONTEXT).weights ** 2
        return float(squares[:, :classes].sum() / squares.sum())

    assert share(Regression(1.0, by_ratios=True)) > share(Regression(1.0)) + 0.02


def test_the_head_of_scaled_features_is_for_features_as_they_are() -> None:
    features, targets = counts(3)
    how = Regression(10.0, by_ratios=True)
    head = fit_head(features, targets, scheme(3), how, CONTEXT)
    scale = ratios_of(features, targets)
    scaled = features.multiply(scale).tocsr()
    direct = fit_head(scaled, targets, scheme(3), 10.0, CONTEXT)
    np.testing.assert_allclose(
        head.probabilities(features, scheme(3)), direct.probabilities(scaled, scheme(3))
    )
    several = np.eye(3, dtype=np.int64)[targets]
    found = fit_head(features, several, scheme(3, True), how, CONTEXT)
    assert np.isfinite(found.weights).all()


@pytest.mark.filterwarnings("error")
def test_many_classes_of_few_rows_are_fitted_in_silence() -> None:
    targets = np.arange(90) // 3
    many = LabelScheme(tuple(f"c{number:02}" for number in range(30)))
    head = fit_head(FEATURES[:90], targets, many, None, CONTEXT)
    assert head.weights.shape == (30, 6)
    assert len(linear.folds_of(np.arange(40) // 2, many, None)) == linear.FOLDS


def test_prototypes_are_the_nearest_mean_of_a_class() -> None:
    targets = classes_of(3)
    mean, scale = FEATURES.mean(axis=0), FEATURES.std(axis=0)
    way = Prototypes(5.0, np.zeros((4, 6)), mean, scale)
    head = fit_head((FEATURES - mean) / scale, targets, scheme(4), way, CONTEXT)
    found = head.probabilities((FEATURES - mean) / scale, scheme(4))
    states = unit(FEATURES)
    means = unit(np.array([states[targets == of].mean(axis=0) for of in range(3)]))
    assert (found.argmax(axis=1) == (states @ means.T).argmax(axis=1)).all()
    assert found[:, 3].max() < 1e-6  # a class without rows
    assert head.inverse_regularisation == 0


def test_what_is_known_of_a_class_without_rows_is_its_prototype() -> None:
    known = np.zeros((4, 6))
    known[3] = -FEATURES[0]
    way = Prototypes(5.0, known, np.zeros(6), np.ones(6))
    head = fit_head(FEATURES, classes_of(3), scheme(4), way, CONTEXT)
    assert head.probabilities(-FEATURES[:1], scheme(4)).argmax() == 3


def test_logits_of_prototypes_and_of_a_regression_are_averaged() -> None:
    targets, known = classes_of(3), np.zeros((4, 6))
    known[3] = -FEATURES[0]
    alone = Prototypes(5.0, known, np.zeros(6), np.ones(6))
    way = Prototypes(5.0, known, np.zeros(6), np.ones(6), Regression(0.1))
    parts = [fit_head(FEATURES, targets, scheme(4), of, CONTEXT) for of in (alone, 0.1)]
    found = fit_head(FEATURES, targets, scheme(4), way, CONTEXT)
    assert found.inverse_regularisation == 0.1
    mean = np.mean([of.logits(FEATURES) for of in parts], axis=0)
    np.testing.assert_allclose(found.logits(FEATURES)[:, :3], mean[:, :3])
    np.testing.assert_allclose(found.logits(FEATURES)[:, 3], parts[0].logits(FEATURES)[:, 3])


def test_prototypes_of_states_without_length_are_finite() -> None:
    way = Prototypes(5.0, np.zeros((3, 6)), np.zeros(6), np.ones(6))
    weights, bias = way.fitted(np.zeros((3, 6)), np.arange(3), scheme(3), 0)
    assert np.isfinite(weights).all()
    assert np.isfinite(bias).all()
