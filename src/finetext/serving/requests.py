"""Strict reading of requests, and refusals in words."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NoReturn, cast

from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from finetext.serving.schemas import TAGS

LONGEST_MESSAGE: Final = 500
TABLE: Final = "/table"
"""The path that takes files, so that its bodies can be large."""


class Refusal(HTTPException):
    """A request that is refused: status, message for its sender, headers in lower case."""

    choice: Mapping[str, Any] | None = None
    """What to state in the request, see `finetext.serving.schemas.Choice`."""

    def answer(self) -> Response:
        """Return the refusal as JSON."""
        headers, body = dict(self.headers or {}), error_body(self.detail, self.choice)
        return Response(body, self.status_code, headers, media_type="application/json")


CLOSE: Final = {"connection": "close"}
"""The header with which an answer is the last one of its connection."""


def stopping() -> Refusal:
    """Return the refusal of a server that only finishes what it has."""
    return Refusal(503, "the server is stopping", {"retry-after": "1", **CLOSE})


class ClientGone(Exception):
    """The client disconnected before it had its answer."""


def error_body(message: str, choice: Mapping[str, Any] | None = None) -> bytes:
    """Return the body of a refusal; what UTF-8 cannot encode becomes a question mark."""
    cut = message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + " ..."
    told = {"error": cut} | ({"choice": choice} if choice else {})
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


MOST_KEYS: Final = 100
"""Keys per object: each unknown one would be an error of its own."""
MOST_VALUES: Final = 10_000
"""Values beside a file; reading millions of them would keep all others waiting."""
_BETWEEN: Final = (b"{", b"[", b",")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(raw: bytes) -> Any:
    """Return the value of JSON in UTF-8; raises a Refusal for anything ambiguous or broken."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    was_enabled = gc.isenabled()
    gc.disable()  # JSON has no cycles, and many lists would trigger collection often
    try:
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
    finally:
        if was_enabled:
            gc.enable()
    return value


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
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "must be an object"),
}
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
            raise Refusal(415, "send the body as it is, without Content-Encoding")
        if raw and not is_json:
            raise Refusal(415, "send JSON with the header Content-Type: application/json")
        return raw

    async def json(self) -> Any:
        """Return the body, parsed strictly."""
        raw = await self.body()
        if self.scope["path"] == TABLE and sum(map(raw.count, _BETWEEN)) > MOST_VALUES:
            raise Refusal(400, f"the body has more than {MOST_VALUES:,} values")
        return parse(raw)


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
    place = ""
    for part in first["loc"][1:]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part not in TAGS:
            place += f".{part[:60]}"
    return Refusal(422, f"{place.removeprefix('.') or 'the body'} {what}").answer()


async def http_refusal(request: Request, error: Exception) -> Response:
    """Return that the path or the method does not exist."""
    raised = cast(HTTPException, error)
    message = _ADDRESSES.get(raised.status_code, raised.detail)
    headers = dict(raised.headers or {})
    if "Allow" in headers:  # of one route, while a path may have several; HEAD wherever GET is
        found = set(headers["Allow"].split(", "))
        for route in request.app.routes:
            if getattr(route, "path", None) == request.url.path:
                found |= getattr(route, "methods", set())
        headers["Allow"] = ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))
    refusal = Refusal(raised.status_code, message, headers)
    refusal.choice = getattr(raised, "choice", None)
    return refusal.answer()
