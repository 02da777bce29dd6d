"""`monitor`: whether a model still meets the texts, labels and accuracy that it was tested with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.batch.inputs import Reading
from finetext.core.addresses import public_address
from finetext.core.arrays import Floats, Integers
from finetext.core.budget import within_memory
from finetext.core.console import heard
from finetext.core.contracts import Classifier, Listener, ProgressEvent, batches_of, predict
from finetext.core.errors import DataError, ModelError, RecipeError, UnlabeledError
from finetext.core.settings import ReadSettings, made
from finetext.core.terminal import one_line
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.core.wording import counted
from finetext.data.read import read as read_data
from finetext.data.read import source_columns
from finetext.diagnosis.monitoring import Monitoring, compare
from finetext.diagnosis.text_map import states_of, with_states
from finetext.diagnosis.watched_rows import NewRows, rows_to_test
from finetext.models.files import KEPT_ROWS
from finetext.models.folder import best_model
from finetext.models.hub import model_folder
from finetext.models.reference import Reference, States, drawn, letters_kept
from finetext.runs.load import load

MOST_ROWS: Final = 10_000
"""Rows that are looked at; of more without labels, as many are drawn at random."""
_BATCH: Final = 1_000
_DROPPED: Final = "unlabelled-dropped"


@within_memory
def monitor(
    model: str | Path | Classifier,
    data: Any,
    *,
    reference: Any = None,
    read: Reading = None,
    time: str | None = None,
    tolerance: float = 0.0,
    seed: int = 0,
    device: str = "auto",
    listener: Listener | None = None,
) -> Monitoring:
    """Compare new rows with those that a model was tested on, as `finetext monitor` does.

    Args:
        model: model folder, run folder, "hub:owner/name", or a classifier with a `reference`.
        data: what `finetext.read` takes, labels optional, in the order in which the rows came.
        reference: labeled rows to compare with, which the model has not learned from; by default
            those whose numbers the model folder keeps.
        read: how to read both: `ReadSettings`, or some of them by name. Rows of a group count as
            one.
        time: column by which the rows are ordered: numbers, or dates as in ISO 8601, all of them
            with a time zone or none.
        tolerance: drop of accuracy that is accepted, 0 to 1; 0 by default.
        seed: seed of permutations and samples, 0 by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        listener: receives progress and findings; by default they are shown on a terminal.

    Raises:
        ModelError: the model keeps nothing to compare with, is damaged, or cannot be loaded.
        DataError: the data cannot be read, or have a label that the model does not know.
        RecipeError: the tolerance is none.
    """
    if not 0 <= tolerance < 1:
        raise RecipeError(f"tolerance is {tolerance:g}; it must be from 0 to below 1, such as 0.02")
    with heard(listener) as hears:
        classifier = model if isinstance(model, Classifier) else load(model, device, say=hears.say)
        how = _settings(read, classifier.scheme)
        kept = _kept(model, classifier) if reference is None else None
        rows = _read(data, how, time)
        hears.say(rows.dataset.description)
        for finding in rows.findings:
            hears.finding(finding)
        if kept is None:
            kept = _of_data(classifier, reference, how, hears)
        for finding in _notices(kept, rows.dataset):
            hears.finding(finding)
        new = _predicted(classifier, rows, seed, hears)
        states = _states(classifier, kept, new, seed, hears)
        named = not isinstance(model, Classifier)
        called = one_line(public_address(str(model)).rstrip("/")) if named else "the classifier"
        return compare((called, _name(data)), kept, new, states, seed, tolerance)


@dataclass(frozen=True, eq=False)
class _NewData:
    """Rows in the order of time, the labels of those that have some, and what reading noticed.

    `labels` is position to label.
    """

    dataset: Dataset
    labels: Mapping[int, Any]
    findings: tuple[Finding, ...]


def _settings(read: Reading, scheme: LabelScheme) -> ReadSettings:
    if isinstance(read, ReadSettings):
        return read.with_texts_of(scheme)
    known = {"classes": scheme.names, "multilabel": scheme.multilabel}
    return made("[data]", ReadSettings, {**known, **(read or {})}).with_texts_of(scheme)


def _kept(model: str | Path | Classifier, classifier: Classifier) -> Reference:
    """Return the rows that a model folder keeps; raise a ModelError without any."""
    if isinstance(model, Classifier):
        raise ModelError(
            "a classifier in memory keeps no rows to compare with; give its model folder, or name "
            "labeled rows with reference="
        )
    folder = best_model(model_folder(model))
    found = Reference.read(folder, classifier.scheme, classifier.decision)
    if found is None:
        raise ModelError(
            f"{model} keeps no test rows to compare with, as models of older versions and those "
            "that `finetext train` did not make; name labeled rows that it has not learned from: "
            "--reference DATA"
        )
    return found


def _of_data(classifier: Classifier, source: Any, how: ReadSettings, hears: Listener) -> Reference:
    """Return labeled rows as a model folder would keep them."""
    dataset = read_data(source, settings=how)
    for finding in dataset.findings:
        hears.finding(finding)
    found, texts = predict(classifier, dataset), dataset.texts
    kept = Reference.of(found, texts, "reference")
    if (dense := with_states(classifier)) is None:
        return kept
    read = [texts[row] for row in drawn(found, texts)]
    read = read[: max(1, letters_kept(read))]
    states = states_of(dense, read, progress=hears.progress)
    return replace(kept, states=States.of(np.asarray(states.vectors)))


def _read(source: Any, how: ReadSettings, time: str | None) -> _NewData:
    """Read new rows; those without a label are kept, too."""
    labels, unlabeled = dict[str, Any](), replace(how, labelled=False, multilabel=None)
    unlabeled = replace(unlabeled, classes=None, label=None)
    try:
        dataset = read_data(source, settings=replace(how, drop_unlabelled=True))
        labels = dict(zip(dataset.ids, dataset.labels, strict=True))
        if any(finding.code == _DROPPED for finding in dataset.findings):
            dataset = read_data(source, settings=replace(unlabeled, label=how.label))
    except UnlabeledError:
        if how.label is not None:
            raise
        dataset = read_data(source, settings=unlabeled)
    if not len(dataset):
        raise DataError(f"{_name(source)} has no rows")
    if time is not None:
        values = source_columns(source, [time], dataset.ids, unlabeled)
        ((name, column),) = values.items()
        dataset = dataset.select(np.argsort(_moments(column, name, source), kind="stable"))
    place = {row: labels[row_id] for row, row_id in enumerate(dataset.ids) if row_id in labels}
    return _NewData(dataset, place, dataset.findings)


def _moments(values: Sequence[Any], column: str, source: Any) -> Floats:
    """Return numbers or dates, of one kind, as numbers; raise a DataError that names another."""
    found, kinds = list[float](), list[str]()
    for row, value in enumerate(values):
        text = "" if value is None else str(value).strip()
        where = f"{_name(source)}, column {column!r}: row {row + 1} has {text!r}, "
        if (moment := _moment(text)) is None:
            raise DataError(
                f"{where}which is no number and no date such as 2026-11-30 or 2026-11-30T14:05:00; "
                "mend it, or order the rows by another column"
            )
        found.append(moment[0])
        kinds.append(moment[1])
        if kinds[-1] != kinds[0]:
            raise DataError(
                f"{where}which is {kinds[-1]}, and row 1 has {kinds[0]}: they have no common "
                "order; mend it, or order the rows by another column"
            )
    return np.array(found)


def _moment(text: str) -> tuple[float, str] | None:
    """Return a finite number or a date as a number, and its kind in words; None of others.

    Dates without time zone are taken as in UTC, so that no hour is there twice.
    """
    try:
        return (value, "a number") if math.isfinite(value := float(text)) else None
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        return date.replace(tzinfo=UTC).timestamp(), "a date without a time zone"
    return date.timestamp(), "a date with a time zone"


def _notices(kept: Reference, dataset: Dataset) -> list[Finding]:
    if kept.predictions.groups is None or dataset.groups is not None:
        return []
    message = (
        "the rows that the model was tested on are in groups, and of the new rows no groups are "
        "known: name their column with --group, or rows of a group count as independent, and "
        "drift is claimed too easily"
    )
    return [Finding("warning", "groups-unknown", message)]


def _predicted(classifier: Classifier, rows: _NewData, seed: int, hears: Listener) -> NewRows:
    """Return the rows with probabilities: all with labels, or as many as are looked at."""
    dataset, labels = rows.dataset, rows.labels
    if not labels and len(dataset) > MOST_ROWS:
        random = np.random.default_rng(seed)
        dataset = dataset.select(np.sort(random.choice(len(dataset), MOST_ROWS, replace=False)))
        hears.say(f"{counted(MOST_ROWS, 'row')} of {len(rows.dataset):,} are looked at")
    texts, likely = dataset.texts, list[Floats]()
    for some in batches_of(len(texts), _BATCH):
        likely.append(classifier.predict_proba(texts[some]))
        hears.progress(ProgressEvent("monitor: predicting", some.stop, len(texts)))
    truths: Integers | None = None
    labeled = np.array(sorted(labels), dtype=np.int64)
    if len(labeled):
        truths = classifier.scheme.encode([labels[row] for row in labeled])
    groups = dataset.groups
    return NewRows(dataset.ids, texts, np.concatenate(likely), groups, truths, labeled)


def _states(
    classifier: Classifier, kept: Reference, new: NewRows, seed: int, hears: Listener
) -> Floats | None:
    """Return states of the new rows that are tested; None if none are kept to compare with."""
    if kept.states is None or (dense := with_states(classifier)) is None:
        return None
    texts = [new.texts[row] for row in rows_to_test(kept, new, seed)[1]]
    found = np.asarray(states_of(dense, texts, progress=hears.progress).vectors)
    if found.shape[1:] != kept.states.mean.shape:
        raise ModelError(
            f"the folder keeps states of {len(kept.states.mean)} numbers, and the model gives "
            f"states of {found.shape[1]}: its {KEPT_ROWS} is that of another model; name rows to "
            "compare with: --reference DATA"
        )
    return found


def _name(source: Any) -> str:
    """Return what to call data: the name of their file, if they are one."""
    if isinstance(source, str | Path):
        name = public_address(str(source))
        return one_line(name if name.startswith("hub:") else Path(name).name or name)
    return "the data"
