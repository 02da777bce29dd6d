"""`cascade`: a cheap and an expensive method of a run as one model, at a certified loss."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from finetext.core.budget import within_memory
from finetext.core.contracts import Listener
from finetext.core.errors import DataError, RecipeError
from finetext.core.wording import counted, refitted_in_words
from finetext.evaluation.cascading import HeldOut, loss_of, sent_by, units_needed
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.models.folder import check_model_place, model_in_run, read_description
from finetext.runs.accesses import record_python_access
from finetext.runs.cascade_folder import Cascade, Pair, predictions_of_both, write_cascade
from finetext.runs.recipe import MAJORITY
from finetext.runs.run import Run, stored_predictions

MAX_LOSS: Final = 0.5
"""Points of accuracy that may be lost, by default."""
LEAST_SAVED: Final = 2.0
"""How many times as fast as the expensive method a method is that is tried without being named."""
_POINTS: Final = 100
_MOST_POINTS: Final = 99.9
"""The last limit that is tried, of which it is not known that it can be certified."""


@within_memory
def cascade(
    run: str | Path | Run,
    folder: str | Path,
    *,
    max_loss: float = MAX_LOSS,
    method: str | None = None,
    cheap: str | None = None,
    force: bool = False,
    listener: Listener | None = None,
) -> Cascade:
    """Make one model of a cheap and an expensive method of a run, at a certified loss.

    The cheap method answers where it is confident enough, and sends the other texts on. With 95%
    confidence the cascade loses at most `max_loss` points of accuracy against the expensive method
    alone on new rows like those of validation; see `finetext.evaluation.cascading` for the test and
    its sources. In a cross-validated run the rows are all of its rows, each predicted by models
    that did not learn from it. A program that makes a cascade of a run with test rows, on which it
    is measured, is recorded in the run, once.

    Args:
        run: a run, or its folder.
        folder: the model folder to write.
        max_loss: points of accuracy that may be lost, 0.5 by default; exactly right rows count in
            multi-label data.
        method: the expensive method; the best of the run by default.
        cheap: the cheap one. By default all methods that are at least twice as fast are tried, each
            at its share of the 5%, and the one with which the cascade is fastest is taken.
        force: replace a model folder, False by default.
        listener: is told of each method that is tried.

    Raises:
        DataError: nothing can be certified, or nothing is saved; the message says what is lacking.
        RecipeError: `max_loss` is not above 0 and below 100, or the two methods make no cascade.
        UnknownNameError: the run has no such method.
        RunError: the run is unfinished or damaged.
        ModelError: the folder holds something else, or a model without `force`.
    """
    made = make_cascade(run, folder, max_loss=max_loss, method=method, cheap=cheap, force=force,
                        listener=listener)  # fmt: skip
    if made.tested is not None:
        record_python_access(run.folder if isinstance(run, Run) else Path(run))
    return made


def make_cascade(
    run: str | Path | Run,
    folder: str | Path,
    *,
    max_loss: float = MAX_LOSS,
    method: str | None = None,
    cheap: str | None = None,
    force: bool = False,
    listener: Listener | None = None,
) -> Cascade:
    """Make a cascade, for finetext itself: no access to test rows is recorded; see `cascade`."""
    if not 0 < max_loss < _POINTS:
        raise RecipeError(f"the largest loss is in points above 0 and below 100, not {max_loss:g}")
    opened, place = run if isinstance(run, Run) else Run.open(run), Path(folder)
    check_model_place(place, force)
    if place.resolve().is_relative_to(opened.folder.resolve()):
        raise RecipeError(f"{place} is inside of the run; write the cascade to another folder")
    expensive = opened.entry(method)
    _check_expensive(opened, expensive)
    candidates = _candidates(opened, expensive, cheap)
    pair = _best(opened, expensive, candidates, max_loss / _POINTS, listener or Listener())
    tested, threshold = pair.tested, pair.certificate.threshold
    loss, sent = None, None
    if tested is not None:
        loss, sent = loss_of(*tested, threshold), sent_by(*tested, threshold)
    made = Cascade(
        place, pair.cheap.method, expensive.method, pair.certificate, pair.rows, loss, sent,
        pair.times, _remark(pair),
    )  # fmt: skip
    write_cascade(pair, made)
    return made


def _check_expensive(run: Run, expensive: LeaderboardEntry) -> None:
    """Raise a RecipeError if no certificate covers what the method does."""
    name = expensive.method
    if expensive.asked is not None:
        raise RecipeError(f"{name} asks an endpoint, and a cascade has methods that compute alone")
    decision = stored_predictions(run, name, "validation").decision
    lacks = {
        "abstains": decision.least is not None,
        "refuses texts out of scope": decision.in_scope_up_to is not None,
        "has costs of errors": decision.costs is not None,
        "gives prediction sets": decision.set_from is not None,
        "has a target": decision.assured is not None,
    }
    if found := [words for words, has in lacks.items() if has]:
        raise RecipeError(
            f"the decision rule of {name} {found[0]}, and the certificate of a cascade is about "
            "accuracy alone; train the run without that rule"
        )


def _candidates(run: Run, expensive: LeaderboardEntry, cheap: str | None) -> list[LeaderboardEntry]:
    """Return the methods that can be the cheap one; raise a RecipeError if there is none."""
    slow = expensive.rows_per_second

    def times(of: LeaderboardEntry) -> float:
        return of.rows_per_second / slow

    if cheap is not None:
        entry = run.entry(cheap)
        if entry.asked is not None or entry.method == expensive.method or times(entry) <= 1:
            raise RecipeError(
                f"{cheap} cannot be the cheap method of a cascade with {expensive.method}: it must "
                f"be another one, and faster than {slow:,.0f} rows/s"
            )
        return [entry]
    found = [
        of
        for of in run.leaderboard
        if of.method not in (expensive.method, MAJORITY)
        and of.asked is None
        and times(of) >= LEAST_SAVED
        and read_description(model_in_run(run.folder, of.model))["classifier"] != MAJORITY
    ]
    if not found:
        raise RecipeError(
            f"no method of the run is twice as fast as {expensive.method} ({slow:,.0f} rows/s), so "
            "a cascade would save little; train a run with a slower and better method, or name one "
            "with --cheap"
        )
    return found


def _best(
    run: Run,
    expensive: LeaderboardEntry,
    candidates: list[LeaderboardEntry],
    most_loss: float,
    hears: Listener,
) -> Pair:
    """Return the pair that is expected to be the fastest; raise a DataError if there is none."""
    found, lacking, said = list[Pair](), list[str](), list[str]()
    for cheap in candidates:
        held = HeldOut.of(*predictions_of_both(run, cheap, expensive, "validation"))
        certificate = held.certify(most_loss, len(candidates))
        if certificate is None:
            lacking.append(_lacking(cheap.method, held, most_loss, len(candidates)))
            said.append(lacking[-1])
            continue
        pair = Pair(run, cheap, expensive, certificate)
        said.append(
            f"{cheap.method}: sends {certificate.sent.value:.1%} of the texts on, about "
            f"{pair.times:.1f} times as fast as {expensive.method}"
        )
        found.append(pair)
    if not found:
        raise DataError("; ".join(lacking))
    for line in said:
        hears.say(line)
    best = max(found, key=lambda pair: pair.times)
    if best.times <= 1:
        raise DataError(
            f"the cascade with {best.cheap.method} would send {best.certificate.sent.value:.1%} of "
            f"the texts on and be no faster than {expensive.method} alone; allow a larger loss"
        )
    return best


def _lacking(cheap: str, held: HeldOut, most_loss: float, candidates: int) -> str:
    """Say why no threshold of a cheap method is certified, and what could be."""
    unit = "group" if held.grouped else "row"
    points, needed = _POINTS * most_loss, units_needed(most_loss, held.grouped, candidates)
    least = _POINTS * held.least_loss(candidates)
    if held.units < needed:
        why = f"it takes about {counted(needed, f'held-out {unit}')} and there are {held.units:,}"
    else:
        surest = held.losses[held.confidence >= held.thresholds()[0]]
        rows = counted(int((surest != 0).sum()), "row")
        why = f"even of those of which it is most confident, it decides {rows} otherwise"
    said = (
        f"{cheap}: no threshold is certified to lose at most {points:g} points of accuracy: {why}"
    )
    if least >= _MOST_POINTS:
        return said
    return (
        f"{said}. A limit of {least:.1f} points would have been certified with these {unit}s; a "
        "limit or a method that is chosen now, after a look at them, needs others to certify it"
    )


def _remark(pair: Pair) -> str:
    """Say of which models the certificate is, if the models of the run learned from its rows."""
    names = " and ".join(of.method for of in (pair.cheap, pair.expensive))
    if pair.run.folds:
        return (
            f"the rows were predicted by {names} of the folds; the models in the folder learned "
            "from more rows, these included"
        )
    rows = pair.run.shares().rows
    again = [of.method for of in (pair.cheap, pair.expensive)
             if refitted_in_words(of.learned_from, rows)]  # fmt: skip
    if not again:
        return ""
    return (
        f"{' and '.join(again)} learned from the validation rows afterward, and the certificate is "
        "of the models before; test rows are predicted by the models in the folder"
    )
