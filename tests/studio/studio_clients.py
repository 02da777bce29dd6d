"""Clients of a studio without a network: its page, and programs that pretend to be it."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from zlib import crc32

import numpy as np
from serving_toys import Answer

from finetext.studio.access import Access
from finetext.studio.app import make_app
from finetext.studio.learner import Learner
from finetext.studio.project import Project
from finetext.studio.workspace import ProjectLabels, Workspace

HOST = "localhost:8765"


@dataclass
class StudioClient:
    """Requests to an app, such as the page sends them."""

    app: Any
    loop: asyncio.AbstractEventLoop
    name: str | None = "Ann"
    token: str | None = None

    def __call__(
        self,
        method: str,
        path: str,
        value: Any = None,
        body: bytes | None = None,
        headers: dict[str, str | None] | None = None,
    ) -> Answer:
        """One request; `value` goes as JSON, `body` as it is; a header of None is left out."""
        sent: dict[str, str | None] = {"host": HOST, "sec-fetch-site": "same-origin"}
        if method != "GET":
            sent |= {"origin": f"http://{HOST}", "content-type": "application/json"}
            body = json.dumps({} if value is None else value).encode() if body is None else body
        if self.name is not None:
            sent["x-annotator"] = quote(self.name)
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        sent |= headers or {}
        given = {name: of for name, of in sent.items() if of is not None}
        asked = _call(self.app, method, path, body or b"", given)
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result(60)

    def ok(self, method: str, path: str, value: Any = None) -> Any:
        """The value of an answer without a fault."""
        answer = self(method, path, value)
        assert answer.status == 200, answer
        return answer.json

    def error(self, status: int, method: str, path: str, value: Any = None, **more: Any) -> str:
        """The message of a refusal, which is in the one form that all have."""
        answer = self(method, path, value, **more)
        assert answer.status == status, answer
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json) <= {"error", "choice"}
        assert "Traceback" not in answer.json["error"]
        return str(answer.json["error"])

    def as_(self, name: str | None, token: str | None = None) -> StudioClient:
        """The client of another person."""
        return StudioClient(self.app, self.loop, name, token)


async def _call(app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    plain, _, query = path.partition("?")
    pieces = [body]
    sent: list[dict[str, Any]] = []
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not pieces:
            await never.wait()
        return {"type": "http.request", "body": pieces.pop(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "path": unquote(plain), "raw_path": plain.encode(), "root_path": "", "scheme": "http",
        "query_string": query.encode(), "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        "headers": [(name.encode(), of.encode("latin-1")) for name, of in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    names = {name.decode(): of.decode("latin-1") for name, of in sent[0]["headers"]}
    return Answer(sent[0]["status"], names, b"".join(part.get("body", b"") for part in sent[1:]))


@contextmanager
def client_of(app: Any, name: str | None = "Ann", token: str | None = None) -> Iterator[Any]:
    """A client of an app that runs, with an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    lifespan = app.router.lifespan_context(app)
    try:
        asyncio.run_coroutine_threadsafe(lifespan.__aenter__(), loop).result(60)
        yield StudioClient(app, loop, name, token)
        left = lifespan.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(left, loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


def toy_learner(project: Project) -> Learner:
    """A learner that reads how often a text has each of a few letters, no two texts alike."""

    def read(texts: Sequence[str]) -> Any:
        counts = [[text.count(sign) for sign in "aeiounrst"] for text in texts]
        own = [np.random.default_rng(crc32(text.encode())).normal(0, 0.1, 9) for text in texts]
        return np.array(counts) + np.array(own)

    return Learner(ProjectLabels(project), read=read)


def toy_app(folder: Path, access: Access | None = None, source: str | None = None) -> Any:
    """An app over a workspace whose learners need no encoder."""
    return make_app(Workspace(folder, toy_learner), access, source)


def file_of(name: str, data: bytes) -> dict[str, str]:
    """A file as the page sends it."""
    return {"name": name, "content": base64.b64encode(data).decode()}
