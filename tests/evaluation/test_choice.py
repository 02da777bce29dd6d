"""The choice of a method: shown to be as good, worse, or not known, in figures and words."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.choice import Choice, Grounds, choose, choose_among, confirmed
from finetext.evaluation.estimates import DiscordantRows, Estimate
from finetext.storage.codec import from_json

COST = {"majority": 0.0, "tfidf": 1.0, "probe": 5.0, "finetune": 60.0}
ROWS = Grounds("macro_f1", "validation", 1000, fewest=100, baseline="majority")
AHEAD = {"finetune": Estimate(0.6, 0.01, 999, 1000)}


def lead(value: float, error: float = 0.005, units: int = 1000) -> Estimate:
    return Estimate(value, error, units - 1, units)


def status_of(choice: Choice) -> dict[str, str]:
    return {of.method: of.status for of in choice.candidates}


def test_the_cheapest_that_is_as_good_is_recommended() -> None:
    leads = {"tfidf": lead(-0.1), "probe": lead(-0.005)}
    found = choose(leads, COST, "finetune", ROWS, over=AHEAD)
    assert status_of(found) == {"tfidf": "worse", "probe": "as good"}
    assert (found.recommended, found.margin, found.allowed) == ("probe", 0.02, 0.02)
    low = -0.005 - 1.96 * 0.005
    assert found.words() == [
        "tfidf is worse than finetune in macro F1: 0.100 below "
        f"(at least {0.1 - 2.245 * 0.005:.3f}).",
        f"probe is within 0.02 of finetune (at worst {-low:.3f} below).",
    ]


def test_few_rows_recommend_the_best_and_say_how_many_would_do() -> None:
    grounds = Grounds("accuracy", "validation", 9, baseline="majority")
    found = choose({"tfidf": DiscordantRows.of(0, 1, 9)}, COST, "finetune", grounds)
    assert status_of(found) == {"tfidf": "not known"}
    assert found.recommended == "finetune"
    needed = 9 * ((1.645 + 0.842) * math.sqrt((1 / 9 - 1 / 81) / 9) / 0.02) ** 2
    [said] = found.words()
    assert said.startswith(
        "These 9 validation rows cannot tell whether tfidf is within 0.02 of finetune "
        "in accuracy; about "
    )
    assert said.endswith("would. Until then: finetune.")
    assert needed <= (found.candidates[0].needed or 0) <= 1.11 * needed


def test_without_a_margin_nothing_unusable_is_recommended() -> None:
    grounds = Grounds("log_loss", "validation", 300)
    found = choose({"tfidf": DiscordantRows.of(0, 9, 300)}, COST, "finetune", grounds)
    assert found.words()[0].startswith("finetune is recommended. No usual margin exists")
    assert found.words(False)[0].startswith("Until a method is better: finetune. No usual margin")


def test_equal_on_every_row_is_as_good_only_with_enough_rows() -> None:
    for rows, status in ((9, "not known"), (148, "not known"), (149, "as good")):
        grounds = Grounds("accuracy", "validation", rows)
        found = choose({"tfidf": DiscordantRows.of(0, 0, rows)}, COST, "finetune", grounds)
        assert status_of(found) == {"tfidf": status}
    assert choose(
        {"tfidf": DiscordantRows.of(0, 0, 59)}, COST, "finetune",
        Grounds("accuracy", "validation", 59), 0.05,
    ).recommended == "tfidf"  # fmt: skip


def test_a_mean_over_classes_needs_ten_rows_of_each() -> None:
    few = replace(ROWS, fewest=9)
    assert choose({"tfidf": lead(0.0)}, COST, "finetune", ROWS).recommended == "tfidf"
    found = choose({"tfidf": lead(0.0)}, COST, "finetune", few)
    assert (found.recommended, found.candidates[0].needed) == ("finetune", 1200)


def test_the_margin_is_a_tenth_of_the_lead_over_the_majority_class_at_most() -> None:
    over = {"finetune": lead(0.05)}
    found = choose({"tfidf": lead(-0.005, 0.002)}, COST, "finetune", ROWS, over=over)
    assert found.allowed == pytest.approx(0.1 * over["finetune"].lower())
    assert found.recommended == "finetune"


def test_nothing_better_than_the_majority_class_is_nothing_learned() -> None:
    over = {"tfidf": lead(0.01, 0.02), "finetune": lead(0.03, 0.02)}
    found = choose({"tfidf": lead(0.0)}, COST, "finetune", ROWS, over=over)
    assert not found.learned
    assert found.recommended == "finetune"
    assert found.words() == [
        "These 1,000 validation rows cannot show that any method is better than majority in macro "
        "F1; about 3,500 would. Until then: finetune."
    ]


def test_fewer_rows_than_there_are_would_not_do() -> None:
    """A lead that one method alone would be trusted with is not among four."""
    over = {"tfidf": DiscordantRows.of(4, 0, 9), "probe": DiscordantRows.of(3, 0, 9)}
    over |= {"finetune": DiscordantRows.of(4, 0, 9), "features": DiscordantRows.of(0, 0, 9)}
    grounds = Grounds("accuracy", "validation", 9, baseline="majority")
    found = choose({}, COST, "finetune", grounds, over=over)
    assert not found.learned
    said = re.search(r"about ([\d,]+) would", found.words()[0])
    assert said is not None
    assert int(said[1]) > 9
    sure = {name: replace(lead(0.03, 0.0141), units=9) for name in "abcd"}
    none = choose({}, {"a": 1.0}, "a", replace(grounds, units=40), over=sure)
    assert not none.learned
    assert none.needed is None
    assert "would" not in none.words()[0]


def test_nothing_is_recommended_that_is_not_better_than_a_constant() -> None:
    found = choose({"finetune": lead(-0.001)}, COST, "tfidf", ROWS)
    assert found.words(is_better=False) == ["Until a method is better: tfidf."]


def test_dearer_methods_are_no_candidates() -> None:
    found = choose({"finetune": lead(-0.001)}, COST, "tfidf", ROWS)
    assert found.candidates == ()
    assert found.words() == ["tfidf is recommended."]


def test_the_log_loss_has_no_margin_of_its_own() -> None:
    grounds = Grounds("log_loss", "validation", 1000)
    found = choose({"tfidf": lead(0.0, 1e-6)}, COST, "finetune", grounds)
    assert (found.recommended, found.margin) == ("finetune", None)
    assert "No usual margin exists for log_loss; name one with --margin" in found.words()[0]
    assert choose({"tfidf": lead(0.0)}, COST, "finetune", grounds, 0.05).recommended == "tfidf"


@given(
    st.lists(st.tuples(st.floats(-0.2, 0.05), st.floats(0.001, 0.1)), min_size=1, max_size=4),
    st.floats(0.005, 0.1),
)
def test_bounds_and_verdicts_never_contradict_each_other(
    leads: list[tuple[float, float]], margin: float
) -> None:
    given_leads = {f"m{n}": lead(*of) for n, of in enumerate(leads)}
    cost = {name: float(n) for n, name in enumerate(given_leads)} | {"best": 99.0}
    found = choose(given_leads, cost, "best", ROWS, margin)
    for of in found.candidates:
        if of.status == "as good":
            assert of.lead.lower(of.level) > -margin
        if of.status == "worse":
            assert of.lead.upper(of.level) < 0
            assert of.lead.p_value() < 0.05
            assert of.lead.interval()[1] < 0
    good = [of.method for of in found.candidates if of.status == "as good"]
    assert found.recommended == (good[0] if good else "best")


def made(n: int, right: float, seed: int) -> Predictions:
    random = np.random.default_rng(seed)
    targets = np.arange(n) % 2
    given = np.where(np.random.default_rng(0).permutation(n) < right * n, targets, 1 - targets)
    given = np.where(random.random(n) < 0.01, 1 - given, given)
    ids = tuple(map(str, range(n)))
    return Predictions(ids, targets, np.eye(2)[given], LabelScheme(("a", "b")))


def test_predictions_choose_and_other_rows_confirm() -> None:
    shares = {"majority": 0.5, "tfidf": 0.9, "probe": 0.8, "finetune": 0.9}
    for metric in ("macro_f1", "accuracy"):
        sets = {name: [made(2000, of, n)] for n, (name, of) in enumerate(shares.items())}
        grounds = Grounds.of(metric, "validation", sets["finetune"], "majority")
        assert grounds.fewest == (1000 if metric == "macro_f1" else None)
        chosen = choose_among(sets, COST, "finetune", grounds)
        assert status_of(chosen) == {"tfidf": "as good", "probe": "worse"}
        test = {name: [made(1200, of, 9 + n)] for n, (name, of) in enumerate(shares.items())}
        on_test = Grounds.of(metric, "test", test["finetune"], "majority")
        found = confirmed(chosen, test, on_test)
        assert found.confirmation_words().startswith(
            "Confirmed: on 1,200 test rows tfidf is within 0.02 of finetune "
            f"in {'macro F1' if metric == 'macro_f1' else metric} (at worst 0.0"
        )
        assert confirmed(chosen, test | {"tfidf": test["probe"]}, on_test).confirmation_words() == (
            f"Not confirmed: on 1,200 test rows tfidf is {_behind(test, metric):.3f} below "
            f"finetune in {'macro F1' if metric == 'macro_f1' else metric} "
            f"(at least {_at_least(test, metric):.3f})."
        )
        few = {name: [made(40, of, n)] for n, (name, of) in enumerate(shares.items())}
        unsure = confirmed(chosen, few, Grounds.of(metric, "test", few["finetune"], "majority"))
        assert unsure.confirmation_words() == "Confirmation: the 40 test rows cannot tell."
        written = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert from_json(Choice, written, "it").words() == found.words()
        assert from_json(Choice, written, "it").confirmation_words() == found.confirmation_words()


def _behind(test: dict[str, list[Predictions]], metric: str) -> float:
    from finetext.evaluation.compare import compare

    return -compare(test["probe"], test["finetune"], metric).difference.value


def _at_least(test: dict[str, list[Predictions]], metric: str) -> float:
    from finetext.evaluation.compare import compare

    return -compare(test["probe"], test["finetune"], metric).difference.high


def test_the_best_is_confirmed_against_the_majority_class() -> None:
    sets = {"majority": [made(300, 0.5, 1)], "tfidf": [made(300, 0.9, 2)]}
    grounds = Grounds.of("accuracy", "validation", sets["tfidf"], "majority")
    chosen = choose_among(sets, COST, "tfidf", grounds)
    found = confirmed(chosen, sets, replace(grounds, part="test"))
    assert found.confirmation_words().startswith(
        "Confirmed: on 300 test rows tfidf is better than majority in accuracy (by at least 0.3"
    )
    assert chosen.confirmation_words() == ""


def test_groups_and_cross_validated_rows_are_named() -> None:
    assert replace(ROWS, units=40, grouped=True).words() == "40 groups of validation rows"
    assert replace(ROWS, part="cross-validation").words() == "1,000 cross-validated rows"
