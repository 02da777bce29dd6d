"""Whether it paid is said in plain words, on the page and in the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finetext.core.types import Score
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import EncoderGain, Kind
from finetext.report.comparisons import paid_lines, paid_sentence
from finetext.report.data import ReportData
from finetext.report.report import render

NAN = float("nan")


def pair(
    difference: Score, p_value: float, kind: Kind = "adapted", metric: str = "macro_f1"
) -> EncoderGain:
    comparison = Comparison(metric, difference, p_value, "paired permutation of rows", 200)
    return EncoderGain("finetune", "tfidf", kind, comparison, 70.0, 60.0, 600.0)


@pytest.mark.parametrize(
    ("paid", "sentence"),
    [
        (
            pair(Score(0.018, 0.009, 0.027, 200), 0.001),
            "finetune: adaptation paid: +1.8 points macro F1 [0.9, 2.7], for 10 min more",
        ),
        (
            pair(Score(-0.05, -0.08, -0.02, 200), 0.001, "pretrained"),
            "finetune: pretraining hurt: -5.0 points macro F1 [-8.0, -2.0], for 10 min more",
        ),
        (
            pair(Score(0.002, -0.01, 0.014, 200), 0.7),
            "finetune: no difference to tfidf could be shown: +0.2 points macro F1 [-1.0, 1.4], "
            "p = 0.700, for 10 min more",
        ),
        (
            pair(Score(-0.05, NAN, NAN, 200), 0.001, metric="log_loss"),
            "finetune: adaptation paid: -0.050 log loss, for 10 min more",
        ),
    ],
)
def test_the_sentence_says_outcome_difference_and_cost(paid: EncoderGain, sentence: str) -> None:
    assert paid_sentence(paid) == sentence
    assert paid_lines([paid]) == ["", sentence]


def test_less_time_is_said_as_such() -> None:
    quick = replace(pair(Score(0.1, 0.05, 0.15, 200), 0.001), seconds_beside=700.0)
    assert paid_sentence(quick).endswith(", for 30 s less")


def test_without_pairs_nothing_is_said(single: ReportData) -> None:
    assert paid_lines([]) == []
    assert 'id="paid"' not in render(single)


def test_the_page_has_a_section_on_it(single: ReportData, several: ReportData) -> None:
    of = pair(single.comparisons["tfidf"].difference, 0.001)
    for data in (single, several):
        page = render(replace(data, paid=(of, replace(of, kind="pretrained"))))
        assert page.count('<a href="#paid">') == page.count('<section id="paid">') == 1
        assert f"<li>{paid_sentence(of)}.</li>" in page
        assert "adaptation" in page
        assert "pretraining" in page
