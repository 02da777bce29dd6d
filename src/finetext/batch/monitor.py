"""`monitor`: whether a model still meets the texts, labels and accuracy that it was tested with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.batch.inputs import Reading
from finetext.batch.monitored_rows import (
    MonitoredRows,
    name_of,
    read_rows,
    settings_for,
)
from finetext.core.addresses import public_address
from finetext.core.arrays import Floats, Integers
from finetext.core.budget import within_memory
from finetext.core.console import heard
from finetext.core.contracts import Classifier, Listener, ProgressEvent, batches_of, predict
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import ReadSettings, made
from finetext.core.terminal import one_line
from finetext.core.types import Dataset, Finding
from finetext.core.wording import counted
from finetext.data.read import read as read_data
from finetext.diagnosis.monitoring import Monitoring, compare
from finetext.diagnosis.text_map import states_of, with_states
from finetext.diagnosis.watched_rows import NewRows, rows_to_test
from finetext.models.engines import engine_of
from finetext.models.files import KEPT_ROWS
from finetext.models.folder import best_model
from finetext.models.hub import model_folder
from finetext.models.reference import Reference, States, drawn, lasting_names, letters_kept
from finetext.runs.load import load_for

MOST_ROWS: Final = 10_000
"""Rows that are compared; of more, as many are drawn at random. All with a label are read."""
_BATCH: Final = 1_000
_CHANCE: Final = 0.01
"""Below which it is no chance that a model is right on every row."""


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
        data: what `finetext.read` takes, in the order in which the rows came. Labels are optional:
            they are those of the column that `read` names as `label`, or else of the column that
            the model learned from or one called label, if it has classes of the model.
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
        RecipeError: the tolerance is none, or labels are both named and excluded.
    """
    if not 0 <= tolerance < 1:
        raise RecipeError(f"tolerance is {tolerance:g}; it must be from 0 to below 1, such as 0.02")
    asked = read if isinstance(read, ReadSettings) else made("[data]", ReadSettings, read or {})
    with heard(listener) as hears:
        classifier = _classifier(model, device, hears)
        before, learned = _before(model, classifier, reference, asked, hears)
        rows = read_rows(data, asked, classifier.scheme, learned, time)
        hears.say(rows.description)
        for finding in rows.findings:
            hears.finding(finding)
        kept = _of_data(classifier, before, hears) if isinstance(before, Dataset) else before
        for finding in _notices(kept, rows.dataset):
            hears.finding(finding)
        new = _predicted(classifier, rows, seed, hears)
        states = _states(classifier, kept, new, seed, hears)
        named = not isinstance(model, Classifier)
        called = one_line(public_address(str(model)).rstrip("/")) if named else "the classifier"
        found = compare((called, name_of(data)), kept, new, states, seed, tolerance)
        for finding in _too_right(found):
            hears.finding(finding)
        return found


def _classifier(model: str | Path | Classifier, device: str, hears: Listener) -> Classifier:
    """Return the classifier, and say which engine it has."""
    if not isinstance(model, Classifier):
        model = load_for("throughput", model, device, say=hears.say)
    if computes := engine_of(model):
        hears.say(f"engine: {computes}")
    return model


def _before(
    model: str | Path | Classifier,
    classifier: Classifier,
    reference: Any,
    asked: ReadSettings,
    hears: Listener,
) -> tuple[Reference | Dataset, tuple[str, ...]]:
    """Return the rows to compare with, and the columns of their labels."""
    if reference is None:
        kept = _kept(model, classifier)
        return kept, kept.label_columns
    how = settings_for(replace(asked, labelled=True), classifier.scheme)
    rows = read_data(reference, settings=how)
    hears.say(f"compared with {rows.description}")
    return rows, lasting_names(rows.columns_of("label"))


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


def _of_data(classifier: Classifier, dataset: Dataset, hears: Listener) -> Reference:
    """Return labeled rows as a model folder would keep them."""
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


def _notices(kept: Reference, dataset: Dataset) -> list[Finding]:
    if kept.predictions.groups is None or dataset.groups is not None:
        return []
    message = (
        "the rows that the model was tested on are in groups, and of the new rows no groups are "
        "known: name their column with --group, or rows of a group count as independent, and "
        "drift is claimed too easily"
    )
    return [Finding("warning", "groups-unknown", message)]


def _too_right(found: Monitoring) -> list[Finding]:
    """Return a warning if all labels are as predicted, though the model was not that accurate."""
    test = found.worse
    if test is None or test.accuracy.value < 1:
        return []
    if test.before.high**test.accuracy.n > _CHANCE:
        return []
    message = (
        f"all {counted(test.accuracy.n, 'label')} are as the model predicts, which has a chance of "
        f"less than 1% at its accuracy before, {test.before}: if it wrote them, they are no "
        "true labels; name others with --label, or take none with --set data.labelled=false"
    )
    return [Finding("warning", "labels-as-predicted", message)]


def _predicted(classifier: Classifier, rows: MonitoredRows, seed: int, hears: Listener) -> NewRows:
    """Return rows with probabilities: all that have a label, and those that are drawn."""
    dataset, chosen = rows.dataset, None
    labeled: Integers = np.array(sorted(rows.labels), dtype=np.int64)
    names = [rows.labels[row] for row in labeled]
    if len(dataset) > MOST_ROWS:
        random = np.random.default_rng(seed)
        chosen = np.sort(random.choice(len(dataset), MOST_ROWS, replace=False))
        kept = np.union1d(chosen, labeled)
        dataset = dataset.select(kept)
        chosen, labeled = np.searchsorted(kept, chosen), np.searchsorted(kept, labeled)
        also = f", and all {counted(len(names), 'row')} with a label" if names else ""
        also = ", and the labels of all" if len(names) == len(rows.dataset) else also
        hears.say(f"{counted(MOST_ROWS, 'row')} of {len(rows.dataset):,} are looked at{also}")
    texts, likely = dataset.texts, list[Floats]()
    for some in batches_of(len(texts), _BATCH):
        likely.append(classifier.predict_proba(texts[some]))
        hears.progress(ProgressEvent("monitor: predicting", some.stop, len(texts)))
    return NewRows(
        dataset.ids, texts, np.concatenate(likely), dataset.groups,
        classifier.scheme.encode(names) if names else None, labeled, chosen,
        len(rows.dataset), rows.label_columns, rows.no_labels,
    )  # fmt: skip


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
