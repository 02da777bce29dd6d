"""`finetext report`: the report of a run, with all that was found out since."""

from __future__ import annotations

from finetext import options
from finetext.console import Screen
from finetext.types import Finding


def report(
    run: options.RunFolder, as_json: options.Json = False, debug: options.Debug = False
) -> None:
    """Write the report of RUN anew, with all that was found out since."""
    from finetext.runs.folder import finding_to_json
    from finetext.runs.reporting import report as write

    screen, damaged = Screen(as_json), list[Finding]()
    page = write(run, damaged.append)
    for finding in damaged:
        screen.finding(finding)
    if as_json:
        screen.json({"report": str(page), "findings": list(map(finding_to_json, damaged))})
    else:
        print(f"report: {page}")
