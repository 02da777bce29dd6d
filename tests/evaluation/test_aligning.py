"""Sets of predictions are brought into one order, or refused with what differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.metrics import applicable, metric_for
from finetext.evaluation.several import align


def some(n: int, seed: int, several: bool = False) -> Predictions:
    random = np.random.default_rng(seed)
    scheme = LabelScheme(("a", "b", "c"), several)
    if several:
        targets = random.integers(0, 2, (n, 3))
        decision = Decision(thresholds=(0.2, 0.5, 0.8))
        return Predictions(tuple(map(str, range(n))), targets, random.random((n, 3)), scheme,
                           decision)  # fmt: skip
    costs = ((0.0, 1.0, 5.0), (1.0, 0.0, 1.0), (2.0, 3.0, 0.0))
    return Predictions(
        tuple(map(str, range(n))), random.integers(0, 3, n), random.dirichlet(np.ones(3), n),
        scheme, Decision(costs=costs, least=(0.3, 0.4, 0.5)),
        groups=tuple(f"g{row // 2}" for row in range(n)),
    )  # fmt: skip


def shuffled(p: Predictions, rows: list[int], columns: list[int]) -> Predictions:
    """The same with rows and labels in another order, as another program might write it."""
    names = tuple(p.scheme.names[column] for column in columns)
    scheme = LabelScheme(names, p.scheme.multilabel)
    decision = p.decision.to_json()
    for part in ("thresholds", "least"):
        if part in decision:
            decision[part] = [decision[part][column] for column in columns]
    if "costs" in decision:
        decision["costs"] = np.array(decision["costs"])[np.ix_(columns, columns)].tolist()
    return Predictions(
        ids=tuple(p.ids[row] for row in rows),
        targets=scheme.encode([p.scheme.decode(p.targets)[row] for row in rows]),
        probabilities=p.probabilities[rows][:, columns],
        scheme=scheme,
        decision=Decision.from_json(decision),
        groups=None if p.groups is None else tuple(p.groups[row] for row in rows),
    )


@given(st.permutations(range(12)), st.permutations(range(3)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_another_order_of_rows_and_labels_makes_no_difference(
    rows: list[int], columns: list[int], several: bool
) -> None:
    one = some(12, 1, several)
    other = shuffled(some(12, 1, several), rows, columns)
    back = align({"one": one, "other": other})["other"]
    assert (back.ids, back.scheme, back.groups) == (one.ids, one.scheme, one.groups)
    assert np.array_equal(back.targets, one.targets)
    assert np.array_equal(back.decisions, one.decisions)
    if not several:
        assert np.array_equal(back.abstained, one.abstained)
    for name in applicable(one.scheme):
        metric = metric_for(name, one.scheme)
        assert metric(back) == pytest.approx(metric(other))


def test_groups_that_one_set_knows_hold_for_all() -> None:
    one = some(4, 1)
    bare = replace(one, groups=None)
    assert align({"bare": bare, "one": one})["bare"].groups == one.groups
    with pytest.raises(DataError, match="odd has other groups"):
        align({"one": one, "odd": replace(one, groups=("x",) * 4)})


def test_other_rows_are_told_with_counts_and_examples() -> None:
    one = some(6, 1)
    other = replace(one, ids=("0", "1", "7", "8", "9", "x"))
    with pytest.raises(DataError) as error:
        align({"one": one, "other": other})
    assert str(error.value) == (
        "one and other are not about the same rows: only in one 4 ids ('2', '3', '4'); "
        "only in other 4 ids ('7', '8', '9'); in both 2 ids"
    )
    with pytest.raises(DataError, match="only in one 1 id "):
        align({"one": one, "fewer": some(5, 1)})


def test_other_labels_and_other_truths_are_told() -> None:
    one = some(6, 1)
    renamed = replace(one, scheme=LabelScheme(("a", "b", "d")))
    with pytest.raises(DataError, match=r"only in one 1 label \('c'\); only in odd 1 label"):
        align({"one": one, "odd": renamed})
    with pytest.raises(DataError, match="in several a row can have several labels, in one"):
        align({"one": one, "several": some(6, 1, True)})
    relabelled = replace(one, targets=np.r_[(one.targets[:2] + 1) % 3, one.targets[2:]])
    with pytest.raises(DataError, match=r"disagree on the true labels of 2 rows \('0', '1'\)"):
        align({"one": one, "odd": relabelled})
