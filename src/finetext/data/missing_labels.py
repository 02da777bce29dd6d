"""Rows without a label: blank ones, and codes for no answer such as -99."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from finetext.core.errors import DataError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.columns import Chosen
from finetext.data.flags import ON
from finetext.data.labels import Labels
from finetext.data.rows import Source

ROWS_SHOWN: Final = 100


def labeled_rows(
    labels: Labels,
    columns: Mapping[str, Sequence[Any]],
    source: Source,
    chosen: Chosen,
    settings: ReadSettings,
    findings: list[Finding],
) -> list[bool]:
    """Return which rows to keep; those without a label are an error, or left out if requested."""
    absent = [row for row, own in enumerate(labels) if own is None]
    if not absent or (not settings.labelled and not settings.drop_unlabelled):
        return [True] * len(labels)
    if not settings.drop_unlabelled:
        places = [columns["place"][row] for row in absent]
        batch = source.batches[places[0][0]]
        own_rows = [row for at, row in places if at == places[0][0]]
        kind = UnlabeledError if len(absent) == len(labels) else DataError
        several = len(chosen.labels) == 1 and any(len(own) > 1 for own in labels if own)
        blank = ", or say that a blank one means no label with --set data.multilabel=true"
        marks = {name.strip().casefold() for own in labels for name in own or ()}
        no = "; if a blank cell means no, write no there" if len(marks) == 1 and marks <= ON else ""
        raise kind(
            f"{batch.name}, column {', '.join(map(repr, chosen.labels))}: the label is missing in "
            f"{len(own_rows):,} of {counted(len(batch), 'row')} ({batch.where(own_rows)}); fill it "
            f"in, or leave these rows out with --drop-unlabelled{blank if several else no}"
        )
    are = "is" if len(absent) == 1 else "are"
    message = f"{counted(len(absent), 'row')} without a label {are} left out"
    ids = tuple(columns["id"][row] for row in absent[:ROWS_SHOWN])
    findings.append(Finding("warning", "unlabelled-dropped", message, ids))
    return [own is not None for own in labels]
