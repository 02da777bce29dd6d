"""From which probability a label is given, when a row can have several."""

from __future__ import annotations

from typing import Final

import numpy as np

from finetext.errors import DataError
from finetext.types import Floats, Integers

PRIOR_POSITIVES: Final = 10


def choose_thresholds(
    probabilities: Floats, targets: Integers, prior_positives: float = PRIOR_POSITIVES
) -> Floats:
    """A threshold for each label that makes for a high F1, to be chosen on validation rows.

    A label's own best threshold is pulled, on the scale of log odds, towards the one threshold
    that is best for all labels together (micro F1): half way with `prior_positives` positive
    rows, fully with none, hardly with many. So a rare label is not cut by the chance of a few
    rows.

    Args:
        probabilities: (n, k) of validation rows.
        targets: (n, k) of 0 and 1.
        prior_positives: strength of the pull, in positive rows.

    Returns:
        (k,) thresholds; a label is given when its probability is at or over its threshold.

    Raises:
        DataError: there are no rows, or the shapes differ.
    """
    if probabilities.shape != targets.shape or targets.size == 0:
        raise DataError(
            "thresholds need validation rows with several labels: got probabilities of shape "
            f"{probabilities.shape} and targets of shape {targets.shape}"
        )
    shared = best_threshold(probabilities.ravel(), targets.ravel())
    if not np.isfinite(shared):
        return np.full(targets.shape[1], 0.5)
    own = np.array([best_threshold(p, t) for p, t in zip(probabilities.T, targets.T, strict=True)])
    positives = targets.sum(axis=0)
    trust = positives / (positives + prior_positives)
    own = np.where(positives > 0, own, shared)
    return np.asarray(_odds_to_share(trust * _log_odds(own) + (1 - trust) * _log_odds(shared)))


def best_threshold(scores: Floats, truth: Integers) -> float:
    """The threshold with the highest F1 of one label; nan when it has no positives.

    Every cut between two different scores is tried. It lies midway between them.

    Args:
        scores: (n,) probabilities.
        truth: (n,) of 0 and 1.
    """
    positives = int(truth.sum())
    if positives == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    f1 = 2 * np.cumsum(truth[order]) / (np.arange(1, len(ranked) + 1) + positives)
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    cut = int(np.argmax(np.where(last_of_tie, f1, -1.0)))
    below = ranked[cut + 1] if cut + 1 < len(ranked) else ranked[cut]
    middle = float(ranked[cut] + below) / 2
    return middle if middle > below else float(ranked[cut])


def _log_odds(share: Floats | float) -> Floats:
    kept = np.clip(np.asarray(share, dtype=np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _odds_to_share(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
