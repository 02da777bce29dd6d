"""When to stop labeling."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.core.types import LabelScheme
from finetext.studio import outlook
from finetext.studio.outlook import FEWEST_RANDOM, Outlook, coverage_of
from finetext.studio.state_probe import Labeled, Standard, StateProbe

SCHEME = LabelScheme(("a", "b", "c"))


def labels(n: int, noise: float = 2.0, seed: int = 0) -> Labeled:
    random = np.random.default_rng(seed)
    targets = random.integers(0, 3, n)
    centers = np.random.default_rng(5).standard_normal((3, 20))
    states = centers[targets] + noise * random.standard_normal((n, 20))
    return Labeled(states, targets, random.random(n) < 0.2, SCHEME)


def outlook_of(
    labeled: Labeled, standard: Standard | None, left: int, undecided: int = 0
) -> Outlook:
    coverage = coverage_of(labeled.targets, labeled.is_random, labeled.scheme)
    return outlook.outlook_of(labeled, standard, coverage, left, undecided)


def test_accuracy_is_that_of_a_probe_which_never_saw_the_random_stream() -> None:
    labeled = labels(300)
    standard = Standard.of(labeled.states)
    found = outlook_of(labeled, standard, left=1_000)
    random = labeled.is_random
    probe = StateProbe.fit(labeled.select(~random), standard)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(probe.right(labeled.select(random)).mean())
    assert found.accuracy.n == random.sum()
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high
    assert f"by {random.sum()} labels of the random stream" in found.sentence


def test_the_interval_holds_as_often_as_it_says() -> None:
    """The true accuracy, on 20,000 other texts, is within it in about 95% of the draws."""
    standard, many = Standard.of(labels(5_000, seed=99).states), labels(20_000, seed=100)
    held = []
    for seed in range(60):
        labeled = labels(200, seed=seed)
        found = outlook_of(labeled, standard, left=0).accuracy
        truth = StateProbe.fit(labeled.select(~labeled.is_random), standard).right(many).mean()
        assert found is not None
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) >= 0.88


def test_gains_are_forecast_only_as_far_as_texts_and_labels_reach() -> None:
    labeled = labels(120)
    found = outlook_of(labeled, Standard.of(labeled.states), left=220)
    assert found.forecast is not None
    assert [of.labels for of in found.forecast] == [50, 100, 200]
    assert all(of.gain.low <= of.gain.value <= of.gain.high for of in found.forecast)
    assert found.forecast[0].gain.value <= found.forecast[-1].gain.value
    assert "200 more labels: about" in found.advice
    assert [point.labels for point in found.curve][-1] == (~labeled.is_random).sum()
    none_left = outlook_of(labeled, Standard.of(labeled.states), left=10)
    assert none_left.forecast is None
    assert none_left.forecast_why_not == "few texts are left without a label"


def test_it_says_to_stop_where_labels_hardly_help() -> None:
    labeled = labels(900, noise=0.6)
    found = outlook_of(labeled, Standard.of(labeled.states), left=9_000)
    assert found.accuracy is not None
    assert found.accuracy.value > 0.9
    assert "hardly help" in found.advice or "right on every text" in str(found.forecast_why_not)


def test_nothing_is_claimed_of_few_labels() -> None:
    labeled = labels(30)
    few = labeled.select(np.flatnonzero(~labeled.is_random | (np.cumsum(labeled.is_random) <= 1)))
    found = outlook_of(few, Standard.of(labeled.states), left=100)
    assert found.accuracy is None
    assert found.forecast is None
    assert found.why_not == f"{FEWEST_RANDOM} labels in the random stream are needed; there is 1"
    before = outlook_of(few, None, left=100)
    assert before.why_not == "the texts are still being read by the encoder"
    one_class = labels(100)
    one_class = one_class.select((one_class.targets == 1) | one_class.is_random)
    same = outlook_of(one_class, Standard.of(labeled.states), left=100)
    assert same.why_not == "all labels to learn from are the same"


def test_classes_with_few_labels_are_named_and_texts_without_a_decision_are_counted() -> None:
    labeled = labels(200)
    thin = labeled.select(np.flatnonzero((labeled.targets != 2) | (np.arange(200) < 9)))
    found = outlook_of(thin, Standard.of(thin.states), left=500, undecided=2)
    assert [of.enough for of in found.coverage] == [True, True, False]
    assert "Fewer than 10 labels to learn from: 'c'." in found.advice
    assert "2 texts of it without a decision do not count" in found.sentence


def test_coverage_counts_each_label_of_a_text_and_its_share_of_the_random_stream() -> None:
    scheme = LabelScheme(("a", "b"), multilabel=True)
    targets = np.array([[1, 1], [1, 0], [0, 0], [1, 0]])
    a, b = coverage_of(targets, np.array([True, True, False, False]), scheme)
    assert (a.judged, a.random, b.judged, b.random) == (3, 2, 1, 1)
    assert b.share.value == 0.5
    assert b.share.low < 0.5 < b.share.high
