"""What a method is cut to, so that it fits into the time that it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext import Finetune, Majority, Probe, Recipe, Tfidf
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset, Splits
from finetext.runs.costs import Cost, How, Load
from finetext.runs.minutes import Asked, Ledger, Turn, choose, in_order, sampled, share_of

LOAD = Load(1000.0, 100.0, 100.0)
TRAINING = Cost(fixed=1.0, learn=0.1, read=0.03, epochs=3, batch=10, lengths=np.full(50, 500))
SHORT = replace(TRAINING, lengths=np.full(50, 20))


def test_what_is_loaded_once_is_not_counted_in_every_fold() -> None:
    cost, folds = Cost(1.0, 0.1, 0.1), How(fits=50)
    loaded = replace(cost, loading=20.0)
    for how in (How(), How(again=True), folds):
        assert loaded.seconds(LOAD, how) == pytest.approx(cost.seconds(LOAD, how) + 20)


def finetune(cost: Cost = TRAINING, **more: Any) -> Asked:
    return Asked("finetune", Finetune(), cost, LOAD, **more)


def test_with_enough_time_nothing_is_cut() -> None:
    asked = finetune()
    turn = choose(asked, asked.seconds(Turn("finetune")))
    assert (turn.epochs, turn.max_length, turn.rows, turn.cuts) == (None, None, None, ())
    assert turn.seconds == turn.whole == pytest.approx(1 + 300 + 0.03 * (400 + 100))


def test_less_time_cuts_long_texts_then_epochs_then_rows() -> None:
    chosen = [choose(finetune(), seconds) for seconds in (200.0, 100.0, 70.0, 40.0, 15.0)]
    assert [(of.max_length, of.epochs, of.rows) for of in chosen[:4]] == [
        (256, None, None), (128, None, None), (128, 2, None), (128, 1, None)
    ]  # fmt: skip
    last = chosen[4]
    assert (last.max_length, last.epochs) == (128, 1)
    assert last.rows is not None
    assert 400 <= last.rows < 1000
    assert all(of.seconds is not None and of.whole is not None for of in chosen)
    assert last.line.endswith("training rows")
    assert "1 epoch instead of 3" in last.cuts


def test_every_turn_fits_into_its_time() -> None:
    for seconds in np.geomspace(5, 400, 60):
        turn = choose(finetune(), float(seconds))
        assert turn.skipped or (turn.seconds or 0) <= seconds


def test_a_second_fit_comes_with_time_to_spare_and_goes_first() -> None:
    asked = replace(finetune(), may_refit=True)
    assert asked.seconds(Turn("finetune", refit=True)) == pytest.approx(316 + 331)
    assert choose(asked, 900.0).refit
    assert choose(asked, 600.0).refit is None
    asked = replace(asked, refits=True)
    assert choose(asked, 900.0).refit is None
    turn = choose(asked, 600.0)
    assert turn.cuts == ("fitted once, without validation rows",)
    assert choose(asked, 200.0).refit is False


def test_short_texts_are_not_truncated() -> None:
    assert {choose(finetune(SHORT), float(of)).max_length for of in range(5, 400, 20)} == {None}


def test_a_length_that_was_asked_for_is_not_made_longer() -> None:
    asked = replace(finetune(), method=Finetune(max_length=200))
    assert {choose(asked, float(of)).max_length for of in range(5, 400, 20)} == {None, 128}


def test_too_few_steps_are_not_begun() -> None:
    turn = choose(finetune(SHORT), 15.0)
    assert turn.skipped == "it needs about 50 s for 40 steps at least, and 15 s are left for it"
    assert turn.line == f"finetune is left out: {turn.skipped}"
    assert not choose(finetune(SHORT), 60.0).skipped


def test_a_training_that_has_few_steps_anyway_is_made() -> None:
    asked = replace(finetune(SHORT), load=Load(60.0, 5.0, 5.0))
    assert choose(asked, 1000.0) == replace(
        Turn("finetune"), seconds=asked.seconds(Turn("x")), whole=asked.seconds(Turn("x")),
        after=SHORT.after(asked.load),
    )  # fmt: skip


@pytest.mark.parametrize("method", [Finetune(unfreeze="gradual"), Probe(), Tfidf()])
def test_what_has_no_epochs_loses_rows(method: Any) -> None:
    cost = SHORT if isinstance(method, Finetune) else Cost(0.5, 0.1, 0.01)
    turn = choose(Asked("one", method, cost, LOAD), 80.0)
    assert turn.epochs is None
    assert turn.rows is not None
    assert turn.applied(method) == method


def test_cross_validation_loses_repeats_before_anything_else() -> None:
    asked = finetune(replace(SHORT, learn=0.001), repeats=2, folds=5)
    whole = asked.seconds(Turn("finetune"))
    turn = choose(asked, 0.6 * whole)
    assert (turn.repeats, turn.epochs, turn.rows) == (1, None, None)
    assert turn.cuts == ("cross-validated 1 time instead of 2",)
    assert choose(asked, 0.01 * whole).skipped


def test_states_are_read_once_for_all_folds() -> None:
    cost = Cost(1.0, 0.1, 0.1, head=0.5, keeps_states=True)
    one, two = (Asked("probe", Probe(), cost, LOAD, of, 5) for of in (1, 2))
    assert two.seconds(Turn("probe")) - one.seconds(Turn("probe")) == pytest.approx(5 * 0.5)


def test_cheap_methods_come_first_and_the_majority_class_before_them() -> None:
    methods = {"finetune": Finetune(), "probe": Probe(), "tfidf": Tfidf(), "majority": Majority()}
    assert list(in_order(methods)) == ["majority", "tfidf", "probe", "finetune"]


def test_the_last_method_may_take_all_that_is_left() -> None:
    methods: dict[str, Any] = {"tfidf": Tfidf(), "probe": Probe(), "finetune": Finetune()}
    over, shares = list[str](), []
    for name in methods:
        shares.append(share_of(name, methods, over))
        over.append(name)
    assert shares == [0.5, 0.35, 1.0]
    both = {"one": Finetune(), "two": Finetune(epochs=1)}
    assert share_of("one", both, []) == 0.5
    assert share_of("two", both, ["one"]) == 1.0


def test_a_sample_has_every_class_and_whole_groups(make_dataset: Callable[..., Dataset]) -> None:
    labels = ["rare" if number % 20 == 0 else "usual" for number in range(200)]
    rows = make_dataset([f"text {number}" for number in range(200)], labels)
    groups = [f"group {number // 4}" for number in range(200)]
    rows = replace(rows, table=rows.table.add_column("group", groups))
    some = sampled(Splits(rows, rows, rows), 60, seed=3)
    assert some.validation is rows
    assert abs(len(some.train) - 60) <= 4
    assert set(some.train.labels) == {"rare", "usual"}
    assert some.train.groups is not None
    assert all(some.train.groups.count(group) == 4 for group in set(some.train.groups))
    assert some.train.ids == sampled(Splits(rows, rows, rows), 60, seed=3).train.ids
    assert sampled(Splits(rows, rows, rows), 200, seed=3).train is rows


def test_a_ledger_is_what_was_written(tmp_path: Path) -> None:
    assert Ledger.read(tmp_path) is None
    turn = Turn("finetune", epochs=1, rows=50, cuts=("1 epoch instead of 2",), seconds=3.0)
    ledger = Ledger(5.0, 12.0).with_turn(Turn("finetune")).with_turn(turn)
    ledger.write(tmp_path)
    assert Ledger.read(tmp_path) == ledger
    assert ledger.turn("finetune") == turn
    assert ledger.turn("probe") is None


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), 0.001, 1e9])
def test_minutes_that_are_none_are_refused(minutes: float) -> None:
    with pytest.raises(RecipeError, match="give a number of minutes from"):
        Recipe(minutes=minutes)


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(RecipeError, match="seeds = 3"):
        Recipe(minutes=5, seeds=3)
    with pytest.raises(RecipeError, match="adapts no encoder"):
        Recipe.from_values({"minutes": 5, "adapt": {"encoder": "minilm"}})
    assert Recipe.from_values({"minutes": 5}).minutes == 5
    assert "minutes = 5" in Recipe(minutes=5).to_toml()
