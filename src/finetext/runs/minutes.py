"""A run that ends in time: what each method gets of the minutes, and with which settings it fits.

Cheap methods come first, and each is planned anew for the time that is really left, from a second
of its work. What does not fit is cut in this order: the second fit on validation rows, repeats of a
cross-validation, long texts, epochs, rows. The order was not measured. For it speaks that 256
tokens of both ends lose 0.2 points to 512 on reviews (Sun et al. 2019); against it, that 128 of the
head lost five to 256 (`benchmarks/LOG.md`). A method for which even that is too much is left out.
With more time than a method needs it is fitted again on all rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.contracts import FitContext, Method, encoder_of
from finetext.core.types import Splits
from finetext.core.wording import counted, duration
from finetext.diagnosis.curve import NestedShares, least_rows
from finetext.methods.finetune import Finetune
from finetext.methods.llm import Llm
from finetext.methods.majority import Majority
from finetext.methods.static import Static
from finetext.runs.asked import budget_shares, check_folds_affordable
from finetext.runs.costs import Cost, How, Load, cost_of, cost_of_asking
from finetext.runs.refit import is_refitted
from finetext.runs.resolve import ResolvedRun
from finetext.storage.codec import Jsonable, from_json, to_json
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text
from finetext.storage.resume import seconds_of_attempts

FILE: Final = "minutes.json"
SAFETY: Final = 0.85
"""Share of its time that a method is planned to take; the rest is for what was not measured."""
OVERHEAD: Final = 0.5
"""Seconds of scoring and writing a method, until those of the first one are known."""
REPORT: Final = 3.0
"""Seconds of the report, until one was written."""
FEWEST_STEPS: Final = 40
"""Steps below which fine-tuning is left out: it would hardly have begun."""
FEWEST_ROWS: Final = 50
NONE_TO_COMBINE: Final = "there are no two methods to combine"
LENGTHS: Final = (256, 128)
"""Tokens that texts are truncated to where whole ones take too long."""
SHORTER: Final = 0.95
"""Share of the tokens below which a shorter length is worth its loss."""
SHARES: Final = {"cheap": 0.5, "states": 0.35}
"""Shares of the time that is left for methods without encoder, and for those that train no encoder;
what they do not use passes to the next ones."""


@dataclass(frozen=True)
class Turn(Jsonable):
    """How one method is fitted in the time that is left; None is its own hyperparameter.

    Attributes:
        rows: training rows to learn from, a stratified sample; None for all.
        repeats: of its cross-validation.
        refit: whether it is fitted again on training and validation rows; None as the recipe says.
        seconds: estimated time; None if it was not measured.
        whole: the same without cuts.
        after: time of what follows the last training step.
        cuts: what was cut, in words.
        skipped: why it is not fitted; "" if it is.
        taken: seconds that it took in the end, all steps included.
    """

    method: str
    epochs: int | None = None
    max_length: int | None = None
    rows: int | None = None
    repeats: int | None = None
    refit: bool | None = None
    seconds: float | None = None
    whole: float | None = None
    after: float = 0.0
    cuts: tuple[str, ...] = ()
    skipped: str = ""
    taken: float | None = None

    def applied(self, method: Method) -> Method:
        """Return the method with the hyperparameters of its turn."""
        named: dict[str, Any] = {"epochs": self.epochs, "max_length": self.max_length}
        if isinstance(method, Finetune) and self.max_length is not None:
            named["truncation"] = method.kept_of_long
        given = {name: of for name, of in named.items() if of is not None}
        return replace(method, **given) if given else method  # type: ignore[type-var]

    @property
    def how(self) -> How:
        """How it is fitted, without its cross-validation."""
        return How(self.rows, self.epochs, self.max_length)

    @property
    def line(self) -> str:
        """What is cut or left out, in a sentence; "" if nothing is."""
        if self.skipped:
            return f"{self.method} is left out: {self.skipped}"
        return f"{self.method} is cut to fit: {', '.join(self.cuts)}" if self.cuts else ""


@dataclass(frozen=True)
class Asked:
    """A method that is to be fitted, what it costs, and how often a run fits it.

    Attributes:
        repeats: of its cross-validation, which has so many `folds`; 0 for a run with test rows.
        least: fewest training rows of a sample; 0 if there can be none.
        refits: whether the recipe fits it again on training and validation rows.
        may_refit: whether it could, if there is time.
    """

    name: str
    method: Method
    cost: Cost
    load: Load
    repeats: int = 0
    folds: int = 0
    least: int = FEWEST_ROWS
    refits: bool = False
    may_refit: bool = False

    def seconds(self, turn: Turn) -> float:
        """Return the time of a turn."""
        repeats = self.repeats if turn.repeats is None else turn.repeats
        again = self.refits if turn.refit is None else turn.refit
        how = replace(turn.how, fits=repeats * self.folds, folds=max(2, self.folds))
        return self.cost.seconds(self.load, replace(how, again=again))

    def steps(self, turn: Turn) -> float:
        """Return the training steps of a turn; infinite if it makes none."""
        if not self.cost.batch:
            return float("inf")
        rows = self.load.train if turn.rows is None else turn.rows
        return rows * (turn.epochs or self.cost.epochs) / self.cost.batch


def asked_of(name: str, method: Method, run: ResolvedRun, context: FitContext) -> Asked:
    """Measure what a method costs in a run, as it is going to be fitted there."""
    cost, plan = _cost(method, run, context), run.folds
    repeats, folds = (0, 0) if plan is None else (plan.repeats(method), plan.count)
    least = max(FEWEST_ROWS, least_rows(run.splits.train))
    rows = run.splits.train, run.splits.validation
    gets_validation = plan is None or method.needs_validation
    refits, may_refit = (
        gets_validation and is_refitted(method, recipe, *rows)
        for recipe in (run.recipe, replace(run.recipe, refit=run.recipe.refit is not False))
    )
    return Asked(
        name, method, cost, Load.of(run.splits), repeats, folds, least, refits, may_refit
    )  # fmt: skip


def _cost(method: Method, run: ResolvedRun, context: FitContext) -> Cost:
    """Measure a method; one that pays for each text is asked what the run asks first."""
    if not isinstance(method, Llm):
        return cost_of(method, run.splits, context)
    if run.folds is None:
        splits, share = run.splits, budget_shares(run.splits, run.dataset.out_of_scope)[0]
        return cost_of_asking(method, splits.train, splits.validation, context, share)
    check_folds_affordable(method, run.splits.train, run.tested.texts)
    every, held = run.folds.dataset, run.folds.held[0][0]
    train = every.select(np.setdiff1d(np.arange(len(every)), held))
    return cost_of_asking(method, train, every.select(held), context, 1.0)


def choose(asked: Asked, seconds: float) -> Turn:
    """Return the turn that fits into so many seconds with the least cuts."""
    own = Turn(asked.name)
    whole = asked.seconds(own)
    if is_free(asked.method):
        return replace(own, seconds=whole, whole=whole)
    fewest = min(FEWEST_STEPS, asked.steps(own))
    for turn in _options(asked):
        if asked.seconds(turn) <= seconds and asked.steps(turn) >= fewest:
            return _with_words(asked, replace(turn, seconds=asked.seconds(turn), whole=whole))
    sampled = _sampled(asked, seconds)
    if sampled is not None and asked.steps(sampled) >= fewest:
        return _with_words(asked, replace(sampled, seconds=asked.seconds(sampled), whole=whole))
    return replace(own, whole=whole, skipped=_why(asked, seconds))


def _options(asked: Asked) -> Iterator[Turn]:
    """Yield turns on all rows, the ones with less cuts first."""
    own = Turn(asked.name)
    if asked.may_refit and not asked.refits:
        yield replace(own, refit=True)
    yield own
    if asked.refits:
        yield (own := replace(own, refit=False))
    if asked.repeats > 1:
        for repeats in range(asked.repeats - 1, 0, -1):
            yield (own := replace(own, repeats=repeats))
    for length in _lengths(asked):
        yield (own := replace(own, max_length=length))
    if _has_epochs(asked.method):
        for epochs in range(asked.cost.epochs - 1, 0, -1):
            yield replace(own, epochs=epochs)


def _lengths(asked: Asked) -> list[int]:
    """Return the lengths that make texts shorter, the longest first."""
    set_by_hand = getattr(asked.method, "max_length", None)
    return [
        length
        for length in LENGTHS
        if asked.cost.share(length) < SHORTER and (set_by_hand is None or length < set_by_hand)
    ]


def _has_epochs(method: Method) -> bool:
    return isinstance(method, Finetune) and method.stages is None and method.unfreeze == "none"


def _sampled(asked: Asked, seconds: float) -> Turn | None:
    """Return the turn on as many rows as fit, once; None if they are too few to learn from."""
    if asked.repeats or not asked.least:
        return None
    *_, least = _options(asked)
    none = asked.seconds(replace(least, rows=0))
    for_each = (asked.seconds(least) - none) / max(1.0, asked.load.train)
    rows = int((seconds - none) / max(for_each, 1e-12))
    if rows < min(asked.least, asked.load.train):
        return None
    return replace(least, rows=min(rows, int(asked.load.train)))


def _with_words(asked: Asked, turn: Turn) -> Turn:
    """Return the turn with its cuts in words."""
    cuts, cost = list[str](), asked.cost
    if turn.refit is False:
        cuts.append("fitted once, without validation rows")
    if turn.repeats is not None:
        cuts.append(f"cross-validated {counted(turn.repeats, 'time')} instead of {asked.repeats}")
    if turn.max_length is not None:
        left = f"{cost.share(turn.max_length):.0%} of the tokens"
        cuts.append(f"texts up to {turn.max_length} tokens ({left})")
    if turn.epochs is not None:
        cuts.append(f"{counted(turn.epochs, 'epoch')} instead of {cost.epochs}")
    if turn.rows is not None:
        cuts.append(f"{turn.rows:,} of {asked.load.train:,.0f} training rows")
    return replace(turn, cuts=tuple(cuts), after=cost.after(asked.load, turn.max_length))


def _why(asked: Asked, seconds: float) -> str:
    """Return why a method does not fit at all."""
    *_, least = _options(asked)
    if not asked.repeats and asked.least:
        fewest = max(asked.least, FEWEST_STEPS * asked.cost.batch)
        least = replace(least, rows=min(fewest, int(asked.load.train)))
    needs, has = asked.seconds(least), max(0.0, seconds)
    few = f" for {FEWEST_STEPS} steps" if asked.cost.batch else ""
    return f"it needs about {duration(needs)}{few} at least, and {duration(has)} are left for it"


def is_free(method: Method) -> bool:
    """Return whether a method takes next to no time of its own."""
    return isinstance(method, Majority) or method.combines or not method.learns


def in_order(methods: Mapping[str, Method]) -> dict[str, Method]:
    """Return methods in the order in which a run with minutes fits them: cheap ones first."""

    def key(name: str) -> tuple[bool, ...]:
        of = methods[name]
        is_costly = of.trains_in_steps or of.pays_per_text
        return of.combines, not is_free(of), is_costly, _reads_with_encoder(of)

    return {name: methods[name] for name in sorted(methods, key=key)}


def share_of(name: str, methods: Mapping[str, Method], over: Collection[str]) -> float:
    """Return the share of the time that is left which a method may take.

    The last one may take all of it. Methods that train in steps, or that ask an endpoint, share
    what the others leave.
    """
    waiting = [of for one, of in methods.items() if one not in over and not is_free(of)]
    method, in_steps = methods[name], sum(of.trains_in_steps or of.pays_per_text for of in waiting)
    if method.trains_in_steps or method.pays_per_text:
        return 1 / max(1, in_steps)
    if len(waiting) <= 1:
        return 1.0
    return SHARES["states" if _reads_with_encoder(method) else "cheap"]


def _reads_with_encoder(method: Method) -> bool:
    return encoder_of(method) is not None and not isinstance(method, Static)


def sampled(splits: Splits, rows: int | None, seed: int) -> Splits:
    """Return splits with a stratified sample of the training rows, in which groups stay whole."""
    if rows is None or rows >= len(splits.train):
        return splits
    return replace(splits, train=NestedShares.of(splits.train, seed).share(rows))


@dataclass(frozen=True)
class Ledger(Jsonable):
    """What a run folder keeps of the time: `minutes.json`.

    Attributes:
        minutes: that were asked for.
        spent: seconds of all attempts so far, without those of a training that is not finished.
        turns: how each method is fitted, written before it is.
        outlook: what more minutes would likely bring, once the run is finished.
    """

    minutes: float
    spent: float = 0.0
    turns: tuple[Turn, ...] = ()
    outlook: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Ledger | None:
        """Return the ledger of a run folder; None if there is none that can be read."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return from_json(cls, json.loads(read_received_text(folder, FILE)), FILE)
        return None

    def write(self, folder: Path) -> None:
        """Write it into a run folder."""
        write_json(folder / FILE, to_json(self))

    def running(self, folder: Path) -> float:
        """Return the seconds so far of methods in a run folder that are not finished."""
        running = [of.method for of in self.turns if of.taken is None and not of.skipped]
        return sum(seconds_of_attempts(folder / name) for name in running)

    def turn(self, name: str) -> Turn | None:
        """Return the turn of a method; None if it has had none."""
        return next((turn for turn in self.turns if turn.method == name), None)

    def with_turn(self, turn: Turn) -> Ledger:
        """Return the ledger with the turn of a method, in place of an earlier one."""
        others = [of for of in self.turns if of.method != turn.method]
        return replace(self, turns=(*others, turn))
