"""`finetext errors`: the rows that a classifier is most and least wrong about."""

from __future__ import annotations

from finetext import arguments, options
from finetext.commands.opened import count_opening, keep_for_report, open_rows, part_of
from finetext.console import Screen


def errors(
    source: options.Judged,
    method: options.OneMethod = None,
    part: options.JudgedPart = "validation",
    count: options.ErrorCount = 20,
    out: options.ListOut = None,
    page: options.ErrorsPage = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show the highest and lowest losses, and what is taken for what."""
    from finetext.data.write import check_new, write_table
    from finetext.diagnosis.losses import find_errors, ranked
    from finetext.report.errors_page import write_errors_page
    from finetext.report.errors_text import errors_lines, with_joined_labels

    chosen = part_of(part)
    if out is not None:
        check_new(out)
    if page is not None:
        arguments.check_place(page)
    screen = Screen(as_json)
    predicted = open_rows(source, method, chosen, screen)
    found = find_errors(predicted, count)
    times = count_opening(predicted, chosen, "finetext errors", screen)
    keep_for_report(predicted, chosen, "errors", lambda: found, screen)
    if out is not None:
        table = ranked(predicted)
        write_table(out, with_joined_labels(table) if out.suffix in (".csv", ".tsv") else table)
    if page is not None:
        write_errors_page(found, predicted.name, page)
    if as_json:
        written = {"out": out and str(out), "page": page and str(page)}
        screen.json(found.to_json() | {"openings": times} | written)
        return
    print("\n".join(errors_lines(found, predicted.name)))
    for what, path in (("table", out), ("page", page)):
        if path is not None:
            screen.say(f"{what}: {path}")
