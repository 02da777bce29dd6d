"""The web app of the studio: its pages, its routes and its middleware."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, final

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from finetext.core import __version__
from finetext.serving.app import PAGE as SHARED_PAGE
from finetext.serving.metrics import Metrics
from finetext.serving.middleware import HEADERS, BodyLimit, Monitor
from finetext.serving.requests import Refusal
from finetext.serving.tables import TableReader
from finetext.studio import reading
from finetext.studio.access import LIMITS, Access, holds_file
from finetext.studio.routes_annotate import add_annotating
from finetext.studio.routes_projects import add_projects
from finetext.studio.routes_train import add_training
from finetext.studio.routing import (
    Asking,
    Body,
    Owner,
    ReadGiven,
    StudioRoute,
    add_refusals,
    bytes_of_file,
    told,
)
from finetext.studio.workspace import Workspace

PAGE: Final = Path(__file__).parent / "page"
_SWITCH: Final = 0.0005
"""Seconds after which a thread lets another one run. A request changes threads several times, and
would wait for the learner each time: ten times as long by Python's default."""
_POLICY: Final = b"content-security-policy"
PAGE_POLICY: Final = HEADERS[_POLICY].decode() + "; frame-src 'self'"
"""What the page may load: files of this server, and reports of runs in a frame."""


class Outlined(Body):
    """A file to look into: its name and content, or the path of one on this machine."""

    name: str = ""
    content: str | None = None
    path: str | None = None
    settings: ReadGiven = ReadGiven()


def make_app(
    workspace: Workspace, access: Access | None = None, source: str | None = None
) -> FastAPI:
    """Return the app of a workspace; `source` is what the command line names for a new project."""
    access = access or Access()
    service = Service(workspace, access, source)
    app = FastAPI(
        title="finetext studio", version=__version__, openapi_url=None, docs_url=None,
        redoc_url=None, redirect_slashes=False, lifespan=service.running,
    )  # fmt: skip
    app.state.service = service
    app.router.route_class = StudioRoute
    add_refusals(app)
    app.get("/api/studio")(service.studio)
    app.post("/api/read")(service.read)
    add_projects(app, workspace, service.allowed)
    add_annotating(app, workspace)
    add_training(app, workspace)
    app.get("/", response_class=FileResponse)(index)
    app.mount("/studio", StaticFiles(directory=PAGE))
    app.mount("/page", StaticFiles(directory=SHARED_PAGE))
    app.add_middleware(
        BodyLimit, settings=LIMITS, methods=("POST", "PUT", "PATCH"), holds_file=holds_file
    )
    app.add_middleware(
        Monitor, metrics=Metrics(), paths=(), checks=[access.check],
        is_stopping=lambda: service.is_stopping(),
    )  # fmt: skip
    return app


async def index() -> Response:
    """Return the page."""
    return FileResponse(PAGE / "index.html", headers={"content-security-policy": PAGE_POLICY})


@final
class Service:
    """The handlers that belong to no project."""

    def __init__(self, workspace: Workspace, access: Access, source: str | None) -> None:
        """Take the projects, who may ask, and the source that the command line names."""
        self._workspace, self._access, self._source = workspace, access, source
        self._reader = TableReader(reading.SECONDS, reading.WAITING, reading.MODULE)
        self.is_stopping: Callable[[], bool] = lambda: False
        """Whether the server only finishes what it has."""
        self.stopped: list[str] = []
        """Training runs that were cancelled at the end."""

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """Let projects be opened while the body runs, and close them."""
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH)
        try:
            yield
        finally:
            sys.setswitchinterval(usual)
            self.stopped = await run_in_threadpool(self._workspace.close)

    def studio(self, person: Asking) -> Response:
        """Return what the page begins with."""
        is_known = person.name is not None or not self._access.needs_token
        answer = told({
            "version": __version__, "annotator": person.name,
            "needs_token": self._access.needs_token, "is_owner": person.is_owner,
            "projects": self._workspace.summaries() if is_known else [],
            "source": self._source if person.is_owner else None,
        })  # fmt: skip
        if (cookie := self._access.session_for(person)) is not None:
            answer.headers["set-cookie"] = cookie
        return answer

    async def read(self, asked: Outlined, person: Owner) -> dict[str, Any]:
        """Return what a file holds, see `finetext.studio.reading`."""
        given, data = asked.settings.given(), b""
        if asked.content is not None:
            data = await run_in_threadpool(bytes_of_file, asked.content)
        elif asked.path is not None:
            given["source"] = self.allowed(asked.path)
        else:
            raise Refusal(422, "name and content of a file are missing; or give a path")
        found, _ = await self._reader.read(asked.name or given.get("source", ""), data, given)
        if "error" in found:
            refusal = Refusal(422, found["error"])
            refusal.choice = found.get("choice")
            raise refusal
        return found

    def allowed(self, path: str) -> str:
        """Return a path; raises a Refusal if the studio has tokens, but for that of the command.

        Whoever gets the token of the owner over the network must not read the files of the machine.
        """
        if self._access.needs_token and path != self._source:
            raise Refusal(403, "a studio with tokens reads no paths of its machine; send the file")
        return path
