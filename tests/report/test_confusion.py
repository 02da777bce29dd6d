"""The confusion matrix in numbers, in a terminal, as a table and as a picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError, RecipeError
from finetext.core.types import LabelScheme, Predicted, Predictions
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.report.confusion import ConfusionMatrix, confusion_matrix, heatmap, whole_percent


def predicted(truth: Any, given: Any, names: tuple[str, ...]) -> Predicted:
    truth, given = np.array(truth), np.array(given)
    several = truth.ndim == 2
    likely = given * 0.9 + 0.05 if several else np.eye(len(names))[given]
    ids = tuple(map(str, range(len(truth))))
    of = Predictions(ids, truth, likely, LabelScheme(names, several))
    return Predicted("mine", of, None, "macro_f1", part="validation")


def many(k: int, n: int = 400) -> ConfusionMatrix:
    random = np.random.default_rng(0)
    truth = random.integers(k, size=n)
    given = np.where(random.random(n) < 0.8, truth, random.integers(k, size=n))
    return confusion_matrix(predicted(truth, given, tuple(f"a long label {i}" for i in range(k))))


FOUR = predicted([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 1], ("a", "b", "c", "<d>"))


@pytest.mark.parametrize(
    ("normalize", "first"),
    [
        ("true", [2 / 3, 1 / 3, 0, 0]),
        ("predicted", [2 / 3, 1 / 3, np.nan, np.nan]),
        ("all", [2 / 6, 1 / 6, 0, 0]),
    ],
)
def test_shares_are_of_the_rows_they_say(normalize: Any, first: list[float]) -> None:
    found = confusion_matrix(FOUR, normalize)
    np.testing.assert_array_equal(found.counts[0], [2, 1, 0, 0])
    assert found.shares is not None
    np.testing.assert_allclose(found.shares[0], first)
    assert np.isnan(found.shares[3]).any() == (normalize != "all")
    assert (found.rows, found.right) == (6, 3)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_rows_columns_or_all_add_up_to_one(pairs: list[tuple[int, int]]) -> None:
    of = predicted(*zip(*pairs, strict=True), ("a", "b", "c", "d", "e"))
    rows, columns, every = (
        np.nan_to_num(confusion_matrix(of, how).shares) for how in ("true", "predicted", "all")
    )
    assert set(np.round(rows.sum(axis=1), 12)) <= {0.0, 1.0}
    assert set(np.round(columns.sum(axis=0), 12)) <= {0.0, 1.0}
    assert every.sum() == pytest.approx(1)


def test_counts_alone() -> None:
    found = confusion_matrix(FOUR, "none")
    assert found.shares is None
    assert "%" not in "\n".join(found.lines()[2:])
    assert found.columns()["prediction:a"] == [2, 1, 0, 0]
    assert found.to_json()["shares"] is None


def test_the_headline_names_the_most_frequent_confusion() -> None:
    of = predicted([0, 0, 0, 0, 1], [0, 1, 1, 0, 1], ("tea", "coffee"))
    said = confusion_matrix(of).headline
    assert said == (
        "mine is right on 3 of 5 validation rows (60.0%); most often tea is taken for coffee "
        "(2, 50.0% of tea)"
    )
    assert confusion_matrix(predicted([0, 1], [0, 1], ("a", "b"))).headline.endswith("(100.0%)")


@pytest.mark.parametrize("k", [2, 3, 6, 10, 15])
def test_up_to_many_labels_fit_in_80_columns(k: int) -> None:
    lines = many(k).lines(80)
    assert max(map(len, lines)) <= 80
    assert len(lines) >= k + 4
    assert "are too many" not in "\n".join(lines)


@pytest.mark.parametrize(("k", "width"), [(21, 300), (77, 80), (15, 40)])
def test_of_too_many_labels_the_confusions_are_shown(k: int, width: int) -> None:
    text = "\n".join(many(k).lines(width))
    assert f"{k} labels are too many for a table this wide" in text
    assert "→" in text
    assert "--out" in text


def test_several_labels_a_row_have_their_own_legend() -> None:
    truth = [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    given = [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    found = confusion_matrix(predicted(truth, given, ("a", "b", "c")))
    np.testing.assert_array_equal(found.counts, [[1, 0, 0], [0, 1, 1], [0, 0, 0]])
    assert (found.rows, found.right) == (3, 2)
    assert "all labels right on 2 of 3" in found.headline
    assert "most often c is given wrongly where b is missed (1, 50.0% of b)" in found.headline
    assert "A row can have several labels" in found.legend
    assert "add up" not in found.legend


@pytest.mark.usefixtures("laid_out")
def test_the_picture_and_the_page_have_counts_and_shares(tmp_path: Path) -> None:
    found = confusion_matrix(FOUR)
    figure = found.plot(tmp_path / "matrix.svg")
    drawn = (tmp_path / "matrix.svg").read_text()
    assert "66.7%" in drawn
    assert "mine on 6 validation rows" in drawn
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert "66.7%" in heatmap(found, "0")
    assert "&lt;d&gt;" in found._repr_html_()
    with pytest.raises(DataError, match=r"must end in \.png or \.svg"):
        found.plot(tmp_path / "matrix.pdf")
    with pytest.raises(DataError, match="cannot be written"):
        found.plot(tmp_path / "no" / "matrix.png")
    assert [path.name for path in tmp_path.iterdir()] == ["matrix.svg"]


def test_json_and_an_unknown_normalization() -> None:
    told = json.loads(json.dumps(confusion_matrix(FOUR).to_json()["counts"]))
    assert told[0] == [2, 1, 0, 0]
    with pytest.raises(RecipeError, match="must be one of true, predicted, all, none"):
        confusion_matrix(FOUR, "rows")
    assert "of 6 rows" in confusion_matrix(replace(FOUR, part=None)).headline


def test_small_shares_are_not_nothing() -> None:
    assert [whole_percent(of) for of in (0.0, 0.001, 0.005, 0.994, 1.0)] == [
        "0%", "<1%", "0%", "99%", "100%"
    ]  # fmt: skip
    assert whole_percent(float("nan")) == "-"


def test_numbers_of_rows_are_means_over_repeats() -> None:
    scheme, targets = LabelScheme(("a", "b")), np.array([0, 0, 0, 1])
    given = np.array([[0, 0, 1, 1], [0, 1, 1, 1]])
    repeats = [Predictions(tuple("wxyz"), targets, np.eye(2)[of], scheme) for of in given]
    folds = FoldPredictions(tuple((of,) for of in repeats))
    first = Predicted("run/tfidf", repeats[0], None, "macro_f1", part="cross-validated")
    found = confusion_matrix(first, folds=folds)
    assert "right on 2.5 of 4 cross-validated rows (62.5%)" in found.headline
    assert "(1.5, 50.0% of a)" in found.headline
    assert "1.5  50.0%" in "\n".join(found.lines())
    assert "means over 2 repeats" in found.legend
    assert found.to_json()["counts"] == [[1.5, 1.5], [0.0, 1.0]]
