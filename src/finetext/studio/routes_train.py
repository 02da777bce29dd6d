"""Routes over the training runs of a project, and what can be done with their models."""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response

from finetext.studio.routing import Owner, not_found
from finetext.studio.workspace import Workspace, runs_in

REPORT: Final = "report.html"
REPORT_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
"""A report brings its own scripts and styles. They run in an origin of their own, without the
network, so that no text in it can do what the page can."""


def add_training(app: FastAPI, workspace: Workspace) -> None:
    """Add the routes to the app."""
    routes, of = TrainRoutes(workspace), "/api/projects/{name}/runs"
    app.get(f"{of}/{{run}}/report", response_class=FileResponse)(routes.report)


@final
class TrainRoutes:
    """The handlers; `name` is that of the project, and `run` that of a run in it."""

    def __init__(self, workspace: Workspace) -> None:
        """Take the projects."""
        self._workspace = workspace

    def report(self, name: str, run: str, person: Owner) -> Response:
        """Return the report of a run, for a frame."""
        path = self._run(name, run) / REPORT
        if not path.is_file():
            not_found(f"the run {run} has no report yet; wait until it ends")
        return FileResponse(
            path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY}
        )

    def _run(self, name: str, run: str) -> Path:
        """Return the folder of a run; only names of the list, so that none leads out of it."""
        folders = {of.name: of for of in runs_in(self._workspace.project(name))}
        if run not in folders:
            there = ", ".join(list(folders)[:20]) or "none yet"
            not_found(f"the project {name} has no run {run[:80]!r}; there are: {there}")
        return folders[run]
