"""The way a text goes, from a source to a run folder. Read it from top to bottom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetext.console import Screen
from finetext.data.check import check_material, counting_pieces
from finetext.data.checks.material import Material
from finetext.data.explore import Lengths, length_tables
from finetext.data.read import read as read_data
from finetext.data.samples import sample_recipe
from finetext.data.settings import ReadSettings
from finetext.data.split import SplitSettings
from finetext.data.split import split as split_rows
from finetext.data.words import counted
from finetext.environment import absolute, cache_folder
from finetext.errors import DataError, FinetextError, RecipeError, RunError
from finetext.evaluation.metrics import metric_for
from finetext.finishing import Started, finish, finish_without
from finetext.methods.base import FitContext, Method, ProgressEvent, silent
from finetext.recipe import Recipe, ladder
from finetext.run import Run
from finetext.run_folder import new_run_folder, start_run
from finetext.rungs import Rung, climb
from finetext.training.precision import choose_device
from finetext.types import Dataset, Finding, LabelScheme, Splits

Methods = str | Method | Iterable[str | Method] | Mapping[str, Method]


@dataclass(frozen=True)
class Listener:
    """Who hears what a run has to say while it goes on.

    Attributes:
        say: called with a line of text.
        progress: called with a `ProgressEvent` now and then.
        finding: called with each `Finding` of reading and checking.
    """

    say: Callable[[str], None] = lambda line: None
    progress: Callable[[ProgressEvent], None] = silent
    finding: Callable[[Finding], None] = lambda finding: None


def train(
    what: Any,
    methods: Methods | None = None,
    *,
    read: ReadSettings | None = None,
    split: SplitSettings | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
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
        listener: who hears of progress; by default messages and a progress bar are shown, on a
            terminal or in a notebook. `Listener()` is silent.

    Returns:
        the finished run.

    Raises:
        FinetextError: the data or a setting is not fit, and nothing is written; or a rung failed,
            and the run folder holds those that were finished before.
    """
    recipe = _recipe(what, methods, seed)
    recipe = replace(recipe, read=read or recipe.read, split=split or recipe.split)
    recipe = _with_absolute_paths(recipe)
    with _heard(listener) as hears:
        return _train(what, recipe, None if out is None else Path(out), hears)


def _train(what: Any, recipe: Recipe, out: Path | None, listener: Listener) -> Run:
    """The steps of a run, one after the other."""
    folder = new_run_folder(out, _name(recipe))
    stop_if_impossible(recipe)

    dataset = read_data(what if recipe.source is None else recipe.source, settings=recipe.read)
    listener.say(dataset.description)
    splits = split_rows(dataset, recipe.split, recipe.seed)
    stop_if_impossible(recipe, splits.scheme)
    metric_for(recipe.metric, splits.scheme)
    listener.say(_counts(splits))
    findings, lengths = _findings(dataset, splits, recipe, listener.progress)
    for finding in findings:
        listener.finding(finding)
    _stop_on_errors(findings)

    recipe = start_run(folder, recipe, dataset, splits, findings)
    started = Started(folder, recipe, splits, findings, lengths)
    return finish(started, _climb(started, listener))


def _climb(started: Started, listener: Listener) -> Mapping[str, Rung]:
    """The rungs one after the other; if one fails, those before it are kept in the run folder."""
    recipe, rungs = started.recipe, dict[str, Rung]()
    data = {"content_hash": recipe.content_hash}
    context = FitContext(
        seed=recipe.seed,
        device=recipe.device,
        metric=recipe.metric,
        cache=cache_folder(),
        progress=listener.progress,
        say=listener.say,
    )
    for name, method in recipe.methods.items():
        try:
            rungs[name] = climb(name, method, started.splits, started.folder, context, data)
        except (Exception, KeyboardInterrupt) as error:
            message = finish_without(started, rungs, name, error)
            if isinstance(error, FinetextError):
                raise RunError(message) from error
            listener.say(message)
            raise
    return rungs


@contextmanager
def _heard(listener: Listener | None) -> Iterator[Listener]:
    """The listener; by default the screen, where somebody looks at it."""
    if listener is not None:
        yield listener
        return
    screen = Screen()
    if not screen.is_watched:
        yield Listener()
        return
    with screen.watching():
        yield Listener(screen.say, screen.progress, screen.finding)


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
    return replace(recipe, source=_source(recipe.source))


def stop_if_impossible(recipe: Recipe, scheme: LabelScheme | None = None) -> None:
    """Raise what makes a run impossible, before anything is trained.

    Args:
        recipe: what is to be run.
        scheme: labels of the data, or None as long as they are not known.

    Raises:
        FinetextError: the device or an encoder is not there, or a setting suits neither it nor
            the labels.
    """
    if recipe.device not in ("auto", "cpu"):
        choose_device(recipe.device)
    for method in recipe.methods.values():
        method.check(scheme)


def _stop_on_errors(findings: Iterable[Finding]) -> None:
    """Raise a `DataError` with the messages of all findings that are errors."""
    errors = [finding.message for finding in findings if finding.severity == "error"]
    if errors:
        raise DataError("\n".join(errors))


def _findings(
    dataset: Dataset,
    splits: Splits,
    recipe: Recipe,
    progress: Callable[[ProgressEvent], None],
) -> tuple[list[Finding], Sequence[Lengths]]:
    """What reading and checking found, whether the data changed, and how long the texts are."""
    changed = Finding(
        "warning",
        "data-changed",
        "the data are not the ones this recipe was run on before, so the results will differ",
    )
    is_changed = recipe.content_hash not in (None, dataset.content_hash)
    inputs = [
        (encoder, getattr(method, "max_length", None))
        for method in recipe.methods.values()
        if isinstance(encoder := getattr(method, "encoder", None), str)
    ]
    with counting_pieces(Material.of(splits), inputs, progress) as material:
        findings = ([changed] if is_changed else []) + check_material(material)
        return findings, length_tables(material)


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


def _name(recipe: Recipe) -> str:
    """A name for the run folder, after the source."""
    if recipe.source is None:
        return "run"
    first = recipe.source if isinstance(recipe.source, str) else next(iter(recipe.source.values()))
    stem = first.rstrip("/").removeprefix("hub:").rsplit("/", 1)[-1].split(".")[0]
    return re.sub(r"[^\w-]+", "-", stem).strip("-") or "run"
