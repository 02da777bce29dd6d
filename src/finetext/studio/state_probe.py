"""A linear probe on states that are kept: fitted in a fraction of a second, for many texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers, probabilities_of
from finetext.core.types import LabelScheme
from finetext.methods.linear import Regression

INVERSE_REGULARISATION: Final = 0.01
"""C of the regression on standardized states; on few rows a larger one is worse."""
_SMALLEST: Final = 1e-6


@dataclass(frozen=True, eq=False)
class Labeled:
    """Labeled texts whose states are known.

    Attributes:
        states: (m, d).
        targets: (m,) columns, or (m, k) of 0 and 1 in a multi-label scheme.
        is_random: (m,) whether a text is of the random stream, so that it tests and does not teach.
        scheme: the labels.
    """

    states: Floats
    targets: Integers
    is_random: Booleans
    scheme: LabelScheme

    def __len__(self) -> int:
        return len(self.targets)

    def select(self, rows: Booleans | Integers) -> Labeled:
        """Return the texts at such positions, or where (m,) is true."""
        return Labeled(self.states[rows], self.targets[rows], self.is_random[rows], self.scheme)


@dataclass(frozen=True, eq=False)
class Standard:
    """The mean and the standard deviation (d,) of the states of all texts, labeled or not."""

    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, states: Floats) -> Standard:
        """Return those of (n, d) states."""
        return cls(states.mean(axis=0), states.std(axis=0) + _SMALLEST)


@dataclass(frozen=True, eq=False)
class StateProbe:
    """A logistic regression: `weights` (k, d) and `bias` (k,) for states as they are."""

    weights: Floats
    bias: Floats
    scheme: LabelScheme

    @classmethod
    def fit(cls, labeled: Labeled, standard: Standard, seed: int = 0) -> StateProbe:
        """Return the probe for all texts of `labeled`, of the random stream or not."""
        features = (labeled.states - standard.mean) / standard.scale
        regression = Regression(INVERSE_REGULARISATION)
        weights, bias = regression.fitted(features, labeled.targets, labeled.scheme, seed)
        weights = weights / standard.scale
        return cls(
            weights.astype(np.float32),
            (bias - weights @ standard.mean).astype(np.float32),
            labeled.scheme,
        )

    def probabilities(self, states: Floats) -> Floats:
        """Return (n, k) probabilities for (n, d) states."""
        logits = states @ self.weights.T + self.bias
        return probabilities_of(logits, self.scheme.multilabel)

    def right(self, labeled: Labeled) -> Booleans:
        """Return (m,) whether the predicted labels are exactly those given."""
        probabilities = self.probabilities(labeled.states)
        if self.scheme.multilabel:
            return np.asarray(((probabilities >= 0.5) == labeled.targets).all(axis=1))
        return np.asarray(probabilities.argmax(axis=1) == labeled.targets)


def can_learn(labeled: Labeled) -> bool:
    """Return whether the labels differ, so that a probe would learn something."""
    if labeled.scheme.multilabel:
        return bool((labeled.targets.min(axis=0) < labeled.targets.max(axis=0)).any())
    return len(np.unique(labeled.targets)) > 1
