"""Helpers of the tests of diagnosis: made-up data sets and predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from finetext.core.types import Dataset, LabelScheme, Predicted, Predictions


@pytest.fixture(scope="session")
def rows_of() -> Callable[..., Dataset]:
    """A function that makes a data set of texts, labels and further columns; ids are r0, r1, ..."""

    def make(texts: list[str], labels: list[Any], **columns: list[str]) -> Dataset:
        import datasets

        several = bool(labels) and isinstance(labels[0], list)
        names = sorted({name for label in labels for name in (label if several else [label])})
        rows = {"id": [f"r{i}" for i in range(len(texts))], "text": texts, "label": labels}
        table = datasets.Dataset.from_dict({**rows, **columns})
        return Dataset(table, LabelScheme(tuple(names), several))

    return make


@pytest.fixture(scope="session")
def judged() -> Callable[..., Predicted]:
    """A function that makes predictions of three labels that are right or wrong as given."""

    def make(
        texts: Sequence[str] | None, right: np.ndarray, groups: Sequence[str] | None = None
    ) -> Predicted:
        n = len(right)
        targets = np.random.default_rng(5).integers(3, size=n)
        given = np.where(right, targets, (targets + 1) % 3)
        probabilities = np.full((n, 3), 0.1)
        probabilities[np.arange(n), given] = 0.8
        predictions = Predictions(
            tuple(map(str, range(n))), targets, probabilities, LabelScheme(("a", "b", "c")),
            groups=None if groups is None else tuple(groups),
        )  # fmt: skip
        known = None if texts is None else tuple(texts)
        return Predicted("mine.csv", predictions, known, "macro_f1")

    return make
