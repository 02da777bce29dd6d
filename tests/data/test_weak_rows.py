"""Which rows of a pool are learned from, and the data set that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.types import Dataset, LabelScheme
from finetext.data.rows import LABEL_STATUS
from finetext.data.weak_labels import WeakLabels
from finetext.data.weak_rows import (
    ChosenRows,
    PoolLabels,
    assembled,
    choose_rows,
    confident,
    kept_of,
)

SCHEME = LabelScheme(("sport", "food", "money"))


def pool_of(
    texts: Sequence[str], labels: Sequence[str | None], sure: Sequence[float]
) -> PoolLabels:
    ids = [str(number) for number in range(1, len(texts) + 1)]
    return PoolLabels(ids, texts, labels, np.array(sure), "hash")


def weak_of(pool: PoolLabels, rows: np.ndarray) -> WeakLabels:
    found = kept_of(pool, rows, SCHEME.names)
    return WeakLabels("model", "tfidf", "hash", "pool", len(pool), 1.0, 0.0, **found)


labeled = st.lists(
    st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 100).map(lambda n: n / 100)),
    max_size=30,
)


@given(labeled, st.floats(0.01, 1), st.floats(0, 1))
def test_the_most_confident_share_of_each_label_is_kept(
    rows: list[tuple[str | None, float]], keep: float, least: float
) -> None:
    labels, sure = [label for label, _ in rows], np.array([of for _, of in rows], dtype=float)
    chosen = confident(labels, sure, keep, least).tolist()
    assert chosen == sorted(set(chosen))
    for name in ("a", "b"):
        having = [row for row, label in enumerate(labels) if label == name]
        kept = [row for row in chosen if labels[row] == name]
        assert len(kept) <= np.ceil(keep * len(having))
        assert all(sure[row] >= least for row in kept)
        left_out = [sure[row] for row in having if row not in kept]
        assert max(left_out, default=0) <= min((sure[row] for row in kept), default=1)
        if having and max(sure[having]) >= least:
            assert kept  # however small the share is
    assert not [row for row in chosen if labels[row] is None]
    if keep == 1 and least == 0:
        assert len(chosen) == sum(label is not None for label in labels)


def test_copies_of_rows_that_people_labeled_are_left_out(
    make_dataset: Callable[..., Dataset],
) -> None:
    scored = "The team won the match in the last minute of the game on Saturday"
    human = {"test": make_dataset([scored, "soup"], ["sport", "food"])}
    texts = [
        scored, f"  {scored} ", scored.replace("Saturday", "Sunday"), "bread", "bread", "a loan",
        "soup", "cake",
    ]  # fmt: skip
    labels = ["sport", "sport", "sport", "food", "food", "money", "food", None]
    found = choose_rows(pool_of(texts, labels, [0.9] * 8), human, 1.0, 0.0)
    assert np.flatnonzero(found.rows).tolist() == [3, 5]
    assert "2 training rows of 8 texts" in found.words
    assert "near-copies of human-labeled rows 4, copies within the pool 1, " in found.words
    assert "without a label 1, less confident 0" in found.words


def test_the_data_say_which_labels_are_weak(make_dataset: Callable[..., Dataset]) -> None:
    pool = pool_of(["bread", "goal", "loan"], ["food", "sport", "money"], [0.9, 0.8, 0.3])
    rows = np.array([True, True, False])
    test = make_dataset(["a cake", "a bank"], ["food", "money"])
    human = {"test": test, "train": make_dataset(["a match"], ["sport"])}
    data = assembled(pool, ChosenRows(rows, ""), human, SCHEME, weak_of(pool, rows))
    assert data.scheme == SCHEME
    assert data.ids == ["weak/1", "weak/2", "train/row0", "test/row0", "test/row1"]
    assert data.column("split") == ["train"] * 3 + ["test"] * 2
    assert data.column(LABEL_STATUS) == ["weak"] * 2 + ["human"] * 3
    assert data.labels == ["food", "sport", "sport", "food", "money"]
    (finding,) = data.findings
    assert finding.code == "no-confident-text"
    assert "'money'" in finding.message


def test_rows_to_learn_from_that_are_marked_as_weak_stay_so(
    make_dataset: Callable[..., Dataset],
) -> None:
    pool = pool_of(["bread", "goal"], ["food", "sport"], [0.9, 0.8])
    rows = np.array([True, True])
    earlier = make_dataset(["a loan", "a match"], ["money", "sport"])
    marked = replace(earlier, table=earlier.table.add_column(LABEL_STATUS, ["weak", "human"]))  # type: ignore[no-untyped-call]
    data = assembled(pool, ChosenRows(rows, ""), {"train": marked}, SCHEME, weak_of(pool, rows))
    assert data.column(LABEL_STATUS) == ["weak", "weak", "weak", "human"]


def test_rows_of_no_class_stay_and_no_copy_of_them_is_learned(
    make_dataset: Callable[..., Dataset],
) -> None:
    outside = make_dataset(["a comet", "a volcano"], ["sport", "food"])
    unlabeled = replace(outside, table=outside.table.remove_columns("label"), scheme=None)
    test = replace(make_dataset(["a cake"], ["food"]), out_of_scope=unlabeled)
    pool = pool_of(["a comet", "bread", "goal"], ["sport", "food", "sport"], [0.9, 0.8, 0.7])
    found = choose_rows(pool, {"test": test}, 1.0, 0.0)
    assert found.rows.tolist() == [False, True, True]
    data = assembled(pool, found, {"test": test}, SCHEME, weak_of(pool, found.rows))
    assert data.texts == ["bread", "goal", "a cake"]
    assert data.out_of_scope is not None
    assert data.out_of_scope.ids == ["test/row0", "test/row1"]
    columns = set(data.table.column_names) - {"label"}
    assert set(data.out_of_scope.table.column_names) == columns


def test_groups_of_people_stay_and_each_weak_row_is_one(
    make_dataset: Callable[..., Dataset],
) -> None:
    pool = pool_of(["bread", "goal"], ["food", "sport"], [0.9, 0.8])
    test = make_dataset(["a cake", "a match"], ["food", "sport"])
    grouped = replace(test, table=test.table.add_column("group", ["ann", "ann"]))  # type: ignore[no-untyped-call]
    rows = np.array([True, True])
    data = assembled(pool, ChosenRows(rows, ""), {"test": grouped}, SCHEME, weak_of(pool, rows))
    assert data.groups == ["(row weak/1)", "(row weak/2)", "ann", "ann"]


@pytest.mark.parametrize("labels", [["food", "food"], [None, None]])
def test_one_label_is_not_enough(labels: list[str | None]) -> None:
    pool = pool_of(["bread", "cake"], labels, [0.9, 0.8])
    rows = np.array([label is not None for label in labels])
    with pytest.raises(DataError, match="fewer than two labels have rows to learn from"):
        assembled(pool, ChosenRows(rows, ""), {}, SCHEME, weak_of(pool, rows))


def test_what_is_counted_of_each_label() -> None:
    pool = pool_of("abcd", ["food", "food", "sport", None], [0.5, 0.25, 1.0, 0.1])
    found = kept_of(pool, np.array([True, True, False, False]), SCHEME.names)
    assert found == {
        "given": {"sport": 1, "food": 2, "money": 0},
        "kept": {"sport": 0, "food": 2, "money": 0},
        "confidence": {"food": 0.25},
    }
