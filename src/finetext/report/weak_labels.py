"""What a run says of its weak labels: where they are from, and whether the teacher was matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from finetext.core.registry import load
from finetext.core.types import Score
from finetext.core.wording import counted, duration, ends, number, p_value, signed
from finetext.data.weak_labels import WeakLabels
from finetext.evaluation.compare import Comparison
from finetext.evaluation.estimates import SIGNIFICANT
from finetext.evaluation.leaderboard import LeaderboardEntry, over_seeds
from finetext.report.rendering import Cell, Table, count, metric_title, share

TEACHER: Final = "teacher"
"""The name of the teacher in the leaderboard of a distillation."""
_A_THOUSAND: Final = 1_000


def teacher_line(
    entries: Sequence[LeaderboardEntry],
    comparisons: Mapping[str, Comparison],
    best: str,
    metric: str,
    weak: WeakLabels | None,
) -> str:
    """Return how the best method compares with the teacher, and what each costs; "" without one.

    Rows of people that the method learned from as well are named: the teacher did not have them.
    So are test rows that the teacher learned from.
    """
    by_name = {entry.method: entry for entry in entries}
    if TEACHER not in by_name or TEACHER not in comparisons:
        return ""
    compared, title = comparisons[TEACHER], metric_title(metric)
    behind = compared.difference  # of the teacher
    difference = Score(-behind.value, -behind.high, -behind.low, behind.n)
    is_better = (difference.value > 0) == bool(load("metrics", metric).higher_is_better)
    shown = f"is {'better' if is_better else 'worse'} than its teacher"
    if not compared.p_value < SIGNIFICANT:
        shown = "is not shown to differ from its teacher"
    scores = [number(_mean(by_name[of], metric)) for of in (best, TEACHER)]
    over = f" over {compared.seeds} seeds" if compared.seeds > 1 else ""
    costs = [duration(_A_THOUSAND / by_name[of].rows_per_second) for of in (best, TEACHER)]
    others = (by_name[best].learned_from or 0) - (0 if weak is None else weak.rows)
    more = f" It learned from {counted(others, 'human-labeled row')}, too." if others > 0 else ""
    if weak is not None and weak.known:
        of = f"{weak.known:,} of the {counted(by_name[TEACHER].metrics['test'][metric].n, 'row')}"
        more += (
            f" But the teacher learned from {of}, so its score is better than on new texts, and "
            "this comparison does not say which of the two is better on these."
        )
    return (
        f"{best} {shown} in {title} on the same test rows{over}: {scores[0]} and {scores[1]}, a "
        f"difference of {signed(difference.value)} {ends(difference, '+.3f')}, p "
        f"{p_value(compared.p_value)}. For 1,000 texts it takes {costs[0]}, the teacher {costs[1]}."
        f"{more}"
    )


def _mean(entry: LeaderboardEntry, metric: str) -> float:
    """Return the score on test rows, the mean over several seeds."""
    over = over_seeds(entry, metric)
    return entry.metrics["test"][metric].value if over is None else over[0]


def weak_table(weak: WeakLabels) -> Table:
    """Return how many texts the teacher gave each label, and how many of them are learned from."""
    shares = weak.shares()
    rows = [
        [
            Cell(label),
            count(given),
            count(weak.kept.get(label, 0)),
            share(shares[label]) if label in shares else Cell("-"),
            Cell(f"{weak.confidence[label]:.2f}" if label in weak.confidence else "-"),
        ]
        for label, given in weak.given.items()
    ]
    caption = "Texts that the teacher gave each label, and those that became training rows."
    header = ["label", "texts", "training rows", "share", "least confidence"]
    return Table(caption, header, rows)
