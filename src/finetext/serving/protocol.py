"""HTTP/1.1 by uvicorn, with an end to clients that hold a connection and do nothing with it.

uvicorn limits neither the time to send the head of a request nor that to read the answer, and its
`limit_concurrency` refuses in plain text.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from finetext.core.settings import ServeSettings
from finetext.serving.requests import error_body

LARGEST_HEAD: Final = 32 * 2**10


def refusal(status: str, message: str) -> bytes:
    """Return a whole answer with an error, after which the connection is closed."""
    body = error_body(message)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\nconnection: close\r\n\r\n".encode() + body


_FULL: Final = refusal(
    "503 Service Unavailable\r\nretry-after: 1", "the server has too many connections; retry in 1 s"
)
_INVALID: Final = refusal("400 Bad Request", "this is not a valid HTTP request")


@final
class PatientProtocol(H11Protocol):
    """A connection with an end to all waiting."""

    def __init__(self, *args: Any, settings: ServeSettings, **kwargs: Any) -> None:
        """Take the limits on top of what uvicorn gives a protocol."""
        super().__init__(*args, **kwargs)
        self._settings = settings
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse it if there are too many, else wait for the head of a request."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.connections:
            transport.write(_FULL)
            transport.close()
        else:
            self._start("head", self._give_up)

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request."""
        super().data_received(data)
        if self._is_answering():
            self._stop("head")
        elif "head" not in self._timers:
            self._start("head", self._give_up)

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
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in the form of all errors, and close."""
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        self.transport.write(_INVALID)
        self.transport.close()
        self._wait_for_reader()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_reader(self) -> None:
        if "reader" not in self._timers and self.transport.get_write_buffer_size():
            self._start("reader", self.transport.abort)

    def _start(self, name: str, action: Any) -> None:
        self._timers[name] = self.loop.call_later(self._settings.arrival_seconds, action)

    def _stop(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _give_up(self) -> None:
        self._timers.pop("head", None)
        if not self._is_answering():
            self.transport.abort()
