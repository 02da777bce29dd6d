"""Checks: each finds what was planted, names its rows, and is silent on clean data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from finetext.core import registry
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.data.near_duplicates import near_duplicates, tokens_of
from finetext.diagnosis import data_checks as pieces
from finetext.diagnosis.data_checks import Material, check, counting_tokens

WORDS = [f"word{i}" for i in range(300)]


def make(texts: list[str], labels: list[Any], **columns: list[str]) -> Dataset:
    several = bool(labels) and isinstance(labels[0], list)
    names = sorted({n for label in labels for n in (label if several else [label])})
    rows = {"id": [f"r{i}" for i in range(len(texts))], "text": texts, "label": labels}
    return Dataset(
        datasets.Dataset.from_dict({**rows, **columns}), LabelScheme(tuple(names), several)
    )


def sentences(count: int, seed: int = 0, words: int = 12) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, words)) for _ in range(count)]


def clean(count: int = 80) -> tuple[list[str], list[Any]]:
    return sentences(count), ["a", "b"] * (count // 2)


def found(data: Any, code: str) -> list[Finding]:
    return [finding for finding in check(data) if finding.code == code]


def test_clean_data_have_no_findings() -> None:
    assert check(make(*clean())) == []


@pytest.mark.parametrize("name", registry.names("checks"))
def test_every_check_survives_odd_data(name: str) -> None:
    function = registry.load("checks", name)
    texts, labels = clean(6)
    unlabelled = replace(make(texts, labels), scheme=None)
    several = make(["", "x", "\x00", "y"], [[], ["a"], ["a", "b"], []])
    for data in (make([], []), make([""], ["a"]), unlabelled, several):
        for finding in function(Material.of(data)):
            assert finding.message
            assert set(finding.rows) <= set(data.ids)


def test_one_class_and_no_text_are_errors() -> None:
    assert found(make(sentences(3), ["a"] * 3), "one-class")[0].severity == "error"
    assert found(make(["", " "], ["a", "b"]), "blank-texts")[0].severity == "error"
    assert check(make([], []))[0].severity == "error"


def test_uneven_rare_and_missing_classes() -> None:
    labels = ["a"] * 150 + ["b"] * 6 + ["c"] * 44
    data = make(sentences(200), labels, split=["train"] * 160 + ["test"] * 40)
    assert "'a' has 150" in found(data, "class-balance")[0].message
    rare = found(data, "rare-classes")[0]
    assert "'b' (6)" in rare.message
    assert rare.rows == tuple(f"r{i}" for i in range(150, 156))
    assert "test has no row of 'a', 'b'" in found(data, "missing-classes")[0].message


def test_labels_that_differ_by_case_or_spaces() -> None:
    data = make(sentences(60), ["good"] * 29 + ["Good "] + ["bad"] * 30)
    finding = found(data, "label-spelling")[0]
    assert finding.rows == ("r29",)
    assert "'Good ' (1)" in finding.message


def test_the_same_text_under_two_labels() -> None:
    texts, labels = clean()
    texts[41] = texts[10]
    finding = found(make(texts, labels), "conflicting-labels")[0]
    assert finding.rows == ("r10", "r41")
    assert "a and b" in finding.message


def test_blank_texts_and_control_characters() -> None:
    texts, labels = clean()
    texts[3], texts[4], texts[5], texts[6] = "", " \n", "that\x92s", "a\tb\nc\r\n"
    data = make(texts, labels)
    assert found(data, "blank-texts")[0].rows == ("r3", "r4")
    assert found(data, "control-characters")[0].rows == ("r5",)
    assert not found(data, "duplicates")


def test_duplicates_exact_and_near() -> None:
    texts, labels = sentences(80, words=40), ["a", "b"] * 40
    texts[20] = f" {texts[10]}"
    texts[30] = texts[10].upper() + "!"
    texts[32] = " ".join([*texts[12].split()[:-1], "other"])
    data = make(texts, labels)
    assert found(data, "duplicates")[0].rows == ("r20",)
    assert found(data, "near-duplicates")[0].rows == ("r30", "r32")


def test_leakage_exact_near_and_by_group() -> None:
    texts = sentences(80, words=40)
    texts[70] = texts[10]
    texts[72] = " ".join([*texts[12].split()[:-1], "other"])
    groups = [f"g{i}" for i in range(80)]
    groups[75] = "g5"
    split = ["train"] * 60 + ["test"] * 20
    data = make(texts, ["a", "b"] * 40, split=split, group=groups)
    assert found(data, "leakage")[0].rows == ("r70",)
    assert found(data, "near-leakage")[0].rows == ("r72",)
    assert found(data, "group-leakage")[0].rows == ("r75",)
    assert not found(data, "duplicates")
    assert not found(data, "near-duplicates")


def test_leakage_of_all_pairs_of_parts_is_one_finding() -> None:
    texts = sentences(90, words=40)
    texts[35] = texts[65] = texts[66] = texts[5]
    for row, like in ((40, 10), (70, 10), (71, 41)):
        texts[row] = " ".join([*texts[like].split()[:-1], f"other{row}"])
    split = [name for name in ("train", "validation", "test") for _ in range(30)]
    data = make(texts, ["a", "b"] * 45, split=split)
    (exact,) = found(data, "leakage")
    assert exact.rows == ("r35", "r65", "r66")
    assert "1 text of train in 1 row of validation" in exact.message
    assert "1 text of train in 2 rows of test" in exact.message
    assert "1 text of validation in 2 rows of test" in exact.message
    (near,) = found(data, "near-leakage")
    assert near.rows == ("r40", "r70", "r71")
    assert "1 row of test like one of train" in near.message
    assert "2 rows of test like one of validation" in near.message


def test_few_groups_in_test_are_told() -> None:
    split = ["train"] * 40 + ["test"] * 40

    def message(groups: int) -> str:
        group = [f"{part}{row % groups}" for row, part in enumerate(split)]
        return " ".join(f.message for f in found(make(*clean(), split=split, group=group), code))

    code = "few-groups"
    assert "test has 1 group, fewer than 20" in message(1)
    assert "test has 19 groups" in message(19)
    assert not message(20)


def test_texts_are_counted_once_and_cut_at_each_length(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    count = pieces.count_tokens
    monkeypatch.setattr(pieces, "count_tokens", lambda *given: (counts.append(1), count(*given))[1])
    texts = ["a b"] * 35 + ["a b c d e f g h"] * 5
    encoder = str(tiny_encoder)
    inputs = [(encoder, 6), (encoder, None), (encoder, 64), (encoder, 6)]
    with counting_tokens(Material.of(make(texts, ["a", "b"] * 20)), inputs) as material:
        assert [each.limit for each in material.inputs] == [6, 64]
        (cut,) = registry.load("checks", "cut-texts")(material)
    assert counts == [1]
    assert cut.severity == "warning"
    assert cut.rows == tuple(f"r{row}" for row in range(35, 40))
    assert "5 texts (12.5%)" in cut.message
    lost = 5 * (10 - 6) / (35 * 4 + 5 * 10)
    assert f"{lost:.1%} of all tokens" in cut.message
    few = check(make([*texts, *["a b"] * 20], ["a", "b"] * 30), encoder, 6)
    assert [f.severity for f in few if f.code == "cut-texts"] == ["note"]


def test_a_planted_token_is_found() -> None:
    texts, labels = clean(200)
    texts = [f"{t} XQZ" if label == "b" and i % 3 else t for i, (t, label) in enumerate(
        zip(texts, labels, strict=True))]  # fmt: skip
    finding = found(make(texts, labels), "giveaway-tokens")[0]
    assert "'xqz'" in finding.message
    assert "'b'" in finding.message
    assert finding.severity == "warning"
    assert set(finding.rows) <= {f"r{i}" for i in range(1, 200, 2)}


def test_a_planted_token_is_found_in_multilabel_data() -> None:
    labels = [["a"], ["b"], ["a", "b"], []] * 50
    texts = [f"{t} ###" if "b" in n else t for t, n in zip(sentences(200), labels, strict=True)]
    assert "'###'" in found(make(texts, labels), "giveaway-tokens")[0].message


def test_a_token_everywhere_gives_nothing_away() -> None:
    texts = [f"{text} the" for text in sentences(400)]
    assert not found(make(texts, ["a"] * 396 + ["b"] * 4), "giveaway-tokens")


def test_rows_are_named_up_to_a_hundred_and_worst_comes_first() -> None:
    texts, labels = clean(300)
    data = make([*texts, *[""] * 200], labels + ["a", "b"] * 100)
    assert len(found(data, "blank-texts")[0].rows) == 100
    severities = [f.severity for f in check(make(["x"] * 40, ["a"] * 40))]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_findings_of_reading_are_passed_on_once() -> None:
    warned = Finding("warning", "not-utf8", "one line was not UTF-8")
    data = replace(make(*clean()), findings=(warned,))
    assert check(data) == [warned]


def test_near_duplicates_leave_short_and_unlike_texts_alone() -> None:
    texts = ["thank you", "Thank you!", *sentences(50, seed=1)]
    assert near_duplicates(tokens_of(texts)).tolist() == list(range(52))


@pytest.mark.parametrize(
    ("name", "duplicates"), [("imdb/train.csv.gz", 96), ("banking77/train.csv", 4)]
)
def test_counts_of_real_duplicates(shared_data: Path, name: str, duplicates: int) -> None:
    import pandas

    frame = pandas.read_csv(shared_data / name)
    data = make(frame["text"].tolist(), frame.iloc[:, 1].astype(str).tolist())
    material = Material.of(data)
    assert (material.copies != np.arange(len(data))).sum() == duplicates
