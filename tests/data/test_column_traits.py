"""What a column holds, and whether texts predict its values."""

from __future__ import annotations

import random
from typing import Any

import pytest

from finetext.data.column_traits import (
    SAMPLE,
    at_least,
    is_number,
    look_like_people,
    predictability,
    same_parts,
    sampled,
    traits_of,
)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("empty", [None, "", " "]),
        ("lists", [["a"], []]),
        ("numbers", [1, 2.0, "3", "4,5,6", "-7"]),
        ("fractions", [0.5, "1.25"]),
        ("fractions", ["0,93", "0,87", "0,12"]),
        ("times", ["2024-05-01", "1.5.2024 10:30", "2024/05/01 10:00:00"]),
        ("times", ["00:12:33", "1:05", "10:00 PM"]),
        ("times", ["2024年5月1日", "2024年5月2日"]),
        ("addresses", ["https://example.org/x", "a.b@example.org", "10.0.0.1"]),
        ("prose", ["three words here", "and four of them", "once more three"]),
        ("prose", ["这家餐厅很好", "服务非常慢", "房间又冷又吵"]),
        ("words", ["good", "not good", True]),
        ("words", ["neither good nor bad"] * 30 + ["very good indeed"] * 30),
    ],
)
def test_kinds_of_values(kind: str, values: list[Any]) -> None:
    assert traits_of(values).kind == kind


def test_a_share_of_numbers_counts_from_the_least_on() -> None:
    values = ["1"] * 19 + ["one"]
    assert at_least(0.95 * len(values), is_number, values)
    assert not at_least(0.95 * len(values), is_number, [*values[1:], "two"])


def test_a_sample_is_no_longer_than_needed_and_the_same_rows_of_each_column() -> None:
    rows = list(range(10 * SAMPLE))
    assert len(sampled(rows)) == SAMPLE
    assert list(sampled([-row for row in rows])) == [-row for row in sampled(rows)]
    assert len(sampled(rows, columns=500)) < 200
    assert sampled(rows[:30]) == rows[:30]


def test_columns_that_divide_rows_alike() -> None:
    assert same_parts(["a", "b", "a"], [1, 0, 1])
    assert not same_parts(["a", "b", "a"], [1, 1, 1])


def test_initials_names_and_worker_ids() -> None:
    for names in (["AK", "MB"], ["anna", "Ben"], ["w1", "w23"], ["A2SUAM1J3GN3B", "A1VZSFHTU5JP0"],
                  ["Anna Klein", "Max Berg"], ["coder-1", "coder-2"]):  # fmt: skip
        assert look_like_people([*names, *names, None])
    for labels in (["pos", "neg"], ["yes", "no"], ["AK", "positive"], ["AK"]):
        assert not look_like_people(labels)


def test_texts_predict_what_follows_from_them_and_not_what_does_not() -> None:
    chance = random.Random(0)
    topics = [chance.choice("xyz") for _ in range(90)]
    texts = [f"word{topic}{chance.randrange(3)} and {n} more" for n, topic in enumerate(topics)]
    assert (predictability(texts, topics) or 0) > 4
    drawn = [[chance.choice("ab") for _ in texts] for _ in range(20)]
    scores = [predictability(texts, values) or 0.0 for values in drawn]
    assert sum(abs(score) > 2 for score in scores) <= 3
    assert abs(sum(scores)) / len(scores) < 1
    assert predictability(texts, ["one"] * 90) is None
    assert predictability(texts, list(range(90))) is None
    assert predictability(texts[:20], topics[:20]) is None


def test_a_rare_label_is_predicted_as_well() -> None:
    labels = ["rare" if n % 10 == 0 else "usual" for n in range(200)]
    texts = [f"{'strange' if label == 'rare' else 'plain'} thing {n % 29}" for n, label
             in enumerate(labels)]  # fmt: skip
    assert (predictability(texts, labels) or 0) > 4
