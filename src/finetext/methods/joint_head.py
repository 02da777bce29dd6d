"""Logistic regression on mean token vectors beside the tokens: the head of the method `static`."""

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
from finetext.methods.linear import ROWS_TO_CHOOSE_ON, folds_of, log_count_ratios

CANDIDATES: Final = (16.0, 1.0, 256.0)
POWERS: Final = (0, 1, 3)
SCALES: Final = (0.7, 0.35, 1.4)
"""What is chosen among, one after the other: first the power with the first C and scale."""
_LARGEST: Final = 10.0
_IMPOSSIBLE: Final = -30.0
_SURE: Final = (-20.0, 20.0)
_SHORTEST: Final = 1e-9
_Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """How a head is fitted.

    Attributes:
        inverse_regularisation: C of the logistic regression.
        power: of the token weights, which are log-count ratios to this power; 0 is none.
        scale: length of the vectors beside features of length 1.
    """

    inverse_regularisation: float = CANDIDATES[0]
    power: int = POWERS[0]
    scale: float = SCALES[0]


@dataclass(frozen=True, eq=False)
class TokenRows:
    """Rows in tokens: `counts` (n, v), `features` of length 1 (n, v), and `vectors` (v, d)."""

    counts: Any
    features: Any
    vectors: _Singles

    def select(self, rows: Integers) -> TokenRows:
        """Return some rows."""
        return replace(self, counts=self.counts[rows], features=self.features[rows])

    def means(self, weights: Floats) -> _Singles:
        """Return (n, d) sums of weighted vectors at length 1; zeros where no token is known."""
        sums = self.counts @ (self.vectors * weights.astype(np.float32)[:, None])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return np.asarray(sums / np.maximum(lengths, _SHORTEST), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class JointHead:
    """A fitted head.

    Attributes:
        token_weights: (v,) factors of the vectors.
        mean: (d,) of the mean vectors of the rows.
        deviation: (d,) likewise.
        of_vectors: (d, k) weights of the vectors, standardized by these.
        of_features: (v, k) weights of the features.
        bias: (k,).
    """

    token_weights: Floats
    mean: Floats
    deviation: Floats
    of_vectors: Floats
    of_features: Floats
    bias: Floats
    choice: Choice

    def logits(self, rows: TokenRows) -> Floats:
        """Return (n, k) logits."""
        states = (rows.means(self.token_weights) - self.mean) / self.deviation
        return np.asarray(states @ self.of_vectors + rows.features @ self.of_features + self.bias)


def fit_joint_head(
    rows: TokenRows, train: Dataset, inverse_regularisation: float | None, context: FitContext
) -> JointHead:
    """Fit the rows of `train`.

    One penalty holds for all weights, so the scale of the vectors says how much they count beside
    the features: more the fewer rows there are of a label. Token weights let a text be about the
    few tokens that tell labels apart. Both are chosen by folds, as is a C of None: by the log loss
    out of fold after temperature scaling.
    """
    assert train.scheme is not None
    several, targets = train.scheme.multilabel, train.targets
    if not several:
        targets = np.eye(len(train.scheme), dtype=np.int64)[targets]
    labels = targets.astype(np.float32)
    choice = _chosen(rows, labels, train, inverse_regularisation, context)
    return _fitted(rows, labels, several, choice)


def _chosen(
    rows: TokenRows,
    labels: _Singles,
    train: Dataset,
    inverse_regularisation: float | None,
    context: FitContext,
) -> Choice:
    """Return the choice with the lowest log loss out of fold, once calibrated."""
    scheme = train.scheme
    assert scheme is not None
    order = np.random.default_rng(context.seed).permutation(len(train))[:ROWS_TO_CHOOSE_ON]
    rows, labels, targets = rows.select(order), labels[order], train.targets[order]
    groups = None if train.groups is None else np.asarray(train.groups)[order]
    folds = [
        (rows.select(seen), labels[seen], rows.select(held), held)
        for seen, held in folds_of(targets, scheme, groups)
    ]
    # A label that no other row of its folds has is hopeless with any choice.
    is_judged = np.ones(len(targets), dtype=bool)
    for _, of_seen, _, places in folds if not scheme.multilabel else ():
        is_judged[places] = (labels[places] * of_seen.max(axis=0)).any(axis=1)
    judged = np.flatnonzero(is_judged)
    ids, known = tuple(map(str, judged)), dict[Choice, float]()

    def loss(choice: Choice) -> float:
        if choice not in known:
            logits = np.zeros(labels.shape)
            for seen, of_seen, held, places in folds:
                logits[places] = _fitted(seen, of_seen, scheme.multilabel, choice).logits(held)
            likely = probabilities_of(np.clip(logits, *_SURE), scheme.multilabel)[judged]
            predictions = Predictions(ids, targets[judged], likely, scheme, Decision())
            temperature = fit_temperature(predictions)
            known[choice] = log_loss(with_temperature(predictions, temperature))
        return known[choice]

    given = inverse_regularisation
    best = Choice(CANDIDATES[0] if given is None else given)
    if folds and len(judged):
        best = min((replace(best, power=power) for power in POWERS), key=loss)
        if given is None:
            best = min((replace(best, inverse_regularisation=of) for of in CANDIDATES), key=loss)
        best = min((replace(best, scale=scale) for scale in SCALES), key=loss)
    return best


def _fitted(rows: TokenRows, labels: _Singles, several: bool, choice: Choice) -> JointHead:
    """Fit rows with (n, k) labels of 0 and 1; labels of no or every row are never or always given.

    That is logistic regression as in scikit-learn: half the squared weights plus C times the loss.
    """
    from scipy.optimize import minimize
    from scipy.sparse import diags_array

    shares = labels.mean(axis=0, dtype=np.float64)
    varies = (shares > 0) & (shares < 1)
    ratios = _ratios(rows.counts, labels[:, varies])
    token_weights = ratios**choice.power
    means = rows.means(token_weights)
    mean, deviation = means.mean(axis=0, dtype=np.float64), means.std(axis=0, dtype=np.float64)
    deviation += 1e-6
    shrinking = choice.scale / math.sqrt(len(mean))
    factors = ratios ** min(choice.power, 1)
    features = rows.features @ diags_array(factors)
    length = math.sqrt(float(features.power(2).sum()) / max(1, len(labels))) or 1.0
    features, factors = (features / length).tocsr().astype(np.float32), factors / length
    states = ((means - mean) / deviation * shrinking).astype(np.float32)
    weights = np.zeros((len(mean) + len(ratios) + 1, len(shares)))
    weights[-1] = np.where(shares > 0, -_IMPOSSIBLE if several else 0.0, _IMPOSSIBLE)
    if varies.any():
        first, share = np.zeros((len(weights), int(varies.sum()))), shares[varies]
        first[-1] = np.log(share / (1 - share)) if several else np.log(share)
        penalty = 1 / (choice.inverse_regularisation * len(labels))
        objective = _Objective(
            states, features, features.T.tocsr(), labels[:, varies], several, penalty
        )
        options = {"maxiter": 200, "ftol": 1e-6, "gtol": 1e-5}
        best = minimize(objective, first.ravel(), method="L-BFGS-B", jac=True, options=options)
        weights[:, varies] = best.x.reshape(first.shape)
    of_features = weights[len(mean) : -1] * factors[:, None]
    of_vectors = weights[: len(mean)] * shrinking
    return JointHead(token_weights, mean, deviation, of_vectors, of_features, weights[-1], choice)


def _ratios(counts: Any, labels: _Singles) -> Floats:
    """Return (v,): by how much labels differ in the log of how often a token occurs.

    That is relative to the median token of a single row; 1 for tokens that do not occur. See
    `finetext.methods.linear.Regression`.
    """
    texts_with = np.asarray((counts > 0).sum(axis=0)).ravel()
    if not labels.shape[1]:
        return np.ones(len(texts_with))
    differences = log_count_ratios(counts, labels)
    ratios = np.abs(differences[:, 0]) if labels.shape[1] == 1 else differences.std(axis=1)
    rare = ratios[texts_with == 1] if (texts_with == 1).any() else ratios
    usual = float(np.median(rare)) if len(rare) else 0.0
    ratios = np.minimum(ratios / usual, _LARGEST) if usual > 0 else np.ones(len(ratios))
    return np.asarray(np.where(texts_with > 0, ratios, 1.0))


@dataclass(frozen=True, eq=False)
class _Objective:
    """The mean loss of states (n, d) and features (n, v) with a penalty, and its gradient."""

    states: _Singles
    features: Any
    transposed: Any
    labels: _Singles
    several: bool
    penalty: float

    def __call__(self, values: Floats) -> tuple[float, Floats]:
        """Return both for the (d + v + 1, k) weights and bias, as one vector."""
        from scipy.special import expit, log_softmax

        n, width = self.states.shape
        whole, labels = values.reshape(-1, self.labels.shape[1]), self.labels
        weights = whole.astype(np.float32)
        logits = self.states @ weights[:width] + self.features @ weights[width:-1] + weights[-1]
        if self.several:
            likely, losses = expit(logits), np.logaddexp(0, logits) - labels * logits
        else:
            logarithms = log_softmax(logits, axis=1)
            likely, losses = np.exp(logarithms), -labels * logarithms
        errors = (likely - labels) / np.float32(n)
        gradient = np.concatenate(
            [self.states.T @ errors, self.transposed @ errors, errors.sum(axis=0, keepdims=True)]
        ).astype(np.float64)
        gradient[:-1] += self.penalty * whole[:-1]
        total = losses.sum(dtype=np.float64) / n
        total += self.penalty / 2 * float((whole[:-1] ** 2).sum())
        return float(total), gradient.ravel()
