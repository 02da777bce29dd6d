"""HTTP/1.1 as uvicorn speaks it, but for clients that hold a connection and do nothing with it.

uvicorn bounds neither the time in which the head of a request arrives nor that in which a client
reads its answer, and both are over before or after the app has a say.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from finetext.core.settings import ServeSettings
from finetext.serving.requests import error_body

LARGEST_HEAD: Final = 32 * 2**10
_FULL: Final = error_body("the server has too many connections; retry in 1 s")
_REFUSED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_FULL), _FULL)
)


@final
class PatientProtocol(H11Protocol):
    """A connection whose every wait has a limit."""

    def __init__(self, *args: Any, settings: ServeSettings, **kwargs: Any) -> None:
        """Take the limits beside uvicorn's arguments."""
        super().__init__(*args, **kwargs)
        self._settings = settings
        self._head: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse the connection if there are too many, else wait for the head of a request."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.connections:
            transport.write(_REFUSED)
            transport.close()
        else:
            self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Handle a part of a request."""
        super().data_received(data)
        if self._is_answering():
            self._stop_head()
        elif self._head is None:
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """Handle that the whole answer is with the transport."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Handle that nothing came after the last answer."""
        super().timeout_keep_alive_handler()
        self._wait_for_reader()

    def pause_writing(self) -> None:
        """Handle a client that reads more slowly than the answer is written."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """Handle that the client reads again."""
        super().resume_writing()
        self._stop_stalled()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._stop_head()
        self._stop_stalled()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP in the format of all errors, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = error_body("this is not a valid HTTP request")
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        self._wait_for_reader()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._head = self.loop.call_later(self._settings.arrival_seconds, self._give_up)

    def _wait_for_reader(self) -> None:
        if self._stalled is None and self.transport.get_write_buffer_size():
            wait = self._settings.arrival_seconds
            self._stalled = self.loop.call_later(wait, self.transport.abort)

    def _stop_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _give_up(self) -> None:
        self._head = None
        if not self._is_answering():
            self.transport.abort()
