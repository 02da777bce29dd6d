"""Numbers and words as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from finetext.core.terminal import escaped

if TYPE_CHECKING:
    from finetext.core.types import Score

_LEARNED_FROM: Final = {2: "half", 3: "two thirds", 4: "three quarters", 5: "four fifths"}
"""Number of folds to the share of the rows outside a fold."""
CROSSED: Final = "cross-validated"
"""What the rows of a cross-validated run are called in place of the name of a split."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 row", "1,200 rows"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def number(value: float) -> str:
    """Return three decimals, or a dash if undefined."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def signed(value: float) -> str:
    """Return three decimals with sign, or a dash if undefined."""
    return "-" if math.isnan(value) else f"{value:+.3f}"


def ends(score: Score, written: str = ".3f") -> str:
    """Return the 95% interval in brackets, or nothing if undefined."""
    return "" if math.isnan(score.low) else f"[{score.low:{written}}, {score.high:{written}}]"


def percent_ends(score: Score) -> str:
    """Return the 95% interval of a share in whole percent: "[72, 92]"."""
    return f"[{100 * score.low:.0f}, {100 * score.high:.0f}]"


def p_value(value: float) -> str:
    """Return three decimals, "< 0.001" below that."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float) -> str:
    """Return a duration: "0.4 s", "12 s", "3 min 20 s", "14 min", "2 h 5 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def speed(rows_per_second: float) -> str:
    """Return a throughput: "0.52", "405", "18,234", "1.2 M"."""
    if rows_per_second < 10:
        return f"{rows_per_second:.2g}"
    if rows_per_second < 100_000:
        return f"{rows_per_second:,.0f}"
    return f"{rows_per_second / 1e6:.1f} M"


def size(count: int) -> str:
    """Return a size in decimal units: "812 B", "90.9 MB"."""
    if count < 1000:
        return f"{count} B"
    power = min(3, int(math.log10(count + 0.5)) // 3)
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB')[power - 1]}"


def short(text: str, longest: int = 24) -> str:
    """Return one escaped line of at most `longest` characters, with an ellipsis if truncated."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(escaped(text).split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def listed(names: Collection[str], most: int = 30) -> str:
    """Return the first of some names, each cut if it is long, and how many more there are."""
    shown = ", ".join(short(name, 80) for name in islice(names, most))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def start_and_rest(text: str, longest: int = 220, most: int = 2000) -> tuple[str, str]:
    """Return a text in two parts: what to show at once, and what on demand."""
    if len(text) <= longest * 1.2:
        return text, ""
    cut = text.rfind(" ", longest // 2, longest)
    cut = longest if cut < 0 else cut
    beyond = f" […] (of {len(text):,} characters)" if len(text) > most else ""
    return text[:cut], text[cut:most] + beyond


def part_in_words(part: str | None, folds: int = 0) -> str | None:
    """Return what to call the rows of a split, of a run with so many folds, 0 for none."""
    return CROSSED if folds and part in ("validation", "test") else part


def first_repeat(part: str | None) -> str:
    """Return ", first repeat" of cross-validated rows where only those predictions are shown."""
    return ", first repeat" if part == CROSSED else ""


def pipeline_in_words(folds: int) -> str:
    """Return what the scores of a run with so many folds are scores of."""
    share = _LEARNED_FROM.get(folds, f"{folds - 1} of {folds} parts")
    return f"scores of the pipeline on {share} of the rows; the final models have more"


def learned_in_words(rows: int, chosen_on: int, noun: str = "row") -> str:
    """Return how many rows a model learned from, and how many chose its checkpoint.

    "learned from all 60 rows", "learned from 51 of 60 rows; 9 chose the checkpoint".
    """
    if not chosen_on:
        return f"learned from all {counted(rows, noun)}"
    whole = counted(rows + chosen_on, noun)
    return f"learned from {rows:,} of {whole}; {chosen_on:,} chose the checkpoint"


def refitted_in_words(rows: int | None, splits: Mapping[str, int], noun: str = "row") -> str:
    """Return that a model learned from validation rows, too; "" if not, or if it is unknown.

    "learned from all 170 training and validation rows"; `rows` are those that it learned from,
    `splits` those of each split.
    """
    train, validation = (splits.get(name, 0) for name in ("train", "validation"))
    if rows is None or not validation or rows != train + validation:
        return ""
    return f"learned from all {rows:,} training and validation {noun}s"


def with_source(message: str, source: str) -> str:
    """Return a message whose commands name the data, which those of reports call DATA."""
    return re.sub(r"(?<=finetext )([a-z-]+) DATA\b", lambda of: f"{of[1]} {quote(source)}", message)


def row_of(part: str | None) -> str:
    """Return "test row", or "row" if the split is unknown."""
    return "row" if part is None else f"{part} row"


def rows_of(part: str | None) -> str:
    """Return "test rows", or "rows" if the split is unknown."""
    return f"{row_of(part)}s"


def capitalize_first(words: str) -> str:
    """Return the words with a capital first letter."""
    return words[:1].upper() + words[1:]


def resume_command(folder: Path) -> str:
    """Return the command that resumes the run in a folder."""
    return f"finetext train --resume --out {quote(str(folder))}"
