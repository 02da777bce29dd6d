"""HTTP/1.1 by uvicorn, with an end to clients that hold a connection and do nothing with it.

uvicorn limits neither the time to send the head of a request nor that to read the answer, and its
`limit_concurrency` refuses in plain text. h11 reads several forms that proxies read in another way,
so that a request could hide in another one (request smuggling); these are refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, final

import h11
from uvicorn import Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from finetext.core.settings import ServeSettings
from finetext.serving.requests import error_body
from finetext.serving.workers import LAST_CALL

LARGEST_HEAD: Final = 32 * 2**10
LARGEST_EXTRA: Final = 16 * 2**10
"""Bytes that the form of chunks may take beyond as many as their content has."""
_NETWORK: Final = 64
"""Bits of an IPv6 address that are those of its network, which one client has for itself."""


def refusal(status: str, message: str) -> bytes:
    """Return a whole answer with an error, after which the connection is closed."""
    body = error_body(message)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\nconnection: close\r\n\r\n".encode() + body


_FULL: Final = refusal(
    "503 Service Unavailable\r\nretry-after: 1", "the server has too many connections; retry in 1 s"
)
_OF_CLIENT: Final = refusal(
    "429 Too Many Requests\r\nretry-after: 1", "this address has too many connections; retry in 1 s"
)
_INVALID: Final = "this is not a valid HTTP request"


@final
class StrictConnection(h11.Connection):
    """The state of a connection, which refuses requests that can be read in two ways."""

    def __init__(self) -> None:
        """Start as a server."""
        super().__init__(h11.SERVER, LARGEST_HEAD)
        self.reason = ""
        self._received = 0
        self._is_chunked = False

    def receive_data(self, data: bytes) -> None:
        """Take bytes of the client."""
        self._received += len(data)
        super().receive_data(data)

    def next_event(self) -> Any:
        """Return what the client sent, see h11; raises its RemoteProtocolError."""
        before = self.trailing_data[0] if self.their_state is h11.IDLE else b""
        event = super().next_event()
        if isinstance(event, h11.Request):
            rest = len(self.trailing_data[0])
            if reason := ambiguity(before[: len(before) - rest], event):
                self.refuse(reason)
            self._is_chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            self._received = rest
        elif isinstance(event, h11.Data):
            self._received -= 2 * len(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self._is_chunked = False
        return event

    def refuse(self, reason: str) -> None:
        """Raise a RemoteProtocolError."""
        self.reason = reason
        raise h11.RemoteProtocolError(reason)

    def is_padded(self) -> bool:
        """Whether chunks are far more form than content, such as extensions that nobody reads."""
        if not self._is_chunked or self._received <= LARGEST_EXTRA:
            return False
        return self._received - len(self.trailing_data[0]) > LARGEST_EXTRA


def ambiguity(head: bytes, request: h11.Request) -> str:
    """Return why other programs could read the head of a request differently, or nothing."""
    lines = head.split(b"\r\n")
    names = [line.partition(b":")[0].lower() for line in lines[1:]]
    lengths = [value for name, value in zip(names, lines[1:], strict=True) if name == _LENGTH]
    is_coded = _CODING in names
    if len(head) > LARGEST_HEAD:
        return f"its head has more than {LARGEST_HEAD:,} bytes"
    if any(b"\n" in line or b"\r" in line for line in lines):
        return "a line does not end in CRLF"
    if any(line[:1] in (b" ", b"\t") for line in lines):
        return "a header is folded over lines"
    if request.http_version not in (b"1.0", b"1.1"):
        return "its version is neither 1.0 nor 1.1"
    if is_coded and lengths:
        return "it has both Content-Length and Transfer-Encoding"
    if is_coded and request.http_version == b"1.0":
        return "it has Transfer-Encoding in HTTP/1.0"
    if len(lengths) > 1 or any(not of.partition(b":")[2].strip().isdigit() for of in lengths):
        return "its Content-Length is not one number"
    is_path = request.target[:1] == b"/" or (request.method, request.target) == (b"OPTIONS", b"*")
    return "" if is_path else "its target is not a path"


_LENGTH: Final = b"content-length"
_CODING: Final = b"transfer-encoding"


def client_of(address: str) -> str:
    """Return what stands for a client: its IPv4 address, or its network of IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _NETWORK), strict=False))


@final
class PatientProtocol(H11Protocol):
    """A connection with an end to all waiting."""

    conn: StrictConnection

    def __init__(
        self,
        *args: Any,
        settings: ServeSettings,
        clients: Counter[str],
        is_stopping: Callable[[], bool],
        **kwargs: Any,
    ) -> None:
        """Take limits, connections by client, and whether the server stops, besides uvicorn's."""
        super().__init__(*args, **kwargs)
        self.conn = StrictConnection()
        self._settings, self._clients, self._client = settings, clients, ""
        self._is_stopping = is_stopping
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse it if there are too many, else wait for the head of a request."""
        super().connection_made(transport)
        self._client = client_of(self.client[0] if self.client else "")
        self._clients[self._client] += 1
        is_full = len(self.connections) > self._settings.connections
        if is_full or self._clients[self._client] > self._settings.client_connections:
            transport.write(_FULL if is_full else _OF_CLIENT)
            transport.close()
        else:
            self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request."""
        super().data_received(data)
        if not self.transport.is_closing() and self.conn.is_padded():
            self.conn.reason = "its chunks are mostly padding"
            self.send_400_response(self.conn.reason)
        if self._is_answering():
            self._stop("head")
        elif "head" not in self._timers:
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """Wait for the client to read the answer that the transport has."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, as nothing came after the last answer."""
        super().timeout_keep_alive_handler()
        self._wait_for_reader()

    def pause_writing(self) -> None:
        """Limit the time in which the client does not read."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._stop("reader")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop("head")
        self._stop("reader")
        self._clients[self._client] -= 1
        if not self._clients[self._client]:
            del self._clients[self._client]
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close it once nothing is asked any more, as the server stops.

        uvicorn closes a connection without a request at once, and with it a request that is on its
        way. Here it stays for the time that it stays without requests anyway; an answer from now on
        is the last one, and says so.
        """
        if self._is_answering():
            self.cycle.keep_alive = False
        elif self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._wait_for_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in the form of all errors, and close."""
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        reason = f": {self.conn.reason}" if self.conn.reason else ""
        self.transport.write(refusal("400 Bad Request", _INVALID + reason))
        self.transport.close()
        self._wait_for_reader()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_reader(self) -> None:
        if "reader" not in self._timers and self.transport.get_write_buffer_size():
            self._start("reader", self.transport.abort, self._settings.arrival_seconds)

    def _wait_for_head(self) -> None:
        seconds = self._settings.arrival_seconds
        if self._is_stopping():
            seconds = min(seconds, self._settings.idle_seconds)
        self._stop("head")
        self._start("head", self._give_up, seconds)

    def _start(self, name: str, action: Any, seconds: float) -> None:
        self._timers[name] = self.loop.call_later(seconds, action)

    def _stop(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _give_up(self) -> None:
        self._timers.pop("head", None)
        if not self._is_answering():
            self.transport.abort()


@final
class OneServer(Server):
    """uvicorn's server on a socket of its own: before it stops, it accepts who is connected."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody else connect, accept who has, and stop; see uvicorn."""
        for listening in sockets or ():
            listening.listen(0)
        await asyncio.sleep(LAST_CALL)
        await super().shutdown(sockets)
