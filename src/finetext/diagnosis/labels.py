"""Labels that look wrong: classifiers that have not seen a label doubt it with confidence.

Every row is predicted by a model that was trained on other rows (`folds.py`). Confident learning
then estimates which labels were mistaken for which, from how sure the model is of a class where
that class is the label (library cleanlab).
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from finetext.arrays import Booleans, Floats, Integers
from finetext.data.read import read as read_data
from finetext.data.settings import ReadSettings
from finetext.diagnosis.cells import written
from finetext.diagnosis.folds import out_of_fold
from finetext.environment import cache_folder
from finetext.errors import RecipeError
from finetext.methods.base import FitContext, Method
from finetext.pipeline import Listener, heard, stop_if_impossible
from finetext.recipe import Recipe, ladder
from finetext.types import Finding, Predictions

_CHANGED: Final = Finding(
    "warning", "data-changed", "the data are not the ones that this recipe was run on before"
)

MOST_BELIEVED: Final = 0.2
"""Share of rows that can look wrong before it is the method that is in doubt. Of the test sets that
Northcutt et al. (2021, Pervasive label errors) had people check, the worst had a tenth wrong."""


@dataclass(frozen=True)
class Suspect:
    """A row whose label looks wrong.

    Attributes:
        id: of the row.
        text: of the row.
        label: the label it has; several labels are written as `cells.written` says.
        suggested: the label that it seems to need.
        probability_of_label: by models that have not seen the row. Where a row can have several
            labels: the lowest probability, among the labels that look wrong, that it is right to
            give or not to give it.
        probability_of_suggested: the same of what is suggested.
        quality: from 0 to 1, the lowest of all rows first.
        missing: labels that it lacks; only where a row can have several.
        surplus: labels that it should not have; likewise.
    """

    id: str
    text: str
    label: str
    suggested: str
    probability_of_label: float
    probability_of_suggested: float
    quality: float
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suspects:
    """The rows of a data set whose labels look wrong.

    Attributes:
        method: what was trained.
        folds: how many times.
        rows: rows of the data set.
        suspects: the likeliest to be wrong first.
        seconds: how long it took.
    """

    method: str
    folds: int
    rows: int
    suspects: tuple[Suspect, ...]
    seconds: float

    @property
    def too_many(self) -> bool:
        """Whether so many look wrong that the method, not the labels, must be in doubt."""
        return len(self.suspects) > MOST_BELIEVED * self.rows

    @property
    def mistakes(self) -> list[tuple[str, int]]:
        """What seems to be mistaken for what, with the number of rows, the most frequent first."""
        counts: Counter[str] = Counter()
        for one in self.suspects:
            parts = [f"{name} is missing" for name in one.missing]
            parts += [f"{name} is surplus" for name in one.surplus]
            counts.update(parts or [f"{one.label} -> {one.suggested}"])
        return counts.most_common()

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Suspects:
        """The inverse of `to_json`.

        Raises:
            KeyError: a value is missing.
            TypeError: there is one too many.
        """
        suspects = tuple(
            Suspect(**{**one, "missing": tuple(one["missing"]), "surplus": tuple(one["surplus"])})
            for one in values["suspects"]
        )
        return cls(**{**values, "suspects": suspects})


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


def suspects_in(predictions: Predictions, texts: Sequence[str]) -> tuple[Suspect, ...]:
    """The rows whose labels look wrong, the likeliest first.

    Args:
        predictions: of n rows, by classifiers that have not seen their labels.
        texts: n texts.
    """
    quality, wrong = doubts(predictions)
    make = _several if predictions.scheme.multilabel else _single
    rows = np.flatnonzero(wrong if wrong.ndim == 1 else wrong.any(axis=1))
    ranked = rows[np.argsort(quality[rows], kind="stable")]
    return tuple(
        make(
            predictions, int(row), wrong,
            {"id": predictions.ids[row], "text": texts[row], "quality": float(quality[row])},
        )
        for row in ranked
    )  # fmt: skip


def doubts(predictions: Predictions) -> tuple[Floats, Booleans]:
    """How good each label is, and which look wrong.

    The quality of a label is the probability that the model gives it. Where a row can have several
    labels, each is judged by itself, given or not given, and the worst counts for the row. How
    many look wrong is what confident learning estimates. With one label a row these are the rows
    of the lowest quality; with several, those it counts as confidently mistaken. This was chosen
    among cleanlab's rules on planted errors: in BBC News and emotion for one label, in GoEmotions
    for several.

    Args:
        predictions: of n rows and k labels, by classifiers that have not seen them.

    Returns:
        (n,) quality from 0 to 1, the lower the likelier that the labels of the row are wrong; and
        (n,) whether the label looks wrong, or (n, k) where rows can have several.
    """
    targets = predictions.targets
    probabilities = np.clip(predictions.probabilities, 0.0, 1.0)
    if targets.ndim == 1:
        quality = probabilities[np.arange(len(targets)), targets]
        wrong = _issues(targets, probabilities, "low_self_confidence")
        return quality, wrong & (probabilities.argmax(axis=1) != targets)
    wrong = np.zeros(targets.shape, dtype=np.bool_)
    for column in np.flatnonzero(targets.min(axis=0) < targets.max(axis=0)):
        given = probabilities[:, column]
        both = np.stack([1.0 - given, given], axis=1)
        wrong[:, column] = _issues(targets[:, column], both, "confident_learning")
    return np.where(targets == 1, probabilities, 1.0 - probabilities).min(axis=1), wrong


def _issues(targets: Integers, probabilities: Floats, chosen_by: str) -> Booleans:
    """Whether each label looks wrong, (n,); cleanlab warns of classes that are rare or absent."""
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = find_label_issues(targets, probabilities, filter_by=chosen_by, n_jobs=1)
    return np.asarray(found, dtype=np.bool_)


def _single(predictions: Predictions, row: int, _: Booleans, told: dict[str, Any]) -> Suspect:
    probabilities = predictions.probabilities[row]
    given, likeliest = int(predictions.targets[row]), int(probabilities.argmax())
    return Suspect(
        **told,
        label=predictions.scheme.names[given],
        suggested=predictions.scheme.names[likeliest],
        probability_of_label=float(probabilities[given]),
        probability_of_suggested=float(probabilities[likeliest]),
    )


def _several(predictions: Predictions, row: int, wrong: Booleans, told: dict[str, Any]) -> Suspect:
    scheme, given, doubted = predictions.scheme, predictions.targets[row], wrong[row]
    probabilities = predictions.probabilities[row]
    right = float(np.where(given == 1, probabilities, 1.0 - probabilities)[doubted].min())
    as_given, as_suggested, missing, surplus = (
        [name for name, is_one in zip(scheme.names, flags, strict=True) if is_one]
        for flags in (
            given == 1,
            (given == 1) ^ doubted,
            (given == 0) & doubted,
            (given == 1) & doubted,
        )
    )
    return Suspect(
        **told,
        label=written(as_given, scheme),
        suggested=written(as_suggested, scheme),
        probability_of_label=right,
        probability_of_suggested=1.0 - right,
        missing=tuple(missing),
        surplus=tuple(surplus),
    )
