"""What to label next: typical and diverse texts first, then uncertain ones among them.

All of it reads the states of a frozen encoder, so that a choice among 100,000 texts takes a
fraction of a second and no model is trained in between but a linear one.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers, unit

NEIGHBORS: Final = 5
"""Texts of the reference whose similarity says how typical a text is."""
REFERENCE: Final = 1_000
"""Texts to compare with; of more, typicality would change little and cost much."""
FEWEST, MOST = 10, 30
"""Labels before the first probe: one for each class, but at least and at most so many."""
_CLUSTERED: Final = 5_000
_CANDIDATES: Final = 20
"""Texts that are looked at closely for each one that is chosen."""


def labels_before_probe(classes: int) -> int:
    """Return how many labels are given by typicality before a probe says what is uncertain."""
    return min(max(classes, FEWEST), MOST)


@dataclass(frozen=True, eq=False)
class Reference:
    """A random sample of texts: `mean` (d,) of their states, and their centered `units` (r, d)."""

    mean: Floats
    units: Floats

    @classmethod
    def of(cls, states: Floats) -> Reference:
        """Return the reference for (n, d) states in random order."""
        mean = states.mean(axis=0)
        return cls(mean, unit(states[:REFERENCE] - mean))

    def directions(self, states: Floats) -> Floats:
        """Return (n, d) centered states of unit length: their products are similarities."""
        return unit(states - self.mean)

    def typicality(self, states: Floats) -> Floats:
        """Return for (n, d) states the mean similarity with the nearest texts of the reference.

        The nearest one of all is left out, as it may be the text itself.
        """
        near = min(NEIGHBORS + 1, len(self.units))
        similar = self.directions(states) @ self.units.T
        nearest = np.partition(similar, len(self.units) - near, axis=1)[:, -near:]
        return np.asarray(
            (nearest.sum(axis=1) - nearest.max(axis=1)) / max(near - 1, 1), dtype=np.float32
        )


def typical_and_diverse(
    directions: Floats, typicality: Floats, labeled: Booleans, count: int, seed: int
) -> Integers:
    """Return `count` of n texts: the most typical one of each of the largest clusters.

    Clusters with a labeled text come last. Of more than 5,000 texts, clusters are those of a random
    part, with all labeled ones.

    Source: Hacohen, Dekel and Weinshall, Active Learning on a Budget: Opposite Strategies Suit High
    and Low Budgets (TypiClust), ICML 2022.

    Args:
        directions: (n, d) centered states of unit length.
        typicality: (n,), higher where texts are dense.
        labeled: (n,) whether a text has a label; such texts are not returned.
        count: number of texts; fewer are returned if there are no more.
        seed: seed of the clusters.
    """
    from sklearn.cluster import KMeans

    free = np.flatnonzero(~labeled)
    random = np.random.default_rng(seed)
    part = free if len(free) <= _CLUSTERED else random.choice(free, _CLUSTERED, replace=False)
    rows = np.concatenate([part, np.flatnonzero(labeled)])
    wanted = min(count + int(labeled.sum()), len(rows))
    if not len(part):
        return part
    with warnings.catch_warnings():  # of texts that are all alike
        warnings.filterwarnings("ignore", "Number of distinct clusters")
        cluster = KMeans(wanted, n_init=1, random_state=seed).fit_predict(directions[rows])
    covered = np.bincount(cluster[len(part) :], minlength=wanted)
    sizes = np.bincount(cluster, minlength=wanted)
    chosen: list[int] = []
    for of in np.lexsort((-sizes, covered)):
        inside = part[cluster[: len(part)] == of]
        if len(inside) and len(chosen) < count:
            chosen.append(int(inside[typicality[inside].argmax()]))
    rest = np.setdiff1d(part, chosen)
    more = rest[np.argsort(-typicality[rest], kind="stable")][: count - len(chosen)]
    return np.concatenate([np.array(chosen, dtype=np.int64), more])


def uncertain_and_diverse(
    states: Floats,
    reference: Reference,
    typicality: Floats,
    margins: Floats,
    free: Booleans,
    count: int,
) -> Integers:
    """Return `count` of n texts that a probe is unsure of, which are typical and unlike each other.

    The worth of a text is (1 - margin) * typicality, both from 0 to 1. Texts are taken one by one,
    the worth of each falling with its similarity to those taken before, so that near-duplicates are
    never chosen together.

    Source: Settles and Craven, An Analysis of Active Learning Strategies for Sequence Labeling
    Tasks (information density), EMNLP 2008, with the margin of Scheffer, Decomain and Wrobel,
    Active Hidden Markov Models for Information Extraction, IDA 2001.

    Args:
        states: (n, d) states.
        reference: sample that makes directions of states.
        typicality: (n,), higher where texts are dense.
        margins: (n,) how sure the probe is, from 0 to 1.
        free: (n,) whether a text can be chosen.
        count: number of texts; fewer are returned if there are no more.
    """
    rows = np.flatnonzero(free)
    if not len(rows):
        return rows
    dense = typicality[rows]
    span = float(dense.max() - dense.min())
    worth = (1 - margins[rows]) * ((dense - dense.min()) / span if span else 1.0)
    most = min(_CANDIDATES * count, len(rows))
    best = np.argpartition(-worth, most - 1)[:most]
    best = best[np.argsort(-worth[best], kind="stable")]
    rows, worth = rows[best], worth[best]
    directions = reference.directions(states[rows])
    nearest, chosen = np.zeros(len(rows)), list[int]()
    taken = np.zeros(len(rows), dtype=bool)
    for _ in range(min(count, len(rows))):
        place = int(np.where(taken, -1.0, worth * (1 - nearest)).argmax())
        taken[place] = True
        chosen.append(int(rows[place]))
        nearest = np.maximum(nearest, directions @ directions[place])
    return np.array(chosen, dtype=np.int64)


def margins_of(probabilities: Any, multilabel: bool) -> Floats:
    """Return for (n, k) probabilities how sure the labels are, (n,) from 0 to 1.

    It is the lead of the likeliest label over the next one; with several labels a text, how far
    the least sure label is from one half.
    """
    if multilabel:
        return np.asarray(np.abs(2 * probabilities - 1).min(axis=1))
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])
