"""The middleware: who may ask, how much, for how long, and how a fault is answered."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final, final

from finetext.core.settings import ServeSettings
from finetext.serving.logs import FIELDS, LOG, OF_REQUEST, REQUESTS
from finetext.serving.metrics import Metrics
from finetext.serving.requests import CLOSE, TABLE, ClientGone, Refusal, stopping
from finetext.serving.tracing import Tracer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


_HOST: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^:@\[\]]*))(?::[0-9]*)?")
"""A name or an address, and a port."""


def check_host(hosts: Collection[str], scope: Scope) -> None:
    """Refuse hosts that are not the server's (DNS rebinding); IP addresses are always known."""
    known = {name.lower().rstrip(".") for name in hosts} | {"", "localhost"}
    for name, value in scope["headers"]:
        if name != b"host":
            continue
        text = value.decode("latin-1").strip().lower()  # such as localhost:8000 or [::1]:8000
        form = _HOST.fullmatch(text)
        host = (form[1] or form[2]).rstrip(".") if form else text
        if host in known or host.endswith(".localhost"):
            continue
        try:
            ipaddress.ip_address(host)
        except ValueError:
            message = f"this server does not answer to the host {host[:60]!r}. Its owner "
            raise Refusal(403, f"{message}can add it to serve.hosts, or set a token") from None


def check_token(token: str, scope: Scope) -> None:
    """Refuse requests that need the token and lack it."""
    is_open = scope["path"] in _OPEN or scope["path"].startswith(_FOLDER)
    if scope["method"] == "GET" and is_open:
        return
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    kind, _, sent = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    # digests, so that comparing does not even reveal the length of the token
    one, other = (hashlib.sha256(of).digest() for of in (sent.strip(), token.encode()))
    if not hmac.compare_digest(one, other) or kind.lower() != b"bearer":
        error = ', error="invalid_token"' if given else ""
        challenge = {"www-authenticate": f'Bearer realm="finetext"{error}'}
        raise Refusal(401, "this needs the header Authorization: Bearer TOKEN", challenge)


HUNG_UP: Final = 499
NAME: Final = b"x-request-id"
"""The header with the id of a request, which the log has where there is a fault."""
_NAME_FORM: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
STILL_READ: Final = 16 * 2**20
"""Bytes still read of a body that is too large: many clients read the answer only after sending."""
_OPEN: Final = frozenset({"/", "/ready", "/health", "/health/live", "/docs", "/openapi.json"})
"""Paths that need no token; none says anything about the model."""
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


@dataclass
class _Answer:
    """The id of a request and the status of its answer."""

    name: str
    status: int = HUNG_UP


@final
@dataclass(eq=False)
class Monitor:
    """Counts, times, names and checks requests; a fault becomes an answer without details."""

    app: ASGIApp
    metrics: Metrics
    paths: Collection[str]
    checks: Sequence[Callable[[Scope], None]]
    is_stopping: Callable[[], bool] = lambda: False
    tracer: Tracer = field(default_factory=Tracer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer whatever happens, unless the client is gone."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # the protocol drops the body of the answer
            scope = {**scope, "method": "GET"}
        with self._watched(scope) as answer:

            async def tell(message: Message) -> None:
                if message["type"] == "http.response.start":
                    answer.status = message["status"]
                    there = {name.lower() for name, _ in message["headers"]}
                    own = [pair for pair in HEADERS.items() if pair[0] not in there]
                    message["headers"] = [*message["headers"], *own, (NAME, answer.name.encode())]
                    if self.is_stopping() and b"connection" not in there:
                        message["headers"].append((b"connection", b"close"))
                await send(message)

            try:
                for check in self.checks:
                    check(scope)
                await self.app(scope, receive, tell)
            except ClientGone:
                pass
            except GeneratorExit:
                raise
            except BaseException as error:  # also the panic of a native library
                if answer.status != HUNG_UP:
                    raise
                await _refusal_of(error, scope, answer.name).answer()(scope, receive, tell)

    @contextmanager
    def _watched(self, scope: Scope) -> Iterator[_Answer]:
        """Count, time, log and trace a request while the body answers it."""
        path = scope["path"] if scope["path"] in self.paths else "other"
        path = _FOLDER if scope["path"].startswith(_FOLDER) else path
        answer, started = _Answer(name_of(scope)), perf_counter()
        self.metrics.active.inc()
        with self.tracer.request(scope, path, answer.name) as span:
            of_request = OF_REQUEST.set({"request_id": answer.name, **span.ids})
            try:
                yield answer
            finally:
                seconds, status = perf_counter() - started, answer.status
                self.metrics.active.dec()
                self.metrics.answered(path, status, seconds)
                span.answered(status)
                told = {"method": scope["method"], "path": path, "status": status}
                REQUESTS.info("request", extra={FIELDS: told | {"seconds": round(seconds, 6)}})
                OF_REQUEST.reset(of_request)


def name_of(scope: Scope) -> str:
    """Return the id of a request: what the client calls it in X-Request-ID, or a random one."""
    given = [value for name, value in scope["headers"] if name == NAME]
    if len(given) == 1 and _NAME_FORM.fullmatch(given[0]):
        return given[0].decode()  # type: ignore[no-any-return]
    return secrets.token_hex(8)


def _refusal_of(error: BaseException, scope: Scope, name: str) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, asyncio.CancelledError):
        return stopping()
    LOG.error("fault %s in %s %r", name, scope["method"], scope["path"], exc_info=error)
    return Refusal(500, f"internal server error; the log has more under {name}")


@final
class BodyLimit:
    """Reads the body of a POST within its limits, and answers in time or with a refusal."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeSettings,
        methods: Collection[str] = ("POST",),
        holds_file: Callable[[str], bool] = TABLE.__eq__,
    ) -> None:
        """Wrap `app`; `holds_file` says of a path whether a body has a file, and may be larger."""
        self._app, self._settings, self._held = app, settings, 0
        self._methods, self._holds_file = frozenset(methods), holds_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body."""
        if scope["type"] != "http" or scope["method"] not in self._methods:
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
        settings, size, more = self._settings, 0, True
        limit = settings.request_bytes
        if self._holds_file(scope["path"]):
            limit = min(settings.table_bytes, settings.held_bytes)
        too_large = Refusal(413, f"the body has more than {limit:,} bytes", CLOSE)
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
                    if size > limit:
                        continue
                    if self._held + len(part) > self._settings.held_bytes:
                        busy = "too many bytes of other requests are being read; retry in 1 s"
                        raise Refusal(503, busy, {"retry-after": "1", **CLOSE})
                    self._held += len(part)
                    body += part
        except TimeoutError:
            seconds = self._settings.arrival_seconds
            raise Refusal(408, f"the body did not arrive in {seconds:g} s", CLOSE) from None
        if size > limit:
            raise too_large

    async def _answer(self, body: bytearray, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = has_ended = False

        async def tell(message: Message) -> None:
            nonlocal has_started, has_ended
            has_started = True
            await send(message)
            has_ended = message["type"] == "http.response.body" and not message.get("more_body")

        messages: list[Message] = [{"type": "http.request", "body": bytes(body)}]

        async def replay() -> Message:
            if not messages:  # a disconnect is noticed by `_hung_up`
                await asyncio.Event().wait()
            return messages.pop()

        answering = asyncio.ensure_future(self._app(scope, replay, tell))
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
                seconds = f"{self._settings.request_seconds:g} s"
                raise Refusal(504, f"there was no answer in {seconds}; try fewer texts")
        finally:
            for task in (answering, hanging_up):
                task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await answering


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
