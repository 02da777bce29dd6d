"""What a file holds before a project takes it: its columns, classes, first rows and data checks.

A process of its own reads it, see `finetext.serving.tables`: a file can be made so that reading it
takes much memory and time, and reading must not keep annotators waiting.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import FinetextError, TooLargeError
from finetext.core.settings import MEBIBYTE, ReadSettings
from finetext.core.wording import short

if TYPE_CHECKING:
    from finetext.core.types import Dataset, Finding
    from finetext.data.rows import Source

MODULE: Final = "finetext.studio.reading"
SETTINGS: Final = ("text", "label", "id", "header", "delimiter", "sheet", "encoding")
"""Fields of `ReadSettings` that a request can state."""
SECONDS: Final = 120.0
"""Longest time to read a file and to check it."""
WAITING: Final = 8
"""Files that may wait to be read."""
_MEMORY: Final = 4096 * MEBIBYTE
_BUDGET: Final = 1024 * MEBIBYTE
"""Most memory for what is in a file; libraries for Parquet and checks take much of the rest."""
_ROWS: Final = 20
_CELL: Final = 500
_MOST_CLASSES: Final = 1_000


def read_settings(given: dict[str, Any], most_bytes: int | None = None) -> ReadSettings:
    """Return settings of reading in which labels are taken where they are found."""
    values = {name: of for name, of in given.items() if name in SETTINGS and of is not None}
    for name in ("text", "label"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    return ReadSettings(**values, labelled=False, most_bytes=most_bytes)


def outline(opened: Source, settings: ReadSettings) -> dict[str, Any]:
    """Return what an opened source holds, for the page; raises a FinetextError."""
    from finetext.data.read import assemble
    from finetext.diagnosis.data_checks import Material, check_material

    dataset, places = assemble(opened, settings)
    names = list(opened.batches[0].columns)
    labels = dataset.columns_of("label")
    return {
        "description": dataset.description,
        "notes": [finding.message for finding in dataset.findings],
        "names": names,
        "text": list(dataset.columns_of("text")),
        "label": (list(labels) if len(labels) > 1 else labels[0]) if labels else None,
        "id": next(iter(dataset.columns_of("id")), None),
        "rows": [
            [_cell(opened.batches[at].columns.get(name, ()), row) for name in names]
            for at, row in islice(places, _ROWS)
        ],
        "count": len(dataset),
        "classes": _classes(dataset),
        "checks": _told(check_material(Material.of(_checkable(dataset)))),
    }


def _cell(values: Sequence[Any], row: int) -> str:
    from finetext.data.write import cell_of

    value = cell_of(values[row]) if row < len(values) else None
    return "" if value is None else short(str(value), _CELL)


def _classes(dataset: Dataset) -> list[dict[str, Any]] | None:
    if dataset.scheme is None:
        return None
    several = (one if isinstance(one, list) else [one] for one in dataset.labels if one)
    counts = Counter(name for names in several for name in names)
    return [{"name": of, "rows": counts[of]} for of in dataset.scheme.names[:_MOST_CLASSES]]


def _checkable(dataset: Dataset) -> Dataset:
    """Return the data, without labels if some rows have none: checks of labels need all of them."""
    if dataset.scheme is None or None not in dataset.labels:
        return dataset
    return replace(dataset, table=dataset.table.remove_columns(["label"]), scheme=None)


def _told(findings: Iterable[Finding]) -> list[dict[str, str]]:
    return [{"severity": of.severity, "message": short(of.message, _CELL)} for of in findings]


def _opened(name: str, data: bytes, source: str | None, settings: ReadSettings) -> Source:
    """Open what was sent, or else a source that the owner has named."""
    from finetext.data.annotations import plain
    from finetext.data.folders import read_file
    from finetext.data.read import open_source
    from finetext.data.rows import File

    if source is not None:
        return open_source(source, settings)
    opened = read_file(File(name, PurePosixPath(name), lambda: data), settings)
    return replace(opened, batches=tuple(plain(batch, settings) for batch in opened.batches))


def main() -> None:
    """Read a file from standard input, or the source that is named; write what it holds."""
    from finetext.core.budget import explained, reading
    from finetext.serving.tables import refused

    asked = json.loads(sys.stdin.buffer.readline())
    given: dict[str, Any] = asked["settings"]
    source = given.get("source")
    # a source that the owner names may take what the machine has
    budget = _BUDGET if source is None else None
    if source is None:
        with suppress(ImportError, OSError, ValueError):  # Windows has no such limits
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (asked["seconds"],) * 2)
    name, found = asked["name"], dict[str, Any]()
    try:
        settings = read_settings(given, budget)
        with reading(settings.most_bytes), explained(name):
            found = outline(_opened(name, sys.stdin.buffer.read(), source, settings), settings)
    except TooLargeError as error:
        found = {"error": f"{error.problem}: send fewer rows"}
    except FinetextError as error:
        found = refused(error)
    sys.stdout.buffer.write(json.dumps(found).encode() + b"\n")


if __name__ == "__main__":
    main()
