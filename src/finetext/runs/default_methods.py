"""Which methods of the default list suit the rows, once these are read."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from finetext.core import registry
from finetext.core.contracts import Method, hyperparameters
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.catalogue import resolve
from finetext.methods.label_sentences import check_labels
from finetext.methods.zeroshot import ZeroShot
from finetext.runs.ablations import ablation_baselines
from finetext.runs.recipe import ADAPTED, LADDER, Recipe, ladder

FEW_ROWS: Final = 64
"""Training rows a label up to which few-shot learning is preferred to fine-tuning (see
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
    usual = {name for name in LADDER if not registry.load("methods", name).combines}
    if not recipe.by_rows or not usual <= set(methods):
        return replace(recipe, by_rows=False), []
    left_out = dict[str, str]()
    if why := _no_names(methods["zeroshot"], train.scheme):
        left_out["zeroshot"] = why
    better = better_of_steps(train)
    [worse] = {"fewshot", "finetune"} - {better}
    if _is_usual(methods[worse], methods[better]):
        each = f"{_rows_a_label(train):,.0f} training rows a label"
        left_out[worse] = f"with {each}, {better} is usually better"
    beside = {of for name, of in ablation_baselines(recipe).items() if name in left_out}
    kept = {name: of for name, of in methods.items() if name not in {*left_out, *beside}}
    lines = [f"{name} is left out: {why}" for name, why in left_out.items()]
    return replace(recipe, methods=kept, by_rows=False), lines


def with_members(method: str | Method) -> dict[str, Method]:
    """Return a method by its name; one that combines others after the usual ones."""
    found = ladder([method])
    return (ladder(LADDER) if any(of.combines for of in found.values()) else {}) | found


def better_of_steps(train: Dataset) -> str:
    """Return which method that trains an encoder is usually better with so many rows."""
    return "fewshot" if _rows_a_label(train) <= FEW_ROWS else "finetune"


def _no_names(method: Method, scheme: LabelScheme | None) -> str:
    """Return why the names of labels cannot be compared with texts; "" if they can."""
    assert scheme is not None
    assert isinstance(method, ZeroShot)
    if method.descriptions is not None or method.templates is not None:
        return ""  # which the user wants, and if they are wrong, an error says so
    entry = None if method.encoder == ADAPTED else resolve(method.encoder).entry
    if entry is not None and "zero-shot" not in entry.tasks:
        return f"{method.encoder} was not trained to compare texts"
    try:
        check_labels(scheme, {})
    except RecipeError as error:
        return str(error).removeprefix("zeroshot: ")
    return ""


def _is_usual(method: Method, other: Method) -> bool:
    """Return whether no hyperparameter of a method was chosen but those that another has, too."""
    values, theirs = hyperparameters(method), hyperparameters(other)
    shared = {name: values[name] for name in SHARED if values[name] == theirs[name]}
    return method == type(method)(**shared)


def _rows_a_label(train: Dataset) -> float:
    """Return how many training rows a label has on average."""
    assert train.scheme is not None
    of_labels = train.targets.sum() if train.scheme.multilabel else len(train)
    return float(of_labels) / len(train.scheme)
