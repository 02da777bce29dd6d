"""The layers around the app: who may ask, how much, for how long, and what becomes of a fault.

From the outside in: `Watched` counts each request and turns whatever goes wrong into an answer,
`Named` of `hosts` refuses other names, `Authorised` asks for the token, `Bounded` reads the body
within its limits and bounds the time.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Final, final

from finetext.core.settings import ServeSettings
from finetext.serving.requests import ClientGone, Refusal, refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from finetext.serving.metrics import Metrics


_LOCAL: Final = "localhost"
_LONGEST: Final = 60


@final
class Named:
    """Refuses requests that come under a name that is not the server's."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        """Stand before `app`, whose names are `hosts` beside those of this machine."""
        self._app, self._hosts = app, frozenset(name.lower().rstrip(".") for name in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on if the name is known, or none is given."""
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"host" and not self._knows(host := _host(value)):
                    raise Refusal(
                        403,
                        f"this server does not go by the name {host[:_LONGEST]!r}; whoever runs it "
                        "can add that to its serve.hosts, or set a token",
                    )
        await self._app(scope, receive, send)

    def _knows(self, host: str) -> bool:
        if not host or host in self._hosts or host == _LOCAL or host.endswith(f".{_LOCAL}"):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def _host(value: bytes) -> str:
    """The name in a header such as `localhost:8000` or `[::1]:8000`."""
    text = value.decode("latin-1").strip().lower()
    name = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
    return name.rstrip(".")


LOG: Final = logging.getLogger("finetext.serving")
HUNG_UP: Final = 499
STILL_READ: Final = 16 * 2**20
"""Bytes of a body that is too large that are still read, as many clients send all before they
read the answer."""
_CLOSE: Final = {"connection": "close"}
_OPEN: Final = frozenset({"/", "/health", "/health/live", "/docs", "/openapi.json"})
"""What can be read without the token; nothing of it is about the model."""
_FOLDER: Final = "/page/"
HEADERS: Final[Mapping[bytes, bytes]] = {
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}


@final
class Watched:
    """Counts and times requests; no fault leaves it but as an answer that tells nothing."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        """Stand before `app`, whose paths are `paths`."""
        self._app, self._metrics, self._paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, whatever happens, unless the client is gone."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # the protocol leaves the body of the answer out
            scope = {**scope, "method": "GET"}
        status, started = HUNG_UP, perf_counter()

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_own(message["headers"])
            await send(message)

        self._metrics.active.inc()
        try:
            await self._app(scope, receive, tell)
        except ClientGone:
            pass
        except (Exception, asyncio.CancelledError) as error:
            if status != HUNG_UP:
                raise
            await refuse(tell, _refusal_of(error, scope))
        finally:
            self._metrics.active.dec()
            self._metrics.answered(self._path(scope["path"]), status, perf_counter() - started)

    def _path(self, path: str) -> str:
        if path.startswith(_FOLDER):
            return _FOLDER
        return path if path in self._paths else "other"


def _with_own(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    there = {name.lower() for name, _ in headers}
    return [*headers, *(pair for pair in HEADERS.items() if pair[0] not in there)]


def _refusal_of(error: BaseException, scope: Scope) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, asyncio.CancelledError):
        return Refusal(503, "the server is stopping", _CLOSE)
    name = secrets.token_hex(4)
    LOG.error("fault %s in %s %r", name, scope["method"], scope["path"], exc_info=error)
    return Refusal(500, f"a fault of the server; its log tells more under {name}")


@final
class Authorised:
    """Lets pass who has the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """Stand before `app`."""
        self._app, self._token = app, _digest(token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on if the token is there, or nothing needs it."""
        if scope["type"] == "http" and not _is_open(scope["method"], scope["path"]):
            self._check([value for name, value in scope["headers"] if name == b"authorization"])
        await self._app(scope, receive, send)

    def _check(self, given: list[bytes]) -> None:
        kind, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        is_right = hmac.compare_digest(_digest(token.strip()), self._token)
        if kind.lower() != b"bearer" or not is_right:
            error = ', error="invalid_token"' if given else ""
            challenge = {"www-authenticate": f'Bearer realm="finetext"{error}'}
            raise Refusal(401, "this needs the header Authorization: Bearer TOKEN", challenge)


def _digest(token: bytes) -> bytes:
    """Of one length for all, so that comparing tells not even how long the token is."""
    return hashlib.sha256(token).digest()


def _is_open(method: str, path: str) -> bool:
    return method == "GET" and (path in _OPEN or path.startswith(_FOLDER))


@final
class Bounded:
    """Reads the body of a POST, and answers it in time or says that it cannot.

    A client that hangs up ends the work on its request.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        """Stand before `app`."""
        self._app, self._settings, self._held = app, settings, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on with the whole body."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            await self._read(body, scope, receive)
            await self._answer(body, scope, receive, send)
        finally:
            self._held -= len(body)

    async def _read(self, body: bytearray, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        limit, size, more = self._settings.request_bytes, 0, True
        too_large = Refusal(413, f"the body has more than {limit:,} bytes", _CLOSE)
        told = int(headers.get(b"content-length", b"0"))
        if told > limit + STILL_READ or (told > limit and b"expect" in headers):
            raise too_large
        try:
            async with asyncio.timeout(self._settings.arrival_seconds):
                while more and size <= limit + STILL_READ:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part: bytes = message.get("body", b"")
                    size, more = size + len(part), message.get("more_body", False)
                    if size <= limit:
                        self._hold(len(part))
                        body += part
        except TimeoutError:
            seconds = self._settings.arrival_seconds
            raise Refusal(408, f"the body did not arrive in {seconds:g} s", _CLOSE) from None
        if size > limit:
            raise too_large

    def _hold(self, size: int) -> None:
        if self._held + size > self._settings.held_bytes:
            busy = "too many bytes of other requests are being read; come back in 1 s"
            raise Refusal(503, busy, {"retry-after": "1", **_CLOSE})
        self._held += size

    async def _answer(self, body: bytearray, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = has_ended = False

        async def tell(message: Message) -> None:
            nonlocal has_started, has_ended
            has_started = True
            await send(message)
            has_ended = message["type"] == "http.response.body" and not message.get("more_body")

        answering = asyncio.ensure_future(self._app(scope, _replay(bytes(body)), tell))
        hanging_up = asyncio.ensure_future(_hung_up(receive))
        try:
            await asyncio.wait(
                {answering, hanging_up},
                timeout=self._settings.request_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if answering.done() or has_ended:
                await answering
            elif hanging_up.done() or has_started:
                raise ClientGone
            else:
                seconds = self._settings.request_seconds
                raise Refusal(504, f"there was no answer in {seconds:g} s; try fewer texts")
        finally:
            for task in (answering, hanging_up):
                task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await answering


def _replay(body: bytes) -> Receive:
    """Give the body once; that the client hangs up is noticed elsewhere."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    return receive


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
