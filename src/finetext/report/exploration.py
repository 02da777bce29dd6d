"""An exploration, the tokens of a row, and a batch, for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import RunError
from finetext.core.types import Finding
from finetext.diagnosis.explore import ExampleBatch, Exploration, Lengths, TokenizedText
from finetext.report import plots
from finetext.report.page import render_page

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


_BAR: Final = 24
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_COLOURS: Final = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_PIECES_SHOWN: Final = 24


def show_exploration(exploration: Exploration, console: Console) -> None:
    """Print classes, lengths and findings.

    Args:
        exploration: what `explore` gave.
        console: where to print; it decides on width and colour.
    """
    from rich.text import Text

    rows = sum(exploration.rows.values())
    console.print(Text(exploration.description or f"{rows:,} rows", style="bold"))
    if exploration.classes:
        console.print(_class_table(exploration))
    console.print(_length_table(exploration.words))
    if exploration.pieces is not None:
        console.print(_length_table(exploration.pieces))
    show_findings(exploration.findings, console)


def show_findings(findings: tuple[Finding, ...] | list[Finding], console: Console) -> None:
    """Print each finding whole, with its severity and the first ids of its rows."""
    from rich.padding import Padding
    from rich.text import Text

    if not findings:
        console.print("Nothing was found to be wrong.")
    for finding in findings:
        line = Text(finding.severity, style=_COLOURS[finding.severity])
        line.append(f" {finding.code}", style="bold")
        console.print(line)
        rows = ", ".join(finding.rows[:5]) + (" …" if len(finding.rows) > 5 else "")
        message = Text(finding.message)
        if rows:
            message.append(f"\nrows: {rows}", style="dim")
        if console.soft_wrap:
            for own_line in message.split():
                console.print(Text("  ").append_text(own_line))
        else:
            console.print(Padding(message, (0, 0, 0, 2)))


def show_tokens(look: TokenizedText, console: Console) -> None:
    """Print a text as characters, words, pieces and ids."""
    from rich.text import Text

    table = _table("", "piece", "id")
    for number, (piece, piece_id, special) in enumerate(
        zip(look.pieces, look.ids, look.special, strict=True), start=1
    ):
        style = "dim" if special or number > look.context else ""
        table.add_row(f"{number}", Text(piece, style=style), f"{piece_id}")
    console.print(Text(f"row {look.id}" + (f", {look.label}" if look.label else ""), style="bold"))
    console.print(Text(look.text))
    console.print(
        f"{look.characters:,} characters, {len(look.words):,} words, {len(look.pieces):,} word "
        f"pieces, {sum(look.special)} of them special; the model sees {look.context:,} at most"
    )
    console.print(Text("words: " + " | ".join(look.words)))
    console.print(table)


def show_batch(look: ExampleBatch, console: Console) -> None:
    """Print a batch: for each row its label, its length and its pieces with the padding."""
    from rich.text import Text

    rows, width = len(look.input_ids), len(look.input_ids[0])
    console.print(
        f"a batch of {rows} rows x {width} positions, {look.padding_share:.0%} of them padding "
        "(dim; mask 0)"
    )
    for number, row_id in enumerate(look.row_ids):
        mask = look.attention_mask[number]
        label = ""
        if look.labels is not None and look.targets is not None:
            label = f", label {look.labels[number]} = {look.targets[number]}"
        console.print(Text(f"row {row_id}{label}, {sum(mask)} pieces", style="bold"))
        line = Text("  ")
        for position in _shown(width):
            style = "" if mask[position] else "dim"
            piece, piece_id = look.pieces[number][position], look.input_ids[number][position]
            line.append(f"{piece}", style=style).append(f"·{piece_id} ", style="dim")
            if width > _PIECES_SHOWN and position == _PIECES_SHOWN // 2 - 1:
                line.append("… ")
        console.print(line)


def _shown(width: int) -> list[int]:
    """The first and last positions of a long row."""
    if width <= _PIECES_SHOWN:
        return list(range(width))
    half = _PIECES_SHOWN // 2
    return [*range(half), *range(width - half, width)]


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(columns[0], overflow="fold")
    for name in columns[1:]:
        table.add_column(name, justify="right")
    return table


def _class_table(exploration: Exploration) -> Table:
    from rich.text import Text

    parts = list(exploration.rows)
    several = len(parts) > 1
    table = _table("class", *parts, *(["total"] if several else []), "share")
    table.add_column("")
    rows = sum(exploration.rows.values())
    totals = {name: sum(counts.values()) for name, counts in exploration.classes.items()}
    most = max(totals.values(), default=1)
    for name, counts in exploration.classes.items():
        total = totals[name]
        cells = [*counts.values(), *([total] if several else [])]
        bar = Text(_bar(total / max(most, 1)), style="cyan")
        share = f"{total / max(rows, 1):.1%}"
        table.add_row(Text(name), *(f"{cell:,}" for cell in cells), share, bar)
    table.add_section()
    cells = [*exploration.rows.values(), *([rows] if several else [])]
    table.add_row("all rows", *(f"{cell:,}" for cell in cells), "", "")
    return table


def _bar(share: float) -> str:
    """A bar in steps of an eighth of a character, one eighth at least unless it is nothing."""
    eighths = max(round(share * _BAR * 8), 1 if share else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _length_table(lengths: Lengths) -> Table:
    from rich.text import Text

    names = ("5%", "25%", "median", "75%", "95%", "most", "mean")
    table = _table(f"{lengths.unit} per text", *names, *(["cut"] if lengths.context else []))
    for name, spread in lengths.spreads.items():
        figures = (
            spread.low,
            spread.quarter,
            spread.median,
            spread.three_quarters,
            spread.high,
            spread.most,
            spread.mean,
        )
        cut = [] if spread.cut is None else [f"{spread.cut:.1%}"]
        table.add_row(Text(name), *(f"{figure:,.0f}" for figure in figures), *cut)
    if lengths.context is not None:
        table.caption = f"the model sees {lengths.context:,} {lengths.unit}"
        table.caption_justify = "left"
    return table


def write_explore_page(exploration: Exploration, path: str | Path) -> Path:
    """Write the page, whole or not at all.

    Args:
        exploration: what `finetext.diagnosis.explore.explore` gave.
        path: the file to write; one that is there is replaced.

    Returns:
        the path.

    Raises:
        RunError: the file cannot be written.
    """
    from finetext.storage.files import write_text

    path = Path(path)
    page = render(exploration)
    try:
        write_text(path, page)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; choose another place") from None
    return path


def render(exploration: Exploration) -> str:
    """The page as HTML text."""
    return render_page("explore_page.html.j2", _context(exploration))


def _context(exploration: Exploration) -> dict[str, Any]:
    lengths = [each for each in (exploration.words, exploration.pieces) if each is not None]
    classes = exploration.classes
    return {
        "data": exploration,
        "total": sum(exploration.rows.values()),
        "class_plot": plots.class_bars(_shares(exploration)) if classes else "",
        "lengths": [(each, plots.length_boxes(each, key)) for key, each in enumerate(lengths)],
        "most_bars": plots.MOST_BARS,
    }


def _shares(exploration: Exploration) -> dict[str, dict[str, float]]:
    """Part -> class -> share of its rows."""
    return {
        part: {name: counts[part] / max(rows, 1) for name, counts in exploration.classes.items()}
        for part, rows in exploration.rows.items()
    }
