"""How the routes of the studio read requests, say who may use them, and refuse.

Handlers are plain functions, which FastAPI runs in threads: they wait for the database, and the
event loop must not.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from urllib.parse import quote

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from finetext.core.arrays import finite
from finetext.core.errors import FinetextError
from finetext.core.paths import why_reserved
from finetext.serving.requests import Refusal, parse, validation_refusal
from finetext.serving.tables import bytes_of
from finetext.storage.unfinished import room_in
from finetext.studio.access import person_of
from finetext.studio.annotators import Person

LONGEST_NAME: Final = 120
"""Bytes of a file name that are kept, from its end."""
_ALIKE: Final = "_"
_FALLBACK: Final = "data"
_PARSED_AT_ONCE: Final = 2**16
"""Bytes of JSON that are parsed without a thread; parsing more would keep others waiting."""


class Body(BaseModel):
    """A body of a request, without unknown members."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def bytes_of_file(content: str) -> bytes:
    """Return the bytes of Base64; raises a Refusal."""
    if (data := bytes_of(content)) is None:
        raise Refusal(422, "content is not Base64")
    return data


class SentFile(Body):
    """A file: its name, and its content in Base64."""

    name: str
    content: str

    def data(self) -> bytes:
        """Return the content; raises a Refusal."""
        return bytes_of_file(self.content)

    @contextmanager
    def placed(self, folder: Path) -> Iterator[Path]:
        """Yield a file with the content in a private folder, which goes when the body ends."""
        data = self.data()
        with room_in(folder) as room:
            path = room / file_name(self.name)
            path.write_bytes(data)
            yield path


def file_name(name: str) -> str:
    """Return the name of a file that was sent, without folders and what a file system refuses.

    Its end stays, which says what kind of file it is.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(
        sign if sign.isprintable() and sign not in '<>:"|?*' else _ALIKE for sign in last
    ).strip(" .")
    while len(plain.encode()) > LONGEST_NAME:
        plain = plain[1:]
    plain = plain.strip(" .")
    return _ALIKE + plain if plain and why_reserved(plain) else plain or _FALLBACK


class ReadGiven(Body):
    """Settings of reading that a request can state; see `finetext.core.settings.ReadSettings`."""

    text: str | list[str] | None = None
    label: str | list[str] | None = None
    id: str | None = None
    header: bool | None = None
    delimiter: str | None = None
    sheet: str | None = None
    encoding: str | None = None

    def given(self) -> dict[str, Any]:
        """Return the settings that are stated."""
        return self.model_dump(exclude_none=True)


class StudioRequest(Request):
    """A request whose body is unambiguous JSON."""

    async def json(self) -> Any:
        """Return the body, parsed strictly."""
        raw = await self.body()
        return parse(raw) if len(raw) <= _PARSED_AT_ONCE else await run_in_threadpool(parse, raw)


class StudioRoute(APIRoute):
    """A route that takes a `StudioRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Replace the request by the strict one."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StudioRequest(request.scope, request.receive))

        return strict


async def _asking(request: Request) -> Person:
    return person_of(request.scope)


async def _naming(request: Request) -> Person:
    person = person_of(request.scope)
    if person.name is None:
        raise Refusal(400, "say who you are: send your name in the header X-Annotator")
    return person


async def _owning(request: Request) -> Person:
    person = person_of(request.scope)
    if not person.is_owner:
        raise Refusal(403, f"{person.name} can annotate here; this is for the owner of the studio")
    return person


Asking = Annotated[Person, Depends(_asking)]
"""Who sends the request."""
Named = Annotated[Person, Depends(_naming)]
"""The same, refused without a name."""
Owner = Annotated[Person, Depends(_owning)]
"""The same, refused for everyone but the owner."""


def add_refusals(app: FastAPI) -> None:
    """Let the app answer every refusal as `{"error": what, where, what to do}`."""
    app.exception_handler(RequestValidationError)(validation_refusal)
    app.exception_handler(HTTPException)(_http_refusal)
    app.exception_handler(FinetextError)(_own_refusal)


async def _http_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail
    if not isinstance(error, Refusal) and message == HTTPStatus(error.status_code).phrase:
        message = _PHRASES.get(error.status_code, message)
    refusal = Refusal(error.status_code, message, dict(error.headers or {}))
    refusal.choice = getattr(error, "choice", None)
    return refusal.answer()


_PHRASES: Final = {
    404: "there is nothing at this path; open the page at /",
    405: "this path takes other methods; see the header Allow",
}


async def _own_refusal(request: Request, error: Exception) -> Response:
    # what the disk or the lock of a database refuses is no fault of the request
    is_of_database = isinstance(error.__cause__, sqlite3.Error)
    return Refusal(503 if is_of_database else 422, str(error)).answer()


def told(value: Any) -> Response:
    """Return a value as JSON; nan and infinity are null."""
    text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), media_type="application/json")


def attached(data: bytes, name: str) -> Response:
    """Return a file that a browser saves under a name."""
    kind = _KINDS.get(name.rpartition(".")[2], "application/octet-stream")
    plain = "".join(sign if sign.isascii() and sign not in '"\\' else "_" for sign in name)
    saved = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return Response(data, headers={"content-disposition": saved}, media_type=kind)


_KINDS: Final = {
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "jsonl": "application/jsonl",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}


def not_found(what: str) -> NoReturn:
    """Raise a Refusal with status 404."""
    raise Refusal(404, what)
