"""How far annotators agree: lines for the terminal, and what a leaderboard says of people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from finetext.core.types import Score
from finetext.core.wording import counted
from finetext.evaluation.agreement import RELIABLE, TENTATIVE, Agreement
from finetext.report.rendering import Cell, Table, aligned, metric_title, score, wrapped

MOST_ROWS: Final = 10


def people_line(found: Agreement, scored: int | None = None) -> str:
    """Return what accuracy a person reaches, in one line.

    `scored` is the number of texts that the methods are scored on, which is said if it is another.
    """
    line = (
        f"people: {metric_title(found.metric)} {_written(found.ceiling)} of one annotator against "
        f"{_others(found)}, on {counted(found.texts, 'text')}"
    )
    if scored is None or scored == found.texts:
        return line
    left_out = f", none of the {counted(found.without_majority, 'text')} without a majority"
    return f"{line}; methods are scored on {scored:,}{left_out if found.without_majority else ''}"


def _others(found: Agreement) -> str:
    return "the other one" if found.annotators == 2 else "the majority of the others"


def agreement_sentence(found: Agreement) -> str:
    """Return how many texts have two annotators, and on how many they agree."""
    by = "have two labels or more" if not found.annotators else "have two annotators or more"
    return (
        f"{found.texts:,} of {counted(found.total, 'text')} {by}; they agree on "
        f"{_written(found.agreed, '.0%')} of them"
    )


def alpha_sentence(alpha: Score) -> str:
    """Return Krippendorff's alpha and what it means by his rule."""
    if math.isnan(alpha.value):
        return "Krippendorff's alpha is undefined: there is one label only"
    rule = f"{RELIABLE} and above is reliable, below {TENTATIVE} is not"
    said = f"{counted(alpha.n, 'text')} do not tell whether the labels are reliable"
    if alpha.low >= RELIABLE:
        said = "reliable labels"
    elif alpha.high < TENTATIVE:
        said = "labels that are not reliable: define the classes more clearly"
    elif alpha.low >= TENTATIVE:
        said = "labels for tentative conclusions"
    return f"Krippendorff's alpha {_written(alpha)}: {said} ({rule})"


def agreement_tables(found: Agreement) -> list[Table]:
    """Return the agreement by class, by annotator and by pair, each lowest first."""
    tables = [
        Table(
            "Where one annotator gives the label, how often another gives it too",
            ("class", "agreement", "95%", "texts"),
            _rows([(of.name, of.agreed) for of in found.classes]),
        )
    ]
    if len(found.people) > 2:  # of two, the pair says it
        tables.append(
            Table(
                "How often an annotator gives the label of the majority of the others",
                ("annotator", "agreement", "95%", "texts"),
                _rows([(of.name, of.agreed) for of in found.people]),
            )
        )
    if found.pairs:
        ranked = sorted(found.pairs, key=lambda of: _key(of.kappa))
        rows = [
            (Cell(f"{of.a} and {of.b}"), *_cells(of.kappa)[:2], *_cells(of.agreed)[::2])
            for of in ranked
        ]
        header = ("pair", "Cohen's kappa", "95%", "agreement", "texts")
        tables.append(Table("Pairs of annotators", header, rows))
    return tables


def agreement_summary(found: Agreement) -> Iterator[str]:
    """Yield the agreement in a few lines of at most 80 characters."""
    yield from wrapped(f"{agreement_sentence(found)}.")
    if not found.annotators:
        yield from wrapped(
            "The data do not say who gave a label: repeated texts may be copies, which agree "
            "more than people do."
        )
    yield from wrapped(f"{alpha_sentence(found.alpha)}.")
    yield from wrapped(people_line(found), hang="  ")
    if found.without_majority:
        tied = counted(found.without_majority, "text")
        yield from wrapped(f"{tied} without a majority: no label to train on until decided.")


def agreement_lines(found: Agreement) -> Iterator[str]:
    """Yield the agreement in lines of at most 80 characters, with the lowest of each table."""
    yield from agreement_summary(found)
    for table in agreement_tables(found):
        shown = table.rows[:MOST_ROWS]
        yield ""
        lowest = f", the lowest {MOST_ROWS} of {len(table.rows):,}" * (len(shown) < len(table.rows))
        yield f"{table.caption}{lowest}:"
        yield from aligned([list(table.header), *([str(cell) for cell in row] for row in shown)])


def _rows(scores: Sequence[tuple[str, Score]]) -> list[Sequence[Cell]]:
    ranked = sorted(scores, key=lambda pair: _key(pair[1]))
    return [(Cell(name), *_cells(of)) for name, of in ranked]


def _key(of: Score) -> float:
    return math.inf if math.isnan(of.value) else of.value


def _cells(of: Score) -> tuple[Cell, Cell, Cell]:
    cell = score(of)
    return Cell(cell.text, value=cell.value), Cell(cell.note), Cell(f"{of.n:,}", value=of.n)


def _written(of: Score, written: str = ".2f") -> str:
    if math.isnan(of.value):
        return "-"
    cell = score(of, written)
    return str(cell)
