"""Decision rules reach their aims on unseen rows; prediction sets keep their coverage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from finetext.core.decision import Decision
from finetext.core.errors import DataError, RecipeError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.deciding import (
    MOST_POINTS,
    Deciding,
    choose_decision,
    covered,
    has_label,
    least_of_truth,
    selective,
    set_from,
    set_from_by_label,
)
from finetext.evaluation.metrics import metric_for
from finetext.evaluation.ranking import precision_recall

UNEVEN = np.array([0.8, 0.15, 0.05])


def simulated(rows: int, seed: int, several: bool = False) -> Predictions:
    random = np.random.default_rng(seed)
    ids = tuple(map(str, range(rows)))
    scheme = LabelScheme(("often", "seldom", "rare"), multilabel=several)
    if several:
        logits = random.normal(-1.5, 1.5, (rows, 3))
        targets = (random.random((rows, 3)) < expit(logits)).astype(np.int64)
        return Predictions(ids, targets, expit(logits), scheme)
    targets = random.choice(3, rows, p=UNEVEN)
    logits = random.normal(0, 1, (rows, 3)) + 1.5 * np.eye(3)[targets] + np.log(UNEVEN)
    return Predictions(ids, targets, softmax(logits, axis=1), scheme)


def decided(wanted: Deciding, several: bool = False) -> Predictions:
    """New rows, decided as was chosen on others."""
    decision = choose_decision(simulated(3_000, 1, several), wanted)
    return replace(simulated(6_000, 2, several), decision=decision)


def test_the_default_is_the_likeliest_label_or_thresholds_for_f1() -> None:
    given = Decision(temperature=1.7, thresholds=(1.0, 2.0, 3.0))
    kept = replace(simulated(100, 1), decision=given)
    assert choose_decision(kept, Deciding()) == Decision(temperature=1.7)
    assert choose_decision(simulated(0, 1), Deciding(aim="f1")).thresholds is None
    assert choose_decision(simulated(100, 1, True), Deciding()).thresholds is not None


def test_the_aim_f1_raises_macro_f1_on_unseen_rows() -> None:
    macro_f1 = metric_for("macro_f1", simulated(1, 0).scheme)
    better = decided(Deciding(aim="f1"))
    assert macro_f1(better) > macro_f1(replace(better, decision=Decision())) + 0.02
    assert not better.abstained.any()


@pytest.mark.parametrize("share", [0.8, 0.95])
def test_the_aim_precision_abstains_until_the_precision_is_reached(share: float) -> None:
    found = decided(Deciding(aim=f"precision={share}"))
    kept = ~found.abstained
    assert kept.any()
    for label in range(3):
        given = kept & (found.decisions == label)
        if given.sum() > 50:
            assert (found.targets[given] == label).mean() > share - 0.07


@pytest.mark.parametrize(("aim", "of"), [("precision=0.8", "given"), ("recall=0.8", "true")])
def test_multi_label_rows_reach_precision_or_recall(aim: str, of: str) -> None:
    found = decided(Deciding(aim=aim), several=True)
    right = (found.decisions & found.targets).sum(axis=0)
    all_of = (found.decisions if of == "given" else found.targets).sum(axis=0)
    np.testing.assert_allclose(right / all_of, 0.8, atol=0.07)


def test_abstaining_reaches_its_share() -> None:
    by_accuracy = decided(Deciding(abstain="accuracy=0.9"))
    kept = ~by_accuracy.abstained
    right = by_accuracy.decisions == by_accuracy.targets
    assert right.mean() < 0.88
    assert right[kept].mean() == pytest.approx(0.9, abs=0.02)
    by_coverage = decided(Deciding(abstain="coverage=0.7"))
    assert (~by_coverage.abstained).mean() == pytest.approx(0.7, abs=0.03)
    found = decided(Deciding(abstain="probability=0.6"))
    np.testing.assert_array_equal(found.abstained, found.probabilities.max(axis=1) < 0.6)


def test_an_aim_out_of_reach_abstains_from_every_row() -> None:
    wrong = simulated(500, 1)
    wrong = replace(wrong, targets=(wrong.probabilities.argmax(axis=1) + 1) % 3)
    for wanted in (Deciding(abstain="accuracy=0.99"), Deciding(aim="precision=0.99")):
        assert replace(wrong, decision=choose_decision(wrong, wanted)).abstained.all()


def test_a_coverage_makes_prediction_sets() -> None:
    found = decided(Deciding(coverage=0.9))
    sets = found.decision.sets(found.probabilities)
    assert sets is not None
    assert sets[np.arange(len(found)), found.targets].mean() == pytest.approx(0.9, abs=0.02)
    assert found.decision.aim == "coverage 0.9"


@pytest.mark.parametrize("several", [False, True])
def test_each_label_can_have_its_coverage(several: bool) -> None:
    by_row, by_label = (decided(Deciding(coverage=of), several) for of in (0.9, "class=0.9"))
    for column in range(3):
        rows = has_label(by_label.targets, column)
        sets = by_label.decision.sets(by_label.probabilities)
        assert sets is not None
        assert sets[rows, column].mean() == pytest.approx(0.9, abs=0.05)
    assert by_label.decision.aim == "coverage 0.9 of each label"
    if not several:
        sets = by_row.decision.sets(by_row.probabilities)
        assert sets is not None
        assert (
            sets[has_label(by_row.targets, 2), 2].mean() < 0.75
        )  # the average hides the rare class


def test_a_label_with_too_few_rows_is_in_every_set() -> None:
    few = simulated(300, 1)
    few = replace(few, targets=np.where(few.targets == 2, 0, few.targets))
    limits = set_from_by_label(few, 0.9)
    assert limits[2] == 0.0
    assert min(limits[:2]) > 0
    with pytest.raises(DataError, match="validation rows"):
        set_from_by_label(simulated(0, 1), 0.9)


@pytest.mark.parametrize("allowed", [0.05, 0.2])
def test_at_most_the_stated_share_of_rows_in_scope_is_refused(allowed: float) -> None:
    refused = []
    for seed in range(40):  # on average over draws, whatever their size
        chosen = choose_decision(simulated(59, seed), Deciding(out_of_scope=allowed))
        new = simulated(400, 1_000 + seed)
        refused.append(replace(new, decision=chosen).decision.out_of_scope(new.probabilities))
    assert np.mean(refused) == pytest.approx(allowed, abs=0.25 * allowed)
    assert (chosen.false_alarms, chosen.aim) == (allowed, f"false alarms {allowed}")


def test_too_few_rows_refuse_nothing_as_out_of_scope() -> None:
    likely = np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    for rows, is_refused in ((18, False), (19, True)):
        sure = replace(simulated(rows, 1), probabilities=np.tile(likely[:1], (rows, 1)))
        chosen = choose_decision(sure, Deciding(out_of_scope=0.05))
        assert chosen.out_of_scope(likely).tolist() == [False, is_refused]
        assert chosen.refuses_nothing == (not is_refused)
        assert (chosen.in_scope_up_to is None) == (not is_refused)
        why = "nothing is refused: 5% takes 19 validation rows, there are 18"
        assert chosen.aim == "false alarms 0.05" + f" ({why})" * (not is_refused)


def test_few_rows_aim_at_a_target_without_assuring_it() -> None:
    few = choose_decision(simulated(30, 1), Deciding(abstain="accuracy=0.95"))
    assert few.assured == (False,)
    assert few.rows_needed is not None
    assert few.rows_needed > 60
    assert few.assurance.startswith("aimed at, not assured: it takes about ")
    many = choose_decision(simulated(3_000, 1), Deciding(abstain="accuracy=0.95"))
    assert many.assured == (True,)
    assert many.assurance.startswith("assured: new rows like these reach the target with 90%")
    assert choose_decision(simulated(300, 1), Deciding(aim="f1")).assurance == ""


def test_costs_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text("truth,rare,often,seldom\noften,1,0,1\nseldom,1,1,0\nrare,0,20,20\n")
    found = decided(Deciding(costs=path))
    assert found.decision.costs == ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (20.0, 20.0, 0.0))
    by_default = replace(found, decision=Decision())
    assert (found.decisions == 2).sum() > 2 * (by_default.decisions == 2).sum()


@pytest.mark.parametrize(
    "wrong",
    [
        {"aim": "accuracy"}, {"aim": "precision"}, {"aim": "precision=2"}, {"aim": "recall=x"},
        {"abstain": "f1"}, {"abstain": "0.9"}, {"abstain": "accuracy=0"}, {"coverage": 1.0},
        {"coverage": 0.0}, {"coverage": "row=0.9"}, {"coverage": "class=x"},
        {"aim": "f1", "costs": Path("costs.csv")}, {"out_of_scope": 0.0}, {"out_of_scope": 1},
    ],
)  # fmt: skip
def test_invalid_settings_are_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="decide"):
        Deciding(**wrong)


@pytest.mark.parametrize(
    ("wanted", "several"),
    [
        (Deciding(abstain="accuracy=0.9"), True),
        (Deciding(out_of_scope=0.05), True),
        (Deciding(costs=Path("costs.csv")), True),
        (Deciding(aim="recall=0.9"), False),
        (Deciding(aim="precision=0.9", abstain="coverage=0.5"), False),
    ],
)
def test_an_aim_that_does_not_fit_the_labels_is_rejected(wanted: Deciding, several: bool) -> None:
    with pytest.raises(RecipeError, match="decide"):
        choose_decision(simulated(10, 1, several), wanted)


def rows(sure: list[float], right: list[bool]) -> Predictions:
    likely = np.array([[p, 1 - p] for p in sure])
    targets = np.where(right, 0, 1)
    return Predictions(tuple(map(str, range(len(sure)))), targets, likely, LabelScheme(("a", "b")))


def test_the_least_certain_rows_are_left_out_first() -> None:
    found = selective(rows([0.9, 0.6, 0.8, 0.8], [True, False, True, False]))
    assert found.points == ((1.0, 0.5, 0.6), (0.75, pytest.approx(2 / 3), 0.8), (0.25, 1.0, 0.9))
    assert (found.coverage, found.accuracy) == (1.0, 0.5)


def test_rows_the_model_abstains_from_do_not_count() -> None:
    predictions = rows([0.9, 0.6, 0.8], [True, False, True])
    decided = selective(replace(predictions, decision=Decision(least=(0.7, 0.7))))
    assert (decided.coverage, decided.accuracy) == (pytest.approx(2 / 3), 1.0)
    nothing = selective(replace(predictions, decision=Decision(least=(1.1, 1.1))))
    assert nothing.coverage == 0.0
    assert np.isnan(nothing.accuracy)


def test_many_rows_give_at_most_100_points() -> None:
    random = np.random.default_rng(0)
    sure = (0.5 + random.random(5_000) / 2).tolist()
    points = selective(rows(sure, (random.random(5_000) < 0.8).tolist())).points
    assert len(points) == MOST_POINTS
    coverages = [coverage for coverage, _, _ in points]
    assert coverages == sorted(coverages, reverse=True)
    assert coverages[0] == 1.0
    assert coverages[-1] == 1 / 5_000


def drawn(rows: int, seed: int, several: bool = False) -> Predictions:
    """Predictions of a poor model: the truth has little to do with its probabilities."""
    random = np.random.default_rng(seed)
    likely = random.dirichlet(np.ones(4), rows)
    targets = random.integers(4, size=rows)
    if several:
        targets = (random.random((rows, 4)) < likely / 2 + 0.1).astype(np.int64)
    scheme = LabelScheme(("a", "b", "c", "d"), multilabel=several)
    return Predictions(tuple(map(str, range(rows))), targets, likely, scheme)


@pytest.mark.parametrize("coverage", [0.6, 0.9, 0.97])
@pytest.mark.parametrize("several", [False, True])
def test_prediction_sets_keep_their_coverage_whatever_the_model(
    coverage: float, several: bool
) -> None:
    shares = []
    for seed in range(60):
        limit = set_from(drawn(80, seed, several), coverage)
        decision = Decision(set_from=limit, coverage=coverage)
        shares.append(covered(replace(drawn(400, 1000 + seed, several), decision=decision)).mean())
    assert coverage - 0.015 < np.mean(shares) < coverage + 1 / 81 + 0.015


def test_too_few_rows_put_every_label_into_the_set() -> None:
    assert set_from(drawn(8, 0), 0.9) == 0.0
    assert set_from(drawn(9, 0), 0.9) > 0.0


def test_without_rows_or_a_coverage_nothing_can_be_computed() -> None:
    with pytest.raises(DataError, match="one label"):
        selective(rows([], []))
    with pytest.raises(DataError, match="validation rows"):
        set_from(drawn(0, 0), 0.9)
    with pytest.raises(DataError, match="coverage"):
        covered(drawn(5, 0))


def test_a_row_without_labels_is_always_covered() -> None:
    scheme = LabelScheme(("a", "b"), multilabel=True)
    targets, likely = np.array([[0, 0], [1, 1]]), np.array([[0.1, 0.2], [0.9, 0.3]])
    predictions = Predictions(("1", "2"), targets, likely, scheme)
    assert least_of_truth(predictions).tolist() == [1.0, 0.3]


def of_two_classes(rows: int, seed: int, positive: str | None) -> Predictions:
    random = np.random.default_rng(seed)
    targets = (random.random(rows) < 0.2).astype(np.int64)
    logits = random.normal(size=(rows, 2)) + 1.5 * np.eye(2)[targets] + np.log([0.8, 0.2])
    scheme = LabelScheme(("ham", "spam"), positive=positive)
    return Predictions(tuple(map(str, range(rows))), targets, softmax(logits, axis=1), scheme)


@pytest.mark.parametrize("positive", ["ham", "spam"])
def test_the_aims_f1_and_recall_are_about_the_positive_class_that_was_named(positive: str) -> None:
    validation, new = (of_two_classes(4_000, seed, positive) for seed in (1, 2))
    recall, f1 = (metric_for(name, new.scheme) for name in ("binary_recall", "binary_f1"))
    for share in (0.5, 0.8, 0.97):
        reached = replace(new, decision=choose_decision(validation, Deciding(f"recall={share}")))
        assert share - 0.02 < recall(reached) < share + 0.06
        assert reached.decision.assured == (True,)
        assert not reached.abstained.any()
    best = choose_decision(validation, Deciding("f1"))
    assert best.aim == f"aim f1 of {positive}"
    macro = choose_decision(
        replace(validation, scheme=LabelScheme(("ham", "spam"))), Deciding("f1")
    )
    assert macro.aim == "aim f1"
    assert f1(replace(new, decision=best)) >= f1(replace(new, decision=macro)) - 0.003
    assert f1(replace(validation, decision=best)) > f1(validation)
    precise = Deciding("precision=0.9")
    assert choose_decision(validation, precise) == choose_decision(
        validation.with_positive("ham"), precise
    )


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(-12, 12)), min_size=1, max_size=25),
    st.sampled_from([0.3, 0.5, 0.9, 0.999]),
    st.sampled_from(["ham", "spam"]),
)
def test_no_threshold_is_better_on_the_rows_that_it_was_chosen_on(
    rows: list[tuple[int, int]], share: float, positive: str
) -> None:
    truth, tens = np.array(rows).T
    odds = 10.0**tens  # down to probabilities of one in a million millions
    scheme = LabelScheme(("ham", "spam"), positive=positive)
    likely = np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1)
    of = Predictions(tuple(map(str, range(len(rows)))), truth, likely, scheme)
    column = scheme.positive_column
    assume((truth == column).any())
    points = precision_recall(of).points()
    by_f1, by_recall = (choose_decision(of, Deciding(aim)) for aim in ("f1", f"recall={share}"))
    best, reached = (
        precision_recall(replace(of, decision=decision)).decided for decision in (by_f1, by_recall)
    )
    assert best.f1 == pytest.approx(max(point.f1 for point in points))
    assert reached.recall >= share
    highest = max(point.threshold for point in points if point.recall >= share)
    expected = next(p.recall for p in points if p.threshold == highest)
    is_assured = by_recall.assured == (True,)
    assert reached.recall >= expected if is_assured else reached.recall == expected


def test_an_aim_of_one_class_needs_its_name() -> None:
    unnamed = of_two_classes(100, 1, None)
    with pytest.raises(RecipeError, match="or name the positive class with --positive"):
        choose_decision(unnamed, Deciding("recall=0.9"))
    none = replace(of_two_classes(9, 1, "spam"), targets=np.zeros(9, dtype=np.int64))
    assert choose_decision(none, Deciding("recall=0.9")).thresholds == (0.5, 0.5)


@pytest.mark.parametrize(
    ("wanted", "chosen", "target"),
    [
        ({}, False, False), ({"aim": "f1"}, True, False), ({"aim": "precision=0.9"}, True, True),
        ({"abstain": "probability=0.7"}, False, False), ({"abstain": "accuracy=0.9"}, True, True),
        ({"coverage": 0.9}, True, True), ({"aim": "f1", "coverage": "class=0.9"}, True, True),
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_that_is_to_reach_a_share_has_a_target(
    wanted: dict[str, Any], chosen: bool, target: bool
) -> None:
    rule = Deciding(**wanted)
    assert (rule.is_chosen_on_rows, rule.has_target) == (chosen, target)
