"""Whether an encoder of one's own paid, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from finetext.evaluation.paying import NOUNS, Paid
from finetext.registry import load
from finetext.report import figures


def paid_sentence(paid: Paid) -> str:
    """What came of it, how sure that is, and what it cost, in one sentence.

    Such as "finetune: adaptation paid: +1.8 points macro F1 [0.9, 2.7], for 10 min 10 s more".
    """
    outcome, noun = paid.outcome, NOUNS[paid.kind]
    said = {
        "paid": f"{noun} paid",
        "no difference": f"no difference to {paid.beside} could be shown",
        "hurt": f"{noun} hurt",
    }[outcome]
    cost = f"for {_more(paid.extra_seconds)}"
    p_value = paid.comparison.p_value
    doubt = "" if outcome != "no difference" else f", p = {figures.p_value(p_value)}"
    return f"{paid.method}: {said}: {difference_in_points(paid)}{doubt}, {cost}"


def paid_lines(pairs: Sequence[Paid]) -> list[str]:
    """The lines of the terminal: a blank one, then a sentence on each pair; none for no pairs."""
    return ["", *map(paid_sentence, pairs)] if pairs else []


def difference_in_points(paid: Paid) -> str:
    """The difference with its name and 95% interval: "+1.8 points macro F1 [0.9, 2.7]".

    A point is a hundredth; a metric that is no share is written as it is.
    """
    metric, score = load("metrics", paid.comparison.metric), paid.comparison.difference
    factor, unit, digits = (100, " points", 1) if metric.proportion else (1, "", 3)
    if math.isnan(score.value):
        return f"{metric.title} is not defined"
    ends = ""
    if not math.isnan(score.low):
        ends = f" [{factor * score.low:.{digits}f}, {factor * score.high:.{digits}f}]"
    return f"{factor * score.value:+.{digits}f}{unit} {metric.title}{ends}"


def _more(seconds: float) -> str:
    """Seconds as what is more, or less."""
    return f"{figures.duration(abs(seconds))} {'more' if seconds >= 0 else 'less'}"
