"""The way a text goes, from a source to a run folder. Read it from top to bottom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetext.data.check import check
from finetext.data.read import read
from finetext.data.samples import sample_recipe
from finetext.data.split import split
from finetext.environment import absolute, cache_folder, describe_environment
from finetext.errors import DataError, RecipeError
from finetext.evaluation.compare import cheapest_not_worse
from finetext.evaluation.metrics import metric_for
from finetext.methods.base import FitContext, Method, ProgressEvent, silent
from finetext.recipe import Recipe, ladder
from finetext.report.lengths import word_quantiles
from finetext.report.report import ReportData, write_report
from finetext.run import Run
from finetext.run_folder import class_counts, new_run_folder, start_run, write_leaderboard
from finetext.rungs import Rung, climb
from finetext.training.precision import choose_device
from finetext.types import Dataset, Finding, Splits

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
    out: str | Path | None = None,
    seed: int | None = None,
    listener: Listener | None = None,
) -> Run:
    """Climb the ladder on frozen splits and write a run folder.

    Args:
        what: a `Recipe`, or anything that `read` takes.
        methods: rungs, each as a method such as `Finetune(epochs=3)` or its name, or methods by
            the names they are to have; all of the ladder by default. The baselines `majority`
            and `tfidf` are always fitted.
        out: the run folder, which must not exist or be empty; the first free `runs/NAME`,
            `runs/NAME-2`, ... by default.
        seed: seed of every random choice; that of the recipe, or 0, by default.
        listener: who hears of progress; nobody by default.

    Returns:
        the finished run.

    Raises:
        FinetextError: the data or a setting is not fit; nothing is written then.
    """
    recipe = _recipe(what, methods, seed)
    listener = listener or Listener()
    folder = new_run_folder(None if out is None else Path(out), _name(recipe))
    stop_if_impossible(recipe)

    dataset = read(what if recipe.source is None else recipe.source, settings=recipe.read)
    listener.say(dataset.description)
    splits = split(dataset, recipe.split, recipe.seed)
    metric_for(recipe.metric, splits.scheme)
    listener.say(_counts(splits))
    findings = _findings(dataset, splits, recipe)
    for finding in findings:
        listener.finding(finding)
    _stop_on_errors(findings)

    recipe = start_run(folder, recipe, dataset, splits, findings)
    context = FitContext(
        seed=recipe.seed,
        device=recipe.device,
        metric=recipe.metric,
        cache=cache_folder(),
        progress=listener.progress,
        say=listener.say,
    )
    rungs = {
        name: climb(name, method, splits, folder, context)
        for name, method in recipe.methods.items()
    }
    return _finish(folder, recipe, dataset, splits, findings, rungs)


def _recipe(
    what: Any,
    methods: Methods | None,
    seed: int | None,
) -> Recipe:
    """The recipe of a run, with paths that hold wherever it is run again."""
    if isinstance(what, Recipe) and what.source is None:
        raise RecipeError("the recipe names no data; give it a source, or train on the data itself")
    recipe = what if isinstance(what, Recipe) else _recipe_for(_source(what))
    if methods is not None:
        listed = [methods] if isinstance(methods, str | Method) else methods
        chosen = listed if isinstance(listed, Mapping) else ladder(listed)
        recipe = replace(recipe, methods=chosen)
    if isinstance(recipe.read.label_names, str | Path):
        names = absolute(str(recipe.read.label_names))
        recipe = replace(recipe, read=replace(recipe.read, label_names=names))
    seed = recipe.seed if seed is None else seed
    return replace(recipe, source=_source(recipe.source), seed=seed)


def stop_if_impossible(recipe: Recipe) -> None:
    """Raise what makes a run impossible whatever the data.

    Raises:
        FinetextError: the device or an encoder is not there, or does not suit a setting.
    """
    if recipe.device not in ("auto", "cpu"):
        choose_device(recipe.device)
    for method in recipe.methods.values():
        method.check()


def _stop_on_errors(findings: Iterable[Finding]) -> None:
    """Raise a `DataError` with the messages of all findings that are errors."""
    errors = [finding.message for finding in findings if finding.severity == "error"]
    if errors:
        raise DataError("\n".join(errors))


def _findings(dataset: Dataset, splits: Splits, recipe: Recipe) -> list[Finding]:
    """What reading noticed and checking found, and whether the data changed since a former run."""
    changed = Finding(
        "warning",
        "data-changed",
        "the data are not the ones this recipe was run on before, so the results will differ",
    )
    is_changed = recipe.content_hash not in (None, dataset.content_hash)
    return ([changed] if is_changed else []) + check(splits)


def _finish(
    folder: Path,
    recipe: Recipe,
    dataset: Dataset,
    splits: Splits,
    findings: list[Finding],
    rungs: Mapping[str, Rung],
) -> Run:
    """Say which rung is best and which is the cheapest that will do, and write it all down."""
    metric = metric_for(recipe.metric, splits.scheme)
    best = max(rungs, key=lambda name: metric.goodness(rungs[name].predictions["validation"]))
    on_test = {name: rung.predictions["test"] for name, rung in rungs.items()}
    cost = {name: rung.entry.seconds_to_train for name, rung in rungs.items()}
    cheapest, comparisons = cheapest_not_worse(on_test, cost, best, recipe.metric, recipe.seed)
    entries = [rung.entry for rung in rungs.values()]
    data = ReportData(
        title=folder.name,
        description=dataset.description,
        rows={name: len(part) for name, part in splits.items()},
        class_counts=class_counts(splits),
        words=word_quantiles(splits),
        findings=findings,
        entries=entries,
        predictions=on_test,
        comparisons=comparisons,
        metric=recipe.metric,
        best=best,
        cheapest=cheapest,
        recipe=recipe.to_toml(),
        environment=describe_environment(recipe.seed, recipe.device),
    )
    write_report(data, folder / "report.html")
    verdict = {"best": best, "cheapest": cheapest, "metric": recipe.metric}
    write_leaderboard(folder, entries, verdict)
    return Run.open(folder)


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
    return f"splits: {parts} rows, {len(splits.scheme)} labels"


def _name(recipe: Recipe) -> str:
    """A name for the run folder, after the source."""
    if recipe.source is None:
        return "run"
    first = recipe.source if isinstance(recipe.source, str) else next(iter(recipe.source.values()))
    stem = first.rstrip("/").removeprefix("hub:").rsplit("/", 1)[-1].split(".")[0]
    return re.sub(r"[^\w-]+", "-", stem).strip("-") or "run"
