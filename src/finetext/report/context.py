"""What the templates of the report are given: plain data, made into what the page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from finetext.core.registry import load, names
from finetext.core.wording import counted
from finetext.diagnosis.data_checks import MOST_ROWS_NAMED
from finetext.report import plots
from finetext.report import plots as diagnosis_plots
from finetext.report.comparisons import paid_sentence
from finetext.report.data import Diagnoses
from finetext.report.leaderboard import seed_lines
from finetext.report.learning_curve import sentences
from finetext.report.scores import LabelView
from finetext.report.slices import languages_told
from finetext.report.summary import slice_name, summarise
from finetext.report.text_map import HEIGHT, WIDTH, map_view
from finetext.report.training_curves import Curves, curves_of
from finetext.report.trust import TrustView

if TYPE_CHECKING:
    from finetext.diagnosis.explain import ClassWords
    from finetext.diagnosis.slices import Slices
    from finetext.report.data import ReportData


MOST_SUSPECTS: Final = 300
MOST_WORDS: Final = 10
_SEVERITIES: Final = ("error", "warning", "note")
_SECTIONS: Final = (
    ("findings", "What to know"),
    ("leaderboard", "Leaderboard"),
    ("paid", "Did it pay?"),
    ("failing", "Where it fails"),
    ("suspects", "Labels that look wrong"),
    ("trust", "Can the probabilities be trusted?"),
    ("words", "Words that matter"),
    ("map", "Map of the texts"),
    ("curve", "Would more labels help?"),
    ("data", "The data"),
    ("training", "How training went"),
    ("settings", "Settings"),
)


def context_of(data: ReportData) -> dict[str, Any]:
    """All that `page.html.j2` names."""
    multilabel = any(p.scheme.multilabel for p in data.predictions.values())
    labels = list(next(iter(data.class_counts.values())))
    by_method = {entry.method: entry for entry in data.entries}
    trust = _trust(data)
    views = [LabelView(m, p, key, data.seed) for key, (m, p) in enumerate(data.predictions.items())]
    sections = {
        "findings": sorted(data.findings, key=lambda finding: _SEVERITIES.index(finding.severity)),
        "paid": [
            (pair, by_method[pair.method], by_method[pair.beside], paid_sentence(pair))
            for pair in data.paid
        ],
        "trust": trust,
        "training": _trainings(data),
        **diagnosed(data.diagnoses),
    }
    left_out = {key for key, of in sections.items() if not of} - {"findings"}
    return {
        "data": data,
        "summary": summarise(data, len(labels), trust),
        "contents": [(key, title) for key, title in _SECTIONS if key not in left_out],
        "labels": labels,
        "multilabel": multilabel,
        "views": sorted(views, key=lambda view: view.method != data.best),
        "many_labels": len(labels) > plots.MOST_CELLS_WITH_NUMBERS,
        "most_bars": plots.MOST_BARS,
        "most_rows": MOST_ROWS_NAMED,
        "opened": opened_sentence(data.diagnoses.openings),
        **_scores(data, multilabel),
        **_material(data),
        **sections,
    }


def _scores(data: ReportData, multilabel: bool) -> dict[str, Any]:
    """What the leaderboard is made of."""
    shown = [n for n in names("metrics") if any(n in e.metrics["test"] for e in data.entries)]
    metrics = [n for n in shown if multilabel or n != "micro_f1" or n == data.metric]
    return {
        "metrics": [load("metrics", name) for name in metrics],
        "main_metric": load("metrics", data.metric),
        "board_plot": plots.leaderboard(data.entries, metrics),
        "seeds": seed_lines(data.entries, data.metric),
    }


def _material(data: ReportData) -> dict[str, Any]:
    """What the section on the data is made of."""
    shares = {
        split: {label: n / max(1, data.rows[split]) for label, n in counts.items()}
        for split, counts in data.class_counts.items()
    }
    return {
        "shares": shares,
        "class_plot": plots.class_bars(shares),
        "lengths": [(each, plots.length_boxes(each, key)) for key, each in enumerate(data.lengths)],
    }


def _trainings(data: ReportData) -> list[Curves]:
    logs = enumerate(data.logs.items())
    found = [curves_of(method, lines, key) for key, (method, lines) in logs]
    return [curves for curves in found if curves is not None]


def _trust(data: ReportData) -> TrustView | None:
    predictions = data.predictions.get(data.best)
    return (
        TrustView(data.best, predictions) if predictions is not None and len(predictions) else None
    )


def diagnosed(found: Diagnoses) -> dict[str, Any]:
    """What was found out after training; what was not looked at is None."""
    suspects, slices = found.suspects, found.slices
    return {
        "errors": found.errors,
        "slices": slices,
        "slices_metric": load("metrics", slices.metric).title if slices else "",
        "slices_sentence": slices_sentence(slices) if slices else "",
        "languages_told": languages_told(slices) if slices else "",
        "slices_plot": diagnosis_plots.slice_differences(slices.slices) if slices else "",
        "most_slices": diagnosis_plots.MOST_SLICES,
        "suspects": suspects,
        "suspects_shown": suspects.suspects[:MOST_SUSPECTS] if suspects else (),
        "words": found.words,
        "words_shown": shown_words(found.words) if found.words else {},
        "map": map_view(found.map) if found.map and found.map.ids else None,
        "map_size": (WIDTH, HEIGHT),
        "curve": found.curve,
        "curve_sentences": sentences(found.curve) if found.curve else [],
        "curve_metric": load("metrics", found.curve.metric).title if found.curve else "",
        "curve_plot": diagnosis_plots.learning_curve(found.curve) if found.curve else "",
    }


def slices_sentence(slices: Slices) -> str:
    """Which kinds of text are significantly worse."""
    worse = [each for each in slices.slices if each.worse]
    looked = counted(slices.looked_at, "kind")
    if not worse:
        return (
            f"{looked} of text were looked at; on none is {slices.method} significantly worse than "
            "on the other rows."
        )
    named = list(map(slice_name, worse))
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return (
        f"{looked} of text were looked at; {slices.method} is significantly worse on "
        f"{', '.join(named[:5])}{more}."
    )


def shown_words(words: ClassWords) -> Mapping[str, Sequence[tuple[str, float, int, int]]]:
    """Label to word, attribution, texts and length of the bar in % of that label's longest."""
    shown = {}
    for label, of_label in words.words.items():
        top = of_label[:MOST_WORDS]
        longest = max((abs(attribution) for _, attribution, _ in top), default=0.0) or 1.0
        shown[label] = [(w, a, n, round(100 * abs(a) / longest)) for w, a, n in top]
    return shown


def opened_sentence(openings: Sequence[Mapping[str, Any]]) -> str:
    """How often the test rows have been opened, and by what."""
    if not openings:
        return (
            "The test rows have been opened once, for this leaderboard. What is chosen after a "
            "look at them is no longer tested by them."
        )
    by = sorted({str(each.get("by", "an unknown command")) for each in openings})
    return (
        f"The test rows have been opened {len(openings) + 1} times: for this leaderboard, "
        f"then by {', '.join(by)}. What is chosen after a look at them is no longer tested by them."
    )
