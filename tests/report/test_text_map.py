"""The view of a map of texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diagnosed import text_map

from finetext.core.errors import DataError
from finetext.report.text_map import COLORS, MOST_DOTS, map_view


def test_a_map_lies_within_its_frame_with_errors_on_top() -> None:
    view = map_view(text_map(("joy", "love"), n=MOST_DOTS + 500), MOST_DOTS)
    assert len(view.dots) == MOST_DOTS
    assert len({dot.row for dot in view.dots}) == MOST_DOTS
    assert all(0 < dot.x < view.size[0] and 0 < dot.y < view.size[1] for dot in view.dots)
    assert [dot.is_wrong for dot in view.dots] == sorted(dot.is_wrong for dot in view.dots)


@pytest.mark.parametrize("labels", [2, COLORS, 25])
def test_the_most_frequent_labels_have_a_color(labels: int) -> None:
    view = map_view(text_map(tuple(f"label {i}" for i in range(labels)), n=100))
    own = min(labels, COLORS)
    assert [color for _, color, _ in view.legend] == [*range(1, own + 1), *[0] * (labels - own)]
    assert {dot.color for dot in view.dots} == set(range(0 if labels > COLORS else 1, own + 1))


def test_a_map_without_truths_shows_predictions() -> None:
    view = map_view(replace(text_map(("joy", "love"), n=20), truths=()))
    assert {name for name, *_ in view.legend} == {"joy", "love"}
    assert not any(dot.is_wrong for dot in view.dots)


def test_a_map_of_one_text() -> None:
    (dot,) = map_view(text_map(("joy",), n=1)).dots
    assert np.isfinite([dot.x, dot.y]).all()


def test_the_density_has_a_panel_for_each_label(tmp_path: Path) -> None:
    drawn = text_map(("joy", "love", "fear"), n=60)
    figure = drawn.plot_density(tmp_path / "maps.png")
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert [title.split()[0] for title in titles] == ["joy", "love", "fear"]
    assert (tmp_path / "maps.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match=r"must end in \.png or \.svg"):
        drawn.plot_density(tmp_path / "maps.gif")
