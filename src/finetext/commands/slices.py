"""`finetext slices`: the kinds of rows that a classifier is worse at than at the others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from finetext import options
from finetext.commands.opened import count_opening, keep_for_report, open_rows, part_of
from finetext.console import Screen
from finetext.errors import DataError

if TYPE_CHECKING:
    from finetext.runs.predicted import Predicted


def slices(
    source: options.Judged,
    by: options.SliceKinds = None,
    token: options.SliceTokens = None,
    data: options.SliceData = None,
    row_id: options.RowId = None,
    metric: options.SliceMetric = None,
    method: options.OneMethod = None,
    part: options.JudgedPart = "validation",
    out: options.ListOut = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Find kinds of rows that are worse than the others."""
    from finetext.data.write import check_new, write_table
    from finetext.diagnosis.slices import find_slices
    from finetext.diagnosis.slicing import COLUMN, KINDS
    from finetext.report.slices_text import slices_lines, slices_table

    chosen = part_of(part)
    if out is not None:
        check_new(out)
    screen = Screen(as_json)
    predicted = open_rows(source, method, chosen, screen)
    kinds = None if by is None else [name for name in by if name in KINDS]
    names = [name.removeprefix(COLUMN) for name in by or () if name not in KINDS]
    columns = _columns(predicted, names, data, row_id) if names else {}
    found = find_slices(predicted, kinds, metric, token or (), columns)
    times = count_opening(predicted, chosen, "finetext slices", screen)
    if by is None:
        keep_for_report(predicted, chosen, "slices", lambda: found, screen)
    elif columns:  # the report shows all other kinds beside them
        whole = partial(find_slices, predicted, None, metric, token or (), columns)
        keep_for_report(predicted, chosen, "slices", whole, screen)
    if out is not None:
        write_table(out, slices_table(found))
    if as_json:
        screen.json(found.to_json() | {"openings": times, "out": out and str(out)})
        return
    print("\n".join(slices_lines(found, predicted.name)))
    if out is not None:
        screen.say(f"table: {out}")


def _columns(
    predicted: Predicted, names: list[str], data: str | None, row_id: str | None
) -> dict[str, list[Any]]:
    """The columns of the data, for the rows predicted.

    Raises:
        DataError: it is not known where the data are, or they lack a column or row.
    """
    from dataclasses import replace

    from finetext.data.settings import ReadSettings
    from finetext.data.source import source_columns
    from finetext.diagnosis.slicing import KINDS
    from finetext.recipe import Recipe

    settings, source = ReadSettings(labelled=False), cast(Any, data)
    if predicted.run is not None:
        recipe = Recipe.from_file(predicted.run / "recipe.toml")
        settings, source = recipe.read, data or recipe.source
    if source is None:
        raise DataError(
            f"there are no slices by {names[0]!r}: it is none of {', '.join(KINDS)}; if it is a "
            "column, name the data that have it with --data"
        )
    settings = replace(settings, id=row_id or settings.id)
    return source_columns(source, names, predicted.predictions.ids, settings)
