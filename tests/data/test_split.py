"""Splits share no row and no group, keep the classes, and depend on the seed alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError, RecipeError
from finetext.core.settings import SplitSettings
from finetext.core.types import Dataset, LabelScheme, Splits
from finetext.data.split import folds, split


def make(labels: list[Any], **columns: list[str]) -> Dataset:
    """A data set with the given labels: names, or lists of names."""
    several = bool(labels) and isinstance(labels[0], list)
    names = sorted({n for label in labels for n in (label if several else [label])})
    numbers = list(map(str, range(len(labels))))
    table = datasets.Dataset.from_dict(
        {"id": numbers, "text": [f"t{i}" for i in numbers], "label": labels, **columns}
    )
    return Dataset(table, LabelScheme(tuple(names), several))


def ids(splits: Splits) -> list[list[str]]:
    return [part.ids for _, part in splits.items()]


def assert_disjoint(splits: Splits, rows: int | None = None) -> None:
    together = [row for part in ids(splits) for row in part]
    assert len(set(together)) == len(together)
    assert rows is None or len(together) == rows
    for part in ids(splits):
        assert part == sorted(part, key=int), "rows keep the order of the data"


labeled = st.lists(st.sampled_from("abc"), min_size=0, max_size=150).map(
    lambda extra: make(list("abc") * 10 + extra)
)


@settings(max_examples=40)
@given(labeled, st.integers(0, 2**32), st.floats(0.11, 0.4), st.floats(0.11, 0.4))
def test_stratified_parts_cover_all_rows_and_hold_every_class(
    data: Dataset, seed: int, validation: float, test: float
) -> None:
    splits = split(data, SplitSettings(validation=validation, test=test), seed)
    assert_disjoint(splits, len(data))
    whole = Counter(data.labels)
    for _, part in splits.items():
        counts = Counter(part.labels)
        assert set(counts) == set(whole)
        for name in whole:
            assert abs(counts[name] - whole[name] * len(part) / len(data)) <= 2
    assert len(splits.test) == int(test * len(data) + 0.5)


@settings(max_examples=40)
@given(
    st.lists(st.text("ab", min_size=1, max_size=6), min_size=20, max_size=60),
    st.integers(0, 1000),
    st.sampled_from(["stratified", "random"]),
)
def test_no_group_is_in_two_splits(labels: list[str], seed: int, strategy: Any) -> None:
    groups = [*labels, "ab", "ab", "ab", "ab"]
    rows = [(f"g{i}", label) for i, group in enumerate(groups) for label in group]
    data = make([label for _, label in rows], group=[group for group, _ in rows])
    splits = split(data, SplitSettings(strategy=strategy), seed)
    assert_disjoint(splits, len(data))
    groups = [group for _, part in splits.items() for group in set(part.groups or [])]
    assert len(set(groups)) == len(groups)


@settings(max_examples=20)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), unique=True), min_size=0, max_size=150),
    st.integers(0, 1000),
)
def test_multilabel_sizes_are_exact_and_labels_near_their_share(
    extra: list[list[str]], seed: int
) -> None:
    data = make([["a"], ["b"], ["c", "d"], ["d"], []] * 20 + extra)
    splits = split(data, SplitSettings(test=30, validation=0.2), seed)
    assert_disjoint(splits, len(data))
    assert len(splits.test) == 30
    shares = data.targets.sum(axis=0) / len(data)
    for _, part in splits.items():
        assert np.abs(part.targets.sum(axis=0) - shares * len(part)).max() <= 4


@pytest.mark.parametrize("strategy", ["stratified", "random"])
@pytest.mark.parametrize("several", [False, True])
def test_the_seed_alone_decides(strategy: Any, several: bool) -> None:
    labels: list[Any] = [["a"], ["b"], ["a", "b"]] * 40 if several else list("abc") * 40
    data = make(labels)
    settings_ = SplitSettings(strategy=strategy)
    assert ids(split(data, settings_, 3)) == ids(split(make(labels), settings_, 3))
    assert ids(split(data, settings_, 3)) != ids(split(data, settings_, 4))


def test_rows_chosen_are_the_same_on_every_machine() -> None:
    splits = split(make(list("abbb") * 10), SplitSettings(validation=4, test=4), 7)
    assert splits.test.ids == ["9", "22", "31", "36"]
    assert splits.validation.ids == ["2", "20", "21", "34"]


def test_counts_leave_the_rest_out() -> None:
    data = make(list("aab") * 100)
    splits = split(data, SplitSettings(train=100, validation=30, test=60))
    assert [len(part) for _, part in splits.items()] == [100, 30, 60]
    assert Counter(splits.test.labels) == {"a": 40, "b": 20}
    assert_disjoint(splits)


def test_shares_that_add_up_to_one_take_every_row() -> None:
    for rows in range(20, 40):
        data = make(list("ab") * rows)
        sizes = SplitSettings(train=0.7, validation=0.15, test=0.15)
        assert_disjoint(split(data, sizes))
        assert sum(map(len, ids(split(data, sizes)))) >= 2 * rows - 1


def ready_made(**sizes: int) -> Dataset:
    names = [name for name, rows in sizes.items() for _ in range(rows)]
    return make(list("ab") * (len(names) // 2), split=names)


def test_ready_made_parts_are_kept() -> None:
    splits = split(ready_made(train=60, validation=20, test=30))
    assert [len(part) for _, part in splits.items()] == [60, 20, 30]
    assert set(splits.test.column("split")) == {"test"}


@pytest.mark.parametrize("missing", ["validation", "test"])
def test_a_missing_split_is_carved_out_of_train(missing: str) -> None:
    there = "test" if missing == "validation" else "validation"
    data = ready_made(**{"train": 100, there: 40})
    parts = dict(split(data).items())
    assert set(parts[there].column("split")) == {there}  # type: ignore[index]
    assert set(parts[missing].column("split")) == {"train"}  # type: ignore[index]
    assert len(parts[missing]) == 15  # type: ignore[index]
    assert len(parts["train"]) == 85


@pytest.mark.parametrize("several", [False, True])
def test_a_class_of_one_row_is_learned_where_test_rows_are_given(several: bool) -> None:
    labels = [*"ab" * 20, "once", *"ab" * 5]
    parts = ["train"] * 41 + ["test"] * 10
    data = make([[label] for label in labels] if several else labels, split=parts)
    splits = split(data)
    assert_disjoint(splits, rows=51)
    assert "40" in splits.train.ids
    assert len(splits.validation) == 6
    groups = [f"g{row}" for row in range(51)]
    grouped = make(data.labels, split=parts, group=groups)
    with pytest.raises(DataError, match="'once' has 1 row in 1 group, but train and validation"):
        split(grouped)


def test_copies_stay_together_beside_a_class_of_one_row() -> None:
    words = [f"w{row} x{row} y{row} z{row}" for row in range(20)]
    texts = [*words, *words, "of its own", *(f"test {row}" for row in range(10))]
    table = make([*"ab" * 20, "once", *"ab" * 5], split=["train"] * 41 + ["test"] * 10).table
    data = replace(
        make(["a", "b", "once"]), table=table.remove_columns("text").add_column("text", texts)
    )
    splits = split(data)
    assert "of its own" in splits.train.texts
    assert len(splits.validation) >= 2
    assert not set(splits.train.texts) & set(splits.validation.texts)


def test_validation_has_a_row_of_each_class_where_test_rows_are_given() -> None:
    labels = [str(row % 12) for row in range(48)]
    data = make([*labels, *labels[:12]], split=["train"] * 48 + ["test"] * 12)
    assert set(split(data).validation.labels) == set(labels)
    many = make([*map(str, range(20))] * 2 + ["0", "1"], split=["train"] * 40 + ["test"] * 2)
    with pytest.raises(DataError, match="fewer than the 20 classes"):
        split(many)


def test_rows_of_one_for_each_class_cannot_be_divided() -> None:
    with pytest.raises(DataError, match=r"6 rows with 6 labels .* give 2 rows or more of each"):
        split(make(list("abcdef")), SplitSettings(cross_validate=True))


def test_carving_respects_groups_and_ready_made_splits() -> None:
    labels = list("ab") * 60
    groups = [f"g{i // 4}" for i in range(120)]
    data = make(labels, group=groups, split=["train"] * 80 + ["test"] * 40)
    splits = split(data)
    assert len(splits.test) == 40
    assert not set(splits.train.groups or []) & set(splits.validation.groups or [])


def test_sizes_of_ready_made_parts_sample_each_of_them() -> None:
    data = ready_made(train=200, test=100)
    splits = split(data, SplitSettings(train=80, validation=40, test=0.5))
    assert [len(part) for _, part in splits.items()] == [80, 40, 50]
    assert set(splits.test.column("split")) == {"test"}
    assert Counter(splits.test.labels) == {"a": 25, "b": 25}


def test_groups_can_be_ignored() -> None:
    data = make(list("ab") * 30, group=["one"] * 60)
    assert len(split(data, SplitSettings(grouped=False)).test) == 9


def test_random_needs_no_labels() -> None:
    table = datasets.Dataset.from_dict({"id": list("0123456789"), "text": list("abcdefghij")})
    splits = split(Dataset(table), SplitSettings(strategy="random"))
    assert_disjoint(splits, 10)


@pytest.mark.parametrize(
    ("data", "asked", "words"),
    [
        (make(["a"] * 50 + ["b"] * 2), SplitSettings(), ["'b'", "2 rows", "merge"]),
        (make(list("ab") * 10), SplitSettings(test=30), ["30", "20"]),
        (make(list("ab") * 10), SplitSettings(train=15), ["more than the 20 rows", "15"]),
        (make(list("ab") * 10), SplitSettings(validation=0.6, test=0.6), ["more than the 20"]),
        (make(list("ab") * 3), SplitSettings(), ["1 row,", "2 classes"]),
        (make(list("ab") * 1), SplitSettings(strategy="random"), ["empty"]),
        (make(["a"] * 30), SplitSettings(), ["'a'", "two"]),
        (make(list("ab") * 9, group=list("xy") * 9), SplitSettings(), ["2 groups"]),
        (make(list("ab") * 9, group=list("xyz") * 6), SplitSettings(test=17), ["more than"]),
        (make(list("ab") * 9), SplitSettings(grouped=True), ["--group"]),
        (make(list("ab") * 9, split=["dev"] * 18), SplitSettings(), ["'dev'"]),
        (make(list("ab") * 9, split=["test"] * 18), SplitSettings(), ["none of them is train"]),
        (ready_made(train=20, test=10), SplitSettings(test=11), ["11", "10"]),
        (
            make(["a", "b", "b"] * 9, group=[f"g{i}" if i % 3 else "one" for i in range(27)]),
            SplitSettings(),
            ["'a'", "9 rows in 1 group,"],
        ),
    ],
)
def test_impossible_splits_are_refused(
    data: Dataset, asked: SplitSettings, words: list[str]
) -> None:
    with pytest.raises((DataError, RecipeError)) as caught:
        split(data, asked)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "bad", [{"test": 1.0}, {"test": -0.1}, {"train": 0}, {"validation": -3}, {"strategy": "best"}]
)
def test_impossible_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        SplitSettings(**bad)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_folds_hold_each_row_out_once(several: bool, grouped: bool) -> None:
    labels: list[Any] = [["a"], ["b"], ["a", "b"]] * 20 if several else list("abc") * 20
    data = make(labels, **({"group": [f"g{i // 3}" for i in range(60)]} if grouped else {}))
    held_out = []
    for rest, held in folds(data, k=4):
        assert sorted(rest.ids + held.ids) == sorted(data.ids)
        assert 12 <= len(held) <= 18
        if grouped:
            assert not set(rest.groups or []) & set(held.groups or [])
        held_out += held.ids
    assert sorted(held_out) == sorted(data.ids)


def test_folds_leave_the_test_part_out() -> None:
    data = ready_made(train=40, validation=20, test=30)
    seen = {row for pair in folds(data, k=3) for part in pair for row in part.ids}
    assert len(seen) == 60


def test_folds_refuse_too_few_rows_of_a_class() -> None:
    with pytest.raises(DataError, match="'b' has 3 rows"):
        list(folds(make(["a"] * 20 + ["b"] * 3), k=5))
    with pytest.raises(RecipeError, match="1 folds"):
        folds(make(list("ab") * 5), k=1)


def test_the_share_of_every_label_is_kept() -> None:
    generator = np.random.default_rng(0)
    chance = np.geomspace(0.001, 0.3, 28)
    matrix = generator.random((20_000, 28)) < chance
    labels = [[f"l{column}" for column in np.flatnonzero(row)] for row in matrix]
    splits = split(make(labels))
    shares = splits.test.targets.mean(axis=0) / splits.train.targets.mean(axis=0)
    assert 0.9 < shares.min() < shares.max() < 1.1


def test_films_stay_in_one_split(shared_data: Path) -> None:
    import pandas

    frame = pandas.read_csv(shared_data / "rotten_tomatoes_movies/rotten_tomatoes_movies.csv")
    label = next(c for c in frame.columns if frame[c].nunique() == 2)
    group = next(c for c in frame.columns if "movie" in c.lower() or "title" in c.lower())
    data = make(frame[label].astype(str).tolist(), group=frame[group].astype(str).tolist())
    splits = split(data, SplitSettings(train=0.7))
    for name, size in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        part = getattr(splits, name)
        assert len(part) == pytest.approx(size * len(data), rel=0.01)
        assert part.targets.mean() == pytest.approx(data.targets.mean(), abs=0.01)
