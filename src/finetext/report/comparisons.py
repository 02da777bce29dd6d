"""Comparisons of several sets of predictions, for the terminal and as a table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any, Final

from finetext.core import wording as figures
from finetext.core.registry import load
from finetext.core.wording import counted, ends, number, p_value, row_of
from finetext.evaluation.leaderboard import NOUNS, EncoderGain
from finetext.evaluation.several import Pair, Several

WIDTH: Final = 80
_LONGEST_NAME: Final = 50
_SMALL: Final = 0.002
_FIGURES: Final = "  {:<12}{:<20}{:>9}{:>12}{:>17}"


def comparison_lines(found: Several, part: str | None) -> list[str]:
    """Scores, then what each pair says, in lines of at most 80 characters.

    Args:
        found: the comparisons.
        part: which rows they are of: "test" or "validation"; None if that is not known.
    """
    title = load("metrics", found.metric).title
    groups = "" if found.groups is None else f" in {counted(found.groups, 'group')}"
    best = "" if found.higher_is_better else "; lower is better"
    about = f"{counted(found.rows, row_of(part))}{groups}{best}"
    names = {name: _cut(name) for name in found.scores}
    wide = max(map(len, names.values()))
    lines = [about, "", f"{'':{wide}}  {title}  95% interval"]
    for name, score in found.scores.items():
        value = number(score.value).rjust(len(title))
        lines.append(f"{names[name]:{wide}}  {value}  {ends(score)}".rstrip())
    lines += ["", _FIGURES.format("difference", "95% interval", "p", "corrected", "could be shown")]
    for pair in found.pairs:
        lines += _pair_lines(found, pair)
    return [*lines, "", *_legend(found)]


def _pair_lines(found: Several, pair: Pair) -> list[str]:
    difference = pair.comparison.difference
    written = "+.3f" if (pair.smallest or 1) >= _SMALL else "+.5f"
    value = "-" if math.isnan(difference.value) else f"{difference.value:{written}}"
    smallest = "-" if pair.smallest is None else f"{pair.smallest:.2g}"
    values = (p_value(pair.comparison.p_value), p_value(pair.corrected))
    figures = _FIGURES.format(value, ends(difference, written), *values, smallest)
    rows = counted(pair.only_a, "row")
    alone = f"right in {pair.a} alone: {rows}; in {pair.b} alone: {pair.only_b:,}"
    if pair.mcnemar is not None:
        alone += f" (McNemar's exact test: p {p_value(pair.mcnemar)})"
    verdict = found.verdict(pair)
    return [
        *_wrapped(f"{pair.a} less {pair.b}: {verdict}", ""),
        figures.rstrip(),
        *_wrapped(alone, "  "),
    ]


def _legend(found: Several) -> list[str]:
    test = found.pairs[0].comparison.test
    correction = ""
    if len(found.pairs) > 1:
        correction = f"; corrected: for {len(found.pairs)} comparisons, by Holm"
    shown = "could be shown: the least true difference that is found four times of five"
    return [*_wrapped(f"p: {test}{correction}", ""), shown]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
    )


def _cut(name: str) -> str:
    """A name without its middle if it is too long."""
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def comparison_table(found: Several) -> dict[str, list[Any]]:
    """Every pair as a row; scores that are not defined are None."""
    rows = [_row(found, pair) for pair in found.pairs]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _row(found: Several, pair: Pair) -> dict[str, Any]:
    values: dict[str, Any] = {"a": pair.a, "b": pair.b, "metric": found.metric}
    for side, name in (("a", pair.a), ("b", pair.b)):
        score = found.scores[name]
        values |= {
            f"{side}_value": score.value,
            f"{side}_low": score.low,
            f"{side}_high": score.high,
        }
    difference = pair.comparison.difference
    values |= {
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p_value": pair.comparison.p_value,
        "corrected": pair.corrected,
        "smallest": pair.smallest,
        "only_a": pair.only_a,
        "only_b": pair.only_b,
        "mcnemar": pair.mcnemar,
        "rows": found.rows,
        "better": found.better(pair),
        "verdict": found.verdict(pair),
    }
    return {name: None if value != value else value for name, value in values.items()}


def paid_sentence(paid: EncoderGain) -> str:
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


def paid_lines(pairs: Sequence[EncoderGain]) -> list[str]:
    """The lines of the terminal: a blank one, then a sentence on each pair; none for no pairs."""
    return ["", *map(paid_sentence, pairs)] if pairs else []


def difference_in_points(paid: EncoderGain) -> str:
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
