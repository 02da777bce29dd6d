"""The choice of a method: the cheapest that is shown to be as good as the best.

A method is as good if it is shown to be behind by less than a margin, which is not the same as "no
difference could be shown": with few rows no difference can be shown between any two methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from finetext.core.registry import load
from finetext.core.types import Predictions
from finetext.core.wording import counted, row_of
from finetext.evaluation.compare import compare
from finetext.evaluation.deciding import has_label
from finetext.evaluation.estimates import POWER, SIGNIFICANT, DiscordantRows, Estimate
from finetext.evaluation.metrics import metric_for
from finetext.evaluation.several import holm
from finetext.storage.codec import Jsonable

MARGIN: Final = 0.02
BEHIND: Final = 0.025
"""The level of "worse": its bound is the end of the 95% interval, which then leaves 0 out."""
OF_LEAD: Final = 0.1
"""The share of the lead over the majority class, at its lower bound, that a margin may have."""
FEWEST_OF_CLASS: Final = 10
_MEANS_OVER_CLASSES: Final = {"macro_f1", "balanced_accuracy"}

Status = Literal["as good", "worse", "not known"]
Confirmed = Literal["confirmed", "not confirmed", "cannot tell"]


@dataclass(frozen=True)
class Grounds(Jsonable):
    """What a choice rests on.

    Attributes:
        metric: name of the metric.
        part: "validation", "test" or "cross-validation".
        units: number of rows, or of groups if `grouped`.
        seeds: number of trainings of each method; with one the variation of training is unknown.
        fewest: rows of the rarest class if the metric is a mean over classes; None for others.
        baseline: name of the majority class, which is no candidate; None without one.
    """

    metric: str
    part: str
    units: int
    grouped: bool = False
    seeds: int = 1
    fewest: int | None = None
    baseline: str | None = None

    @classmethod
    def of(
        cls, metric: str, part: str, sets: Sequence[Predictions], baseline: str | None = None
    ) -> Grounds:
        """Return the grounds that one method's predictions give, one set for each seed."""
        first, fewest = sets[0], None
        if metric in _MEANS_OVER_CLASSES:
            columns = range(len(first.scheme))
            fewest = min(int(has_label(first.targets, column).sum()) for column in columns)
        units = len(first) if first.groups is None else len(set(first.groups))
        return cls(metric, part, units, first.groups is not None, len(sets), fewest, baseline)

    def words(self) -> str:
        """Return the rows in words: "9 validation rows", "40 groups of validation rows"."""
        crossed = self.part == "cross-validation"
        row = "cross-validated row" if crossed else row_of(self.part)
        if self.grouped:
            return f"{counted(self.units, 'group')} of {row}s"
        return counted(self.units, row)

    @property
    def metric_words(self) -> str:
        """The metric in words: "in macro F1"."""
        return f"in {load('metrics', self.metric).title}"

    def suffice(self, allowed: float) -> bool:
        """Return whether there are enough units for a difference of the margin to be seen."""
        rare = self.fewest is not None and self.fewest < FEWEST_OF_CLASS
        return allowed > 0 and self.units >= self._least(allowed) and not rare

    def _least(self, allowed: float) -> int:
        """Return how many units have a difference of the margin in one of them with 95%."""
        if not load("metrics", self.metric).proportion or not 0 < allowed < 1:
            return 2
        return math.ceil(math.log(SIGNIFICANT) / math.log1p(-allowed))

    def needed(self, lead: Estimate, allowed: float, level: float) -> int | None:
        """Return about how many units would tell whether a method is as good, with a power of 80%.

        That is for a method that is as good as the best; if these units would suffice for that,
        for one that is as far behind as this one seems to be. None where it cannot be told.
        """
        found = _units(lead, allowed, level)
        if found is not None and found <= self.units:
            found = _units(lead, max(allowed + lead.value, -lead.value), level)
        if found is None or self.fewest == 0:
            return None
        of_class = 0 if self.fewest is None else self.units * FEWEST_OF_CLASS / self.fewest
        needed = max(found, self._least(allowed), of_class if of_class > self.units else 0)
        return _rounded(needed) if needed > self.units else None


@dataclass(frozen=True)
class Candidate(Jsonable):
    """A method that is cheaper than the best, and what is known of its lead over the best.

    Attributes:
        lead: the method minus the best, signed so that higher is better.
        level: the one-sided level at which it was tested, after Holm's correction.
        needed: about how many units could show that an equally good method is as good; None where
            that cannot be told.
    """

    method: str
    status: Status
    lead: Estimate | DiscordantRows
    level: float
    needed: int | None


@dataclass(frozen=True)
class Confirmation(Jsonable):
    """Whether rows that had no say in the choice agree with it.

    Attributes:
        lead: the recommended method minus the best, or minus the majority class if the best is
            recommended; signed so that higher is better.
    """

    status: Confirmed
    against: str
    lead: Estimate | DiscordantRows
    grounds: Grounds


@dataclass(frozen=True)
class Choice(Jsonable):
    """The method to use, and why.

    Attributes:
        best: the method with the best metric, or a hedge.
        recommended: the cheapest method that is as good as the best, else the best.
        margin: how far behind counts as good, as asked for; None if the metric has none.
        allowed: the margin, or the tenth of the lead over the majority class if that is less.
        grounds: rows, seeds and metric that decided.
        candidates: the methods that are cheaper than the best, without the majority class.
        learned: whether any method is shown to be better than the majority class.
        lead: the best minus the majority class, signed so that higher is better.
        confirmation: what the test rows say about it; None if they had no say.
        needed: about how many units could show that the best is better than the majority class;
            None if that is shown or cannot be told.
        over_constant: in a cross-validated run, method to its lead in accuracy, or in subset
            accuracy, over always giving the most frequent label.
        is_hedge: whether the best is a guess, as so few rows tell little about which method is
            best: a blend, or what goes by names of labels.
    """

    best: str
    recommended: str
    margin: float | None
    allowed: float | None
    grounds: Grounds
    candidates: tuple[Candidate, ...]
    learned: bool = True
    lead: Estimate | DiscordantRows | None = None
    confirmation: Confirmation | None = None
    needed: int | None = None
    over_constant: Mapping[str, Estimate] = field(default_factory=dict)
    is_hedge: bool = False

    def words(self, is_better: bool = True) -> list[str]:
        """Return the choice in sentences, the first with figures naming the metric.

        `is_better`: whether the recommended method is better than always giving the most frequent
        label; else nothing is recommended, but taken until something is better.
        """
        best, rows, metric = self.best, self.grounds.words(), f" {self.grounds.metric_words}"
        until = f"Until then: {self.recommended}."
        if not self.learned:
            more = "" if self.needed is None else f"; about {self.needed:,} would"
            return [
                f"These {rows} cannot show that any method is better than {self.grounds.baseline}"
                f"{metric}{more}. {until}"
            ]
        taken = f"{best} is recommended." if is_better else f"Until a method is better: {best}."
        if self.allowed is None and self.candidates:
            return [
                f"{taken} No usual margin exists for {self.grounds.metric}; name one with --margin "
                "to learn whether a cheaper method is as good."
            ]
        known = [of for of in self.candidates if of.status != "not known"]
        lines = [self._said(of, "" if n else metric) for n, of in enumerate(known)]
        unknown = [of for of in self.candidates if of.status == "not known"]
        needed = max((of.needed for of in unknown if of.needed is not None), default=None)
        if unknown:
            names = " or ".join(of.method for of in unknown)
            about = "" if needed is None else f"; about {needed:,} would"
            good = f"within {self.allowed:.2g} of" if self.allowed else "as good as"
            lines.append(
                f"These {rows} cannot tell whether {names} is {good} {best}"
                f"{'' if known else metric}{about}. {until}"
            )
        elif self.recommended == best:
            lines.append(taken)
        return lines

    def _said(self, of: Candidate, metric: str) -> str:
        far = f"{of.method} is worse than {self.best}{metric}: {-of.lead.value:.3f} below"
        if of.status == "worse":
            return f"{far} (at least {-of.lead.upper(of.level):.3f})."
        worst = -of.lead.lower(of.level)
        least = f"at worst {worst:.3f} below" if worst > 0 else "at worst equal"
        return f"{of.method} is within {self.allowed:.2g} of {self.best}{metric} ({least})."

    def confirmation_words(self) -> str:
        """Return what the test rows say about the choice; "" if they had no say."""
        of = self.confirmation
        if of is None:
            return ""
        rows, metric = of.grounds.words(), of.grounds.metric_words
        if of.status == "cannot tell":
            return f"Confirmation: the {rows} cannot tell."
        if self.recommended == self.best:
            verb = "is better" if of.status == "confirmed" else "is worse"
            ends = (of.lead.lower(SIGNIFICANT), of.lead.upper(BEHIND))
            far = ends[0] if of.status == "confirmed" else -ends[1]
            said = f"{verb} than {of.against} {metric} (by at least {far:.3f})"
        elif of.status == "confirmed":
            worst = max(0.0, -of.lead.lower(SIGNIFICANT))
            within = f"is within {self.allowed:.2g} of {of.against} {metric}"
            said = f"{within} (at worst {worst:.3f} below)"
        else:
            said = f"is {-of.lead.value:.3f} below {of.against} {metric}"
            said += f" (at least {-of.lead.upper(BEHIND):.3f})"
        status = of.status[0].upper() + of.status[1:]
        return f"{status}: on {rows} {self.recommended} {said}."


def choose_among(
    predictions: Mapping[str, Sequence[Predictions]],
    cost: Mapping[str, float],
    best: str,
    grounds: Grounds,
    margin: float | None = None,
) -> Choice:
    """Return the choice by predictions of the same rows: method to one set for each seed.

    The majority class, `grounds.baseline`, is among them. For the rest see `choose`.
    """
    baseline, over = grounds.baseline, None
    methods = {name: of for name, of in predictions.items() if name != baseline}
    if baseline is not None and baseline in predictions:
        over = leads_over(methods, predictions[baseline], grounds.metric)
    others = {name: of for name, of in methods.items() if name != best}
    leads = leads_over(others, predictions[best], grounds.metric)
    return choose(leads, cost, best, grounds, margin, over)


def leads_over(
    methods: Mapping[str, Sequence[Predictions]], other: Sequence[Predictions], metric: str
) -> dict[str, Estimate]:
    """Return the lead of each method over another one, signed so that higher is better."""
    higher, found = metric_for(metric, other[0].scheme).higher_is_better, {}
    for name, sets in methods.items():
        lead = compare(sets, other, metric).estimate
        assert lead is not None
        found[name] = lead if higher else lead.negated()
    return found


def choose(
    leads: Mapping[str, Estimate],
    cost: Mapping[str, float],
    best: str,
    grounds: Grounds,
    margin: float | None = None,
    over: Mapping[str, Estimate] | None = None,
) -> Choice:
    """Return the cheapest method that is shown to be as good as the best, else the best.

    A cheaper method is as good if the one-sided 95% bound of its lead is above minus the margin,
    worse if the other bound is below zero; levels are corrected for the number of cheaper methods
    by Holm. Both need enough units for the margin to be seen at all: with fewer than
    ln 0.05 / ln(1 - margin), such as 149 for 0.02, a difference of that size may not occur in any.

    Args:
        leads: method to its lead over the best, signed so that higher is better; without the best
            and without the majority class.
        cost: method to what it costs, such as seconds of training, the best included.
        best: the best method.
        grounds: what the estimates were made from.
        margin: how far behind counts as good; None (the default) for 0.02 if the metric is a
            proportion, else for no margin, so that no method is as good.
        over: method to its lead over the majority class, the best included; None without that.

    Source of the rule: Piaggio et al., Reporting of noninferiority and equivalence randomized
    trials, JAMA, 2012.
    """
    cheaper = {name: of for name, of in leads.items() if cost[name] < cost[best]}
    if margin is None and load("metrics", grounds.metric).proportion:
        margin = MARGIN
    lead, learned, needed = None, True, None
    if over is not None:
        lead, level = over[best], SIGNIFICANT / len(over)
        learned = any(of.tail() < level for of in over.values())
        found = None if learned else _units(lead, lead.value, level)
        needed = None if found is None or found <= grounds.units else _rounded(found)
    allowed = margin
    if margin is not None and lead is not None:
        ground = lead.lower(SIGNIFICANT)
        allowed = max(0.0, min(margin, OF_LEAD * ground)) if math.isfinite(ground) else 0.0
    candidates = _judged(cheaper, allowed, grounds)
    good = [of.method for of in candidates if of.status == "as good"]
    recommended = min(good, key=lambda name: cost[name]) if good and learned else best
    return Choice(
        best, recommended, margin, allowed, grounds, candidates, learned, lead, needed=needed
    )


def confirmed(
    choice: Choice, predictions: Mapping[str, Sequence[Predictions]], grounds: Grounds
) -> Choice:
    """Return the choice with what other rows say about it, such as test rows.

    They say whether the recommended method is as good as the best; or, if the best is recommended,
    whether it is better than the majority class. Where nothing is shown to be learned there is
    nothing to confirm.
    """
    name, other = choice.recommended, choice.best
    margin = choice.allowed or 0.0
    if name == other:
        margin, other = 0.0, grounds.baseline or ""
    if not choice.learned or other not in predictions:
        return choice
    lead = leads_over({name: predictions[name]}, predictions[other], grounds.metric)[name]
    status: Confirmed = "cannot tell"
    if lead.tail(-margin) < SIGNIFICANT and (margin == 0 or grounds.suffice(margin)):
        status = "confirmed"
    elif lead.negated().tail() < BEHIND:
        status = "not confirmed"
    return replace(choice, confirmation=Confirmation(status, other, lead, grounds))


def _judged(
    leads: Mapping[str, Estimate], allowed: float | None, grounds: Grounds
) -> tuple[Candidate, ...]:
    """Return what is known of each cheaper method, in the order given."""
    margin = allowed or 0.0
    good = _stepped({name: of.tail(-margin) for name, of in leads.items()}, SIGNIFICANT)
    behind = _stepped({name: of.negated().tail() for name, of in leads.items()}, BEHIND)
    found = []
    for name, of in leads.items():
        (is_good, level), (is_behind, below) = good[name], behind[name]
        status: Status = "not known"
        if is_good and allowed is not None and grounds.suffice(margin):
            status = "as good"
        elif is_behind and not is_good:
            status, level = "worse", below
        needed = grounds.needed(of, margin, level) if status == "not known" else None
        found.append(Candidate(name, status, of, level, needed))
    return tuple(found)


def _stepped(p_values: Mapping[str, float], level: float) -> dict[str, tuple[bool, float]]:
    """Return for each hypothesis whether Holm's procedure rejects it, and at which level."""
    is_rejected = [corrected < level for corrected in holm(list(p_values.values()))]
    place = {name: at for at, name in enumerate(sorted(p_values, key=lambda name: p_values[name]))}
    last = sum(is_rejected)  # the step that fails, at whose level all later ones are judged
    return {
        name: (rejected, level / (len(place) - min(place[name], last)))
        for name, rejected in zip(p_values, is_rejected, strict=True)
    }


def _units(lead: Estimate, distance: float, level: float) -> float | None:
    """Return how many units show that a distance is not zero, with a power of 80%."""
    from scipy.special import ndtri

    if not math.isfinite(lead.error) or not distance > 0:
        return None
    return lead.units * float((ndtri(1 - level) + ndtri(POWER)) * lead.error / distance) ** 2


def _rounded(units: float) -> int:
    """Return a number of units with two digits, rounded up."""
    digits = max(0, len(str(math.ceil(units))) - 2)
    step = int(10**digits)
    return math.ceil(units / step) * step
