"""Logistic regression on dense vectors beside sparse features: the head of the method `static`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats, Integers, probabilities_of
from finetext.core.contracts import FitContext
from finetext.core.decision import Decision
from finetext.core.types import Dataset, Predictions
from finetext.evaluation.calibration import fit_temperature, with_temperature
from finetext.evaluation.metrics import log_loss
from finetext.methods.linear import ROWS_TO_CHOOSE_ON, folds_of

CANDIDATES: Final = (1.0, 16.0, 256.0)
SCALES: Final = (0.7, 0.35, 1.4)
"""Lengths of the vectors beside features of length 1; the first is tried with every C."""
_IMPOSSIBLE: Final = -30.0
_Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class JointHead:
    """Weights of vectors (d, k) and of features (v, k), bias (k,), and the C and scale used."""

    of_vectors: Floats
    of_features: Floats
    bias: Floats
    inverse_regularisation: float
    scale: float


@dataclass(frozen=True, eq=False)
class _Rows:
    """Vectors (n, d), features (n, v) and targets (n, k) of 0 and 1."""

    vectors: _Singles
    features: Any
    targets: _Singles
    several: bool

    def select(self, rows: Integers) -> _Rows:
        """Return some rows."""
        return replace(
            self,
            vectors=self.vectors[rows],
            features=self.features[rows],
            targets=self.targets[rows],
        )

    def logits(self, weights: Any, scale: float = 1.0) -> Any:
        """Return (n, k) logits for the (d + v + 1, k) weights of vectors, features and bias."""
        width = self.vectors.shape[1]
        found = self.vectors @ (weights[:width] * weights.dtype.type(scale))
        return found + self.features @ weights[width:-1] + weights[-1]


def fit_joint_head(
    vectors: _Singles,
    features: Any,
    train: Dataset,
    inverse_regularisation: float | None,
    context: FitContext,
) -> JointHead:
    """Fit standardized vectors and features of length 1 of the rows of `train`.

    One penalty holds for all weights, so the scale of the vectors says how much they count beside
    the features: more the fewer rows there are of a label. It is chosen by folds, and so is a C of
    None: by the log loss out of fold after temperature scaling.
    """
    width, several = vectors.shape[1], train.scheme is not None and train.scheme.multilabel
    targets = train.targets
    if not several:
        targets = np.eye(len(train.scheme or ()), dtype=np.int64)[targets]
    rows = _Rows(
        vectors / np.float32(math.sqrt(width)),
        features.astype(np.float32),
        targets.astype(np.float32),
        several,
    )
    strength, scale = _chosen(rows, train, inverse_regularisation, context)
    found = _fitted(rows, strength, scale)
    of_vectors = found[:width] * (scale / math.sqrt(width))
    return JointHead(of_vectors, found[width:-1], found[-1], strength, scale)


def _chosen(
    rows: _Rows, train: Dataset, inverse_regularisation: float | None, context: FitContext
) -> tuple[float, float]:
    """Return C and scale with the lowest log loss out of fold, after temperature scaling."""
    scheme, given = train.scheme, inverse_regularisation
    assert scheme is not None
    candidates = CANDIDATES if given is None else (given,)
    order = np.random.default_rng(context.seed).permutation(len(train))[:ROWS_TO_CHOOSE_ON]
    rows, targets = rows.select(order), train.targets[order]
    groups = None if train.groups is None else np.asarray(train.groups)[order]
    folds = folds_of(targets, scheme, groups)
    if not folds:
        return candidates[0], SCALES[0]
    starts: list[Floats | None] = [None] * len(folds)

    def loss(strength: float, scale: float) -> float:
        logits = np.zeros((len(targets), len(scheme)))
        for number, (seen, held) in enumerate(folds):
            found = _fitted(rows.select(seen), strength, scale, starts[number])
            starts[number], logits[held] = found, rows.select(held).logits(found, scale)
        likely = probabilities_of(logits, scheme.multilabel)
        ids = tuple(map(str, range(len(targets))))
        predictions = Predictions(ids, targets, likely, scheme, Decision())
        return log_loss(with_temperature(predictions, fit_temperature(predictions)))

    first = {strength: loss(strength, SCALES[0]) for strength in candidates}
    best = min(first, key=first.__getitem__)
    scales = {SCALES[0]: first[best]} | {scale: loss(best, scale) for scale in SCALES[1:]}
    return best, min(scales, key=scales.__getitem__)


def _fitted(rows: _Rows, strength: float, scale: float, start: Floats | None = None) -> Floats:
    """Return the (d + v + 1, k) weights with the least penalized loss; labels of no choice are set.

    That is logistic regression as in scikit-learn: half the squared weights plus C times the loss.
    """
    from scipy.optimize import minimize

    shares = rows.targets.mean(axis=0, dtype=np.float64)
    varies = (shares > 0) & (shares < 1)
    size = rows.vectors.shape[1] + rows.features.shape[1] + 1
    found = np.zeros((size, len(shares)))
    found[-1] = np.where(shares > 0, -_IMPOSSIBLE if rows.several else 0.0, _IMPOSSIBLE)
    if not varies.any():
        return found
    part = replace(rows, vectors=rows.vectors * np.float32(scale), targets=rows.targets[:, varies])
    if start is None:
        first, share = np.zeros((size, int(varies.sum()))), shares[varies]
        first[-1] = np.log(share / (1 - share)) if rows.several else np.log(share)
    else:
        first = start[:, varies]
    options = {"maxiter": 200, "ftol": 1e-7, "gtol": 1e-5}
    given = (part, part.features.T.tocsr(), 1 / (strength * len(rows.targets)))
    best = minimize(_loss, first.ravel(), given, "L-BFGS-B", jac=True, options=options)
    found[:, varies] = best.x.reshape(first.shape)
    return found


def _loss(values: Floats, rows: _Rows, transposed: Any, penalty: float) -> tuple[float, Floats]:
    """Return the mean loss with the penalty, and its gradient."""
    from scipy.special import expit, log_softmax

    n, width = rows.vectors.shape
    whole = values.reshape(-1, rows.targets.shape[1])
    logits = rows.logits(whole.astype(np.float32))
    if rows.several:
        likely = expit(logits)
        loss = np.logaddexp(0, logits) - rows.targets * logits
    else:
        logarithms = log_softmax(logits, axis=1)
        likely, loss = np.exp(logarithms), -rows.targets * logarithms
    errors = (likely - rows.targets) / np.float32(n)
    gradient = np.empty_like(whole)
    gradient[:width] = rows.vectors.T @ errors
    gradient[width:-1] = transposed @ errors
    gradient[-1] = errors.sum(axis=0)
    gradient[:-1] += penalty * whole[:-1]
    total = loss.sum(dtype=np.float64) / n + penalty / 2 * float((whole[:-1] ** 2).sum())
    return float(total), gradient.ravel()
