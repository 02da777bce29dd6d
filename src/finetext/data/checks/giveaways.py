"""Does one token alone nearly decide a class?"""

from __future__ import annotations

from typing import Final

import numpy as np

from finetext.data.checks.material import Material
from finetext.types import Finding

PRECISION: Final = 0.98
COVERAGE: Final = 0.2
MUCH_COVERAGE: Final = 0.5
FEWEST_ROWS: Final = 20
MOST_TOKENS: Final = 8


def giveaway_tokens(material: Material) -> list[Finding]:
    """Tokens that stand in a class and hardly anywhere else.

    A giveaway stands in 20 rows or more, 98% of which have the class, and in a fifth or more of
    the rows of the class; and it is wrong at most a tenth as often as always guessing the class.
    """
    scheme = material.scheme
    if scheme is None or not len(material):
        return []
    presence = material.tokens.presence
    rows_with = np.bincount(presence.indices, minlength=presence.shape[1])
    tokens = np.flatnonzero(rows_with >= FEWEST_ROWS)
    totals = material.indicators.sum(axis=0)
    hits = np.asarray(presence[:, tokens].T @ material.indicators)
    precision = hits / rows_with[tokens, None]
    coverage = hits / np.maximum(totals, 1)
    surprising = 1 - precision <= 0.1 * (1 - totals / len(material))
    found = np.argwhere((precision >= PRECISION) & (coverage >= COVERAGE) & surprising)
    if not len(found):
        return []
    found = found[np.argsort(-coverage[found[:, 0], found[:, 1]], kind="stable")]
    described = [
        f"{material.tokens.vocabulary[tokens[t]]!r} (in {rows_with[tokens[t]]:,} rows, "
        f"{precision[t, c]:.0%} of them {scheme.names[c]!r}; in {coverage[t, c]:.0%} of that class)"
        for t, c in found[:MOST_TOKENS]
    ]
    more = f", and {len(found) - MOST_TOKENS} more" if len(found) > MOST_TOKENS else ""
    message = (
        f"A single token nearly decides a class: {', '.join(described)}{more}. If it comes from "
        "how the data were made, remove it: a model will look at nothing else."
    )
    strong = coverage[tuple(found[0])] >= MUCH_COVERAGE
    rows = presence[:, [tokens[found[0, 0]]]].nonzero()[0]
    return [
        Finding(
            "warning" if strong else "note",
            "giveaway-tokens",
            message,
            material.name(np.sort(rows)),
        )
    ]
