"""Tests of running all checks: clean data, order, and the tokens of each encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetext.core import registry
from finetext.core.types import Dataset, Finding
from finetext.diagnosis import data_checks
from finetext.diagnosis.data_checks import Material, Reader, check, counting_tokens

Rows = Callable[..., Dataset]


@pytest.fixture
def clean(rows_of: Rows) -> Dataset:
    generator = np.random.default_rng(0)
    words = [f"word{i}" for i in range(300)]
    return rows_of([" ".join(generator.choice(words, 12)) for _ in range(80)], ["a", "b"] * 40)


def test_clean_data_have_only_the_findings_of_reading(clean: Dataset) -> None:
    assert check(clean) == []
    warned = Finding("warning", "not-utf8", "one line was not UTF-8")
    assert check(replace(clean, findings=(warned,))) == [warned]


def test_a_hundred_rows_are_named_and_the_worst_comes_first(clean: Dataset, rows_of: Rows) -> None:
    blank = rows_of([*clean.texts, *[""] * 200], ["a", "b"] * 140)
    (finding,) = [finding for finding in check(blank) if finding.code == "blank-texts"]
    assert len(finding.rows) == 100
    severities = [finding.severity for finding in check(rows_of(["x"] * 40, ["a"] * 40))]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_texts_are_tokenized_once_and_compared_with_each_limit(
    rows_of: Rows, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    count = data_checks.count_tokens
    counted = lambda *given: (counts.append(1), count(*given))[1]  # noqa: E731
    monkeypatch.setattr(data_checks, "count_tokens", counted)
    texts = ["a b"] * 35 + ["a b c d e f g h"] * 5
    encoder = str(tiny_encoder)
    inputs = [Reader(encoder, most) for most in (6, None, 64, 6)]
    with counting_tokens(Material.of(rows_of(texts, ["a", "b"] * 20)), inputs) as material:
        assert [each.limit for each in material.inputs] == [6, 64]
        (cut,) = registry.load("checks", "cut-texts")(material)
    assert counts == [1]
    assert cut.severity == "warning"
    assert cut.rows == tuple(f"r{row}" for row in range(35, 40))
    assert "5 texts (12.5%)" in cut.message
    lost = 5 * (10 - 6) / (35 * 4 + 5 * 10)
    assert f"{lost:.1%} of all tokens" in cut.message
    assert f"{(35 + 5 * 6 / 10) / 40:.1%} of a text is read on average" in cut.message
    parts = [Reader(encoder, 6, "head+tail"), Reader(encoder, 6, None)]
    with counting_tokens(Material.of(rows_of(texts, ["a", "b"] * 20)), parts) as material:
        (found,) = registry.load("checks", "cut-texts")(material)  # the other reads all
    assert "head and tail are read" in found.message
    few = check(rows_of([*texts, *["a b"] * 20], ["a", "b"] * 30), encoder, 6)
    assert [finding.severity for finding in few if finding.code == "cut-texts"] == ["note"]


@pytest.mark.parametrize(
    ("name", "duplicates"), [("imdb/train.csv.gz", 96), ("banking77/train.csv", 4)]
)
def test_real_duplicates_are_counted(
    rows_of: Rows, shared_data: Path, name: str, duplicates: int
) -> None:
    import pandas

    frame = pandas.read_csv(shared_data / name)
    material = Material.of(rows_of(frame["text"].tolist(), frame.iloc[:, 1].astype(str).tolist()))
    assert (material.copies != np.arange(len(material))).sum() == duplicates
