"""`fit`: texts and labels in, a classifier out, and nothing on disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from finetext.core.console import Screen
from finetext.core.contracts import Classifier, FitContext, Listener, Method
from finetext.core.environment import cache_folder
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.data.label_cells import COLLECTIONS
from finetext.data.read import read
from finetext.data.split import HELD_OUT, held_out
from finetext.evaluation.calibration import calibrated
from finetext.runs.pipeline import stop_if_impossible
from finetext.runs.recipe import Recipe, ladder


def fit(
    texts: Sequence[str],
    labels: Sequence[Any],
    method: str | Method = "finetune",
    *,
    seed: int = 0,
    device: str = "auto",
    listener: Listener | None = None,
) -> Classifier:
    """Train one method on texts and labels.

    A tenth of the rows is held out to choose the best checkpoint, to calibrate the probabilities,
    and for the thresholds where a text can have several labels; of too few rows for that nothing is
    held out, and the classifier stays as it came out of training. For scores, intervals and a
    comparison with baselines use `finetext.train`.

    Args:
        texts: n texts.
        labels: n labels; n lists of labels if a text can have several.
        method: a method with its hyperparameters, such as `Finetune(epochs=3)`, or the name of
            one; "finetune" by default.
        seed: seed of every random choice, 0 by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        listener: who hears of progress; by default a progress bar, on a terminal or in a notebook.

    Returns:
        the classifier: called with a text it gives label to probability, likeliest first.

    Raises:
        DataError: there are no rows, more texts than labels or the reverse, or one class only.
        RecipeError: a hyperparameter, the seed or the device is not fit.
        UnknownNameError: there is no method of that name.
    """
    recipe = Recipe(methods=ladder([method]), seed=seed, device=device)
    name = method if isinstance(method, str) else method.name
    stop_if_impossible(recipe)
    if not len(texts):
        raise DataError("there are no texts to learn from")
    several = any(isinstance(label, COLLECTIONS) for label in labels)
    dataset = read((texts, labels), settings=ReadSettings(multilabel=several))
    stop_if_impossible(recipe, dataset.scheme)
    screen = Screen()
    hears = listener or Listener(progress=screen.progress)
    for finding in dataset.findings:
        hears.finding(finding)
    with nullcontext() if listener else screen.watching():
        return _fitted(dataset, recipe, name, hears)


def fit_rows(
    dataset: Dataset,
    method: Method,
    *,
    seed: int = 0,
    device: str = "auto",
    held_out_size: float = HELD_OUT,
    is_shown: bool = True,
) -> Classifier:
    """Train one method on labelled rows, as `fit` does on texts and labels.

    Args:
        dataset: labelled rows.
        method: with its hyperparameters.
        seed: seed of every random choice, 0 by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        held_out_size: rows to hold out, as a share or a count; a tenth by default.
        is_shown: whether a progress bar is shown, on a terminal or in a notebook.

    Raises:
        DataError: there is one class only, or too few rows for what is to be held out.
        RecipeError: a hyperparameter, the seed or the device is not fit.
    """
    recipe = Recipe(methods=ladder([method]), seed=seed, device=device)
    stop_if_impossible(recipe, dataset.scheme)
    screen = Screen(quiet=not is_shown)
    with screen.watching():
        hears = Listener(progress=screen.progress)
        return _fitted(dataset, recipe, method.name, hears, held_out_size)


def _fitted(
    dataset: Dataset, recipe: Recipe, name: str, hears: Listener, size: float = HELD_OUT
) -> Classifier:
    """The classifier of a rung, calibrated where rows are held out."""
    train, validation = held_out(dataset, recipe.seed, size)
    context = FitContext(
        seed=recipe.seed, device=recipe.device, cache=cache_folder(), progress=hears.progress,
        say=hears.say, find=hears.finding,
    )  # fmt: skip
    classifier = recipe.methods[name].fit(train, validation, context)
    if validation is train:  # of which a classifier is far too sure
        return classifier
    return calibrated(classifier, validation)[0]
