"""Strict reading of requests, and refusals in words."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import Send


LONGEST_MESSAGE: Final = 500


class Refusal(Exception):
    """A request that is refused, with the message for its sender."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep status, message and further headers (names in lower case)."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class ClientGone(Exception):
    """The client disconnected before it had its answer."""


def error_body(message: str) -> bytes:
    """Return the body of a refusal; what UTF-8 cannot encode becomes a question mark."""
    cut = message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + " ..."
    return json.dumps({"error": cut}, ensure_ascii=False).encode("utf-8", "replace")


async def refuse(send: Send, refusal: Refusal) -> None:
    """Send a refusal as the answer."""
    body = error_body(refusal.message)
    own = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *own,
    ]
    start: dict[str, Any] = {"type": "http.response.start", "status": refusal.status}
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": body})


MOST_KEYS: Final = 100
"""Keys per object: each unknown one would be an error of its own."""
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(raw: bytes) -> Any:
    """Return the value of JSON in UTF-8; raises a Refusal for anything ambiguous or broken."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        with _uncollected():
            value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Refusal(400, f"the body is not JSON: {error.msg} ({place})") from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
    except UnicodeEncodeError:
        raise Refusal(400, r"the body has half of a surrogate pair, such as \ud800") from None
    except ValueError:
        raise Refusal(400, "the body is not JSON that can be read: a number is too long") from None
    return value


@contextmanager
def _uncollected() -> Iterator[None]:
    """Disable garbage collection: JSON has no cycles, and many lists trigger it often."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_KEYS:
        raise Refusal(400, f"the body has an object with more than {MOST_KEYS} keys")
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Refusal(400, "the body has an object with the same key twice")
    return made


def _no_number(name: str) -> NoReturn:
    raise Refusal(400, f"the body is not JSON: {name} is no number in JSON")


_WORDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_type": "must be a text",
    "string_unicode": "is not valid Unicode",
    "too_short": "must have at least one text",
    "list_type": "must be a list",
    "int_type": "must be a whole number",
    "nul": "holds a NUL character, as binary data and texts read as UTF-16 do",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}
_OF_UNIONS: Final = frozenset({"text", "texts"})
_LONGEST_NAME: Final = 60
_ADDRESSES: Final = {
    404: "there is nothing at this path; GET /docs lists all paths",
    405: "this path takes other methods; see the header Allow",
}


class StrictRequest(Request):
    """A request whose body is unambiguous JSON."""

    async def body(self) -> bytes:
        """Return the raw body if it is declared as JSON."""
        raw = await super().body()
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_json = kind == "application/json" or kind.endswith("+json")
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "send the body as it is, without Content-Encoding")
        if raw and not is_json:
            raise HTTPException(415, "send JSON with the header Content-Type: application/json")
        return raw

    async def json(self) -> Any:
        """Return the body, parsed strictly."""
        try:
            return parse(await self.body())
        except Refusal as refusal:  # what is not an HTTPException is a fault to FastAPI
            raise HTTPException(refusal.status, refusal.message) from None


class StrictRoute(APIRoute):
    """A route that takes a `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Replace the request by the strict one."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


async def validation_refusal(request: Request, error: Exception) -> Response:
    """Return what is wrong with a body of the wrong shape."""
    first = cast(RequestValidationError, error).errors()[0]
    what = _WORDS.get(first["type"]) or f"is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return _refused(422, f"{_place(first['loc'])} {what}")


async def http_refusal(request: Request, error: Exception) -> Response:
    """Return that the path or the method does not exist."""
    raised = cast(HTTPException, error)
    message = _ADDRESSES.get(raised.status_code, raised.detail)
    headers = dict(raised.headers or {})
    if "Allow" in headers:  # which is of one route alone, and an address may have several
        headers["Allow"] = ", ".join(_methods(request, set(headers["Allow"].split(", "))))
    return _refused(raised.status_code, message, headers)


def _methods(request: Request, found: set[str]) -> list[str]:
    """Return all methods of the path of a request; HEAD wherever GET is."""
    for route in request.app.routes:
        if getattr(route, "path", None) == request.url.path:
            found |= getattr(route, "methods", set())
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _place(location: Sequence[str | int]) -> str:
    """Return a place in the body as one writes it, such as inputs[3]."""
    place = ""
    for part in location[1:]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part not in _OF_UNIONS:
            place += f".{part[:_LONGEST_NAME]}"
    return place.removeprefix(".") or "the body"


def _refused(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(error_body(message), status, headers, media_type="application/json")
