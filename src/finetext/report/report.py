"""The report of a run: one HTML file that needs nothing beside it, not even a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from finetext.core import wording
from finetext.core.column_role import ColumnRole
from finetext.core.registry import load, names
from finetext.core.types import Finding, Predicted, Predictions, Score
from finetext.core.wording import counted
from finetext.data.weak_labels import WeakLabels
from finetext.diagnosis.curve import Curve
from finetext.diagnosis.explain import ClassWords
from finetext.diagnosis.explore import Lengths
from finetext.diagnosis.label_errors import Suspects
from finetext.diagnosis.losses import Errors
from finetext.diagnosis.slices import Slices
from finetext.diagnosis.text_map import TextMap
from finetext.evaluation.agreement import Agreement
from finetext.evaluation.choice import Choice
from finetext.evaluation.compare import Comparison
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import uncertain_intervals
from finetext.evaluation.leaderboard import EncoderGain, LeaderboardEntry
from finetext.evaluation.metrics import Metric
from finetext.report import plots
from finetext.report.agreement import people_line
from finetext.report.curves import curve_headline, curves_of, learning_curve_plot, sentences
from finetext.report.errors import label_view, language_note, slices_sentence
from finetext.report.explanations import words_headline, words_shown
from finetext.report.exploration import findings_headline, headline, lengths_shown
from finetext.report.leaderboard import (
    asked_lines,
    best_in_words,
    gain_headline,
    gain_sentence,
    learned_line,
    majority_line,
    reading_line,
    seed_lines,
    seeds_sentence,
)
from finetext.report.next_step import Judged
from finetext.report.optimism import TestSetUse, accesses_sentence, without_test_set
from finetext.report.positive import positive_sentence, positive_view
from finetext.report.probabilities import probability_advice, trust
from finetext.report.rendering import metric_title, render_page
from finetext.report.shares import class_table
from finetext.report.text_map import MOST_DOTS, MapView, map_view
from finetext.report.verdict import class_in_words, verdict_on
from finetext.report.verdict_chart import verdict_chart
from finetext.report.weak_labels import teacher_line, weak_table
from finetext.storage.files import write_text

_FUNCTIONS: Final = (
    *(language_note, slices_sentence, words_shown, sentences, seeds_sentence, best_in_words),
    *(class_in_words, probability_advice),
)
"""What templates call."""
_FIRST_METRICS: Final = ("macro_f1", "accuracy", "subset_accuracy")
"""What the leaderboard shows beside the metric of the run; the others are folded."""


@dataclass(frozen=True)
class Diagnoses:
    """The diagnoses of a run; None for those that were not made, or whose file is `damaged`."""

    errors: Errors | None = None
    slices: Slices | None = None
    suspects: Suspects | None = None
    words: ClassWords | None = None
    map: TextMap | None = None
    curve: Curve | None = None
    openings: Sequence[Mapping[str, Any]] = ()
    use: TestSetUse = field(default_factory=TestSetUse)
    damaged: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class ReportData:
    """All that the report says.

    `class_counts` is split to label to rows. `place` is the run folder as commands name it.
    Earlier versions did not store `columns`.
    With `folds` the methods are cross-validated, and "test" stands for all rows: `predictions` are
    those of the first repeat, `repeats` is method to those of all.
    """

    title: str
    description: str
    rows: Mapping[str, int]
    class_counts: Mapping[str, Mapping[str, int]]
    lengths: Sequence[Lengths]
    findings: Sequence[Finding]
    entries: Sequence[LeaderboardEntry]
    predictions: Mapping[str, Predictions]
    comparisons: Mapping[str, Comparison]
    metric: str
    best: str
    recommended: str
    recipe: str
    environment: Mapping[str, object]
    place: Path | None = None
    seed: int = 0
    folds: int = 0
    repeats: Mapping[str, FoldPredictions] = field(default_factory=dict)
    logs: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    paid: Sequence[EncoderGain] = ()
    columns: Sequence[ColumnRole] = ()
    choice: Choice | None = None
    over_seeds: Mapping[str, Score] = field(default_factory=dict)
    agreement: Agreement | None = None
    weak: WeakLabels | None = None
    diagnoses: Diagnoses = field(default_factory=Diagnoses)


def write_report(data: ReportData, path: str | Path) -> Path:
    """Write the report completely or not at all, and return its path."""
    write_text(Path(path), render(data))
    return Path(path)


def render(data: ReportData) -> str:
    """Return the report as HTML."""
    found, predictions = data.diagnoses, data.predictions
    multilabel = any(p.scheme.multilabel for p in predictions.values())
    labels = list(next(iter(data.class_counts.values())))
    metrics = [n for n in names("metrics") if any(n in e.metrics["test"] for e in data.entries)]
    if not multilabel and data.metric != "micro_f1":
        metrics = [name for name in metrics if name != "micro_f1"]
    part = str(wording.part_in_words("test", data.folds))
    scored = wording.rows_of(part)
    views = [
        label_view(Predicted(m, p, None, "", part=part), key, data.seed, data.repeats.get(m))
        for key, (m, p) in enumerate(predictions.items())
    ]
    views.sort(key=lambda view: view["method"] != data.best)
    trusted = predictions.get(data.best)
    curves = [curves_of(name, lines, key) for key, (name, lines) in enumerate(data.logs.items())]
    counts, rows = data.class_counts, data.rows
    by_label = {name: {part: of.get(name, 0) for part, of in counts.items()} for name in labels}
    by_method, order = {entry.method: entry for entry in data.entries}, ("error", "warning", "note")
    shares = {p: {n: c / max(1, rows[p]) for n, c in of.items()} for p, of in counts.items()}
    context: dict[str, Any] = {
        "data": data,
        "labels": labels,
        "multilabel": multilabel,
        "views": views,
        "plots": plots,
        "findings": sorted(data.findings, key=lambda of: order.index(of.severity)),
        **_board(data, metrics, None if trusted is None else trusted.scheme.positive_class),
        "learned": learned_line(data.entries, data.folds, data.rows),
        "asked": asked_lines(data.entries),
        "reading": reading_line(data.entries, data.folds),
        "people": data.agreement and people_line(data.agreement, len(trusted or ())),
        "seeds": seed_lines(data.entries, data.metric, data.over_seeds),
        "taught": teacher_line(data.entries, data.comparisons, data.best, data.metric, data.weak),
        "weak_table": data.weak and weak_table(data.weak),
        "scored": scored,
        **_of_test_rows(data, trusted),
        "paid": [
            (of, by_method[of.method], by_method[of.beside], gain_sentence(of)) for of in data.paid
        ],
        "trust": trust(data.best, trusted, scored)
        if trusted is not None and len(trusted)
        else None,
        "positive": positive_view(data.best, predictions, scored, data.repeats.get(data.best)),
        "repeat_note": _of_first_repeat(data),
        "positive_class": positive_sentence(trusted.scheme) if trusted is not None else "",
        "training": [curve for curve in curves if curve is not None],
        "by_label": by_label,
        "class_plot": plots.class_bars(shares),
        "class_table": class_table(by_label, {part: rows[part] for part in counts}),
        "lengths": lengths_shown(data.lengths),
        **vars(found),
        "map": _map_of_unseen(found.map, data.folds),
        **{of.__name__: of for of in _FUNCTIONS},
        "learning_curve_plot": learning_curve_plot,
    }
    context |= _verdict(data)
    context["contents"] = _contents(data, context)
    return render_page("page.html.j2", context)


def _verdict(data: ReportData) -> dict[str, Any]:
    """Return what the first screen shows."""
    place = Path(data.title) if data.place is None else data.place
    judged = Judged(data.recommended, data.best, place, data.rows)
    folds = data.repeats.get(data.recommended)
    verdict = verdict_on(data.entries, data.predictions, judged, data.choice, folds)
    about = about_sentence(data, len(data.predictions[data.recommended]), verdict.is_recommended)
    bars, differs = verdict_chart(verdict), majority_line(data.entries, verdict)
    return {"verdict": verdict, "verdict_bars": bars, "about": about, "majority": differs}


def _board(data: ReportData, metrics: Sequence[str], positive: str | None) -> dict[str, Any]:
    """Return the metrics of the leaderboard: those shown at once and all, and their plot."""
    shown = [name for name in dict.fromkeys((data.metric, *_FIRST_METRICS)) if name in metrics]
    return {
        "metrics": [_named(name, positive) for name in shown],
        "every_metric": [_named(name, positive) for name in metrics],
        "main_metric": _named(data.metric, positive),
        "board_plot": plots.leaderboard(data.entries, shown, data.agreement, positive),
    }


def _named(metric: str, positive: str | None) -> Metric:
    """Return a metric whose title names the class that it is about, if it is about one."""
    named: Metric = load("metrics", metric)
    return replace(named, title=metric_title(metric, positive))


def _map_of_unseen(found: TextMap | None, folds: int) -> MapView | None:
    """Return the map as the report shows it; None if it is of other rows or without predictions.

    It shows validation rows, or all rows of a cross-validated run, which have no split.
    """
    if found is None or not found.ids or not found.predictions:
        return None
    return map_view(found, MOST_DOTS) if found.split == (None if folds else "validation") else None


def _contents(data: ReportData, context: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found, trusted, text_map = data.diagnoses, context["trust"], context["map"]
    metric = context["main_metric"].title
    best = f"{best_in_words(data.choice, data.folds)}: {data.best}, {metric} {_test_score(data)}"
    scored = f"{best}, cross-validated" if data.folds else f"{best} on test"
    views, training, positive = context["views"], context["training"], context["positive"]
    sections = [
        ("findings", "Data checks", findings_headline(data.findings)),
        ("leaderboard", "Leaderboard", scored),
        ("paid", "Encoder gain", gain_headline(data.paid) if data.paid else ""),
        ("failing", "Errors", views[0]["headline"] if views else "Errors"),
        ("suspects", "Label errors", _suspected(found.suspects) if found.suspects else ""),
        ("positive", "Positive class", positive["headline"] if positive else ""),
        ("trust", "Calibration", trusted["headline"] if trusted else ""),
        ("words", "Words", words_headline(found.words) if found.words else ""),
        ("map", "Map", text_map.headline if text_map else ""),
        ("curve", "More labels", curve_headline(found.curve) if found.curve else ""),
        ("data", "Data", headline(data.rows, context["by_label"], context["multilabel"])),
        ("training", "Training", "; ".join(curves.headline for curves in training)),
        ("settings", "Settings", "The recipe and environment that repeat this run"),
    ]
    return [section for section in sections if section[-1]]


def _suspected(suspects: Suspects) -> str:
    wrong = len(suspects.suspects)
    if not wrong:
        return f"None of {suspects.rows:,} labels is listed as possibly wrong"
    return f"{wrong:,} of {suspects.rows:,} labels ({wrong / suspects.rows:.1%}) may be wrong"


def about_sentence(data: ReportData, scored: int, is_recommended: bool = True) -> str:
    """Return what the verdict is about: methods, texts and labels."""
    chosen = "the recommended one" if is_recommended else "for now the one to take"
    of = f"About {data.recommended}, {chosen} of {counted(len(data.entries), 'method')}"
    labels = counted(len(next(iter(data.class_counts.values()))), "label")
    entry = next((entry for entry in data.entries if entry.method == data.recommended), None)
    if data.folds:
        assert entry is not None
        learned = ""  # runs of earlier versions do not say it
        if entry.learned_from is not None:
            learned = f", {wording.learned_in_words(entry.learned_from, entry.chosen_on, 'text')}"
        return (
            f"{of}{learned}. It knows {labels}. The scores are of {data.folds}-fold "
            f"cross-validation: each of the {scored:,} texts was predicted by a model that had not "
            "seen it."
        )
    rows, known = data.rows.get("train", 0), None if entry is None else entry.learned_from
    if wording.refitted_in_words(known, data.rows):
        rows = known or 0
    return f"{of}: fitted on {rows:,} texts with {labels}, and scored on {scored:,} held-out texts."


def _of_test_rows(data: ReportData, trusted: Predictions | None) -> dict[str, str]:
    """Return how often test rows were used, and why intervals on them may be too narrow."""
    if data.folds:
        few = uncertain_intervals(trusted, folds=True) if trusted else ""
        return {"opened": without_test_set(data.folds), "uncertain": few}
    found = data.diagnoses
    return {
        "opened": accesses_sentence(found.openings, found.use, _best_score(data)),
        "uncertain": uncertain_intervals(trusted) if trusted else "",
    }


def _of_first_repeat(data: ReportData) -> str:
    """Return that a section shows one repeat of cross-validation; "" of a run with test rows."""
    if not data.folds:
        return ""
    repeats = len(data.repeats[data.best].repeats) if data.best in data.repeats else 0
    of = f"the first of {counted(repeats, 'repeat')}" if repeats else "the first repeat"
    return f"Shown are the predictions of {of}; the leaderboard has the mean of all."


def _best_score(data: ReportData) -> Score | None:
    [best] = (entry for entry in data.entries if entry.method == data.best)
    return best.metrics["test"].get(data.metric)


def _test_score(data: ReportData) -> str:
    score = _best_score(data)
    return "an unknown score" if score is None else _with_interval(score)


def _with_interval(score: Score, written: str = ".3f") -> str:
    return f"{score.value:{written}} {wording.ends(score, written) or '(no interval)'}"
