"""What a run asks an endpoint: as many rows as the budget allows, and what they took."""

from __future__ import annotations

from typing import Final

import numpy as np

from finetext.core.contracts import Classifier, predict
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset, Predictions, Splits
from finetext.core.wording import counted
from finetext.evaluation.leaderboard import Asked
from finetext.methods.llm import LlmClassifier

FEWEST_ROWS: Final = 10
"""Rows of a split below which a sample says nothing; splits with fewer rows need all of theirs."""


def share_of_validation(splits: Splits) -> float:
    """Return the share of a budget that is for validation rows; the rest is for test rows."""
    return len(splits.validation) / max(1, len(splits.validation) + len(splits.test))


def predict_affordable(
    classifier: Classifier, dataset: Dataset, seed: int, share: float = 1.0
) -> Predictions:
    """Return predictions of all rows, or of as many as a share of a budget allows.

    Those are a random sample, drawn by the seed before anything is known of the rows, in the order
    of the data.

    Raises:
        RecipeError: the budget is too small for a sample.
    """
    if not isinstance(classifier, LlmClassifier):
        return predict(classifier, dataset)
    order = np.random.default_rng(seed).permutation(len(dataset)).tolist()
    found = classifier.answered(dataset.texts, order, share)
    rows, limits = len(found.rows), classifier.endpoint.budget.limits
    if rows < min(FEWEST_ROWS, len(dataset)):
        raise RecipeError(
            f"llm: the budget of {limits.words()} is enough for {rows} of "
            f"{counted(len(dataset), 'row')}, and fewer than {FEWEST_ROWS} say nothing. Give more "
            "(--llm-budget); answers so far are kept"
        )
    kept, groups = dataset.select(found.rows), dataset.groups
    return Predictions(
        tuple(kept.ids), kept.targets, found.probabilities, classifier.scheme, classifier.decision,
        None if groups is None else tuple(kept.groups or ()),
    )  # fmt: skip


def rows_per_second(classifier: LlmClassifier) -> float:
    """Return the texts that are answered in a second, by the time of each answer.

    Answers that were kept count with the time that they took.
    """
    totals = classifier.endpoint.totals
    return classifier.method.concurrency * totals.texts / max(totals.seconds, 1e-9)


def asked_of(classifier: Classifier, rows: dict[str, int]) -> Asked | None:
    """Return what was asked for the scores of a classifier; None if it asks nobody."""
    if not isinstance(classifier, LlmClassifier):
        return None
    endpoint = classifier.endpoint
    used, limits, totals = endpoint.budget.used, endpoint.budget.limits, endpoint.totals
    return Asked(
        endpoint.url, endpoint.model, totals.texts, totals.invalid, used.sent, used.received,
        limits.cost_of(used), rows, limits.words(),
    )  # fmt: skip
