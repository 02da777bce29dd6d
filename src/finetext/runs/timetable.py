"""The time of a run while it runs: whose turn it is, how it fits, and how the run ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from finetext.core.contracts import FitContext, Method, encoder_of, silent
from finetext.core.deadline import SECONDS_A_MINUTE, Clock, Deadline
from finetext.core.types import Finding
from finetext.core.wording import duration
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.methods.endpoint import BudgetEnded
from finetext.methods.llm import Llm
from finetext.runs.costs import SAMPLES
from finetext.runs.finish import keep_so_far
from finetext.runs.fit_methods import FittedMethod, Started
from finetext.runs.minutes import (
    NONE_TO_COMBINE,
    OVERHEAD,
    REPORT,
    SAFETY,
    Ledger,
    Turn,
    asked_of,
    choose,
    in_order,
    is_free,
    sampled,
    share_of,
)
from finetext.runs.outlook import outlook
from finetext.runs.reporting import DURATIONS

now: Clock = time.monotonic
"""The clock of runs with minutes."""
LEAST_OVERHEAD: Final = 0.1
MOST_SLOWNESS: Final = 6.0
LOADING: Final = 2.0
"""Seconds below which no encoder is even loaded to measure it."""
COMBINING: Final = 2.0
"""Seconds of weights and of reading the models of a blend, and of some texts to measure it."""
TIMED_TEXTS: Final = 200
ENDING: Final = 1.0
"""Seconds of the end of the process."""
ENOUGH_FOR_A_REPORT: Final = 40.0
"""Seconds from which the first real method gets a report at once: it shows how long one takes."""
MOST_DIAGNOSIS: Final = 0.1
"""Share of the minutes that is kept for the diagnosis."""
PLENTY: Final = 20.0
"""Seconds from which a method without encoder is fitted on few rows without measuring it first."""


class Timetable:
    """The turns of the methods of a run, within its minutes if it has any.

    Without minutes every method is fitted as the recipe says, in its order.
    """

    def __init__(self, started: Started, began: float) -> None:
        """Take a run whose folder is made and that `began` at a time of `now`."""
        minutes = started.recipe.minutes
        self._started, self._total = started, SECONDS_A_MINUTE * (minutes or 0.0)
        self._deadline: Deadline | None = None
        self._methods: dict[str, Method] = {}
        self._done: list[str] = []
        self._skipped: list[str] = []
        self._noticed: list[Finding] = []
        self._to_combine: list[LeaderboardEntry] = []
        self._overhead, self._diagnosis = OVERHEAD, 0.0
        self._slowness = slowness(now() - began)
        self._report = (REPORT + ENDING) * self._slowness
        if minutes is not None:
            before = spent_before(started.folder)
            self._deadline = Deadline(began + self._total - before, now)
            self._ledger = _resumed(started)
        self._at = began

    def order(self, methods: Mapping[str, Method]) -> list[str]:
        """Return the names of the methods in the order in which they are fitted."""
        self._methods = dict(methods) if self._deadline is None else in_order(methods)
        return list(self._methods)

    def turn(
        self, name: str, method: Method, fitted: Mapping[str, FittedMethod]
    ) -> tuple[Method, Started] | None:
        """Return a method as it is to be fitted, and the run as it sees it; None to leave it out.

        What was chosen is in the run folder before.
        """
        if self._deadline is None:
            return method, self._started
        self._to_combine = [of.entry for of in fitted.values() if of.entry.rows_per_second > 0]
        turn = self._ledger.turn(name)
        if turn is None:
            repeats = [len(of.folds.repeats) for of in fitted.values() if of.folds is not None]
            turn = self._planned(name, method, min(repeats) if repeats else None)
            self._keep(turn)
            self._say(turn)
        if turn.skipped:
            self._skipped.append(name)
            return None
        return turn.applied(method), self._seen(turn)

    def had(self, name: str, fitted: Mapping[str, FittedMethod]) -> None:
        """Record that a method is fitted, and write what the run has so far."""
        self._done.append(name)
        if self._deadline is None:
            return
        turn, now_at = self._ledger.turn(name), self._deadline.clock()
        if turn is not None and turn.taken is None:
            taken = now_at - self._at
            if is_free(self._methods[name]):
                self._overhead = max(LEAST_OVERHEAD, taken)
            self._keep(replace(turn, taken=taken))
        if name == "tfidf":
            most = MOST_DIAGNOSIS * self._total
            self._diagnosis = min(
                most, sum(DURATIONS.values()) * fitted[name].entry.seconds_to_train
            )
        self._write_so_far(fitted)

    def leave_out(self, name: str, reason: str) -> None:
        """Leave out a method for which a budget turned out to be too small, and say why."""
        finding = Finding("warning", "budget", f"{name} is left out: {reason}")
        self._skipped.append(name)
        self._noticed.append(finding)
        self._started.context.find(finding)

    def ending(self) -> Started:
        """Return the run for its end: without the methods that are left out, with what was cut."""
        if self._deadline is None:
            return self.so_far
        notes = [
            Finding("warning" if turn.skipped else "note", "minutes", turn.line)
            for turn in self._ledger.turns
            if turn.line
        ]
        self._ledger = replace(self._ledger, outlook=tuple(outlook(self._started, self._ledger)))
        notes += [Finding("note", "minutes", line) for line in self._ledger.outlook]
        context = replace(self._started.context, deadline=self._deadline.earlier(self._report))
        return replace(self.so_far, context=context, noticed=(*notes, *self._noticed))

    @property
    def so_far(self) -> Started:
        """The run without the methods that are left out."""
        skipped, noticed = frozenset(self._skipped), tuple(self._noticed)
        return replace(self._started, skipped=skipped, noticed=noticed)

    def close(self) -> None:
        """Say what the minutes were used for, and what more of them would likely bring."""
        if self._deadline is None:
            return
        self._keep()
        say = self._started.context.say
        used = duration(self._total - self._deadline.left)
        say(f"minutes: {used} of {duration(self._total)} were used")
        for line in self._ledger.outlook:
            say(line)

    def stopped(self) -> None:
        """Keep how much time is spent, when the run ends early."""
        if self._deadline is not None:
            self._keep()

    def _planned(self, name: str, method: Method, repeats: int | None) -> Turn:
        """Return the turn of a method in the time that is left.

        What combines the others is cross-validated as often as the least of these.
        """
        share = share_of(name, self._methods, self._over)
        if method.combines:
            if len(self._done) - sum(is_free(self._methods[of]) for of in self._done) < 2:
                return Turn(name, skipped=NONE_TO_COMBINE)
            late = self._left < 0
            return Turn(name, repeats=repeats, skipped="no time is left for it" if late else "")
        if is_free(method):
            hurry = self._started.run.folds is not None and self._left < PLENTY * self._slowness
            return Turn(name, repeats=1 if hurry else None)
        run = self._started.run
        least = 0.0 if encoder_of(method) is None else LOADING * self._slowness
        if (left := self._seconds_for(share)) <= least:
            return Turn(name, skipped=f"{duration(max(0.0, left))} are left for it")
        few = len(run.splits.train) <= 2 * SAMPLES[1] and run.folds is None
        is_cheap = not (method.trains_in_steps or method.pays_per_text)
        if few and is_cheap and self._seconds_for(share) > PLENTY:
            return Turn(name)
        assert self._deadline is not None
        ends = Deadline.after(left, self._deadline.clock)
        if isinstance(method, Llm):  # said before the first text is sent
            self._started.context.say(method.told)
        try:
            asked = asked_of(name, method, run, _unheard(self._started.context, ends))
        except BudgetEnded as error:
            return Turn(name, skipped=str(error).removeprefix(f"{method.name}: "))
        return choose(asked, self._seconds_for(share))

    def _seconds_for(self, share: float) -> float:
        """Return the seconds that a method is planned to take of those that are left."""
        return SAFETY * (self._left * share - self._overhead)

    @property
    def _over(self) -> set[str]:
        """The methods that have had their turn."""
        return {*self._done, *self._skipped}

    @property
    def _left(self) -> float:
        """The seconds that are left for methods."""
        assert self._deadline is not None
        waiting = [of for name, of in self._methods.items() if name not in self._over]
        last = 0.0
        if any(of.combines for of in waiting):
            texts = sum(TIMED_TEXTS / of.rows_per_second for of in self._to_combine)
            last = self._overhead + COMBINING * self._slowness + texts
        return self._deadline.left - self._report - self._diagnosis - last

    def _seen(self, turn: Turn) -> Started:
        """Return the run as a method sees it in its turn: its rows, folds and deadline."""
        assert self._deadline is not None
        self._at = self._deadline.clock()
        started, run = self.so_far, self._started.run
        if turn.rows is not None:
            run = replace(run, splits=sampled(run.splits, turn.rows, started.context.seed))
        if turn.repeats is not None:
            run = replace(run, repeats=turn.repeats)
        if turn.refit is not None:
            run = replace(run, recipe=replace(run.recipe, refit=turn.refit))
        share = share_of(turn.method, self._methods, self._over)
        seconds = self._left * share - self._overhead - turn.after
        deadline = Deadline.after(seconds, self._deadline.clock)
        return replace(started, run=run, context=replace(started.context, deadline=deadline))

    def _keep(self, turn: Turn | None = None) -> None:
        """Write the ledger with the time that is spent, and with a turn."""
        assert self._deadline is not None
        if turn is not None:
            self._ledger = self._ledger.with_turn(turn)
        spent = self._total - self._deadline.left - self._ledger.running(self._started.folder)
        self._ledger = replace(self._ledger, minutes=self._total / SECONDS_A_MINUTE, spent=spent)
        self._ledger.write(self._started.folder)

    def _say(self, turn: Turn) -> None:
        context = self._started.context
        if turn.line:
            context.find(Finding("warning", "minutes", turn.line))
        elif turn.seconds is not None:
            context.say(f"{turn.method}: about {duration(turn.seconds)}, nothing is cut")

    def _write_so_far(self, fitted: Mapping[str, FittedMethod]) -> None:
        """Write leaderboard and verdict of what is fitted so far, so that it can be used."""
        assert self._deadline is not None
        waiting = [name for name in self._methods if name not in self._over]
        real = [name for name in self._done if not is_free(self._methods[name])]
        if not waiting or not real:
            return
        with_report = len(real) == 1 and self._deadline.left > ENOUGH_FOR_A_REPORT
        start = self._deadline.clock()
        keep_so_far(self.so_far, fitted, waiting, with_report)
        if with_report:
            self._report = self._deadline.clock() - start + ENDING * self._slowness


def beginning_of_command() -> float:
    """Return the time by `now` at which the command began: that of its process, if it has one."""
    import psutil

    program = Path(sys.argv[0] if sys.argv else "")
    if "finetext" not in (program.stem, program.parent.name):
        return now()
    return now() - max(0.0, time.time() - float(psutil.Process().create_time()))


def slowness(seconds: float) -> float:
    """Return by how much other programs slow this process down, by its first seconds."""
    return min(MOST_SLOWNESS, max(1.0, seconds / max(0.1, time.process_time())))


def _resumed(started: Started) -> Ledger:
    """Return the ledger of a run folder; what was left out is planned again."""
    ledger = Ledger.read(started.folder)
    if ledger is None:
        return Ledger(started.recipe.minutes or 0.0)
    return replace(ledger, turns=tuple(of for of in ledger.turns if not of.skipped))


def spent_before(folder: Path) -> float:
    """Return the seconds that earlier attempts at a run took, as far as its folder says."""
    ledger = Ledger.read(folder)
    return 0.0 if ledger is None else ledger.spent + ledger.running(folder)


def _unheard(context: FitContext, deadline: Deadline) -> FitContext:
    """Return a context to measure in: nothing is said, and no checkpoint is written."""
    return replace(
        context, checkpoints=None, trackers=(), say=lambda line: None, find=lambda finding: None,
        progress=silent, deadline=deadline,
    )  # fmt: skip
