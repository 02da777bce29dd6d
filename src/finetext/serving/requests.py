"""Requests read strictly, and what is wrong with one in words."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, cast

from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from finetext.serving.refusals import Refusal, error_body
from finetext.serving.strict_json import parse

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
    404: "there is nothing at this address; GET /docs lists what there is",
    405: "this address takes other methods; see the header Allow",
}


class StrictRequest(Request):
    """A request whose body is JSON beyond doubt."""

    async def body(self) -> bytes:
        """The raw body, if it says of itself that it is JSON."""
        raw = await super().body()
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_json = kind == "application/json" or kind.endswith("+json")
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "send the body as it is, without Content-Encoding")
        if raw and not is_json:
            raise HTTPException(415, "send JSON with the header Content-Type: application/json")
        return raw

    async def json(self) -> Any:
        """The body, read strictly."""
        try:
            return parse(await self.body())
        except Refusal as refusal:  # what is not an HTTPException is a fault to FastAPI
            raise HTTPException(refusal.status, refusal.message) from None


class StrictRoute(APIRoute):
    """An address that takes a `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the strict request in the place of the usual one."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


async def validation_refusal(request: Request, error: Exception) -> Response:
    """Say what is wrong with a body of the wrong shape."""
    first = cast(RequestValidationError, error).errors()[0]
    what = _WORDS.get(first["type"]) or f"is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return _refused(422, f"{_place(first['loc'])} {what}")


async def http_refusal(request: Request, error: Exception) -> Response:
    """Say that there is no such address, or not for this method."""
    raised = cast(HTTPException, error)
    message = _ADDRESSES.get(raised.status_code, raised.detail)
    headers = dict(raised.headers or {})
    if "Allow" in headers:  # which is of one route alone, and an address may have several
        headers["Allow"] = ", ".join(_methods(request, set(headers["Allow"].split(", "))))
    return _refused(raised.status_code, message, headers)


def _methods(request: Request, found: set[str]) -> list[str]:
    """All that the address of a request takes, with those found; HEAD wherever GET is."""
    for route in request.app.routes:
        if getattr(route, "path", None) == request.url.path:
            found |= getattr(route, "methods", set())
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _place(location: Sequence[str | int]) -> str:
    """A place in the body as one writes it, such as inputs[3]."""
    place = ""
    for part in location[1:]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part not in _OF_UNIONS:
            place += f".{part[:_LONGEST_NAME]}"
    return place.removeprefix(".") or "the body"


def _refused(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(error_body(message), status, headers, media_type="application/json")
