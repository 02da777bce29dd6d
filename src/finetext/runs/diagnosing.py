"""What is found out about a run after its rungs are trained, kept in its folder `diagnosis`."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from finetext.core.contracts import FitContext
from finetext.core.errors import FinetextError, RunError
from finetext.core.types import Dataset, Finding, Predicted, Splits
from finetext.methods.tfidf import Tfidf, TfidfClassifier
from finetext.models.folder import load_model
from finetext.report.data import Diagnoses
from finetext.runs.fit_methods import Rung
from finetext.runs.run import accesses
from finetext.storage.codec import from_json
from finetext.storage.files import write_json

FOLDER: Final = "diagnosis"
KINDS: Final = {
    "errors": "finetext.diagnosis.losses:Errors",
    "slices": "finetext.diagnosis.slices:Slices",
    "suspects": "finetext.diagnosis.label_errors:Suspects",
    "words": "finetext.diagnosis.explain:ClassWords",
    "map": "finetext.diagnosis.text_map:TextMap",
    "curve": "finetext.diagnosis.curve:Curve",
}
"""What can be found out, and the class of what was; its file has the same name."""
_AGAIN: Final = {
    "errors": "finetext errors {run}",
    "slices": "finetext slices {run}",
    "suspects": "finetext label-errors {run}",
    "words": "finetext explain {run} --classes",
    "map": "finetext map {run}",
    "curve": "finetext learning-curve --recipe {run}/recipe.toml; put its curve.json here",
}
"""The command that finds each kind out again."""
MOST_ROWS: Final = 50_000
"""Rows of which labels are doubted without being asked to: more would take minutes."""
FOLDS: Final = 5


def keep(run: Path, kind: str, found: Any) -> None:
    """Keep what was found out, for the report; what was found out before is replaced.

    Args:
        run: the run folder.
        kind: one of `KINDS`.
        found: an instance of its class.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        (run / FOLDER).mkdir(exist_ok=True)
        write_json(run / FOLDER / f"{kind}.json", found.to_json())
    except OSError as error:
        raise RunError(f"{run / FOLDER} cannot be written: {error}") from None


def kept(run: Path) -> Diagnoses:
    """All that was found out about a run; what cannot be read is left out, and said to be."""
    found: dict[str, Any] = {}
    damaged = []
    for kind in KINDS:
        try:
            found[kind] = _read(run, kind)
        except RunError as error:
            damaged.append(Finding("warning", "damaged-diagnosis", str(error)))
    return Diagnoses(openings=accesses(run), damaged=tuple(damaged), **found)


def _read(run: Path, kind: str) -> Any:
    """What was found out of one kind, or None.

    Raises:
        RunError: its file is damaged; the message says how to make it again.
    """
    path = run / FOLDER / f"{kind}.json"
    if not path.is_file():
        return None
    module, _, name = KINDS[kind].partition(":")
    try:
        values = json.loads(path.read_text("utf-8"))
        return from_json(getattr(import_module(module), name), values, "it")
    except (OSError, ValueError, RunError) as error:
        again = _AGAIN[kind].format(run=shlex.quote(str(run)))
        raise RunError(
            f"{path} is damaged ({error}), so the report leaves it out; to make it again: {again}"
        ) from None


def diagnose(run: Path, splits: Splits, best: Predicted, tfidf: Rung, context: FitContext) -> None:
    """Find out what costs little, and keep it: where the best rung fails, and doubtful labels.

    Errors and slices are those of validation rows, so that nothing is chosen by what the best rung
    said of test rows. Labels are doubted in all rows, without any rung of the run.

    Args:
        run: the run folder.
        splits: the frozen rows.
        best: the best rung's predictions of validation rows.
        tfidf: the rung of that name, whose words are told and whose settings doubt the labels.
        context: seed and listeners.
    """
    from finetext.diagnosis.losses import find_errors
    from finetext.diagnosis.slices import find_slices

    model = run / tfidf.entry.model
    found: dict[str, Callable[[], Any]] = {
        "errors": lambda: find_errors(best),
        "slices": lambda: find_slices(best),
        "words": lambda: _words(model, splits.train),
        "suspects": lambda: _suspects(model, splits, context),
    }
    context.say("looking for mistakes")
    for kind, find in found.items():
        try:
            result = find()
        except FinetextError as error:
            context.say(f"{kind} were not looked at: {error}")
            continue
        if result is not None:
            keep(run, kind, result)


def _words(model: Path, train: Dataset) -> Any:
    from finetext.diagnosis.explain import class_words

    return class_words(load_model(model, "cpu"), train.texts)


def _suspects(model: Path, splits: Splits, context: FitContext) -> Any:
    """Labels of all rows that look wrong to TF-IDF, with the C of the rung; None of many rows."""
    from finetext.diagnosis.label_errors import Suspects, out_of_fold, suspects_in

    rows = _together(splits)
    classifier = load_model(model, "cpu")
    if len(rows) > MOST_ROWS or not isinstance(classifier, TfidfClassifier):
        return None
    started = time.perf_counter()
    method = Tfidf(inverse_regularisation=classifier.head.inverse_regularisation)
    predictions = out_of_fold(rows, method, FOLDS, context)
    suspects = suspects_in(predictions, rows.texts)
    return Suspects("tfidf", FOLDS, len(rows), suspects, time.perf_counter() - started)


def _together(splits: Splits) -> Dataset:
    """The rows of all parts as one data set."""
    import datasets

    columns = ("id", "text", "label", "group")
    parts = [part.table for _, part in splits.items() if len(part)]
    shared = [name for name in columns if all(name in part.column_names for part in parts)]
    table = datasets.concatenate_datasets([part.select_columns(shared) for part in parts])
    return replace(splits.train, table=table)
