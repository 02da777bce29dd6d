"""Training curves from a log, the learning curve, and the loss over learning rates."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError, RunError
from finetext.core.types import Score
from finetext.diagnosis.curve import (
    Crossing,
    Curve,
    Expectation,
    LinePoint,
    MethodCurve,
    Point,
    SizeChoice,
)
from finetext.report.curves import (
    COLUMNS,
    curve_headline,
    curve_lines,
    curves_of,
    plot_rate_curve,
    sentences,
    table,
    write_curve,
)
from finetext.training.rate_finder import RateCurve

pytestmark = pytest.mark.usefixtures("laid_out")


def steps(*numbers: int, **named: Any) -> list[dict[str, Any]]:
    return [{"step": n, "loss": 1 / n, "learning_rate": 1e-4 / n, **named} for n in numbers]


def test_each_value_of_the_log_becomes_a_curve() -> None:
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


def test_both_losses_are_in_one_plot_and_named_in_its_legend() -> None:
    found = {"validation macro_f1": 0.5, "validation loss": 1.5}
    curves = curves_of("m", [*steps(1, 2), {"step": 2, "loss": 0.5, "evaluation": found}])
    assert curves is not None
    assert dict(curves.panels)["loss"] == ["training loss", "validation loss"]
    assert dict(curves.panels)["validation macro_f1"] == ["validation macro_f1"]
    assert ">training loss<" in curves.figure
    assert ">validation loss<" in curves.figure


@pytest.mark.parametrize("lines", [[], [{}], [{"step": 1}], [{"step": 1, "event": "resumed"}]])
def test_without_values_there_are_no_curves(lines: list[dict[str, Any]]) -> None:
    assert curves_of("tfidf", lines) is None


def test_equal_learning_rates_are_one_curve() -> None:
    alike = curves_of("m", steps(1, 2, learning_rate=[1e-4, 1e-4]))
    differing = curves_of("m", steps(1, 2, learning_rate=[1e-4, 2e-4]))
    assert alike is not None
    assert differing is not None
    assert "learning rate" in alike.series
    assert dict(differing.panels)["learning rate"] == ["learning rate 1", "learning rate 2"]


def test_rates_that_are_alike_at_times_belong_to_all_layer_groups() -> None:
    lines = [*steps(1, learning_rate=[0.0] * 11), *steps(2, learning_rate=[*range(1, 12)])]
    curves = curves_of("m", lines)
    assert curves is not None
    names = [f"learning rate {n}" for n in range(1, 12)]
    assert dict(curves.panels)["learning rate"] == names
    assert [curves.series[name] for name in names] == [{1: 0.0, 2: n} for n in range(1, 12)]
    legend = re.findall(r">(learning rate \d+)<", curves.figure)
    assert legend == ["learning rate 1", "learning rate 11"]


def test_perplexity_has_a_panel_of_its_own() -> None:
    figures = {"validation loss": 4.0, "validation accuracy": 0.1, "perplexity": 54.6}
    curves = curves_of("adapt", [{"step": 1, "loss": 5.0, "evaluation": figures}])
    assert curves is not None
    assert dict(curves.panels) == {
        "loss": ["training loss", "validation loss"],
        "validation accuracy": ["validation accuracy"],
        "validation perplexity": ["perplexity"],
    }


def test_repeated_steps_count_once() -> None:
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


def test_the_figure_takes_its_colors_from_the_page_and_marks_events() -> None:
    lines = [*steps(1, 2, 3, learning_rate=[1e-3, 1e-4]), {"step": 2, "event": "resumed"}]
    curves = curves_of("m", lines, key=3)
    assert curves is not None
    assert not re.search(r"#[0-9a-f]{6}", curves.figure)
    assert "var(--series-2)" in curves.figure
    assert curves.events == [(2, "resumed")]
    assert 'id="training3-' in curves.figure


SIZES = (100, 200, 400, 800)


def score(value: float) -> Score:
    return Score(value, value - 0.02, value + 0.02, 300)


def of_method(method: str, first: float, gain: float = 0.04) -> MethodCurve:
    points = [Point(n, n, score(first + 0.05 * i), (first,), 1.0 + i) for i, n in enumerate(SIZES)]
    last = points[-1].score.value
    expected = [
        Expectation(times, round(800 * times), score(last + gain), score(gain), gain > 0.02)
        for times in (1.5, 2.0, 4.0)
    ]
    line = (LinePoint(800, score(last)), LinePoint(3200, score(last + gain)))
    return MethodCurve(method, tuple(points), "told", None, tuple(expected), line)


def curve(best: MethodCurve, *others: MethodCurve) -> Curve:
    choices = [SizeChoice(n, best.method, {}) for n in SIZES]
    return Curve("macro_f1", "validation", 300, 800, SIZES, 3, (*others, best), tuple(choices), ())


def test_the_table_has_sizes_in_rows_and_methods_in_columns() -> None:
    shown = curve_lines(curve(of_method("probe", 0.6), of_method("tfidf", 0.5)))
    assert shown[0].split() == ["labels", "tfidf", "probe"]
    assert shown[1].split() == ["100", "0.500", "[0.480,", "0.520]", "0.600", "[0.580,", "0.620]",
                                "*+"]  # fmt: skip
    assert shown[5] == "expected with more:"
    assert [line.split()[0] for line in shown[6:9]] == ["1,200", "1,600", "3,200"]
    assert all(len(line) <= 100 for line in shown[:9])


def test_many_methods_still_fit() -> None:
    methods = [
        of_method(f"a-method-with-a-long-name-{number}", 0.1 * number) for number in range(5)
    ]
    shown = curve_lines(curve(of_method("best", 0.6), *methods))
    assert all("[" not in line for line in shown[:6])
    assert max(map(len, shown[:6])) <= 150


def test_a_gain_has_its_interval_and_a_flat_curve_none_to_show() -> None:
    said = sentences(curve(of_method("probe", 0.6)))
    assert said[0].startswith("With 800 labels probe is best, macro F1 0.750; more labels should")
    assert "+0.040 [+0.020, +0.060] with 1,600" in said[0]
    assert said[1].endswith("probe with 100 to 800 labels.")
    assert "3 trainings per size, on 300 validation rows" in said[-2]
    flat = sentences(curve(of_method("probe", 0.6, gain=0.01)))[0]
    assert flat.endswith(
        ". Cannot tell whether more labels help: twice as many may change macro F1 by -0.010 to "
        "+0.030."
    )


def test_forecasts_are_quoted_for_each_horizon_with_what_they_are_known_from() -> None:
    said = sentences(curve(of_method("probe", 0.6)))[-1]
    assert "11 learning curves of tfidf" in said
    assert "11 of 11 for 2 times the labels, 9 of 11 for 4 times the labels" in said
    without = replace(of_method("probe", 0.6), outlook="perfect", expected=(), line=())
    assert "checked" not in " ".join(sentences(curve(without)))


def test_more_labels_hardly_help_only_where_a_gain_of_a_point_is_ruled_out() -> None:
    def headline(low: float, high: float, metric: str = "macro_f1") -> str:
        one = of_method("probe", 0.6)
        gain = Score((low + high) / 2, low, high, 300)
        expected = tuple(replace(each, gain=gain, shown=False) for each in one.expected)
        return curve_headline(replace(curve(replace(one, expected=expected)), metric=metric))

    assert headline(-0.004, 0.0099) == (
        "More labels would hardly help: twice as many gain +0.003 [-0.004, +0.010] macro F1"
    )
    assert headline(-0.004, 0.01).startswith("Cannot tell")
    assert headline(-0.0099, 0.2, "log_loss").startswith("More labels would hardly help")
    assert headline(-0.01, -0.005, "log_loss").startswith("Cannot tell")


def test_a_gain_that_is_not_shown_is_none_that_should_be() -> None:
    one = of_method("probe", 0.6)
    far = replace(one.expected[-1], shown=False)
    said = sentences(curve(replace(one, expected=(*one.expected[:2], far))))[0]
    promised, rest = said.split("more labels should gain: ")[1].split(". ", 1)
    assert "3,200" not in promised
    assert rest == "No gain is shown with 3,200."


def test_a_cross_validated_curve_says_what_its_scores_rest_on() -> None:
    crossed = replace(curve(of_method("probe", 0.6)), part="cross-validated", measured_rows=60)
    said = " ".join(sentences(replace(crossed, training_rows=48)))
    assert "each of the 60 rows is predicted by models that learned from so many of the 48" in said
    assert "validation rows" not in said


def test_a_steepening_curve_is_not_forecast() -> None:
    steep = replace(of_method("probe", 0.6), outlook="steepening", expected=(), line=())
    shown = curve_lines(curve(steep))
    assert "still getting steeper (+0.050 from macro F1 with 400)" in "\n".join(shown)
    assert "expected with more:" not in shown
    said = sentences(curve(of_method("tfidf", 0.7), steep))
    assert said[1].startswith("The curve of probe is still getting steeper")
    assert any(
        line.split()[1:2] == ["-"] for line in curve_lines(curve(of_method("tfidf", 0.7), steep))
    )


def test_other_outlooks_and_a_crossing() -> None:
    perfect, few = (
        replace(of_method("probe", 0.6), outlook=outlook, expected=(), line=())
        for outlook in ("perfect", "too few")
    )
    assert "they cannot show a gain from more labels" in sentences(curve(perfect))[0]
    said = sentences(replace(curve(few), crossings=(Crossing("tfidf", "probe", 250),)))
    assert "a forecast takes at least 4 sizes and 2 trainings each" in said[0]
    assert "probe overtakes tfidf at about 250 labels." in said
    assert Crossing("tfidf", "probe", 250, 100, 500).words == (
        "probe overtakes tfidf at about 250 labels [100, 500]: up to the first of these sizes it "
        "is significantly behind, from the last on ahead."
    )


def test_the_csv_has_what_is_measured_and_what_is_expected() -> None:
    rows = list(csv.DictReader(io.StringIO(table(curve(of_method("probe", 0.6))))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["kind"] for row in rows] == ["measured"] * 4 + ["expected"] * 3
    assert float(rows[-1]["gain_low"]) == pytest.approx(0.02)


def test_the_same_curve_gives_the_same_files(tmp_path: Path) -> None:
    both = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_curve(curve(of_method("probe", 0.6), of_method("tfidf", 0.5)), tmp_path / name)
        both.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert both[0] == both[1]
    assert set(both[0]) == {"curve.json", "curve.csv", "curve.svg", "curve.png"}
    drawn = both[0]["curve.svg"].decode()
    assert all(word in drawn for word in ("probe", "tfidf", "1,600", "3,200", "macro F1 on"))


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the learning curve cannot be written"):
        write_curve(curve(of_method("probe", 0.6)), tmp_path / "missing")


@pytest.mark.parametrize(
    ("outlook", "gain", "headline"),
    [
        ("told", 0.04, "Twice as many labels should gain +0.040 [+0.020, +0.060] macro F1"),
        (
            "told",
            0.01,
            "Cannot tell whether more labels help: twice as many may change macro F1 by -0.010 to "
            "+0.030",
        ),
        (
            "perfect",
            0.04,
            "All validation rows are right already: they cannot show a gain from more labels",
        ),
        (
            "steepening",
            0.04,
            "More labels are probably worth it: the curve of probe is still getting steeper",
        ),
        ("too few", 0.04, "Too few sizes to forecast the value of more labels"),
    ],
)
def test_the_headline_forecasts_more_labels(outlook: Any, gain: float, headline: str) -> None:
    one = replace(of_method("probe", 0.6, gain), outlook=outlook)
    assert curve_headline(curve(one)) == headline


RATES = tuple(10.0 ** (power / 4 - 6) for power in range(20))
LOSSES = (*(1.0 - 0.02 * k for k in range(14)), 0.9, 1.2, 1.5, 2.0, 2.5, 3.0)
CURVE = RateCurve(RATES, LOSSES, RATES[7], RATES[10])


def test_the_picture_names_the_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "curve.svg"
    assert plot_rate_curve(CURVE, path)._repr_png_()[:4] == b"\x89PNG"
    drawn = path.read_text()
    assert f"suggestion: {RATES[7]:.2g}" in drawn
    assert f"more careful: {RATES[10]:.2g}" in drawn
    assert "learning rate" in drawn
    assert [file.name for file in tmp_path.iterdir()] == ["curve.svg"]


@pytest.mark.parametrize("name", ["curve.svg", "curve.PNG"])
def test_the_same_rates_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    plot_rate_curve(CURVE, path)
    one = path.read_bytes()
    CURVE.plot(path)
    assert path.read_bytes() == one


def test_a_loss_that_never_falls_can_be_drawn(tmp_path: Path) -> None:
    flat = RateCurve(RATES, (0.5,) * 20, RATES[0], RATES[0])
    flat.plot(tmp_path / "flat.png")
    assert (tmp_path / "flat.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "problem"),
    [("curve.gif", r"must end in \.png or \.svg"), ("missing/curve.png", "cannot be written")],
)
def test_a_picture_that_cannot_be_written_is_reported(
    tmp_path: Path, name: str, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        plot_rate_curve(CURVE, tmp_path / name)
