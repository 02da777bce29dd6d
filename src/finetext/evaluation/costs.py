"""What mistakes cost, as a table."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from pathlib import Path

from finetext.errors import RecipeError
from finetext.types import LabelScheme


def read_costs(path: Path, scheme: LabelScheme) -> tuple[tuple[float, ...], ...]:
    """A CSV file of costs: the true label in the first column, the label given in the first row.

    Spreadsheets that write a decimal comma put semicolons between the cells; both are understood.

    Args:
        path: the file.
        scheme: the labels; all of them must be there, in any order.

    Returns:
        k rows (truth) of k numbers (label given), in the order of the scheme.

    Raises:
        RecipeError: it cannot be read, a label is missing or unknown, or a cell is no number.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines(keepends=True)
        delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if any(map(str.strip, row))]
    except UnicodeDecodeError:
        raise RecipeError(
            f"the costs in {path} cannot be read: it is no text in UTF-8; save it as CSV"
        ) from None
    except (OSError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise RecipeError(f"the costs in {path} cannot be read: {why}") from None
    if not rows:
        raise RecipeError(f"{path} is empty; it must have a row and a column for each label")
    given = [cell.strip() for cell in rows[0][1:]]
    _check_labels(path, "first row", given, scheme)
    _check_labels(path, "first column", [row[0].strip() for row in rows[1:]], scheme)
    costs = {
        row[0].strip(): {
            name: _number(path, line, name, row[column] if column < len(row) else "")
            for column, name in enumerate(given, 1)
        }
        for line, row in enumerate(rows[1:], 2)
    }
    return tuple(tuple(costs[truth][name] for name in scheme.names) for truth in scheme.names)


def hash_of_costs(path: Path, scheme: LabelScheme) -> str:
    """SHA-256 of what a file of costs says; raises as `read_costs` does."""
    table = json.dumps([scheme.names, read_costs(path, scheme)])
    return hashlib.sha256(table.encode()).hexdigest()


def _check_labels(path: Path, where: str, found: list[str], scheme: LabelScheme) -> None:
    if sorted(found) != sorted(scheme.names):
        wrong = sorted(set(found) ^ set(scheme.names)) or sorted(found)
        raise RecipeError(
            f"{path}: the {where} must have each label once: {', '.join(scheme.names)}; look at "
            f"{', '.join(map(repr, wrong[:5]))}"
        )


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RecipeError(f"{path}, row {line}, column {column}: {cell!r} is no number")
    return value
