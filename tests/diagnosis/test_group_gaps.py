"""Gaps between groups: planted ones are found, chance is not, and nothing contradicts itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.diagnosis.group_gaps import OTHER, ProportionGap, find_group_gaps
from finetext.evaluation.proportions import score_interval
from finetext.report.group_gaps import gap_sentence, group_gaps_lines, group_gaps_table

TWO, THREE = LabelScheme(("neg", "pos")), LabelScheme(("a", "b", "c"))


def rows(missed: dict[str, tuple[int, int]], copies: int = 1) -> tuple[Predictions, list[str]]:
    """Rows of "pos" by value: how many are missed, out of how many; as many "neg", all right."""
    truth, given, values = list[int](), list[int](), list[str]()
    for value, (wrong, n) in missed.items():
        truth += [1] * n + [0] * n
        given += [0] * wrong + [1] * (n - wrong) + [0] * n
        values += [value] * 2 * n
    groups = None
    if copies > 1:
        groups = tuple(map(str, np.arange(len(truth)).repeat(copies)))
    truth, given = (np.array(of).repeat(copies) for of in (truth, given))
    ids = tuple(map(str, range(len(truth))))
    found = Predictions(ids, truth, np.eye(2)[given], TWO, groups=groups)
    return found, list(np.array(values).repeat(copies))


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 40), st.integers(1, 40))
def test_interval_and_p_value_of_two_proportions_agree(a: int, n: int, b: int, m: int) -> None:
    found = ProportionGap.of(min(a, n), n, min(b, m), m)
    low, high = found.interval()
    assert -1 <= low <= high <= 1
    if abs(found.p_value() - 0.05) > 1e-9:
        assert (found.p_value() < 0.05) == (not low <= 0 <= high)
    other = found.negated()
    assert other.interval() == pytest.approx((-high, -low))
    assert other.value == -found.value
    assert found.p_value() == pytest.approx(min(1, 2 * min(found.tail(), other.tail())))
    for at in (-0.5, 0.0, 0.3):
        if abs(found.tail(at) - 0.05) > 1e-9:
            assert (found.lower(0.05) > at) == (found.tail(at) < 0.05)


def test_the_adjusted_interval_is_that_of_the_paper() -> None:
    low, high = ProportionGap.of(7, 10, 2, 10).interval()
    p, q = 8 / 12, 3 / 12
    half = 1.959964 * math.sqrt(p * (1 - p) / 12 + q * (1 - q) / 12)
    assert (low, high) == pytest.approx((p - q - half, p - q + half))


def test_a_planted_gap_is_shown_with_its_groups() -> None:
    found = find_group_gaps(*rows({"x": (10, 100), "y": (45, 100), "z": (12, 100)}), "dialect")
    wrong, missed = found.gaps
    assert (missed.kind, missed.label) == ("false negatives", "pos")
    assert (missed.shown, missed.higher, missed.lower) == (True, "y", "x")
    assert missed.gap is not None
    assert missed.gap.value == pytest.approx(0.35)
    assert missed.gap.low > 0
    assert not wrong.shown
    assert found.tested == 6
    lines = group_gaps_lines(found)
    assert "error rates differ in false negatives of 'pos'" in lines[0]
    assert max(map(len, lines)) <= 80
    table = group_gaps_table(found)
    assert table["dialect"] == ["x", "y", "z"] * 2
    assert table["errors"] == [0, 0, 0, 10, 45, 12]


def test_few_rows_cannot_tell_and_say_how_many_would() -> None:
    found = find_group_gaps(*rows({"x": (3, 20), "y": (7, 20)}), "gender")
    missed = found.gaps[1]
    assert not missed.shown
    assert missed.gap is not None
    assert missed.gap.low < 0 < missed.gap.high
    assert missed.rows_needed is not None
    assert 200 < missed.rows_needed < 800
    assert f"about {missed.rows_needed} such rows" in gap_sentence(missed)
    many = find_group_gaps(*rows({"x": (200, 2000), "y": (204, 2000)}), "gender").gaps[1]
    assert "all are below 0.1" in gap_sentence(many)


def test_copies_in_groups_add_no_certainty() -> None:
    alone, copied = (
        find_group_gaps(*rows({"x": (4, 40), "y": (11, 40)}, copies), "x").gaps[1]
        for copies in (1, 20)
    )
    assert not alone.shown
    assert not copied.shown
    assert alone.gap is not None
    assert copied.gap is not None
    assert copied.gap.high - copied.gap.low > 0.9 * (alone.gap.high - alone.gap.low)


def test_values_that_are_one_group_each_cannot_be_compared() -> None:
    predictions, values = rows({"x": (5, 100), "y": (60, 100)})
    assert find_group_gaps(predictions, values, "author").gaps[1].shown
    found = find_group_gaps(replace(predictions, groups=tuple(values)), values, "author")
    assert (found.tested, found.grouped) == (0, True)
    missed = found.gaps[1]
    assert (missed.gap, missed.shown) == (None, False)
    assert [(each.compared, each.groups) for each in missed.rates] == [(False, 1)] * 2
    assert missed.rates[0].rate.high > 0.7
    assert "two groups" in gap_sentence(missed)
    lines = group_gaps_lines(found)
    assert lines[0] == "by author: cannot tell: too few rows or groups to compare any two values"
    assert any(line.endswith("too few groups to compare") for line in lines)
    some = tuple(f"{value} {n % 2}" if value == "x" else value for n, value in enumerate(values))
    assert find_group_gaps(replace(predictions, groups=some), values, "author").tested == 0


def test_groups_that_are_all_right_count_as_one_row_each() -> None:
    predictions, values = rows({"x": (0, 100), "y": (60, 100)})
    groups = tuple(f"{value} {n % 3}" for n, value in enumerate(values))
    missed = find_group_gaps(replace(predictions, groups=groups), values, "author").gaps[1]
    assert missed.rates[0].rate.high == pytest.approx(score_interval(0, 3)[1])
    alone = find_group_gaps(predictions, values, "author").gaps[1]
    assert alone.gap is not None
    assert missed.gap is not None
    assert missed.gap.high - missed.gap.low > 2 * (alone.gap.high - alone.gap.low)


def test_rare_values_are_together_and_too_few_are_an_error() -> None:
    predictions, _ = rows({"x": (1, 50)})
    values = ["big"] * 45 + ["also"] * 40 + [f"v{n}" for n in range(15)]
    found = find_group_gaps(predictions, values, "town")
    assert found.values == {"big": 45, "also": 40, OTHER: 15}
    with pytest.raises(DataError, match="fewer than two values with 10 rows each, of 100 rows"):
        find_group_gaps(predictions, [str(n) for n in range(1, 100)] + ["x"], "town name")


@pytest.mark.parametrize("multilabel", [False, True])
def test_each_class_has_both_kinds_of_error(multilabel: bool) -> None:
    random = np.random.default_rng(0)
    scheme = LabelScheme(THREE.names, multilabel)
    truth = random.integers(2, size=(90, 3)) if multilabel else random.integers(3, size=90)
    likely = random.dirichlet(np.ones(3), 90)
    found = find_group_gaps(
        Predictions(tuple(map(str, range(90))), truth, likely, scheme), ["x", "y", None] * 30, "of"
    )
    assert [gap.label for gap in found.gaps] == ["a", "a", "b", "b", "c", "c"]
    has = truth[:, 1] == 1 if multilabel else truth == 1
    given = likely[:, 1] >= 0.5 if multilabel else likely.argmax(axis=1) == 1
    rate = found.gaps[3].rates[0]
    of_x = np.arange(90) % 3 == 0
    assert (rate.wrong, rate.rate.n) == (int((has & ~given & of_x).sum()), int((has & of_x).sum()))


def test_false_alarms_are_rare_among_many_gaps() -> None:
    random = np.random.default_rng(1)
    alarms = 0
    for _ in range(100):
        wrong = random.binomial(60, 0.2, 4)
        values = {name: (int(n), 60) for name, n in zip("abcd", wrong, strict=True)}
        alarms += any(gap.shown for gap in find_group_gaps(*rows(values), "c").gaps)
    assert alarms <= 10
