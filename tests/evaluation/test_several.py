"""Several sets of predictions: aligned, compared pair by pair, corrected."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from finetext.core.decision import Decision
from finetext.core.errors import DataError, RecipeError, UnknownNameError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.compare import compare, discordant
from finetext.evaluation.fold_scores import FoldPredictions, compare_on
from finetext.evaluation.metrics import applicable, metric_for
from finetext.evaluation.several import (
    align,
    compare_all,
    compare_folds,
    holm,
    smallest_difference,
)

SCHEME = LabelScheme(("a", "b", "c"))


def method(n: int, seed: int, noise: float, own: int) -> Predictions:
    """Predictions from a signal shared by all of this seed, through noise of their own."""
    random, extra = np.random.default_rng(seed), np.random.default_rng([seed, own])
    targets = random.choice(3, size=n, p=(0.5, 0.3, 0.2))
    logits = random.normal(size=(n, 3))
    logits[np.arange(n), targets] += 2.0
    odds = np.exp(logits + noise * extra.normal(size=(n, 3)))
    ids = tuple(map(str, range(n)))
    return Predictions(ids, targets, odds / odds.sum(axis=1, keepdims=True), SCHEME)


def three(n: int = 400, seed: int = 0) -> dict[str, Predictions]:
    noise = {"good": 0.2, "fair": 0.3, "poor": 3}
    return {name: method(n, seed, noise[name], own) for own, name in enumerate(noise, 1)}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_procedure(values: list[float]) -> None:
    corrected = holm(values)
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for step, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
            if values[place] * (len(values) - step) > level:
                break
            rejected.add(place)
        assert {i for i, p in enumerate(corrected) if p <= level} == rejected


def test_every_pair_is_compared_and_corrected() -> None:
    sets = three()
    found = compare_all(sets, "macro_f1")
    assert [(pair.a, pair.b) for pair in found.pairs] == list(combinations(sets, 2))
    alone = [compare(sets[pair.a], sets[pair.b], "macro_f1") for pair in found.pairs]
    assert [pair.comparison for pair in found.pairs] == alone
    assert [pair.corrected for pair in found.pairs] == holm([each.p_value for each in alone])
    assert found.rows == 400
    assert found.groups is None
    assert found.scores["good"].low < found.scores["good"].value < found.scores["good"].high


def test_against_one_compares_every_other_with_it() -> None:
    found = compare_all(three(), against="fair")
    assert [(pair.a, pair.b) for pair in found.pairs] == [("good", "fair"), ("poor", "fair")]
    with pytest.raises(UnknownNameError, match="'fare'; did you mean 'fair'"):
        compare_all(three(), against="fare")


@pytest.mark.parametrize("metric", ["macro_f1", "log_loss"])
def test_verdicts_name_the_better_one(metric: str) -> None:
    found = compare_all(three(), metric)
    said = {(pair.a, pair.b): found.verdict(pair) for pair in found.pairs}
    assert said["good", "poor"] == "good is better than poor"
    turned = compare_all(dict(reversed(three().items())), metric)
    assert turned.verdict(turned.pairs[1]) == "good is better than poor"
    assert turned.better(turned.pairs[1]) == "good"


def test_the_verdict_names_the_minimum_detectable_difference() -> None:
    found = compare_all({name: p for name, p in three(200).items() if name != "poor"})
    [pair] = found.pairs
    assert pair.smallest is not None
    assert found.better(pair) is None
    assert found.verdict(pair) == (
        f"no difference could be shown; these rows could have shown one of {pair.smallest:.2g}"
    )


def test_the_verdict_says_when_correction_removes_a_difference() -> None:
    found = compare_all(three())
    pair = replace(found.pairs[0], comparison=replace(found.pairs[0].comparison, p_value=0.03),
                   corrected=0.06)  # fmt: skip
    assert found.verdict(pair).startswith("no difference could be shown in 3 comparisons")


def test_a_set_and_itself_are_equal_on_every_row() -> None:
    one = method(50, 1, 0.5, 1)
    found = compare_all({"one": one, "same": one})
    [pair] = found.pairs
    assert (found.verdict(pair), pair.corrected) == ("equal on every row", 1.0)
    assert pair.smallest is not None


def test_a_difference_on_every_one_of_a_few_rows_is_not_called_equal() -> None:
    likely, targets = np.tile([0.8, 0.1, 0.1], (3, 1)), np.zeros(3, dtype=np.int64)
    right = Predictions(tuple("123"), targets, likely, SCHEME)
    wrong = replace(right, probabilities=likely[:, ::-1])
    found = compare_all({"right": right, "wrong": wrong}, "accuracy")
    assert found.verdict(found.pairs[0]).startswith("no difference could be shown")


def test_discordant_rows_are_counted() -> None:
    sets = three(300)
    right = {name: p.decisions == p.targets for name, p in sets.items()}
    for pair in compare_all(sets, "macro_f1").pairs:
        only_a = (right[pair.a] & ~right[pair.b]).sum()
        only_b = (right[pair.b] & ~right[pair.a]).sum()
        assert (pair.only_a, pair.only_b) == (only_a, only_b)
    grouped = {name: replace(p, groups=tuple(str(i // 3) for i in range(300)))
               for name, p in sets.items()}  # fmt: skip
    found = compare_all(grouped)
    assert found.groups == 100
    assert found.pairs[0].only_a + found.pairs[0].only_b > 0


def test_multi_label_rows_are_right_if_all_labels_are() -> None:
    scheme = LabelScheme(("x", "y"), True)
    targets = np.array([[1, 0], [1, 1], [0, 0]])
    one = Predictions(("1", "2", "3"), targets, targets * 0.9, scheme)
    other = replace(one, probabilities=np.array([[0.9, 0.9], [0.9, 0.1], [0.1, 0.2]]))
    found = compare_all({"one": one, "other": other}, "subset_accuracy")
    [pair] = found.pairs
    assert (pair.only_a, pair.only_b) == (2, 0)
    assert pair.comparison.test == "score interval of discordant rows (Tango)"


def test_the_minimum_detectable_difference_has_a_power_of_80_percent() -> None:
    error = 0.01
    assert smallest_difference(error) == pytest.approx((1.959964 + 0.841621) * error, rel=1e-5)
    for comparisons in (1, 6):
        least = smallest_difference(error, comparisons)
        assert least is not None
        limit = norm.ppf(1 - 0.05 / comparisons / 2) * error
        assert norm.sf((limit - least) / error) == pytest.approx(0.8)
    assert smallest_difference(0.0) is None
    assert smallest_difference(None) is None


def test_simulations_reach_a_power_of_80_percent() -> None:
    shown, trials = 0, 300
    random = np.random.default_rng(3)
    n, lift = 500, 0.0
    for _ in range(trials):
        targets = random.integers(0, 2, n)
        a_right, b_right = random.random(n) < 0.8 + lift, random.random(n) < 0.8
        given = [np.where(right, targets, 1 - targets) for right in (a_right, b_right)]
        a, b = (Predictions(tuple(map(str, range(n))), targets, np.eye(2)[g],
                            LabelScheme(("x", "y"))) for g in given)  # fmt: skip
        found = compare(a, b, "accuracy")
        if not lift:
            lift = smallest_difference(found.standard_error) or 0.0
            continue
        shown += found.p_value < 0.05
    assert 0.7 <= shown / (trials - 1) <= 0.88


def test_json_has_scores_and_the_verdict_on_each_pair() -> None:
    for metric in ("macro_f1", "log_loss"):
        found = compare_all(three(60), metric)
        written = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert written["scores"] == {name: asdict(of) for name, of in found.scores.items()}
        for pair, of in zip(found.pairs, written["pairs"], strict=True):
            said = {"better": found.better(pair), "verdict": found.verdict(pair)}
            assert of == asdict(pair) | said


def test_one_set_and_a_metric_that_does_not_apply_are_rejected() -> None:
    with pytest.raises(DataError, match="at least two sets"):
        compare_all({"one": method(5, 1, 1, 1)})
    with pytest.raises(RecipeError, match="does not apply to data with 3 classes"):
        compare_all(three(5), "binary_f1")


def test_one_group_can_show_no_difference() -> None:
    sets = {name: replace(each, groups=("one",) * 400) for name, each in three().items()}
    found = compare_all({"good": sets["good"], "poor": sets["poor"]})
    (pair,) = found.pairs
    assert (pair.comparison.p_value, pair.smallest) == (1.0, None)
    assert found.verdict(pair) == "no difference could be shown"


def random_set(n: int, seed: int, several: bool = False) -> Predictions:
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
@settings(max_examples=60)
def test_another_order_of_rows_and_labels_makes_no_difference(
    rows: list[int], columns: list[int], several: bool
) -> None:
    one = random_set(12, 1, several)
    other = shuffled(random_set(12, 1, several), rows, columns)
    back = align({"one": one, "other": other})["other"]
    assert (back.ids, back.scheme, back.groups) == (one.ids, one.scheme, one.groups)
    assert np.array_equal(back.targets, one.targets)
    assert np.array_equal(back.decisions, one.decisions)
    if not several:
        assert np.array_equal(back.abstained, one.abstained)
    for name in applicable(one.scheme):
        metric = metric_for(name, one.scheme)
        assert metric(back) == pytest.approx(metric(other))


def test_groups_of_one_set_apply_to_all() -> None:
    one = random_set(4, 1)
    bare = replace(one, groups=None)
    assert align({"bare": bare, "one": one})["bare"].groups == one.groups
    with pytest.raises(DataError, match="odd has other groups"):
        align({"one": one, "odd": replace(one, groups=("x",) * 4)})


def test_other_rows_are_rejected_with_counts_and_examples() -> None:
    one = random_set(6, 1)
    other = replace(one, ids=("0", "1", "7", "8", "9", "x"))
    with pytest.raises(DataError) as error:
        align({"one": one, "other": other})
    assert str(error.value) == (
        "one and other are not about the same rows: only in one 4 ids ('2', '3', '4'); "
        "only in other 4 ids ('7', '8', '9'); in both 2 ids"
    )
    with pytest.raises(DataError, match="only in one 1 id "):
        align({"one": one, "fewer": random_set(5, 1)})


def test_other_labels_and_other_truths_are_rejected() -> None:
    one = random_set(6, 1)
    renamed = replace(one, scheme=LabelScheme(("a", "b", "d")))
    with pytest.raises(DataError, match=r"only in one 1 label \('c'\); only in odd 1 label"):
        align({"one": one, "odd": renamed})
    with pytest.raises(DataError, match="in several a row can have several labels, in one"):
        align({"one": one, "several": random_set(6, 1, True)})
    relabelled = replace(one, targets=np.r_[(one.targets[:2] + 1) % 3, one.targets[2:]])
    with pytest.raises(DataError, match=r"disagree on the true labels of 2 rows \('0', '1'\)"):
        align({"one": one, "odd": relabelled})


def test_cross_validated_methods_are_compared_on_all_folds() -> None:
    one, other = random_set(40, 1), random_set(40, 2)
    other = replace(other, targets=one.targets)
    rows = np.arange(40)
    folds = {
        name: FoldPredictions(tuple(
            tuple(of.select(rows % 4 == (number + repeat) % 4) for number in range(4))
            for repeat in range(3)
        ))
        for name, of in (("one", one), ("other", other))
    }  # fmt: skip
    found = compare_folds(folds, "accuracy")
    [pair] = found.pairs
    assert (found.rows, found.repeats, found.groups) == (40, 3, None)
    assert found.scores["one"] == folds["one"].scores()["accuracy"]
    assert pair.comparison == compare_on(folds["one"], folds["other"], "accuracy", 0)
    assert (pair.only_a, pair.only_b) == discordant(one, other)
    assert folds["one"].same_folds(folds["other"])
    assert not folds["one"].same_folds(FoldPredictions(folds["other"].repeats[::-1]))
    assert found.repeats_of == {"one": 3, "other": 3}
    folds["other"] = FoldPredictions(folds["other"].repeats[:2])
    fewer = compare_folds(folds, "accuracy")
    assert (fewer.repeats, fewer.repeats_of) == (2, {"one": 3, "other": 2})
    with pytest.raises(UnknownNameError):
        compare_folds(folds, against="third")
