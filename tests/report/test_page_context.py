"""What the templates are given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from diagnosed import class_words, slices, text_map

from finetext.report import context
from finetext.report.data import Diagnoses
from finetext.report.text_map import COLOURS, HEIGHT, MOST_DOTS, WIDTH, map_view


def test_how_often_the_test_rows_were_opened() -> None:
    assert "have been opened once" in context.opened_sentence(())
    twice = [{"by": "finetext errors"}, {"by": "finetext errors"}, {}]
    assert "opened 4 times: for this leaderboard, then by an unknown command, finetext errors." in (
        context.opened_sentence(twice)
    )


def test_only_slices_that_are_worse_are_named() -> None:
    of = slices(("joy", "love"))
    said = context.slices_sentence(of)
    assert said.endswith("significantly worse on 1 to 6 words (length), “not” (token).")


def test_bars_of_words_are_as_long_as_the_longest() -> None:
    rows = context.shown_words(class_words(("joy",)))["joy"]
    assert [share for *_, share in rows] == [100, 49, 6]


def test_a_map_lies_within_its_frame_with_errors_on_top() -> None:
    view = map_view(text_map(("joy", "love"), n=MOST_DOTS + 500))
    assert len(view.dots) == MOST_DOTS
    assert len({dot.row for dot in view.dots}) == MOST_DOTS
    assert all(0 < dot.x < WIDTH and 0 < dot.y < HEIGHT for dot in view.dots)
    assert [dot.is_wrong for dot in view.dots] == sorted(dot.is_wrong for dot in view.dots)


@pytest.mark.parametrize(("labels", "own"), [(2, 2), (COLOURS, COLOURS), (25, COLOURS - 1)])
def test_the_most_frequent_labels_have_a_colour(labels: int, own: int) -> None:
    view = map_view(text_map(tuple(f"label {i}" for i in range(labels)), n=100))
    assert len(view.legend) == own
    assert view.others == labels - own
    assert {dot.colour for dot in view.dots} == set(range(0 if view.others else 1, own + 1))


def test_a_map_without_truths_shows_what_is_given() -> None:
    view = map_view(replace(text_map(("joy", "love"), n=20), truths=()))
    assert set(view.legend) == {"joy", "love"}
    assert not any(dot.is_wrong for dot in view.dots)


def test_a_map_of_one_text() -> None:
    (dot,) = map_view(text_map(("joy",), n=1)).dots
    assert np.isfinite([dot.x, dot.y]).all()


def test_nothing_was_looked_at() -> None:
    found = context.diagnosed(Diagnoses())
    assert not any(
        found[name] for name in ("errors", "slices", "suspects", "words", "map", "curve")
    )
