"""The highest and lowest losses and the confusions, for a terminal and for flat tables."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from finetext.core.errors import RunError
from finetext.core.wording import counted, row_of, short
from finetext.diagnosis.losses import Confusion, Errors, RowLoss
from finetext.report.page import render_page

WIDTH: Final = 80
CONFUSIONS_SHOWN: Final = 10
LOWEST_SHOWN: Final = 5
_TEXT_LINES: Final = 2
_LONGEST_LABEL: Final = 50
_NO_LABEL: Final = "no label"


def errors_lines(found: Errors, name: str) -> list[str]:
    """What was found, in lines of at most 80 characters.

    Args:
        found: the errors; all of the highest losses are shown, the first ten confusions and the
            first five of the lowest losses.
        name: what the predictions are called.
    """
    share = f"{found.wrong:,} of them wrong ({found.wrong / found.rows:.1%})"
    lines = [f"{counted(found.rows, row_of(found.part))} of {name}, {share}"]
    several = any(len(row.truth) != 1 or len(row.prediction) != 1 for row in found.highest)
    lines += ["", "Highest losses: where it is surest of something else than the truth"]
    lines += _judged_lines(found.highest)
    if found.confusions:
        title = "label missed → label given wrongly" if several else "truth → prediction"
        lines += ["", f"Most frequent confusions: {title}, with the highest loss"]
        shown = found.confusions[:CONFUSIONS_SHOWN]
        lines += [line for each in shown for line in _confusion_lines(each)]
    lines += ["", "Lowest losses: what it takes for typical"]
    return lines + _judged_lines(found.lowest[:LOWEST_SHOWN])


def with_joined_labels(table: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """A table for CSV and TSV: several labels of a row are joined by commas."""
    joined = {
        name: [label if isinstance(label, str) else ",".join(label) for label in table[name]]
        for name in ("truth", "prediction")
    }
    return {**table, **joined}


def _judged_lines(rows: Sequence[RowLoss]) -> list[str]:
    """For each row a line on what was said of it, then the beginning of its text."""
    lines = []
    for row in rows:
        given = f"{_labels(row.prediction)} {row.probability:.3f}"
        truth = f"{_labels(row.truth)} {row.probability_of_truth:.3f}"
        lines += _wrapped(f"{row.loss:6.2f}  truth {truth}; prediction {given}", 8, 3)
        lines += _text_lines(row)
    return lines


def _confusion_lines(each: Confusion) -> list[str]:
    names = " → ".join(short(name, _LONGEST_LABEL) for name in (each.truth, each.prediction))
    said = f"{each.rows:6,}  {names} ({each.share:.1%} of {short(each.truth, _LONGEST_LABEL)})"
    return _wrapped(said, 8, 3) + [line for row in each.examples[:1] for line in _text_lines(row)]


def _text_lines(row: RowLoss) -> list[str]:
    return _wrapped(" " * 8 + (short(row.text, 1000) or f"(row {row.id})"), 8, _TEXT_LINES)


def _wrapped(line: str, indent: int, most: int) -> list[str]:
    """A line broken at 80 characters, what comes after indented, with an ellipsis at the end."""
    return textwrap.wrap(
        line, WIDTH, subsequent_indent=" " * indent, max_lines=most, placeholder=" …",
        drop_whitespace=True, break_on_hyphens=False,
    )  # fmt: skip


def _labels(names: Sequence[str]) -> str:
    return ", ".join(short(name, _LONGEST_LABEL) for name in names) or _NO_LABEL


def write_errors_page(found: Errors, name: str, path: str | Path) -> Path:
    """Write the page, whole or not at all.

    Args:
        found: what `finetext.diagnosis.losses.find_errors` gave.
        name: what the predictions are called.
        path: the file to write; one that is there is replaced.

    Returns:
        the path.

    Raises:
        RunError: the file cannot be written.
    """
    from finetext.storage.files import write_text

    path = Path(path)
    page = render_page("errors_page.html.j2", {"errors": found, "name": name})
    try:
        write_text(path, page)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; choose another place") from None
    return path
