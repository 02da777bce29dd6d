"""The view of a map of texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diagnosed import text_map
from matplotlib.figure import Figure

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


def test_the_headline_names_the_split_and_predictions_only_where_there_are_some() -> None:
    drawn = replace(text_map(("joy", "love"), n=20), split="train")
    assert map_view(drawn).headline == "finetune is wrong on 2 of 20 training texts on the map"
    frozen = replace(drawn, method=None, predictions=())
    assert map_view(frozen).headline == "20 training texts, similar ones close together"
    assert not any(dot.is_wrong for dot in map_view(frozen).dots)
    assert [name for name, *_ in map_view(replace(frozen, truths=())).legend] == ["all texts"]


def test_a_plus_in_a_label_does_not_divide_it() -> None:
    drawn = replace(text_map(("R + B", "pop"), n=20), multilabel=False)
    assert [name for name, *_ in map_view(drawn).legend] == ["R + B", "pop"]


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


def words_of(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def test_the_picture_says_which_texts_and_labels_it_shows() -> None:
    names = tuple(f"label {n}" for n in range(45))
    drawn = replace(text_map(names, n=450), split="train", rows=16_000, seed=7)
    figure = drawn.plot_density()
    assert len([panel for panel in figure.axes if panel.get_title(loc="left")]) == 30
    said = words_of(figure)
    assert "450 of 16,000 training texts, drawn at random (seed 7)." in said
    shown = ", ".join(f"label {n}" for n in range(30, 42))
    assert f"The 30 most frequent of 45 labels have a panel; left out: {shown} and 3 more." in said
    assert f"{shown}, label 42, label 43, label 44." in map_view(drawn).left_out
    few = words_of(text_map(("joy", "love"), n=20).plot_density())
    assert "20 validation texts." in few
    assert "left out" not in few
