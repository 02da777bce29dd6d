"""Finished runs of a project: verdict, errors, doubtful labels, and predictions by them."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from finetext.batch.predict_file import predict_file
from finetext.core.contracts import Classifier, Listener, decided
from finetext.core.errors import DataError, FinetextError
from finetext.core.settings import ReadSettings
from finetext.core.types import Score
from finetext.diagnosis.label_errors import Suspects
from finetext.report.rendering import metric_title
from finetext.runs.load import load_for
from finetext.runs.run import Run, stored_predictions
from finetext.studio.project import Project
from finetext.studio.training import TrainingJobs

FORMATS: Final = ("xlsx", "csv")
MOST_TEXTS: Final = 100
_ERRORS: Final = 100
_KEPT: Final = 2


def finished(project: Project, name: str) -> Run:
    """Return a finished run; raises a FinetextError if it is unknown or unfinished."""
    job = TrainingJobs(project).get(name)
    if job.state != "done":
        raise DataError(f"{name} is {job.state}; wait until it is done, or resume it")
    return Run.open(project.runs / name)


def best_of(project: Project, name: str) -> dict[str, Any] | None:
    """Return the recommended method of a run with its test score; None if it is not finished."""
    try:
        run = Run.open(project.runs / name)
        score = run.entry(run.recommended).metrics["test"][run.metric]
    except FinetextError:
        return None
    return {"method": run.recommended, "metric": metric_title(run.metric), **_interval(score)}


def about_run(project: Project, name: str) -> dict[str, Any]:
    """Return verdict and leaderboard of a run; both None if it is not finished."""
    try:
        run = Run.open(project.runs / name)
    except FinetextError:
        return {"verdict": None, "leaderboard": None, "findings": []}
    words, recommended = list[str](), ""
    with suppress(FinetextError):
        verdict = run.summary()
        words, recommended = verdict.words(), run.recommended if verdict.is_recommended else ""
    return {
        "verdict": {"headline": words[0], "lines": words[1:]} if words else None,
        "leaderboard": [
            {
                "method": entry.method,
                "score": _interval(entry.metrics["test"][run.metric]),
                "seconds": entry.seconds_to_train,
                "rows_per_second": entry.rows_per_second,
                "bytes": entry.bytes,
                "recommended": entry.method == recommended,
            }
            for entry in run.leaderboard
        ],
        "findings": [{"severity": of.severity, "message": of.message} for of in run.findings],
    }


def errors_of(project: Project, name: str) -> list[dict[str, Any]]:
    """Return the wrong predictions of test rows by the recommended method, the surest first.

    This is an access to the test set, which the run records.
    """
    run = finished(project, name)
    found = run.errors(run.recommended, "test", count=_ERRORS)
    several = run.scheme.multilabel
    return [
        {
            "id": of.id,
            "text": of.text,
            "truth": _joined(of.truth),
            "prediction": _joined(of.prediction),
            "probability": None if several else of.probability,
        }
        for of in found.highest
        if of.truth != of.prediction
    ]


def label_errors_of(project: Project, name: str) -> list[dict[str, Any]]:
    """Return labels of a run that may be wrong, the most suspicious first; fitted anew.

    Labels of test rows are left out: a label that is corrected towards a model makes its score too
    high.
    """
    run = finished(project, name)
    methods = {entry.method for entry in run.leaderboard}
    method = "probe" if "probe" in methods else "tfidf"
    # A cross-validated run has no test rows.
    test = () if run.folds else stored_predictions(run, None, "test").ids
    found: Suspects = run.label_errors(method, test_ids=test, listener=Listener())
    return [
        {
            "id": of.id,
            "text": of.text,
            "label": _joined(of.label),
            "suggested": _joined(of.suggested),
            "probability": of.probability_of_suggested,
        }
        for of in found.suspects
        if of.id not in found.test
    ]


def predict(project: Project, name: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the label and the probabilities of each text by the recommended method of a run."""
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise DataError(f"send 1 to {MOST_TEXTS} texts; for more predict a table")
    classifier = _classifier(project, name)
    likely = classifier.predict_proba(list(texts))
    labels = decided(classifier.scheme, classifier.decision, likely)
    return [
        {"label": label, "probabilities": dict(zip(classifier.scheme.names, row, strict=True))}
        for label, row in zip(labels, likely.tolist(), strict=True)
    ]


def predict_table(
    project: Project, name: str, file: str, data: bytes, settings: ReadSettings, form: str
) -> tuple[str, bytes]:
    """Return a table with all columns of a file and the predictions: its name and its content.

    Cells that a spreadsheet would run as formulas are neutralized.

    Args:
        project: the project.
        name: the run.
        file: name of the file, whose suffix tells the format.
        data: its content.
        settings: how to read it.
        form: "xlsx" or "csv".
    """
    if form not in FORMATS:
        raise DataError(f"the format {form[:20]!r} is not one of {', '.join(FORMATS)}")
    classifier = _classifier(project, name)
    stem, suffix = Path(file).stem or "table", "".join(Path(file).suffixes[-2:])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"input{suffix if suffix.isascii() else ''}"
        out = Path(folder) / f"predictions.{form}"
        source.write_bytes(data)
        locale = "en" if form == "csv" else None
        how = replace(settings, labelled=False, label=None)
        try:
            predict_file(
                classifier, source, out, read=how, every=True, locale=locale, listener=Listener()
            )
        except FinetextError as error:
            raise DataError(str(error).replace(str(source), file)) from None
        return f"{stem}-predictions.{form}", out.read_bytes()


def _classifier(project: Project, name: str) -> Classifier:
    run = finished(project, name)
    return _loaded(run.folder / run.entry(run.recommended).model)


@lru_cache(_KEPT)
def _loaded(model: Path) -> Classifier:
    """Return a classifier that stays in memory; the model folder of a run never changes."""
    return load_for("latency", model)


def uses_of(project: Project, name: str) -> dict[str, dict[str, str]]:
    """Return the commands, and the Python code, that predict, serve and export with a run."""
    run = finished(project, name)
    place = run.folder / run.entry(run.recommended).model
    with suppress(ValueError):
        place = place.relative_to(Path.cwd())
    model = str(place)

    def command(*words: str) -> str:
        return shlex.join(("finetext", *words))

    load = f"import finetext\n\nclassify = finetext.load({model!r})\n"
    return {
        "predict": {
            "command": command("predict", model, "texts.xlsx", "--out", "predictions.xlsx"),
            "python": f'{load}classify(["a text", "another one"])',
        },
        "serve": {
            "command": command("serve", model, "--port", "8000"),
            "python": f"import finetext\n\nfinetext.serve({model!r})",
        },
        "export": {
            "command": command("export", model),
            "python": f"import finetext\n\nfinetext.export({model!r})",
        },
    }


def compared(projects: Mapping[str, Project]) -> list[dict[str, Any]]:
    """Return the finished runs of all projects, each with its recommended method."""
    rows = []
    for project in projects.values():
        for job in TrainingJobs(project).peek():
            if (best := best_of(project, job.name)) is None:
                continue
            about = about_run(project, job.name)
            verdict = about["verdict"]
            with suppress(FinetextError):
                rows.append({
                    "project": project.name,
                    "run": job.name,
                    "best": best,
                    "rows": sum(Run.open(project.runs / job.name).shares().rows.values()),
                    "seconds": job.seconds,
                    "verdict": verdict and verdict["headline"],
                })  # fmt: skip
    return rows


def _joined(labels: Any) -> str:
    return labels if isinstance(labels, str) else ", ".join(labels)


def _interval(score: Score) -> dict[str, Any]:
    return {"value": score.value, "low": score.low, "high": score.high}
