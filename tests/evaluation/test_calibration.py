from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

import finetext
from finetext.core.decision import Decision
from finetext.core.settings import SplitSettings
from finetext.core.types import Dataset, LabelScheme, Predictions
from finetext.evaluation.calibration import (
    BINS,
    FEWEST_TO_HALVE,
    Bin,
    brier_score,
    calibrated_by,
    calibration,
    calibration_error,
    confidence,
    cross_calibrated,
    fit_temperature,
    for_decisions,
    joined,
    reliability,
    tempered,
    with_temperature,
)
from finetext.evaluation.deciding import Deciding, choose_decision, decided_by, set_from
from finetext.evaluation.metrics import log_loss
from finetext.methods.majority import MajorityClassifier


def simulated(rows: int, seed: int, times: float = 1.0, several: bool = False) -> Predictions:
    """Calibrated predictions, or overconfident ones with `times` above 1."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (rows, 3))
    ids = tuple(map(str, range(rows)))
    scheme = LabelScheme(("a", "b", "c"), multilabel=several)
    if several:
        targets = (random.random((rows, 3)) < expit(logits)).astype(np.int64)
        return Predictions(ids, targets, expit(times * logits), scheme)
    true = softmax(logits, axis=1).cumsum(axis=1)
    targets = (random.random((rows, 1)) > true).sum(axis=1)
    return Predictions(ids, targets, softmax(times * logits, axis=1), scheme)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("times", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_factor_that_logits_are_too_large_by(
    times: float, several: bool
) -> None:
    found = fit_temperature(simulated(4_000, 1, times, several))
    assert found == pytest.approx(times, rel=0.08)


@pytest.mark.parametrize("several", [False, True])
def test_scaling_calibrates_overconfident_predictions_on_unseen_rows(several: bool) -> None:
    temperature = fit_temperature(simulated(2_000, 1, 3.0, several))
    test = simulated(4_000, 2, 3.0, several)
    mended = with_temperature(test, temperature)
    assert calibration_error(mended) < calibration_error(test) / 3
    assert log_loss(mended) < log_loss(test)
    assert brier_score(mended) < brier_score(test)


def test_a_few_correct_rows_do_not_make_a_model_infinitely_confident() -> None:
    scheme, rows = LabelScheme(("a", "b")), 5
    likely = np.tile([0.9, 0.1], (rows, 1))
    all_right = Predictions(tuple("12345"), np.zeros(rows, dtype=np.int64), likely, scheme)
    assert 0.2 < fit_temperature(all_right) < 1
    assert fit_temperature(simulated(0, 0)) == 1.0


@given(
    st.lists(st.lists(st.floats(-8, 8), min_size=3, max_size=3), min_size=1, max_size=9),
    st.floats(0.1, 10),
    st.booleans(),
)
@settings(max_examples=50)
def test_scaling_divides_the_logits(
    logits: list[list[float]], temperature: float, several: bool
) -> None:
    values = np.array(logits)
    before = expit(values) if several else softmax(values, axis=1)
    after = tempered(before, several, temperature)
    cooled = values / temperature
    np.testing.assert_allclose(
        after, expit(cooled) if several else softmax(cooled, axis=1), rtol=1e-5, atol=1e-12
    )
    if temperature > 0.5:  # a float has no room for what a lower one leaves of the larger logits
        np.testing.assert_allclose(tempered(after, several, 1 / temperature), before, atol=1e-5)


def test_probabilities_of_0_and_1_stay() -> None:
    assert tempered(np.array([[1.0, 0.0]]), False, 2.0).tolist() == [[1.0, 0.0]]
    assert tempered(np.array([[1.0, 0.0]]), True, 2.0).tolist() == [[1.0, 0.0]]


def test_calibration_error_is_the_mean_distance_over_bins() -> None:
    likely = np.array([[0.95, 0.05]] * 10 + [[0.45, 0.55]] * 10)
    targets = np.array([0] * 8 + [1] * 2 + [1] * 5 + [0] * 5)
    scheme = LabelScheme(("a", "b"))
    predictions = Predictions(tuple(map(str, range(20))), targets, likely, scheme)
    assert calibration_error(predictions) == pytest.approx((0.15 + 0.05) / 2)
    found = reliability(predictions)
    assert len(found.bins) == BINS
    assert sum(each.rows for each in found.bins) == 20
    filled = [each for each in found.bins if each.rows]
    assert [each.accuracy for each in filled] == [0.5, 0.8]
    assert [each.confidence for each in filled] == pytest.approx([0.55, 0.95])
    assert all(each.low <= each.confidence <= each.high for each in filled)
    assert found.calibration_error == calibration_error(predictions)


def test_intervals_of_a_bin_are_wide_with_few_rows() -> None:
    low, high = Bin(0.6, 0.7, 0.65, 0.8, 10).interval()
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson's formula by hand
    assert Bin(0.6, 0.7, 0.65, 1.0, 1).interval() == pytest.approx((0.2065, 1.0), abs=1e-4)
    assert np.isnan(Bin(0.6, 0.7, np.nan, np.nan, 0).interval()).all()
    held = [
        low <= each.confidence <= high
        for seed in range(5)
        for each in reliability(simulated(3_000, seed)).bins
        if each.rows
        for low, high in [each.interval()]
    ]
    assert np.mean(held) > 0.85


def test_multi_label_bins_count_pairs_of_row_and_label() -> None:
    predictions = simulated(50, 3, several=True)
    sure, right = confidence(predictions)
    assert sure.shape == right.shape == (50, 3)
    assert sum(each.rows for each in reliability(predictions).bins) == 150


def test_calibration_before_is_that_of_the_unscaled_model() -> None:
    raw = simulated(500, 4, 3.0)
    scaled = with_temperature(raw, 3.0)
    scaled = Predictions(
        scaled.ids, scaled.targets, scaled.probabilities, scaled.scheme, Decision(temperature=3.0)
    )
    found = calibration(scaled)
    assert found.temperature == 3.0
    assert found.before.log_loss == pytest.approx(reliability(raw).log_loss)
    assert found.after == reliability(scaled)


def labeled(rows: int) -> Dataset:
    return finetext.read([
        {"id": str(row), "text": f"text {row}", "label": "ab"[row % 4 == 0], "film": str(row // 5)}
        for row in range(rows)
    ], group="film")  # fmt: skip


def test_enough_validation_rows_are_halved_for_a_decision_rule() -> None:
    validation = labeled(FEWEST_TO_HALVE)
    first, kept = for_decisions(validation, Deciding(abstain="accuracy=0.9"))
    assert kept is not None
    assert sorted([*first.ids, *kept.ids]) == sorted(validation.ids)
    assert not set(first.groups or ()) & set(kept.groups or ())
    for half in (first, kept):
        assert len(half) == pytest.approx(150, abs=10)
        assert half.labels.count("b") == pytest.approx(37, abs=8)
    assert for_decisions(validation, Deciding()) == (validation, None)
    assert for_decisions(validation, Deciding(abstain="probability=0.7")) == (validation, None)
    few = labeled(FEWEST_TO_HALVE - 5)
    assert for_decisions(few, Deciding(coverage=0.9)) == (few, None)


def test_a_ready_made_validation_split_is_halved_like_any_other() -> None:
    wanted, validation = Deciding(coverage=0.9), labeled(FEWEST_TO_HALVE)
    split = ["validation"] * len(validation)
    ready = replace(validation, table=validation.table.add_column("split", split))
    for found, known in zip(
        for_decisions(ready, wanted), for_decisions(validation, wanted), strict=True
    ):
        assert found is not None
        assert known is not None
        assert found.ids == known.ids
        assert found["split"] == split[: len(known)]


def test_halves_keep_groups_and_copies_together_as_the_splits_do() -> None:
    texts = [f"text {row // 2} of two" for row in range(FEWEST_TO_HALVE)]
    rows = [{"text": text, "label": "ab"[n % 4 == 0], "film": str(n // 5)}
            for n, text in enumerate(texts)]  # fmt: skip
    validation, wanted = finetext.read(rows, group="film"), Deciding(coverage=0.9)

    def shared(settings: SplitSettings, column: str) -> int:
        first, kept = for_decisions(validation, wanted, settings)
        assert kept is not None
        return len(set(first[column]) & set(kept[column]))

    assert shared(SplitSettings(grouped=False), "text") == 0
    assert shared(SplitSettings(grouped=False, keep_duplicates=True), "text") > 0
    assert shared(SplitSettings(keep_duplicates=True), "group") == 0
    assert shared(SplitSettings(grouped=False), "group") > 0


def test_rows_of_one_group_are_not_halved() -> None:
    validation = labeled(FEWEST_TO_HALVE)
    table = validation.table.remove_columns("group").add_column("group", ["x"] * len(validation))
    alone = replace(validation, table=table)
    assert for_decisions(alone, Deciding(coverage=0.9)) == (alone, None)


def test_temperature_and_decision_rule_come_from_different_rows() -> None:
    predictions, first = simulated(400, 1, 3.0), np.arange(400) < 200
    classifier = MajorityClassifier(predictions.scheme, Decision(), np.array([0.5, 0.3, 0.2]))
    wanted = Deciding(coverage=0.8)
    fitted, scaled = calibrated_by(classifier, predictions, wanted, ~first)
    temperature = fit_temperature(predictions.select(first))
    assert fitted.decision.temperature == temperature
    assert scaled.decision == fitted.decision
    kept = with_temperature(predictions.select(~first), temperature)
    assert fitted.decision.set_from == pytest.approx(set_from(kept, 0.8))


def test_rows_needed_are_validation_rows_of_both_halves() -> None:
    predictions, kept = simulated(60, 1), np.arange(60) < 30
    classifier = MajorityClassifier(predictions.scheme, Decision(), np.array([0.5, 0.3, 0.2]))
    wanted = Deciding(abstain="accuracy=0.95")
    decision = calibrated_by(classifier, predictions, wanted, kept)[0].decision
    alone = choose_decision(
        with_temperature(predictions.select(kept), decision.temperature), wanted
    )
    assert alone.rows_needed is not None
    assert decision.rows_needed == 2 * alone.rows_needed


def test_each_fold_is_calibrated_and_decided_by_the_others() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(2, size=60)
    likely = softmax(np.eye(2)[targets] * 2 + random.normal(0, 1.5, (60, 2)), axis=1)
    whole = Predictions(tuple(map(str, range(60))), targets, likely, LabelScheme(("x", "y")))
    folds = [whole.select(np.arange(60) % 3 == number) for number in range(3)]
    wanted = Deciding(abstain="coverage=0.5")
    found = cross_calibrated(folds, wanted)
    changed = replace(folds[0], targets=1 - folds[0].targets)
    again = cross_calibrated([changed, *folds[1:]], wanted)
    np.testing.assert_array_equal(found[0].probabilities, again[0].probabilities)
    assert found[0].decision == again[0].decision
    assert found[1].decision != again[1].decision
    assert found[0].decision.temperature == pytest.approx(fit_temperature(joined(folds[1:])))
    unscaled = cross_calibrated(folds, wanted, is_scaled=False)
    assert {of.decision.temperature for of in unscaled} == {1.0}
    crossed = joined(found)
    assert crossed.abstained.tolist() == [no for of in found for no in of.abstained]
    decided = decided_by(crossed, Deciding(abstain="coverage=0.8"))
    others = choose_decision(crossed.select(np.arange(60) >= 20), Deciding(abstain="coverage=0.8"))
    assert decided.abstained[:20].tolist() == others.abstains(crossed.probabilities[:20]).tolist()
