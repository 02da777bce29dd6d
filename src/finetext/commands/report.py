"""`finetext report`: the report of a run, with all that was found out since."""

from __future__ import annotations

from finetext import options
from finetext.console import Screen


def report(
    run: options.RunFolder, as_json: options.Json = False, debug: options.Debug = False
) -> None:
    """Write the report of RUN anew, with all that was found out since."""
    from finetext.runs.reporting import report as write

    page = write(run)
    if as_json:
        Screen().json({"report": str(page)})
    else:
        print(f"report: {page}")
