"""Labels that look wrong: classifiers that have not seen a label doubt it with confidence.

Every row is predicted by a model that was trained on other rows (`folds.py`). Confident learning
then estimates which labels were mistaken for which, from how sure the model is of a class where
that class is the label (library cleanlab).
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core import __version__
from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.contracts import FitContext, Method, ProgressEvent, encoder_of, hyperparameters
from finetext.core.errors import DataError, RecipeError
from finetext.core.types import Dataset, Finding, Predictions
from finetext.core.wording import counted
from finetext.data import stratify
from finetext.data.label_cells import written
from finetext.data.split import held_out
from finetext.encoders.catalogue import resolve
from finetext.storage.cache import kept


def out_of_fold(dataset: Dataset, method: Method, folds: int, context: FitContext) -> Predictions:
    """Train as often as there are folds; each time predict the rows that were left out.

    Of the rows to learn from, a tenth is held out in turn: they choose the checkpoint of a method
    that chooses one. What a method with an encoder said of a fold is kept in the cache, so a run
    that was stopped does not begin anew.

    Args:
        dataset: n labelled rows; ready-made parts do not count.
        method: what is trained.
        folds: how many times, 2 or more.
        context: seed, device, cache and listeners.

    Returns:
        predictions of all rows in their order.

    Raises:
        RecipeError: there are fewer than 2 folds.
        DataError: fewer rows, or groups, than folds; no labels, or only one.
    """
    parts = fold_of_rows(dataset, folds, context.seed)
    assert dataset.scheme is not None
    probabilities = np.zeros((len(dataset), len(dataset.scheme)))
    for fold in range(folds):
        stage = f"fold {fold + 1} of {folds}"
        context.progress(ProgressEvent(stage, fold, folds))
        rows = np.flatnonzero(parts == fold)
        heard = replace(
            context, progress=_named(stage, context.progress), log=None, checkpoints=None
        )
        probabilities[rows] = _of_fold(dataset, method, parts, fold, heard)
    context.progress(ProgressEvent("folds", folds, folds))
    groups = dataset.groups
    return Predictions(
        ids=tuple(dataset.ids),
        targets=dataset.targets,
        probabilities=probabilities,
        scheme=dataset.scheme,
        groups=None if groups is None else tuple(groups),
    )


def fold_of_rows(dataset: Dataset, folds: int, seed: int) -> Integers:
    """The fold of each row, from 0: each class in its share, and no group in two folds.

    Unlike `finetext.folds` it takes classes with fewer rows than there are folds, since a misspelt
    label makes such a class, and the rows of all ready-made parts.

    Args:
        dataset: n labelled rows.
        folds: number of folds, 2 or more.
        seed: seed of the choice of rows.

    Returns:
        (n,) the fold of each row.

    Raises:
        RecipeError: there are fewer than 2 folds.
        DataError: fewer rows, or groups, than folds; no labels, or only one.
    """
    if folds < 2:
        raise RecipeError(f"cannot make {counted(folds, 'fold')}; ask for 2 or more")
    targets, groups = dataset.targets, dataset.groups
    several = len(targets) if groups is None else len(set(groups))
    if several < folds:
        noun = counted(several, "row" if groups is None else "group")
        raise DataError(f"{noun} cannot make {folds} folds; give more, or ask for fewer folds")
    if (targets == targets[0]).all():
        raise DataError("all rows have the same label, so none can look wrong")
    sizes = [len(targets) // folds + (fold < len(targets) % folds) for fold in range(folds)]
    generator = np.random.default_rng(seed)
    if targets.ndim == 1:
        targets = np.eye(targets.max() + 1, dtype=np.int64)[targets]
    if groups is None:
        return stratify.iterative(targets, sizes, generator)
    parts = stratify.grouped(targets, groups, sizes, generator)
    if len(np.unique(parts)) < folds:
        raise DataError(f"the groups are too uneven for {folds} folds; ask for fewer folds")
    return parts


def _of_fold(
    dataset: Dataset, method: Method, parts: Integers, fold: int, context: FitContext
) -> Floats:
    """Probabilities of the rows of one fold, learnt from all others."""

    def learnt() -> dict[str, Floats]:
        train, validation = held_out(dataset.select(np.flatnonzero(parts != fold)), context.seed)
        classifier = method.fit(train, validation, context)
        rows = dataset.select(np.flatnonzero(parts == fold))
        return {"probabilities": classifier.predict_proba(rows.texts)}

    cache = None if encoder_of(method) is None else context.cache
    key = "" if cache is None else _key(dataset, method, parts, fold, context)
    return np.asarray(kept(cache, "folds", key, learnt)["probabilities"], dtype=np.float64)


def _key(dataset: Dataset, method: Method, parts: Integers, fold: int, context: FitContext) -> str:
    """The hash of all that the probabilities of a fold depend on."""
    place = Path(resolve(str(encoder_of(method))).path)
    files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else []
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    settings = {name: str(value) for name, value in hyperparameters(method).items()}
    known = (context.seed, context.device, context.metric, dataset.content_hash, fold)
    described = json.dumps([__version__, method.name, settings, str(place), facts, *known])
    return hashlib.sha256(described.encode() + parts.tobytes()).hexdigest()


def _named(stage: str, listen: Callable[[ProgressEvent], None]) -> Callable[[ProgressEvent], None]:
    """A listener that is told in which fold something is done."""
    return lambda event: listen(replace(event, stage=f"{stage}, {event.stage}"))


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
