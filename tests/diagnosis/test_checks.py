"""Tests of the checks: each finds what was planted and names its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from finetext.core import registry
from finetext.core.types import Dataset, Finding
from finetext.data.near_duplicates import near_duplicates
from finetext.diagnosis.data_checks import Material, check

Rows = Callable[..., Dataset]
WORDS = [f"word{i}" for i in range(300)]


def sentences(count: int, seed: int = 0, words: int = 12) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, words)) for _ in range(count)]


def found(data: Dataset, code: str) -> list[Finding]:
    return [finding for finding in check(data) if finding.code == code]


def rows_with(data: Dataset, code: str) -> tuple[str, ...]:
    return found(data, code)[0].rows


def changed(text: str, word: str = "other") -> str:
    return " ".join([*text.split()[:-1], word])


@pytest.mark.parametrize("name", registry.names("checks"))
def test_every_check_accepts_odd_data(rows_of: Rows, name: str) -> None:
    unlabeled = replace(rows_of(sentences(6), ["a", "b"] * 3), scheme=None)
    several = rows_of(["", "x", "\x00", "y"], [[], ["a"], ["a", "b"], []])
    for data in (rows_of([], []), rows_of([""], ["a"]), unlabeled, several):
        for finding in registry.load("checks", name)(Material.of(data)):
            assert finding.message
            assert set(finding.rows) <= set(data.ids)


def test_one_class_and_no_text_are_errors(rows_of: Rows) -> None:
    assert found(rows_of(sentences(3), ["a"] * 3), "one-class")[0].severity == "error"
    assert found(rows_of(["", " "], ["a", "b"]), "blank-texts")[0].severity == "error"
    assert check(rows_of([], []))[0].severity == "error"


def test_imbalanced_rare_and_missing_classes(rows_of: Rows) -> None:
    labels = ["a"] * 150 + ["b"] * 6 + ["c"] * 44
    data = rows_of(sentences(200), labels, split=["train"] * 160 + ["test"] * 40)
    assert "'a' has 150" in found(data, "class-balance")[0].message
    assert "'b' (6)" in found(data, "rare-classes")[0].message
    assert "cross-validated" not in found(data, "rare-classes")[0].message
    assert rows_with(data, "rare-classes") == tuple(f"r{i}" for i in range(150, 156))
    assert "test has no row of 'a', 'b'" in found(data, "missing-classes")[0].message
    data = rows_of(sentences(4), ["a", "a", "a", "b"], split=["train", "train", "test", "train"])
    assert "stops a cross-validated run" in found(data, "rare-classes")[0].message
    assert found(data, "missing-classes")[0].message.endswith("measured there. Collect more rows.")


def test_parts_with_other_shares_of_labels(rows_of: Rows) -> None:
    parts = ["train"] * 120 + ["test"] * 80

    def shifted(positive: int, **columns: Any) -> list[Finding]:
        labels = ["a", "b"] * 60 + ["b"] * positive + ["a"] * (80 - positive)
        return found(rows_of(sentences(200), labels, split=parts, **columns), "label-shares")

    assert shifted(40) == shifted(46) == []
    assert shifted(60)[0].severity == "warning"
    assert "'b' is 50.0% of train and 75.0% of test" in shifted(60)[0].message
    assert shifted(60, group=[f"g{row // 20}" for row in range(200)]) == []


def test_labels_that_differ_in_case_or_spaces(rows_of: Rows) -> None:
    data = rows_of(sentences(60), ["good"] * 29 + ["Good "] + ["bad"] * 30)
    assert rows_with(data, "label-spelling") == ("r29",)
    assert "'Good ' (1)" in found(data, "label-spelling")[0].message


def test_the_same_text_with_two_labels(rows_of: Rows) -> None:
    texts = sentences(80)
    texts[41] = texts[10]
    data = rows_of(texts, ["a", "b"] * 40)
    assert rows_with(data, "conflicting-labels") == ("r10", "r41")
    assert "a and b" in found(data, "conflicting-labels")[0].message


def test_blank_texts_and_control_characters(rows_of: Rows) -> None:
    data = rows_of(["", " \n", "that\x92s", "a\tb\nc\r\n", *sentences(76)], ["a", "b"] * 40)
    assert rows_with(data, "blank-texts") == ("r0", "r1")
    assert rows_with(data, "control-characters") == ("r2",)
    assert not found(data, "duplicates")


def test_exact_and_near_duplicates(rows_of: Rows) -> None:
    texts = sentences(80, words=40)
    texts[20], texts[30], texts[32] = f" {texts[10]}", f"{texts[10].upper()}!", changed(texts[12])
    data = rows_of(texts, ["a", "b"] * 40)
    assert rows_with(data, "duplicates") == ("r20",)
    assert rows_with(data, "near-duplicates") == ("r30", "r32")


def test_exact_near_and_group_leakage(rows_of: Rows) -> None:
    texts = sentences(80, words=40)
    texts[70], texts[72] = texts[10], changed(texts[12])
    groups = [f"g{i}" for i in range(80)]
    groups[75] = "g5"
    split = ["train"] * 60 + ["test"] * 20
    data = rows_of(texts, ["a", "b"] * 40, split=split, group=groups)
    assert rows_with(data, "leakage") == ("r70",)
    assert rows_with(data, "near-leakage") == ("r72",)
    assert rows_with(data, "group-leakage") == ("r75",)
    assert not found(data, "duplicates")
    assert not found(data, "near-duplicates")


def test_leakage_of_all_pairs_of_parts_is_one_finding(rows_of: Rows) -> None:
    texts = sentences(90, words=40)
    texts[35] = texts[65] = texts[66] = texts[5]
    for row, like in ((40, 10), (70, 10), (71, 41)):
        texts[row] = changed(texts[like], f"other{row}")
    split = [name for name in ("train", "validation", "test") for _ in range(30)]
    data = rows_of(texts, ["a", "b"] * 45, split=split)
    (exact,) = found(data, "leakage")
    assert exact.rows == ("r35", "r65", "r66")
    assert "1 text of train in 1 row of validation" in exact.message
    assert "1 text of train in 2 rows of test" in exact.message
    assert "1 text of validation in 2 rows of test" in exact.message
    (near,) = found(data, "near-leakage")
    assert near.rows == ("r40", "r70", "r71")
    assert "1 row of test like one of train" in near.message
    assert "2 rows of test like one of validation" in near.message


@pytest.mark.parametrize(
    ("groups", "message"),
    [(1, "test has 1 group, fewer than 20"), (19, "test has 19 groups"), (20, None)],
)
def test_few_groups_in_test(rows_of: Rows, groups: int, message: str | None) -> None:
    split = ["train"] * 40 + ["test"] * 40
    group = [f"{part}{row % groups}" for row, part in enumerate(split)]
    data = rows_of(sentences(80), ["a", "b"] * 40, split=split, group=group)
    messages = [finding.message for finding in found(data, "few-groups")]
    assert (message is not None) == bool(messages)
    assert message is None or message in messages[0]


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_planted_token_is_found(rows_of: Rows, multilabel: bool) -> None:
    labels: list[Any] = [["a"], ["b"], ["a", "b"], []] * 50 if multilabel else ["a", "b"] * 100
    texts = [
        f"{text} XQZ ###" if "b" in label and i % 3 else text
        for i, (text, label) in enumerate(zip(sentences(200), labels, strict=True))
    ]
    (finding,) = found(rows_of(texts, labels), "giveaway-tokens")
    assert finding.severity == "warning"
    for token in ("'xqz'", "'###'", "'b'"):
        assert token in finding.message
    assert set(finding.rows) <= {f"r{i}" for i, label in enumerate(labels) if "b" in label}


def test_a_token_everywhere_gives_nothing_away(rows_of: Rows) -> None:
    texts = [f"{text} the" for text in sentences(400)]
    assert not found(rows_of(texts, ["a"] * 396 + ["b"] * 4), "giveaway-tokens")


def test_short_and_unlike_texts_are_not_near_duplicates() -> None:
    texts = ["thank you", "Thank you!", *sentences(50, seed=1)]
    assert near_duplicates(texts).tolist() == list(range(52))
