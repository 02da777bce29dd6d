"""Duplicates stay in one split, all rows are used, and the classes keep their shares."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.settings import SplitSettings
from finetext.core.types import Dataset, LabelScheme, Splits
from finetext.data import near_duplicates
from finetext.data.split import folds, split
from finetext.data.units import duplicate_lines
from finetext.diagnosis.data_checks import check
from finetext.diagnosis.label_errors import fold_of_rows


def make(texts: list[str], labels: list[Any], **columns: list[str]) -> Dataset:
    """A data set of texts and labels: names, or lists of names."""
    several = isinstance(labels[0], list)
    names = sorted({n for label in labels for n in (label if several else [label])})
    numbers = list(map(str, range(len(labels))))
    table = datasets.Dataset.from_dict({"id": numbers, "text": texts, "label": labels, **columns})
    return Dataset(table, LabelScheme(tuple(names), several))


def long_text(number: int) -> str:
    """A text of its own, long enough to have near-duplicates."""
    chance = random.Random(number)
    return " ".join(f"w{chance.randrange(10**6)}" for _ in range(30))


def texts_of(numbers: list[int]) -> list[str]:
    """Texts of which equal numbers are equal or nearly equal."""
    seen: Counter[int] = Counter()
    texts = []
    for number in numbers:
        text = long_text(number)
        texts.append([text, f" {text}", f"{text.upper()}!", f"{text} more"][seen[number] % 4])
        seen[number] += 1
    return texts


def parts_of(data: Dataset, splits: Splits) -> dict[str, str]:
    """The split of each row by its id, after a check that each row is in one."""
    found = {row: name for name, part in splits.items() for row in part.ids}
    assert sorted(found, key=int) == data.ids == sorted(data.ids, key=int)
    assert sum(len(part) for _, part in splits.items()) == len(data)
    return found


def assert_together(data: Dataset, part_of: dict[str, Any], numbers: list[Any]) -> None:
    of: defaultdict[Any, set[Any]] = defaultdict(set)
    for row, number in zip(data.ids, numbers, strict=True):
        of[number].add(part_of[row])
    assert all(len(parts) == 1 for parts in of.values())


numbers_with_copies = st.tuples(
    st.integers(60, 160), st.lists(st.integers(0, 30), min_size=1, max_size=25)
).map(lambda drawn: [*range(drawn[0]), *drawn[1]])
kinds = st.sampled_from(["one", "several"])


@settings(max_examples=30, deadline=None)
@given(
    numbers_with_copies, st.integers(0, 10_000), kinds, st.sampled_from(["stratified", "random"])
)
def test_copies_stay_in_one_split_and_classes_keep_their_shares(
    numbers: list[int], seed: int, kind: str, strategy: Any
) -> None:
    chance = np.random.default_rng(seed)
    drawn = chance.choice(list("abc"), len(numbers), p=[0.5, 0.3, 0.2])
    drawn[:12] = list("abc") * 4
    labels = drawn.tolist() if kind == "one" else [sorted({name, "abc"[n % 3]})
        for n, name in enumerate(drawn.tolist())]  # fmt: skip
    data = make(texts_of(numbers), labels)
    splits = split(data, SplitSettings(strategy=strategy), seed)
    part_of = parts_of(data, splits)
    assert_together(data, part_of, numbers)
    largest = max(Counter(numbers).values())
    for part in (splits.validation, splits.test):
        assert abs(len(part) - 0.15 * len(data)) <= 2 + largest
    if strategy == "stratified":
        whole = np.eye(3)[data.targets] if kind == "one" else data.targets
        for _, part in splits.items():
            own = np.eye(3)[part.targets] if kind == "one" else part.targets
            assert (own.sum(axis=0) > 0).all()
            assert np.abs(own.sum(axis=0) - whole.mean(axis=0) * len(part)).max() <= 4 + largest
    folded = fold_of_rows(data, 3, seed)
    assert_together(data, dict(zip(data.ids, folded.tolist(), strict=True)), numbers)
    held = {row: k for k, (_, part) in enumerate(folds(data, 3, seed)) for row in part.ids}
    assert len(held) == len(data)
    assert_together(data, held, numbers)


@settings(max_examples=20, deadline=None)
@given(numbers_with_copies, st.integers(0, 1000))
def test_groups_and_copies_both_stay_together(numbers: list[int], seed: int) -> None:
    groups = [f"g{number // 2}" for number in range(len(numbers))]
    data = make(texts_of(numbers), ["ab"[n % 2] for n in range(len(numbers))], group=groups)
    splits = split(data, None, seed)
    assert_together(data, parts_of(data, splits), groups)
    straddling = [f for f in check(splits) if f.code in ("leakage", "near-leakage")]
    linked = {frozenset(groups[r] for r, of in enumerate(numbers) if of == n) for n in numbers}
    if sum(map(len, linked)) == len(set(groups)):  # no copy links more groups than those of one
        assert not straddling
    kept = split(data, SplitSettings(keep_duplicates=True), seed)
    assert kept.clusters is None


@pytest.mark.parametrize("strategy", ["stratified", "random"])
def test_without_copies_the_splits_are_those_that_keep_copies(strategy: Any) -> None:
    for labels in (list("aab") * 30, [["a"], ["a", "b"], []] * 30):
        for columns in ({}, {"group": [f"g{n // 3}" for n in range(90)]}):
            data = make([long_text(n) for n in range(90)], labels, **columns)
            for settings_ in ({}, {"train": 40, "test": 10}):
                both = [
                    split(data, SplitSettings(strategy=strategy, keep_duplicates=keep, **settings_))  # type: ignore[arg-type]
                    for keep in (False, True)
                ]
                assert [p.ids for _, p in both[0].items()] == [p.ids for _, p in both[1].items()]


def test_equal_texts_with_different_labels_stay_together() -> None:
    numbers = [*range(60), *range(10)]
    data = make(texts_of(numbers), ["a"] * 60 + ["b"] * 10)
    assert_together(data, parts_of(data, split(data)), numbers)


def test_copies_within_groups_leave_the_groups_as_they_were() -> None:
    numbers = [n - n % 3 if n < 30 else n for n in range(90)]
    data = make(texts_of(numbers), list("ab") * 45, group=[f"g{n // 3}" for n in range(90)])
    kept = split(data, SplitSettings(keep_duplicates=True))
    assert [p.ids for _, p in split(data).items()] == [p.ids for _, p in kept.items()]


def test_one_text_of_every_group_does_not_join_them_all() -> None:
    texts = [long_text(n) if n % 3 else "Thanks a lot for your help today" for n in range(90)]
    groups = [f"g{n // 3}" for n in range(90)]
    data = make(texts, list("aabb") * 22 + ["a", "b"], group=groups)
    splits = split(data)
    assert_together(data, parts_of(data, splits), groups)
    assert "leakage" in {finding.code for finding in check(splits)}


def test_a_template_is_divided_and_its_equal_texts_are_not() -> None:
    body = long_text(0)
    texts = [f"Order {n // 2} {body}" for n in range(60)] + [long_text(n) for n in range(1, 61)]
    data = make(texts, list("ab") * 60)
    splits = split(data)
    part_of = parts_of(data, splits)
    assert_together(data, part_of, [n // 2 if n < 60 else n for n in range(120)])
    assert len({part_of[str(n)] for n in range(60)}) == 3
    assert {finding.code for finding in check(splits)} >= {"near-leakage"}


@pytest.mark.parametrize("near", [False, True])
def test_a_class_of_copies_is_in_every_split(near: bool) -> None:
    copies = [f"{long_text(0)} {n if near else ''}" for n in range(9)]
    data = make([*copies, *map(long_text, range(1, 52))], ["b"] * 9 + ["a"] * 51)
    splits = split(data)
    assert all("b" in part.labels for _, part in splits.items())
    code = "near-leakage" if near else "leakage"
    assert code in {finding.code for finding in check(splits)}


def test_ready_made_splits_are_not_changed() -> None:
    numbers = [*range(60), *range(20)]
    data = make(texts_of(numbers), list("ab") * 40, split=["train"] * 60 + ["test"] * 20)
    splits = split(data)
    assert splits.test.ids == data.ids[60:]
    assert "leakage" in {finding.code for finding in check(splits)}
    assert duplicate_lines(splits) == []


def test_the_line_counts_what_stays_together(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(texts_of([*range(60), 1, 1, 2]), ["a", "b", "c"] * 21)
    splits = split(data)
    line = (
        "duplicates: 5 rows in 2 groups of equal or nearly equal texts are kept in one split each"
    )
    assert duplicate_lines(splits) == [line]
    assert duplicate_lines(split(data, SplitSettings(keep_duplicates=True))) == []
    assert not {"leakage", "near-leakage"} & {finding.code for finding in check(splits)}
    monkeypatch.setattr(near_duplicates, "MOST_CHARACTERS", 10)
    assert "only equal texts" in duplicate_lines(split(data))[0]


def test_sizes_are_exact_with_a_few_copies() -> None:
    numbers = [*range(300), *range(20)]
    data = make(texts_of(numbers), list("aaab") * 80)
    splits = split(data, SplitSettings(validation=50, test=60))
    assert [len(part) for _, part in splits.items()] == [210, 50, 60]
    assert Counter(splits.test.labels) == {"a": 45, "b": 15}
