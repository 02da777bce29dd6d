"""Where a model fails: scores of each label, confusions, losses and slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from finetext.core.types import Predicted, Predictions, Score
from finetext.core.wording import (
    counted,
    ends,
    first_repeat,
    number,
    p_value,
    row_of,
    rows_of,
    short,
)
from finetext.data.predictions import PREFIX
from finetext.diagnosis.languages import NOT_SURE
from finetext.diagnosis.losses import Errors, RowLoss, probability_of
from finetext.diagnosis.slices import Slice, Slices
from finetext.diagnosis.slicing import FEWEST_ROWS
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import LabelScores, per_class
from finetext.report import plots
from finetext.report.confusion import ConfusionMatrix, confusion_matrix, heatmap
from finetext.report.rendering import (
    Cell,
    Table,
    aligned,
    count,
    metric_title,
    render_page,
    score,
    table_lines,
    wrapped,
    write_page,
)

_LONGEST_LABEL: Final = 50
_HANG: Final = " " * 8
_OF_LABELS: Final = ("precision", "recall", "f1")
_ENDS: Final = ("low", "high")


def label_table(
    classes: Sequence[LabelScores], caption: str = "", positive: str | None = None
) -> Table:
    """Return precision, recall and F1 of each label as a table, with a mark on the positive one."""
    marks = {positive: "(positive)"}
    rows = [
        (
            Cell(each.name, marks.get(each.name, "")),
            *map(score, (each.precision, each.recall, each.f1)),
            count(each.support),
        )
        for each in classes
    ]
    return Table(caption, ("label", "precision", "recall", "F1", "rows"), rows)


def show_scores(
    scores: Mapping[str, Score],
    classes: Sequence[LabelScores],
    console: Console,
    positive: str | None = None,
) -> None:
    """Print metrics, then precision, recall and F1 of each label, with 95% intervals."""
    metrics = [(Cell(metric_title(name, positive)), score(of)) for name, of in scores.items()]
    of_all = Table("", ("metric", "value and 95% interval"), metrics)
    rows = f"{next(iter(scores.values())).n:,} rows"
    of_labels = table_lines(label_table(classes, positive=positive))
    for line in (rows, "", *table_lines(of_all), "", *of_labels):
        console.print(line, markup=False, soft_wrap=True)


def scores_json(scores: Mapping[str, Score], classes: Sequence[LabelScores]) -> dict[str, Any]:
    """Return the same as JSON values."""
    metrics = {name: asdict(score) for name, score in scores.items()}
    return {"metrics": metrics, "labels": [asdict(each) for each in classes]}


def scores_table(
    scores: Mapping[str, Score], classes: Sequence[LabelScores]
) -> dict[str, list[Any]]:
    """Return each score as a row: metrics, of which the label is empty, then those of labels."""
    every: list[tuple[str | None, str, Score, int]] = [
        (None, metric, of, of.n) for metric, of in scores.items()
    ]
    every += [
        (each.name, metric, getattr(each, metric), each.support)
        for each in classes
        for metric in _OF_LABELS
    ]
    names = ("metric", "value", "low", "high", "rows")
    rows = [(metric, *map(_number, (of.value, of.low, of.high)), n) for _, metric, of, n in every]
    table = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return ({"label": [label for label, *_ in every]} if classes else {}) | table


def evaluation_sheets(
    scores: Mapping[str, Score],
    classes: Sequence[LabelScores],
    predictions: Predictions,
    texts: Sequence[str],
) -> dict[str, dict[str, list[Any]]]:
    """Return tables by name: the scores, those of each label, and each row with its prediction."""
    labels: dict[str, list[Any]] = {"label": [each.name for each in classes]}
    for metric in _OF_LABELS:
        found = [getattr(each, metric) for each in classes]
        labels[metric] = [_number(of.value) for of in found]
        labels |= {f"{metric}_{end}": [_number(getattr(of, end)) for of in found] for end in _ENDS}
    labels["rows"] = [each.support for each in classes]
    rows = _judged_rows(predictions, texts)
    return {"scores": scores_table(scores, ()), "labels": labels, "predictions": rows}


def _judged_rows(predictions: Predictions, texts: Sequence[str]) -> dict[str, list[Any]]:
    scheme, given, abstains = predictions.scheme, predictions.decisions, predictions.abstained
    right = given == predictions.targets
    return {
        "id": list(predictions.ids),
        "text": list(texts),
        "truth": scheme.decode(predictions.targets),
        "prediction": scheme.decode(given),
        "right": (right.all(axis=1) if scheme.multilabel else right).tolist(),
        "probability": probability_of(predictions.probabilities, given).tolist(),
        **({"abstains": abstains.tolist()} if abstains.any() else {}),
    } | {
        f"{PREFIX}{name}": predictions.probabilities[:, place].tolist()
        for place, name in enumerate(scheme.names)
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def label_view(
    of: Predicted, key: int, seed: int, folds: FoldPredictions | None = None
) -> dict[str, Any]:
    """Return what the report shows of one method on each label: of all repeats, if there are."""
    method, names = of.name, of.predictions.scheme.names
    scores = per_class(of.predictions, seed) if folds is None else folds.of_labels()
    matrix = confusion_matrix(of, folds=folds)
    lowest = sorted(scores, key=lambda row: np.nan_to_num(row.f1.value))
    what = f"Precision, recall and F1 of each label by {method} on {rows_of(of.part)}"
    what += "" if folds is None else f", means over {len(folds.repeats)} repeats"
    return {
        "method": method,
        "names": names,
        "table": label_table(
            scores, f"{what}, with 95% confidence intervals.", of.predictions.scheme.positive_class
        ),
        "f1_plot": plots.label_f1(lowest),
        "matrix": matrix,
        "heatmap": heatmap(matrix, str(key)),
        "pairs": list(matrix.pairs(30)),
        "headline": f"{_headline(matrix)}; F1 is lowest for “{lowest[0].name}” "
        f"({number(lowest[0].f1.value)})",
    }


def _headline(of: ConfusionMatrix) -> str:
    said = "has a label wrong on" if of.multilabel else "is wrong on"
    wrong = of.mean_of(of.rows - of.right)
    return f"{of.name} {said} {wrong} of {of.mean_of(of.rows)} {of.part or ''} texts"


def errors_lines(found: Errors, name: str, positive: str | None = None) -> list[str]:
    """Return what was found, in lines of at most 80 characters; `positive` is a class of two."""
    wrong = f"{found.wrong:,} of them wrong ({found.wrong / found.rows:.1%})"
    rows = f"{counted(found.rows, row_of(found.part))} of {name}{first_repeat(found.part)}"
    lines = wrapped(f"{rows}: {wrong}")
    if positive is not None:
        # Of two classes the first confusion tells both counts, even if the other is left out.
        first = found.confusions[0] if found.confusions else None
        known = 0 if first is None else first.rows
        is_positive = first is not None and first.prediction == positive
        raised = known if is_positive else found.wrong - known
        missed = found.wrong - raised
        said = f"{counted(raised, 'false positive')}, {counted(missed, 'false negative')}"
        lines += wrapped(f"{said}; positive class: {positive}")
    lines += ["", "Highest losses: the least probable true labels", *_judged_lines(found.highest)]
    if found.confusions:
        several = any(len(row.truth) != 1 or len(row.prediction) != 1 for row in found.highest)
        title = "label missed → label given wrongly" if several else "truth → prediction"
        lines += ["", f"Most frequent confusions: {title}, with the highest loss"]
    for each in found.confusions[:10]:
        truth, given = (short(of, _LONGEST_LABEL) for of in (each.truth, each.prediction))
        said = f"{each.rows:6,}  {truth} → {given} ({each.share:.1%} of {truth})"
        lines += wrapped(said, most=3, hang=_HANG)
        lines += [line for row in each.examples[:1] for line in _text_lines(row)]
    return [
        *lines,
        "",
        "Lowest losses: the most probable true labels",
        *_judged_lines(found.lowest[:5]),
    ]


def _judged_lines(rows: Sequence[RowLoss]) -> list[str]:
    lines = []
    for row in rows:
        truth, given = (
            ", ".join(short(name, _LONGEST_LABEL) for name in names) or "no label"
            for names in (row.truth, row.prediction)
        )
        said = f"{row.loss:6.2f}  truth {truth} {row.probability_of_truth:.3f}"
        said += f"; prediction {given} {row.probability:.3f}"
        lines += [*wrapped(said, most=3, hang=_HANG), *_text_lines(row)]
    return lines


def _text_lines(row: RowLoss) -> list[str]:
    return wrapped(short(row.text, 1000) or f"(row {row.id})", indent=_HANG, most=2)


def write_errors_page(found: Errors, name: str, path: str | Path) -> Path:
    """Write the page on errors of the predictions called `name`; see `write_page`."""
    return write_page(path, render_page("errors_page.html.j2", {"errors": found, "name": name}))


def slices_lines(found: Slices, name: str) -> list[str]:
    """Return the slices that are worse, or the lowest if none is shown, in 80 characters."""
    title = metric_title(found.metric)
    if not found.slices:
        return wrapped(
            f"{name}: no slice has {FEWEST_ROWS} {rows_of(found.part)} with {FEWEST_ROWS} rows "
            "beside it"
        )
    worse = [each for each in found.slices if each.worse]
    shown = worse[:20] or found.slices[:5]
    rows = [["slice", "rows", title[:18], "difference", "p"]]
    for each in shown:
        kind = short(f"{each.kind.removeprefix('column:')}: {each.name}", 24)
        value = f"{number(each.score.value)} {ends(each.score, '.2f')}".rstrip()
        difference = f"{each.difference.value:+.2f} {ends(each.difference, '+.2f')}".rstrip()
        rows.append([kind, f"{each.rows:,}", value, difference, p_value(each.p_value)])
    more = f"and {len(worse) - len(shown):,} more that are worse: see --out or --json"
    legend = "95% intervals; those of differences, and p, hold for all slices tested together."
    return [
        *wrapped(
            f"{metric_title(found.metric, found.positive)}, {name} on "
            f"{rows_of(found.part)}{first_repeat(found.part)}: {len(worse) or 'none'} of "
            f"{counted(found.looked_at, 'slice')} {'is' if len(worse) == 1 else 'are'} "
            "shown to be worse than the other rows"
        ),
        *([] if worse else ["these come nearest:"]),
        "",
        *aligned(rows),
        *([more] if len(worse) > len(shown) else []),
        "",
        *wrapped(f"{legend} {power_note(found)} {language_note(found)}".rstrip()),
    ]


def power_note(found: Slices) -> str:
    """Return which differences could be found, and that those found are overestimates."""
    by_rows = sorted(found.slices, key=lambda each: each.rows)
    if all(each.detectable is None for each in by_rows):  # of a version that did not measure it
        return ""
    sized = {each.rows: each.detectable for each in (by_rows[0], by_rows[-1])}
    found_at = [
        f"a slice of {rows:,} rows that is {number(gap)} behind"
        for rows, gap in sized.items()
        if gap is not None
    ]
    power = [f"Found in 80% of cases: {'; '.join(found_at)}."] if found_at else []
    power += [
        f"A slice of {rows:,} rows is too small to be found at any difference."
        for rows, gap in sized.items()
        if gap is None
    ]
    if any(each.worse for each in found.slices):
        power.append(
            "What is found among many is overestimated: expect the near end of its interval."
        )
    return " ".join(power)


def language_note(found: Slices) -> str:
    """Return how languages were detected; "" if no slice is of a language."""
    if found.languages_by is None:
        return ""
    return "Languages are detected by " + (
        f'py3langid; short texts, and those below a probability of 0.5, are "{NOT_SURE}".'
        if found.languages_by == "py3langid"
        else "their script alone."
    )


def slice_name(each: Slice) -> str:
    """Return which rows a slice has, in words."""
    return f"{each.name} ({each.kind.removeprefix('column:')})"


def slices_sentence(slices: Slices) -> str:
    """Return which slices are shown to be worse, and what could be shown, in sentences."""
    worse = [slice_name(each) for each in slices.slices if each.worse]
    tested = f"Of {counted(slices.looked_at, 'slice')} tested, {slices.method} is"
    if not worse:
        said = f"{tested} shown to be worse than elsewhere on none."
    else:
        more = f" and {len(worse) - 5} more" if len(worse) > 5 else ""
        said = f"{tested} significantly worse on {len(worse)}: {', '.join(worse[:5])}{more}."
    return f"{said} {power_note(slices)}".rstrip()


def slices_table(found: Slices) -> dict[str, list[Any]]:
    """Return all slices as columns."""
    scores = (f"{of}.{end}" for of in ("score", "difference") for end in ("value", "low", "high"))
    return {
        path.removesuffix(".value").replace(".", "_"): [*map(attrgetter(path), found.slices)]
        for path in ("kind", "name", "rows", *scores, "p_value", "worse", "detectable")
    }
