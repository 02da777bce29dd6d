"""`train`: the path from a source to a run folder. Read it from top to bottom."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetext.core.budget import within_memory
from finetext.core.console import heard
from finetext.core.contracts import Checkpoints, Listener
from finetext.core.errors import FinetextError, RunError
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.runs import timetable
from finetext.runs.ablations import with_encoder
from finetext.runs.adapting import adapt_encoder
from finetext.runs.asked import check_endpoints
from finetext.runs.blending import combine
from finetext.runs.finish import finish, finish_without
from finetext.runs.fit_all import fit_all
from finetext.runs.fit_methods import FittedMethod, Started
from finetext.runs.folder import start_run
from finetext.runs.jobs import Jobs, memory_finding
from finetext.runs.plan import is_long, planned
from finetext.runs.recipe import Recipe
from finetext.runs.resolve import (
    Methods,
    ResolvedRun,
    check_data,
    context_for,
    recipe_for,
    resolve,
)
from finetext.runs.resume import (
    begun,
    changed_knobs,
    held,
    is_finished,
    scored_as_begun,
    to_resume,
)
from finetext.runs.run import Run
from finetext.runs.seeds import fit_seeds
from finetext.runs.timetable import Timetable
from finetext.storage.locks import check_folder, check_writable, claimed, claimed_new, sweep
from finetext.training.joining import join


@dataclass(frozen=True)
class Place:
    """The run folder, or None for a new one, and whether to resume what it holds."""

    out: str | Path | None = None
    resume: bool = False


def train(
    what: Any,
    methods: Methods | None = None,
    *,
    read: ReadSettings | None = None,
    split: SplitSettings | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    minutes: float | None = None,
    jobs: int | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Fit methods on frozen splits and write a run folder.

    Args:
        what: a `Recipe`, or anything that `finetext.read` takes.
        methods: methods, each with its hyperparameters, such as `Finetune(epochs=3)`, or by name,
            or a mapping from the names they are to have; the whole ladder by default. A second
            method of a kind is called `finetune-2`, and so on. A name stands for the method that
            the recipe or sample has under it. `majority` and `tfidf` are always fitted.
        read: how to read the data, such as `ReadSettings(group="author")`.
        split: how to split them, such as `SplitSettings(test=500)`.
        out: the run folder, which must not exist or be empty; the first free `runs/NAME`,
            `runs/NAME-2`, ... by default.
        seed: seed of every random choice; that of the recipe, or 0, by default.
        minutes: how long it takes, with reading and the report: methods are cut or left out to end
            in time. By default that of the recipe, or as long as it needs.
        jobs: how many independent fits are made at once, each in a process with its share of the
            cores: folds, methods and further seeds; 1 by default. Results are the same.
        resume: resume the run of the same settings and data that was stopped or killed: the one in
            `out`, or the newest unfinished of `runs/NAME`, `runs/NAME-2`, ... The result is that
            of an uninterrupted run. Without such a run a new one is started; a finished one is
            returned as it is.
        listener: receives messages and progress; by default both are shown on a terminal or in a
            notebook. `Listener()` is silent.

    Returns:
        the finished run.

    Raises:
        FinetextError: the data or a setting cannot be used, and nothing is written; or a method
            failed, and the run folder holds those that were finished before.
        KeyboardInterrupt: it was stopped; the message says how to resume.
    """
    began = timetable.now()
    join()
    recipe = recipe_for(what, methods, read, split, seed, minutes, jobs)
    return train_recipe(recipe, what, Place(out, resume), listener, began)


@within_memory
def train_recipe(
    recipe: Recipe, what: Any, into: Place, listener: Listener | None, began: float
) -> Run:
    """Fit the methods of a recipe, as `train` does, in minutes that `began` at a time of `now`."""
    resume, place = into.resume, None if into.out is None else Path(into.out)
    if place is not None:
        check_folder(place, resume, held)
        recipe = scored_as_begun(recipe, place) if resume else recipe
    elif not resume:
        check_writable(Path("runs"))
    with heard(listener) as hears:
        run = resolve(recipe, what, hears)
        if resume and (folder := to_resume(place, run, hears)) is not None:
            return _resumed(folder, begun(folder, run), hears, began)
        noticed = (*run.findings, *memory_finding(run.recipe))
        findings, lengths = check_data(run.recipe, run.splits, hears, noticed)
        if run.recipe.minutes is None and is_long(run.recipe, run.splits):
            hears.say(planned(run).estimate)
        check_endpoints(run.recipe.methods.values())
        with claimed_new(place, run.name) as folder:
            start_run(folder, run, findings, lengths)
            return _fit_all(folder, run, hears, began)


def _resumed(folder: Path, run: ResolvedRun, hears: Listener, began: float) -> Run:
    if is_finished(folder):
        unused = changed_knobs(folder, run.recipe)
        effect = f", so {', '.join(unused)} changed nothing" if unused else ""
        hears.say(f"the run in {folder} is finished already{effect}")
        return Run.open(folder)
    with claimed(folder):
        hears.say(f"resuming the run in {folder}")
        sweep(folder)
        for finding in run.findings:
            hears.finding(finding)
        return _fit_all(folder, run, hears, began)


def _fit_all(folder: Path, run: ResolvedRun, hears: Listener, began: float) -> Run:
    """Adapt, fit the methods that are not finished yet, and finish; what is finished is kept."""
    recipe, fitted = run.recipe, dict[str, FittedMethod]()
    rows = [recipe.content_hash, *(part.ids for _, part in run.splits.items())]
    hash_of_rows = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    pace = recipe.checkpoint_seconds, recipe.checkpoint_steps, recipe.keep_checkpoints
    checkpoints = Checkpoints(folder, hash_of_rows, *pace)
    context = replace(context_for(recipe, hears), checkpoints=checkpoints, trackers=recipe.track)
    # No method reads the corpus to adapt to, which would be sent along with each.
    started = Started(folder, run if run.corpus is None else replace(run, corpus=None), context)
    turns = Timetable(started, began)
    try:
        adapt_encoder(replace(started, run=run))
        methods = with_encoder(recipe, started.adapted)
        order = turns.order(methods)
        with Jobs(recipe.jobs, hears) as jobs:
            fit_all({name: methods[name] for name in order}, turns, fitted, jobs)
            learning = {name: methods[name] for name in order if name in fitted}
            fitted = fit_seeds({name: fitted[name] for name in learning}, learning, started, jobs)
        for name in [name for name in order if methods[name].combines]:
            if (turn := turns.turn(name, methods[name], fitted)) is None:
                continue
            if (combined := combine(name, *turn, fitted)) is not None:
                fitted[name] = combined
        finished_run = finish(turns.ending(), fitted, hears.scored)
        turns.close()
        return finished_run
    except (Exception, KeyboardInterrupt) as error:
        turns.stopped()
        message = finish_without(turns.so_far, fitted, error)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(message) from error
        if isinstance(error, FinetextError):
            raise RunError(message) from error
        hears.say(message)
        raise
