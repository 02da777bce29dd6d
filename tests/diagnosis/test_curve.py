"""Tests of a learning curve: its nested shares, and its JSON."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError, RecipeError, RunError
from finetext.core.types import Dataset, LabelScheme, Score
from finetext.diagnosis.curve import (
    Curve,
    Expectation,
    LinePoint,
    MethodCurve,
    NestedShares,
    Point,
    PowerLaw,
    SizeChoice,
    checked_sizes,
    default_sizes,
    least_rows,
)
from finetext.evaluation.compare import Comparison
from finetext.storage.codec import from_json


def make(labels: list[Any], groups: list[str] | None = None) -> Dataset:
    several = isinstance(labels[0], list)
    names = sorted({name for label in labels for name in (label if several else [label])})
    numbers = [str(i) for i in range(len(labels))]
    columns = {"id": numbers, "text": numbers, "label": labels}
    columns |= {} if groups is None else {"group": groups}
    return Dataset(datasets.Dataset.from_dict(columns), LabelScheme(tuple(names), several))


rows = st.lists(st.sampled_from("aaaabbc"), min_size=0, max_size=120).map(
    lambda extra: make(list("abc") * 4 + extra)
)


@settings(max_examples=25)
@given(rows, st.integers(0, 2**32 - 1), st.data())
def test_shares_are_nested_and_stratified(data: Dataset, seed: int, draw: Any) -> None:
    sizes = sorted(draw.draw(st.sets(st.integers(6, len(data)), min_size=2, max_size=5)))
    shares = NestedShares.of(data, seed)
    parts = [shares.share(size) for size in sizes]
    whole = Counter(data.labels)
    for size, part in zip(sizes, parts, strict=True):
        assert len(part) == size == len(set(part.ids))
        assert part.ids == sorted(part.ids, key=int), "rows keep the order of the data"
        counts = Counter(part.labels)
        for name in "abc":
            assert counts[name] >= 2
            assert abs(counts[name] - whole[name] * size / len(data)) <= 4
    for small, large in pairwise(parts):
        assert set(small.ids) < set(large.ids)


@settings(max_examples=20)
@given(
    st.lists(st.text("ab", min_size=1, max_size=6), min_size=8, max_size=40),
    st.integers(0, 1000),
    st.floats(0.2, 1.0),
)
def test_groups_stay_whole(groups: list[str], seed: int, part: float) -> None:
    groups = [*groups, "ab", "ab"]
    labeled = [(f"g{i}", label) for i, group in enumerate(groups) for label in group]
    data = make([label for _, label in labeled], [group for group, _ in labeled])
    size = max(1, round(part * len(data)))
    shares = NestedShares.of(data, seed)
    share = shares.share(size)
    sizes = Counter(data.groups)
    assert Counter(share.groups) == {name: sizes[name] for name in set(share.groups or ())}
    assert abs(len(share) - size) <= max(sizes.values())
    assert set(share.ids) <= set(shares.share(len(data)).ids)
    assert len(shares.share(len(data))) == len(data)


def test_seeds_differ_in_rows_but_not_in_proportions() -> None:
    data = make(list("aab") * 40)
    one, same, other = (NestedShares.of(data, seed).share(30) for seed in (1, 1, 2))
    assert one.ids == same.ids
    assert set(one.ids) != set(other.ids)
    assert Counter(one.labels) == Counter(other.labels) == {"a": 20, "b": 10}


def test_small_shares_have_the_rare_class() -> None:
    data = make(["common"] * 500 + ["rare"] * 3)
    assert Counter(NestedShares.of(data, 0).share(25).labels)["rare"] == 2


def test_multilabel_shares_are_stratified_by_the_rarest_label() -> None:
    data = make([["x"], ["x", "y"], ["x"], [], ["x", "z"]] * 20)
    for size in (10, 25, 50):
        share = NestedShares.of(data, 3).share(size)
        counts = Counter(name for label in share.labels for name in label)
        assert abs(counts["y"] - size / 5) <= 2
        assert abs(counts["z"] - size / 5) <= 2
        assert abs(counts["x"] - size * 4 / 5) <= 4


def test_sizes_double_up_to_all_rows() -> None:
    data = make(list("ab") * 800)
    assert default_sizes(data, 6) == (50, 100, 200, 400, 800, 1600)
    assert default_sizes(data, 4) == (200, 400, 800, 1600)


def test_the_smallest_size_has_enough_rows_or_there_is_no_curve() -> None:
    sizes = default_sizes(make(list("ab") * 100), 6)
    assert (sizes[0], sizes[-1], len(sizes)) == (25, 200, 6)
    assert default_sizes(make(list("ab") * 20), 3) == (10, 20, 40)
    several = make([str(n % 30) for n in range(300)])
    assert default_sizes(several, 6)[0] == 60
    grouped = make(list("ab") * 100, [f"g{n // 20}" for n in range(200)])
    assert least_rows(grouped) == 80
    with pytest.raises(DataError, match="6 training rows are too few for a learning curve"):
        default_sizes(make(list("ab") * 3), 6)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((10, 50), "50 rows is asked for, but there are 40"), ((3, 20), "3 rows is too small")],
)
def test_impossible_sizes_are_rejected_and_others_sorted(
    sizes: tuple[int, ...], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        checked_sizes(make(list("ab") * 20), sizes)
    assert checked_sizes(make(list("ab") * 20), (20, 10, 20)) == (10, 20)


def test_a_curve_survives_json() -> None:
    undefined = Score(0.5, float("nan"), float("nan"), 9)
    point = Point(10, 10.5, undefined, (0.4, 0.6), 1.5)
    expected = Expectation(2.0, 40, Score(0.6, 0.5, 0.7, 9), Score(0.1, 0.0, 0.2, 9), True)
    law, line = PowerLaw(0.9, 0.5, 0.4, 10), (LinePoint(20.0, Score(0.5, 0.4, 0.6, 9)),)
    tfidf = MethodCurve("tfidf", (point,), "told", law, (expected,), line)
    against = Comparison("accuracy", Score(-0.1, -0.2, 0.0, 9), float("nan"), "t", 9, None)
    choice = SizeChoice(10, "tfidf", {"majority": against})
    curve = Curve("accuracy", "validation", 9, 20, (10, 20), 2, (tfidf,), (choice,), ())
    values = json.loads(json.dumps(curve.to_json(), allow_nan=False))
    assert values["choices"][0]["comparisons"]["majority"]["p_value"] is None
    assert repr(from_json(Curve, values, "the curve")) == repr(curve)
    del values["metric"]
    with pytest.raises(RunError, match="the curve cannot be read: metric"):
        from_json(Curve, values, "the curve")
