"""TODO."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from finetext.core.console import heard
from finetext.core.contracts import FitContext, Listener, Method
from finetext.core.environment import cache_folder
from finetext.core.errors import RecipeError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.data.read import read as read_data
from finetext.diagnosis.label_errors import Suspects, out_of_fold, suspects_in
from finetext.runs.pipeline import stop_if_impossible
from finetext.runs.recipe import Recipe, ladder

_CHANGED: Final = Finding(
    "warning", "data-changed", "the data are not those that this recipe was run on before"
)


def find_label_errors(
    what: Any,
    method: str | Method = "tfidf",
    *,
    read: ReadSettings | None = None,
    folds: int = 5,
    seed: int | None = None,
    listener: Listener | None = None,
) -> Suspects:
    """Find labels that look wrong, in all rows of a data set.

    The method is trained five times, each time without a fifth of the rows, which it then predicts;
    whole groups are left out where the data have groups. Confident learning (Northcutt, Jiang and
    Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021) says how
    many labels are wrong and which. It is a list to review, not one to believe: a label that is
    right but hard is on it, too.

    Args:
        what: anything that `finetext.read` takes, or a `Recipe`, whose settings then hold.
        method: what is trained, as a method or the name of one, or of a rung of the recipe;
            "tfidf" by default, which is quick. A method that is better at the task finds more.
        read: how to read the data.
        folds: how many times it is trained, 5 by default.
        seed: seed of every random choice; that of the recipe, or 0, by default.
        listener: who hears of progress; by default a progress bar, on a terminal or in a notebook.

    Returns:
        the rows that look wrong, ranked.

    Raises:
        DataError: the data cannot be read, have no labels, or fewer rows or groups than folds.
        RecipeError: a setting is not fit.
        UnknownNameError: there is no such method.
    """
    recipe = what if isinstance(what, Recipe) else Recipe()
    if isinstance(what, Recipe) and what.source is None:
        raise RecipeError("the recipe names no data; give it a source, or give the data themselves")
    [(name, method)] = ladder([method], recipe.methods).items()
    seed = recipe.seed if seed is None else seed
    recipe = replace(
        recipe, methods={name: method}, seed=seed, read=read or recipe.read, adapt=None
    )
    stop_if_impossible(recipe)
    dataset = read_data(what if recipe.source is None else recipe.source, settings=recipe.read)
    stop_if_impossible(recipe, dataset.scheme)
    with heard(listener) as hears:
        hears.say(dataset.description)
        is_changed = recipe.content_hash not in (None, dataset.content_hash)
        for finding in [*dataset.findings, *([_CHANGED] if is_changed else [])]:
            hears.finding(finding)
        context = FitContext(
            seed=recipe.seed, device=recipe.device, metric=recipe.metric, cache=cache_folder(),
            progress=hears.progress, say=hears.say, find=hears.finding,
        )  # fmt: skip
        started = time.perf_counter()
        predictions = out_of_fold(dataset, recipe.methods[name], folds, context)
        found = suspects_in(predictions, dataset.texts)
    return Suspects(name, folds, len(dataset), found, time.perf_counter() - started)
