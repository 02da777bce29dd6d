"""What `monitor` found: as lines, as a page, and as gauges of Prometheus."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.terminal import one_line
from finetext.core.types import Score
from finetext.core.wording import counted, ends, listed, number, p_value, short
from finetext.diagnosis.monitoring import Monitoring
from finetext.diagnosis.watched_rows import WITHOUT_LABELS
from finetext.evaluation.drift import ASSUMPTION, FEWEST, SHIFTED, STABLE, DriftTest
from finetext.evaluation.sequential import NEEDED, WorseTest
from finetext.report.plots import INK, SERIES, label_rows, svg
from finetext.report.rendering import (
    Cell,
    Table,
    render_page,
    score,
    table_lines,
    wrapped,
    write_page,
)

GAUGES: Final = ".prom"
"""The suffix of the files that the textfile collector of the node exporter reads."""
_LABELS: Final = 20
_LABELS_ON_SCREEN: Final = 8
_LONGEST: Final = 24
_COLUMNS: Final = 5
_TOPMOST: Final = 1e6
_POWERS: Final = {-2: "0.01", 0: "1", 2: "100", 4: "10,000", 6: "a million"}
"""What the evidence axis names; the usual notation of powers is markup."""


def headline(found: Monitoring) -> str:
    """Return the verdict in one sentence."""
    data = one_line(found.data)
    worse = f"; {one_line(found.model)} has become worse" if found.is_worse else ""
    if not found.tests:
        start = f"{data}: too few rows to tell whether anything drifted"
    elif found.drifted:
        what = _joined(found.drifted)
        start = f"{data}: drift of {what} is shown"
    else:
        start = f"{data}: no drift is shown"
    return start + worse


def _joined(names: tuple[str, ...]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def compared(found: Monitoring) -> str:
    """Return what was compared with what."""
    said = f"{counted(found.tested, 'new row')} against {one_line(found.reference)}"
    said += f" of {one_line(found.model)}"
    if found.tested < found.rows:
        said += f"; of {found.rows:,} rows some are drawn, and one of each text or group is tested"
    if found.copies:
        said += f"; {counted(found.copies, 'copy').replace('copys', 'copies')} of other new texts"
    if found.blank:
        said += f"; {counted(found.blank, 'row')} without a text, which count as one"
    return said


def drift_table(found: Monitoring) -> Table:
    """Return the tests as a table."""
    rows = [
        (
            Cell(test.what),
            _statistic(test),
            Cell(
                p_value(test.corrected), "shown" if test.is_shown else "not shown", test.corrected
            ),
        )
        for test in found.tests
    ]
    caption = "Tests of no drift; p-values of permutations, corrected for their number (Holm)."
    return Table(caption, ("drift of", "how far", "p"), rows)


def _statistic(test: DriftTest) -> Cell:
    names = {"texts": "ROC AUC", "labels": "stability index", "confidence": "distance"}
    name = names[test.what]
    if test.what == "labels":
        size = "small" if test.statistic < STABLE else "medium"
        name += f", {size if test.statistic < SHIFTED else 'large'}"
    return Cell(f"{test.statistic:.3f}", name, test.statistic)


def label_shares(found: Monitoring, most: int = _LABELS) -> Table:
    """Return the predicted labels whose shares changed most as a table."""
    rows = [
        (Cell(short(of.name, _LONGEST)), score(of.before, ".1%"), score(of.now, ".1%"))
        for of in found.labels[:most]
    ]
    caption = "Shares of predicted labels, the largest change first, with 95% intervals."
    return Table(caption, ("predicted label", "reference rows", "new rows"), rows)


def labels_sentence(found: Monitoring) -> str:
    """Return which labels are taken for true ones, and how to name others."""
    if found.labeled:
        columns = listed([repr(short(name)) for name in found.label_columns], _COLUMNS)
        which = "column" if len(found.label_columns) == 1 else "columns"
        others = "--label names others, --set data.labelled=false none"
        rows = f"{found.labeled:,} of {counted(found.rows, 'row')}"
        return f"True labels: those of the {which} {columns}, in {rows}; {others}."
    why = f", since {one_line(found.no_labels)}" if found.no_labels else ""
    how = "" if found.no_labels == WITHOUT_LABELS else "; name their column with --label"
    return f"True labels: none{why}{how}."


def accuracy_sentences(found: Monitoring) -> list[str]:
    """Return what is known of the accuracy, with and without labels."""
    what = "all labels of a row right" if found.multilabel else "accuracy"
    said = []
    if (of := found.estimated) is not None:
        said.append(f"Estimated without labels: {what} {_with_ends(of)}, {ASSUMPTION}.")
        if "texts" in found.drifted:
            said.append(
                "The texts drifted, so that may not hold, and the true accuracy is often lower: "
                "label some of the most foreign texts, and run monitor or evaluate on them."
            )
    if (test := found.worse) is not None:
        said.append(worse_sentence(test, what))
        if found.estimated is not None and test.accuracy.high < found.estimated.low:
            said.append("So the accuracy estimated without labels does not hold here.")
    elif found.labeled:
        said.append(
            f"The {counted(found.labeled, 'label')} cannot be compared: that takes "
            f"{FEWEST} reference rows and a new row that get a label."
        )
    return said


def worse_sentence(test: WorseTest, what: str = "accuracy") -> str:
    """Return what the sequential test says."""
    before = f"{what} {_with_ends(test.accuracy)} on {counted(test.accuracy.n, 'labeled row')}"
    before += f", {_with_ends(test.before)} on reference rows"
    limit = f"{test.limit:.3f}, the lower end of that"
    if test.tolerance:
        limit += f" less a tolerance of {test.tolerance:g}"
    if test.worse_at is not None:
        return f"Worse: {before}. After {test.worse_at:,} rows it is shown to be below {limit}."
    return (
        f"Not shown to be worse: {before}. The evidence that it is below {limit}, is "
        f"{_evidence(test.evidence)}, and {NEEDED:.0f} is needed; look again as often as you like."
    )


def _evidence(value: float) -> str:
    return f"{value:.3g}" if value < _TOPMOST else "above a million"


def _with_ends(of: Score) -> str:
    return f"{number(of.value)} {ends(of)}".rstrip()


def advice(found: Monitoring) -> str:
    """Return what to make of a verdict of no drift, or of too few rows; "" of drift."""
    if found.drifted:
        return ""
    if not found.tests:
        rows = f"{counted(found.tested, 'different new row')} and {one_line(found.reference)}"
        return f"There are {rows}; it takes {FEWEST} of either kind to test anything."
    return "No drift shown is no proof of none: few rows show only large changes."


def left_out(found: Monitoring) -> str:
    """Return what is not told of cross-validated reference rows; "" of others."""
    if not found.cross_validated:
        return ""
    return (
        "The reference rows are cross-validated: their labels and confidence are those of models "
        "of fewer rows, so drift of labels and of confidence is not tested, and no accuracy is "
        "estimated without labels. Labeled rows that the model has not learned from, with "
        "--reference DATA, give all of it."
    )


def monitoring_lines(found: Monitoring) -> list[str]:
    """Return everything in lines of at most 80 characters, where names are short."""
    lines = [*wrapped(headline(found)), *wrapped(compared(found)), *wrapped(labels_sentence(found))]
    if found.tests:
        lines += ["", *table_lines(drift_table(found))]
    for said in filter(None, (advice(found), left_out(found))):
        lines += ["", *wrapped(said)]
    if found.labels:
        lines += ["", *table_lines(label_shares(found, _LABELS_ON_SCREEN))]
        if (more := len(found.labels) - _LABELS_ON_SCREEN) > 0:
            lines.append(f"and {counted(more, 'label')} that changed less (--page, --json)")
    if found.words:
        words = [f"{one_line(of.word)} ({of.before:.1%} to {of.now:.1%})" for of in found.words]
        lines += ["", *wrapped(f"More frequent words: {', '.join(words)}")]
    if found.foreign:
        lines += ["", "Most foreign texts:"]
        for text in found.foreign[:5]:
            lines += wrapped(f"{one_line(text.id)}: {one_line(text.text)}", "  ", 2)
    for sentence in accuracy_sentences(found):
        lines += ["", *wrapped(sentence)]
    return lines


def write_monitoring_page(found: Monitoring, path: Path) -> Path:
    """Write the page, and return its path; see `write_page`."""
    context = {
        "found": found,
        "headline": headline(found),
        "compared": compared(found),
        "true_labels": labels_sentence(found),
        "advice": advice(found),
        "left_out": left_out(found),
        "drift": drift_table(found),
        "labels": label_shares(found),
        "labels_plot": _labels_plot(found) if found.labels else "",
        "confidence_plot": _confidence_plot(found) if found.confidence else "",
        "accuracy": accuracy_sentences(found),
        "evidence_plot": _evidence_plot(found.worse) if found.worse else "",
        "needed": NEEDED,
    }
    return write_page(path, render_page("monitoring_page.html.j2", context))


def _labels_plot(found: Monitoring) -> str:
    """A dot for the share of reference rows, one for that of new rows, with their intervals."""
    shown = found.labels[:_LABELS]

    def draw(figure: Any) -> None:
        axes, kinds = figure.subplots(), (("reference rows", "before"), ("new rows", "now"))
        for place, (title, name) in enumerate(kinds):
            rows = np.arange(len(shown)) + 0.24 * place - 0.12
            shares = [getattr(of, name) for of in shown]
            for row, of in zip(rows, shares, strict=True):
                axes.plot([100 * of.low, 100 * of.high], [row, row], color=SERIES[place])
            values = [100 * of.value for of in shares]
            dots = {"color": SERIES[place], "label": title, "markersize": 5, "clip_on": False}
            axes.plot(values, rows, "o", **dots)  # those at 0 and 100 whole, too
        label_rows(axes, [of.name for of in shown])
        axes.set_xlim(left=0)
        axes.set_xlabel("% of rows predicted so")
        figure.legend(loc="outside upper left", ncols=2)

    return svg("shares", (5.4, 1.1 + 0.27 * len(shown)), draw)


def _confidence_plot(found: Monitoring) -> str:
    """Bars of the shares of rows by confidence, reference rows beside new rows."""
    of = found.confidence
    assert of is not None

    def draw(figure: Any) -> None:
        axes, width = figure.subplots(), 1 / len(of.bins_now)
        starts = np.arange(len(of.bins_now)) * width
        kinds = (("reference rows", of.bins_before), ("new rows", of.bins_now))
        for place, (label, shares) in enumerate(kinds):
            heights = 100 * np.array(shares)
            left = starts + (0.08 + 0.42 * place) * width
            color = SERIES[place]
            axes.bar(left, heights, 0.42 * width, align="edge", color=color, label=label)
        axes.set(xlim=(0, 1), xlabel="confidence", ylabel="% of rows")
        axes.grid(axis="y")
        figure.legend(loc="outside upper left", ncols=2)

    return svg("confidence", (5.4, 2.8), draw)


def _evidence_plot(test: WorseTest) -> str:
    """The e-value over the labeled rows, with the line from which the model is worse."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        rows, values = zip(*test.path, strict=True)
        held = np.clip(values, 10.0 ** min(_POWERS), _TOPMOST)
        axes.plot(rows, held, color=SERIES[0], linewidth=1.8)
        axes.axhline(NEEDED, color=SERIES[3], linewidth=1.5, linestyle="--")
        axes.set_yscale("log")
        axes.set_yticks([10.0**power for power in _POWERS], _POWERS.values(), minor=False)
        axes.minorticks_off()
        if test.worse_at is not None:
            axes.axvline(test.worse_at, color=INK, linewidth=0.8, linestyle=":")
        axes.set(xlabel="labeled rows", ylabel="evidence (e-value)", xlim=(1, max(2, rows[-1])))
        axes.grid(axis="both")

    return svg("evidence", (5.4, 2.8), draw)


def gauges(found: Monitoring, at: float | None = None) -> str:
    """Return everything that is a number in the text format of Prometheus.

    `at` is the time of the run in seconds since 1970, now by default.
    """
    model = {"model": found.model}
    lines = list[str]()
    for name, (about, values) in _gauges(found, time.time() if at is None else at).items():
        known = [(labels, value) for labels, value in values if math.isfinite(value)]
        if not known:
            continue
        metric = f"finetext_monitor_{name}"
        lines += [f"# HELP {metric} {about}", f"# TYPE {metric} gauge"]
        for labels, value in known:
            said = ",".join(f'{key}="{_quoted(of)}"' for key, of in (model | labels).items())
            lines.append(f"{metric}{{{said}}} {value!r}")
    return "\n".join(lines) + "\n"


_Values = list[tuple[dict[str, str], float]]


def _gauges(found: Monitoring, at: float) -> dict[str, tuple[str, _Values]]:
    """Return name to help and values, each with its labels."""
    tests = [({"of": test.what}, test) for test in found.tests]
    one: dict[str, str] = {}
    worse = [(one, test) for test in (found.worse,) if test is not None]
    right = None if found.worse is None else found.worse.accuracy
    sure = [(one, of) for of in (found.confidence,) if of is not None]
    return {
        "rows": ("New rows.", [(one, float(found.rows))]),
        "tested_rows": ("New rows that the tests compare.", [(one, float(found.tested))]),
        "blank_rows": ("New rows without a text, of at most 10,000.", [(one, float(found.blank))]),
        "labeled_rows": ("New rows with a label.", [(one, float(found.labeled))]),
        "drift": (
            "Whether drift is shown at 5% over all tests, 0 or 1; absent with too few rows.",
            [(labels, float(test.is_shown)) for labels, test in tests],
        ),
        "drift_p_value": (
            "P-value of no drift, corrected for the number of tests.",
            [(labels, test.corrected) for labels, test in tests],
        ),
        "drift_statistic": (
            "ROC AUC of texts, population stability index of labels, distance of confidence.",
            [(labels, test.statistic) for labels, test in tests],
        ),
        "predicted_label_share": (
            "Share of the new rows that are predicted to have a label.",
            [({"label": of.label}, of.now.value) for of in found.labels if of.label is not None],
        ),
        "no_label_share": (
            "Share of the new rows that get no label; absent if none do, now and before.",
            [(one, of.now.value) for of in found.labels if of.label is None],
        ),
        "confidence_mean": (
            "Mean confidence of new rows.",
            [(of, it.now.value) for of, it in sure],
        ),
        **_scores("estimated_accuracy", "Accuracy estimated without labels", found.estimated),
        **_scores("accuracy", "Accuracy on rows with labels", right),
        "evidence": (
            "Largest e-value against an accuracy as before.",
            [(labels, test.evidence) for labels, test in worse],
        ),
        "worse": (
            "Whether the model is shown to be worse, 0 or 1.",
            [(labels, float(test.is_shown)) for labels, test in worse],
        ),
        "last_run_timestamp_seconds": ("When monitor ran.", [(one, at)]),
    }


def _scores(name: str, about: str, of: Score | None) -> dict[str, tuple[str, _Values]]:
    if of is None:
        return {}
    return {
        name: (f"{about}.", [({}, of.value)]),
        f"{name}_lower": (f"{about}: lower end of the 95% interval.", [({}, of.low)]),
        f"{name}_upper": (f"{about}: upper end of the 95% interval.", [({}, of.high)]),
    }


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
