"""A learning curve in words, as a table, and as a picture."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from finetext.core.errors import RunError
from finetext.core.types import Score
from finetext.diagnosis.curve import (
    Choice,
    Crossing,
    Curve,
    Expectation,
    LinePoint,
    MethodCurve,
    Point,
)
from finetext.report.learning_curve import COLUMNS, curve_lines, sentences, table, write_curve

SIZES = (100, 200, 400, 800)


def score(value: float) -> Score:
    return Score(value, value - 0.02, value + 0.02, 300)


def rung(method: str, first: float, gain: float = 0.04) -> MethodCurve:
    points = [Point(n, n, score(first + 0.05 * i), (first,), 1.0 + i) for i, n in enumerate(SIZES)]
    last = points[-1].score.value
    expected = [
        Expectation(times, round(800 * times), score(last + gain), score(gain), gain > 0.02)
        for times in (1.5, 2.0, 4.0)
    ]
    line = (LinePoint(800, score(last)), LinePoint(3200, score(last + gain)))
    return MethodCurve(method, tuple(points), "told", None, tuple(expected), line)


def curve(best: MethodCurve, *others: MethodCurve) -> Curve:
    choices = [Choice(n, best.method, best.method, {}) for n in SIZES]
    return Curve("macro_f1", "validation", 300, 800, SIZES, 3, (*others, best), tuple(choices), ())


def test_the_table_has_sizes_in_rows_and_rungs_in_columns() -> None:
    shown = curve_lines(curve(rung("probe", 0.6), rung("tfidf", 0.5)))
    assert shown[0].split() == ["labels", "tfidf", "probe"]
    assert shown[1].split() == ["100", "0.500", "[0.480,", "0.520]", "0.600", "[0.580,", "0.620]",
                                "*+"]  # fmt: skip
    assert shown[5] == "expected with more:"
    assert [line.split()[0] for line in shown[6:9]] == ["1,200", "1,600", "3,200"]
    assert all(len(line) <= 100 for line in shown[:9])


def test_many_rungs_still_fit() -> None:
    rungs = [rung(f"a-rung-with-a-long-name-{number}", 0.1 * number) for number in range(5)]
    shown = curve_lines(curve(rung("best", 0.6), *rungs))
    assert all("[" not in line for line in shown[:6])
    assert max(map(len, shown[:6])) <= 150


def test_a_gain_is_said_with_its_interval() -> None:
    said = sentences(curve(rung("probe", 0.6)))
    assert said[0].startswith("With 800 labels probe is best, macro F1 0.750; more labels would")
    assert "+0.040 [+0.020, +0.060] with 1,600" in said[0]
    assert said[1].endswith("probe with 100 to 800.")
    assert "3 trainings a size, on 300 validation rows" in said[-1]


def test_a_flat_curve_says_that_nothing_could_be_shown() -> None:
    said = sentences(curve(rung("probe", 0.6, gain=0.01)))[0]
    assert "flat or too noisy: no gain from more labels could be shown" in said
    assert "twice as many: +0.010 [-0.010, +0.030]" in said


def test_a_gain_that_may_be_none_is_said_to_be() -> None:
    one = rung("probe", 0.6)
    far = replace(one.expected[-1], shown=False)
    said = sentences(curve(replace(one, expected=(*one.expected[:2], far))))[0]
    assert said.endswith("with 3,200, which may be none.")


def test_a_steepening_curve_is_not_looked_beyond() -> None:
    steep = replace(rung("probe", 0.6), outlook="steepening", expected=(), line=())
    shown = curve_lines(curve(steep))
    assert "still getting steeper (+0.050 from macro F1 with 400)" in "\n".join(shown)
    assert "expected with more:" not in shown
    said = sentences(curve(rung("tfidf", 0.7), steep))
    assert said[1].startswith("The curve of probe is still getting steeper")
    assert any(line.split()[1:2] == ["-"] for line in curve_lines(curve(rung("tfidf", 0.7), steep)))


def test_a_perfect_score_leaves_nothing_to_gain() -> None:
    one = replace(rung("probe", 0.6), outlook="perfect", expected=(), line=())
    assert "more labels could bring nothing" in sentences(curve(one))[0]


def test_too_few_points_and_a_crossing() -> None:
    few = replace(rung("probe", 0.6), outlook="too few", expected=(), line=())
    one = replace(curve(few), crossings=(Crossing("tfidf", "probe", 250),))
    said = sentences(one)
    assert "takes at least 4 sizes and 2 trainings each" in said[0]
    assert "probe overtakes tfidf at about 250 labels." in said


def test_the_csv_has_what_is_measured_and_what_is_expected() -> None:
    rows = list(csv.DictReader(io.StringIO(table(curve(rung("probe", 0.6))))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["kind"] for row in rows] == ["measured"] * 4 + ["expected"] * 3
    assert float(rows[-1]["gain_low"]) == pytest.approx(0.02)


def test_the_same_curve_gives_the_same_files(tmp_path: Path) -> None:
    both = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_curve(curve(rung("probe", 0.6), rung("tfidf", 0.5)), tmp_path / name)
        both.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert both[0] == both[1]
    assert set(both[0]) == {"curve.json", "curve.csv", "curve.svg", "curve.png"}
    drawn = both[0]["curve.svg"].decode()
    assert all(word in drawn for word in ("probe", "tfidf", "1,600", "3,200", "macro F1 on"))


def test_a_folder_that_is_not_there_is_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the learning curve cannot be written"):
        write_curve(curve(rung("probe", 0.6)), tmp_path / "missing")
