"""The probabilities of a text as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme
from finetext.methods.majority import MajorityClassifier
from finetext.report.one_text import Bars, bar_lines, draw_bars

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


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
@pytest.mark.parametrize("text", ["x" * 300, "a fine film of $5 and $6 " * 20, "意図" * 90])
def test_a_long_text_above_the_bars_stays_within_the_picture(text: str) -> None:
    scheme = LabelScheme(("b", "a"))
    figure = draw_bars(
        Bars.of(MajorityClassifier(scheme, AS_LIKELY, np.array([0.5, 0.5])), text), 2
    )
    figure.draw_without_rendering()
    above = figure.texts[0]
    assert above.get_text().startswith(text[:20])
    assert above.get_window_extent().x1 <= figure.bbox.x1
    assert above.get_window_extent().y0 >= figure.axes[0].get_window_extent().y1


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must end in \.png or \.svg"):
        draw_bars(bars(["b", "a"], [0.25, 0.75]), 20, tmp_path / "bars.jpg")
