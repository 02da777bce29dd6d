"""The nouns as a notebook shows them."""

from __future__ import annotations

import numpy as np

from finetext import LabelScheme, Predictions, read

HOSTILE = '<script>alert("x")</script> & co'


def test_a_data_set_shows_its_first_rows() -> None:
    rows = [{"text": f"{HOSTILE} {n}", "label": f"<b>{n % 2}"} for n in range(9)]
    dataset = read(rows)
    shown = dataset._repr_html_()
    assert shown.count("<tr>") == 1 + 5
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;b&gt;1" in shown
    assert "9 rows" in shown


def test_an_empty_data_set_shows_itself() -> None:
    empty = read((["a text", "more"], ["x", "y"])).select([])
    assert "<th>text</th>" in empty._repr_html_()


def test_predictions_show_truth_beside_answer() -> None:
    predictions = Predictions(
        ids=tuple(f"<i>{n}" for n in range(12)),
        targets=np.arange(12) % 2,
        probabilities=np.tile([0.25, 0.75], (12, 1)),
        scheme=LabelScheme((HOSTILE, "b")),
    )
    shown = predictions._repr_html_()
    assert "<script" not in shown
    assert "<i>" not in shown
    assert shown.count("<tr>") == 1 + 10
    assert "12 predictions" in shown
    assert "0.750" in shown
    several = Predictions(
        ids=("1",),
        targets=np.array([[1, 1]]),
        probabilities=np.array([[0.9, 0.1]]),
        scheme=LabelScheme((HOSTILE, "b"), multilabel=True),
    )
    assert "&lt;script&gt;" in several._repr_html_()
