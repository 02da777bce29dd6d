"""What a notebook shows of results: errors, label errors, comparisons, the data, explanations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import Any, Final

from finetext.core.display import html_text
from finetext.core.wording import counted, duration, first_repeat, p_value, row_of, rows_of, short
from finetext.diagnosis.explain import ClassWords, Explanation
from finetext.diagnosis.explore import Exploration
from finetext.diagnosis.label_errors import Suspects
from finetext.diagnosis.losses import Errors, RowLoss
from finetext.diagnosis.slices import Slices
from finetext.evaluation.compare import Comparison
from finetext.evaluation.several import Several
from finetext.pretraining.learning import Adapted
from finetext.report.errors import slice_name, slices_sentence
from finetext.report.explanations import parts, remarks
from finetext.report.exploration import length_table
from finetext.report.rendering import Cell, Table, count, metric_title, score, share, table_html
from finetext.report.shares import class_table

_SHOWN: Final = 10
_LOWEST_SHOWN: Final = 5
_LONGEST_TEXT: Final = 300
_WORDS_SHOWN: Final = 8
_FOR, _AGAINST = "37, 99, 235", "217, 119, 6"
"""Red, green and blue of words that are evidence for a label, and against it."""


@singledispatch
def notebook_html(result: Any) -> str:
    """Return a result as HTML for a notebook, which styles tables; whatever it holds is escaped."""
    raise TypeError(f"nothing is known of how a notebook shows a {type(result).__name__}")


@notebook_html.register
def _(of: Errors) -> str:
    part = f"{counted(of.rows, row_of(of.part))}{first_repeat(of.part)}"
    wrong = f"{of.method}: {of.wrong:,} of {part} wrong ({of.wrong / of.rows:.1%})"
    shown = [_losses(f"{wrong}; the highest losses", of.highest[:_SHOWN])]
    if of.confusions:
        rows = [
            (Cell(each.truth), Cell(each.prediction), count(each.rows), share(each.share))
            for each in of.confusions[:_SHOWN]
        ]
        header = ("truth", "prediction", "rows", "of the label")
        shown.append(Table("The most frequent confusions", header, rows))
    shown.append(_losses("The lowest losses", of.lowest[:_LOWEST_SHOWN]))
    return "".join(map(table_html, shown))


def _losses(caption: str, rows: Sequence[RowLoss]) -> Table:
    header = ("loss", "truth", "its probability", "prediction", "its probability", "text")
    cells = [
        (
            Cell(f"{of.loss:.2f}"),
            Cell(_named(of.truth)),
            Cell(f"{of.probability_of_truth:.3f}"),
            Cell(_named(of.prediction)),
            Cell(f"{of.probability:.3f}"),
            Cell(short(of.text, _LONGEST_TEXT) or f"(row {of.id})"),
        )
        for of in rows
    ]
    return Table(caption, header, cells)


@notebook_html.register
def _(of: Suspects) -> str:
    found = counted(len(of.suspects), "label")
    caption = f"{found} of {of.rows:,} may be wrong, the most suspicious first"
    header = ("label", "its probability", "suggested", "its probability", "text")
    rows = [
        (
            Cell(each.label or "none"),
            Cell(f"{each.probability_of_label:.3f}"),
            # A reviewer of test rows should not see what the model would say.
            Cell("(test row)" if each.id in of.test else each.suggested or "none"),
            Cell("" if each.id in of.test else f"{each.probability_of_suggested:.3f}"),
            Cell(short(each.text, _LONGEST_TEXT)),
        )
        for each in of.suspects[:_SHOWN]
    ]
    return table_html(Table(caption, header, rows)) + _paragraphs(of.words())


@notebook_html.register
def _(of: Comparison) -> str:
    difference = score(of.difference, "+.3f")
    title = metric_title(of.metric)
    p = p_value(of.p_value)
    words = f"{title}, the first minus the second: {difference}, p {p if p[0] == '<' else f'= {p}'}"
    return _paragraphs([f"{words} ({of.test}, {of.n:,} rows)"])


@notebook_html.register
def _(of: Several) -> str:
    title = metric_title(of.metric)
    scores = [(Cell(name), score(value)) for name, value in of.scores.items()]
    first = Table(f"{of.rows:,} rows", ("", f"{title} [95%]"), scores)
    header = ("", "difference [95%]", "p", "corrected p", "verdict")
    pairs = [
        (
            Cell(f"{pair.a} minus {pair.b}"),
            score(pair.comparison.difference, "+.3f"),
            Cell(p_value(pair.comparison.p_value)),
            Cell(p_value(pair.corrected)),
            Cell(of.verdict(pair)),
        )
        for pair in of.pairs
    ]
    return table_html(first) + table_html(Table(f"Differences in {title}", header, pairs))


@notebook_html.register
def _(of: Slices) -> str:
    title = metric_title(of.metric)
    worse = [each for each in of.slices if each.worse] or of.slices[:_LOWEST_SHOWN]
    rows = [
        (
            Cell(slice_name(each)),
            count(each.rows),
            score(each.score),
            score(each.difference, "+.3f"),
            Cell(p_value(each.p_value)),
        )
        for each in worse[:_SHOWN]
    ]
    header = ("slice", "rows", f"{title} [95%]", "less the other rows [95%]", "p")
    said = _paragraphs([slices_sentence(of)])
    return said + table_html(Table(f"{of.method}: {rows_of(of.part)}", header, rows))


@notebook_html.register
def _(of: Exploration) -> str:
    shown = [_paragraphs([of.description])] if of.description else []
    if of.classes:
        shown.append(table_html(class_table(of.classes, of.rows)))
    shown += [table_html(length_table(each)) for each in (of.words, of.pieces) if each is not None]
    said = [f"{each.severity} {each.code}: {each.message}" for each in of.findings]
    return "".join([*shown, _paragraphs(said or ["No problems were found."])])


@notebook_html.register
def _(of: Explanation) -> str:
    marked = []
    for part in parts(of):
        text = html_text(part.text)
        if part.strength:
            color = _FOR if part.sign == "+" else _AGAINST
            style = f"background: rgba({color}, {part.strength / 100:.2f}); border-radius: 3px"
            text = f'<span style="{style}" title="{part.attribution:+.3f}">{text}</span>'
        marked.append(text)
    about = f"prediction: {of.given}; explained: {of.label}, {of.probability:.3f}, by {of.way}"
    text = f'<p style="line-height: 1.8">{"".join(marked)}</p>'
    return f"{_paragraphs([about])}{text}{_paragraphs(remarks(of))}"


@notebook_html.register
def _(of: ClassWords) -> str:
    rows = [
        (Cell(label), Cell(", ".join(f"{word} ({mean:+.2f})" for word, mean, _ in words)))
        for label, found in of.words.items()
        if (words := found[:_WORDS_SHOWN])
    ]
    caption = f"The strongest words of {counted(of.texts, 'text')}, by {of.way}"
    return table_html(Table(caption, ("label", "words"), rows))


@notebook_html.register
def _(of: Adapted) -> str:
    before, after = of.origin.before, of.origin.after
    rows = [(Cell(name), Cell(f"{before[name]:.4g}"), Cell(f"{after[name]:.4g}")) for name in after]
    caption = f"{of.folder}: held-out text before and after {duration(of.origin.seconds)}"
    return table_html(Table(caption, ("", "before", "after"), rows))


def _named(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "none"


def _paragraphs(lines: Iterable[str]) -> str:
    return "".join(f"<p>{html_text(line)}</p>" for line in lines)
