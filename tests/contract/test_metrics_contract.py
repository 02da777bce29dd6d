"""What holds for every metric in the registry, those of other packages included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core import registry
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.metrics import applicable


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    """Any number of rows and labels; certain, tied and one-sided ones included."""
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows, labels, several = draw(st.integers(1, 12)), draw(st.integers(2, 4)), draw(st.booleans())
    raw = random.integers(0, draw(st.integers(2, 9)), size=(rows, labels)) / 8
    used = draw(st.integers(1, labels))
    if several:
        targets = (random.random((rows, labels)) < draw(st.sampled_from([0, 0.4, 1]))).astype(int)
    else:
        targets = random.integers(used, size=rows)
        raw[:, 0] += raw.sum(axis=1) == 0
        raw /= raw.sum(axis=1, keepdims=True)
    names = tuple(f"label {column}" for column in range(labels))
    ids = tuple(map(str, range(rows)))
    return Predictions(ids, targets, raw, LabelScheme(names, several))


@given(predictions())
@settings(max_examples=60)
def test_every_applicable_metric_is_in_range_or_undefined(made: Predictions) -> None:
    names = [
        n for n in registry.names("metrics") if registry.load("metrics", n).applies(made.scheme)
    ]
    assert set(names) == set(applicable(made.scheme))
    for name in names:
        metric = registry.load("metrics", name)
        value = metric(made)
        assert not np.isinf(value), name
        if metric.proportion and not np.isnan(value):
            assert -1e-12 <= value <= 1 + 1e-12, name
        assert metric.goodness(made) == (-np.inf if np.isnan(value) else pytest.approx(
            value if metric.higher_is_better else -value)), name  # fmt: skip


@given(predictions(), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_no_metric_depends_on_the_order_of_rows(made: Predictions, random: object) -> None:
    order = np.random.default_rng(len(made)).permutation(len(made))
    shuffled = Predictions(
        tuple(made.ids[i] for i in order), made.targets[order], made.probabilities[order],
        made.scheme,
    )  # fmt: skip
    for name in applicable(made.scheme):
        metric = registry.load("metrics", name)
        assert metric(shuffled) == pytest.approx(metric(made), nan_ok=True), name


@given(predictions())
@settings(max_examples=30)
def test_effects_are_what_one_more_row_of_each_label_changes(made: Predictions) -> None:
    k = len(made.scheme)
    for name in applicable(made.scheme):
        metric = registry.load("metrics", name)
        effects = metric.effects(made)
        assert effects.shape == (2, k), name
        assert np.isfinite(effects).all(), name
        if name != "micro_f1" or np.isnan(metric(made)):
            continue
        label = np.eye(k, dtype=np.int64)[:1]
        targets = label if made.scheme.multilabel else np.zeros(1, dtype=np.int64)
        more = Predictions(
            (*made.ids, "more"), np.concatenate([made.targets, targets]),
            np.concatenate([made.probabilities, label]), made.scheme,
        )  # fmt: skip
        assert effects[0, 0] == pytest.approx(metric(more) - metric(made))
