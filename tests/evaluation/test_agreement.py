"""Agreement is that of published examples and of scikit-learn, with intervals that cover."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from finetext.core.annotations import AnnotatedText, Annotations
from finetext.core.errors import DataError
from finetext.data.read import read
from finetext.evaluation.agreement import (
    Agreement,
    agreement,
    agreement_of,
    cohen_kappa,
    krippendorff_alpha,
    share_of,
)
from finetext.evaluation.estimates import of_units

_ = None
KRIPPENDORFF = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3),
    (_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _),
)
"""Four observers of twelve units: Krippendorff, Computing Krippendorff's alpha-reliability, C."""
WIKIPEDIA = (
    (_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3),
    (1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _),
    (_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4),
)


def answers_in(matrix: Any) -> list[list[tuple[str, ...]]]:
    """The answers to each unit of a matrix with a row for each observer."""
    return [[(str(own),) for own in unit if own is not None] for unit in zip(*matrix, strict=True)]


def annotated(matrix: Any, column: str | None = "coder") -> Annotations:
    units = list(zip(*matrix, strict=True))
    texts = tuple(
        AnnotatedText(str(n), f"text {n}", tuple(
            (f"c{row}", (str(own),)) for row, own in enumerate(unit) if own is not None))
        for n, unit in enumerate(units)
        if sum(own is not None for own in unit) > 1
    )  # fmt: skip
    return Annotations(column, texts, len(units))


@pytest.mark.parametrize(("matrix", "alpha"), [(KRIPPENDORFF, 0.743), (WIKIPEDIA, 0.691)])
def test_alpha_is_that_of_published_examples(matrix: Any, alpha: float) -> None:
    found = krippendorff_alpha(answers_in(matrix))
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert found.low < found.value < found.high


def test_the_interval_of_alpha_is_the_jackknife_over_texts() -> None:
    answers = [given for given in answers_in(KRIPPENDORFF) if len(given) > 1]
    without = np.array([
        krippendorff_alpha(answers[:at] + answers[at + 1 :]).value for at in range(len(answers))
    ])  # fmt: skip
    found = krippendorff_alpha(answers)
    assert (found.low, min(1.0, found.high)) == pytest.approx(
        (of_units(found.value, without).lower(0.025),
         min(1.0, of_units(found.value, without).upper(0.025)))
    )  # fmt: skip


def test_alpha_without_disagreement_has_an_interval_and_one_label_has_no_alpha() -> None:
    found = krippendorff_alpha([[("a",), ("a",)], [("b",), ("b",)]] * 10)
    assert found.value == 1
    assert 0 < found.low < 1
    assert math.isnan(krippendorff_alpha([[("a",), ("a",)]] * 5).value)


def test_kappa_is_that_of_scikit_learn_with_the_jackknife() -> None:
    random = np.random.default_rng(0)
    a = random.integers(3, size=50)
    b = np.where(random.random(50) < 0.7, a, random.integers(3, size=50))
    found = cohen_kappa(a, b)
    without = np.array([cohen_kappa_score(np.delete(a, i), np.delete(b, i)) for i in range(50)])
    expected = of_units(cohen_kappa_score(a, b), without)
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == pytest.approx(expected.interval())


def test_the_human_ceiling_leaves_out_the_annotator_that_is_judged() -> None:
    # With the own vote, everybody is right on 2 of 3; without it, the third has nobody beside.
    found = agreement_of(annotated([["a"] * 9, ["a"] * 9, ["a"] * 3 + ["b"] * 6]), "ab", False)
    assert found.ceiling.value == pytest.approx((3 * 1 + 6 * (0.5 + 0.5 + 0) / 3) / 9)
    assert [of.agreed.value for of in found.people] == pytest.approx([6 / 9, 6 / 9, 3 / 9])
    assert found.agreed.value == pytest.approx(3 / 9)
    assert found.without_majority == 0


def test_agreement_of_classes_and_pairs() -> None:
    found = agreement_of(annotated([[*"aabb"], [*"aabc"], ["a", None, "b", "b"]]), "abcd", False)
    by_class = {of.name: of.agreed for of in found.classes}
    assert by_class["a"].value == 1
    assert by_class["b"].value == pytest.approx((3 + 2 * 1 / 2) / 5)
    assert by_class["c"].value == 0
    assert math.isnan(by_class["d"].value)
    assert [(of.a, of.b, of.agreed.n) for of in found.pairs] == [
        ("c0", "c1", 4), ("c0", "c2", 3), ("c1", "c2", 3),
    ]  # fmt: skip
    assert Agreement.from_json(found.to_json()).people == found.people


def test_several_labels_agree_as_sets_and_label_by_label() -> None:
    texts = tuple(
        AnnotatedText(str(n), "t", (("x", ("joy", "love")), ("y", ("joy",)), ("z", ("joy",))))
        for n in range(4)
    )
    found = agreement_of(Annotations("coder", texts, 4), ("joy", "love"), True)
    assert found.metric == "subset_accuracy"
    assert found.agreed.value == 0
    by_class = {of.name: of.agreed.value for of in found.classes}
    assert by_class == {"joy": 1, "love": 0}


def test_intervals_of_shares_cover() -> None:
    random, hits = np.random.default_rng(0), 0
    for _ in range(400):
        hard = random.random((40, 1)) < 0.3
        right = random.random((40, 3)) < np.where(hard, 0.4, 0.95)
        found = share_of(right.mean(axis=1).tolist())
        hits += found.low <= 0.3 * 0.4 + 0.7 * 0.95 <= found.high
    assert 0.92 <= hits / 400 <= 0.98
    assert share_of([1.0] * 20).high == 1
    assert share_of([1.0] * 20).low < 0.9


def test_data_of_one_opinion_have_no_agreement() -> None:
    with pytest.raises(DataError, match="no text was labeled twice"):
        agreement(read({"text": ["x", "y"], "label": ["a", "b"]}))
    with pytest.raises(DataError, match=r"finetext\.read"):
        agreement("reviews.csv")  # type: ignore[arg-type]
    found = agreement(read({"text": ["x", "x", "y", "y"], "label": [*"abaa"]}))
    assert (found.column, found.annotators, found.texts, found.people) == (None, 0, 2, ())
