"""The positive class in the report, in a terminal and as a picture."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_run import made_up

from finetext.core.arrays import finite
from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.report.positive import (
    MOST_CURVES,
    PositiveCurves,
    positive_line,
    positive_sentence,
    positive_view,
)
from finetext.report.report import render

HOSTILE = "<b>spam</b> $x_1$"
SCHEME = LabelScheme(("ham", HOSTILE), positive=HOSTILE)


def some(skill: float, rows: int = 120, scheme: LabelScheme = SCHEME) -> Predictions:
    random = np.random.default_rng(0)
    targets = (random.random(rows) < 0.2).astype(np.int64)
    second = 1 / (1 + np.exp(1.4 - skill * targets - random.normal(size=rows)))
    ids = tuple(map(str, range(rows)))
    return Predictions(ids, targets, np.stack([1 - second, second], axis=1), scheme)


def flat(rows: int = 120) -> Predictions:
    return replace(some(1.0, rows), probabilities=np.full((rows, 2), [0.8, 0.2]))


def test_the_class_is_stated_whether_it_was_named_or_not() -> None:
    unnamed = LabelScheme(("ham", "spam"))
    assert positive_line(unnamed) == (
        "positive class: spam (the second label; choose with --positive)"
    )
    assert positive_line(unnamed.with_positive("ham")) == "positive class: ham"
    assert "is “spam”, the second label, as none was named." in positive_sentence(unnamed)
    assert positive_sentence(unnamed.with_positive("ham")).endswith("is “ham”.")
    assert positive_line(LabelScheme(("a", "b", "c"))) == ""
    assert positive_sentence(LabelScheme(("a", "b"), multilabel=True)) == ""


def test_lines_have_each_method_and_the_class_with_intervals() -> None:
    limit = Decision(thresholds=(0.75, 0.25))
    given = {"good": replace(some(3.0), decision=limit), "poor": some(1.0), "flat": flat()}
    found = PositiveCurves.of(given, "validation")
    lines = found.lines()
    assert max(map(len, lines)) <= 80
    text = " ".join(lines)
    assert f"positive class: {HOSTILE}, 20.0% of 120 validation rows" in text
    assert "no curve of flat: the same probability for each row" in text
    assert (
        len(re.findall(r"^(?:good|poor|flat) .*\[0\.\d+, [01]\.\d+\]", "\n".join(lines), re.M)) == 6
    )
    assert re.search(r"^good +0\.250 ", "\n".join(lines), re.MULTILINE)
    told = json.loads(json.dumps(finite(found.to_json())))
    assert list(told["curves"]) == ["good", "poor"]
    assert list(told["scores"]) == ["good", "poor", "flat"]
    assert told["curves"]["good"]["decided"]["threshold"] == 0.25
    columns = found.columns()
    assert set(columns["name"]) == {"good", "poor"}
    assert {len(values) for values in columns.values()} == {len(columns["name"])}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_one_picture_has_the_curves_of_several_methods(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"curves{suffix}"
    given = {name: some(skill) for name, skill in (("good", 3.0), ("poor", 1.0), ("bad", -1.0))}
    figure = PositiveCurves.of(given, "test").plot(path)
    left, right = figure.axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("recall", "precision")
    assert (right.get_xlabel(), right.get_ylabel()) == ("false positive rate", "recall")
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["good", "poor", "bad"]
    assert "20.0% of 120 test rows" in legend.get_title().get_text()
    for axes in (left, right):
        curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
        assert len(curves) == 3
        assert curves[0].get_zorder() > curves[1].get_zorder()  # the first is on top
    size = path.stat().st_size
    assert size > 5_000
    if suffix == ".svg":
        assert HOSTILE not in path.read_text()  # escaped


def test_nothing_in_the_picture_overlaps() -> None:
    names = {f"a-method-with-a-very-long-name-{number}": some(number / 2) for number in range(8)}
    figure = PositiveCurves.of(names | {"flat": flat()}, "validation").plot()
    [legend] = figure.legends
    assert len(legend.get_texts()) == MOST_CURVES
    assert "2 more left out" in legend.get_title().get_text().replace("\n", " ")
    figure.canvas.draw()  # which lays it out
    frame = figure.bbox
    below = legend.get_window_extent()
    assert below.x0 >= 0
    assert below.x1 <= frame.x1
    assert below.y1 <= frame.y1
    for axes in figure.axes:
        around = axes.get_tightbbox()
        assert around is not None
        assert around.y1 <= below.y0
        assert frame.x0 <= around.x0 < around.x1 <= frame.x1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"flat": flat()}, "flat: each row has the same probability, so there is no curve; name a"),
        ({"one": some(1.0, 1)}, r"none of the 1 validation row are .* needs rows of both classes"),
        ({"a": some(1.0), "b": some(1.0, 50)}, "not about the same rows"),
        ({"a": made_up(LabelScheme(("a", "b", "c"))).predictions["tfidf"]}, "these have 3 labels"),
        ({"a": some(1.0), "b": some(1.0, scheme=SCHEME.with_positive("ham"))}, "--positive"),
    ],
)
def test_what_has_no_curve_is_refused(given: dict[str, Predictions], said: str) -> None:
    with pytest.raises(DataError, match=said):
        PositiveCurves.of(given, "validation")


@pytest.mark.usefixtures("laid_out")
def test_the_report_has_a_legend_and_two_pictures() -> None:
    data = made_up(LabelScheme(("ham", HOSTILE), positive="ham"))
    view = positive_view("finetune", data.predictions)
    assert view is not None
    assert view["label"] == "ham"
    assert list(view["legend"]) == ["finetune", "majority", "tfidf"]
    assert view["plots"][0] != view["plots"][1]
    page = render(data)
    assert page.count('<div class="pair"><svg') == 2, "these, and those of the leaderboard"
    assert '<i class="c1"></i>finetune: given from 0.500</li>' in page
    assert HOSTILE not in page
    thresholds = [row[0].text for row in view["table"].rows]
    assert "0.000" not in thresholds
    assert "1.000" not in thresholds


def test_the_report_has_no_such_section_without_two_classes() -> None:
    data = made_up(LabelScheme(("a", "b", "c")))
    assert positive_view("finetune", data.predictions) is None
    assert 'id="positive"' not in render(data)


def test_why_a_class_is_the_positive_one() -> None:
    yes = LabelScheme(("ja", "nein"), affirmative="ja")
    assert (
        positive_line(yes) == "positive class: ja (the label that says yes; choose with --positive)"
    )
    assert "“ja”, the label that says yes, as none was named" in positive_sentence(yes)
    assert positive_line(yes.with_positive("nein")) == "positive class: nein"
    assert LabelScheme.from_json(yes.to_json()).positive_class == "ja"
    assert LabelScheme.from_json(
        {"labels": ["ja", "nein"], "multilabel": False}
    ).positive_class == (
        "nein"  # a run of an earlier version
    )
