"""Runs with minutes, by a clock that the methods move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

import finetext
from finetext import Blend, Listener, Majority, Recipe, Run, Tfidf
from finetext.core.types import Dataset, Finding
from finetext.runs import minutes as planning
from finetext.runs import timetable
from finetext.runs.costs import Cost
from finetext.runs.minutes import Ledger

MINUTE = 60.0
CHEAP = Tfidf(inverse_regularisation=1.0)


class Killed(BaseException):
    """Ends a run as a kill does: nothing is written after it."""


@dataclass(frozen=True)
class Slow(Tfidf):
    """TF-IDF that takes seconds for each row, of the clock of the tests."""

    name: ClassVar[str] = "slow"
    a_row: float = 1.0
    clock: ClassVar[list[float]] = [0.0]
    seen: ClassVar[list[list[str]]] = []
    ends: ClassVar[dict[float, type[BaseException]]] = {}

    def fit(self, train: Dataset, validation: Dataset, context: Any) -> Any:
        self.clock[0] += self.a_row * len(train)
        self.seen.append(train.ids)
        if self.a_row in self.ends:
            raise self.ends.pop(self.a_row)
        return super().fit(train, validation, context)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which nothing else moves; methods cost what they say."""

    def cost(method: Any, splits: Any, context: Any) -> Cost:
        return Cost(0.0, getattr(method, "a_row", 0.0), 0.0)

    monkeypatch.setattr(Slow, "clock", [0.0])
    monkeypatch.setattr(Slow, "ends", {})
    monkeypatch.setattr(Slow, "seen", [])
    monkeypatch.setattr(timetable, "now", lambda: Slow.clock[0])
    monkeypatch.setattr(timetable, "slowness", lambda seconds: 1.0)
    monkeypatch.setattr(timetable, "SAMPLES", (0, 0, 0))  # measure however few the rows
    monkeypatch.setattr(planning, "cost_of", cost)
    monkeypatch.setattr(planning, "FEWEST_ROWS", 10)
    return Slow.clock


@pytest.fixture
def trained(reviews: Path, tmp_path: Path) -> Callable[..., Run]:
    def train(*slow: Slow, minutes: float | None = 1.0, **more: Any) -> Run:
        methods = {"tfidf": CHEAP} | {f"slow-{of.a_row:g}": of for of in slow}
        methods |= more.pop("more", {})
        refit = more.pop("refit", False)
        more = {"out": tmp_path / "run", "listener": Listener()} | more
        recipe = Recipe(source=str(reviews), methods=methods, refit=refit)
        return finetext.train(recipe, minutes=minutes, **more)

    return train


def ledger(run: Run) -> Ledger:
    found = Ledger.read(run.folder)
    assert found is not None
    return found


def test_what_fits_is_fitted_whole(trained: Callable[..., Run]) -> None:
    run = trained(Slow(a_row=0.1))
    assert [entry.method for entry in run.leaderboard] == ["majority", "tfidf", "slow-0.1"]
    assert run.entry("slow-0.1").learned_from == 42
    turn = ledger(run).turn("slow-0.1")
    assert turn is not None
    assert (turn.cuts, turn.skipped, turn.rows) == ((), "", None)
    assert turn.taken == pytest.approx(4.2)
    assert not [of for of in run.findings if of.code == "minutes" and of.severity == "warning"]


def test_what_does_not_fit_learns_from_a_sample(trained: Callable[..., Run]) -> None:
    noticed = list[Finding]()
    run = trained(Slow(a_row=2.0), listener=Listener(finding=noticed.append))
    learned = run.entry("slow-2").learned_from
    assert learned is not None
    assert 10 <= learned < 42
    assert Slow.clock[0] <= MINUTE
    (said,) = [of.message for of in noticed if of.code == "minutes"]
    assert said == f"slow-2 is cut to fit: {learned} of 42 training rows"
    assert said in [of.message for of in run.findings]
    assert said in run.report.read_text("utf-8")
    assert run.rows("slow-2", "train").ids == Slow.seen[-1]


def test_what_does_not_fit_at_all_is_left_out_of_a_finished_run(
    trained: Callable[..., Run],
) -> None:
    run = trained(Slow(a_row=100.0))
    assert [entry.method for entry in run.leaderboard] == ["majority", "tfidf"]
    assert run.unfinished == ()
    assert any("slow-100 is left out: it needs about" in of.message for of in run.findings)
    again = trained(Slow(a_row=100.0), resume=True)
    assert again.unfinished == ()


def test_the_choice_is_written_before_the_method_begins(
    trained: Callable[..., Run], tmp_path: Path
) -> None:
    Slow.ends[2.0] = Killed
    with pytest.raises(Killed):
        trained(Slow(a_row=2.0))
    found = Ledger.read(tmp_path / "run")
    assert found is not None
    turn = found.turn("slow-2")
    assert turn is not None
    assert turn.rows is not None
    assert turn.taken is None


@pytest.mark.parametrize("ends", [Killed, KeyboardInterrupt])
def test_the_best_so_far_can_be_used_however_a_run_ends(
    trained: Callable[..., Run], tmp_path: Path, ends: type[BaseException]
) -> None:
    Slow.ends[0.1] = ends
    with pytest.raises(ends):
        trained(Slow(a_row=0.1))
    run = Run.open(tmp_path / "run")
    assert run.best == "tfidf"
    assert run.unfinished == ("slow-0.1",)
    assert run.classifier()("a fine and moving film")
    assert run.report.is_file() is (ends is Killed)
    assert finetext.load(tmp_path / "run").predict(["a dull film"])


def test_a_resumed_run_keeps_what_was_chosen_and_the_time_that_is_spent(
    trained: Callable[..., Run], tmp_path: Path
) -> None:
    Slow.ends[0.5] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        trained(Slow(a_row=0.5), Slow(a_row=0.7))
    before = Ledger.read(tmp_path / "run")
    assert before is not None
    assert before.spent == pytest.approx(21.0, abs=0.01)
    Slow.clock[0] = 0.0
    run = trained(Slow(a_row=0.5), Slow(a_row=0.7), minutes=None, resume=True)
    assert ledger(run).turn("slow-0.5") is not None
    assert Slow.clock[0] <= MINUTE - 21.0


def test_more_minutes_plan_anew_what_was_left_out(
    trained: Callable[..., Run], tmp_path: Path
) -> None:
    Slow.ends[0.1] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        trained(Slow(a_row=100.0), Slow(a_row=0.1))
    first = Ledger.read(tmp_path / "run")
    assert first is not None
    run = trained(Slow(a_row=100.0), Slow(a_row=0.1), minutes=240, resume=True)
    assert run.entry("slow-100").learned_from == 42
    assert ledger(run).minutes == 240


def test_the_end_says_what_more_minutes_would_lift(trained: Callable[..., Run]) -> None:
    said = list[str]()
    run = trained(Slow(a_row=100.0), listener=Listener(say=said.append))
    assert "minutes: " in said[-2] or "minutes: " in said[-3]
    (line,) = [line for line in said if line.startswith("with --minutes")]
    assert "(slow-100)" in line
    assert line in [of.message for of in run.findings]
    assert line in ledger(run).outlook
    minutes = float(line.split()[2])
    assert 42 * 100 / 60 < minutes < 100


def test_without_cuts_more_minutes_are_of_no_use(trained: Callable[..., Run]) -> None:
    assert "more minutes alone change nothing" in ledger(trained()).outlook[-1]


def test_a_second_fit_is_the_first_thing_to_go(trained: Callable[..., Run]) -> None:
    run = trained(Slow(a_row=0.1), Slow(a_row=0.45), refit="auto")
    assert run.entry("slow-0.1").learned_from == 42 + 9
    assert run.entry("slow-0.45").learned_from == 42
    turn = ledger(run).turn("slow-0.45")
    assert turn is not None
    assert turn.cuts == ("fitted once, without validation rows",)
    assert Slow.clock[0] <= MINUTE


def test_what_is_fitted_is_combined_last(trained: Callable[..., Run]) -> None:
    run = trained(Slow(a_row=0.1), Slow(a_row=100.0), more={"blend": Blend()})
    turns = [turn.method for turn in ledger(run).turns]
    assert turns == ["majority", "tfidf", "slow-0.1", "slow-100", "blend"]
    assert run.unfinished == ()
    alone = trained(Slow(a_row=100.0), more={"blend": Blend()}, out=run.folder.parent / "alone")
    turn = ledger(alone).turn("blend")
    assert turn is not None
    assert turn.skipped == "there are no two methods to combine"


def test_hardly_any_time_is_enough_for_a_classifier(trained: Callable[..., Run]) -> None:
    run = trained(Slow(a_row=1.0), minutes=0.02)
    assert run.best in ("majority", "tfidf")
    assert run.unfinished == ()
    assert run.report.is_file()


def test_a_run_without_minutes_has_no_ledger(trained: Callable[..., Run]) -> None:
    run = trained(Slow(a_row=5.0), minutes=None)
    assert not (run.folder / "minutes.json").exists()
    assert run.entry("slow-5").learned_from == 42


def test_diagnoses_without_time_are_left_out_with_their_command(
    trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.runs.reporting.DURATIONS", dict.fromkeys(
        ("errors", "slices", "words"), 0.0) | {"suspects": 1e9})  # fmt: skip
    run = trained()
    left_out = [of.message for of in run.findings if "no time was left" in of.message]
    assert left_out == [
        f"no time was left for label errors in the report; to add them: finetext label-errors "
        f"{run.folder}"
    ]
    assert {of.stem for of in (run.folder / "diagnosis").iterdir()} == {"errors", "slices", "words"}


def test_a_cross_validated_run_repeats_what_it_has_time_for(
    few_folds: None, trained: Callable[..., Run]
) -> None:
    split = finetext.SplitSettings(cross_validate=True)
    run = trained(Slow(a_row=0.3), split=split)
    turn = ledger(run).turn("slow-0.3")
    assert turn is not None
    assert turn.repeats == 1
    assert Slow.clock[0] <= MINUTE
    assert run.folds == 2
    assert Majority.name in {entry.method for entry in run.leaderboard}
