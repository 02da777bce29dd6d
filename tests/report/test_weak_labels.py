"""What a run says of its weak labels and its teacher."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finetext.core.types import Score
from finetext.data.weak_labels import WeakLabels
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import LeaderboardEntry, SeedScores
from finetext.report.rendering import table_lines
from finetext.report.weak_labels import teacher_line, weak_table


def entry(name: str, value: float, speed: float) -> LeaderboardEntry:
    scores = {"test": {"macro_f1": Score(value, value - 0.1, value + 0.1, 50)}}
    return LeaderboardEntry(name, scores, 1.0, speed, 10, f"{name}/model")


def compared(value: float, p: float, metric: str = "macro_f1") -> dict[str, Comparison]:
    score = Score(value, value - 0.02, value + 0.04, 50)
    return {"teacher": Comparison(metric, score, p, "a test", 50)}


WEAK = WeakLabels(
    "news", "zeroshot", "ab", "pool.csv", 9, 0.75, 0.0, {"food": 8, "odd": 0, "sport": 1},
    {"food": 6, "odd": 0, "sport": 1}, {"food": 0.5, "sport": 0.9},
)  # fmt: skip
ENTRIES = [entry("probe", 0.75, 500.0), entry("teacher", 0.625, 0.25)]


@pytest.mark.parametrize(
    ("value", "p", "said"),
    [(-0.125, 0.01, "probe is better than its teacher in macro F1"),
     (0.125, 0.01, "probe is worse than its teacher in macro F1"),
     (-0.125, 0.05, "probe is not shown to differ from its teacher in macro F1")],
)  # fmt: skip
def test_the_student_is_compared_with_its_teacher(value: float, p: float, said: str) -> None:
    line = teacher_line(ENTRIES, compared(value, p), "probe", "macro_f1", None)
    assert line.startswith(f"{said} on the same test rows: 0.750 and 0.625, a difference of")


def test_the_difference_is_that_of_the_student_and_costs_are_stated() -> None:
    line = teacher_line(ENTRIES, compared(-0.125, 0.01), "probe", "macro_f1", None)
    assert "a difference of +0.125 [+0.085, +0.145], p 0.010." in line
    assert line.endswith("For 1,000 texts it takes 2.0 s, the teacher 1 h 7 min.")


@pytest.mark.parametrize(("learned", "said"), [(7, ""), (27, " It learned from 20 human-labeled")])
def test_rows_of_people_that_it_learned_from_are_named(learned: int, said: str) -> None:
    entries = [replace(ENTRIES[0], learned_from=learned), ENTRIES[1]]
    line = teacher_line(entries, compared(-0.125, 0.01), "probe", "macro_f1", WEAK)
    assert ("human-labeled" in line) == bool(said)
    assert said in line


def test_test_rows_that_the_teacher_learned_from_are_named() -> None:
    line = teacher_line(
        ENTRIES, compared(0.125, 0.01), "probe", "macro_f1", replace(WEAK, known=40)
    )
    assert "But the teacher learned from 40 of the 50 rows, so its score is better than on" in line
    assert "But" not in teacher_line(ENTRIES, compared(0.125, 0.01), "probe", "macro_f1", WEAK)


def test_less_is_better_of_a_loss() -> None:
    scores = {"test": {"log_loss": Score(0.5, 0.4, 0.6, 50)}}
    entries = [replace(of, metrics=scores) for of in ENTRIES]
    line = teacher_line(entries, compared(0.3, 0.001, "log_loss"), "probe", "log_loss", None)
    assert "probe is better than its teacher in log loss" in line


def test_several_seeds_have_their_mean() -> None:
    seeds = tuple(SeedScores(n, {"test": {"macro_f1": v}}, 1.0) for n, v in ((0, 0.7), (1, 0.6)))
    entries = [replace(of, seeds=seeds) for of in ENTRIES]
    comparisons = {"teacher": replace(compared(0.0, 0.9)["teacher"], seeds=2)}
    line = teacher_line(entries, comparisons, "probe", "macro_f1", None)
    assert "on the same test rows over 2 seeds: 0.650 and 0.650" in line


def test_without_a_teacher_nothing_is_said() -> None:
    assert teacher_line(ENTRIES[:1], {}, "probe", "macro_f1", None) == ""


def test_a_table_says_how_many_texts_of_each_label_are_learned_from() -> None:
    assert [line.split() for line in table_lines(weak_table(WEAK))] == [
        ["label", "texts", "training", "rows", "share", "least", "confidence"],
        ["food", "8", "6", "75.0%", "0.50"],
        ["odd", "0", "0", "-", "-"],
        ["sport", "1", "1", "100.0%", "0.90"],
    ]
