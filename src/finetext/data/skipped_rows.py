"""Rows of a table that are no data: blank ones, repeated headers, and totals or notes below it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from finetext.core.types import Finding
from finetext.core.wording import counted, short
from finetext.data.column_traits import is_number

_TOTAL: Final = re.compile(
    r"((grand |sub-?|overall )?totals?( general| général| geral| generale)?|sum|summe|"
    r"(gesamt|zwischen|end)summe|gesamt(ergebnis|zahl)?|insgesamt|somme|suma( total)?|totale|"
    r"totaal|razem|ogółem|łącznie|合计|总计|小计|总和|mean|average|mittelwert|durchschnitt|"
    r"moyenne|promedio|media|média|gemiddelde|średnia|平均值?|n(?= ?[=:] ?\d))"
    r" ?[:=]? ?(\d[\d.,  ]*)?",
    re.I,
)
_MOST: Final = 5
_FEWEST_ROWS: Final = 3
_FEWEST_CELLS: Final = 3
_PROSE_WORDS: Final = 3


def without_footers(
    records: Sequence[Sequence[str]], lines: Sequence[int]
) -> tuple[int, dict[int, str]]:
    """Return the number of rows above those that close a table, and these by line, in words.

    Up to five rows at the end close it. Those of totals hold a word such as "Summe", "Total" or "n
    = 120", else numbers only, and fewer cells than most rows; or a number is the count of the rows
    or the sum of its column, or stands below words. Notes stand below a blank line and fill one
    cell of a column without prose, where every row of the table fills three or more.

    Args:
        records: the rows below the header, without blank ones.
        lines: the line on which each of them begins.
    """
    end = len(records)
    if not records or len(records[0]) < 2:
        return end, {}
    fewest = max(_FEWEST_ROWS, end - _MOST)
    end = _above_totals(records, end, fewest)
    for at in range(end - 1, fewest - 1, -1):
        above = _above_totals(records, at, fewest)
        if _are_notes(records[at:end], records[:above]) and _follows_gap(records, lines, at):
            end = above
            break
    return end, {
        lines[at]: " ".join(cell.strip() for cell in records[at] if cell.strip())
        for at in range(end, len(records))
    }


def _above_totals(records: Sequence[Sequence[str]], end: int, fewest: int) -> int:
    """The number of rows above the totals that end there."""
    while end > fewest and _is_total(records[end - 1], records[: end - 1]):
        end -= 1
    return end


def _is_total(record: Sequence[str], above: Sequence[Sequence[str]]) -> bool:
    cells = {at: cell.strip() for at, cell in enumerate(record) if cell.strip()}
    words = {at: cell for at, cell in cells.items() if not is_number(cell)}
    if not words or not all(map(_TOTAL.fullmatch, words.values())):
        return False
    usual = Counter(sum(bool(cell.strip()) for cell in row) for row in above).most_common(1)[0][0]
    if len(cells) < usual:
        return True
    numbers = {at: cell for at, cell in cells.items() if at not in words}
    return any(_sums_up(cell, [row[at].strip() for row in above]) for at, cell in numbers.items())


def _sums_up(cell: str, above: Sequence[str]) -> bool:
    """Whether a number is the count or sum of the cells above, or stands below words."""
    there = [value for value in above if value]
    if not any(map(is_number, there)):
        return bool(there)
    with suppress(ValueError):
        number = float(cell.replace(",", "."))
        sums = sum(float(value.replace(",", ".")) for value in there)
        return number == len(above) or abs(number - sums) < 1e-6 * max(1.0, abs(sums))
    return False


def _are_notes(records: Sequence[Sequence[str]], above: Sequence[Sequence[str]]) -> bool:
    places = [[at for at, cell in enumerate(record) if cell.strip()] for record in records]
    if any(len(own) != 1 for own in places):
        return False
    if any(sum(bool(cell.strip()) for cell in row) < _FEWEST_CELLS for row in above):
        return False
    filled = {own[0] for own in places}
    words = (sum(row[at].count(" ") + 1 for row in above) / len(above) for at in filled)
    return max(words) < _PROSE_WORDS


def _follows_gap(records: Sequence[Sequence[str]], lines: Sequence[int], at: int) -> bool:
    """Whether a blank line stands above a row; texts can have line breaks of their own."""
    breaks = sum(cell.count("\n") for cell in records[at - 1])
    return lines[at] - lines[at - 1] > 1 + breaks


def skipped_findings(
    name: str, blank: int, repeats: Sequence[int], footers: Mapping[int, str] | None = None
) -> tuple[Finding, ...]:
    """Return what to say of blank lines, and of repeated headers and footers by their lines."""
    findings = []
    if blank:
        message = f"{name}: {blank:,} blank line{'s' * (blank > 1)} skipped"
        findings.append(Finding("note", "blank-lines", message))
    if repeats:
        more = f" and {len(repeats) - 10:,} more" if len(repeats) > 10 else ""
        places = f"line{'s' * (len(repeats) > 1)} {', '.join(map(str, repeats[:10]))}{more}"
        what = "row repeats" if len(repeats) == 1 else "rows repeat"
        message = f"{name}: {len(repeats):,} {what} the header ({places}): left out"
        findings.append(Finding("warning", "repeated-header", message))
    if footers:
        places = "; ".join(f"line {line}: {short(shown, 40)!r}" for line, shown in footers.items())
        rows = counted(len(footers), "row")
        are = "is" if len(footers) == 1 else "are"
        message = f"{name}: {rows} below the table {are} no data and left out ({places})"
        findings.append(Finding("warning", "footer-rows", message))
    return tuple(findings)
