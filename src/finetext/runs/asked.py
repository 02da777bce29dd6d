"""What a run asks an endpoint: as many rows as the budget allows, and what they took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np

from finetext.core.contracts import Classifier, Method, predict
from finetext.core.errors import ModelError
from finetext.core.types import Dataset, Finding, Predictions, Splits
from finetext.core.wording import counted
from finetext.evaluation.leaderboard import Asked
from finetext.evaluation.out_of_scope import ScopeScores, scope_scores
from finetext.methods.answer_totals import Answered, Totals
from finetext.methods.endpoint import BudgetEnded
from finetext.methods.endpoint_client import check_reachable
from finetext.methods.llm import Llm, LlmClassifier
from finetext.methods.token_budget import Limits, Tokens

FEWEST_ROWS: Final = 10
"""Rows of a split below which a sample says nothing; splits with fewer rows need all of theirs."""


SURE_SHARE: Final = 0.7
"""Share of the tokens expected that are taken at least: in English some have five characters."""


def check_endpoints(methods: Iterable[Method]) -> None:
    """Raise a ModelError if nothing answers at an address that methods ask; no text is sent."""
    for url in dict.fromkeys(of.url for of in methods if isinstance(of, Llm)):
        check_reachable(url)


def budget_shares(splits: Splits, outside: Dataset | None) -> tuple[float, float]:
    """Return the shares of a budget that may be used after validation rows, and after test rows.

    The rest is for texts `outside` of the scope, if there are any.
    """
    rows = len(splits.validation), len(splits.test), 0 if outside is None else len(outside)
    total = max(1, sum(rows))
    return rows[0] / total, (rows[0] + rows[1]) / total


def predict_affordable(
    classifier: Classifier, dataset: Dataset, seed: int, share: float = 1.0
) -> Predictions:
    """Return predictions of all rows, or of as many as a share of a budget allows.

    Those are a random sample, drawn by the seed before anything is known of the rows, in the order
    of the data.

    Raises:
        BudgetEnded: the budget is too small for a sample.
    """
    if not isinstance(classifier, LlmClassifier):
        return predict(classifier, dataset)
    found = answered_sample(classifier, dataset.texts, seed, share)
    if len(found.rows) < min(FEWEST_ROWS, len(dataset)):
        limits = classifier.endpoint.budget.limits
        raise BudgetEnded(too_small(limits, len(found.rows), len(dataset)))
    kept, groups = dataset.select(found.rows), dataset.groups
    return Predictions(
        tuple(kept.ids), kept.targets, found.probabilities, classifier.scheme, classifier.decision,
        None if groups is None else tuple(kept.groups or ()),
    )  # fmt: skip


def answered_sample(
    classifier: LlmClassifier,
    texts: Sequence[str],
    seed: int,
    share: float = 1.0,
    most: int | None = None,
) -> Answered:
    """Return the answers to a random sample of texts: what a share of the budget allows, or `most`.

    A smaller sample is the beginning of a larger one, so that no valid answer is paid for twice.
    """
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    return classifier.answered(texts, order[:most], share)


def too_small(limits: Limits, rows: int, every: int) -> str:
    """Return that a budget is enough for so few rows that these say nothing."""
    return (
        f"llm: the budget of {limits.words()} is enough for {rows} of {counted(every, 'row')}, and "
        f"fewer than {FEWEST_ROWS} say nothing. Give more (--llm-budget); answers so far are kept"
    )


def scope_within_budget(
    name: str, classifier: Classifier, on_test: Predictions, outside: Dataset | None, seed: int
) -> tuple[ScopeScores | None, tuple[Finding, ...]]:
    """Return what the rule makes of test rows and of texts that belong to no class, and findings.

    Of these texts, the rest of a budget may allow a sample, or none, which is a finding.
    """
    if outside is None:
        return scope_scores(on_test), ()
    if not isinstance(classifier, LlmClassifier):
        return scope_scores(on_test, classifier.predict_proba(outside.texts)), ()
    found = answered_sample(classifier, outside.texts, seed)
    if len(found.rows) >= min(FEWEST_ROWS, len(outside)):
        return scope_scores(on_test, found.probabilities), ()
    message = f"{name}: the budget has no room for texts out of scope, so their recall is unknown"
    return scope_scores(on_test), (Finding("warning", "budget", message),)


def check_folds_affordable(method: Method, train: Dataset, texts: Sequence[str]) -> None:
    """Raise a BudgetEnded if answers to all rows of a cross-validated run take too many tokens.

    They are estimated, as nothing is sent; `train` has the examples. Where it is not sure that they
    take too many, the budget decides.
    """
    if not isinstance(method, Llm):
        return
    needed = method.expected_tokens(train, texts)
    least = round(SURE_SHARE * replace(method, samples=1).expected_tokens(train, texts))
    if not method.limits.allow(Tokens(least)):
        raise BudgetEnded(
            f"llm: a cross-validated run needs an answer to each of {counted(len(texts), 'row')}, "
            f"for about {needed:,} tokens, and the budget is {method.limits.words()}. Give more "
            "(--llm-budget), or hold out test rows (--no-cross-validate); nothing was sent"
        )


def begin_folds(
    method: Method, train: Dataset, texts: Sequence[str], say: Callable[[str], None]
) -> None:
    """Say where texts go, as folds are silent; raises as `check_folds_affordable` does."""
    check_folds_affordable(method, train, texts)
    if isinstance(method, Llm):
        say(method.told)


@contextmanager
def answers_watched(
    classifier: Classifier, find: Callable[[Finding], None]
) -> Iterator[Callable[[], None]]:
    """Report, when the body is done, which answers of an endpoint in it were of no use.

    The body gets a function that raises a ModelError if no answer so far was a label.
    """
    if not isinstance(classifier, LlmClassifier):
        yield lambda: None
        return
    before = replace(classifier.endpoint.totals)

    def check() -> None:
        so_far = classifier.endpoint.totals.since(before)
        if nothing := so_far.nothing_valid(classifier.method.model):
            raise ModelError(f"llm: {nothing}")

    yield check
    for finding in classifier.answer_findings(before):
        find(finding)


def findings_of_answers(classifier: Classifier) -> list[Finding]:
    """Return what was noticed of all answers of an endpoint; nothing of other classifiers."""
    if not isinstance(classifier, LlmClassifier):
        return []
    return classifier.answer_findings(Totals())


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
