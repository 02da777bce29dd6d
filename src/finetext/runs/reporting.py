"""The report of a run, and what is found out about the run after its methods are fitted.

The findings are kept in the folder `diagnosis`; the report is made of the run folder alone.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import tomli_w

from finetext.core.budget import toml_values
from finetext.core.column_role import ColumnRole
from finetext.core.errors import FinetextError, RunError
from finetext.core.registry import load
from finetext.core.types import Finding, Predicted
from finetext.core.wording import with_source
from finetext.diagnosis.explore import Lengths
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import Scores, evaluate
from finetext.evaluation.metrics import applicable
from finetext.methods.tfidf import Tfidf, TfidfClassifier
from finetext.models.card import without_path
from finetext.models.folder import load_model
from finetext.report.report import Diagnoses, ReportData, write_report
from finetext.runs.accesses import accesses, use_of_test_set
from finetext.runs.fit_methods import Started
from finetext.runs.predictions import stored_folds
from finetext.runs.recipe import ADAPTED
from finetext.runs.run import Run, stored_predictions
from finetext.runs.stored_splits import stored_agreement, stored_weak_labels
from finetext.storage.codec import from_json
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text
from finetext.storage.resume import read_log

FOLDER: Final = "diagnosis"
KINDS: Final = {
    "errors": ("finetext.diagnosis.losses:Errors", "finetext errors {run}"),
    "slices": ("finetext.diagnosis.slices:Slices", "finetext slices {run}"),
    "suspects": ("finetext.diagnosis.label_errors:Suspects", "finetext label-errors {run}"),
    "words": ("finetext.diagnosis.explain:ClassWords", "finetext explain {run} --classes"),
    "map": ("finetext.diagnosis.text_map:TextMap", "finetext map {run}"),
    "curve": (
        "finetext.diagnosis.curve:Curve",
        "finetext learning-curve --recipe {run}/recipe.toml; put its curve.json here",
    ),
}
"""Each diagnosis, which is also the name of its file: its class, and the command that makes it."""
DURATIONS: Final = {"errors": 0.1, "slices": 1.5, "words": 2.5, "suspects": 12.0}
"""About how long the diagnoses of a run take, as multiples of one fit of tfidf on its rows."""
MOST_ROWS: Final = 50_000
"""Rows up to which a run looks for label errors: more would take minutes."""
FOLDS: Final = 5
_NAMES: Final = {"suspects": "label errors"}
"""The names of diagnoses for people, where they are not those of their files."""
_PLACE: Final = re.compile(r"(?<![\w:/.])/(?:[^/\s'\"]+/)+[^/\s'\",;:]+")


def write_diagnosis(run: Path, kind: str, found: Any) -> None:
    """Keep a diagnosis, one of `KINDS`, for the report; raises a RunError if that fails."""
    try:
        (run / FOLDER).mkdir(exist_ok=True)
        write_json(run / FOLDER / f"{kind}.json", found.to_json())
    except OSError as error:
        raise RunError(f"{run / FOLDER} cannot be written: {error}") from None


def read_diagnoses(run: Path) -> Diagnoses:
    """Return all diagnoses of a run, without those that cannot be read, and a finding on each."""
    found, damaged = dict[str, Any](), list[Finding]()
    for kind, (place, command) in KINDS.items():
        path = run / FOLDER / f"{kind}.json"
        module, _, name = place.partition(":")
        try:
            if path.is_file():
                values = json.loads(read_received_text(run, f"{FOLDER}/{path.name}"))
                found[kind] = from_json(getattr(import_module(module), name), values, "it")
        except (OSError, ValueError, RunError) as error:
            message = (
                f"{path} is damaged ({error}), so the report leaves it out; to make it again: "
                f"{command.format(run=shlex.quote(str(run)))}"
            )
            damaged.append(Finding("warning", "damaged-diagnosis", message))
    return Diagnoses(
        openings=accesses(run), use=use_of_test_set(run), damaged=tuple(damaged), **found
    )


def diagnose(started: Started, best: Predicted, tfidf: Path, seconds: float) -> tuple[Finding, ...]:
    """Find errors, slices, words and label errors, as far as that is quick, and keep them.

    Returns what is left out for lack of time, of which `seconds` took the fit of `tfidf`.
    """
    from finetext.diagnosis.explain import class_words
    from finetext.diagnosis.losses import find_errors
    from finetext.diagnosis.slices import find_slices

    splits, say = started.run.splits, started.context.say
    found: dict[str, Callable[[], Any]] = {
        "errors": lambda: find_errors(best),
        "slices": lambda: find_slices(best),
        "words": lambda: class_words(load_model(tfidf, "cpu"), splits.train.texts),
        "suspects": lambda: _suspects(tfidf, started),
    }
    say("diagnosing errors")
    deadline, left_out = started.context.deadline, list[Finding]()
    for kind, find in found.items():
        name = _NAMES.get(kind, kind)
        if deadline is not None and DURATIONS[kind] * seconds > deadline.left:
            command = KINDS[kind][1].format(run=shlex.quote(str(started.folder)))
            message = f"no time was left for {name} in the report; to add them: {command}"
            left_out.append(Finding("note", "minutes", message))
            say(message)
            continue
        try:
            result = find()
        except FinetextError as error:
            say(f"{name} were left out: {error}")
            continue
        if result is not None:
            write_diagnosis(started.folder, kind, result)
    return tuple(left_out)


def _suspects(model: Path, started: Started) -> Any:
    """Return the labels of all rows that look wrong to TF-IDF; None for too many rows."""
    import datasets

    from finetext.diagnosis.planted_errors import search

    splits, columns = started.run.splits, ("id", "text", "label", "group")
    parts = [part.table for _, part in splits.items() if len(part)]
    shared = [name for name in columns if all(name in part.column_names for part in parts)]
    table = datasets.concatenate_datasets([part.select_columns(shared) for part in parts])
    rows, classifier = replace(splits.train, table=table), load_model(model, "cpu")
    if len(rows) > MOST_ROWS or not isinstance(classifier, TfidfClassifier):
        return None
    method = Tfidf(inverse_regularisation=classifier.head.inverse_regularisation)
    return search("tfidf", method, rows, FOLDS, started.context, splits.test.ids)


def report(
    run: str | Path,
    find: Callable[[Finding], None] = lambda finding: None,
    positive: str | None = None,
) -> Path:
    """Write `report.html` of a finished run again, with all diagnoses made since.

    `positive` is the positive class of this page; by default that of the run.
    """
    opened = Run.open(run)
    data = report_data(opened)
    if positive is not None:
        data = with_positive(data, positive)
    for finding in data.diagnoses.damaged:
        find(finding)
    try:
        return write_report(data, opened.report)
    except OSError as error:
        raise RunError(f"{opened.report} cannot be written: {error}") from None


def report_data(run: Run) -> ReportData:
    """Return the content of the report; raises a RunError if a file is missing or damaged."""
    folder, methods = run.folder, [entry.method for entry in run.leaderboard]
    logged = (ADAPTED, *methods, *run.unfinished)
    diagnoses = read_diagnoses(folder)
    try:
        data = json.loads(read_received_text(folder, "data.json"))
        environment = json.loads(read_received_text(folder, "environment.json"))
        recipe = read_received_text(folder, "recipe.toml")
        known = from_json(tuple[Finding, ...], data["findings"], "data.json")
        source = toml_values(recipe).get("data", {}).get("source")
        if isinstance(source, str) and not (folder / Path(source).name).is_file():  # no copy
            name = str(_without_machine(Path(source)))
            known = tuple(replace(of, message=with_source(of.message, name)) for of in known)
        return ReportData(
            description=str(data["description"]),
            rows=dict(data["rows"]),
            class_counts=dict(data["labels_by_split"]),
            recipe=tomli_w.dumps(without_path(toml_values(recipe))),
            seed=int(environment["seed"]),
            folds=run.folds,
            title=folder.resolve().name,
            place=_without_machine(folder),
            lengths=from_json(list[Lengths], data["lengths"], "data.json"),
            findings=[*diagnoses.damaged, *_without_folders([*run.findings, *known])],
            columns=from_json(tuple[ColumnRole, ...], data.get("columns", ()), "data.json"),
            entries=run.leaderboard,
            predictions={name: stored_predictions(run, name, "test") for name in methods},
            repeats=_repeats(run),
            comparisons=run.comparisons,
            paid=run.paid,
            metric=run.metric,
            best=run.best,
            recommended=run.recommended,
            choice=run.choice,
            over_seeds=run.over_seeds,
            environment=environment,
            diagnoses=diagnoses,
            agreement=stored_agreement(folder),
            weak=stored_weak_labels(folder),
            logs={name: read_log(folder / name / "log.jsonl") for name in logged},
        )
    except FinetextError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"the run in {folder} is damaged, or of an earlier version of finetext: {error!r}; its "
            "report.html is unchanged"
        ) from None


def _repeats(run: Run) -> dict[str, FoldPredictions]:
    """Return method to the predictions of all folds, of those that are cross-validated."""
    methods = [entry.method for entry in run.leaderboard] if run.folds else []
    found = {name: stored_folds(run.folder / name) for name in methods}
    return {name: of for name, of in found.items() if of is not None}


def _without_machine(folder: Path) -> Path:
    """Return a folder relative to the current one, or its name: a report is passed on."""
    if not folder.is_absolute():
        return folder
    with suppress(ValueError):
        return folder.relative_to(Path.cwd())
    return Path(folder.name)


def _without_folders(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings that name files of this machine by their last folder and name alone."""

    def shortened(found: re.Match[str]) -> str:
        place = Path(found[0])
        return "/".join(place.parts[-2:]) if place.exists() else found[0]

    return [replace(of, message=_PLACE.sub(shortened, of.message)) for of in findings]


def with_positive(data: ReportData, label: str) -> ReportData:
    """Return the content of the report with another positive class, and its scores.

    Raises:
        DataError: it is none of two labels.
        RunError: the best method was chosen by a score of the other class.
    """
    of_label = {name: of.with_positive(label) for name, of in data.predictions.items()}
    before, after = (next(iter(of.values())).scheme for of in (data.predictions, of_label))
    changed = before.positive_column != after.positive_column
    if changed and load("metrics", data.metric).of_positive_class:
        raise RunError(
            f"the run {data.title} chose its best method by {data.metric} of the class "
            f"{before.positive_class!r}; to choose by that of {label!r}, train again with "
            f"--positive {shlex.quote(label)}"
        )
    names = [n for n in applicable(after) if load("metrics", n).of_positive_class]
    scores = {n: evaluate(p, data.seed, metrics=names) for n, p in of_label.items()}
    repeats = {n: of.with_positive(label) for n, of in data.repeats.items()}
    for method, of in repeats.items():
        every = of.scores()
        scores[method] = Scores({n: every[n] for n in names})
    return replace(data, predictions=of_label, repeats=repeats, entries=[
        replace(entry, metrics={
            **entry.metrics, "test": {**entry.metrics["test"], **scores[entry.method]},
        })
        for entry in data.entries
    ])  # fmt: skip
