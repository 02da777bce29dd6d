"""The way a text goes, from a source to a run folder. Read it from top to bottom."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetext.core.console import heard
from finetext.core.contracts import Checkpoints, FitContext, Listener, Method, encoder_of
from finetext.core.environment import absolute, cache_folder
from finetext.core.errors import DataError, FinetextError, RecipeError, RunError
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.core.types import Finding, LabelScheme, Splits
from finetext.core.wording import counted
from finetext.data.read import read as read_data
from finetext.data.sources import sample_recipe
from finetext.data.split import split as split_rows
from finetext.diagnosis.data_checks import Material, check_material, counting_tokens
from finetext.diagnosis.explore import Lengths, length_tables
from finetext.evaluation.metrics import metric_for
from finetext.runs.adapting import (
    absolute_encoder,
    adapt_first,
    adapted_in,
    check_adapting,
    model_inputs,
    with_absolute_corpus,
    with_corpus,
    with_encoder,
)
from finetext.runs.baselines import seen_test_rows, with_twins
from finetext.runs.finish import Started, finish, finish_without
from finetext.runs.fit_methods import Rung, climb, climbed, with_seeds
from finetext.runs.folder import start_run
from finetext.runs.recipe import ADAPTED, Recipe, ladder
from finetext.runs.resume import Asked, begun, held, newest
from finetext.runs.run import Run, is_finished
from finetext.storage.locks import (
    check_folder,
    check_writable,
    claimed,
    claimed_new,
    is_started,
    sweep,
)
from finetext.training.precision import choose_device
from finetext.training.record import check_installed

if TYPE_CHECKING:
    from finetext.pretraining.corpus import Corpus


Methods = str | Method | Iterable[str | Method] | Mapping[str, Method]


def train(
    what: Any,
    methods: Methods | None = None,
    *,
    read: ReadSettings | None = None,
    split: SplitSettings | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Climb the ladder on frozen splits and write a run folder.

    Args:
        what: a `Recipe`, or anything that `finetext.read` takes.
        methods: rungs, each as a method such as `Finetune(epochs=3)` or its name, or methods by
            the names they are to have; all of the ladder by default. A second method of a kind
            is called `finetune-2`, and so on. A name stands for that rung of the recipe or
            sample, if it has one. The baselines `majority` and `tfidf` are always fitted.
        read: how to read the data, such as `ReadSettings(group="author")`.
        split: how to divide them, such as `SplitSettings(test=500)`.
        out: the run folder, which must not exist or be empty; the first free `runs/NAME`,
            `runs/NAME-2`, ... by default.
        seed: seed of every random choice; that of the recipe, or 0, by default.
        resume: go on with the run of the same settings and data that was stopped or killed: the
            one in `out`, or the newest unfinished of `runs/NAME`, `runs/NAME-2`, ...; the result
            is that of a run that was never stopped. A new one is started if there is none, and
            one that is finished already is returned as it is.
        listener: who hears of progress; by default messages and a progress bar are shown, on a
            terminal or in a notebook. `Listener()` is silent.

    Returns:
        the finished run.

    Raises:
        FinetextError: the data or a setting is not fit, and nothing is written; or a rung failed,
            and the run folder holds those that were finished before.
        KeyboardInterrupt: it was stopped; the message says how to go on.
    """
    recipe = _recipe(what, methods, seed)
    recipe = replace(recipe, read=read or recipe.read, split=split or recipe.split)
    recipe = _with_absolute_paths(recipe)
    with heard(listener) as hears:
        return _train(what, recipe, _Place(None if out is None else Path(out), resume), hears)


@dataclass(frozen=True)
class _Place:
    """Where a run is to be: the folder that was asked for, and whether to go on with one."""

    out: Path | None
    resume: bool


def _train(what: Any, recipe: Recipe, place: _Place, listener: Listener) -> Run:
    """The steps of a run, one after the other."""
    if place.out is not None:
        check_folder(place.out, place.resume, held)
    elif not place.resume:
        check_writable(Path("runs"))
    recipe, noticed = with_twins(recipe)
    stop_if_impossible(recipe)

    dataset = read_data(what if recipe.source is None else recipe.source, settings=recipe.read)
    listener.say(dataset.description)
    splits = split_rows(dataset, recipe.split, recipe.seed)
    stop_if_impossible(recipe, splits.scheme)
    metric_for(recipe.metric, splits.scheme)
    listener.say(_counts(splits))

    recipe, corpus, changed = with_corpus(recipe, splits)
    recipe, costs_changed = _with_costs(recipe, splits.scheme)
    asked = Asked(recipe, dataset, splits, corpus)
    if place.resume and (folder := _to_go_on_with(place.out, asked, listener)) is not None:
        return _resumed(folder, asked, listener)
    noticed += [*changed, *costs_changed, *seen_test_rows(recipe, splits.test)]
    findings, lengths = known_before(asked, listener, noticed)
    stop_on_errors(findings)
    with claimed_new(place.out, run_name(recipe)) as folder:
        recipe = start_run(folder, recipe, dataset, splits, findings, lengths)
        return _climb(Started(folder, recipe, splits), corpus, listener)


def _with_costs(recipe: Recipe, scheme: LabelScheme) -> tuple[Recipe, list[Finding]]:
    """The recipe with the hash of its costs, and a warning if they are not those of before."""
    before, decide = recipe.decide.content_hash, recipe.decide.with_hash(scheme)
    changed = Finding(
        "warning",
        "costs-changed",
        f"the costs in {decide.costs} are not the ones this recipe was run on before, so labels "
        "will be given in another way",
    )
    is_changed = decide.costs is not None and before not in (None, decide.content_hash)
    return replace(recipe, decide=decide), [changed] if is_changed else []


def _to_go_on_with(out: Path | None, asked: Asked, listener: Listener) -> Path | None:
    """The folder of the run to go on with, or None if there is none."""
    folder, others = newest(run_name(asked.recipe), asked) if out is None else (out, [])
    if folder is not None and is_started(folder):
        return folder
    for line in others:
        listener.say(line)
    listener.say("there is no run of this kind to go on with, so a new one is started")
    return None


def _resumed(folder: Path, asked: Asked, listener: Listener) -> Run:
    """Go on with the run in a folder, or open it if it is finished."""
    run = begun(folder, asked)
    if is_finished(folder):
        listener.say(f"the run in {folder} is finished already")
        return Run.open(folder)
    with claimed(folder):
        listener.say(f"going on with the run in {folder}")
        sweep(folder)
        for finding in run.findings:
            listener.finding(finding)
        return _climb(Started(folder, run.recipe, asked.splits), asked.corpus, listener)


def _climb(started: Started, corpus: Corpus | None, listener: Listener) -> Run:
    """Adapt, if there is a corpus for it, then the rungs one after the other, then the verdict.

    What is finished outlasts what fails.
    """
    recipe, folder, rungs = started.recipe, started.folder, dict[str, Rung]()
    context = _context(started, listener)
    try:
        if corpus is not None:
            adapt_first(folder, recipe, corpus, context)
        methods = with_encoder(recipe, adapted_in(folder))
        for name, method in methods.items():
            rung = climbed(name, folder)
            if rung is not None:
                listener.say(f"{name} was finished before")
            rungs[name] = rung or climb(name, method, started.splits, folder, context, recipe)
        rungs = with_seeds(rungs, methods, started.splits, folder, context, recipe)
        return finish(started, rungs, context=context)
    except (Exception, KeyboardInterrupt) as error:
        message = finish_without(started, rungs, error, listener.say)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(message) from error
        if isinstance(error, FinetextError):
            raise RunError(message) from error
        listener.say(message)
        raise


def _context(started: Started, listener: Listener) -> FitContext:
    """What every rung is fitted with."""
    recipe = started.recipe
    rows = [recipe.content_hash, *(part.ids for _, part in started.splits.items())]
    checkpoints = Checkpoints(
        started.folder,
        hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        recipe.checkpoint_seconds,
        recipe.checkpoint_steps,
    )
    return FitContext(
        seed=recipe.seed,
        device=recipe.device,
        metric=recipe.metric,
        cache=cache_folder(),
        checkpoints=checkpoints,
        trackers=recipe.track,
        progress=listener.progress,
        say=listener.say,
        find=listener.finding,
    )


def _recipe(
    what: Any,
    methods: Methods | None,
    seed: int | None,
) -> Recipe:
    """What is to be run, before the settings of reading and splitting are put over it."""
    if isinstance(what, Recipe) and what.source is None:
        raise RecipeError("the recipe names no data; give it a source, or train on the data itself")
    recipe = what if isinstance(what, Recipe) else _recipe_for(_source(what))
    if methods is not None:
        listed = [methods] if isinstance(methods, str | Method) else methods
        chosen = listed if isinstance(listed, Mapping) else ladder(listed, recipe.methods)
        recipe = replace(recipe, methods=chosen)
    return replace(recipe, seed=recipe.seed if seed is None else seed)


def _with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with paths that hold wherever it is run again."""
    if isinstance(recipe.read.label_names, str | Path):
        names = absolute(str(recipe.read.label_names))
        recipe = replace(recipe, read=replace(recipe.read, label_names=names))
    methods = {name: _with_absolute_encoder(of) for name, of in recipe.methods.items()}
    adapt = None if recipe.adapt is None else with_absolute_corpus(recipe.adapt)
    decide = recipe.decide
    if decide.costs is not None:
        decide = replace(decide, costs=Path(absolute(str(decide.costs))))
    source = _source(recipe.source)
    return replace(recipe, source=source, methods=methods, adapt=adapt, decide=decide)


def _with_absolute_encoder(method: Method) -> Method:
    """The method with the whole path of its encoder, if it has one that is a folder."""
    encoder = encoder_of(method)
    if encoder is None or encoder == ADAPTED:
        return method
    return replace(method, encoder=absolute_encoder(encoder))  # type: ignore[type-var]


def stop_if_impossible(recipe: Recipe, scheme: LabelScheme | None = None) -> None:
    """Raise what makes a run impossible, before anything is trained.

    Args:
        recipe: what is to be run.
        scheme: labels of the data, or None as long as they are not known.

    Raises:
        FinetextError: the device, a tracker or an encoder is not there, or a setting suits
            neither it nor the labels.
    """
    check_installed(recipe.track)
    if recipe.device not in ("auto", "cpu"):
        choose_device(recipe.device)
    check_adapting(recipe)
    for method in with_encoder(recipe).values():
        method.check(scheme)
    if scheme is not None:
        recipe.decide.check(scheme)


def stop_on_errors(findings: Iterable[Finding]) -> None:
    """Raise a `DataError` with the messages of all findings that are errors."""
    errors = [finding.message for finding in findings if finding.severity == "error"]
    if errors:
        raise DataError("\n".join(errors))


def known_before(
    asked: Asked, listener: Listener, noticed: Sequence[Finding] = ()
) -> tuple[Sequence[Finding], Sequence[Lengths]]:
    """What is to be known before training, and how long the texts are.

    That is what was noticed before, whether the data changed, and what reading and checking
    found.
    """
    changed = Finding(
        "warning",
        "data-changed",
        "the data are not the ones this recipe was run on before, so the results will differ",
    )
    is_changed = asked.recipe.content_hash not in (None, asked.dataset.content_hash)
    inputs = model_inputs(asked.recipe)
    with counting_tokens(Material.of(asked.splits), inputs, listener.progress) as material:
        known = [*noticed, *([changed] if is_changed else []), *check_material(material)]
        lengths = length_tables(material)
    for finding in known:
        listener.finding(finding)
    return known, lengths


def _recipe_for(source: Any) -> Recipe:
    """The recipe of a sample that is asked for by name, the default recipe for anything else."""
    values = sample_recipe(source) if isinstance(source, str) else {}
    return replace(Recipe.from_values(values), source=source)


def _source(what: Any) -> Any:
    """What a recipe can name: a path, address or sample; None for data handed over in Python."""
    if isinstance(what, str | Path):
        return absolute(str(what))
    if isinstance(what, Mapping) and all(isinstance(v, str | Path) for v in what.values()):
        return {str(part): absolute(str(path)) for part, path in what.items()}
    return None


def _counts(splits: Splits) -> str:
    parts = ", ".join(f"{name} {len(part):,}" for name, part in splits.items())
    return f"splits: {parts} rows, {counted(len(splits.scheme), 'label')}"


def run_name(recipe: Recipe) -> str:
    """A name for the run folder, after the source."""
    if recipe.source is None:
        return "run"
    first = recipe.source if isinstance(recipe.source, str) else next(iter(recipe.source.values()))
    stem = first.rstrip("/").removeprefix("hub:").rsplit("/", 1)[-1].split(".")[0]
    return re.sub(r"[^\w-]+", "-", stem).strip("-") or "run"
