"""Curves of training, from the log to figures and a table."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.report.training_curves import curves_of


def steps(*numbers: int, **named: Any) -> list[dict[str, Any]]:
    return [{"step": n, "loss": 1 / n, "learning_rate": 1e-4 / n, **named} for n in numbers]


def test_each_figure_becomes_a_curve() -> None:
    lines = [
        *steps(10, 20, gradient_norm=2.5, rows_per_second=40.0),
        {"step": 20, "loss": 0.04, "evaluation": {"validation f1": 0.5, "validation loss": 1}},
        {"kind": "unknown"},
        {"step": "x", "loss": 1},
        {"step": 30, "loss": math.nan},
        {"step": 40, "loss": None, "gradient_norm": None, "learning_rate": [None]},
        {"step": 40, "loss": None, "evaluation": {"validation f1": None}},
    ]  # fmt: skip
    curves = curves_of("finetune", lines)
    assert curves is not None
    assert list(curves.series) == [
        "training loss", "validation f1", "validation loss", "learning rate", "gradient norm",
    ]  # fmt: skip
    assert curves.series["training loss"] == {10: 0.1, 20: 0.04}
    assert curves.series["gradient norm"] == {10: 2.5, 20: 2.5}
    assert dict(curves.panels) == {
        "loss": ["training loss", "validation loss"],
        "validation f1": ["validation f1"],
        "learning rate": ["learning rate"],
        "gradient norm": ["gradient norm"],
    }
    assert curves.rows == [
        (10, ["0.1", "", "", "1e-05", "2.5"]),
        (20, ["0.04", "0.5", "1", "5e-06", "2.5"]),
    ]


@pytest.mark.parametrize("lines", [[], [{}], [{"step": 1}], [{"step": 1, "event": "resumed"}]])
def test_without_figures_there_are_no_curves(lines: list[dict[str, Any]]) -> None:
    assert curves_of("tfidf", lines) is None


def test_learning_rates_that_are_alike_are_one_curve() -> None:
    alike = curves_of("m", steps(1, 2, learning_rate=[1e-4, 1e-4]))
    differing = curves_of("m", steps(1, 2, learning_rate=[1e-4, 2e-4]))
    assert alike is not None
    assert differing is not None
    assert "learning rate" in alike.series
    assert dict(differing.panels)["learning rate"] == ["learning rate 1", "learning rate 2"]


def test_what_was_done_again_counts_once() -> None:
    lines = [
        *steps(1, 2),
        {"step": 2, "loss": 0.5, "evaluation": {"validation f1": 0.25}},
        *steps(3, 4, 5, 6),
        {"step": 2, "event": "resumed"},
        {"step": 3, "loss": 7.0},
        {"step": 4, "loss": 8.0},
    ]
    curves = curves_of("m", lines)
    assert curves is not None
    assert curves.series["training loss"] == {1: 1.0, 2: 0.5, 3: 7.0, 4: 8.0}
    assert curves.series["validation f1"] == {2: 0.25}
    assert curves.events == [(2, "resumed")]


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 10)), min_size=1, max_size=40))
def test_any_log_gives_increasing_steps_and_a_short_table(pairs: list[tuple[int, float]]) -> None:
    lines = [{"step": step, "loss": loss} for step, loss in pairs]
    curves = curves_of("m", lines)
    assert curves is not None
    found = list(curves.series["training loss"])
    assert found == sorted(set(found))
    assert curves.series["training loss"][pairs[-1][0]] == pairs[-1][1]
    assert found[-1] == pairs[-1][0]


def test_a_long_log_is_thinned_but_keeps_ends_and_evaluations() -> None:
    lines = [*steps(*range(1, 5001)), {"step": 5000, "evaluation": {"validation f1": 0.5}}]
    lines.insert(1234, {"step": 1234, "evaluation": {"validation f1": 0.4}})
    curves = curves_of("m", lines)
    assert curves is not None
    shown = [step for step, _ in curves.rows]
    assert len(shown) <= 102
    assert {1, 1234, 5000} <= set(shown)
    assert len(curves.figure) < 60_000


def test_the_figure_takes_its_colours_from_the_page_and_marks_events() -> None:
    lines = [*steps(1, 2, 3, learning_rate=[1e-3, 1e-4]), {"step": 2, "event": "resumed"}]
    curves = curves_of("m", lines, key=3)
    assert curves is not None
    assert not re.search(r"#[0-9a-f]{6}", curves.figure)
    assert "var(--series-2)" in curves.figure
    assert curves.events == [(2, "resumed")]
    assert 'id="training3-' in curves.figure
