"""Which methods of the default list suit the rows, once these are read."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from finetext.core.contracts import Method, encoder_of, hyperparameters
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.catalogue import resolve
from finetext.runs.ablations import ablation_baselines
from finetext.runs.recipe import ADAPTED, LADDER, Recipe

FEW_ROWS: Final = 64
"""Training rows a label up to which few-shot learning does better than fine-tuning (see
`benchmarks/LOG.md`, "Few labels")."""

SHARED: Final = ("encoder", "max_length", "precision")
"""Hyperparameters that the command line sets for all methods at once."""


def suited(recipe: Recipe, train: Dataset) -> tuple[Recipe, list[str]]:
    """Return the recipe with those methods of the default list that suit its training rows.

    Of few-shot learning and fine-tuning only the better is fitted, unless hyperparameters of the
    other were chosen. Names of labels are not compared with texts where they say nothing, or the
    encoder was not trained for it. Any other list of methods stays as it is.

    Returns:
        the recipe, and a line on each method that is left out.
    """
    methods = recipe.methods
    if not set(LADDER) <= set(methods):
        return recipe, []
    left_out = dict[str, str]()
    if why := _no_names(methods["zeroshot"], train.scheme):
        left_out["zeroshot"] = why
    better = better_of_steps(train)
    [worse] = {"fewshot", "finetune"} - {better}
    if _is_usual(methods[worse]):
        each = _rows_a_label(train)
        left_out[worse] = f"with {each:,.0f} training rows a label, {better} does better"
    beside = {of for name, of in ablation_baselines(recipe).items() if name in left_out}
    kept = {name: of for name, of in methods.items() if name not in {*left_out, *beside}}
    lines = [f"{name} is left out: {why}" for name, why in left_out.items()]
    return replace(recipe, methods=kept), lines


def better_of_steps(train: Dataset) -> str:
    """Return which method that trains an encoder does better with these rows."""
    return "fewshot" if _rows_a_label(train) <= FEW_ROWS else "finetune"


def _no_names(method: Method, scheme: LabelScheme | None) -> str:
    """Return why the names of labels cannot be compared with texts; "" if they can."""
    assert scheme is not None
    encoder = str(encoder_of(method))
    entry = None if encoder == ADAPTED else resolve(encoder).entry
    if entry is not None and "zero-shot" not in entry.tasks:
        return f"{encoder} was not trained to compare texts"
    try:
        method.check(scheme)
    except RecipeError as error:
        return str(error).removeprefix("zeroshot: ")
    return ""


def _is_usual(method: Method) -> bool:
    """Return whether no hyperparameter was chosen but those that all methods share."""
    chosen = {name: of for name, of in hyperparameters(method).items() if name in SHARED}
    return method == type(method)(**chosen)


def _rows_a_label(train: Dataset) -> float:
    """Return how many training rows a label has on average."""
    assert train.scheme is not None
    of_labels = train.targets.sum() if train.scheme.multilabel else len(train)
    return float(of_labels) / len(train.scheme)
