"""How long the texts of each class are, for the box plot of the report."""

from __future__ import annotations

import numpy as np

from finetext.types import Splits

Quantiles = tuple[float, float, float, float, float]


def word_quantiles(splits: Splits) -> dict[str, Quantiles]:
    """Label to the 5th, 25th, 50th, 75th and 95th percentile of words in its texts, all splits."""
    parts = [part for _, part in splits.items()]
    words = np.array([len(text.split()) for part in parts for text in part.texts])
    targets = np.concatenate([part.targets for part in parts])
    quantiles: dict[str, Quantiles] = {}
    for column, name in enumerate(splits.scheme.names):
        has = targets[:, column] == 1 if targets.ndim == 2 else targets == column
        if has.any():
            low, quarter, median, three_quarters, high = np.percentile(
                words[has], (5, 25, 50, 75, 95)
            )
            quantiles[name] = (low, quarter, median, three_quarters, high)
    return quantiles
