"""Random rows with truth and prediction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predicted, Predictions
from finetext.report.rendering import printed
from finetext.report.results import results_of
from finetext.runs.accesses import accesses
from finetext.runs.run import Run

HOSTILE = "[bold]a[/] <b> label that is longer than what a table can hold"


def predicted(n: int = 40) -> Predicted:
    random = np.random.default_rng(0)
    likely = random.dirichlet(np.ones(3), n)
    ids = tuple(f"r{row}" for row in range(n))
    of = Predictions(ids, random.integers(3, size=n), likely, LabelScheme(("x", HOSTILE, "z")))
    texts = tuple(f"so [red]many\nwords of {row} " * 9 for row in range(n))
    return Predicted("mine", of, texts, "macro_f1", part="validation")


def test_rows_are_drawn_at_random_by_the_seed_without_repeats() -> None:
    of = predicted()
    found = results_of(of, 10)
    assert len({row.id for row in found}) == 10
    assert found == results_of(of, 10)
    assert [row.id for row in found] != [row.id for row in results_of(of, 10, seed=1)]
    assert len(results_of(of, 100)) == 40
    for row in found:
        place = int(row.id[1:])
        assert row.text == of.texts[place]  # type: ignore[index]
        assert row.prediction == of.predictions.scheme.names[of.predictions.decisions[place]]
        assert row.probability == of.predictions.probabilities[place].max()
        assert row.right == (row.truth == row.prediction)
    with pytest.raises(DataError, match="cannot show 0 rows"):
        results_of(of, 0)


def test_each_row_is_one_line_and_errors_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    found = results_of(predicted(), 8)
    headline, _, *lines = repr(found).splitlines()
    right = sum(row.right for row in found)
    assert headline == (
        f"mine on 8 of 40 validation rows, drawn at random: {right} right, {8 - right} wrong"
    )
    assert len(lines) == 8
    for line, row in zip(lines, found, strict=True):
        assert line.startswith("x") != row.right
        assert "so [red]many words" in line
    assert "&lt;b&gt;" in found._repr_html_()
    assert printed(found.show) == repr(found)


def test_several_labels_of_a_row() -> None:
    scheme = LabelScheme(("a", "b"), multilabel=True)
    of = Predictions(
        ("1", "2"), np.array([[1, 1], [0, 0]]), np.array([[0.9, 0.8], [0.9, 0.1]]), scheme
    )
    found = results_of(Predicted("mine", of, None, "macro_f1"), 2)
    by_id: dict[str, Any] = {row.id: row for row in found}
    assert (by_id["1"].prediction, by_id["1"].probability, by_id["1"].right) == (
        ["a", "b"],
        0.8,
        True,
    )
    assert (by_id["2"].truth, by_id["2"].right) == ([], False)
    assert "a, b" in repr(found)
    assert "none" in repr(found)
    assert json.loads(json.dumps(found.to_json()))[0].keys() >= {"id", "truth", "right"}


def test_a_run_shows_validation_rows_and_records_test_rows(finished: Path) -> None:
    run = Run.open(finished)
    found = run.show_results(4, "majority")
    assert {row.text for row in found} <= set(run.texts("majority", "validation"))
    assert {row.prediction for row in found} == {"good"}
    assert accesses(finished) == []
    assert run.show_results(3, split="test").part == "test"
    assert [line["by"] for line in accesses(finished)] == ["Python"]
    with pytest.raises(DataError, match="keeps those of validation and test"):
        run.show_results(split="train")
