"""How well texts that belong to no class are told from those that belong to one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.decision import Decision, uncertainty
from finetext.core.errors import DataError
from finetext.core.types import Predictions, Score
from finetext.core.wording import counted, ends
from finetext.evaluation.proportions import proportion
from finetext.storage.codec import Jsonable

_ROUNDING: Final = 1e-9


def with_scope(decision: Decision, validation: Predictions, allowed: float) -> Decision:
    """Return a decision rule that refuses texts out of scope, at most this share of the others.

    With too few rows for that share it has no limit, so that it refuses nothing, and its aim says
    why; `Decision.refuses_nothing`.
    """
    limit = in_scope_up_to(validation, allowed)
    if limit is None:
        needed = math.ceil(1 / allowed - 1 - _ROUNDING)
        why = (
            f"nothing is refused: {100 * allowed:.3g}% takes {counted(needed, 'validation row')}, "
            f"there are {len(validation):,}"
        )
        decision = replace(decision, aim=f"{decision.aim} ({why})")
    return replace(decision, in_scope_up_to=limit, false_alarms=allowed)


def in_scope_up_to(predictions: Predictions, false_alarms: float) -> float | None:
    """Return the uncertainty above which a row belongs to no class; see `Decision`.

    Of new, exchangeable rows of the classes at most the share `false_alarms` is refused, on average
    over draws of the given rows (conformal p-values: Bates, Candes, Lei, Romano and Sesia, Testing
    for outliers with conformal p-values, Annals of Statistics 2023), if the model was not chosen by
    these; validation rows nearly qualify. None with fewer rows than 1 / `false_alarms` - 1.
    """
    if not len(predictions):
        raise DataError("out-of-scope texts need validation rows to be known by; there are none")
    highest = np.sort(uncertainty(predictions.probabilities))[::-1]
    allowed = math.floor(false_alarms * (len(highest) + 1) + _ROUNDING)
    return float(highest[allowed - 1]) if allowed else None


@dataclass(frozen=True)
class ScopeScores(Jsonable):
    """What the decision rule makes of texts in scope and out of it.

    Attributes:
        accuracy: share of rows in scope that get their label; a row without one is wrong.
        false_alarms: share of rows in scope that are refused as belonging to no class.
        recall: share of texts out of scope that are refused; None if there are none.
        allowed: share of false alarms that the rule allows; None without a rule.
    """

    accuracy: Score
    false_alarms: Score
    recall: Score | None = None
    allowed: float | None = None

    @property
    def words(self) -> str:
        """Return them as a sentence without its period."""
        return self.said("is unknown without marked texts")

    def said(self, unknown: str) -> str:
        """Return the same, with what to say of a recall that is None."""
        if self.allowed is None:
            outside = counted(0 if self.recall is None else self.recall.n, "text")
            return f"none of the {outside} out of scope is recognized: the model has no rule"
        inside = counted(self.accuracy.n, "text")
        said = (
            f"{_shown(self.false_alarms)} of the {inside} in scope are refused (allowed: "
            f"{self.allowed:.3g}) and {_shown(self.accuracy)} get their label; "
        )
        if self.recall is None:
            return f"{said}how many out of scope are recognized {unknown}"
        outside = counted(self.recall.n, "text")
        return f"{said}of the {outside} out of scope {_shown(self.recall)} are refused"


def scope_scores(predictions: Predictions, outside: Floats | None = None) -> ScopeScores | None:
    """Return what the rule of predictions makes of their rows, all in scope, and of others.

    Args:
        predictions: of rows in scope.
        outside: (m, k) probabilities of texts out of scope, or None if none are known.

    Returns:
        None if there is neither a rule for out-of-scope texts nor such a text.
    """
    decision, groups = predictions.decision, predictions.groups
    if decision.in_scope_up_to is None and outside is None:
        return None
    right = (predictions.decisions == predictions.targets) & ~predictions.abstained
    refused = decision.out_of_scope(predictions.probabilities)
    recall = None if outside is None else proportion(decision.shipped.out_of_scope(outside))
    allowed = None if decision.in_scope_up_to is None else decision.false_alarms
    return ScopeScores(proportion(right, groups), proportion(refused, groups), recall, allowed)


def _shown(score: Score) -> str:
    return f"{score.value:.3f} {ends(score)}"
