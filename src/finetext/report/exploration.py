"""The data: classes, lengths, findings, tokens of a row, and a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable

from finetext.core.styled import Text
from finetext.core.types import Finding
from finetext.core.wording import counted, with_source
from finetext.data.column_roles import role_lines
from finetext.diagnosis.explore import ExampleBatch, Exploration, Lengths
from finetext.report import plots
from finetext.report.agreement import agreement_summary
from finetext.report.rendering import Cell, Table, blocks, printed, render_page, share, write_page
from finetext.report.shares import class_table

_BAR: Final = 24
_COLORS: Final = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_TOKENS_SHOWN: Final = 24


def length_table(lengths: Lengths) -> Table:
    """Return percentiles, maximum and mean of the lengths of texts as a table."""
    caption = f"Percentiles of the number of {lengths.unit} per text."
    header = ["class", "5%", "25%", "median", "75%", "95%", "most", "mean"]
    if lengths.context is not None:
        caption += f" The model reads {lengths.context:,} {lengths.unit}; the rest is cut."
        header.append("cut")
    rows = []
    for name, of in lengths.spreads.items():
        values = (of.low, of.quarter, of.median, of.three_quarters, of.high, of.most, of.mean)
        cells = (*(Cell(f"{value:,.0f}") for value in values), share(of.cut))
        rows.append((Cell(name), *cells[: len(header) - 1]))
    return Table(caption, header, rows)


def show_exploration(exploration: Exploration, console: Console, source: str = "DATA") -> None:
    """Print classes, lengths and findings; the console decides on width and color.

    `source` is what commands call the data.
    """
    every = sum(exploration.rows.values())
    console.print(Text(exploration.description or f"{every:,} rows", style="bold"))
    for line in role_lines(exploration.columns):
        console.print(Text(line), soft_wrap=True)
    if exploration.classes:
        console.print(rich_table(_with_bars(exploration)))
    if exploration.agreement is not None:
        for line in agreement_summary(exploration.agreement):
            console.print(Text(line), soft_wrap=True)
        command = with_source("finetext agreement DATA", source)
        console.print(Text(f"by class, annotator and pair: {command}\n"), soft_wrap=True)
    for lengths in (exploration.words, exploration.pieces):
        if lengths is not None:
            console.print(rich_table(length_table(lengths), caption=True))
    findings = (replace(of, message=with_source(of.message, source)) for of in exploration.findings)
    show_findings(list(findings), console)


def exploration_text(exploration: Exploration) -> str:
    """Return what `show_exploration` prints, without color."""
    return printed(partial(show_exploration, exploration))


def _with_bars(exploration: Exploration) -> Table:
    """Return the table of the classes, with a bar for each where it is that of one part."""
    table = class_table(exploration.classes, exploration.rows)
    if len(exploration.rows) > 1:
        return table
    totals = [sum(counts.values()) for counts in exploration.classes.values()]
    shares = (total / max(*totals, 1) for total in totals)
    bars = [Cell(blocks(max(_BAR * each, each and 0.125)).ljust(_BAR)) for each in shares]
    rows = [(*cells, bar) for cells, bar in zip(table.rows, [*bars, Cell("")], strict=True)]
    return replace(table, header=(*table.header, ""), rows=rows)


def rich_table(table: Table, caption: bool = False) -> RichTable:
    """Return a table that folds long names to the width of the terminal."""
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    made.caption = table.caption if caption else None
    for number, name in enumerate(table.header):
        made.add_column(name, overflow="fold", justify="right" if number else "left")
    for row in table.rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    return made


def show_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print each finding with its severity and the first ids of its rows."""
    if not findings:
        console.print("No problems were found.")
    for finding in findings:
        line = Text(finding.severity, style=_COLORS[finding.severity])
        console.print(line.append(f" {finding.code}", style="bold"))
        rows = ", ".join(finding.rows[:5]) + (" …" if len(finding.rows) > 5 else "")
        message = Text(finding.message)
        if rows:
            message.append(f"\nrows: {rows}", style="dim")
        if console.soft_wrap:
            for part in message.split():
                console.print(Text("  ").append_text(part))
        else:
            console.print(Padding(message, (0, 0, 0, 2)))


def show_batch(look: ExampleBatch, console: Console) -> None:
    """Print a batch: for each row its label, its length and its tokens with the padding."""
    width, padding = len(look.input_ids[0]), f"{look.padding_share:.0%} of them padding"
    rows = f"a batch of {len(look.input_ids)} rows x {width} positions"
    console.print(f"{rows}, {padding} (dim; mask 0)")
    half = _TOKENS_SHOWN // 2 if width > _TOKENS_SHOWN else width
    for number, row_id in enumerate(look.row_ids):
        mask, label = look.attention_mask[number], ""
        if look.labels is not None and look.targets is not None:
            label = f", label {look.labels[number]} = {look.targets[number]}"
        console.print(Text(f"row {row_id}{label}, {counted(sum(mask), 'token')}", style="bold"))
        line = Text("  ")
        for position in (*range(half), *range(max(half, width - half), width)):
            line.append("… " if position == width - half != 0 else "")
            style = "" if mask[position] else "dim"
            token, token_id = look.pieces[number][position], look.input_ids[number][position]
            line.append(token, style=style).append(f"·{token_id} ", style="dim")
        console.print(line)


def write_explore_page(exploration: Exploration, path: str | Path) -> Path:
    """Write the page on the data, and return its path; see `write_page`."""
    classes, rows = exploration.classes, exploration.rows
    shares = {
        part: {name: counts[part] / max(total, 1) for name, counts in classes.items()}
        for part, total in rows.items()
    }
    lengths = [each for each in (exploration.words, exploration.pieces) if each is not None]
    context: dict[str, Any] = {
        "data": exploration,
        "headline": headline(rows, classes, exploration.multilabel),
        "findings": findings_headline(exploration.findings),
        "class_plot": plots.class_bars(shares) if classes else "",
        "class_table": class_table(classes, rows),
        "lengths": lengths_shown(lengths),
        "plots": plots,
    }
    return write_page(path, render_page("explore_page.html.j2", context))


def lengths_shown(lengths: Sequence[Lengths]) -> list[tuple[Lengths, str, Table]]:
    """Return each kind of length with its figure and its table."""
    return [(of, plots.length_boxes(of, key), length_table(of)) for key, of in enumerate(lengths)]


def headline(
    rows: Mapping[str, int], classes: Mapping[str, Mapping[str, int]], multilabel: bool
) -> str:
    """Return the number of rows, and the most and least frequent class, in one line."""
    every = sum(rows.values())
    totals = {name: sum(counts.values()) for name, counts in classes.items()}
    if not totals or not every:
        return f"{counted(every, 'row')}{'' if totals else ' without labels'}"
    most, least = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    several = " (a row can have several)" if multilabel else ""
    return (
        f"{counted(every, 'row')}, {len(totals)} classes{several}: “{most}” has "
        f"{totals[most] / every:.1%} of the rows, “{least}” {totals[least] / every:.1%}"
    )


def findings_headline(findings: Sequence[Finding]) -> str:
    """Return how many errors, warnings and notes the checks found."""
    counts = Counter(finding.severity for finding in findings)
    named = [counted(counts[each], each) for each in ("error", "warning", "note") if counts[each]]
    if not named:
        return "The checks found no problems"
    return f"The checks found {' and '.join([', '.join(named[:-1]), named[-1]][-len(named) :])}"
