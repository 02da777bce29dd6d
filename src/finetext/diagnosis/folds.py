"""Out-of-fold probabilities: every row predicted by a classifier that has not seen its label."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from finetext import __version__
from finetext.caching import kept
from finetext.data import stratify
from finetext.data.words import counted
from finetext.encoders.catalogue import resolve
from finetext.errors import DataError, RecipeError
from finetext.fitting import held_out
from finetext.methods.base import FitContext, Method, ProgressEvent
from finetext.recipe import encoder_of, hyperparameters
from finetext.types import Dataset, Floats, Integers, Predictions


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
