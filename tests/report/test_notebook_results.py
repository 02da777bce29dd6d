"""Results as a notebook shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext import LabelScheme, Predictions, Run
from finetext.core.types import Predicted
from finetext.diagnosis.explain import ClassWords, Explanation, Word
from finetext.diagnosis.label_errors import Suspect, Suspects
from finetext.pretraining.folder import Origin
from finetext.pretraining.learning import Adapted
from finetext.report.notebook_results import notebook_html

HOSTILE = "<script>alert(1)</script>"


def predicted(seed: int = 0, multilabel: bool = False) -> Predicted:
    random = np.random.default_rng(seed)
    likely = random.dirichlet(np.ones(2), 60)
    targets: Any = np.random.default_rng(9).integers(2, size=(60, 2) if multilabel else 60)
    scheme = LabelScheme((HOSTILE, "b"), multilabel=multilabel)
    of = Predictions(tuple(f"r{row}" for row in range(60)), targets, likely, scheme)
    texts = tuple(f"{HOSTILE} text {row}" for row in range(60))
    return Predicted("mine", of, texts, "macro_f1", part="validation")


def test_errors_are_tables_and_a_data_frame() -> None:
    found = finetext.find_errors(predicted(), 12)
    shown = found._repr_html_()
    assert "script>alert" not in shown
    assert f"mine: {found.wrong} of 60 validation rows wrong" in shown
    assert shown.count("<table>") == 3
    assert shown.count("<tr>") == (1 + 10) + (1 + len(found.confusions)) + (1 + 5)
    frame = found.to_pandas()
    assert list(frame["id"]) == [row.id for row in found.highest]
    assert list(frame["truth"]) == [row.truth[0] for row in found.highest]
    several = finetext.find_errors(predicted(multilabel=True), 12)
    assert list(several.to_pandas()["truth"]) == [row.truth for row in several.highest]
    for row in several.highest[:10]:
        named = ", ".join(row.truth).replace(HOSTILE, "&lt;script&gt;alert(1)&lt;/script&gt;")
        assert f"<td>{named or 'none'}</td>" in several._repr_html_()


def test_scores_are_tables_and_data_frames() -> None:
    of = predicted().predictions
    scores, labels = finetext.evaluate(of), finetext.per_class(of)
    assert f"<td>accuracy</td><td>{scores['accuracy']}</td>" in scores._repr_html_()
    assert "nan" not in scores._repr_html_()
    frame = scores.to_pandas()
    assert frame.loc["accuracy", "low"] == scores["accuracy"].low
    assert "<td>&lt;script&gt;" in labels._repr_html_()
    assert "60 rows" in labels._repr_html_()
    assert labels.to_pandas().loc["b", "f1_high"] == labels[1].f1.high
    assert labels.to_pandas()["rows"].sum() == 60
    assert "0 rows" in type(labels)()._repr_html_()


def test_comparisons_name_the_difference_and_its_p_value() -> None:
    one, other = predicted(0).predictions, predicted(1).predictions
    found = finetext.compare(one, other)
    shown = found._repr_html_()
    assert f"the first minus the second: {found.difference.value:+.3f} [" in shown
    assert f"p = {found.p_value:.3f}" in shown
    far = replace(found, p_value=1e-9)
    assert "p &lt; 0.001" in far._repr_html_()
    several = finetext.compare_all({"a": one, "b<": other}, "accuracy")
    assert several.verdict(several.pairs[0]) in several._repr_html_()
    assert "a minus b&lt;" in several._repr_html_()


def test_suggestions_for_test_rows_are_not_shown() -> None:
    rows = [Suspect(f"r{n}", HOSTILE, "a", "b", 0.1, 0.9, 0.1) for n in range(12)]
    found = Suspects("tfidf", 5, 60, tuple(rows), 1.0, withheld=2, test=("r1",))
    shown = found._repr_html_()
    assert shown.count("<td>b</td>") == 9
    assert shown.count("(test row)") == 1
    assert "12 labels of 60 may be wrong" in shown
    assert "2 more labels that it doubts" in shown
    assert "<script" not in shown
    frame = found.to_pandas()
    assert list(frame.loc[frame["id"] == "r1", "suggested"].isna()) == [True]
    assert frame["suggested"].count() == 11
    assert list(replace(found, suspects=()).to_pandas().columns) == list(frame.columns)


def test_an_explanation_colors_its_words() -> None:
    words = (Word("good", 0, 4, 2.0), Word("film", 5, 9, -1.0))
    about: Any = ("good film<", "pos", 0.9, ("pos",), "occlusion", words)
    of = Explanation(*about, 0, 1.0, None, 0.2, 0, 1)
    shown = of._repr_html_()
    assert 'rgba(37, 99, 235, 0.60); border-radius: 3px" title="+2.000">good</span>' in shown
    assert 'rgba(217, 119, 6, 0.30); border-radius: 3px" title="-1.000">film</span>&lt;' in shown
    many = ClassWords("tfidf", "occlusion", 3, {"a": (("w<", 1.5, 3),), "none": ()})
    assert "<td>a</td><td>w&lt; (+1.50)</td>" in many._repr_html_()
    assert "none" not in many._repr_html_()


def test_slices_data_and_encoders_are_tables() -> None:
    slices = finetext.find_slices(predicted())
    assert slices.slices
    assert "less the other rows [95%]" in slices._repr_html_()
    data = finetext.read(([f"{HOSTILE} {n}" for n in range(20)], ["x", "y"] * 10))
    shown = finetext.explore(data)._repr_html_()
    assert "<td>x</td><td>10</td><td>50.0%</td>" in shown
    assert "Percentiles of the number of words" in shown
    assert "<script" not in shown
    origin = Origin("pretrained", "", {}, 12.0, {"perplexity": 900.0}, {"perplexity": 41.5}, {})
    shown = Adapted(Path("own<"), origin)._repr_html_()
    assert "<td>perplexity</td><td>900</td><td>41.5</td>" in shown
    assert "own&lt;: held-out text before and after 12 s" in shown


def test_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="how a notebook shows a int"):
        notebook_html(3)


def test_a_run_finds_its_errors_and_its_label_errors(finished: Path) -> None:
    run = Run.open(finished)
    found = run.errors("tfidf", count=3)
    assert found == finetext.find_errors(
        finetext.open_predicted(finished, "tfidf", "validation"), 3
    )
    suspects = run.label_errors(finetext.Tfidf(inverse_regularisation=1.0), folds=2)
    assert (suspects.rows, suspects.folds) == (60, 2)


def test_suggestions_for_test_rows_are_hidden(workplace: Path) -> None:
    texts, other = {"good": "a fine film", "bad": "a dull film"}, {"good": "bad", "bad": "good"}
    labels = ["good", "bad"] * 150
    rows = [
        f"{texts[label]} number {number},{other[label] if number % 10 == 0 else label}"
        for number, label in enumerate(labels)
    ]
    Path("films.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    method, split = finetext.Tfidf(), finetext.SplitSettings(cross_validate=False)
    run = finetext.train(
        finetext.Recipe(source="films.csv", split=split, methods={"tfidf": method})
    )
    suspects = run.label_errors(method, folds=2)
    tested = {one.id for one in suspects.suspects} & set(run.predictions().ids)
    assert tested
    assert {*suspects.test} == tested
    suggested = suspects.to_pandas().set_index("id")["suggested"]
    assert suggested.isna().to_dict() == {one: one in tested for one in suggested.index}
