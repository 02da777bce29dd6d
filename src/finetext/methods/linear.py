"""Linear heads on fixed features, of the methods `tfidf` and `probe`: regression, prototypes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from finetext.core import registry
from finetext.core.arrays import Floats, Integers, probabilities_of, unit
from finetext.core.contracts import FitContext
from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.thresholds import choose_thresholds

CANDIDATES: Final = (0.1, 1.0, 10.0, 100.0)
FOLDS: Final = 3
IMPOSSIBLE: Final = -30.0
"""Logit of a class of which nothing is known."""
ROWS_TO_CHOOSE_ON: Final = 10_000
COUNTED_BEFORE: Final = 1.0
"""Occurrences of each feature in each class that log-count ratios begin with."""


class HeadFit(Protocol):
    """How to fit a head; `inverse_regularisation` is 0 where nothing is regularized."""

    @property
    def inverse_regularisation(self) -> float:
        """The C."""

    def fitted(
        self, features: Any, targets: Integers, scheme: LabelScheme, seed: int
    ) -> tuple[Floats, Floats]:
        """Return weights (k, d) and bias (k,)."""


AnyFit = TypeVar("AnyFit", bound=HeadFit)


@dataclass(frozen=True)
class Regression:
    """How to fit a regression: the C, and whether features are scaled by their log-count ratios.

    The scale of a feature is by how much the classes differ in how often it occurs (Wang and
    Manning 2012, "Baselines and Bigrams"): a word that tells classes apart gets its weight at less
    cost. Of more than two classes it is the standard deviation of their ratios.
    """

    inverse_regularisation: float
    by_ratios: bool = False

    def fitted(
        self, features: Any, targets: Integers, scheme: LabelScheme, seed: int
    ) -> tuple[Floats, Floats]:
        """See `HeadFit.fitted`; classes that do not occur become impossible."""
        return _fit(features, targets, scheme, self, seed)


@dataclass(frozen=True, eq=False)
class Prototypes:
    """The logit of a class is the cosine with the mean of its rows, and its name, times a factor.

    (Snell, Swersky and Zemel 2017, "Prototypical Networks for Few-shot Learning"). The states of
    rows count with unit length; that of a text to predict is not scaled, as this changes only how
    sure it is. Nothing is estimated but the means, so a few rows suffice; with some more, the mean
    of these logits and those of a regression is better.

    Attributes:
        factor: of the cosines.
        known: (k, d) vectors to add to the sums of unit states of the rows, 0 where there are none.
        mean: (d,) with which features were standardized.
        scale: (d,) by which they were divided.
        averaged_with: the regression to average with, None for prototypes alone.
    """

    factor: float
    known: Floats
    mean: Floats
    scale: Floats
    averaged_with: Regression | None = None

    @property
    def inverse_regularisation(self) -> float:
        """The C of the regression to average with, 0 without one."""
        return 0.0 if self.averaged_with is None else self.averaged_with.inverse_regularisation

    def fitted(
        self, features: Any, targets: Integers, scheme: LabelScheme, seed: int
    ) -> tuple[Floats, Floats]:
        """See `HeadFit.fitted`; classes without rows or known vectors become impossible."""
        states = features * self.scale + self.mean
        sums = self.known.copy()
        np.add.at(sums, targets, unit(states))
        factor = self.factor / max(np.linalg.norm(states, axis=1).mean(), 1e-12)
        weights = factor * unit(sums)
        bias = np.where(sums.any(axis=1), weights @ self.mean, IMPOSSIBLE)
        weights = weights * self.scale
        if self.averaged_with is None:
            return weights, bias
        found, bias_found = self.averaged_with.fitted(features, targets, scheme, seed)
        has_rows = np.isin(range(len(scheme)), targets)
        both = (weights + found) / 2, (bias + bias_found) / 2
        return np.where(has_rows[:, None], both[0], weights), np.where(has_rows, both[1], bias)


@dataclass(frozen=True, eq=False)
class LinearHead:
    """`weights` (k, d), k is 2 or more, `bias` (k,), and the C, 0 if it is no regression."""

    weights: Floats
    bias: Floats
    inverse_regularisation: float

    def __post_init__(self) -> None:
        # Products round by the order in memory: a head that was loaded predicts as the fitted one.
        object.__setattr__(self, "weights", np.ascontiguousarray(self.weights))

    def probabilities(self, features: Any, scheme: LabelScheme) -> Floats:
        """Return (n, k) probabilities for (n, d) dense or sparse features."""
        return probabilities_of(self.logits(features), scheme.multilabel)

    def logits(self, features: Any) -> Floats:
        """Return (n, k) logits for (n, d) dense or sparse features."""
        return np.asarray(features @ self.weights.T, dtype=np.float64) + self.bias

    def with_temperature(self, temperature: float) -> LinearHead:
        """Return the head with its logits divided by a temperature."""
        return replace(self, weights=self.weights / temperature, bias=self.bias / temperature)

    def save(self, path: Path, **extra: Floats) -> None:
        """Write a safetensors file with the weights and any further arrays."""
        from safetensors.numpy import save_file

        chosen = np.array([self.inverse_regularisation])
        arrays = {"weights": self.weights, "bias": self.bias, "inverse_regularisation": chosen}
        save_file({k: np.ascontiguousarray(v) for k, v in (arrays | extra).items()}, path)

    @classmethod
    def load(cls, path: Path, scheme: LabelScheme) -> tuple[LinearHead, dict[str, Any]]:
        """Return the head and further arrays (d,) by name; a ValueError if one does not fit."""
        from safetensors.numpy import load_file

        arrays = load_file(path)
        chosen = float(arrays.pop("inverse_regularisation").item())
        head = cls(arrays.pop("weights"), arrays.pop("bias"), chosen)
        if len(head.bias) != len(scheme):
            raise ValueError(f"{path.name} has {len(head.bias)} outputs for {len(scheme)} labels")
        width = head.weights.shape[-1]
        shapes = {"weights": (len(scheme), width), "bias": (len(scheme),)}
        for name, array in {"weights": head.weights, "bias": head.bias, **arrays}.items():
            wanted = shapes.get(name, (width,))
            if array.shape != wanted or not np.isfinite(array).all():
                raise ValueError(f"{path.name}: {name} is not {wanted} numbers")
        return head, arrays


def fit_head(
    features: Any,
    targets: Integers,
    scheme: LabelScheme,
    chosen: HeadFit | float | None,
    context: FitContext,
    groups: Sequence[str] | None = None,
) -> LinearHead:
    """Fit (n, d) features to (n,) columns or (n, k) of 0 and 1; a C of None is chosen by folds."""
    if chosen is None:
        several = [Regression(value) for value in CANDIDATES]
        chosen, _ = choose_head(features, targets, scheme, several, context, groups)
    way = Regression(chosen) if isinstance(chosen, float | int) else chosen
    weights, bias = way.fitted(features, targets, scheme, context.seed)
    return LinearHead(weights, bias, way.inverse_regularisation)


def choose_head(
    features: Any,
    targets: Integers,
    scheme: LabelScheme,
    ways: Sequence[AnyFit],
    context: FitContext,
    groups: Sequence[str] | None = None,
) -> tuple[AnyFit, float]:
    """Return the first of the best metric in folds that keep groups together, and that metric."""
    order = np.random.default_rng(context.seed).permutation(len(targets))[:ROWS_TO_CHOOSE_ON]
    features, targets = features[order], targets[order]
    folds = folds_of(targets, scheme, None if groups is None else np.asarray(groups)[order])
    metric = registry.load("metrics", context.metric)
    scores = []
    for way in ways:
        probabilities = np.zeros((len(targets), len(scheme)))
        for seen, held in folds:
            weights, bias = way.fitted(features[seen], targets[seen], scheme, context.seed)
            head = LinearHead(weights, bias, way.inverse_regularisation)
            probabilities[held] = head.probabilities(features[held], scheme)
        limits = choose_thresholds(probabilities, targets) if scheme.multilabel else None
        decision = Decision(thresholds=limits)
        ids = tuple(map(str, range(len(targets))))
        scores.append(metric.goodness(Predictions(ids, targets, probabilities, scheme, decision)))
    best = int(np.argmax(scores))
    return ways[best], scores[best]


def folds_of(
    targets: Integers, scheme: LabelScheme, groups: Any | None
) -> list[tuple[Integers, Integers]]:
    """Return rows to fit and rows to score for each fold, stratified if every class has enough."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    if len(targets) < FOLDS:
        return []
    smallest = 0 if scheme.multilabel else int(np.bincount(targets)[np.unique(targets)].min())
    if groups is not None and len(np.unique(groups)) >= FOLDS:
        folds = StratifiedGroupKFold(FOLDS) if smallest >= FOLDS else GroupKFold(FOLDS)
    else:
        folds = StratifiedKFold(FOLDS) if smallest >= FOLDS else KFold(FOLDS)
    with _few_rows_a_class():
        return list(folds.split(np.zeros(len(targets)), targets, groups))


def _fit(
    features: Any, targets: Integers, scheme: LabelScheme, how: Regression, seed: int
) -> tuple[Floats, Floats]:
    """Return weights (k, d) and bias (k,); classes that do not occur become impossible."""
    if scheme.multilabel:
        fits = (_fit_binary(features, of, how, seed) for of in targets.T)
        weights_of, bias_of = zip(*fits, strict=True)
        return np.stack(weights_of), np.array(bias_of)
    present = np.unique(targets)
    weights = np.zeros((len(scheme), features.shape[1]))
    bias = np.full(len(scheme), IMPOSSIBLE)
    if len(present) == 1:
        bias[present] = 0.0
    elif len(present) == 2:
        positive = (targets == present[1]).astype(np.int64)
        coefficients, intercept = _fit_binary(features, positive, how, seed)
        weights[present] = np.stack([-coefficients / 2, coefficients / 2])
        bias[present] = [-intercept / 2, intercept / 2]
    else:
        weights[present], bias[present] = _fitted(features, targets, how, seed)
    return weights, bias


def _fit_binary(
    features: Any, positive: Integers, how: Regression, seed: int
) -> tuple[Floats, float]:
    """Return weights (d,) and bias of one label; constant if it never or always occurs."""
    if positive.min() == positive.max():
        return np.zeros(features.shape[1]), 30.0 if positive[0] else -30.0
    weights, bias = _fitted(features, positive, how, seed)
    return weights[0], float(bias[0])


def _fitted(features: Any, targets: Integers, how: Regression, seed: int) -> tuple[Floats, Floats]:
    """Return the weights and the bias of a logistic regression for features as they are given."""
    model = _regression(how.inverse_regularisation, seed)
    scale = None
    if how.by_ratios:
        labels = targets[:, None] == np.unique(targets)
        scale = np.std(log_count_ratios(features, labels), axis=1)
    with _few_rows_a_class():
        model.fit(features if scale is None else features.multiply(scale).tocsr(), targets)
    return model.coef_ if scale is None else model.coef_ * scale, model.intercept_


@contextmanager
def _few_rows_a_class() -> Iterator[None]:
    """Silence scikit-learn about as many classes as numbers to regress on would be."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")
        yield


def log_count_ratios(features: Any, labels: Any) -> Floats:
    """Return (d, k): how much oftener a sparse feature occurs with a label than without, in logs.

    `labels` (n, k) say which rows have which label; how often a feature occurs in a row is the same
    to it.
    """
    occurs = (features > 0).astype(np.float64)
    every = np.asarray(occurs.sum(axis=0)).ravel()[:, None] + COUNTED_BEFORE
    inside = np.asarray(occurs.T @ np.asarray(labels, dtype=np.float64)) + COUNTED_BEFORE
    outside = every - inside + COUNTED_BEFORE
    ratios: Floats = np.log(inside / inside.sum(axis=0)) - np.log(outside / outside.sum(axis=0))
    return ratios


def _regression(inverse_regularisation: float, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    # On sparse features newton-cg converges in a tenth of the time of lbfgs.
    return LogisticRegression(
        C=inverse_regularisation, solver="newton-cg", tol=1e-3, max_iter=200, random_state=seed
    )
