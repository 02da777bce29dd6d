"""The leaderboard, paired comparisons and the gain of an encoder, in lines and as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console

from finetext.core import wording
from finetext.core.registry import load
from finetext.core.types import Score
from finetext.core.wording import counted, ends, number, p_value, row_of
from finetext.evaluation.choice import Choice, Grounds
from finetext.evaluation.leaderboard import NOUNS, EncoderGain, LeaderboardEntry, flips, over_seeds
from finetext.evaluation.several import Pair, Several
from finetext.methods.answer_totals import invalid_in_words
from finetext.report.rendering import aligned, metric_title, without_middle, wrapped
from finetext.report.verdict import Verdict

_ALSO: Final = {
    "accuracy": ("accuracy", "test"),
    "subset_accuracy": ("subset", "accuracy"),
    "macro_f1": ("macro F1", "test"),
}
_WIDTH: Final = 100
_PAIR: Final = "  {:<12}{:<20}{:>9}{:>12}{:>13}"
_ALIKE: Final = 0.01
"""The difference of two shares of right rows from which it is explained."""
_UNKNOWN: Final = Score(float("nan"), float("nan"), float("nan"), 0)


def leaderboard_lines(
    entries: Sequence[LeaderboardEntry],
    best: str,
    recommended: str,
    metric: str = "macro_f1",
    folds: int = 0,
    positive: str | None = None,
    is_hedge: bool = False,
) -> list[str]:
    """Return the leaderboard as lines of at most 100 characters, then what * means.

    `positive` is the class of two that a binary metric is about, `is_hedge` that of the choice.
    """
    title = metric_title(metric)
    named = metric_title(metric, positive and wording.short(positive, 20))
    validation, test = ([e.metrics.get(of, {}) for e in entries] for of in ("validation", "test"))
    on_test = {name for scores in test for name in scores}
    also = [name for name in _ALSO if name in on_test and name != metric][:1]
    chosen = [scores.get(metric, _UNKNOWN) for scores in test]
    heads = {n: ["" if folds and of == "test" else of for of in _ALSO[n]] for n in also}
    marks = ("*" * (e.method == best) + "+" * (e.method == recommended) for e in entries)
    columns = [
        ["", "", *marks],
        ["", "method", *(wording.short(entry.method, _WIDTH) for entry in entries)],
        [title, "validation", *(number(of.get(metric, _UNKNOWN).value) for of in validation)],
        [
            title,
            f"{wording.part_in_words('test', folds)} [95%]",
            *(f"{number(of.value)} {ends(of)}".rstrip() for of in chosen),
        ],
        *([*heads[n], *(number(of.get(n, _UNKNOWN).value) for of in test)] for n in also),
        ["time to", "train", *(wording.duration(entry.seconds_to_train) for entry in entries)],
        ["", "rows/s", *(wording.speed(entry.rows_per_second) for entry in entries)],
        ["", "size", *(wording.size(entry.bytes) for entry in entries)],
    ]
    basis = f"* best on validation rows by {named}; the intervals are of this model, over test rows"
    if folds:
        basis = f"* best by {named}: {wording.pipeline_in_words(folds)}"
        del columns[2]
    table = [list(row) for row in zip(*columns, strict=True)]
    beyond = max(map(len, aligned(table, left=2))) - _WIDTH
    longest = max(8, max(len(row[1]) for row in table[2:]) - max(0, beyond))
    for row in table[2:]:
        row[1] = without_middle(row[1], longest)
    if is_hedge:
        basis = "* best guess: so few rows hardly tell which method is best"
    return [*aligned(table, left=2), "", basis]


def best_in_words(choice: Choice | None, folds: int) -> str:
    """Return how sure the best method is: "best on validation", "best" of folds, or a guess."""
    if choice is not None and choice.is_hedge:
        return "best guess"
    return "best" if folds else "best on validation"


def recommended_line(choice: Choice | None, is_recommended: bool = True) -> str:
    """Return what the mark + of the leaderboard means: `is_recommended`, or taken for now."""
    if not is_recommended:
        return "+ the method to take for now: too little is shown to recommend one"
    within = f" (less than {choice.allowed:.2g} behind)" if choice and choice.allowed else ""
    return f"+ recommended: the cheapest shown to be as good as the best{within}, else the best"


def majority_line(entries: Sequence[LeaderboardEntry], verdict: Verdict | None) -> str:
    """Return why majority is less often right than the constant answer of the verdict; or ""."""
    of = next((entry.metrics["test"] for entry in entries if entry.method == "majority"), {})
    if verdict is None or verdict.decided is not None:
        return ""
    metric = "subset_accuracy" if verdict.multilabel else "accuracy"
    score = of.get(metric)
    if score is None or not verdict.always_right - score.value > _ALIKE:
        return ""
    why = "decides on each label alone" if verdict.multilabel else "learns its label in each fold"
    return (
        f"majority {why}, so its {metric_title(metric)} of {number(score.value)} is not the "
        f"{number(verdict.always_right)} of always giving the same answer."
    )


def learned_line(entries: Sequence[LeaderboardEntry], folds: int, splits: Mapping[str, int]) -> str:
    """Return how many rows the models learned from, if that says more than the splits do.

    These are the final models of a cross-validated run, and of others those that learned from
    validation rows, too. "" if unknown; `splits` are the rows of each split.
    """
    if not folds:
        said = {of.method: wording.refitted_in_words(of.learned_from, splits) for of in entries}
        again = [method for method, of in said.items() if of]
        if not again:
            return ""
        return (
            f"{', '.join(again)} {said[again[0]]}; their validation scores are of models that had "
            "not seen these rows."
        )
    known = [entry for entry in entries if entry.learned_from is not None]
    methods: dict[str, list[str]] = {}
    for entry in known:
        words = wording.learned_in_words(entry.learned_from or 0, entry.chosen_on)
        methods.setdefault(words, []).append(entry.method)
    if len(methods) == 1:
        return f"The final models {next(iter(methods))}."
    return "; ".join(f"{', '.join(of)}: {words}" for words, of in methods.items())


def reading_line(entries: Sequence[LeaderboardEntry], folds: int) -> str:
    """Return how much of the texts each method with an encoder reads; "" if unknown."""
    noun = "text" if folds else "test text"
    methods: dict[str, list[str]] = {}
    for entry in entries:
        if entry.reading is not None:
            methods.setdefault(entry.reading.words(noun), []).append(entry.method)
    return "; ".join(f"{', '.join(of)}: {words}" for words, of in methods.items())


def asked_lines(entries: Sequence[LeaderboardEntry]) -> list[str]:
    """Return a sentence or two on each method that asks an endpoint: what was sent, for what."""
    lines = []
    for entry in entries:
        if (of := entry.asked) is None:
            continue
        cost = "" if of.cost is None else f", {of.cost:.3g} in your currency"
        lines.append(
            f"{entry.method}: {counted(of.texts, 'text')} with their examples went to {of.url} "
            f"(model {of.model}): {of.sent + of.received:,} tokens{cost}. 1,000 texts take "
            f"{of.for_thousand()} and {_seconds_for_thousand(entry)}. "
            f"{invalid_in_words(of.invalid, of.texts)}."
        )
        if sampled := entry.sampled:
            rows = " and ".join(
                f"{n:,} of {every:,} {row_of(part)}s" for part, (n, every) in sampled.items()
            )
            lines.append(
                f"{entry.method} is scored on {rows}, drawn at random: the budget of {of.budget} "
                "has no room for more. It is compared with the others on these rows, but is not "
                "chosen."
            )
    return lines


def _seconds_for_thousand(entry: LeaderboardEntry) -> str:
    if not entry.rows_per_second > 0:
        return "an unknown time"
    return wording.duration(1_000 / entry.rows_per_second)


def choice_lines(choice: Choice | None, is_better: bool = True) -> list[str]:
    """Return a blank line and what the choice rests on; nothing without one.

    `is_better`: see `Choice.words`.
    """
    if choice is None:
        return []
    said = [*choice.words(is_better), choice.confirmation_words()]
    if choice.candidates:
        said.append(seeds_sentence(choice.grounds))
    return ["", *(part for line in said if line for part in wrapped(line))]


def seeds_sentence(grounds: Grounds) -> str:
    """Return what the comparison of methods covers."""
    if grounds.part == "cross-validation":
        return f"Methods are compared on the same folds, {counted(grounds.seeds, 'time')} anew."
    if grounds.seeds > 1:
        return f"Methods are compared over rows and {grounds.seeds} seeds."
    return (
        "Methods are compared over rows with one seed: how much training varies is unknown "
        "(--seeds 3 measures it)."
    )


def show_leaderboard(lines: Sequence[str], console: Console) -> None:
    """Print the lines of a leaderboard, with the best method in bold."""
    for line in lines:
        is_best = line.startswith("*") and not line.startswith("* best")
        console.print(line, style="bold" if is_best else None, markup=False, soft_wrap=True)


def seed_lines(
    entries: Sequence[LeaderboardEntry], metric: str, means: Mapping[str, Score]
) -> list[str]:
    """Return what several seeds say about the test rows; nothing for one seed.

    `means` is method to its mean over seeds, with the interval over rows and seeds.
    """
    spreads = {e.method: of for e in entries if (of := over_seeds(e, metric)) is not None}
    if not spreads:
        return []
    chosen, seeds = load("metrics", metric), max(len(entry.seeds) for entry in entries)
    flipped = flips(entries, metric, chosen.higher_is_better)
    return [
        f"{chosen.title} on test rows, mean over {seeds} seeds [95%: of the method, over rows and "
        "seeds] ± spread:",
        *aligned(
            [
                [
                    f"  {name}",
                    f"{of[0]:.3f} {ends(means.get(name, _UNKNOWN))}".rstrip(),
                    f"± {of[1]:.3f}",
                ]
                for name, of in spreads.items()
            ],
            left=1,
        ),
        *(f"{x.share:.0%} of the pairs of seeds put {x.behind} before {x.ahead}" for x in flipped),
    ]


def gain_sentence(gain: EncoderGain) -> str:
    """Return the gain of an encoder over its ablation baseline, and its cost, in one sentence."""
    above = f"{NOUNS[gain.kind]} is worth it"
    below = ""
    if gain.no_better_than:
        above = f"{NOUNS[gain.kind]} shows a gain"
        below = f", but neither method is significantly better than {gain.no_better_than}"
    result = {
        "paid": above,
        "no difference": f"no difference from {gain.beside} could be shown",
        "hurt": f"{NOUNS[gain.kind]} makes it worse",
    }[gain.outcome]
    doubt = f", p = {p_value(gain.comparison.p_value)}" if gain.outcome == "no difference" else ""
    more = "more" if gain.extra_seconds >= 0 else "less"
    cost = f"for {wording.duration(abs(gain.extra_seconds))} {more}"
    return f"{gain.method}: {result}: {difference_in_points(gain)}{doubt}, {cost}{below}"


def gain_headline(gains: Sequence[EncoderGain]) -> str:
    """Return the finding of all encoder gains, as a heading."""
    paid = [gain for gain in gains if gain.outcome == "paid" and not gain.no_better_than]
    if len(gains) == 1:
        noun = wording.capitalize_first(NOUNS[gains[0].kind])
        verdict = "is worth it" if paid else "shows no significant gain"
        if gains[0].outcome == "paid" and not paid:
            verdict = f"shows no gain over {gains[0].no_better_than}"
        return f"{noun} {verdict} for {gains[0].method}: {difference_in_points(gains[0])}"
    return f"{len(paid)} of {len(gains)} adapted or pretrained encoders are worth it"


def gain_lines(gains: Sequence[EncoderGain]) -> list[str]:
    """Return a blank line and a sentence on each encoder; nothing without any."""
    return ["", *map(gain_sentence, gains)] if gains else []


def difference_in_points(gain: EncoderGain) -> str:
    """Return the difference with its name and 95% interval: "+1.8 points macro F1 [0.9, 2.7]"."""
    metric, score = load("metrics", gain.comparison.metric), gain.comparison.difference
    factor, unit, digits = (100, " points", 1) if metric.proportion else (1, "", 3)
    if math.isnan(score.value):
        return f"{metric.title} is undefined"
    scaled = Score(factor * score.value, factor * score.low, factor * score.high, score.n)
    return f"{scaled.value:+.{digits}f}{unit} {metric.title} {ends(scaled, f'.{digits}f')}".rstrip()


def comparison_lines(found: Several, part: str | None) -> list[str]:
    """Return scores, then a verdict on each pair of a split, in lines of at most 80 characters."""
    title = metric_title(found.metric)
    groups = "" if found.groups is None else f" in {counted(found.groups, 'group')}"
    best = "" if found.higher_is_better else "; lower is better"
    table = [
        (without_middle(name, 50), number(of.value).rjust(len(title)), ends(of))
        for name, of in found.scores.items()
    ]
    corrected = f"; corrected: for {len(found.pairs)} comparisons, by Holm's method"
    positive = f"positive class: {found.positive}"
    test = f"p: {found.pairs[0].comparison.test}{corrected if len(found.pairs) > 1 else ''}"
    repeats, unlike = _repeats(found, part)
    return [
        f"{counted(found.rows, row_of(part))}{groups}{repeats}{best}",
        "",
        *aligned([("", title, "95% interval"), *table], left=3),
        "",
        _PAIR.format("difference", "95% interval", "p", "corrected", "detectable"),
        *(line for pair in found.pairs for line in _pair_lines(found, pair)),
        "",
        *([positive] if load("metrics", found.metric).of_positive_class else []),
        *wrapped(test, hang="  "),
        "detectable: the smallest true difference that is found with a power of 80%",
        *(wrapped(unlike, hang="  ") if unlike else []),
    ]


def _repeats(found: Several, part: str | None) -> tuple[str, str]:
    """Return how many repeats the scores rest on, and what follows if methods differ in that."""
    numbers = sorted(set(found.repeats_of.values()))
    if len(numbers) < 2:
        known = f", {found.repeats} repeats" if found.repeats > 1 else wording.first_repeat(part)
        return known, ""
    fewer = ", ".join(f"{name} {of}" for name, of in found.repeats_of.items() if of < numbers[-1])
    return f", {numbers[-1]} repeats ({fewer})", (
        "difference: over the repeats that both have, so it need not be that of the two scores"
    )


def _pair_lines(found: Several, pair: Pair) -> list[str]:
    difference = pair.comparison.difference
    written = "+.3f" if (pair.smallest or 1) >= 0.002 else "+.5f"
    value = "-" if math.isnan(difference.value) else f"{difference.value:{written}}"
    smallest = "-" if pair.smallest is None else f"{pair.smallest:.2g}"
    values = (p_value(pair.comparison.p_value), p_value(pair.corrected))
    alone = f"right in {pair.a} alone: {counted(pair.only_a, 'row')}; in {pair.b} alone: "
    mean = " (means over repeats)" if found.repeats > 1 else ""
    return [
        *wrapped(f"{pair.a} minus {pair.b}: {found.verdict(pair)}", hang="  "),
        _PAIR.format(value, ends(difference, written), *values, smallest).rstrip(),
        *wrapped(f"{alone}{pair.only_b:,}{mean}", indent="  ", hang="  "),
    ]


def comparison_table(found: Several) -> dict[str, list[Any]]:
    """Return every pair as a row of a table; scores that are undefined are None."""
    rows = []
    for pair in found.pairs:
        a, b, difference = found.scores[pair.a], found.scores[pair.b], pair.comparison.difference
        values: dict[str, Any] = {"a": pair.a, "b": pair.b, "metric": found.metric}
        values |= {"a_value": a.value, "a_low": a.low, "a_high": a.high}
        values |= {"b_value": b.value, "b_low": b.low, "b_high": b.high}
        values |= {"difference": difference.value, "low": difference.low, "high": difference.high}
        values["p_value"] = pair.comparison.p_value
        for name in ("corrected", "smallest", "only_a", "only_b"):
            values[name] = getattr(pair, name)
        values |= {"rows": found.rows, "better": found.better(pair), "verdict": found.verdict(pair)}
        rows.append({name: None if value != value else value for name, value in values.items()})
    return {name: [row[name] for row in rows] for name in rows[0]}
