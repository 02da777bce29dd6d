"""The leaderboard fits a terminal and marks the best and the cheapest."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from finetext.report.data import ReportData
from finetext.report.leaderboard import leaderboard_lines, leaderboard_table


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "log_loss"])
def test_lines_fit_100_columns_even_with_long_names(single: ReportData, metric: str) -> None:
    entries = [replace(e, method=e.method + "-of-a-long-name" * 5) for e in single.entries]
    lines = leaderboard_lines(entries, "x", "y", metric, single.comparisons)
    assert max(map(len, lines)) <= 100
    assert sum("…" in line for line in lines) == 3


def test_long_names_that_differ_at_the_end_are_told_apart(single: ReportData) -> None:
    names = ["finetune", "finetune-unadapted", "finetune-unadapted-random"]
    entries = [replace(single.entries[-1], method=name) for name in names]
    comparisons = dict.fromkeys(names, next(iter(single.comparisons.values())))
    lines = leaderboard_lines(entries, "x", "y", "macro_f1", comparisons)
    shown = {line.split()[0] for line in lines if line.lstrip().startswith("finetun")}
    assert len(shown) == 3
    assert any(name.endswith("-random") for name in shown)


def test_best_and_cheapest_are_marked(single: ReportData) -> None:
    lines = leaderboard_lines(single.entries, "finetune", "tfidf")
    marked = {line.split()[1]: line.split()[0] for line in lines if line.startswith(("*", "+"))}
    assert {"finetune": "*", "tfidf": "+"}.items() <= marked.items()
    both = leaderboard_lines(single.entries, "finetune", "finetune")
    assert any(line.startswith("*+  finetune") for line in both)


def test_scores_come_with_their_interval(single: ReportData) -> None:
    score = single.entries[-1].metrics["test"]["macro_f1"]
    line = next(x for x in leaderboard_lines(single.entries, "a", "b") if "finetune" in x)
    assert f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]" in line


def test_each_is_compared_with_the_best(single: ReportData) -> None:
    lines = leaderboard_lines(single.entries, "finetune", "tfidf", comparisons=single.comparisons)
    assert "p vs" in lines[0]
    assert "< 0.001" in next(line for line in lines if "majority" in line)
    assert "p vs" not in leaderboard_lines(single.entries, "finetune", "tfidf")[0]


def test_several_labels_show_subset_accuracy(several: ReportData) -> None:
    head = " ".join(leaderboard_lines(several.entries, "finetune", "tfidf")[:2])
    assert "subset" in head


def test_a_missing_metric_is_a_dash(single: ReportData) -> None:
    entry = replace(single.entries[0], metrics={"validation": {}, "test": {}})
    line = leaderboard_lines([entry], "majority", "majority")[2]
    assert line.split()[2:4] == ["-", "-"]


def test_the_coloured_table_says_the_same(single: ReportData) -> None:
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(leaderboard_table(single.entries, "finetune", "tfidf"))
    plain = [
        " ".join(line.split()) for line in leaderboard_lines(single.entries, "finetune", "tfidf")
    ]
    rich = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert [line for line in plain if line] == [line for line in rich if line]
