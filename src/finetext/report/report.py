"""The report of a run: one HTML file that needs nothing beside it, not even a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from finetext.core import wording
from finetext.core.registry import load, names
from finetext.core.types import Score
from finetext.core.wording import counted
from finetext.diagnosis.data_checks import MOST_ROWS_NAMED
from finetext.diagnosis.label_errors import Suspects
from finetext.report import plots
from finetext.report.curves import (
    curve_headline,
    curves_of,
    learning_curve_plot,
    sentences,
)
from finetext.report.data import Diagnoses, ReportData
from finetext.report.errors import label_view, language_note, slice_name, slices_sentence
from finetext.report.explanations import words_headline, words_shown
from finetext.report.exploration import class_table, findings_headline, headline, lengths_shown
from finetext.report.leaderboard import gain_headline, gain_sentence, seed_lines
from finetext.report.probabilities import trust
from finetext.report.rendering import render_page
from finetext.report.text_map import MOST_DOTS, map_view
from finetext.storage.files import write_text

MOST_SUSPECTS: Final = 300
_TOO_FAR_OFF: Final = 0.05
_SEVERITIES: Final = ("error", "warning", "note")
_TOPICS: Final = {
    "findings": "Data checks",
    "leaderboard": "Leaderboard",
    "paid": "Encoder gain",
    "failing": "Errors",
    "suspects": "Label errors",
    "trust": "Calibration",
    "words": "Words",
    "map": "Map",
    "curve": "More labels",
    "data": "Data",
    "training": "Training",
    "settings": "Settings",
}


def write_report(data: ReportData, path: str | Path) -> Path:
    """Write the report completely or not at all, and return its path."""
    write_text(Path(path), render(data))
    return Path(path)


def render(data: ReportData) -> str:
    """Return the report as HTML."""
    return render_page("page.html.j2", context_of(data))


def context_of(data: ReportData) -> dict[str, Any]:
    """Return all that `page.html.j2` names."""
    found, predictions = data.diagnoses, data.predictions
    multilabel = any(p.scheme.multilabel for p in predictions.values())
    labels = list(next(iter(data.class_counts.values())))
    metrics = [n for n in names("metrics") if any(n in e.metrics["test"] for e in data.entries)]
    if not multilabel and data.metric != "micro_f1":
        metrics = [name for name in metrics if name != "micro_f1"]
    views = [label_view(m, p, key, data.seed) for key, (m, p) in enumerate(predictions.items())]
    views.sort(key=lambda view: view["method"] != data.best)
    trusted = predictions.get(data.best)
    curves = [curves_of(name, lines, key) for key, (name, lines) in enumerate(data.logs.items())]
    shares = {
        split: {label: n / max(1, data.rows[split]) for label, n in counts.items()}
        for split, counts in data.class_counts.items()
    }
    by_label = {
        name: {part: of.get(name, 0) for part, of in data.class_counts.items()} for name in labels
    }
    by_method = {entry.method: entry for entry in data.entries}
    context: dict[str, Any] = {
        "data": data,
        "labels": labels,
        "multilabel": multilabel,
        "views": views,
        "many_labels": len(labels) > plots.MOST_CELLS_WITH_NUMBERS,
        "most_bars": plots.MOST_BARS,
        "most_rows": MOST_ROWS_NAMED,
        "findings": sorted(data.findings, key=lambda of: _SEVERITIES.index(of.severity)),
        "metrics": [load("metrics", name) for name in metrics],
        "main_metric": load("metrics", data.metric),
        "board_plot": plots.leaderboard(data.entries, metrics),
        "seeds": seed_lines(data.entries, data.metric),
        "opened": opened_sentence(found.openings),
        "paid": [
            (of, by_method[of.method], by_method[of.beside], gain_sentence(of)) for of in data.paid
        ],
        "trust": trust(data.best, trusted) if trusted is not None and len(trusted) else None,
        "training": [curve for curve in curves if curve is not None],
        "by_label": by_label,
        "class_plot": plots.class_bars(shares),
        "class_table": class_table(by_label, {part: data.rows[part] for part in shares}),
        "lengths": lengths_shown(data.lengths),
        **diagnosed(found),
    }
    context["summary"] = summarize(data, context["trust"])
    headlines = _headlines(data, context)
    context["contents"] = [
        (key, topic, headlines[key]) for key, topic in _TOPICS.items() if key in headlines
    ]
    return context


def diagnosed(found: Diagnoses) -> dict[str, Any]:
    """Return what the diagnoses show; nothing for those that were not made."""
    slices, curve, suspects = found.slices, found.curve, found.suspects
    return {
        "errors": found.errors,
        "slices": slices,
        "slices_metric": load("metrics", slices.metric).title if slices else "",
        "slices_sentence": slices_sentence(slices) if slices else "",
        "language_note": language_note(slices) if slices else "",
        "slices_plot": plots.slice_differences(slices.slices) if slices else "",
        "most_slices": plots.MOST_SLICES,
        "suspects": suspects,
        "suspects_shown": suspects.suspects[:MOST_SUSPECTS] if suspects else (),
        "words": found.words,
        "words_shown": words_shown(found.words) if found.words else {},
        "map": map_view(found.map, MOST_DOTS) if found.map and found.map.ids else None,
        "curve": curve,
        "curve_sentences": sentences(curve) if curve else [],
        "curve_metric": load("metrics", curve.metric).title if curve else "",
        "curve_plot": learning_curve_plot(curve) if curve else "",
    }


def _headlines(data: ReportData, context: Mapping[str, Any]) -> dict[str, str]:
    """The finding of each section that the report has."""
    found, title = data.diagnoses, load("metrics", data.metric).title
    best = next(entry for entry in data.entries if entry.method == data.best)
    score = _with_interval(best.metrics["test"].get(data.metric))
    said = {
        "findings": findings_headline(data.findings),
        "leaderboard": f"{data.best} is best on validation and reaches {title} {score} on test",
        "paid": gain_headline(data.paid) if data.paid else "",
        "failing": context["views"][0]["headline"] if context["views"] else "Errors",
        "suspects": _suspected(found.suspects) if found.suspects else "",
        "trust": context["trust"]["headline"] if context["trust"] else "",
        "words": words_headline(found.words) if found.words else "",
        "map": context["map"].headline if context["map"] else "",
        "curve": curve_headline(found.curve) if found.curve else "",
        "data": headline(data.rows, context["by_label"], context["multilabel"]),
        "training": "; ".join(curves.headline for curves in context["training"]),
        "settings": "The recipe and environment that repeat this run",
    }
    return {key: words for key, words in said.items() if words}


def summarize(data: ReportData, trusted: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """Return the first paragraphs as sentences: result, failing, data and advice."""
    return {
        "result": _result(data),
        "failing": _failing(data, trusted),
        "data": _data(data),
        "advice": _advice(data, trusted) or [f"Use {data.best}."],
    }


def _result(data: ReportData) -> list[str]:
    by_method = {entry.method: entry for entry in data.entries}
    best, cheapest = by_method[data.best], by_method[data.cheapest]
    title, labels = load("metrics", data.metric).title, next(iter(data.class_counts.values()))
    lines = [
        f"This run fitted {counted(len(by_method), 'method')} on {data.rows.get('train', 0):,} "
        f"texts with {counted(len(labels), 'label')}, and evaluated on "
        f"{data.rows.get('test', 0):,} held-out texts.",
        f"{data.best} is best by {title} on validation; on test it reaches "
        f"{_with_interval(best.metrics['test'].get(data.metric))}.",
    ]
    if data.cheapest == data.best:
        worse = "Every method that is cheaper to train is significantly worse."
        return [*lines, worse] if len(by_method) > 1 else lines
    against = data.comparisons[data.cheapest]
    return [
        *lines,
        f"The cheapest method that is not significantly worse is {data.cheapest}: it trains in "
        f"{wording.duration(cheapest.seconds_to_train)} instead of "
        f"{wording.duration(best.seconds_to_train)}, and differs from {data.best} by "
        f"{_with_interval(against.difference, '+.3f')}, p = {wording.p_value(against.p_value)}.",
    ]


def _failing(data: ReportData, trusted: Mapping[str, Any] | None) -> list[str]:
    errors, slices, lines = data.diagnoses.errors, data.diagnoses.slices, []
    if errors is not None:
        wrong = f"{errors.wrong:,} of {errors.rows:,} {errors.part} texts"
        often = ""
        if errors.confusions:
            worst = errors.confusions[0]
            times = counted(worst.rows, "time")
            often = f", most often predicting {worst.prediction} for {worst.truth} ({times})"
        lines.append(f"{errors.method} is wrong on {wrong}{often}.")
    worse = [each for each in slices.slices if each.worse] if slices else []
    if slices and worse:
        first, title = worse[0], load("metrics", slices.metric).title
        score = f"{title} {first.score.value:.3f} on {counted(first.rows, 'text')}"
        lines.append(
            f"It is significantly worse on {counted(len(worse), 'slice')}, most clearly on "
            f"{slice_name(first)}: {score}."
        )
    if trusted is not None:
        lines.append(f"{trusted['headline']}.")
    return lines


def _data(data: ReportData) -> list[str]:
    suspects = data.diagnoses.suspects
    serious = [finding for finding in data.findings if finding.severity != "note"]
    lines = [f"{findings_headline(serious)}."] if serious or suspects is None else []
    if suspects is not None:
        lines.append(f"{_suspected(suspects)}.")
        if suspects.too_many:
            lines.append(f"That is more than {suspects.method} can tell: most are hard texts.")
    return lines


def _suspected(suspects: Suspects) -> str:
    """How many labels look wrong."""
    wrong = len(suspects.suspects)
    if not wrong:
        return f"None of {suspects.rows:,} labels looks wrong"
    looks = "looks" if wrong == 1 else "look"
    return f"{wrong:,} of {suspects.rows:,} labels ({wrong / suspects.rows:.1%}) {looks} wrong"


def _advice(data: ReportData, trusted: Mapping[str, Any] | None) -> list[str]:
    found, advice = data.diagnoses, []
    if any(finding.severity == "error" for finding in data.findings):
        advice.append("Fix the errors in the data first.")
    if found.suspects is not None and found.suspects.too_many:
        advice.append(
            "Read the first of the labels that look wrong; a better method finds those that are: "
            "finetext labels --method finetune."
        )
    elif found.suspects is not None and found.suspects.suspects:
        advice.append(
            "Read the labels that look wrong and correct those that are: better labels help every "
            "method, and make the scores valid."
        )
    if found.errors is not None and found.errors.confusions:
        worst = found.errors.confusions[0]
        advice.append(
            f"Read the texts where {worst.prediction} is predicted for {worst.truth}; if people "
            "would disagree on them, define the two labels more clearly."
        )
    if found.curve is not None and found.curve.best.outlook != "too few":
        advice.append(f"{curve_headline(found.curve)}.")
    if trusted is not None and trusted["error"] > _TOO_FAR_OFF:
        advice.append("Do not rely on single probabilities.")
    if data.cheapest != data.best:
        advice.append(f"Where time or memory is limited, use {data.cheapest}.")
    return advice


def opened_sentence(openings: Sequence[Mapping[str, Any]]) -> str:
    """Return how often the test set was accessed, and by what."""
    end = "Whatever is chosen after that is no longer tested by these rows."
    if not openings:
        return f"The test set was accessed once, for this leaderboard. {end}"
    by = sorted({str(each.get("by", "an unknown command")) for each in openings})
    return (
        f"The test set was accessed {len(openings) + 1} times: for this leaderboard, then by "
        f"{', '.join(by)}. {end}"
    )


def _with_interval(score: Score | None, written: str = ".3f") -> str:
    if score is None:
        return "an unknown score"
    if math.isnan(score.low):
        return f"{score.value:{written}} (no interval)"
    return f"{score.value:{written}} {wording.ends(score, written)}"
