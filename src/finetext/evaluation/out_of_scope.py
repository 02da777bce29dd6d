"""How well texts that belong to no class are told from those that belong to one."""

from __future__ import annotations

from dataclasses import dataclass

from finetext.core.arrays import Floats
from finetext.core.types import Predictions, Score
from finetext.core.wording import counted, ends
from finetext.evaluation.proportions import proportion
from finetext.storage.codec import Jsonable


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
        if self.allowed is None:
            outside = counted(0 if self.recall is None else self.recall.n, "text")
            return f"none of the {outside} out of scope is recognized: the model has no rule"
        inside = counted(self.accuracy.n, "text")
        said = (
            f"{_shown(self.false_alarms)} of the {inside} in scope are refused (allowed: "
            f"{self.allowed:.3g}) and {_shown(self.accuracy)} get their label; "
        )
        if self.recall is None:
            return f"{said}how many out of scope are recognized is unknown without marked texts"
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
    allowed = decision.false_alarms
    return ScopeScores(proportion(right, groups), proportion(refused, groups), recall, allowed)


def _shown(score: Score) -> str:
    return f"{score.value:.3f} {ends(score)}"
