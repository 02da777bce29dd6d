"""Calibration in the report, and the probabilities of a text as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.consistency import consistency
from finetext.evaluation.deciding import selective
from finetext.methods.majority import MajorityClassifier
from finetext.report.probabilities import (
    Bars,
    bar_lines,
    decided_json,
    decided_lines,
    draw_bars,
    probability_advice,
    trust,
)
from finetext.report.report import ReportData


def view(data: ReportData, rule: Decision) -> dict[str, Any]:
    return trust(data.best, replace(data.predictions[data.best], decision=rule))


def test_without_scaling_there_is_one_panel(single: ReportData) -> None:
    shown = view(single, Decision())
    assert [title for title, _ in shown["panels"]] == ["not scaled"]
    assert shown["sentence"].endswith("The logits are not scaled.")
    assert shown["sets"] == ""


def test_with_scaling_both_are_shown(single: ReportData) -> None:
    shown = view(single, Decision(temperature=1.4))
    assert [title for title, _ in shown["panels"]] == ["as trained", "scaled"]
    assert all(len(bins) == 2 for bins in shown["bins"])
    same = shown["checks"][0].words == shown["checks"][1].words
    scaling = "Temperature scaling did not change that." if same else "Before temperature scaling"
    assert scaling in shown["sentence"]
    assert len(shown["checks"]) == 2


def stated_as(rows: int, right: int) -> Predictions:
    likely = np.tile([0.9, 0.1], (rows, 1))
    targets = (np.arange(rows) >= right).astype(np.int64)
    return Predictions(tuple(map(str, range(rows))), targets, likely, LabelScheme(("a", "b")))


def test_the_headline_is_a_verdict_and_the_sentence_an_example() -> None:
    shown = trust("m", stated_as(100, 75))
    assert shown["headline"] == "The probabilities of m are overconfident by about 15 points"
    assert shown["sentence"].startswith(
        "Of the 100 texts given a probability of about 90%, 75% are right [65, 83]."
    )
    assert trust("m", stated_as(100, 88))["headline"] == (
        "The probabilities of m are calibrated as far as these 100 rows can tell"
    )


def test_advice_on_probabilities_needs_evidence() -> None:
    [far] = probability_advice(consistency(stated_as(100, 75)))
    assert far == (
        "Do not rely on single probabilities: they are overconfident by about 15 points."
    )
    [few] = probability_advice(consistency(stated_as(20, 15)))
    assert "it takes 75 rows or more" in few
    assert probability_advice(consistency(stated_as(100, 88))) == []
    assert probability_advice(consistency(stated_as(10_000, 8_800))) == []


def test_leaving_out_doubtful_rows(single: ReportData, several: ReportData) -> None:
    assert "This model decides every row" in view(single, Decision())["abstaining"]
    rule = Decision(least=(0.8,) * 3)
    shown = view(single, rule)
    coverage = selective(replace(single.predictions[single.best], decision=rule)).coverage
    assert f"This model decides {coverage:.1%} [" in shown["abstaining"]
    assert 2 <= len(shown["selective_rows"]) <= 20
    assert not view(several, Decision())["abstaining"]


@pytest.mark.parametrize("kind", ["single", "several"])
def test_prediction_sets_have_their_coverage(kind: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind)
    shown = view(data, Decision(set_from=0.0, coverage=0.9))
    assert shown["sets"].startswith("Prediction sets contain the truth in 100.0% [9")
    assert "100.0] of the test rows (target: 90%). A set has" in shown["sets"]
    scheme = data.predictions[data.best].scheme
    assert list(shown["sets_by_label"]) == list(scheme.names)
    by_label = view(data, Decision(set_from=(0.0,) * len(scheme), coverage=0.9))
    assert "(target: 90% of each label)" in by_label["sets"]


def test_whether_a_target_is_assured_is_said(single: ReportData) -> None:
    rule = Decision(least=(0.8,) * 3, aim="abstain accuracy=0.9", assured=(False,), rows_needed=410)
    assert view(single, rule)["assurance"] == (
        "The target is aimed at, not assured: it takes about 410 held-out rows to show it."
    )
    of = replace(single.predictions[single.best], decision=rule)
    assert decided_lines(of)[-1] == (
        "the target is aimed at, not assured: it takes about 410 held-out rows to show it"
    )
    low, high = decided_json(of)["decided_interval"]
    assert low < decided_json(of)["decided"] < high
    assert not view(single, Decision())["assurance"]


MANY = [f"intent {number} 意図" for number in range(77)]


def bars(
    names: Sequence[str], chances: Sequence[float], decision: Decision = AS_LIKELY,
    several: bool = False,
) -> Bars:  # fmt: skip
    scheme = LabelScheme(tuple(names), several)
    return Bars.of(MajorityClassifier(scheme, decision, np.array(chances)), "a fine film")


def lines(of: Bars, width: int = 60, most: int = 20, is_plain: bool = False) -> list[str]:
    return [line.plain for line in bar_lines(of, most, width, is_plain)]


def test_the_likeliest_label_comes_first_and_bars_show_probabilities() -> None:
    shown = lines(bars(["b", "a"], [0.25, 0.75]), width=31)
    assert shown == [
        "prediction: a",
        "a  ███████████████      0.7500",
        "b  █████                0.2500",
    ]


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    shown = lines(bars(MANY, np.full(77, 1 / 77)), width)
    widths = [cell_len(line) for line in shown[1:-1]]
    assert len(set(widths)) == 1
    assert widths[0] < max(width, 27)
    assert shown[-1] == "and 57 less likely labels, together 0.7403"


def test_plain_lines_are_ascii() -> None:
    shown = lines(bars(["b", "a"], [0.25, 0.75], Decision(least=(0.5, 0.9))), is_plain=True)
    assert all(line.isascii() for line in shown)
    assert "#" in shown[1]
    assert "|" in shown[1]


def test_abstaining_and_its_limits_are_marked() -> None:
    of = bars(["b", "a"], [0.25, 0.75], Decision(least=(0.5, 0.9)))
    shown = lines(of)
    assert shown[0] == "prediction: no label, as none is probable enough"
    assert shown[-1] == "┃ is the probability from which a label is given"
    at = [line.index("┃") for line in shown[1:3]]
    assert at[0] > at[1]
    assert of.prediction is None
    assert of.to_json()["limits"] == {"a": 0.9, "b": 0.5}
    assert of.to_json()["abstains"] is True


def test_prediction_sets_costs_and_thresholds_are_noted() -> None:
    names, chances = ["b", "a"], [0.25, 0.75]
    sets = lines(bars(names, chances, Decision(set_from=0.2, coverage=0.9)))
    assert "prediction set (90% coverage): a, b" in sets
    costs = Decision(costs=((0.0, 1.0), (9.0, 0.0)))
    assert "the label given is the one with the lowest expected cost" in lines(
        bars(names, chances, costs)
    )
    limits = bars(names, chances, Decision(thresholds=(0.1, 0.9)))
    assert limits.prediction == "b"
    assert "the label given has the highest probability divided by its threshold" in lines(limits)


def test_multi_label_texts() -> None:
    of = bars(["b", "a", "c"], [0.2, 0.75, 0.6], Decision(thresholds=(0.5, 0.8, 0.3)), True)
    assert of.prediction == ["c"]
    assert [bar.label for bar in of.bars] == ["a", "c", "b"]
    assert lines(of)[0] == "prediction: c"
    none = bars(["b", "a"], [0.2, 0.1], several=True)
    assert none.prediction == []
    assert lines(none)[0] == "prediction: no label"


@pytest.mark.parametrize("name", ["bars.png", "bars.svg"])
@pytest.mark.parametrize("labels", [["b", "a_$x^"], MANY])
def test_the_picture_is_drawn(tmp_path: Path, name: str, labels: list[str]) -> None:
    of = bars(labels, np.full(len(labels), 1 / len(labels)), Decision(least=(0.3,) * len(labels)))
    draw_bars(of, 20, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    if name.endswith("svg"):
        assert labels[0].encode() in data
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must end in \.png or \.svg"):
        draw_bars(bars(["b", "a"], [0.25, 0.75]), 20, tmp_path / "bars.jpg")
