"""Weights that combine the predictions of several methods, and whether the combination is better.

The logits of a blend are a weighted sum of the logits of its members. There is one weight a member,
not below 0, fitted by log loss on rows that no member learned from. A prior keeps the weights near
the best member alone, so that a few rows cannot do harm: `benchmarks/blend.py`. Fewer than 50 rows
hardly say which member that is; then it keeps all that are pretrained near the same weight.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.core.arrays import Floats, Integers, probabilities_of
from finetext.core.decision import AS_LIKELY
from finetext.core.types import Predictions
from finetext.core.wording import counted
from finetext.evaluation.calibration import cross_calibrated, joined
from finetext.evaluation.compare import compare
from finetext.evaluation.deciding import Deciding
from finetext.evaluation.estimates import SIGNIFICANT, Estimate
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import units_of
from finetext.evaluation.metrics import Metric, log_loss

PRIOR_ROWS: Final = 10.0
"""Rows that the prior for the best member alone is worth: `benchmarks/blend.py`."""
LEAST_WEIGHT: Final = 0.05
"""Members with less weight are left out, and the others fitted again."""
FEWEST_ROWS: Final = 50
"""Rows from which a blend has to be shown to be better; which member is best is mostly chance with
fewer (`benchmarks/LOG.md`, "Which method, by 15 rows")."""
FOLDS: Final = 10
NEAREST: Final = 1e-6
"""How near probabilities may come to 0 and 1: logits are infinite there."""
MOST_ROWS: Final = 20_000
"""Rows that weights are fitted on: a few numbers need no more."""


def bounded_logits(probabilities: Floats, multilabel: bool) -> Floats:
    """Return finite logits of (n, k) probabilities; see `finetext.core.arrays.logits_of`."""
    if multilabel:
        from scipy.special import logit

        return np.asarray(logit(np.clip(probabilities, NEAREST, 1 - NEAREST)))
    return np.asarray(np.log(np.maximum(probabilities, NEAREST)))


@dataclass(frozen=True)
class Weighing:
    """How members get their weights; see `fit_weights`."""

    prior_rows: float = PRIOR_ROWS
    equal: tuple[str, ...] = ()

    @classmethod
    def of(cls, pretrained: Sequence[str], rows: int, prior_rows: float) -> Weighing:
        """Return how to weigh with so many rows, of which members some are pretrained.

        The prior is for them if there are two or more, and fewer than 50 rows.
        """
        is_equal = rows < FEWEST_ROWS and len(pretrained) > 1
        return cls(prior_rows, tuple(pretrained) if is_equal else ())

    def weights(self, members: Mapping[str, Predictions]) -> dict[str, float]:
        """Return the weights of the members that are worth one, in their order."""
        return fit_weights(members, self.prior_rows, self.equal)


def fit_weights(
    members: Mapping[str, Predictions],
    prior_rows: float = PRIOR_ROWS,
    equal: Collection[str] = (),
) -> dict[str, float]:
    """Return the weights of the members that are worth one, in their order.

    Args:
        members: predictions of each member for the same rows, which it did not learn from,
            calibrated.
        prior_rows: strength of the prior: the penalty is half the squared distance of the weights
            from its own, times these rows.
        equal: members to which the prior gives the same weight; without, it gives all weight to the
            member with the lowest log loss.
    """
    names = list(members)
    while True:
        prior = _prior({name: members[name] for name in names}, equal)
        found = _fitted({name: members[name] for name in names}, prior, prior_rows)
        kept = [name for name in names if found[name] >= LEAST_WEIGHT]
        if len(kept) in (0, len(names)):
            return found
        names = kept


def _fitted(
    members: Mapping[str, Predictions], prior: Floats, prior_rows: float
) -> dict[str, float]:
    """Return the weights of all members with the lowest penalized log loss."""
    from scipy.optimize import minimize
    from scipy.special import expit, logsumexp

    first = next(iter(members.values()))
    several, targets = first.scheme.multilabel, first.targets
    some = np.arange(len(targets))
    if len(some) > MOST_ROWS:
        some = np.sort(np.random.default_rng(0).choice(len(some), MOST_ROWS, replace=False))
    targets, rows = targets[some], np.arange(len(some))
    logits = np.stack([bounded_logits(of.probabilities[some], several) for of in members.values()])

    def penalized(weights: Floats) -> tuple[float, Floats]:
        sums = np.tensordot(weights, logits, 1)
        if several:
            labels = targets.shape[1]
            loss = float((np.logaddexp(0, sums) - targets * sums).sum()) / labels
            slopes = (expit(sums) - targets) / labels
        else:
            whole = logsumexp(sums, axis=1, keepdims=True)
            loss = float((whole[:, 0] - sums[rows, targets]).sum())
            slopes = np.exp(sums - whole)
            slopes[rows, targets] -= 1
        away = weights - prior
        slope = (logits * slopes).sum(axis=(1, 2)) + prior_rows * away
        return loss + prior_rows * float(away @ away) / 2, slope

    bounds = [(0.0, None)] * len(members)
    found = minimize(penalized, prior, jac=True, bounds=bounds, method="L-BFGS-B").x
    return dict(zip(members, found.tolist(), strict=True))


def _prior(members: Mapping[str, Predictions], equal: Collection[str]) -> Floats:
    """Return equal weights, or 1 for the member with the lowest log loss; 0 for the others."""
    if sharing := sum(name in equal for name in members):
        return np.array([(name in equal) / sharing for name in members])
    losses = [log_loss(of) if len(of) else 0.0 for of in members.values()]
    return np.asarray(np.eye(len(losses))[int(np.argmin(losses))])


def blended(members: Mapping[str, Predictions], weights: Mapping[str, float]) -> Predictions:
    """Return the predictions of the blend, by the likeliest label, for the rows of its members."""
    first = next(iter(members.values()))
    several, sums = first.scheme.multilabel, np.zeros(first.probabilities.shape)
    for name, weight in weights.items():
        sums += weight * bounded_logits(members[name].probabilities, several)
    return replace(first, probabilities=probabilities_of(sums, several), decision=AS_LIKELY)


def cross_blended(
    folds: Mapping[str, Sequence[Predictions]], weighing: Weighing
) -> tuple[Predictions, ...]:
    """Return the blend of each fold, with weights from the rows of the other folds."""
    count, found = len(next(iter(folds.values()))), []
    for number in range(count):
        others = {
            name: joined([of for at, of in enumerate(parts) if at != number])
            for name, parts in folds.items()
        }
        weights = weighing.weights(others)
        found.append(blended({name: parts[number] for name, parts in folds.items()}, weights))
    return tuple(found)


def parts_of(predictions: Predictions, seed: int = 0) -> list[Integers]:
    """Return the positions of the rows of each of up to ten random parts; groups stay whole."""
    random = np.random.default_rng(seed)
    unit, units = units_of(predictions, random)
    if units == 1:  # one group
        unit, units = np.arange(len(unit)), len(unit)
    part = (random.permutation(units) % min(FOLDS, units))[unit]
    return [np.flatnonzero(part == number) for number in range(int(part.max()) + 1)]


@dataclass(frozen=True)
class Gain:
    """What a blend adds to its best member, on rows that neither learned from.

    The weights of each row were fitted without it. Leads are signed so that higher is better.

    Attributes:
        best: the member with the best metric.
        metric: of the run.
        lead: in that metric.
        likelier: in log loss.
        rows: the rows in words, such as "429 validation rows".
    """

    best: str
    metric: Metric
    lead: Estimate
    likelier: Estimate
    rows: str

    @property
    def is_supported(self) -> bool:
        """Whether the blend is shown to be better, one-sided at 5%.

        That is in the metric, or in log loss, which shows it on fewer rows; the other of the two
        may not be worse on these rows.
        """
        leads = self.lead, self.likelier
        return all(of.value >= 0 for of in leads) and any(of.tail() < SIGNIFICANT for of in leads)

    @property
    def is_loss(self) -> bool:
        """Whether the blend is shown to be worse in one of the two, at the same level."""
        return any(of.negated().tail() < SIGNIFICANT for of in (self.lead, self.likelier))

    def words(self) -> str:
        """Return the best member, and by how much both values differ from its own."""
        differences = {
            of.title: _signed(lead if of.higher_is_better else lead.negated())
            for of, lead in ((self.metric, self.lead), (log_loss, self.likelier))
        }
        said = " and ".join(f"{lead} in {title}" for title, lead in differences.items())
        return f"{self.best}: {said} on {self.rows}"


def _signed(of: Estimate) -> str:
    low, high = of.interval()
    return f"{of.value:+.3f} [{low:+.3f}, {high:+.3f}]"


def gain_of(
    members: Mapping[str, Predictions], wanted: Deciding, metric: Metric, weighing: Weighing
) -> tuple[Gain, Predictions]:
    """Return what a blend adds to its best member, and its predictions without a decision rule.

    The weights of each row come from other rows, and so do temperature and decision rule by which
    both are compared.

    Args:
        members: predictions of each member for the same validation rows, with its decision rule.
        wanted: the decision rule that was asked for.
        metric: the metric of the run.
        weighing: how the members get their weights.
    """
    best = max(members, key=lambda name: [of.goodness(members[name]) for of in (metric, log_loss)])
    parts = parts_of(members[best])
    folds = {
        name: [replace(of, decision=AS_LIKELY).select(rows) for rows in parts]
        for name, of in members.items()
    }
    blend = cross_blended(folds, weighing)
    one, other = (joined(cross_calibrated(of, wanted)) for of in (blend, folds[best]))
    rows = counted(len(one), "validation row")
    gain = Gain(best, metric, *_leads([one], [other], metric), rows)
    return gain, joined(blend).select(np.argsort(np.concatenate(parts)))


def gain_of_folds(
    members: Mapping[str, FoldPredictions], blend: FoldPredictions, metric: Metric
) -> Gain:
    """Return what a blend adds to its best member in a cross-validated run.

    The repeats count as seeds of the two.
    """
    best = max(members, key=lambda name: [members[name].goodness(of) for of in (metric, log_loss)])
    ones, others = (
        [_in_one_order(folds) for folds in of.repeats[: len(blend.repeats)]]
        for of in (blend, members[best])
    )
    rows = counted(blend.rows, "cross-validated row")
    return Gain(best, metric, *_leads(ones, others, metric), rows)


def _in_one_order(folds: Sequence[Predictions]) -> Predictions:
    """Return the rows of all folds of a repeat in the same order as those of other repeats."""
    every = joined(folds)
    return every.select(np.argsort(np.array(every.ids)))


def _leads(
    ones: Sequence[Predictions], others: Sequence[Predictions], metric: Metric
) -> tuple[Estimate, Estimate]:
    """Return the leads in a metric and in log loss, signed so that higher is better."""

    def lead(of: Metric) -> Estimate:
        found = compare(ones, others, of.name).estimate
        assert found is not None
        return found if of.higher_is_better else found.negated()

    return lead(metric), lead(log_loss)
