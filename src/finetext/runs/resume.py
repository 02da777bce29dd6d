"""The run to resume: which folder holds it, and whether it is the one that is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, cast

from finetext.core.budget import toml_values
from finetext.core.contracts import Listener, hyperparameters
from finetext.core.errors import FinetextError, RunError
from finetext.core.types import Finding
from finetext.data.split import split
from finetext.runs.folder import split_columns
from finetext.runs.recipe import FORMERLY, KNOBS, Recipe
from finetext.runs.resolve import ResolvedRun, with_affirmative
from finetext.runs.run import Run
from finetext.storage.codec import from_json
from finetext.storage.locks import Held, is_started
from finetext.storage.received import open_received, read_received_text
from finetext.storage.resume import check_same, differences

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, FinetextError)
_LEFT_OPEN: Final = ("discriminative", "by_ratios", "truncation")
"""Hyperparameters that are None now where earlier versions had a value."""
_HASHES: Final = {f"{section}.content_hash" for section in ("data", "adapt", "decide")}


def is_finished(folder: Path) -> bool:
    """Return whether a folder holds a run with all of its methods."""
    try:
        return Run.is_at(folder) and not Run.open(folder).unfinished
    except RunError:
        return False


def held(folder: Path) -> Held:
    """Return what a folder holds of a run; see `finetext.storage.locks.check_folder`."""
    if not is_started(folder):
        return None
    finished = is_finished(folder)
    return f"{'a finished' if finished else 'an unfinished'} run", not finished


def begun(folder: Path, asked: ResolvedRun) -> ResolvedRun:
    """Return the run in a folder, which must be the one that is asked for."""
    import pyarrow.parquet

    try:
        values = toml_values(read_received_text(folder, "recipe.toml"))
        if "refit" not in values:
            values |= {"methods": _formerly(values["methods"]), "refit": False}
            asked = replace(asked, recipe=_as_before_refits(asked.recipe, values["methods"]))
        recipe = _as_written(values, asked.recipe)
        described = json.loads(read_received_text(folder, "data.json"))
        findings = tuple(from_json(Finding, of, "a finding") for of in described["findings"])
        with open_received(folder, "splits.parquet") as file:
            table = pyarrow.parquet.read_table(file)
        if "split.keep_duplicates" not in dict(_flat(values)):
            asked = _keeping_duplicates(asked)
            values["split"] = {**values.get("split", {}), "keep_duplicates": True}
        same_split = table.to_pydict() == split_columns(asked.splits)
        positive, affirmative = described.get("positive"), described.get("affirmative")
        known = (described["content_hash"], tuple(described["labels"]), described["multilabel"])
    except _UNREADABLE as error:
        raise RunError(
            f"the run in {folder} is damaged: {error}; start a new one in another folder"
        ) from None
    was, now = _settings(values), _settings(toml_values(asked.recipe.to_toml()))
    if was["methods"] != now["methods"]:
        was, now = (_without(of, "methods.") for of in (was, now))
    now = {name: of for name, of in now.items() if name in was or name not in _usual(recipe)}
    # Where the data lie and how they are read only matters if other texts come out.
    compared = [_without(of, "data.", "adapt.corpus") for of in (was, now)]
    check_same(f"the run in {folder}", compared[0], compared[1])
    adapt, costs, scheme = asked.recipe.adapt, asked.recipe.decide, asked.splits.scheme
    other = read = ""
    if adapt is not None and values["adapt"].get("content_hash") != adapt.content_hash:
        other = "the corpus to adapt to is not the one"
    elif values.get("decide", {}).get("content_hash") not in (None, costs.content_hash):
        other = f"the costs in {costs.costs} are not the ones"
    elif known != (asked.dataset.content_hash, scheme.names, scheme.multilabel):
        other = "the data are not the ones"
        read = "; ".join(line for line in differences(was, now) if line.startswith("data."))
    if other:
        raise RunError(
            f"{other} that the run in {folder} started with{f' ({read})' if read else ''}. Put "
            "the original back to resume, or start a new run in another folder"
        )
    pair = {"positive class": positive}, {"positive class": scheme.positive}
    check_same(f"the run in {folder}", *pair)
    if not same_split:
        raise RunError(
            f"the rows are split differently than in the run in {folder}, which another version of "
            "finetext started. Start a new run in another folder"
        )
    splits = asked.splits
    train, validation, test = (with_affirmative(of, affirmative) for _, of in splits.items())
    return replace(
        asked, recipe=recipe, findings=findings,
        dataset=with_affirmative(asked.dataset, affirmative),
        splits=replace(splits, train=train, validation=validation, test=test),
    )  # fmt: skip


def _keeping_duplicates(asked: ResolvedRun) -> ResolvedRun:
    """Return the run that is asked for with the splits of earlier versions."""
    settings = replace(asked.recipe.split, keep_duplicates=True)
    splits = split(asked.dataset, settings, asked.recipe.seed)
    return replace(asked, recipe=replace(asked.recipe, split=settings), splits=splits)


def _formerly(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Return the methods of a recipe of an earlier version with what `FORMERLY` says."""
    return {
        of: {**FORMERLY.get(said.get("method", of), {}), **said} for of, said in methods.items()
    }


def _as_before_refits(asked: Recipe, methods: Mapping[str, Any]) -> Recipe:
    """Return the recipe that is asked for with what earlier versions did where it is open.

    They did not fit methods again, fine-tuning had the same learning rate for all layers, and
    others did what `FORMERLY` says.
    """
    known = dict(asked.methods)
    for name, method in known.items():
        given = hyperparameters(method)
        was = methods.get(name, {})
        ours = {of: was[of] for of in _LEFT_OPEN if of in was}
        ours = {of: value for of, value in ours.items() if given.get(of, value) is None}
        if ours:
            known[name] = type(method)(**{**given, **ours})
    refit = False if asked.refit == "auto" else asked.refit
    return replace(asked, refit=refit, methods=known)


def _usual(recipe: Recipe) -> set[str]:
    """Return the whole names of settings of methods, and of weak labels, at their default.

    Recipes of runs have all of them, so one that is not there came with a later version.
    """
    of_weak = {"weak.known"} if recipe.weak is not None and not recipe.weak.known else set[str]()
    return of_weak | {
        f"methods.{name}.{of.name}"
        for name, method in recipe.methods.items()
        for of in fields(cast(Any, method))
        if getattr(method, of.name) == of.default
    }


def scored_as_begun(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with the kind of evaluation that a run in a folder began with.

    What the recipe says itself stays.
    """
    if recipe.split.cross_validate is not None or not is_started(folder):
        return recipe
    with suppress(*_UNREADABLE):
        begun_with = toml_values(read_received_text(folder, "recipe.toml")).get("split", {})
        chosen = bool(begun_with.get("cross_validate", False))
        return replace(recipe, split=replace(recipe.split, cross_validate=chosen))
    return recipe


def to_resume(out: Path | None, asked: ResolvedRun, hears: Listener) -> Path | None:
    """Return the folder of the run to resume: `out`, or among `runs/NAME`, `runs/NAME-2`, ..."""
    found, others = ([out] if out is not None and is_started(out) else []), list[str]()
    numbered = re.compile(rf"{re.escape(asked.name)}(-\d+)?")
    folders = Path("runs").iterdir() if out is None and Path("runs").is_dir() else iter(())
    there = [of for of in folders if numbered.fullmatch(of.name) and is_started(of)]
    for folder in sorted(there, key=lambda of: -(of / "recipe.toml").stat().st_mtime_ns):
        try:
            begun(folder, asked)
        except FinetextError as error:
            if not is_finished(folder):
                others.append(f"{folder} is not resumed: {error}")
        else:
            found.append(folder)
    if found:
        return next((folder for folder in found if not is_finished(folder)), found[0])
    for line in [*others, "there is no such run to resume, so a new one is started"]:
        hears.say(line)
    return None


def changed_knobs(folder: Path, asked: Recipe) -> list[str]:
    """Return the settings without effect on results that are asked for and differ in the run."""
    values = toml_values(read_received_text(folder, "recipe.toml"))
    run = Recipe.from_values({name: of for name, of in values.items() if name in KNOBS})
    return [n for n in KNOBS if getattr(asked, n) not in (getattr(run, n), getattr(Recipe(), n))]


def _as_written(values: Mapping[str, Any], asked: Recipe) -> Recipe:
    """Return the recipe that is asked for, with data and order of methods as a run has them.

    More minutes can be asked for than the run began with.
    """
    data = Recipe.from_values({"data": values["data"]})
    there = {name: of for name in values["methods"] if (of := asked.methods.get(name)) is not None}
    minutes = values.get("minutes") if asked.minutes is None else asked.minutes
    return replace(
        asked, source=data.source, read=data.read, content_hash=data.content_hash, methods=there,
        minutes=minutes,
    )  # fmt: skip


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a recipe that determine its results, by their whole names."""
    left_out = {*KNOBS, *_HASHES, "minutes"}
    settings = {name: of for name, of in _flat(values) if name not in left_out}
    # Earlier versions did not cross-validate, and their recipes do not say so.
    return {"split.cross_validate": False} | settings


def _without(settings: Mapping[str, Any], *places: str) -> dict[str, Any]:
    return {name: of for name, of in settings.items() if not name.startswith(places)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield "methods.finetune.epochs" with 3; under "methods" stand the names of the methods."""
    if "methods" in values and not prefix:
        yield "methods", ", ".join(sorted(values["methods"]))
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
