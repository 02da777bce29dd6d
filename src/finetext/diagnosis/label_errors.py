"""Labels that may be wrong, by out-of-fold predictions and confident learning.

Every row is predicted by a model that was trained on other rows. Confident learning then estimates
which labels were mistaken for which, from the model's confidence in a class where that class is
the label (Northcutt, Jiang and Chuang, JAIR 2021; library cleanlab).
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from finetext.core import __version__
from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.contracts import FitContext, Method, ProgressEvent, encoder_of, hyperparameters
from finetext.core.display import ShownInNotebook
from finetext.core.errors import DataError, RecipeError
from finetext.core.types import Dataset, Predictions
from finetext.core.wording import counted
from finetext.data.label_cells import written
from finetext.data.near_duplicates import near_duplicates
from finetext.data.placement import grouped, iterative
from finetext.data.split import held_out
from finetext.data.units import numbers_of, together
from finetext.encoders.catalogue import resolve
from finetext.evaluation.proportions import exact_interval
from finetext.storage.cache import kept
from finetext.storage.codec import Jsonable

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_CREDIBLE: Final = 0.2
"""Share of suspect rows above which the method is in doubt, not the labels. In the test sets that
Northcutt et al. (2021, Pervasive label errors) had people check, at most a tenth were wrong."""


@dataclass(frozen=True)
class Suspect:
    """A row whose label may be wrong, and a suggestion; several labels as `label_cells.written`.

    Attributes:
        probability_of_label: out-of-fold. In a multi-label scheme: the lowest probability, among
            the labels that look wrong, that giving or not giving the label is right.
        quality: from 0 to 1, the lowest of all rows first.
        missing: labels that it lacks; `surplus`: labels that it should not have; multi-label only.
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
class Reliability:
    """How far a search for wrong labels can be trusted.

    Attributes:
        accuracy: share of the labels that the method predicts out-of-fold.
        base_rate: the same of always giving the most frequent label.
        rows: number of rows.
        changed: labels that were changed on purpose, to search again; None if none was.
        found: how many of them were flagged.
        flagged: all labels flagged in that search; the rest may be wrong, too, or only hard.
    """

    accuracy: float
    base_rate: float
    rows: int
    changed: int | None = None
    found: int = 0
    flagged: int = 0

    @property
    def better_than_base_rate(self) -> bool:
        """Whether the lower end of the accuracy's 95% interval is above the base rate."""
        return exact_interval(self.accuracy, self.rows)[0] > self.base_rate

    def words(self, method: str) -> list[str]:
        """Return sentences for a reader."""
        low, high = exact_interval(self.accuracy, self.rows)
        said = [
            f"{method} is right on {self.accuracy:.0%} [{low:.0%}, {high:.0%}] of the labels "
            f"out-of-fold; always giving the most frequent one, on {self.base_rate:.0%}."
        ]
        if not self.better_than_base_rate:
            said.append(
                "That is not shown to be better, so it cannot tell wrong labels from right ones."
            )
        if self.changed is not None:
            low, high = exact_interval(self.found / self.changed, self.changed)
            said.append(
                f"Of {counted(self.changed, 'label')} changed on purpose it finds {self.found:,} "
                f"({self.found / self.changed:.0%} [{low:.0%}, {high:.0%}])"
            )
            if self.flagged:
                low, high = exact_interval(self.found / self.flagged, self.flagged)
                said[-1] += (
                    f", and {self.found / self.flagged:.0%} [{low:.0%}, {high:.0%}] of what it "
                    "then flags was changed; the rest may be wrong, too, or only hard"
                )
            said[-1] += "."
        elif self.better_than_base_rate:
            said.append("How many wrong labels it finds was not measured.")
        return said


@dataclass(frozen=True)
class Suspects(Jsonable, ShownInNotebook):
    """The rows of a data set whose labels may be wrong, the most suspicious first.

    Attributes:
        withheld: rows that look wrong to the method, too, but are not listed because it is weak.
        test: ids of the suspects that are test rows: their suggestion is not shown to a reviewer.
        others: test rows that are not suspected, to mix in for a blind check.
    """

    method: str
    folds: int
    rows: int
    suspects: tuple[Suspect, ...]
    seconds: float
    reliability: Reliability | None = None
    withheld: int = 0
    test: tuple[str, ...] = ()
    others: tuple[Suspect, ...] = ()

    @property
    def too_many(self) -> bool:
        """Whether so many look wrong that the method is in doubt, not the labels."""
        return len(self.suspects) + self.withheld > MOST_CREDIBLE * self.rows

    def words(self) -> list[str]:
        """Return how reliable the list is, in sentences."""
        said = [] if self.reliability is None else self.reliability.words(self.method)
        if self.withheld:
            more = "more " if self.suspects else ""
            said.append(
                f"{counted(self.withheld, f'{more}label')} that it doubts, too, "
                f"{'is' if self.withheld == 1 else 'are'} not listed: it is more often mistaken "
                "there than right."
            )
        return said

    def to_pandas(self) -> DataFrame:
        """Return the suspects as a data frame, without the suggestions for test rows."""
        import pandas as pd

        columns = ["id", "text", "label", "probability_of_label", "suggested"]
        columns += ["probability_of_suggested", "quality"]
        frame = pd.DataFrame([asdict(one) for one in self.suspects], columns=columns)
        hidden = ["suggested", "probability_of_suggested"]
        frame.loc[frame["id"].isin(self.test), hidden] = None
        return frame

    @property
    def mistakes(self) -> list[tuple[str, int]]:
        """What seems to be mistaken for what, with the number of rows, the most frequent first.

        Test rows are left out, for their suggestions are not shown.
        """
        counts: Counter[str] = Counter()
        for one in self.suspects:
            if one.id in self.test:
                continue
            parts = [f"{name} is missing" for name in one.missing]
            parts += [f"{name} is surplus" for name in one.surplus]
            counts.update(parts or [f"{one.label} -> {one.suggested}"])
        return counts.most_common()


def out_of_fold(dataset: Dataset, method: Method, folds: int, context: FitContext) -> Predictions:
    """Return predictions of all rows in order, each by a model trained on the other folds."""
    parts = fold_of_rows(dataset, folds, context.seed)
    assert dataset.scheme is not None
    probabilities = np.zeros((len(dataset), len(dataset.scheme)))
    for fold in range(folds):
        stage = f"fold {fold + 1} of {folds}"
        context.progress(ProgressEvent(stage, fold, folds))

        def listen(event: ProgressEvent, stage: str = stage) -> None:
            context.progress(replace(event, stage=f"{stage}, {event.stage}"))

        of_fold = replace(context, progress=listen, log=None, checkpoints=None)
        probabilities[parts == fold] = _predict_fold(dataset, method, parts, fold, of_fold)
    context.progress(ProgressEvent("folds", folds, folds))
    return Predictions(
        ids=tuple(dataset.ids),
        targets=dataset.targets,
        probabilities=probabilities,
        scheme=dataset.scheme,
        groups=None if dataset.groups is None else tuple(dataset.groups),
    )


def fold_of_rows(dataset: Dataset, folds: int, seed: int) -> Integers:
    """Return the (n,) fold of each row, from 0: stratified, no group or duplicates in two folds."""
    if folds < 2:
        raise RecipeError(f"cannot make {counted(folds, 'fold')}; ask for 2 or more")
    targets, groups = dataset.targets, dataset.groups
    number = len(targets) if groups is None else len(set(groups))
    if number < folds:
        noun = counted(number, "row" if groups is None else "group")
        raise DataError(f"{noun} cannot make {folds} folds; add data, or ask for fewer folds")
    if (targets == targets[0]).all():
        raise DataError("all rows have the same label, so none can look wrong")
    sizes = [len(targets) // folds + (fold < len(targets) % folds) for fold in range(folds)]
    generator = np.random.default_rng(seed)
    if targets.ndim == 1:
        targets = np.eye(targets.max() + 1, dtype=np.int64)[targets]
    units = numbers_of(groups, len(targets))
    units = together(units, near_duplicates(dataset.texts), dataset.texts, targets, sizes)
    if groups is None:
        return iterative(targets, sizes, generator, units)
    parts = grouped(targets, units, sizes, generator)
    if len(np.unique(parts)) < folds:
        raise DataError(f"the groups are too uneven for {folds} folds; ask for fewer folds")
    return parts


def _predict_fold(
    dataset: Dataset, method: Method, parts: Integers, fold: int, context: FitContext
) -> Floats:
    """Return probabilities of the rows of one fold, from the cache or a model of the others."""

    def predict() -> dict[str, Floats]:
        train, validation = held_out(dataset.select(np.flatnonzero(parts != fold)), context.seed)
        classifier = method.fit(train, validation, context)
        rows = dataset.select(np.flatnonzero(parts == fold))
        return {"probabilities": classifier.predict_proba(rows.texts)}

    cache = None if encoder_of(method) is None else context.cache
    key = "" if cache is None else _key(dataset, method, parts, fold, context)
    return np.asarray(kept(cache, "folds", key, predict)["probabilities"], dtype=np.float64)


def _key(dataset: Dataset, method: Method, parts: Integers, fold: int, context: FitContext) -> str:
    """Return the hash of everything that the probabilities of a fold depend on."""
    place = Path(resolve(str(encoder_of(method))).path)
    files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else []
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    settings = {name: str(value) for name, value in hyperparameters(method).items()}
    known = (context.seed, context.device, context.metric, dataset.content_hash, fold)
    described = json.dumps([__version__, method.name, settings, str(place), facts, *known])
    return hashlib.sha256(described.encode() + parts.tobytes()).hexdigest()


def suspects_in(predictions: Predictions, texts: Sequence[str]) -> tuple[Suspect, ...]:
    """Return the rows whose labels look wrong in n out-of-fold predictions, worst first."""
    quality, wrong = label_quality(predictions)
    rows = np.flatnonzero(wrong if wrong.ndim == 1 else wrong.any(axis=1))
    ranked = rows[np.argsort(quality[rows], kind="stable")].tolist()
    return tuple(
        _suspect(predictions, row, wrong, texts[row], float(quality[row])) for row in ranked
    )


def label_quality(predictions: Predictions) -> tuple[Floats, Booleans]:
    """Return (n,) label qualities from 0 to 1, and whether labels look wrong, (n,) or (n, k).

    The quality of a label is its probability; the worst label of a row counts. The rules are the
    best of cleanlab's on planted errors in BBC News and emotion, or GoEmotions for several labels.
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


def _issues(targets: Integers, probabilities: Floats, filter_by: str) -> Booleans:
    """Return whether each label looks wrong; cleanlab warns of classes that are rare or absent."""
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = find_label_issues(targets, probabilities, filter_by=filter_by, n_jobs=1)
    return np.asarray(found, dtype=np.bool_)


def _suspect(
    predictions: Predictions, row: int, wrong: Booleans, text: str, quality: float
) -> Suspect:
    scheme, probabilities = predictions.scheme, predictions.probabilities[row]
    one, names = predictions.ids[row], scheme.names
    if not scheme.multilabel:
        given, likeliest = int(predictions.targets[row]), int(probabilities.argmax())
        of_given, of_likeliest = float(probabilities[given]), float(probabilities[likeliest])
        return Suspect(one, text, names[given], names[likeliest], of_given, of_likeliest, quality)
    has, suspect = predictions.targets[row] == 1, wrong[row]
    right = float(np.where(has, probabilities, 1.0 - probabilities)[suspect].min())
    as_given, as_suggested, missing, surplus = (
        tuple(name for name, is_one in zip(names, flags, strict=True) if is_one)
        for flags in (has, has ^ suspect, ~has & suspect, has & suspect)
    )
    label, suggested = written(as_given, scheme), written(as_suggested, scheme)
    return Suspect(one, text, label, suggested, right, 1.0 - right, quality, missing, surplus)
