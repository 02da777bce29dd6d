from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.selective import covered, least_of_truth, set_from


def drawn(rows: int, seed: int, several: bool = False) -> Predictions:
    """Predictions of a poor model: the truth has little to do with its probabilities."""
    random = np.random.default_rng(seed)
    likely = random.dirichlet(np.ones(4), rows)
    targets = random.integers(4, size=rows)
    if several:
        targets = (random.random((rows, 4)) < likely / 2 + 0.1).astype(np.int64)
    scheme = LabelScheme(("a", "b", "c", "d"), multilabel=several)
    return Predictions(tuple(map(str, range(rows))), targets, likely, scheme)


@pytest.mark.parametrize("coverage", [0.6, 0.9, 0.97])
@pytest.mark.parametrize("several", [False, True])
def test_new_rows_are_covered_as_promised_whatever_the_model(
    coverage: float, several: bool
) -> None:
    shares = []
    for seed in range(60):
        limit = set_from(drawn(80, seed, several), coverage)
        decision = Decision(set_from=limit, coverage=coverage)
        shares.append(covered(replace(drawn(400, 1000 + seed, several), decision=decision)).mean())
    assert coverage - 0.015 < np.mean(shares) < coverage + 1 / 81 + 0.015


def test_too_few_rows_for_the_promise_put_every_label_into_the_set() -> None:
    assert set_from(drawn(8, 0), 0.9) == 0.0
    assert set_from(drawn(9, 0), 0.9) > 0.0


def test_without_rows_or_without_a_coverage_there_are_no_sets() -> None:
    with pytest.raises(DataError, match="validation rows"):
        set_from(drawn(0, 0), 0.9)
    with pytest.raises(DataError, match="coverage"):
        covered(drawn(5, 0))


def test_a_row_without_labels_is_always_covered() -> None:
    scheme = LabelScheme(("a", "b"), multilabel=True)
    predictions = Predictions(
        ("1", "2"), np.array([[0, 0], [1, 1]]), np.array([[0.1, 0.2], [0.9, 0.3]]), scheme
    )
    assert least_of_truth(predictions).tolist() == [1.0, 0.3]
