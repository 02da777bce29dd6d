"""The positive class: what its metrics and curves are, whichever way the data are turned."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.compare import compare
from finetext.evaluation.intervals import evaluate, per_class
from finetext.evaluation.metrics import applicable, metric_for
from finetext.evaluation.ranking import precision_recall

BINARY = ("binary_precision", "binary_recall", "binary_f1", "roc_auc", "average_precision")
NAMES = ("ham", "spam")


def of_rows(truth: list[int], likely: list[float], decision: Decision | None = None) -> Predictions:
    """Predictions of two classes; `likely` is the probability of the second."""
    second = np.array(likely)
    probabilities = np.stack([1 - second, second], axis=1)
    ids = tuple(map(str, range(len(truth))))
    scheme = LabelScheme(NAMES)
    return Predictions(ids, np.array(truth), probabilities, scheme, decision or Decision())


@st.composite
def some_predictions(draw: st.DrawFn) -> Predictions:
    """A few rows, with ties, sometimes of one class only, sometimes decided by a threshold."""
    count = draw(st.integers(1, 30))
    truth = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    steps = st.integers(0, 16).map(lambda step: step / 16)
    likely = draw(st.lists(steps, min_size=count, max_size=count))
    limit = draw(st.sampled_from([None, 0.21, 0.83]))
    decision = Decision() if limit is None else Decision(thresholds=(1 - limit, limit))
    return of_rows(truth, likely, decision)


def columns_swapped(of: Predictions) -> Predictions:
    """The same rows with the labels in the other order, as other data would have them."""
    scheme = LabelScheme(of.scheme.names[::-1], positive=of.scheme.positive)
    limits = of.decision.thresholds
    decision = Decision(thresholds=None if limits is None else limits[::-1])
    return replace(
        of, targets=1 - of.targets, probabilities=of.probabilities[:, ::-1], scheme=scheme,
        decision=decision,
    )  # fmt: skip


def values(of: Predictions, names: tuple[str, ...] = BINARY) -> list[float]:
    return [metric_for(name, of.scheme)(of) for name in names]


@settings(max_examples=60)
@given(some_predictions())
def test_binary_metrics_are_those_of_the_class_and_swap_with_it(of: Predictions) -> None:
    of_class = per_class(of, resamples=2)
    for label, own in zip(NAMES, of_class, strict=True):
        expected = [own.precision.value, own.recall.value, own.f1.value]
        np.testing.assert_allclose(values(of.with_positive(label), BINARY[:3]), expected)
    np.testing.assert_allclose(values(of), values(of.with_positive("spam")))


@settings(max_examples=60)
@given(some_predictions())
def test_recall_of_one_class_and_false_positives_of_the_other_add_up(
    of: Predictions,
) -> None:
    # Each row is given one of two labels, so the four counts of one class are those of the other.
    spam, ham = (precision_recall(of, label).decided for label in ("spam", "ham"))
    np.testing.assert_allclose(spam.recall, 1 - ham.false_positive_rate)
    np.testing.assert_allclose(ham.recall, 1 - spam.false_positive_rate)
    np.testing.assert_allclose(spam.threshold, 1 - ham.threshold)


@settings(max_examples=60)
@given(some_predictions())
def test_roc_auc_is_the_same_for_either_class(of: Predictions) -> None:
    first, second = (values(of.with_positive(label), ("roc_auc",)) for label in NAMES)
    np.testing.assert_allclose(first, second)


@settings(max_examples=60)
@given(some_predictions(), st.sampled_from(NAMES))
def test_the_order_of_the_labels_changes_no_figure(of: Predictions, label: str) -> None:
    named = of.with_positive(label)
    swapped = columns_swapped(named)
    everything = tuple(applicable(named.scheme))
    likely_tied = np.isclose(named.probabilities[:, 0], 0.5) & (of.decision.thresholds is None)
    names = BINARY[3:] if likely_tied.any() else everything  # a tie goes to the first label
    np.testing.assert_allclose(values(named, names), values(swapped, names))
    curve, other = precision_recall(named), precision_recall(swapped)
    for part in ("thresholds", "precision", "recall", "false_positive_rate"):
        np.testing.assert_allclose(getattr(curve, part), getattr(other, part))


@settings(max_examples=40)
@given(
    some_predictions(),
    st.lists(st.text(min_size=1, max_size=5), min_size=2, max_size=2, unique=True),
    st.sampled_from([0, 1]),
)
def test_other_names_of_the_labels_change_no_figure(
    of: Predictions, names: list[str], column: int
) -> None:
    named = of.with_positive(NAMES[column])
    renamed = replace(of, scheme=LabelScheme(tuple(names))).with_positive(names[column])
    first, second = (
        {name: astuple(score) for name, score in evaluate(each, resamples=20).items()}
        for each in (named, renamed)
    )
    np.testing.assert_equal(first, second)
    told, again = (precision_recall(each).to_json() for each in (named, renamed))
    assert (told.pop("positive"), again.pop("positive")) == (NAMES[column], names[column])
    assert told == again


@settings(max_examples=40)
@given(some_predictions(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_figure(of: Predictions, random: object) -> None:
    order = np.arange(len(of))
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = replace(of, targets=of.targets[order], probabilities=of.probabilities[order])
    np.testing.assert_allclose(values(of), values(moved))
    assert precision_recall(of).to_json() == precision_recall(moved).to_json()


@settings(max_examples=40)
@given(some_predictions(), st.sampled_from(NAMES))
def test_each_point_is_what_its_threshold_gives(of: Predictions, label: str) -> None:
    curve = precision_recall(of, label)
    column = NAMES.index(label)
    scores, truth = of.probabilities[:, column], of.targets == column
    for point in curve.points():
        given = scores >= point.threshold
        np.testing.assert_allclose(point.precision, truth[given].mean())
        if truth.any():
            np.testing.assert_allclose(point.recall, given[truth].mean())
    assert curve.prevalence == truth.mean()
    if curve.best is not None:
        assert curve.best.f1 == pytest.approx(max(point.f1 for point in curve.points()))


def test_the_curve_says_which_class_it_is_of_and_where_the_decision_stands() -> None:
    of = of_rows([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9], Decision(thresholds=(0.75, 0.25)))
    curve = precision_recall(of)
    assert (curve.positive, curve.rows, curve.prevalence) == ("spam", 4, 0.5)
    assert (curve.decided.threshold, curve.decided.recall) == (0.25, 1.0)
    assert curve.decided.precision == pytest.approx(2 / 3)
    assert precision_recall(of, "ham").decided.threshold == 0.75
    assert precision_recall(of.with_positive("ham")).positive == "ham"


def test_a_comparison_by_different_positive_classes_is_refused() -> None:
    of = of_rows([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
    pair = of.with_positive("ham"), of.with_positive("spam")
    with pytest.raises(DataError, match=r"'ham' in the first .* 'spam' in the second; choose one"):
        compare(*pair, "binary_f1")
    assert compare(*pair, "binary_f1", positive="ham").difference.value == 0
    assert compare(*pair, "macro_f1").difference.value == 0  # which is about both


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        (LabelScheme(("a", "b", "c")), "these have 3 labels"),
        (LabelScheme(("a", "b"), multilabel=True), "these have several labels per row"),
    ],
)
def test_a_curve_needs_two_classes(scheme: LabelScheme, said: str) -> None:
    k = len(scheme)
    targets = np.eye(k, dtype=np.int64) if scheme.multilabel else np.arange(k)
    of = Predictions(tuple("xyz"[:k]), targets, np.full((k, k), 1 / k), scheme)
    with pytest.raises(DataError, match=said):
        precision_recall(of)


def test_a_curve_needs_rows() -> None:
    empty = of_rows([], [])
    with pytest.raises(DataError, match="rows with one of two labels; there are none"):
        precision_recall(empty)
